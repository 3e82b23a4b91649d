//! Frames that no router understands, or that belong to somebody else's network: tags, switches' own, broken ones.

use testbed::frames::{
    Checksum, Cut, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Link, Mac, Offload, Payload, Tcp, Udp, V4,
    arp,
};
use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::wire::{Frame, Wire};

/// Who sends them: a host that nobody else in the lab is.
const SOURCE: Mac = [2, 0, 0, 0, 77, 1];
/// To whom: another one.
const DESTINATION: Mac = [2, 0, 0, 0, 77, 2];

/// What may be sent into a cable besides what a kernel does. Linux tells a bridge's own frames apart by the last byte
/// of their destination; those that 802.1D lets no bridge pass are left out unless `all` are wanted.
pub fn frames(all: bool) -> Vec<Frame> {
    let link = |destination, tags: &[(u16, u16)]| Link {
        destination,
        source: SOURCE,
        tags: tags.to_vec(),
        trailer: Vec::new(),
    };
    let question = arp(1, (SOURCE, [10, 0, 10, 2].into()), ([0; 6], [10, 0, 10, 77].into()));
    let broadcast = [0xff; 6];
    let bare = |tags| link(DESTINATION, tags);
    let mut frames = vec![
        // Cisco's discovery.
        link([1, 0, 0x0c, 0xcc, 0xcc, 0xcc], &[]).around(30, &[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180]),
        // Priority tag, VLAN, VLAN in VLAN, either kind of tag; ARP within.
        link(broadcast, &[(0x8100, 0xe000)]).around(ETHERTYPE_ARP, &question),
        link(broadcast, &[(0x8100, 0x6005)]).around(ETHERTYPE_ARP, &question),
        bare(&[(0x88a8, 9), (0x8100, 0xa00a)]).around(ETHERTYPE_ARP, &question),
        bare(&[(0x8100, 9), (0x8100, 10)]).around(0x88b5, &[1; 100]),
        // A protocol that nobody has; PPPoE; MPLS; a frame of the shortest and some of the greatest length.
        bare(&[]).around(0x88b5, &[7; 46]),
        bare(&[]).around(0x8864, &[0x11, 0, 0, 1, 0, 4, 0, 0x21, 1, 2]),
        bare(&[]).around(0x8847, &[0, 1, 0x01, 0xff, 0x45, 0]),
        bare(&[]).around(0x88b5, &[]),
        bare(&[]).around(0x88b5, &[9; 1500]),
        bare(&[(0x8100, 5)]).around(0x88b5, &[9; 1500]),
        // What says to be IP and is not, or only half.
        bare(&[]).around(ETHERTYPE_IPV4, &[0x45, 0, 0xff, 0xff, 1, 2, 3]),
        bare(&[]).around(ETHERTYPE_IPV4, &[0x4f; 60]),
        bare(&[]).around(ETHERTYPE_IPV6, &[0x60, 0, 0]),
        bare(&[]).around(ETHERTYPE_IPV6, &[0xff; 60]),
        link([0x33, 0x33, 0, 0, 0, 0xfb], &[]).around(ETHERTYPE_IPV6, &[0x60; 48]),
    ];
    let trailer = Link { trailer: vec![0xee; 13], ..link(broadcast, &[]) };
    frames.push(trailer.around(ETHERTYPE_ARP, &question));
    // A BPDU; and LLDP, of which bridges are told apart from cables.
    if all {
        let bpdu = [0x42, 0x42, 3, 0, 0, 0, 0, 1, 2, 3];
        frames.push(link([1, 0x80, 0xc2, 0, 0, 0], &[]).around(bpdu.len() as u16, &bpdu));
        frames
            .push(link([1, 0x80, 0xc2, 0, 0, 0x0e], &[]).around(0x88cc, &[2, 7, 4, 1, 2, 3, 4, 5, 6, 0, 0]));
    }
    let mut frames: Vec<Frame> = frames.into_iter().map(Frame::from).collect();
    for tags in [&[][..], &[(0x8100, 0x2007)], &[(0x88a8, 3)]] {
        frames.extend([large(&bare(tags), false), large(&bare(tags), true)]);
    }
    frames
}

/// A super-packet with an unfinished checksum, of a network that is none of the lab's.
fn large(link: &Link, udp: bool) -> Frame {
    let data = vec![0x5a; 20_000];
    let checksum = Checksum::Partial;
    let payload = if udp {
        Payload::Udp(Udp { source: 7, destination: 9, length: None, checksum, data })
    } else {
        Payload::Tcp(Tcp {
            source: 7,
            destination: 9,
            sequence: 1,
            acknowledgment: 2,
            header_words: None,
            flags: 0x18,
            window: 500,
            checksum,
            options: Vec::new(),
            data,
        })
    };
    let packet = V4 {
        version: 4,
        header_words: None,
        tos: 0,
        total_length: None,
        id: 1,
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        offset: 0,
        ttl: 64,
        protocol: None,
        checksum: Checksum::Right,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        options: Vec::new(),
        payload,
    };
    let transport = 14 + 4 * link.tags.len() as u16 + 20;
    let (place, cut) = if udp { (6, Cut::Udp) } else { (16, Cut::Tcp4) };
    let offload = Offload { checksum: Some((transport, place)), segments: Some((cut, 1000)) };
    Frame { bytes: link.around(ETHERTYPE_IPV4, &packet.bytes()), offload }
}

/// Sends each of `frames` at one place of the lab and expects it at the other, as it was sent, before the next is sent;
/// and nothing else that bears its source.
pub fn pass(lab: &Lab, from: (&str, &str), to: (&str, &str), frames: &[Frame]) {
    let sender = Wire::open(lab.at(from.0), from.1).unwrap();
    let mut receiver = Wire::open(lab.at(to.0), to.1).unwrap();
    for (place, frame) in frames.iter().enumerate() {
        sender.send(frame).unwrap();
        let arrived = wait_until(&format!("odd frame {place}"), SECONDS_5, || {
            let frame = receiver.receive().unwrap()?;
            (frame.bytes.get(6..12) == Some(&SOURCE)).then_some(frame)
        });
        let arrived = arrived.unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error} {frame:02x?}"));
        assert!(
            arrived == *frame,
            "{from:?} to {to:?}: odd frame {place} is changed:\n{frame:02x?}\n{arrived:02x?}"
        );
    }
}
