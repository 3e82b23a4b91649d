//! What programs and routerd say to each other about queued packets: one JSON line a message, packets' bytes behind it.
//!
//! A message is one datagram of a `SOCK_SEQPACKET` unix socket. Its first line is a JSON object; if there are bytes of
//! a packet, they follow a line feed. An IP packet's bytes begin with its network header, those of families arp and
//! bridge with the link header.

use serde::{Deserialize, Serialize};

/// Bytes of a message's first line at most, the line feed not counted.
pub const LINE_BYTES_MAX: usize = 4096;

/// Bytes of a packet at most: the largest IP packet, a link header and two tags before it.
pub const PACKET_BYTES_MAX: usize = 65_535 + 14 + 8;

/// Bytes of a message at most.
pub const MESSAGE_BYTES_MAX: usize = LINE_BYTES_MAX + 1 + PACKET_BYTES_MAX;

/// Why a message is none, said to whoever has sent it.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Longer than a message can be.
    #[error("the message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// The first line is longer than a line can be.
    #[error("the message's first line is longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// The first line is no JSON object of a known kind.
    #[error("the message's first line is no JSON object as is expected here: {0}")]
    Line(#[from] serde_json::Error),
    /// An object of an unknown kind.
    #[error("a message says \"bind\", \"unbind\", or \"packet\" with \"verdict\"; this one does not")]
    Unknown,
}

/// What a program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// It wants the packets of a queue.
    Bind(Bind),
    /// It does not want them any more.
    Unbind(Unbind),
    /// What is to become of a packet, and its new bytes if it has been changed.
    Judged(Judged, Option<&'a [u8]>),
}

/// A program wants the packets of a queue; answered by [`Told::Bound`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// Number of the queue.
    pub bind: u16,
    /// Bytes of each packet that the program wants to see at most.
    #[serde(default = "all_bytes")]
    pub copy_bytes: u32,
    /// Packets go on, and are not dropped, if the queue is full, if the program does not answer in time, or if it ends.
    #[serde(default)]
    pub fail_open: bool,
    /// Packets that may wait for the program's answers at once.
    #[serde(default = "packets_max")]
    pub packets_max: u32,
}

/// A program does not want a queue's packets any more; answered by [`Told::Unbound`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unbind {
    /// Number of the queue.
    pub unbind: u16,
}

/// What is to become of a packet. There is no answer but an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Number of the packet, from [`PacketHead::packet`].
    pub packet: u64,
    /// What is to become of it.
    pub verdict: Verdict,
    /// The queue it goes to, with [`Verdict::Queue`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
    /// The packet's new mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Whether lengths and checksums in the new bytes are to be made right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fix_checksums: bool,
}

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes on behind the hook that has queued it.
    Accept,
    /// It ends.
    Drop,
    /// It is shown once more to the hook that has queued it.
    Repeat,
    /// It goes to another queue.
    Queue,
    /// It goes on with its walk; the hooks left at this point are not called.
    Stop,
}

/// What routerd says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The program has the queue now.
    Bound(Bound),
    /// It has it no more.
    Unbound(Unbound),
    /// A message made no sense or could not be obeyed.
    Failed(Failed),
    /// A packet, and as many of its bytes as were asked for.
    Packet(PacketHead, &'a [u8]),
}

/// The program has the queue now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Number of the queue.
    pub bound: u16,
}

/// The program has the queue no more. Packets that waited for its answers have been dropped, or go on if it had asked for
/// that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbound {
    /// Number of the queue.
    pub unbound: u16,
}

/// A message made no sense or could not be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Why, for people.
    pub error: String,
    /// The packet it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<u64>,
    /// The queue it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u16>,
}

/// What is known of a queued packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketHead {
    /// Its number, never given twice.
    pub packet: u64,
    /// The queue it is in.
    pub queue: u16,
    /// Family of the hook: `ipv4`, `ipv6`, `arp`, `bridge`.
    pub family: String,
    /// Where it left its way: `prerouting`, `input`, `forward`, `output`, `postrouting`.
    pub hook: String,
    /// Port of entry, if it has come in by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Port it will leave by, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Its mark.
    pub mark: u32,
    /// Bytes of the whole packet; fewer may follow ([`Bind::copy_bytes`]).
    pub length: u32,
    /// What tracking says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ct: Option<Ct>,
}

/// What tracking says of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ct {
    /// `new`, `established`, `related`, `invalid` or `untracked`, as in rules.
    pub state: String,
    /// The flow's number, as in `show flows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// `original` or `reply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// The flow's mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
}

impl Bind {
    /// The usual wishes for a queue.
    #[must_use]
    pub fn new(number: u16) -> Self {
        Self { bind: number, copy_bytes: all_bytes(), fail_open: false, packets_max: packets_max() }
    }
}

impl Judged {
    /// A verdict on a packet that stays as it is.
    #[must_use]
    pub const fn new(packet: u64, verdict: Verdict) -> Self {
        Self { packet, verdict, to: None, mark: None, fix_checksums: false }
    }
}

impl<'a> Said<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (line, bytes) = split(message)?;
        let value: serde_json::Value = serde_json::from_slice(line)?;
        if value.get("bind").is_some() {
            Ok(Self::Bind(serde_json::from_value(value)?))
        } else if value.get("unbind").is_some() {
            Ok(Self::Unbind(serde_json::from_value(value)?))
        } else if value.get("packet").is_some() {
            Ok(Self::Judged(serde_json::from_value(value)?, bytes))
        } else {
            Err(Malformed::Unknown)
        }
    }

    /// Puts the message in place of what is in `into`.
    pub fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Bind(bind) => put(bind, None, into),
            Self::Unbind(unbind) => put(unbind, None, into),
            Self::Judged(judged, bytes) => put(judged, *bytes, into),
        }
    }
}

impl<'a> Told<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (line, bytes) = split(message)?;
        let value: serde_json::Value = serde_json::from_slice(line)?;
        if value.get("error").is_some() {
            Ok(Self::Failed(serde_json::from_value(value)?))
        } else if value.get("bound").is_some() {
            Ok(Self::Bound(serde_json::from_value(value)?))
        } else if value.get("unbound").is_some() {
            Ok(Self::Unbound(serde_json::from_value(value)?))
        } else if value.get("packet").is_some() {
            Ok(Self::Packet(serde_json::from_value(value)?, bytes.unwrap_or_default()))
        } else {
            Err(Malformed::Unknown)
        }
    }

    /// Puts the message in place of what is in `into`.
    pub fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Bound(bound) => put(bound, None, into),
            Self::Unbound(unbound) => put(unbound, None, into),
            Self::Failed(failed) => put(failed, None, into),
            Self::Packet(head, bytes) => put(head, Some(bytes), into),
        }
    }
}

const fn all_bytes() -> u32 {
    PACKET_BYTES_MAX as u32
}

const fn packets_max() -> u32 {
    1024
}

/// The line of a message, and what follows it; a line feed with nothing behind it is the end of the line.
fn split(message: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let end = message.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n');
    match end {
        Some(end) => Ok((&message[..end], Some(&message[end + 1..]).filter(|bytes| !bytes.is_empty()))),
        None if message.len() > LINE_BYTES_MAX => Err(Malformed::LineTooLong),
        None => Ok((message, None)),
    }
}

fn put(line: &impl Serialize, bytes: Option<&[u8]>, into: &mut Vec<u8>) {
    into.clear();
    serde_json::to_writer(&mut *into, line).expect("the messages' types all have a JSON form");
    if let Some(bytes) = bytes {
        into.push(b'\n');
        into.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> PacketHead {
        PacketHead {
            packet: 7,
            queue: 3,
            family: "ipv4".into(),
            hook: "forward".into(),
            input: Some("r0".into()),
            output: Some("r1".into()),
            mark: 1,
            length: 84,
            ct: Some(Ct {
                state: "new".into(),
                id: Some(1),
                direction: Some("original".into()),
                mark: Some(0),
            }),
        }
    }

    #[test]
    fn a_packet_is_its_head_in_json_and_its_bytes_behind_a_line_feed() {
        let mut message = Vec::new();
        Told::Packet(head(), b"E\n\0").write(&mut message);
        let expected = concat!(
            r#"{"packet":7,"queue":3,"family":"ipv4","hook":"forward","input":"r0","output":"r1","mark":1,"#,
            r#""length":84,"ct":{"state":"new","id":1,"direction":"original","mark":0}}"#,
            "\nE\n\0"
        );
        assert_eq!(String::from_utf8_lossy(&message), expected);
        assert_eq!(Told::read(&message).unwrap(), Told::Packet(head(), b"E\n\0"));
    }

    #[test]
    fn what_is_not_said_of_a_queue_is_as_usual() {
        assert_eq!(Said::read(br#"{"bind": 5}"#).unwrap(), Said::Bind(Bind::new(5)));
        let said = Said::read(br#"{"packet":9,"verdict":"queue","to":2}"#).unwrap();
        let judged = Judged { to: Some(2), ..Judged::new(9, Verdict::Queue) };
        assert_eq!(said, Said::Judged(judged, None));
        let said = Said::read(b"{\"packet\":9,\"verdict\":\"accept\"}\n").unwrap();
        assert_eq!(
            said,
            Said::Judged(Judged::new(9, Verdict::Accept), None),
            "a line feed at the end is none"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let refused = |message: &[u8]| Said::read(message).unwrap_err().to_string();
        assert!(refused(b"").contains("EOF"), "{}", refused(b""));
        assert!(refused(br#"{"bind": 70000}"#).contains("u16"));
        assert!(refused(br#"{"bind": 1, "copybytes": 2}"#).contains("unknown field `copybytes`"));
        assert!(refused(br#"{"packet": 1, "verdict": "maybe"}"#).contains("unknown variant `maybe`"));
        assert!(refused(br#"{"packet": 1}"#).contains("missing field `verdict`"));
        assert!(refused(b"[1]").contains("this one does not"));
        assert!(refused(&vec![b' '; LINE_BYTES_MAX + 1]).contains("first line"));
        assert!(refused(&vec![b' '; MESSAGE_BYTES_MAX + 1]).contains("message is longer"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Said::read(&bytes);
            let _ = Told::read(&bytes);
        }

        #[test]
        fn a_message_is_read_as_it_was_meant(
            number in any::<u64>(), mark in any::<Option<u32>>(), fix in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            let judged = Judged { mark, fix_checksums: fix, ..Judged::new(number, Verdict::Repeat) };
            let mut message = Vec::new();
            for said in [Said::Judged(judged.clone(), Some(&bytes)), Said::Judged(judged.clone(), None)] {
                said.write(&mut message);
                prop_assert_eq!(Said::read(&message).unwrap(), said);
            }
        }
    }
}
