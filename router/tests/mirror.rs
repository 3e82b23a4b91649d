//! The mirror against the kernel, in a namespace: what it tells over time equals what a fresh picture shows.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fib::adjacency::LinkIndex;
use fib::change::{Change, NeighborState, RouteType, Settings, Target};
use fib::writer::{RouteRow, Writer};
use router::mirror::{Mirror, ResolveError, Resolver};
use router::sysctl::Sysctl;
use support::{Host, in_namespace, ip, run};

/// How long the kernel may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a writer knows, in words that compare.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picture {
    links: BTreeMap<LinkIndex, String>,
    settings: BTreeMap<LinkIndex, String>,
    addresses: BTreeSet<String>,
    nexthops: BTreeSet<String>,
    rules: BTreeSet<String>,
    /// In the order in which those of one key are used.
    routes: Vec<String>,
}

impl Picture {
    fn of(writer: &Writer, settings: &BTreeMap<LinkIndex, String>) -> Self {
        let words = |rows: &mut dyn Iterator<Item = String>| rows.collect();
        Self {
            links: writer.links().map(|row| (row.link.index, format!("{:?}", row.link))).collect(),
            settings: settings.clone(),
            addresses: words(&mut writer.addresses().map(|address| format!("{address:?}"))),
            nexthops: words(&mut writer.nexthops().map(|object| format!("{object:?}"))),
            rules: words(
                &mut [false, true]
                    .iter()
                    .flat_map(|family| writer.rules(*family).into_iter().map(|rule| format!("{rule:?}"))),
            ),
            routes: writer.routes(None).map(in_words).collect(),
        }
    }
}

/// A route in words. The kernel lists the members of an IPv6 multipath route in another order in an announcement than
/// in a dump, and routes onto several links in the order they came, which a dump does not give away.
fn in_words(mut row: RouteRow) -> String {
    if row.prefix.addr().is_ipv6() {
        row.next_hops.sort_by_key(|hop| (hop.via, hop.link));
        // The first member's.
        row.unusable = None;
    }
    format!("{row:?}")
}

/// A mirror and the picture its words make.
struct Follower {
    mirror: Mirror,
    writer: Writer,
    settings: BTreeMap<LinkIndex, String>,
    inside_dump: bool,
    pictures: u64,
    neighbors: Vec<(IpAddr, NeighborState)>,
}

impl Follower {
    async fn start() -> Self {
        let mirror = Mirror::start(Sysctl::default()).expect("root may watch");
        let mut follower = Self {
            mirror,
            // Without ports: which one a renamed device is, depends on when the writer was started.
            writer: Writer::new(Vec::new(), 1024),
            settings: BTreeMap::new(),
            inside_dump: false,
            pictures: 0,
            neighbors: Vec::new(),
        };
        follower.until("a complete picture", |follower| follower.pictures > 0).await;
        follower
    }

    fn picture(&self) -> Picture {
        Picture::of(&self.writer, &self.settings)
    }

    async fn batch(&mut self) {
        let batch = self.mirror.changes.recv().await.expect("the mirror runs");
        assert!(batch.len() <= 2 * router::mirror::BATCH_CHANGES_MAX, "a batch of {}", batch.len());
        for change in &batch {
            match change {
                Change::DumpBegin => self.inside_dump = true,
                Change::DumpEnd => {
                    assert!(self.inside_dump, "a picture ends that did not begin");
                    self.inside_dump = false;
                    self.pictures += 1;
                }
                Change::Neighbor(entry) => self.neighbors.push((entry.address, entry.state)),
                Change::Settings(Settings::Link(index, settings)) => {
                    self.settings.insert(*index, format!("{settings:?}"));
                }
                Change::LinkGone(index) => {
                    self.settings.remove(index);
                }
                _ => {}
            }
        }
        self.writer.apply(batch);
    }

    fn link(&self, name: &str) -> LinkIndex {
        self.writer.links().find(|row| row.link.name == name).expect("the link was announced").link.index
    }

    /// Reads until the neighbor is announced in this state, forgetting what was announced of it before.
    async fn until_neighbor(&mut self, address: IpAddr, state: NeighborState) {
        let what = format!("{state:?} of {address}");
        self.until(&what, |follower| follower.neighbors.contains(&(address, state))).await;
        self.neighbors.retain(|(known, _)| *known != address);
    }

    /// Reads until `reached`, which must come true in time.
    async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !reached(self) {
                self.batch().await;
            }
        });
        if waited.await.is_err() {
            panic!("no {what} within {PATIENCE:?}; the picture is {:#?}", self.picture());
        }
    }

    /// Reads until the picture equals the one a fresh mirror gets.
    async fn agree(&mut self, after: &str) {
        let fresh = Self::start().await.picture();
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.inside_dump || self.picture() != fresh {
                self.batch().await;
            }
        });
        if waited.await.is_err() {
            pretty_difference(after, &self.picture(), &fresh);
        }
    }
}

fn pretty_difference(after: &str, followed: &Picture, fresh: &Picture) -> ! {
    let (followed, fresh) = (format!("{followed:#?}"), format!("{fresh:#?}"));
    let missing: Vec<_> = fresh.lines().filter(|line| !followed.contains(line)).collect();
    let stale: Vec<_> = followed.lines().filter(|line| !fresh.contains(line)).collect();
    panic!("after `{after}` the mirror lacks {missing:#?} and still has {stale:#?}");
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn two_ports() {
    ip("link add r0 type veth peer name h0");
    ip("link add r1 type veth peer name h1");
    for link in ["r0", "h0", "r1", "h1"] {
        // No address of its own making: it would come at a time of its choosing.
        ip(&format!("link set {link} addrgenmode none"));
        ip(&format!("link set {link} up"));
    }
    ip("addr add 192.0.2.1/24 dev r0");
    ip("addr add 198.51.100.1/24 dev r1");
    ip("addr add 2001:db8:1::1/64 dev r0 nodad");
    ip("addr add 2001:db8:2::1/64 dev r1 nodad");
}

#[test]
fn whatever_ip_does_the_mirror_follows() {
    in_namespace(|| {
        two_ports();
        block_on(async {
            let mut follower = Follower::start().await;
            let commands = [
                "route add 10.1.0.0/16 via 192.0.2.9",
                "route add 10.1.0.0/16 via 198.51.100.9 metric 5",
                "route replace 10.1.0.0/16 via 192.0.2.8",
                "route append 10.1.0.0/16 via 192.0.2.7",
                "route append 10.1.0.0/16 via 192.0.2.6",
                "route del 10.1.0.0/16 via 192.0.2.8",
                "route prepend 10.1.0.0/16 via 192.0.2.5",
                "route del 10.1.0.0/16 via 192.0.2.6",
                "route del 10.1.0.0/16 via 192.0.2.5",
                "route del 10.1.0.0/16",
                // The same subnet on two links: two routes of one key.
                "addr add 192.0.2.2/24 dev r1",
                "addr del 192.0.2.1/24 dev r0",
                "addr add 192.0.2.1/24 dev r0",
                "addr del 192.0.2.2/24 dev r1",
                "-6 route add 2001:db8:a::/48 via 2001:db8:1::9",
                "-6 route append 2001:db8:a::/48 via 2001:db8:2::9",
                "-6 route append 2001:db8:a::/48 via 2001:db8:2::8",
                "-6 route del 2001:db8:a::/48 via 2001:db8:1::9",
                "-6 route replace 2001:db8:a::/48 via 2001:db8:1::7",
                "-6 route replace 2001:db8:a::/48 nexthop via 2001:db8:1::7 nexthop via 2001:db8:2::7",
                "-6 route del 2001:db8:a::/48",
                "-6 addr add 2001:db8:1::2/64 dev r1 nodad",
                "-6 addr del 2001:db8:1::2/64 dev r1",
                "nexthop add id 1 via 192.0.2.9 dev r0",
                "nexthop add id 2 via 198.51.100.9 dev r1",
                "nexthop add id 3 group 1/2",
                "route add 10.2.0.0/16 nhid 3",
                "route add 10.3.0.0/16 nhid 1",
                "nexthop del id 1",
                "route add 10.4.0.0/16 via 192.0.2.9 src 192.0.2.1",
                "addr del 192.0.2.1/24 dev r0",
                "addr add 192.0.2.1/24 dev r0",
                "rule add from 10.0.0.0/8 lookup 100 pref 50",
                "-6 rule add fwmark 7 lookup 100 pref 51",
                "rule del pref 50",
                "route add 10.5.0.0/16 via 198.51.100.9 table 100",
                "route add 10.6.0.0/16 nexthop via 192.0.2.9 nexthop via 198.51.100.9",
                // Routes go without a word, or lose a next hop.
                "link set r1 down",
                "link set r1 up",
                "link set h0 down",
                "link set h0 up",
                "link set r0 mtu 1400",
                "link set r0 down",
                "link set r0 name r2",
                "link set r2 up",
                "link add dummy0 type dummy",
                "addr add 203.0.113.1/24 dev dummy0",
                "link del r2",
                "route flush table all proto boot",
            ];
            for command in commands {
                // Not every kernel can do everything; what it refuses changes nothing.
                let output = run("ip", command, "");
                if !output.status.success() {
                    eprintln!(
                        "refused here: ip {command}: {}",
                        String::from_utf8_lossy(&output.stderr).trim()
                    );
                }
                follower.agree(command).await;
            }
            let counters = follower.mirror.handle.counters();
            assert_eq!((counters.unreadable, counters.overruns), (0, 0), "{counters:?}");
        });
    });
}

#[test]
fn settings_follow_the_kernel_where_it_tells_and_on_demand_where_not() {
    in_namespace(|| {
        two_ports();
        block_on(async {
            let mut follower = Follower::start().await;
            let has = |text: &'static str| {
                move |follower: &Follower| follower.settings.values().any(|known| known.contains(text))
            };
            assert!(has("rp_filter: Off")(&follower));
            std::fs::write("/proc/sys/net/ipv4/conf/r0/rp_filter", "1").unwrap();
            follower.until("strict filter", has("rp_filter: Strict")).await;
            std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2").unwrap();
            follower
                .until("loose filter on all", |follower| {
                    follower.settings.values().all(|known| known.contains("rp_filter: Loose"))
                })
                .await;

            // Nothing is told of this one.
            std::fs::write("/proc/sys/net/ipv4/conf/all/accept_local", "1").unwrap();
            assert!(!has("accept_local: true")(&follower));
            follower.mirror.handle.reread_settings(None).await;
            follower.until("accept_local", has("accept_local: true")).await;
        });
    });
}

#[test]
fn a_burst_that_overruns_the_queue_ends_in_agreement() {
    in_namespace(|| {
        two_ports();
        block_on(async {
            let mut follower = Follower::start().await;
            // While nobody reads, the queues fill; 400,000 announcements are more than they hold.
            let mut lines = String::new();
            for round in 0..2 {
                for route in 0..200_000_u32 {
                    let verb = if round == 0 { "add" } else { "replace" };
                    let via = 9 + round;
                    let (high, middle, low) = (route >> 16, (route >> 8) & 255, route & 255);
                    lines += &format!("route {verb} 10.{high}.{middle}.{low}/32 via 192.0.2.{via}\n");
                }
            }
            let output = run("ip", "-batch -", &lines);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            follower.agree("400,000 changes").await;
            let counters = follower.mirror.handle.counters();
            assert!(counters.overruns > 0, "the burst was too small to test an overrun: {counters:?}");
            assert!(follower.writer.route_count() > 200_000);
            eprintln!("{counters:?}");
        });
    });
}

#[test]
fn a_neighbor_that_is_asked_for_is_found_confirmed_or_fails_in_time() {
    in_namespace(|| {
        let host = Host::new();
        ip("link add r0 type veth peer name h0");
        host.adopt("h0");
        ip("link set r0 up");
        host.ip("link set h0 up");
        ip("addr add 192.0.2.1/24 dev r0");
        ip("addr add 2001:db8:1::1/64 dev r0 nodad");
        host.ip("addr add 192.0.2.9/24 dev h0");
        host.ip("addr add 2001:db8:1::9/64 dev h0 nodad");
        for family in ["ipv4", "ipv6"] {
            std::fs::write(format!("/proc/sys/net/{family}/neigh/r0/delay_first_probe_time"), "1").unwrap();
        }
        block_on(async {
            let mut follower = Follower::start().await;
            let mut resolver = Resolver::new().unwrap();
            let link = follower.link("r0");

            let live: [IpAddr; 2] = ["192.0.2.9".parse().unwrap(), "2001:db8:1::9".parse().unwrap()];
            for address in live {
                resolver.resolve(link, address).unwrap();
                follower.until_neighbor(address, NeighborState::Reachable).await;
                // A stale one is confirmed by asking for it again; the kernel waits a little for other news first.
                ip(&format!("neigh change {address} dev r0 nud stale"));
                follower.until_neighbor(address, NeighborState::Stale).await;
                resolver.resolve(link, address).unwrap();
                follower.until_neighbor(address, NeighborState::Reachable).await;
            }

            let silent: [IpAddr; 2] = ["192.0.2.44".parse().unwrap(), "2001:db8:1::44".parse().unwrap()];
            let began = std::time::Instant::now();
            for address in silent {
                resolver.resolve(link, address).unwrap();
                // Asking again while the kernel asks changes nothing.
                resolver.resolve(link, address).unwrap();
            }
            for address in silent {
                follower.until_neighbor(address, NeighborState::Failed).await;
            }
            let took = began.elapsed();
            assert!((Duration::from_millis(2500)..Duration::from_secs(6)).contains(&took), "{took:?}");
            // One that failed is asked for anew.
            resolver.resolve(link, silent[0]).unwrap();
            follower.until_neighbor(silent[0], NeighborState::Failed).await;

            let nowhere = resolver.resolve(LinkIndex(9999), silent[0]);
            assert!(matches!(nowhere, Err(ResolveError::Link { .. })), "{nowhere:?}");
        });
    });
}

#[test]
fn blackholes_have_no_next_hop_in_either_family() {
    in_namespace(|| {
        ip("route add blackhole 10.0.0.0/8");
        ip("-6 route add blackhole 2001:db8::/32");
        block_on(async {
            let mut mirror = Mirror::start(Sysctl::default()).unwrap();
            let mut found = Vec::new();
            'picture: loop {
                for change in mirror.changes.recv().await.unwrap() {
                    match change {
                        Change::Route(route) if route.kind == RouteType::Blackhole => found.push(route),
                        Change::DumpEnd => break 'picture,
                        _ => {}
                    }
                }
            }
            assert_eq!(found.len(), 2);
            assert!(found.iter().all(|route| route.target == Target::NextHops(Vec::new())));
        });
    });
}

#[test]
#[ignore = "takes a minute; cargo test -p router --test mirror million -- --ignored --nocapture"]
fn a_million_routes_are_dumped_in_seconds_and_bounded_memory() {
    in_namespace(|| {
        two_ports();
        let mut lines = String::new();
        for route in 0..1_000_000_u32 {
            let (high, middle, low) = (route >> 16, (route >> 8) & 255, route & 255);
            lines += &format!("route add 10.{high}.{middle}.{low}/32 via 192.0.2.9\n");
        }
        let output = run("ip", "-batch -", &lines);
        drop(lines);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let before = resident_kib();
        block_on(async {
            let mut mirror = Mirror::start(Sysctl::default()).unwrap();
            let mut routes = 0;
            'picture: loop {
                for change in mirror.changes.recv().await.unwrap() {
                    match change {
                        Change::Route(_) => routes += 1,
                        Change::DumpEnd => break 'picture,
                        _ => {}
                    }
                }
            }
            let grown = resident_kib().saturating_sub(before);
            // The reader has DumpEnd before the mirror has counted it.
            tokio::task::yield_now().await;
            let counters = mirror.handle.counters();
            eprintln!("{routes} routes in {} ms, {grown} KiB more", counters.last_dump_us / 1000);
            assert!(routes > 1_000_000);
            assert!(Duration::from_micros(counters.last_dump_us) < Duration::from_secs(20), "{counters:?}");
            assert!(grown < 65_536, "grown by {grown} KiB");
        });
    });
}

/// Memory of this process that is in use, KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
