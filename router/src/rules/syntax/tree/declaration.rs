//! What tables are made of: chains, sets, maps, flowtables, objects.

use std::time::Duration;

use super::words::words;
use super::{Counter, Expression, Limit, Quota, Rule, Statement, Synproxy};
use crate::rules::syntax::source::{Name, Span, Spanned};

words! {
/// Family of a table.
Family {
    /// IPv4.
    Ip = "ip",
    /// IPv6.
    Ip6 = "ip6",
    /// Both.
    Inet = "inet",
    /// ARP.
    Arp = "arp",
    /// What a bridge passes on.
    Bridge = "bridge",
    /// Right at a port.
    Netdev = "netdev",
}}

/// Which table: `[FAMILY] NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePath {
    /// `ip`, if the text says nothing.
    pub family: Family,
    /// Its name.
    pub name: Name,
    /// All of it.
    pub span: Span,
}

/// Which thing of a table: `[FAMILY] TABLE NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Of which table.
    pub table: TablePath,
    /// Its name.
    pub name: Name,
}

/// `table … { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableBlock {
    /// Which.
    pub path: TablePath,
    /// `flags …`.
    pub flags: Vec<Spanned<TableFlag>>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
    /// What it holds, in the order written.
    pub items: Vec<TableItem>,
}

words! {
/// `flags` of a table.
TableFlag {
    /// Its chains are not called.
    Dormant = "dormant",
    /// It belongs to the program that made it.
    Owner = "owner",
    /// It stays when that program ends.
    Persist = "persist",
}}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableItem {
    /// `chain`.
    Chain(ChainBlock),
    /// `set`, `map`.
    Set(SetBlock),
    /// `flowtable`.
    Flowtable(FlowtableBlock),
    /// `counter`, `quota`, `limit`, `ct helper` …
    Object(ObjectBlock),
}

/// `chain NAME { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainBlock {
    /// Which.
    pub name: Name,
    /// `type … hook … priority …`: what makes it a base chain.
    pub base: Option<BaseChain>,
    /// `policy accept|drop`.
    pub policy: Option<Spanned<Policy>>,
    /// `flags offload`.
    pub offload: Option<Span>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// `type … hook … [device …] priority …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// All of it.
    pub span: Span,
    /// `type`.
    pub kind: Spanned<ChainType>,
    /// `hook`.
    pub hook: Spanned<HookName>,
    /// `device NAME`, `devices = { NAME, … }`, in the base line or below: words, texts or beginnings.
    pub devices: Vec<Expression>,
    /// `priority`.
    pub priority: Priority,
}

words! {
/// What a base chain is for.
ChainType {
    /// Anything.
    Filter = "filter",
    /// The first packet of a flow.
    Nat = "nat",
    /// What is routed again if it changes a packet.
    Route = "route",
}}

words! {
/// Where a base chain is called.
HookName {
    /// Before routing.
    Prerouting = "prerouting",
    /// For the router itself.
    Input = "input",
    /// Routed onwards.
    Forward = "forward",
    /// Made by the router itself.
    Output = "output",
    /// About to leave.
    Postrouting = "postrouting",
    /// Right at the input port.
    Ingress = "ingress",
    /// Right at the output port.
    Egress = "egress",
}}

words! {
/// What becomes of a packet at the end of a base chain.
Policy {
    /// It goes on.
    Accept = "accept",
    /// It does not.
    Drop = "drop",
}}

/// `priority N`, `priority NAME`, `priority NAME ± N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// `filter`, `dstnat`, …; 0 without a name. Which names there are depends on family and hook.
    pub name: Option<Name>,
    /// The number, or what is added to the name's.
    pub offset: i32,
    /// All of it.
    pub span: Span,
}

/// `set NAME { … }`, `map NAME { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBlock {
    /// Which.
    pub name: Name,
    /// Whether it is a map.
    pub is_map: bool,
    /// `type …` or `typeof …`.
    pub key: Option<KeyType>,
    /// What stands behind the colon, in a map.
    pub data: Option<DataType>,
    /// `flags …`.
    pub flags: Vec<Spanned<SetFlag>>,
    /// How long elements stay.
    pub timeout: Option<Spanned<Duration>>,
    /// How often expired elements are swept.
    pub gc_interval: Option<Spanned<Duration>>,
    /// How many elements.
    pub size: Option<Spanned<u32>>,
    /// `policy performance|memory`.
    pub policy: Option<Spanned<SetPolicy>>,
    /// `auto-merge`.
    pub auto_merge: Option<Span>,
    /// What each element carries: `counter`, `quota`, `limit`, `ct count`, `last`.
    pub statements: Vec<Statement>,
    /// `elements = …`: a set, or a variable that is one.
    pub elements: Option<Expression>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
}

/// What keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// `type NAME . NAME …`.
    Named(Vec<Name>),
    /// `typeof SELECTOR . SELECTOR …`: a selector, or a concatenation of several.
    Like(Expression),
}

/// What a map's data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataType {
    /// `type … : [interval] NAME . NAME …`.
    Named {
        /// Whether data are ranges.
        interval: bool,
        /// The parts.
        names: Vec<Name>,
    },
    /// `typeof … : [interval] SELECTOR . SELECTOR …`.
    Like {
        /// Whether data are ranges.
        interval: bool,
        /// A selector, or a concatenation of several.
        expression: Expression,
    },
    /// `verdict`.
    Verdict(Span),
    /// `queue`, of `typeof`.
    Queue(Span),
    /// `counter`, `quota`, `limit`, `ct helper` …: names of objects.
    Object(Spanned<ObjectKind>),
}

words! {
/// `flags` of a set.
SetFlag {
    /// Never changes.
    Constant = "constant",
    /// Holds ranges.
    Interval = "interval",
    /// Elements may expire.
    Timeout = "timeout",
    /// Rules may add elements.
    Dynamic = "dynamic",
}}

words! {
/// What a set is built for.
SetPolicy {
    /// Speed.
    Performance = "performance",
    /// Little memory.
    Memory = "memory",
}}

/// `flowtable NAME { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowtableBlock {
    /// Which.
    pub name: Name,
    /// `hook NAME priority N`.
    pub hook: Option<(Spanned<HookName>, Priority)>,
    /// `devices = { … }`.
    pub devices: Vec<Expression>,
    /// `counter`.
    pub counter: bool,
    /// `flags offload`.
    pub offload: Option<Span>,
}

words! {
/// Kinds of objects.
ObjectKind {
    /// Counts packets and bytes.
    Counter = "counter",
    /// Allows an amount of bytes.
    Quota = "quota",
    /// Allows a rate.
    Limit = "limit",
    /// Looks for expected flows.
    CtHelper = "ct helper",
    /// Timeouts of flows.
    CtTimeout = "ct timeout",
    /// A flow to be expected.
    CtExpectation = "ct expectation",
    /// Answers TCP handshakes.
    Synproxy = "synproxy",
    /// A security context.
    Secmark = "secmark",
}}

/// An object with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectBlock {
    /// Which.
    pub name: Name,
    /// What it is.
    pub body: Object,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
}

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `counter`.
    Counter(Counter),
    /// `quota`.
    Quota(Quota),
    /// `limit`.
    Limit(Limit),
    /// `ct helper`.
    CtHelper(CtHelper),
    /// `ct timeout`.
    CtTimeout(CtTimeout),
    /// `ct expectation`.
    CtExpectation(CtExpectation),
    /// `synproxy`.
    Synproxy(Synproxy),
    /// `secmark`: the context.
    Secmark(Spanned<String>),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Counter(_) => ObjectKind::Counter,
            Self::Quota(_) => ObjectKind::Quota,
            Self::Limit(_) => ObjectKind::Limit,
            Self::CtHelper(_) => ObjectKind::CtHelper,
            Self::CtTimeout(_) => ObjectKind::CtTimeout,
            Self::CtExpectation(_) => ObjectKind::CtExpectation,
            Self::Synproxy(_) => ObjectKind::Synproxy,
            Self::Secmark(_) => ObjectKind::Secmark,
        }
    }
}

words! {
/// Protocols that have helpers, timeouts and expectations.
CtProtocol {
    /// TCP.
    Tcp = "tcp",
    /// UDP.
    Udp = "udp",
}}

/// `ct helper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtHelper {
    /// `type "ftp"`.
    pub helper: Spanned<String>,
    /// `protocol tcp`.
    pub protocol: Spanned<CtProtocol>,
    /// `l3proto ip`; the table's family, if the text says nothing.
    pub family: Option<Spanned<Family>>,
}

/// `ct timeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtTimeout {
    /// `protocol tcp`.
    pub protocol: Spanned<CtProtocol>,
    /// `l3proto ip`; the table's family, if the text says nothing.
    pub family: Option<Spanned<Family>>,
    /// `policy = { STATE : SECONDS, … }`.
    pub policy: Vec<(Name, Duration)>,
}

/// `ct expectation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtExpectation {
    /// `protocol tcp`.
    pub protocol: Spanned<CtProtocol>,
    /// `l3proto ip`; the table's family, if the text says nothing.
    pub family: Option<Spanned<Family>>,
    /// `dport N`.
    pub destination_port: Spanned<u16>,
    /// `timeout 1h`.
    pub timeout: Spanned<Duration>,
    /// `size N`.
    pub size: Spanned<u8>,
}
