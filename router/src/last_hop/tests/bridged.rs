//! A box in a cable: a bridge of two ports with one address and no route, that sends what rules choose through a tunnel.

use fib::change::Change;

use super::*;
use crate::bridge::{Description, PullUp};
use crate::tabletop::{link, port_mac};

/// The host on this side of the cable, at port `in`.
const HOST: Mac = Mac([2, 0, 0, 0, 8, 1]);
/// The gateways on the far side, at port `out`; both go by 10.0.0.254 in turn.
const GATEWAY: Mac = Mac([2, 0, 0, 0, 8, 2]);
const OTHER_GATEWAY: Mac = Mac([2, 0, 0, 0, 8, 3]);

const IN: usize = 0;
const OUT: usize = 1;
const TUNNEL: usize = 2;
const BRIDGE: usize = 3;

/// What goes to port 80 is pulled out of the cable into the tunnel; what comes out of it goes back.
fn cable() -> Tabletop {
    let pull_up = vec![PullUp { mark: 2, mask: 2, port: Some(PortId(2)) }];
    let members = [PortId(0), PortId(1)];
    let description = Description { pull_up, ..Description::plain("br0", PortId(3), &members) };
    let mut table = Tabletop::bridged(&["in", "out", "t0"], vec![description], true);
    let device = fib::change::Link { no_arp: true, ..link(TUNNEL, "t0") };
    table.apply([Change::Link(device)]);
    table.shared().set_last_hop(Settings {
        original_mark: "0x2/0x2".parse().ok(),
        reply_mark: "0x1/0x1".parse().ok(),
        ..Settings::default()
    });
    let chooses = Rule(|packet: &mut Packet| {
        if packet.header.destination_port == 80 {
            packet.mark = 2;
        }
    });
    let place = Place::new(Family::Bridge, Point::Prerouting, "choose");
    let seat = Registration { place, priority: priority::FILTER, hook: Arc::new(chooses) };
    table.hooks().register([seat]).unwrap();
    mark(&table, Point::Prerouting, |packet| {
        if packet.input() == PortId(TUNNEL as u16) {
            packet.mark = 1;
        }
    });
    mark(&table, Point::Output, |packet| packet.mark = 2);
    table
}

/// The host speaks to a server far away, by a gateway.
fn request(gateway: Mac) -> Ends {
    Ends { from: HOST, to: gateway, ..Ends::to_port(0, "10.0.0.7:1000", "192.0.2.80:80") }
}

/// What comes out of the tunnel.
fn reply() -> Ends {
    Ends::to_port(TUNNEL, "192.0.2.80:80", "10.0.0.7:1000")
}

/// A program's packet to the other end of the tunnel.
fn tunneled() -> Vec<u8> {
    Ends::to_port(0, "10.0.0.5:1194", "198.51.100.5:1194").udp(b"sealed").split_off(14)
}

/// The gateways are heard, so that the bridge knows where they are.
fn introduce(table: &mut Tabletop) {
    for (port, mac, address) in
        [(OUT, GATEWAY, [10, 0, 0, 2]), (OUT, OTHER_GATEWAY, [10, 0, 0, 3]), (IN, HOST, [10, 0, 0, 7])]
    {
        table.pass(port, &announcement(mac, address, [10, 0, 0, 9])[..]);
    }
    for port in [IN, OUT] {
        assert!(!table.take(port).is_empty(), "they are heard on the other side");
    }
}

#[test]
fn what_is_chosen_goes_through_the_tunnel_and_back_without_any_route() {
    let mut table = cable();
    introduce(&mut table);
    table.pass(IN, &request(GATEWAY).udp(b"get")[..]);
    assert_eq!(table.take(TUNNEL).len(), 1, "into the tunnel");
    assert_eq!(table.take(OUT).len(), 0);

    table.send_from_host(&tunneled()[..]);
    assert_eq!(sent_to(&mut table, OUT), [GATEWAY], "where the host was sending to");
    assert_eq!(sent_to(&mut table, IN), [], "the bridge knows where that is");

    table.pass(TUNNEL, &reply().udp(b"page")[..]);
    let back = table.take(IN);
    assert_eq!(back.len(), 1);
    let mut expected = reply().with_ttl(63);
    (expected.from, expected.to) = (port_mac(IN), HOST);
    assert_eq!(back[0].bytes, expected.udp(b"page"), "from the bridge's address");
    let row = rows(&table).into_iter().find(|row| row.source == HOST).unwrap();
    assert_eq!((row.port, row.destination, row.is_newest), (PortId(BRIDGE as u16), GATEWAY, true));
}

#[test]
fn what_is_not_chosen_passes_as_it_came_and_is_not_remembered() {
    let mut table = cable();
    introduce(&mut table);
    let mut other = request(GATEWAY);
    other.destination.set_port(81);
    let frame = other.udp(b"get");
    table.pass(IN, &frame[..]);
    assert_eq!(table.take(OUT).into_iter().map(|parcel| parcel.bytes).collect::<Vec<_>>(), [frame]);
    assert!(rows(&table).is_empty());
}

#[test]
fn the_tunnel_follows_a_gateway_that_fails_over_before_the_host_does() {
    let mut table = cable();
    introduce(&mut table);
    let shared = [10, 0, 0, 254];
    table.pass(OUT, &announcement(GATEWAY, shared, shared)[..]);
    table.neighbor(BRIDGE, "10.0.0.254", Some(GATEWAY.0));
    table.pass(IN, &request(GATEWAY).udp(b"get")[..]);
    table.send_from_host(&tunneled()[..]);
    table.take(IN);
    assert_eq!(sent_to(&mut table, OUT), [GATEWAY]);
    table.pass(OUT, &announcement(OTHER_GATEWAY, shared, shared)[..]);
    table.neighbor(BRIDGE, "10.0.0.254", Some(OTHER_GATEWAY.0));
    table.send_from_host(&tunneled()[..]);
    assert_eq!(sent_to(&mut table, OUT), [OTHER_GATEWAY]);
}
