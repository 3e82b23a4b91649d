//! Rules for frames: tables of bridges and of ARP, on frames by hand.

use std::sync::Arc;

use parking_lot::Mutex;

use super::build::Ground;
use super::texts::{counts, read};
use crate::chain::{Family, Hook, Outcome, Place, Point, Registration, Verdict};
use crate::engine::{Context, LinkTarget, Packet, Refusal};
use crate::frame::{Frame, VlanTag};
use crate::packet::parse::{Ip, parse_bridged};
use crate::packet::u16_at;
use crate::rules::model::Ruleset;
use crate::tabletop::frames::Ends;

const TAG: [u8; 4] = [0x81, 0, 0x60, 5];
const TAG_OF_5: VlanTag = VlanTag { protocol: 0x8100, control: 0x6005 };

/// A request of 10.0.0.2 for 10.0.0.1.
const ARP: [u8; 28] = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];

/// Shows a frame to the hooks of its family, when a packet of IP comes along.
struct Stage {
    point: Point,
    packet: Mutex<Option<Packet>>,
    came_out: Mutex<Option<(Packet, Outcome)>>,
}

impl Hook for Stage {
    fn handle(&self, _packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if let Some(mut packet) = self.packet.lock().take() {
            let chains = context.chains;
            let outcome = chains.at(packet.family(), self.point).run(0, &mut packet, context);
            *self.came_out.lock() = Some((packet, outcome));
        }
        Verdict::Accept
    }
}

/// What rules make of a packet at a point.
fn shown(ruleset: &Ruleset, point: Point, packet: Packet) -> (Packet, Outcome) {
    let mut ground = Ground::with(ruleset);
    let stage = Arc::new(Stage { point, packet: Mutex::new(Some(packet)), came_out: Mutex::new(None) });
    let place = Place::new(Family::Ipv4, Point::Prerouting, "stage");
    ground.table.hooks().register([Registration { place, priority: 0, hook: stage.clone() }]).unwrap();
    ground.pass(&Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:9").udp(b"go")[..]);
    stage.came_out.lock().take().expect("a packet came along")
}

fn frame_of(bytes: &[u8]) -> Frame {
    let mut frame = Frame::empty();
    frame.copy_from(bytes);
    frame
}

/// A frame on its way through a bridge; what follows its link header is `network` bytes into it.
fn bridged(frame: Frame, network: usize) -> Packet {
    let ether_type = u16_at(frame.bytes(), network - 2);
    let header = parse_bridged(ether_type, &frame.bytes()[network..]);
    Packet::of_link(frame, network, LinkTarget::Other, Family::Bridge, header)
}

fn datagram() -> Vec<u8> {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:53").udp(b"question")
}

/// The frame with a tag among its bytes, as the outermost one.
fn tagged(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

fn arp_frame() -> Vec<u8> {
    [&[255; 6][..], &[2, 0, 0, 0, 0, 9], &[8, 6], &ARP].concat()
}

/// A ruleset of one chain of a bridge with these rules, each of which has a counter behind it.
fn bridge(hook: &str, rules: &[&str]) -> Ruleset {
    let rules: String = rules.iter().map(|rule| format!("{rule} counter\n")).collect();
    read(&format!("table bridge t {{ chain c {{ type filter hook {hook} priority 0; {rules}\n}}\n}}"))
}

/// Which of these rules a bridged frame meets.
fn met<'r>(rules: &[&'r str], packet: Packet) -> Vec<&'r str> {
    let ruleset = bridge("forward", rules);
    shown(&ruleset, Point::Forward, packet);
    rules.iter().zip(counts(&ruleset)).filter(|(_, count)| *count == 1).map(|(rule, _)| *rule).collect()
}

#[test]
fn rules_of_a_bridge_read_link_headers_and_what_frames_carry() {
    let yes = [
        "ether saddr 02:00:00:00:00:09",
        "ether type ip",
        "meta protocol ip",
        "ip saddr 10.0.0.2",
        "ip saddr . udp dport { 10.0.0.2 . 53 }",
        "ether saddr . ip daddr { 02:00:00:00:00:09 . 10.0.1.2 }",
        "udp dport 53",
        "meta l4proto udp",
        "meta length 36",
        "meta pkttype other",
    ];
    let no =
        ["ip6 saddr fd00::1", "tcp dport 53", "arp operation request", "vlan id 5", "icmp type echo-request"];
    let mut frame = datagram();
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    let rules = [&yes[..], &no].concat();
    assert_eq!(met(&rules, bridged(frame_of(&frame), 14)), yes);
}

#[test]
fn a_tag_is_read_where_it_was_whether_the_port_has_taken_it_off_or_not() {
    let yes = [
        "vlan id 5",
        "vlan pcp 3",
        "vlan dei 0",
        "ether type 8021q",
        "vlan type ip",
        "vlan id 5 udp dport 53",
        "vlan id 5 ip daddr 10.0.1.2",
        "meta protocol ip",
        "ip saddr 10.0.0.2",
        "udp dport 53",
        "@ll,112,32 0x60050800",
        "meta length 36",
    ];
    // As in the kernel: of what the EtherType implies a tagged frame has nothing.
    let no = ["ether type ip", "vlan id 6", "vlan type arp", "icmp type echo-request", "meta protocol 8021q"];
    let rules = [&yes[..], &no].concat();
    assert_eq!(met(&rules, bridged(frame_of(&tagged(&datagram(), TAG)), 18)), yes, "in the frame");
    let mut stripped = frame_of(&datagram());
    stripped.vlan = Some(TAG_OF_5);
    assert_eq!(met(&rules, bridged(stripped, 14)), yes, "beside it");
}

#[test]
fn of_two_tags_the_inner_one_is_what_the_outer_one_carries() {
    let yes = [
        "vlan id 7",
        "ether type 8021ad vlan id 7 vlan type 8021q vlan id 5",
        "ether type 8021ad vlan id 7 vlan type 8021q vlan id 5 vlan type ip",
        "meta protocol 8021q",
    ];
    let frame = tagged(&tagged(&datagram(), TAG), [0x88, 0xa8, 0, 7]);
    // `vlan` alone is 802.1Q to nft.
    let rules = [&yes[..], &["vlan id 5", "ip saddr 10.0.0.2", "udp dport 53", "meta l4proto udp"]].concat();
    assert_eq!(met(&rules, bridged(frame_of(&frame), 18)), &yes[1..]);
}

#[test]
fn in_a_bridge_arp_is_a_protocol_like_others() {
    let yes = [
        "arp operation request",
        "arp saddr ip 10.0.0.2 arp daddr ip 10.0.0.1",
        "arp saddr ether 02:00:00:00:00:09",
        "ether type arp",
        "ether daddr ff:ff:ff:ff:ff:ff",
    ];
    let no = ["ip saddr 10.0.0.2", "udp dport 53", "meta l4proto 0", "th sport 0", "arp operation reply"];
    let rules = [&yes[..], &no].concat();
    assert_eq!(met(&rules, bridged(frame_of(&arp_frame()), 14)), yes);
}

#[test]
fn a_frame_of_ieee_802_3_has_a_length_where_others_have_a_type() {
    let frame = [&[1, 0x80, 0xc2, 0, 0, 0][..], &[2, 0, 0, 0, 0, 9], &[0, 38], &[0x42; 38]].concat();
    let yes = ["ether type 38", "meta protocol 4", "meta length 38"];
    assert_eq!(met(&[&yes[..], &["meta protocol ip"]].concat(), bridged(frame_of(&frame), 14)), yes);
}

#[test]
fn an_ip_packet_that_makes_no_sense_has_no_transport_protocol() {
    let mut frame = datagram();
    frame[14] = 0x44;
    let yes = ["meta protocol ip", "ip saddr 10.0.0.2"];
    let rules = [&yes[..], &["meta l4proto udp", "udp dport 53"]].concat();
    assert_eq!(met(&rules, bridged(frame_of(&frame), 14)), yes);
}

#[test]
fn rules_change_link_headers_tags_and_what_frames_carry() {
    let changes = "ether saddr set 02:00:00:00:00:77\nvlan id set 9\nip saddr set 10.9.9.9\nudp dport set 54\n\
                   meta mark set 7\nmeta pkttype set host\nmeta broute set 1";
    let text =
        format!("table bridge t {{ chain c {{ type filter hook prerouting priority 0; {changes}\n}}\n}}");
    let ruleset = read(&text);
    let mut stripped = frame_of(&datagram());
    stripped.vlan = Some(TAG_OF_5);
    let mut expected = datagram();
    expected[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    expected[26..30].copy_from_slice(&[10, 9, 9, 9]);
    expected[36..38].copy_from_slice(&[0, 54]);
    for (packet, tag) in [
        (bridged(stripped, 14), Some(VlanTag { control: 0x6009, ..TAG_OF_5 })),
        (bridged(frame_of(&tagged(&datagram(), TAG)), 18), None),
    ] {
        let (packet, outcome) = shown(&ruleset, Point::Prerouting, packet);
        assert_eq!(outcome, Outcome::Passed);
        let mut bytes = packet.frame().bytes().to_vec();
        assert_eq!(packet.frame().vlan, tag);
        if tag.is_none() {
            assert_eq!(bytes.drain(12..16).collect::<Vec<_>>(), [0x81, 0, 0x60, 9]);
        }
        // Checksums have followed.
        expected[24..26].copy_from_slice(&bytes[24..26]);
        expected[40..42].copy_from_slice(&bytes[40..42]);
        assert_eq!(bytes, expected);
        assert_eq!(crate::packet::checksum::checksum(&bytes[14..34]), 0);
        assert_eq!((packet.mark, packet.packet_type, packet.pull_up), (7, Some(0), true));
    }
}

#[test]
fn a_frame_that_is_refused_is_to_be_answered_if_it_is_ip_for_one_host() {
    let reject = |rule: &str, packet| {
        let (packet, outcome) = shown(&bridge_end("prerouting", rule), Point::Prerouting, packet);
        assert!(matches!(outcome, Outcome::Dropped(_)), "{rule}");
        packet.reject
    };
    let unicast = || bridged(frame_of(&datagram()), 14);
    assert_eq!(reject("reject", unicast()), Some(Refusal::Unreachable(3)));
    assert_eq!(
        reject("ip saddr 10.0.0.2 reject with icmp host-prohibited", unicast()),
        Some(Refusal::Unreachable(10))
    );
    assert_eq!(reject("reject with icmpx admin-prohibited", unicast()), Some(Refusal::Unreachable(13)));
    assert_eq!(reject("reject", bridged(frame_of(&arp_frame()), 14)), None);
    let mut to_many = datagram();
    to_many[..6].copy_from_slice(&[0xff; 6]);
    assert_eq!(reject("reject", bridged(frame_of(&to_many), 14)), None);
}

fn bridge_end(hook: &str, rule: &str) -> Ruleset {
    read(&format!("table bridge t {{ chain c {{ type filter hook {hook} priority 0; {rule}\n}}\n}}"))
}

#[test]
fn arp_chains_read_messages_and_count_what_the_kernel_counts() {
    let rules = "arp operation request counter\narp saddr ip 10.0.0.2 counter\nether saddr 02:00:00:00:00:09 counter\n\
                 arp operation reply counter";
    let text =
        |hook| format!("table arp t {{ chain c {{ type filter hook {hook} priority 0; {rules}\n}}\n}}");
    let frame = || Packet::of_link(frame_of(&arp_frame()), 14, LinkTarget::Many, Family::Arp, Ip::NONE);
    let ruleset = read(&text("input"));
    shown(&ruleset, Point::Input, frame());
    assert_eq!(counts(&ruleset), [1, 1, 1, 0]);
    assert_eq!(bytes(&ruleset), [28, 28, 28, 0]);
    // One that leaves has its link header counted, and rules cannot read it.
    let ruleset = read(&text("output"));
    shown(&ruleset, Point::Output, frame().of_this_host());
    assert_eq!(counts(&ruleset), [1, 1, 0, 0]);
    assert_eq!(bytes(&ruleset), [42, 42, 0, 0]);
}

fn bytes(ruleset: &Ruleset) -> Vec<u64> {
    use crate::rules::model::Statement;
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let counters = rules.flat_map(|rule| &rule.statements).filter_map(|statement| match statement {
        Statement::Counter(counter) => Some(counter.read().1),
        _ => None,
    });
    counters.collect()
}

#[test]
fn what_frames_log_is_in_the_words_of_the_kernel() {
    let ruleset = bridge_end("prerouting", "log prefix \"x \" flags ether\nmeta mark set 1");
    let mut ground = Ground::with(&ruleset);
    for (packet, expected) in [
        (
            bridged(frame_of(&tagged(&arp_frame(), TAG)), 18),
            "IN=r0 OUT= MACSRC=02:00:00:00:00:09 MACDST=ff:ff:ff:ff:ff:ff VPROTO=8100 VID=5 MACPROTO=0806 \
             ARP HTYPE=1 PTYPE=0x0800 OPCODE=1 MACSRC=02:00:00:00:00:09 IPSRC=10.0.0.2 \
             MACDST=00:00:00:00:00:00 IPDST=10.0.0.1",
        ),
        (
            bridged(
                frame_of(&[&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0x88, 0xcc], &[0; 50][..]].concat()),
                14,
            ),
            "IN=r0 OUT= MACSRC=02:00:00:00:00:09 MACDST=01:80:c2:00:00:00 MACPROTO=88cc ",
        ),
    ] {
        let stage = Arc::new(Stage {
            point: Point::Prerouting,
            packet: Mutex::new(Some(packet)),
            came_out: Mutex::new(None),
        });
        let place = Place::new(Family::Ipv4, Point::Prerouting, "stage");
        ground
            .table
            .hooks()
            .register([Registration { place: place.clone(), priority: 0, hook: stage }])
            .unwrap();
        ground.pass(&Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:9").udp(b"go")[..]);
        ground.table.hooks().unregister([place]).unwrap();
        let entry = ground.rules.world().journal.take(1).remove(0);
        assert_eq!(entry.record.line(&ground.table.shared().ports, 32), expected);
    }
}
