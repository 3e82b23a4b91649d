//! What a rule does: matches, verdicts, and everything in between.

use std::sync::Arc;

use super::{Direction, Expression, OptionField, SetRef, Type, Value};
use crate::rules::state;

/// One statement of a rule.
#[derive(Clone, Debug)]
pub enum Statement {
    /// Goes on if it holds.
    Match(Match),
    /// Decides.
    Verdict(Verdict),
    /// `key vmap {…}`: the verdict found; none goes on.
    VerdictMap {
        /// What is looked up.
        key: Expression,
        /// Where.
        map: SetRef,
    },
    /// `counter`, of this rule alone.
    Counter(Arc<state::Counter>),
    /// `counter name "x"`, `quota name`, `limit name`, `ct helper set "x"`: a named object, by its words and name.
    Object {
        /// Its kind: `counter`, `quota`, `limit`, `ct helper`.
        words: &'static str,
        /// Its name.
        name: Arc<str>,
    },
    /// `counter name ip saddr map {…}`: the object found.
    ObjectMap {
        /// Kind of the objects.
        words: &'static str,
        /// What is looked up.
        key: Expression,
        /// Where.
        map: SetRef,
    },
    /// `quota`
    Quota(Arc<state::Quota>),
    /// `limit rate`
    Limit(Arc<state::Limit>),
    /// `ct count [over] N`: flows that are alive with the same key as in the set statement, or of the rule.
    CtCount(Arc<state::FlowCount>),
    /// `last`: when it was last reached.
    Last(Arc<state::Last>),
    /// `log`
    Log(Log),
    /// `reject`
    Reject(Reject),
    /// `queue`
    Queue(Queue),
    /// `notrack`
    Notrack,
    /// `… set …`
    Set {
        /// What is changed.
        target: Target,
        /// To what.
        value: Expression,
    },
    /// `reset tcp option X`: overwrites the option with NOPs.
    ResetOption(OptionField),
    /// `snat`, `dnat`, `masquerade`, `redirect`.
    Nat(Nat),
    /// `add @set {…}`, `update @set {…}`, `delete @set {…}`.
    Dynamic(Dynamic),
}

/// A comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// What is compared.
    pub left: Expression,
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub right: Right,
}

/// How two values are compared. Values are compared as big-endian numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal; in a range; in a set.
    Equal,
    /// The opposite.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterOrEqual,
    /// At least one of the bits is set (`ct state new,established`).
    AnyBit,
    /// None of the bits is set (`ct state ! new`).
    NoBit,
}

/// The right side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Right {
    /// A value.
    Value(Value),
    /// From, to, both included.
    Range(Value, Value),
    /// The leading bits: of an address, or of a name with `*` behind it (whole bytes).
    Prefix(Value, u16),
    /// In a set.
    Set(SetRef),
    /// Something read of the packet (`ip saddr == ct original saddr`).
    Expression(Expression),
}

/// What becomes of a packet (`man nft`, VERDICT STATEMENT).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `accept`
    Accept,
    /// `drop`
    Drop,
    /// `continue`
    Continue,
    /// `return`
    Return,
    /// `jump` to a chain of this name.
    Jump(Arc<str>),
    /// `goto` a chain of this name.
    Goto(Arc<str>),
    /// `queue`, in verdict maps.
    Queue(Queue),
}

/// `queue`
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// First queue.
    pub first: u16,
    /// Last queue.
    pub last: u16,
    /// Chosen by an expression instead.
    pub choose: Option<Box<Expression>>,
    /// Accept if nobody listens.
    pub bypass: bool,
    /// Spread by CPU instead of by flow.
    pub fanout: bool,
}

impl Eq for Queue {}

/// `log`
#[derive(Clone, Debug)]
pub struct Log {
    /// `prefix`, at most 127 bytes.
    pub prefix: Option<Arc<str>>,
    /// `group`: to the event stream under this number instead of tracing.
    pub group: Option<u16>,
    /// `snaplen`, bytes.
    pub snaplen: Option<u32>,
    /// `queue-threshold`.
    pub queue_threshold: Option<u16>,
    /// `level`, 0 (emerg) to 7 (debug), 8 (audit); 4 (warn) if not said.
    pub level: Option<u8>,
    /// `flags`, as in `NF_LOG_*`: tcp sequence 1, tcp options 2, ip options 4, skuid 8, ether 32.
    pub flags: u8,
}

/// `reject`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// `with icmp type X`: code of destination unreachable.
    Icmp(u8),
    /// `with icmpv6 type X`: code of destination unreachable.
    Icmpv6(u8),
    /// `with icmpx type X`, as `NFT_REJECT_ICMPX_*`: no route 0, port unreachable 1, host unreachable 2, admin prohibited 3.
    Icmpx(u8),
    /// `with tcp reset`
    TcpReset,
}

/// What a `set` statement changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A header field; checksums follow.
    Field(&'static super::Field),
    /// Raw bits of a header; checksums that cover them follow, as nft does it.
    Raw {
        /// From where.
        base: super::Base,
        /// Offset in bits.
        offset: u16,
        /// Bits.
        length: u16,
    },
    /// A field of a TCP option (`tcp option maxseg size set …`); only ever lowered for maxseg.
    Option(OptionField),
    /// `meta mark`
    MetaMark,
    /// `meta priority`
    MetaPriority,
    /// `meta pkttype`
    MetaPacketType,
    /// `meta broute`: one bit; the frame goes up to the router instead of through the bridge.
    MetaBroute,
    /// `meta nftrace`: one bit; the packet's way through the rules is told to `monitor trace`.
    MetaTrace,
    /// `ct mark`
    CtMark,
    /// `ct label`: the bits are added.
    CtLabel,
    /// `ct zone`, `ct original zone`, `ct reply zone`.
    CtZone(Option<Direction>),
}

/// `snat`, `dnat`, `masquerade`, `redirect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nat {
    /// Which.
    pub kind: NatKind,
    /// To where; `None` keeps the address (or it is the router's).
    pub address: Option<NatAddress>,
    /// To which ports or ids.
    pub ids: Option<IdRange>,
    /// `random`
    pub random: bool,
    /// `fully-random`
    pub fully_random: bool,
    /// `persistent`
    pub persistent: bool,
}

/// Which translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// `snat`
    Source,
    /// `dnat`
    Destination,
    /// `masquerade`
    Masquerade,
    /// `redirect`
    Redirect,
}

/// Where addresses are taken from.
#[derive(Clone, Debug, PartialEq)]
pub enum NatAddress {
    /// One, of this type, known or read.
    One(Type, Expression),
    /// From, to.
    Range(Type, Value, Value),
    /// `prefix to`: the leading bits are replaced, the others stay (netmap).
    Prefix(Type, Value, u8),
    /// An address with a port, an address range, or a prefix out of a map: its data has these types.
    Mapped {
        /// Address type.
        kind: Type,
        /// The whole `key map …` expression; its data is address, then port if `with_id`.
        expression: Expression,
        /// The data has a port behind the address.
        with_id: bool,
        /// The data is an interval of addresses (`snat ip interval to …`), or a prefix for netmap.
        interval: bool,
        /// With `interval`: keep the host's bits.
        prefix: bool,
    },
}

/// Ports or ids.
#[derive(Clone, Debug, PartialEq)]
pub enum IdRange {
    /// From, to; equal for one.
    Fixed(u16, u16),
    /// Read or looked up.
    Computed(Expression),
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many packets or bytes a period.
    pub rate: u64,
    /// The period in seconds: 1, 60, 3600, 86,400, 604,800.
    pub period_s: u32,
    /// Packets or bytes beyond the rate that may come at once; 5 packets if not said.
    pub burst: u32,
    /// What is counted.
    pub unit: LimitUnit,
    /// Matches what is over the rate instead.
    pub over: bool,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitUnit {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
}

/// A set changed by packets.
#[derive(Clone, Debug)]
pub struct Dynamic {
    /// What is done.
    pub operation: DynamicOperation,
    /// The set or map.
    pub set: SetRef,
    /// Key.
    pub key: Expression,
    /// Data, for maps; a constant verdict in verdict maps is [`Self::verdict`].
    pub data: Option<Expression>,
    /// Verdict, for verdict maps.
    pub verdict: Option<Verdict>,
    /// Milliseconds the element lives; the set's own if `None`.
    pub timeout_ms: Option<u64>,
    /// `limit`, `counter`, `quota`, `ct count` within the braces: each new element gets its own; the rule goes on only if it holds.
    pub state: Vec<Statement>,
}

/// `add`, `update`, `delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamicOperation {
    /// Adds unless it is there.
    Add,
    /// Adds, or prolongs.
    Update,
    /// Takes it out.
    Delete,
}
