//! A sequence as data: packets that two hosts, and routers between them, send one after another.

/// The most steps a sequence may have: steps are told apart by the identification of IPv4.
pub const STEPS_MAX: usize = 200;

/// Packets that belong together. Numbers in it are relative, so that a step may be left out and the rest still fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// What it is about, on one line.
    pub name: String,
    /// Whether packets are IPv6.
    pub ipv6: bool,
    /// What the sequence numbers of client and server count from.
    pub starts: [u32; 2],
    /// Why the two are meant to differ, if they are.
    pub deviation: Option<String>,
    /// The only settings it is played with; all if `None`.
    pub mode: Option<String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet is sent.
    Send(Packet),
    /// Time passes, in milliseconds.
    Wait(u32),
}

/// Where a packet comes in: the client is on the left, the server on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// By the first port.
    Left,
    /// By the second.
    Right,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Left 0, right 1.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Whose address a packet bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The client, on the left.
    Client,
    /// The server, on the right.
    Server,
    /// A router between client and us.
    LeftRouter,
    /// A router between us and the server.
    RightRouter,
}

impl Host {
    /// All of them and their names in texts.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Client, "client"),
        (Self::Server, "server"),
        (Self::LeftRouter, "left-router"),
        (Self::RightRouter, "right-router"),
    ];

    /// The one of the two ends that is on `side`.
    #[must_use]
    pub const fn end(side: Side) -> Self {
        match side {
            Side::Left => Self::Client,
            Side::Right => Self::Server,
        }
    }
}

/// What rules do with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing.
    #[default]
    Usual,
    /// `ct zone set`; zones 1 to 7.
    Zone(u8),
    /// `notrack`.
    NoTrack,
    /// It is tracked, and dropped before it leaves.
    Lost,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes in.
    pub side: Side,
    /// Who sent it, if not the end on this side.
    pub from: Option<Host>,
    /// Who is to get it, if not the end on the other side.
    pub to: Option<Host>,
    /// Tells several flows of the same two ends apart: ports and ids are counted from it.
    pub flow: u8,
    /// What rules do with it.
    pub treatment: Treatment,
    /// Whether the transport checksum is wrong.
    pub bad_checksum: bool,
    /// Whether the transport checksum is zero.
    pub no_checksum: bool,
    /// It is sent in pieces of so many bytes of payload, a multiple of eight.
    pub pieces: Option<u16>,
    /// Only so many bytes of the transport header and what follows it are sent.
    pub cut: Option<u16>,
    /// What it carries.
    pub body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// TCP.
    Tcp(Segment),
    /// UDP with so many bytes of data.
    Udp {
        /// Bytes of data.
        length: u16,
        /// The length field, if it is wrong.
        claims: Option<u16>,
    },
    /// UDP-Lite.
    UdpLite {
        /// Bytes of data.
        length: u16,
        /// The coverage field.
        coverage: u16,
    },
    /// An ICMP or ICMPv6 message about nothing but itself.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Bytes of data after the first eight.
        length: u16,
    },
    /// An ICMP or ICMPv6 error.
    Error {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The packet that it is about.
        quoted: Box<Packet>,
        /// How many bytes of that packet it quotes, its network header included.
        quoted_bytes: u16,
    },
    /// SCTP.
    Sctp {
        /// Verification tag.
        tag: u32,
        /// Chunks, in order.
        chunks: Vec<Chunk>,
    },
    /// GRE.
    Gre {
        /// Version: 1 is PPTP's.
        version: u8,
        /// The key, or for version 1 the call id.
        key: Option<u16>,
    },
    /// Another protocol with so many bytes.
    Other {
        /// Protocol number.
        protocol: u8,
        /// Bytes of payload.
        length: u16,
    },
}

/// A TCP segment. Sequence numbers count from the sender's start, acknowledgments from the receiver's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Flags, FIN the lowest bit.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Window as in the header.
    pub window: u16,
    /// Bytes of data.
    pub length: u16,
    /// Options.
    pub options: Options,
    /// Header length in words of four bytes, if it is wrong.
    pub header_words: Option<u8>,
}

/// Options of a segment, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// A timestamp, with any numbers.
    pub timestamp: bool,
    /// Edges of SACK blocks, counted as acknowledgments are; at most four.
    pub sacks: Vec<(u32, u32)>,
    /// Bytes that follow.
    pub raw: Vec<u8>,
}

/// An SCTP chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Initiate tag of INIT and INIT ACK, bytes of data of others.
    pub value: u32,
    /// The length field, if it is wrong.
    pub claims: Option<u16>,
}

/// FIN.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// PSH.
pub const PSH: u8 = 8;
/// ACK.
pub const ACK: u8 = 16;
/// URG.
pub const URG: u8 = 32;

impl Packet {
    /// A packet from the end on `side` to the other.
    #[must_use]
    pub const fn new(side: Side, body: Body) -> Self {
        Self {
            side,
            from: None,
            to: None,
            flow: 0,
            treatment: Treatment::Usual,
            bad_checksum: false,
            no_checksum: false,
            pieces: None,
            cut: None,
            body,
        }
    }

    /// Whose source address it bears.
    #[must_use]
    pub fn source(&self) -> Host {
        self.from.unwrap_or(Host::end(self.side))
    }

    /// Whose destination address it bears.
    #[must_use]
    pub fn destination(&self) -> Host {
        self.to.unwrap_or(Host::end(self.side.opposite()))
    }
}

impl Sequence {
    /// A sequence over IPv4 whose numbers start near their end, so that they wrap.
    #[must_use]
    pub const fn new(name: String, steps: Vec<Step>) -> Self {
        Self { name, ipv6: false, starts: [0xffff_ff00, 0x7fff_ff00], deviation: None, mode: None, steps }
    }

    /// Whether time passes in it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Wait(_)))
    }
}
