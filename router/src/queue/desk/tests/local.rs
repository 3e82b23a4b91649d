//! Queues of a router that is its own host: packets for it and from it, bridged frames, ARP.

use fib::adjacency::PortId;

use super::*;
use crate::bridge::Description;

const ARP_REQUEST: [u8; 42] = [
    255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 1, 2, 8, 6, //
    0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 1, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
];

/// A router of two ports that is its own host, behind a TUN device.
fn own_host() -> Ground {
    let mut table = Tabletop::owned(&["r0", "r1"], true);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.neighbor(0, "10.0.0.2", Some(CLIENT.0));
    table.neighbor(1, "10.0.1.2", Some(SERVER));
    Ground::on(table)
}

fn queued(mut ground: Ground, family: Family, point: Point) -> Ground {
    ground.register_for(family, point, "queue", priority::FILTER, Arc::new(Says(to(3))));
    ground.bind(ONE, json!({"bind": 3}));
    ground
}

/// What program one is given, if that is one packet, which it then accepts.
fn accept_one(ground: &mut Ground) -> (Value, Vec<u8>) {
    let given = ground.given();
    let [(head, bytes)] = &given[..] else { panic!("{given:?}") };
    assert_eq!(ground.say(ONE, &verdict(head["packet"].as_u64().unwrap(), "accept"), None), NONE);
    (head.clone(), bytes.clone())
}

#[test]
fn what_is_for_the_router_is_taken_in_when_its_program_lets_it() {
    let mut ground = queued(own_host(), Family::Ipv4, Point::Input);
    let ping = Ends::to_port(0, "10.0.0.2:1", "10.0.0.1:1").echo(1);
    ground.table.pass(0, &ping[..]);
    assert_eq!(ground.table.take(0).len(), 0);
    let (head, _) = accept_one(&mut ground);
    assert_eq!((&head["hook"], head.get("output")), (&json!("input"), None));
    assert_eq!(ground.table.take(0).len(), 1, "the answer");
    let query = Ends::to_port(0, "10.0.0.2:1", "10.0.0.1:53").udp(b"x");
    ground.table.pass(0, &query[..]);
    accept_one(&mut ground);
    assert_eq!(ground.table.take_at_host().len(), 1, "what programs behind the TUN device get");
}

#[test]
fn what_a_program_of_this_host_sends_is_routed_anew_if_it_is_changed() {
    for point in [Point::Output, Point::Postrouting] {
        let mut ground = queued(own_host(), Family::Ipv4, point);
        let packet = Ends::to_port(0, "10.0.1.1:1", "10.0.1.2:53").udp(b"x");
        ground.table.send_from_host(&packet[ethernet::HEADER_LEN..]);
        let (head, _) = accept_one(&mut ground);
        assert_eq!((&head["hook"], &head["output"]), (&json!(point.name()), &json!("r1")));
        assert_eq!(ground.table.take(1).len(), 1, "{point:?}");
        assert_eq!(ground.table.counters().forwarded.get(), 0, "nothing was forwarded");
    }
    let mut ground = queued(own_host(), Family::Ipv4, Point::Output);
    let packet = Ends::to_port(0, "10.0.1.1:1", "10.0.1.2:53").udp(b"x");
    ground.table.send_from_host(&packet[ethernet::HEADER_LEN..]);
    ground.given();
    let other = Ends::to_port(0, "10.0.0.1:1", "10.0.0.2:53").udp(b"x");
    ground.say(ONE, &verdict(1, "accept"), Some(&other[ethernet::HEADER_LEN..]));
    assert_eq!((ground.table.take(0).len(), ground.table.take(1).len()), (1, 0));
}

#[test]
fn arp_is_heard_and_said_when_its_program_lets_it() {
    let mut ground = queued(own_host(), Family::Arp, Point::Input);
    let (tell, mut heard) = tokio::sync::mpsc::channel(4);
    ground.table.shared().discovery.listen(tell);
    ground.table.pass(0, &ARP_REQUEST[..]);
    assert!(heard.try_recv().is_err());
    let (head, bytes) = accept_one(&mut ground);
    assert_eq!((&head["family"], head.get("ct")), (&json!("arp"), None));
    assert_eq!(bytes, ARP_REQUEST, "from the link header on");
    assert_eq!(heard.try_recv().unwrap().frame[..], ARP_REQUEST);

    let mut ground = queued(own_host(), Family::Arp, Point::Output);
    ground.table.handle().originate(PortId(1), ARP_REQUEST.to_vec()).unwrap();
    ground.table.settle();
    assert_eq!(ground.table.take(1).len(), 0);
    accept_one(&mut ground);
    assert_eq!(ground.table.take(1)[0].bytes, ARP_REQUEST);
}

#[test]
fn messages_to_ipv6_neighbors_are_said_when_their_program_lets_them() {
    for point in [Point::Output, Point::Postrouting] {
        let mut ground = queued(own_host(), Family::Ipv6, point);
        let mut ends = Ends::to_port(0, "[fe80::1]:1", "[ff02::1]:1");
        ends.to = fib::adjacency::Mac([0x33, 0x33, 0, 0, 0, 1]);
        let message = ends.echo(1);
        ground.table.handle().originate(PortId(1), message.clone()).unwrap();
        ground.table.settle();
        assert_eq!(ground.table.take(1).len(), 0, "{point:?}");
        accept_one(&mut ground);
        assert_eq!(ground.table.take(1)[0].bytes, message, "{point:?}");
    }
}

#[test]
fn a_bridged_frame_goes_on_wherever_it_was_queued_and_may_be_changed() {
    let members = [PortId(0), PortId(1)];
    let table =
        || Tabletop::bridged(&["a0", "a1"], vec![Description::plain("br0", PortId(2), &members)], false);
    let mut ends = Ends::to_port(0, "10.0.0.2:1", "10.0.0.3:2");
    (ends.from, ends.to) = (CLIENT, fib::adjacency::Mac(SERVER));
    let frame = ends.udp(b"question");
    for point in [Point::Prerouting, Point::Forward, Point::Postrouting] {
        let mut ground = queued(Ground::on(table()), Family::Bridge, point);
        ground.table.pass(0, &frame[..]);
        assert_eq!(ground.table.take(1).len(), 0, "{point:?}");
        let (head, bytes) = accept_one(&mut ground);
        assert_eq!((&head["family"], &head["input"]), (&json!("bridge"), &json!("a0")));
        assert_eq!(bytes, frame, "from the link header on");
        assert_eq!(ground.table.take(1)[0].bytes, frame, "{point:?}");
    }
    let mut ground = queued(Ground::on(table()), Family::Bridge, Point::Forward);
    ground.table.pass(0, &frame[..]);
    ground.given();
    let changed = [&frame[..frame.len() - 8], b"an answer"].concat();
    let line = json!({"packet": 1, "verdict": "accept", "fix_checksums": true});
    assert_eq!(ground.say(ONE, &line, Some(&changed)), NONE);
    assert_eq!(ground.table.take(1)[0].bytes, ends.udp(b"an answer"));
}
