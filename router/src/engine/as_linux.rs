//! Linux's ways that a comparison with the kernel has brought to light, each on a table.

use fib::adjacency::LinkIndex;
use fib::change::{Change, LinkSettings, NamespaceSettings, Route, Settings};

use crate::drops::DropReason;
use crate::packet::checksum::checksum;
use crate::packet::ipv4::write_checksum;
use crate::tabletop::frames::{Ends, HOST};
use crate::tabletop::{Tabletop, gateway_route};

const ETHERNET: usize = 14;
const LOOSE: u8 = 131;
const STRICT: u8 = 137;

/// 10.0.0.0/24 and fd00::/64 on port 0, 10.0.1.0/24 and fd01::/64 on port 1; 10.9/16 and fd09::/16 behind .9 and ::9
/// on port 1.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (0, "fd00::1/64"), (1, "fd01::1/64")] {
        table.address(port, net);
    }
    table.address(0, "fe80::1/64");
    table.route("10.9.0.0/16", "10.0.1.9", 1);
    table.route("fd09::/16", "fd01::9", 1);
    for (port, address) in [(0, "10.0.0.2"), (0, "fd00::2"), (0, "fe80::2")] {
        table.neighbor(port, address, Some(HOST.0));
    }
    for address in ["10.0.1.2", "10.0.1.9", "fd01::2", "fd01::9"] {
        table.neighbor(1, address, Some([2, 0, 0, 0, 3, 3]));
    }
    table
}

/// UDP from 10.0.0.2 with these options, whose length is a multiple of four.
fn with_options(destination: &str, options: &[u8]) -> Vec<u8> {
    let mut frame = Ends::to_port(0, "10.0.0.2:1000", destination).udp(b"x");
    frame.splice(ETHERNET + 20..ETHERNET + 20, options.iter().copied());
    frame[ETHERNET] += (options.len() / 4) as u8;
    let length = (frame.len() - ETHERNET) as u16;
    frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length.to_be_bytes());
    write_checksum(&mut frame[ETHERNET..]);
    frame
}

fn source_route(kind: u8, next: [u8; 4]) -> Vec<u8> {
    [&[kind, 7, 4][..], &next, &[0]].concat()
}

/// The only packet that port `port` has sent, from its network header on.
fn only(table: &mut Tabletop, port: usize) -> Vec<u8> {
    let mut sent = table.take(port);
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0).bytes.split_off(ETHERNET)
}

#[test]
fn what_is_wrong_with_options_is_told_before_there_is_no_route() {
    let mut table = table();
    table.pass(0, &with_options("192.0.2.1:7", &[0x5e, 0, 0, 0])[..]);
    assert_eq!(only(&mut table, 0)[20..22], [12, 0]);
    table.pass(0, &with_options("10.0.0.1:7", &[0x5e, 0, 0, 0])[..]);
    assert_eq!(table.take(0), [], "to the router itself it is the kernel's to tell");
    assert_eq!(table.counters().local.get(), 1);
}

fn accept_source_routes(table: &mut Tabletop) {
    let settings = LinkSettings { accept_source_route: true, ..LinkSettings::default() };
    table.apply([Change::Settings(Settings::Link(LinkIndex(1), settings))]);
}

#[test]
fn a_source_route_leads_on_from_the_router_and_is_not_kept_by_the_flow() {
    let mut table = table();
    let frame = with_options("10.0.0.1:7", &source_route(LOOSE, [10, 9, 0, 5]));
    table.pass(0, &frame[..]);
    assert_eq!(table.take(1), [], "not unless it is accepted");
    accept_source_routes(&mut table);
    table.pass(0, &frame[..]);
    let packet = only(&mut table, 1);
    assert_eq!(packet[16..28], [10, 9, 0, 5, LOOSE, 7, 8, 10, 0, 1, 1, 0]);
    assert_eq!(checksum(&packet[..28]), 0);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:7").udp(b"x")[..]);
    assert_eq!(table.take(1), [], "without the option it is for the router");
    table.pass(0, &with_options("10.0.0.1:7", &source_route(LOOSE, [10, 0, 1, 1]))[..]);
    assert_eq!(table.take(1), [], "and so it is if the way ends here");
}

#[test]
fn a_strict_source_route_goes_to_neighbors_only() {
    let mut table = table();
    accept_source_routes(&mut table);
    table.pass(0, &with_options("10.0.0.1:7", &source_route(STRICT, [10, 0, 1, 2]))[..]);
    assert_eq!(only(&mut table, 1)[16..20], [10, 0, 1, 2]);
    table.pass(0, &with_options("10.0.0.1:7", &source_route(STRICT, [10, 9, 0, 5]))[..]);
    let answer = only(&mut table, 0);
    let icmp = usize::from(answer[0] & 15) * 4;
    assert_eq!(answer[icmp..icmp + 2], [3, 5]);
    assert_eq!(table.counters().drops(DropReason::SourceRoute), 1);
}

#[test]
fn an_ipv6_redirect_quotes_the_packet_as_it_came() {
    let mut table = table();
    table.neighbor(0, "fd00::3", Some([2, 0, 0, 0, 1, 3]));
    table.pass(0, &Ends::to_port(0, "[fd00::2]:1", "[fd00::3]:2").udp(b"x")[..]);
    let sent = table.take(0);
    assert_eq!(sent.len(), 2, "{sent:?}");
    let redirect = &sent[0].bytes[ETHERNET..];
    assert_eq!(redirect[40], 137);
    let quote = redirect.len() - (40 + 8) / 8 * 8;
    assert_eq!(redirect[quote] >> 4, 6, "where the quote begins");
    assert_eq!(redirect[quote + 7], 64, "its hop limit");
    assert_eq!(sent[1].bytes[ETHERNET + 7], 63);
}

#[test]
fn an_ipv6_host_behind_a_gateway_is_not_redirected() {
    let mut table = table();
    table.route("fd05::/16", "fd00::2", 0);
    table.neighbor(0, "fd00::3", Some([2, 0, 0, 0, 1, 3]));
    table.questions();
    table.pass(0, &Ends::to_port(0, "[fd05::7]:1", "[fd00::3]:2").udp(b"x")[..]);
    assert_eq!(only(&mut table, 0)[6..8], [17, 63]);
    assert_eq!(table.questions(), []);
}

#[test]
fn the_mtu_of_an_ipv6_route_is_told_of_a_packet_that_has_been_forwarded() {
    let mut table = table();
    table.apply([Change::Route(Route { mtu: 1300, ..gateway_route("fd09::/16", "fd01::9", 1) })]);
    table.pass(0, &Ends::to_port(0, "[fd00::2]:1", "[fd09::1]:2").udp(&[0; 1300])[..]);
    let answer = only(&mut table, 0);
    assert_eq!(answer[40..42], [2, 0]);
    assert_eq!(answer[44..48], 1300_u32.to_be_bytes());
    assert_eq!(answer[48 + 7], 63, "the hop limit in the quote");
    assert_eq!(table.counters().drops(DropReason::TooBig), 1);
    table.pass(0, &Ends::to_port(0, "[fd00::2]:1", "[fd09::1]:2").udp(&[0; 1252])[..]);
    assert_eq!(only(&mut table, 1).len(), 1300);
}

#[test]
fn errors_bear_a_flow_label_where_the_namespace_has_them() {
    for (auto_flow_labels, expected) in [(true, false), (false, true)] {
        let mut table = table();
        let settings = NamespaceSettings { auto_flow_labels, ..NamespaceSettings::default() };
        table.apply([Change::Settings(Settings::Namespace(settings))]);
        table.pass(0, &Ends::to_port(0, "[fd00::2]:1", "[fd09::1]:2").with_ttl(1).udp(b"x")[..]);
        let answer = only(&mut table, 0);
        assert_eq!(answer[..4] == [0x60, 0, 0, 0], expected, "{auto_flow_labels}");
    }
}

#[test]
fn tcp_fragments_with_a_cut_header_are_cut_anew() {
    for (cut, expected) in [(8, [20 + 104, 20 + 8]), (24, [20 + 24, 20 + 88])] {
        let mut table = table();
        let mut segment = Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2").tcp(
            smoltcp::wire::TcpControl::Syn,
            1,
            None,
            &[7; 92],
        );
        let payload = segment.split_off(ETHERNET + 20);
        for (piece, word) in [(&payload[..cut], 0x2000), (&payload[cut..], cut as u16 / 8)] {
            let mut frame = [&segment[..], piece].concat();
            frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
            frame[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&word.to_be_bytes());
            write_checksum(&mut frame[ETHERNET..]);
            table.pass(0, &frame[..]);
        }
        let lengths: Vec<_> = table.take(1).iter().map(|frame| frame.bytes.len() - ETHERNET).collect();
        assert_eq!(lengths, expected, "cut at {cut}");
    }
}
