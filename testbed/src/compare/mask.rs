//! The few fields in which two right routers differ, set to zero before frames are compared, and frames that are not
//! the router's answer to anything.

use std::net::Ipv4Addr;

use super::ground::OWN4;
use crate::frames::ETHERTYPE_IPV4;
use crate::wire::Frame;

/// Where the IPv4 header begins in an untagged frame.
const NETWORK: usize = 14;

/// The frames of one port as they are to be compared: each [`masked`], and, where the router gathers fragments and
/// makes them anew (`regathered`), the ids of IPv6 fragments, which Linux draws at random, numbered as they come.
pub fn comparable(frames: &[Frame], regathered: bool) -> Vec<Frame> {
    let mut ids = Vec::new();
    let mut number = |bytes: Vec<u8>| if regathered { renumbered(bytes, &mut ids) } else { bytes };
    frames.iter().map(|frame| Frame { bytes: number(masked(&frame.bytes)), offload: frame.offload }).collect()
}

/// An IPv6 fragment's frame with the place of its id among `ids` instead of the id.
fn renumbered(mut frame: Vec<u8>, ids: &mut Vec<[u8; 4]>) -> Vec<u8> {
    if let Some(at) = fragment_id(&frame)
        && let Some(id) = frame.get(at..at + 4).and_then(|id| <[u8; 4]>::try_from(id).ok())
    {
        let place = ids.iter().position(|known| *known == id).unwrap_or(ids.len());
        if place == ids.len() {
            ids.push(id);
        }
        frame[at..at + 4].copy_from_slice(&(place as u32).to_be_bytes());
    }
    frame
}

/// Where the id of an IPv6 fragment header stands, behind headers that may come before it.
fn fragment_id(frame: &[u8]) -> Option<usize> {
    if frame.get(12..14) != Some(&[0x86, 0xdd]) {
        return None;
    }
    let (mut next, mut at) = (*frame.get(20)?, 54);
    while matches!(next, 0 | 43 | 60) {
        next = *frame.get(at)?;
        at += usize::from(*frame.get(at + 1)?) * 8 + 8;
    }
    (next == 44).then_some(at + 4)
}

/// The frame with these set to zero: identification and header checksum of ICMP that the router itself sends; the
/// times in timestamp options and the checksums over them, also where such a packet is quoted.
pub fn masked(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.get(12..14) != Some(&ETHERTYPE_IPV4.to_be_bytes()) || frame.len() < NETWORK + 20 {
        return frame;
    }
    let packet = &mut frame[NETWORK..];
    mask_times(packet);
    let own = OWN4.iter().any(|address| packet[12..16] == address.octets());
    if own && packet[9] == 1 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
        let header = header_length(packet);
        if let Some([_, _, sum @ ..]) = packet.get_mut(header..)
            && sum.len() >= 26
            && mask_times(&mut sum[6..])
        {
            sum[..2].fill(0);
        }
    }
    frame
}

/// Whether the frame is one that a router sends unasked: multicast listener and IGMP reports, router solicitations, and
/// announcements of its own addresses.
pub fn unasked(frame: &[u8]) -> bool {
    let ipv6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    let report = ipv6 && frame.get(20) == Some(&0) && matches!(frame.get(62), Some(131 | 132 | 143));
    let solicitation = ipv6 && frame.get(20) == Some(&58) && frame.get(54) == Some(&133);
    let igmp = frame.get(12..14) == Some(&[8, 0])
        && frame.get(23) == Some(&2)
        && frame.get(26..30).is_some_and(|source| OWN4.iter().any(|own| own.octets() == source));
    // Sender and target are one; the solicited flag is not set.
    let announcement = frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == frame.get(38..42);
    let advertisement = ipv6 && frame.get(20) == Some(&58) && frame.get(54) == Some(&136);
    let unsolicited = advertisement && frame.get(58).is_some_and(|flags| flags & 0x40 == 0);
    report || solicitation || igmp || announcement || unsolicited && frame.get(38) == Some(&0xff)
}

/// Whether the frame answers who has an own address, to [`inquirer`] one.
pub fn answers_inquirer(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 6])
        && frame.get(20..22) == Some(&[0, 2])
        && matches!(frame.get(38..42), Some([10, 10..=12, 0, 100..=199]))
}

/// An address on the link of a port that asks for the router's, one after the other.
pub fn inquirer(port: usize, number: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 10 + port as u8, 0, 100 + (number % 100) as u8)
}

/// Whether the frame asks for a neighbor: how often that is repeated is a matter of time.
pub fn asks_for_neighbor(frame: &[u8]) -> bool {
    let arp = frame.get(12..14) == Some(&[8, 6]) && frame.get(20..22) == Some(&[0, 1]);
    let ipv6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    let solicitation = ipv6 && frame.get(20) == Some(&58) && frame.get(54) == Some(&135);
    arp || solicitation
}

fn header_length(packet: &[u8]) -> usize {
    (usize::from(packet[0] & 15) * 4).clamp(20, packet.len())
}

/// Sets the times of a timestamp option (RFC 791) to zero, and then the header checksum. Says whether there were any.
fn mask_times(packet: &mut [u8]) -> bool {
    let mut at = 20;
    let end = header_length(packet);
    while at + 4 <= end {
        let length = match packet[at] {
            0 => return false,
            1 => 1,
            _ => usize::from(packet[at + 1]),
        };
        if length == 0 || at + length > end {
            return false;
        }
        if packet[at] == 68 && length >= 4 {
            let with_addresses = packet[at + 3] & 15 != 0;
            let entry = if with_addresses { 8 } else { 4 };
            for slot in packet[at + 4..at + length].chunks_exact_mut(entry) {
                slot[entry - 4..].fill(0);
            }
            packet[10..12].fill(0);
            return true;
        }
        at += length;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{comparable, masked};
    use crate::compare::ground::{Key, OWN4};
    use crate::frames::{Payload, V4};
    use crate::wire::Frame;

    fn key() -> Key {
        Key { number: 1 }
    }

    #[test]
    fn a_forwarded_packet_is_compared_whole() {
        let frame = key().frame4(&key().udp4());
        assert_eq!(masked(&frame), frame);
    }

    #[test]
    fn the_id_of_the_routers_own_icmp_is_not_compared() {
        let answer = |id| V4 { id, source: OWN4[0], ..key().v4(Payload::Icmp(key().echo(0))) };
        let [one, other] = [1, 2].map(|id| key().frame4(&answer(id)));
        assert_ne!(one, other);
        assert_eq!(masked(&one), masked(&other));
    }

    #[test]
    fn fragments_of_one_datagram_still_share_an_id() {
        let of = |ids: &[u32]| -> Vec<Frame> {
            let fragment =
                |id: &u32| key().frame6(&crate::frames::fragment6(&key().long6(40), *id, 0, 16)).into();
            comparable(&ids.iter().map(fragment).collect::<Vec<_>>(), true)
        };
        assert_eq!(of(&[7, 7, 9]), of(&[70, 70, 90]));
        assert_ne!(of(&[7, 7, 9]), of(&[70, 90, 90]));
    }

    #[test]
    fn times_are_not_compared_but_their_number_is() {
        let stamped = |pointer, time| V4 { options: vec![68, 8, pointer, 0, 0, 0, 0, time], ..key().udp4() };
        let [one, other, full] = [(5, 1), (5, 2), (9, 1)].map(|(p, t)| masked(&key().frame4(&stamped(p, t))));
        assert_eq!(one, other);
        assert_ne!(one, full);
    }
}
