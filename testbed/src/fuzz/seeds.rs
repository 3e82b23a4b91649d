//! Inputs that make sense, from what tests have recorded and from the cases that the kernel is compared in.

use crate::compare::case::Step;
use crate::compare::chapters;
use crate::compare::ground::{Ground, Key};
use crate::frames::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

/// What Linux was asked about, packet by packet.
const RECORDED: [&str; 2] = [
    include_str!("../../../router/src/engine/recorded/ipv4.txt"),
    include_str!("../../../router/src/engine/recorded/ipv6.txt"),
];
/// What Linux said of its tables.
const NETLINK: &str = include_str!("../../../router/src/mirror/translate/fixtures/recorded.txt");
const CONFIGURATION: &str = include_str!("../../../docs/config.md");
const REPLIES: &str = include_str!("seeds/replies.txt");

/// The frames of every case in which routerd is compared with the kernel, each with its port.
pub fn cases() -> Vec<Vec<(usize, Vec<u8>)>> {
    let chapters = chapters().into_iter().filter(|chapter| chapter.ground != Ground::Stateless);
    let numbered = chapters.flat_map(|chapter| (0..).zip(chapter.cases));
    let sent = |step| match step {
        Step::Send(port, frame) => Some((port, frame)),
        Step::SendOffloaded(port, frame) => Some((port, frame.bytes)),
        Step::Await(..) | Step::AwaitAnywhere(..) => None,
    };
    numbered
        .map(|(number, case)| (case.steps)(Key { number }).into_iter().filter_map(sent).collect())
        .collect()
}

/// Packets from the network header on: those of the cases, and those that Linux was asked about.
pub fn packets() -> Vec<Vec<u8>> {
    let of_cases = cases().into_iter().flatten().filter_map(|(_, frame)| packet_of(&frame));
    let recorded = RECORDED.iter().flat_map(|text| text.lines());
    of_cases.chain(recorded.filter_map(|line| line.strip_prefix("in ").map(bytes_of))).collect()
}

/// The packet in an untagged frame, if it holds one.
pub fn packet_of(frame: &[u8]) -> Option<Vec<u8>> {
    let ether_type = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    [ETHERTYPE_IPV4, ETHERTYPE_IPV6].contains(&ether_type).then(|| frame[14..].to_vec())
}

/// Recorded rtnetlink messages: type and what follows the header.
pub fn netlink() -> Vec<(u16, Vec<u8>)> {
    let messages = NETLINK.lines().filter_map(|line| line.split_once(" | "));
    let read = |(_, message): (&str, &str)| {
        let mut words = message.split(' ');
        let kind = words.next()?.parse().ok()?;
        Some((kind, bytes_of(words.nth(1)?)))
    };
    messages.filter_map(read).collect()
}

/// The configuration file that the documentation shows.
pub fn configuration() -> &'static str {
    let (_, rest) = CONFIGURATION.split_once("```toml\n").expect("the page shows a file");
    rest.split_once("```").expect("what begins ends").0
}

/// Replies of routerd, one on a line.
pub fn replies() -> impl Iterator<Item = &'static str> {
    REPLIES.lines()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("recorded as hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}
