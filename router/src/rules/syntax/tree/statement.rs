//! What a rule does, piece by piece.

use std::time::Duration;

use super::words::words;
use super::{
    CtDirection, CtKey, Expression, Family, Field, MetaKey, ObjectKind, RawPayload, Relation, TcpOption,
    TcpOptionField,
};
use crate::rules::syntax::source::{Name, Span, Spanned};

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of it, its comment included.
    pub span: Span,
    /// At least one.
    pub statements: Vec<Statement>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
}

/// A piece of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub kind: StatementKind,
    /// Where it was written.
    pub span: Span,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Goes on with the rule only if this is so. `FIELD VALUE / MASK` is read as `FIELD & MASK` on the left.
    Match {
        /// What is looked at; may be masked, shifted, concatenated or mapped.
        left: Expression,
        /// How it is compared.
        relation: Spanned<Relation>,
        /// What with.
        right: Expression,
    },
    /// `accept`, `drop`, `jump CHAIN` …
    Verdict(Verdict),
    /// `KEY vmap { … }`, `KEY vmap @name`.
    VerdictMap {
        /// What is looked up.
        key: Expression,
        /// Where: a set whose data are verdicts, or a reference.
        map: Expression,
    },
    /// `jump { … }`, `goto { … }`: a chain without a name.
    InlineChain {
        /// `goto`, not `jump`.
        goto: bool,
        /// Its rules.
        rules: Vec<Rule>,
    },
    /// `counter [packets N bytes N]`.
    Counter(Counter),
    /// `quota [over|until] N bytes [used N bytes]`.
    Quota(Quota),
    /// `limit rate [over|until] N/second [burst N packets]`.
    Limit(Limit),
    /// `ct count [over] N`.
    CtCount {
        /// How many flows.
        count: u32,
        /// Whether more match, not fewer.
        over: bool,
    },
    /// `last [used never|DURATION]`.
    Last {
        /// How long ago it was used.
        used: Option<Duration>,
    },
    /// `counter name X`, `quota name X`, `limit name X`, `synproxy name X`, `ct helper|timeout|expectation set X`,
    /// `meta secmark set X`.
    ObjectReference {
        /// Kind of the object.
        kind: ObjectKind,
        /// Its name, or a map from something to names.
        name: Expression,
    },
    /// `log …`.
    Log(Log),
    /// `reject [with …]`.
    Reject(Reject),
    /// `meta KEY set VALUE`.
    SetMeta {
        /// What is set.
        key: MetaKey,
        /// To what.
        value: Expression,
    },
    /// `ct [original|reply] KEY set VALUE`.
    SetCt {
        /// Of which direction, if the text says so.
        direction: Option<CtDirection>,
        /// What is set.
        key: CtKey,
        /// To what.
        value: Expression,
    },
    /// `ip dscp set VALUE` and the like.
    SetField {
        /// What is set.
        field: Settable,
        /// To what.
        value: Expression,
    },
    /// `reset tcp option KIND`: overwritten with no-operations.
    StripTcpOption(TcpOption),
    /// `notrack`.
    Notrack,
    /// `snat`, `dnat`, `masquerade`, `redirect`.
    Nat(Nat),
    /// `tproxy [ip|ip6] to …`.
    Tproxy {
        /// `ip` or `ip6`, if the text says so.
        family: Option<Family>,
        /// Address of the socket.
        address: Option<Expression>,
        /// Its port number.
        port: Option<Expression>,
    },
    /// `synproxy [mss N] [wscale N] [timestamp] [sack-perm]`.
    Synproxy(Synproxy),
    /// `queue …`.
    Queue(Queue),
    /// `dup to ADDRESS [device PORT]`.
    Duplicate {
        /// To which address, in the families that route; through which port in `netdev`.
        to: Expression,
        /// Through which port.
        device: Option<Expression>,
    },
    /// `fwd to PORT`, `fwd ip|ip6 to ADDRESS device PORT`.
    Forward {
        /// `ip` or `ip6`, with an address.
        family: Option<Family>,
        /// Next hop.
        address: Option<Expression>,
        /// Through which port.
        device: Expression,
    },
    /// `flow add @name`, formerly `flow offload @name`.
    FlowAdd {
        /// The flowtable.
        flowtable: Name,
    },
    /// `add|update|delete @name { KEY … [: DATA] }`, `set add|update|delete KEY @name`.
    SetUpdate(SetUpdate),
    /// `meter NAME [size N] { KEY STATEMENT }`.
    Meter(Meter),
}

/// Where a packet goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the packet.
    pub kind: VerdictKind,
    /// Where it was written.
    pub span: Span,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// On to the next base chain.
    Accept,
    /// Nowhere.
    Drop,
    /// To the next rule.
    Continue,
    /// Back behind the jump, or to the policy.
    Return,
    /// To a chain, and back.
    Jump(Name),
    /// To a chain, not back.
    Goto(Name),
}

/// `counter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// What it begins with.
    pub packets: u64,
    /// What it begins with.
    pub bytes: u64,
}

/// `quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many bytes.
    pub bytes: u64,
    /// How many of them are used up.
    pub used_bytes: u64,
    /// Whether it matches once they are used up, not before.
    pub over: bool,
}

/// `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many a unit of time: packets, or bytes.
    pub rate: u64,
    /// Unit of time.
    pub unit: TimeUnit,
    /// What is counted.
    pub of: LimitOf,
    /// How many at once; nft's default (5 packets, 0 bytes), if the text says nothing.
    pub burst: u64,
    /// Whether it matches beyond the limit, not below.
    pub over: bool,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitOf {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
}

words! {
/// Unit of time of a limit.
TimeUnit {
    /// 1 s.
    Second = "second",
    /// 60 s.
    Minute = "minute",
    /// 60 minutes.
    Hour = "hour",
    /// 24 hours.
    Day = "day",
    /// 7 days.
    Week = "week",
}}

impl TimeUnit {
    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
            Self::Week => 7 * 24 * 60 * 60,
        }
    }
}

/// `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Written before each line. Variables in it are put in already.
    pub prefix: Option<Spanned<String>>,
    /// To which nflog group.
    pub group: Option<Spanned<u16>>,
    /// How much of the packet, in bytes.
    pub snaplen: Option<Spanned<u32>>,
    /// How many packets are handed over at once.
    pub queue_threshold: Option<Spanned<u16>>,
    /// How important.
    pub level: Option<Spanned<LogLevel>>,
    /// What is written as well.
    pub flags: Vec<Spanned<LogFlag>>,
}

words! {
/// How important a line of the log is.
LogLevel {
    /// 0.
    Emergency = "emerg",
    /// 1.
    Alert = "alert",
    /// 2.
    Critical = "crit",
    /// 3.
    Error = "err" | "error",
    /// 4.
    Warning = "warn" | "warning",
    /// 5.
    Notice = "notice",
    /// 6.
    Info = "info",
    /// 7.
    Debug = "debug",
    /// To the audit subsystem.
    Audit = "audit",
}}

words! {
/// What a line of the log holds as well.
LogFlag {
    /// TCP sequence numbers.
    TcpSequence = "tcp sequence",
    /// TCP options.
    TcpOptions = "tcp options",
    /// IP options.
    IpOptions = "ip options",
    /// User of the sending socket.
    Skuid = "skuid",
    /// The link header.
    Ether = "ether",
    /// All of these.
    All = "all",
}}

impl LogFlag {
    /// Each but [`Self::All`], in the order in which nft lists them.
    pub const EACH: [Self; 5] =
        [Self::TcpSequence, Self::TcpOptions, Self::IpOptions, Self::Skuid, Self::Ether];

    /// Its bits, as in `NF_LOG_*`. [`Self::All`] is `NF_LOG_MASK`.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::TcpSequence => 1,
            Self::TcpOptions => 2,
            Self::IpOptions => 4,
            Self::Skuid => 8,
            Self::Ether => 32,
            Self::All => 47,
        }
    }

    /// The words for these bits, as nft lists them.
    #[must_use]
    pub fn words(bits: u8) -> Vec<&'static str> {
        if bits == Self::All.bits() {
            return vec![Self::All.word()];
        }
        Self::EACH.into_iter().filter(|flag| bits & flag.bits() != 0).map(Self::word).collect()
    }
}

/// `reject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// `reject`: what fits the packet.
    Default,
    /// `with tcp reset`.
    TcpReset,
    /// `with icmp CODE`.
    Icmp(Expression),
    /// `with icmpv6 CODE`.
    Icmpv6(Expression),
    /// `with icmpx CODE`: of either family.
    Icmpx(Expression),
}

/// What of a packet may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settable {
    /// A field of a header.
    Field(Field),
    /// `@BASE,OFFSET,LENGTH`.
    Raw(RawPayload),
    /// `tcp option KIND FIELD`.
    TcpOption(TcpOption, TcpOptionField),
}

/// `snat`, `dnat`, `masquerade`, `redirect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Which of them.
    pub kind: NatKind,
    /// `ip` or `ip6`, if the text says so.
    pub family: Option<Family>,
    /// To which address, range, prefix or map.
    pub address: Option<Expression>,
    /// To which port number, range or map. With [`NatForm::AddressAndPort`] both are in `address`.
    pub port: Option<Expression>,
    /// How `address` is meant.
    pub form: NatForm,
    /// How it is chosen.
    pub flags: Vec<Spanned<NatFlag>>,
}

words! {
/// Which translation.
NatKind {
    /// Of the source.
    Source = "snat",
    /// Of the destination.
    Destination = "dnat",
    /// Of the source, to the address of the output port.
    Masquerade = "masquerade",
    /// Of the destination, to the router itself.
    Redirect = "redirect",
}}

/// How the address of a translation is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatForm {
    /// `to ADDRESS`.
    Plain,
    /// `interval to MAP`: the data of the map are ranges.
    Interval,
    /// `prefix to PREFIX`: the host part stays.
    Prefix,
    /// `addr . port to MAP`: the data of the map are address and port number.
    AddressAndPort,
}

words! {
/// How a translation chooses.
NatFlag {
    /// Port at random.
    Random = "random",
    /// Port entirely at random.
    FullyRandom = "fully-random",
    /// The same address for a client each time.
    Persistent = "persistent",
}}

/// `synproxy`, in a rule or as an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synproxy {
    /// Largest segment announced.
    pub mss: Option<u16>,
    /// Window scale announced.
    pub wscale: Option<u8>,
    /// Whether timestamps are.
    pub timestamp: bool,
    /// Whether selective acknowledgements are.
    pub sack_permitted: bool,
}

/// `queue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Number, range, or what computes one; 0 if the text says nothing.
    pub number: Option<Expression>,
    /// How.
    pub flags: Vec<Spanned<QueueFlag>>,
}

words! {
/// How packets are queued.
QueueFlag {
    /// On if nobody listens.
    Bypass = "bypass",
    /// By processor.
    Fanout = "fanout",
}}

/// `add|update|delete @name { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUpdate {
    /// What is done.
    pub operation: SetOperation,
    /// The set or map.
    pub set: Name,
    /// The element's key.
    pub key: Expression,
    /// How long it stays.
    pub timeout: Option<Spanned<Duration>>,
    /// How long it stays from now on.
    pub expires: Option<Spanned<Duration>>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
    /// What the element carries: `counter`, `quota`, `limit`, `ct count`, `last`.
    pub statements: Vec<Statement>,
    /// What it maps to.
    pub data: Option<Expression>,
}

words! {
/// What is done to a set.
SetOperation {
    /// Added, if not there.
    Add = "add",
    /// Added, or its time begins anew.
    Update = "update",
    /// Taken out.
    Delete = "delete",
}}

/// `meter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Name of the set behind it.
    pub name: Name,
    /// How many elements.
    pub size: Option<Spanned<u32>>,
    /// The element's key.
    pub key: Expression,
    /// How long an element stays.
    pub timeout: Option<Spanned<Duration>>,
    /// What each element carries.
    pub statement: Box<Statement>,
}
