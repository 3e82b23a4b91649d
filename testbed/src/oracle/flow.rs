//! What can be seen from outside after a step: the packet's fate, and the flows there are.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::time::Duration;

/// What became of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What became of the packet; `None` if none was sent.
    pub fate: Option<Fate>,
    /// All flows of the sequence after the step, in order.
    pub flows: Vec<FlowRow>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It did not come out.
    Dropped,
    /// It came out, and this is what tracking made of it.
    Passed(Mark),
}

/// `ct state` and `ct direction` of a packet, by the class of service that the kernel's rules give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `new`.
    New = 1,
    /// `established`, `original`.
    Established = 2,
    /// `established`, `reply`.
    EstablishedReply = 3,
    /// `related`, `original`.
    Related = 4,
    /// `related`, `reply`.
    RelatedReply = 5,
    /// `invalid`.
    Invalid = 6,
    /// `untracked`.
    Untracked = 7,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Established,
        Self::EstablishedReply,
        Self::Related,
        Self::RelatedReply,
        Self::Invalid,
        Self::Untracked,
    ];

    /// Its words in nft's language, state and direction.
    #[must_use]
    pub const fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::New => ("new", None),
            Self::Established => ("established", Some("original")),
            Self::EstablishedReply => ("established", Some("reply")),
            Self::Related => ("related", Some("original")),
            Self::RelatedReply => ("related", Some("reply")),
            Self::Invalid => ("invalid", None),
            Self::Untracked => ("untracked", None),
        }
    }
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// Transport protocol number.
    pub protocol: u8,
    /// Zone.
    pub zone: u16,
    /// Original tuple.
    pub original: Ends,
    /// Reply tuple.
    pub reply: Ends,
    /// `IPS_*`.
    pub status: u32,
    /// State of the protocol, if it has states.
    pub state: Option<String>,
    /// Time it has left, in milliseconds.
    pub timeout_ms: u64,
    /// Packets and bytes of original and reply direction.
    pub traffic: [[u64; 2]; 2],
}

/// A tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What else it has.
    pub ids: Ids,
}

/// What tells flows of the same two addresses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ids {
    /// Ports, keys, or zeros.
    Ports([u16; 2]),
    /// ICMP's.
    Message {
        /// Id.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// Status bits that are compared: `IPS_EXPECTED` to `IPS_FIXED_TIMEOUT`.
const STATUS_COMPARED: u32 = 0x7ff;

impl FlowRow {
    /// Whether `other` is the same flow in the same state; times may differ by `slack`, and by the second that the
    /// kernel rounds off.
    #[must_use]
    pub fn is_like(&self, other: &Self, slack: Duration) -> bool {
        let allowed = 1000 + slack.as_millis() as u64;
        self.protocol == other.protocol
            && self.zone == other.zone
            && self.original == other.original
            && self.reply == other.reply
            && self.status & STATUS_COMPARED == other.status & STATUS_COMPARED
            && self.state == other.state
            && self.traffic == other.traffic
            && self.timeout_ms.abs_diff(other.timeout_ms) <= allowed
    }
}

impl Seen {
    /// Whether `other` is the same, times being compared as [`FlowRow::is_like`] does.
    #[must_use]
    pub fn is_like(&self, other: &Self, slack: Duration) -> bool {
        self.fate == other.fate
            && self.flows.len() == other.flows.len()
            && self.flows.iter().zip(&other.flows).all(|(one, other)| one.is_like(other, slack))
    }

    /// Brings the flows into an order that does not depend on who listed them.
    pub fn sort(&mut self) {
        self.flows.sort_by_key(|flow| (flow.zone, flow.protocol, flow.original, flow.reply));
    }
}

impl Display for Seen {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.fate {
            None => formatter.write_str("waited")?,
            Some(Fate::Dropped) => formatter.write_str("dropped")?,
            Some(Fate::Passed(mark)) => {
                let (state, direction) = mark.words();
                write!(formatter, "{state}{}", direction.map(|word| format!(" {word}")).unwrap_or_default())?;
            }
        }
        self.flows.iter().try_for_each(|flow| write!(formatter, "\n        {flow}"))
    }
}

impl Display for FlowRow {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "protocol {} {} s", self.protocol, self.timeout_ms as f64 / 1000.0)?;
        if let Some(state) = &self.state {
            write!(formatter, " {state}")?;
        }
        write!(formatter, " {} / {}", self.original, self.reply)?;
        if self.zone != 0 {
            write!(formatter, " zone {}", self.zone)?;
        }
        write!(formatter, " status {:#x} [", self.status & STATUS_COMPARED)?;
        let bits =
            [(1, "expected "), (2, "seen-reply "), (4, "assured "), (8, "confirmed "), (512, "dying ")];
        for (bit, name) in bits {
            if self.status & bit != 0 {
                formatter.write_str(name)?;
            }
        }
        let [[packets, bytes], [back, bytes_back]] = self.traffic;
        write!(formatter, "] {packets} packets {bytes} bytes, back {back} packets {bytes_back} bytes")
    }
}

impl Display for Ends {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} > {}", self.source, self.destination)?;
        match self.ids {
            Ids::Ports([0, 0]) => Ok(()),
            Ids::Ports([source, destination]) => write!(formatter, " {source}:{destination}"),
            Ids::Message { id, kind, code } => write!(formatter, " {kind}/{code} id {id}"),
        }
    }
}
