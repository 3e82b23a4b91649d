//! Scenarios on simulated ground: streams, datagrams and echoes through the router over links with faults, while
//! routes move and links are cut. Every failure names its seed.

use std::net::IpAddr;
use std::time::Duration;

use testbed::scenario::three_subnets;
use testbed::sim::traffic::{Datagrams, Pings, Traffic, Transfer};
use testbed::sim::{Faults, Ground, Options, seed};

const MINUTES_10: Duration = Duration::from_secs(600);
const MILLISECOND: Duration = Duration::from_millis(1);
/// The address of `h2` that is reached over either of its links, in both families, with the gateways on them.
const MOVING: [(&str, &str, &str); 2] =
    [("10.9.9.9", "10.9.9.9/32", "10.0.4.2"), ("fd00:9::9", "fd00:9::9/128", "fd00:4::2")];
/// Number of the port `r1`, by which the route to that address goes at first.
const OLD_PORT: usize = 1;
/// Number of the port `r3`, to which it moves.
const NEW_PORT: usize = 3;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ground(seed: u64, faults: Faults) -> Ground {
    Ground::build(&three_subnets(), &Options { seed, faults, offloading: &[] })
}

/// Lets a stream run until so many bytes have come, which are not all.
fn run_half(ground: &mut Ground, stream: &mut Transfer, bytes: usize) {
    let half = |traffic: &[&mut dyn Traffic]| traffic[0].arrived() >= bytes;
    assert!(ground.run_until(&mut [stream], MINUTES_10, half), "{} bytes have come", stream.arrived());
    assert!(!stream.is_done(), "in mid-stream");
}

#[test]
fn streams_survive_loss_duplication_and_reordering() {
    seed::for_each(10, |seed| {
        let mut ground = ground(seed, Faults::ROUGH);
        let mut streams = [
            Transfer::start(&mut ground, "h1", "h2", ip("10.0.2.2"), 300_000),
            Transfer::start(&mut ground, "h1", "h2", ip("fd00:2::2"), 300_000),
            Transfer::start(&mut ground, "h2", "h3", ip("10.0.3.2"), 100_000),
            Transfer::start(&mut ground, "h3", "h1", ip("fd00:1::2"), 100_000),
        ];
        let mut traffic = streams.each_mut().map(|stream| stream as &mut dyn Traffic);
        assert!(ground.run(&mut traffic, MINUTES_10), "not all arrived");
        assert!(ground.lost() > 50, "the links were rough: {} frames lost", ground.lost());
        let counters = ground.table.counters();
        assert_eq!(counters.dropped.get(), 0, "the router itself loses nothing");
        assert!(counters.fib_lookups.get() <= 8 * 2, "{} lookups", counters.fib_lookups.get());
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut ground = ground(seed, Faults::ROUGH);
        let mut stream = Transfer::start(&mut ground, "h1", "h2", ip("10.0.2.2"), 100_000);
        assert!(ground.run(&mut [&mut stream], MINUTES_10));
        ground.sent().to_vec()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_stream_follows_its_route_and_nothing_takes_the_old_way_any_more() {
    seed::for_each(10, |seed| {
        for (address, prefix, gateway) in MOVING {
            let mut ground = ground(seed, Faults::ROUGH);
            let mut stream = Transfer::start(&mut ground, "h1", "h2", ip(address), 400_000);
            run_half(&mut ground, &mut stream, 50_000);
            let before = ground.sent().len();
            ground.ip(&format!("route replace {prefix} via {gateway}"));
            assert!(ground.run(&mut [&mut stream], MINUTES_10), "the stream died");
            let there = |sent: &&testbed::sim::Sent| sent.destination == ip(address);
            let (old, new) = ground.sent().split_at(before);
            assert!(old.iter().filter(there).all(|sent| sent.port == OLD_PORT));
            assert!(new.iter().filter(there).all(|sent| sent.port == NEW_PORT));
            assert!(new.iter().any(|sent| there(&sent)));
        }
    });
}

#[test]
fn a_stream_outlives_a_cut_link() {
    seed::for_each(10, |seed| {
        let mut ground = ground(seed, Faults::NONE);
        let mut stream = Transfer::start(&mut ground, "h1", "h2", ip("10.0.2.2"), 2_000_000);
        run_half(&mut ground, &mut stream, 100_000);
        let received = stream.arrived();
        ground.cut("r1");
        let sent = ground.sent().len();
        ground.run_for(&mut [&mut stream], Duration::from_secs(3));
        assert_eq!(stream.arrived(), received, "nothing crosses the cut");
        let late = ground.sent()[sent..].iter().filter(|sent| sent.port == OLD_PORT).count();
        assert_eq!(late, 0, "nothing is sent out of a port that is down");
        ground.mend("r1");
        assert!(ground.run(&mut [&mut stream], MINUTES_10), "the stream died");
    });
}

#[test]
fn datagrams_and_echoes_arrive() {
    let mut ground = ground(1, Faults::NONE);
    let mut small = Datagrams::start(&mut ground, ["h1", "h3"], ip("10.0.3.2"), 100, 500, MILLISECOND);
    let mut large = Datagrams::start(&mut ground, ["h3", "h2"], ip("fd00:2::2"), 1400, 500, MILLISECOND);
    let mut pings = [
        ("h1", ["10.0.1.2", "10.0.2.2"]),
        ("h3", ["fd00:3::2", "fd00:1::2"]),
        ("h2", ["10.0.2.2", "10.0.2.1"]),
        ("h2", ["fd00:2::2", "fd00:1::1"]),
    ]
    .map(|(host, addresses)| Pings::start(&mut ground, host, addresses.map(ip), 20, 10 * MILLISECOND));
    let mut traffic: Vec<&mut dyn Traffic> = vec![&mut small, &mut large];
    traffic.extend(pings.iter_mut().map(|pings| pings as &mut dyn Traffic));
    assert!(ground.run(&mut traffic, Duration::from_secs(2)), "all within their time");
    // Two flows of datagrams and two of echoes were forwarded; echoes to the router itself are the kernel's.
    assert_eq!(ground.table.shared().flows.len(), 4);
    assert!(ground.table.counters().local.get() >= 40);
}

#[test]
fn rough_links_lose_datagrams_and_nothing_else_does() {
    seed::for_each(5, |seed| {
        let mut ground = ground(seed, Faults::NONE);
        let mut ping = Pings::start(&mut ground, "h1", [ip("10.0.1.2"), ip("10.0.3.2")], 1, MILLISECOND);
        assert!(ground.run(&mut [&mut ping], Duration::from_secs(1)), "neighbors are found");
        for port in ["r0", "r2"] {
            ground.set_faults(port, Faults::ROUGH);
        }
        let mut datagrams =
            Datagrams::start(&mut ground, ["h1", "h3"], ip("10.0.3.2"), 1200, 1000, MILLISECOND);
        ground.run_for(&mut [&mut datagrams], Duration::from_secs(3));
        assert_eq!(ground.table.counters().dropped.get(), 0);
        // Lost on either link: 0.95 squared is 0.9025.
        assert!((850..950).contains(&datagrams.arrived()), "{} of 1000", datagrams.arrived());
    });
}

#[test]
fn replies_may_come_back_another_way() {
    seed::for_each(5, |seed| {
        // To h2 by its second link, while h2 answers by its first.
        let mut ground = ground(seed, Faults::ROUGH);
        for (_, prefix, gateway) in MOVING {
            ground.ip(&format!("route replace {prefix} via {gateway}"));
        }
        let mut streams = MOVING.map(|(address, ..)| {
            [
                Transfer::start(&mut ground, "h1", "h2", ip(address), 100_000),
                Transfer::start(&mut ground, "h3", "h2", ip(address), 100_000),
            ]
        });
        let mut traffic: Vec<&mut dyn Traffic> =
            streams.iter_mut().flatten().map(|stream| stream as &mut dyn Traffic).collect();
        assert!(ground.run(&mut traffic, MINUTES_10), "not all arrived");
        let there =
            |sent: &&testbed::sim::Sent| MOVING.iter().any(|(address, ..)| sent.destination == ip(address));
        assert!(ground.sent().iter().filter(there).all(|sent| sent.port == NEW_PORT));
        assert_eq!(ground.table.shared().flows.len(), 4, "both ways are one flow");
    });
}

#[test]
fn super_packets_pass_whole_and_are_cut_where_they_must_be() {
    for offloading in [&["r0", "r1", "r2", "r3"][..], &["r0"], &["r1"], &[]] {
        for address in ["10.0.2.2", "fd00:2::2"] {
            let options = Options { seed: 1, faults: Faults::NONE, offloading };
            let mut ground = Ground::build(&three_subnets(), &options);
            let mut there = Transfer::start(&mut ground, "h1", "h2", ip(address), 1_000_000);
            assert!(ground.run(&mut [&mut there], MINUTES_10), "{offloading:?}: not all arrived");
            let largest =
                ground.sent().iter().filter(|sent| sent.port == OLD_PORT).map(|sent| sent.bytes).max();
            let whole = offloading.contains(&"r0") && offloading.contains(&"r1");
            assert_eq!(largest > Some(1514), whole, "{offloading:?}: a frame of {largest:?} bytes");
            assert_eq!(ground.table.counters().dropped.get(), 0);
        }
    }
}

#[test]
fn a_neighbor_that_is_not_there_is_looked_for_three_times() {
    let mut ground = ground(1, Faults::NONE);
    let mut pings =
        Pings::start(&mut ground, "h1", [ip("10.0.1.2"), ip("10.0.2.99")], 2, Duration::from_millis(100));
    ground.run_for(&mut [&mut pings], Duration::from_millis(2_900));
    assert_eq!(ground.sent(), []);
    ground.run_for(&mut [&mut pings], Duration::from_millis(200));
    let told: Vec<_> = ground.sent().iter().map(|sent| sent.destination).collect();
    assert_eq!(told, [ip("10.0.1.2"); 2], "host unreachable, for each packet that waited");
    assert_eq!(pings.arrived(), 0);
}
