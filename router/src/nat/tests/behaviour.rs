//! What RFC 4787, 5382 and 5508 ask of a translator, as Linux does it; docs/nat.md names these tests.

use std::time::Duration;

use super::*;
use crate::packet::checksum;

/// 10.0.1.1:8080 and its like are other names for port 80 of 10.0.0.3, from inside too.
fn with_hairpin() -> Tabletop {
    let table = table();
    let flows = table.shared().flows.clone();
    let chain = |point, hook| NatChain { family: Family::Ipv4, point, priority: 0, hook };
    let forward: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
            if packet.destination().to_string() != "10.0.1.1" {
                return Verdict::Accept;
            }
            let range = Range { ids: Some((80, 80)), ..Range::to("10.0.0.3".parse().unwrap()) };
            setup(packet, context, flows, &range, Manip::Destination)
        },
    });
    let masquerade: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
            masquerade(packet, context, flows, None, Flags::default())
        },
    });
    let chains = [chain(Point::Prerouting, forward), chain(Point::Postrouting, masquerade)];
    table.hooks().register(Nat::seats(&flows, &chains)).unwrap();
    table
}

#[test]
fn an_inside_host_reaches_another_by_the_routers_outside_name() {
    let mut table = with_hairpin();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.1:8080").udp(b"hello")[..]);
    assert_eq!(sent(&mut table, 0), [leaving(0, HOST.0, "10.0.0.1:1000", "10.0.0.3:80").udp(b"hello")]);
    table.pass(0, &Ends::to_port(0, "10.0.0.3:80", "10.0.0.1:1000").udp(b"world")[..]);
    assert_eq!(sent(&mut table, 0), [leaving(0, HOST.0, "10.0.1.1:8080", "10.0.0.2:1000").udp(b"world")]);
}

#[test]
fn only_whom_the_client_speaks_to_gets_in() {
    let mut table = masqueraded();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x")[..]);
    table.take(1);
    table.pass(1, &from_server("10.0.1.3:2000", "10.0.1.1:1000").udp(b"another host")[..]);
    table.pass(1, &from_server("10.0.1.2:2001", "10.0.1.1:1000").udp(b"another port")[..]);
    assert_eq!(table.take(0), []);
    table.pass(1, &from_server("10.0.1.2:2000", "10.0.1.1:1000").udp(b"the same")[..]);
    assert_eq!(table.take(0).len(), 1);
}

#[test]
fn packets_of_either_direction_keep_a_mapping_alive() {
    let mut table = masqueraded();
    let forth = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x");
    let back = from_server("10.0.1.2:2000", "10.0.1.1:1000").udp(b"x");
    table.pass(0, &forth[..]);
    for round in 0..10 {
        table.advance(Duration::from_secs(25));
        if round % 2 == 0 { table.pass(1, &back[..]) } else { table.pass(0, &forth[..]) }
    }
    assert_eq!((table.take(0).len(), table.take(1).len()), (5, 6));
    table.advance(Duration::from_secs(121));
    table.pass(1, &back[..]);
    assert_eq!(table.take(0), [], "after two minutes of silence it is gone");
}

#[test]
fn errors_do_not_end_a_mapping() {
    let mut table = masqueraded();
    let forth = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000");
    table.pass(0, &forth.udp(b"x")[..]);
    table.pass(0, &forth.with_ttl(1).udp(b"x")[..]);
    assert_eq!(table.take(0).len(), 1, "an error");
    table.pass(1, &from_server("10.0.1.2:2000", "10.0.1.1:1000").udp(b"x")[..]);
    assert_eq!(sent(&mut table, 0).len(), 1);
    assert_eq!(table.shared().flows.len(), 1);
}

#[test]
fn an_echo_and_its_reply_pass_with_the_client_s_id_restored() {
    let mut table = masqueraded();
    let echo = |source: &str| Ends::to_port(0, source, "10.0.1.2:0").echo(1);
    table.pass(0, &echo("10.0.0.2:7")[..]);
    table.pass(0, &echo("10.0.0.3:7")[..]);
    let out = sent(&mut table, 1);
    let id = |frame: &[u8]| u16::from_be_bytes([frame[14 + 24], frame[14 + 25]]);
    assert_eq!(out[0], leaving(1, SERVER, "10.0.1.1:7", "10.0.1.2:0").echo(1));
    assert_ne!(id(&out[1]), 7);
    for (frame, client) in out.iter().zip(["10.0.0.2", "10.0.0.3"]) {
        let mut reply = from_server(&format!("10.0.1.2:{}", id(frame)), "10.0.1.1:0").echo(1);
        reply[14 + 20] = 0;
        reply[14 + 22..14 + 24].fill(0);
        let whole = checksum::checksum(&reply[14 + 20..]);
        reply[14 + 22..14 + 24].copy_from_slice(&whole.to_be_bytes());
        table.pass(1, &reply[..]);
        let back = sent(&mut table, 0).remove(0);
        assert_eq!((&back[14 + 16..14 + 20], id(&back)), (&octets(client)[..], 7));
        assert_eq!(checksum::checksum(&back[14 + 20..]), 0);
    }
}

fn octets(address: &str) -> [u8; 4] {
    address.parse::<std::net::Ipv4Addr>().unwrap().octets()
}

#[test]
fn fragments_are_translated_whatever_their_order_and_leave_as_they_came() {
    for reversed in [false, true] {
        let mut table = masqueraded();
        let whole = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(&[7; 1000]);
        let mut pieces = [piece(&whole, 0, 504), piece(&whole, 504, 1008)];
        if reversed {
            pieces.reverse();
        }
        for piece in &pieces {
            table.pass(0, &piece[..]);
        }
        let expected = leaving(1, SERVER, "10.0.1.1:1000", "10.0.1.2:2000").udp(&[7; 1000]);
        let out = sent(&mut table, 1);
        assert_eq!(out.len(), 2);
        assert_eq!(out[0][34..], expected[34..34 + 504]);
        assert_eq!(out[1][34..], expected[34 + 504..]);
        assert!(out.iter().all(|piece| piece[14 + 12..14 + 16] == octets("10.0.1.1")));
    }
}

/// The fragment of a frame with the bytes of its payload from `start` to `end`.
fn piece(whole: &[u8], start: usize, end: usize) -> Vec<u8> {
    let payload = &whole[34..];
    let mut piece = [&whole[..34], &payload[start..end]].concat();
    let more = if end < payload.len() { 0x2000 } else { 0 };
    piece[14 + 2..14 + 4].copy_from_slice(&((20 + end - start) as u16).to_be_bytes());
    piece[14 + 6..14 + 8].copy_from_slice(&(more | (start / 8) as u16).to_be_bytes());
    crate::packet::ipv4::write_checksum(&mut piece[14..]);
    piece
}

#[test]
fn a_super_packet_keeps_its_unfinished_checksum_right() {
    for (client, server, own) in [
        ("10.0.0.2:1000", "10.0.1.2:80", "10.0.1.1:1000"),
        ("[fd00::2]:1000", "[fd01::2]:80", "[fd01::1]:1000"),
    ] {
        let mut table = masqueraded();
        let ends = Ends::to_port(0, client, server);
        table.pass(0, ends.tcp_super_packet(1, 1, &[3; 8000], 1400));
        let out = table.take(1).remove(0);
        assert_eq!(out, leaving(1, SERVER, own, server).tcp_super_packet(1, 1, &[3; 8000], 1400));
    }
}

#[test]
fn a_datagram_without_checksum_passes_without() {
    let mut table = masqueraded();
    let mut frame = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x");
    frame[40..42].fill(0);
    table.pass(0, &frame[..]);
    let mut expected = leaving(1, SERVER, "10.0.1.1:1000", "10.0.1.2:2000").udp(b"x");
    expected[40..42].fill(0);
    assert_eq!(sent(&mut table, 1), [expected]);
}

#[test]
fn a_prefix_is_mapped_to_a_prefix_both_ways() {
    let mut table = table();
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        let flags = Flags { netmap: true, ..Flags::default() };
        let addresses = Some(("192.0.2.0".parse().unwrap(), "192.0.2.255".parse().unwrap()));
        setup(packet, context, flows, &Range { addresses, flags, ..Range::default() }, Manip::Source)
    });
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "192.0.2.2:1000", "10.0.1.2:2000").udp(b"x")]);
    table.pass(1, &from_server("10.0.1.2:2000", "192.0.2.2:1000").udp(b"y")[..]);
    assert_eq!(sent(&mut table, 0), [leaving(0, HOST.0, "10.0.1.2:2000", "10.0.0.2:1000").udp(b"y")]);
}

#[test]
fn when_no_port_is_left_new_flows_are_dropped_and_those_there_are_go_on() {
    let mut table = table();
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        masquerade(packet, context, flows, Some((5000, 5003)), Flags::default())
    });
    let client = |port: u16| Ends::to_port(0, &format!("10.0.0.2:{port}"), "10.0.1.2:2000");
    for port in 1000..1006 {
        table.pass(0, &client(port).udp(b"x")[..]);
    }
    assert_eq!(table.take(1).len(), 4);
    assert_eq!(table.counters().drops(DropReason::NatExhausted), 2);
    table.pass(0, &client(1000).udp(b"x")[..]);
    assert_eq!(table.take(1).len(), 1);
}

#[test]
fn a_chain_that_decides_is_the_last_and_chains_run_by_priority() {
    let mut table = table();
    let flows = table.shared().flows.clone();
    let to = |address: &'static str| -> Arc<dyn Hook> {
        Arc::new(Rule {
            flows: flows.clone(),
            statement: move |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
                setup(packet, context, flows, &Range::to(address.parse().unwrap()), Manip::Source)
            },
        })
    };
    let chain = |priority, hook| NatChain { family: Family::Ipv4, point: Point::Postrouting, priority, hook };
    let chains = [chain(5, to("192.0.2.5")), chain(-5, to("192.0.2.1")), chain(0, to("192.0.2.2"))];
    table.hooks().register(Nat::seats(&flows, &chains)).unwrap();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "192.0.2.1:1000", "10.0.1.2:2000").udp(b"x")]);
    // New chains are for new flows; those that are decided stay as they are.
    table.hooks().unregister(Nat::places()).unwrap();
    table.hooks().register(Nat::seats(&flows, &[])).unwrap();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"y")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "192.0.2.1:1000", "10.0.1.2:2000").udp(b"y")]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1001", "10.0.1.2:2000").udp(b"z")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "10.0.0.2:1001", "10.0.1.2:2000").udp(b"z")]);
}
