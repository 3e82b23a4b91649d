//! Models by hand, and a router they run on.

use std::sync::Arc;

use crate::chain::Point;
use crate::rules::install::RuleHooks;
use crate::rules::model::{
    Base, BaseChain, Chain, ChainKind, Comparison, Element, ElementKey, Expression, Field, Match, MetaKey,
    Policy, Requires, Right, Rule, Ruleset, Selector, Set, SetFlags, SetRef, Statement, Table, TableFamily,
    Type, Value, Verdict,
};
use crate::rules::run::World;
use crate::rules::state::Counter;
use crate::tabletop::Tabletop;
use crate::tabletop::frames::HOST;

pub const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];

const fn field(
    header: &'static str,
    name: &'static str,
    base: Base,
    offset: u16,
    kind: Type,
    requires: Requires,
) -> Field {
    Field { header, name, base, offset, length: kind.bits(), kind, requires }
}

const IPV4: Requires = Requires { network: Some(0x0800), transport: &[], icmp_types: &[] };
const IPV6: Requires = Requires { network: Some(0x86dd), transport: &[], icmp_types: &[] };
const TCP: Requires = Requires { network: None, transport: &[6], icmp_types: &[] };
const UDP: Requires = Requires { network: None, transport: &[17], icmp_types: &[] };
const ANY_PORTS: Requires = Requires { network: None, transport: &[6, 17, 33, 132, 136], icmp_types: &[] };
const ECHO: Requires = Requires { network: Some(0x0800), transport: &[1], icmp_types: &[0, 8] };

pub static IP_SADDR: Field = field("ip", "saddr", Base::Network, 96, Type::Ipv4Address, IPV4);
pub static IP_DADDR: Field = field("ip", "daddr", Base::Network, 128, Type::Ipv4Address, IPV4);
pub static IP_PROTOCOL: Field = field("ip", "protocol", Base::Network, 72, Type::Protocol, IPV4);
pub static TCP_DPORT: Field = field("tcp", "dport", Base::Transport, 16, Type::Service, TCP);
pub static IP_TTL: Field = field("ip", "ttl", Base::Network, 64, Type::Integer(8), IPV4);
pub static IP_DSCP: Field = field("ip", "dscp", Base::Network, 8, Type::Dscp, IPV4);
pub static IP6_SADDR: Field = field("ip6", "saddr", Base::Network, 64, Type::Ipv6Address, IPV6);
pub static TCP_FLAGS: Field = field("tcp", "flags", Base::Transport, 104, Type::TcpFlag, TCP);
pub static UDP_DPORT: Field = field("udp", "dport", Base::Transport, 16, Type::Service, UDP);
pub static TH_DPORT: Field = field("th", "dport", Base::Transport, 16, Type::Service, ANY_PORTS);
pub static ICMP_ID: Field = field("icmp", "id", Base::Transport, 32, Type::Integer(16), ECHO);

/// A value of a few bytes.
pub fn value(bytes: &[u8]) -> Value {
    Value::from_slice(bytes)
}

pub fn select(field: &'static Field) -> Expression {
    Expression::Select(Selector::Field(field))
}

pub const fn meta(key: MetaKey) -> Expression {
    Expression::Select(Selector::Meta(key))
}

pub fn compare(left: Expression, comparison: Comparison, right: Right) -> Statement {
    Statement::Match(Match { left, comparison, right })
}

pub fn equals(left: Expression, bytes: &[u8]) -> Statement {
    compare(left, Comparison::Equal, Right::Value(value(bytes)))
}

pub fn in_set(left: Expression, set: &str) -> Statement {
    compare(left, Comparison::Equal, Right::Set(SetRef(set.into())))
}

pub const fn verdict(verdict: Verdict) -> Statement {
    Statement::Verdict(verdict)
}

pub fn rule(statements: Vec<Statement>) -> Arc<Rule> {
    Arc::new(Rule { handle: 1, comment: None, statements })
}

pub fn base(name: &str, point: Point, priority: i32, policy: Policy, rules: Vec<Arc<Rule>>) -> Arc<Chain> {
    let base = BaseChain { kind: ChainKind::Filter, point, priority, policy };
    Arc::new(Chain { name: name.into(), handle: 1, comment: None, base: Some(base), rules })
}

pub fn chain(name: &str, rules: Vec<Arc<Rule>>) -> Arc<Chain> {
    Arc::new(Chain { name: name.into(), handle: 1, comment: None, base: None, rules })
}

pub fn set(name: &str, key: &[Type], elements: Vec<Element>) -> Set {
    Set {
        name: name.into(),
        handle: 1,
        anonymous: false,
        comment: None,
        key: key.to_vec(),
        typeof_text: None,
        data: None,
        flags: SetFlags::default(),
        timeout_ms: None,
        gc_interval_ms: None,
        size: None,
        policy_memory: false,
        auto_merge: false,
        element_state: Vec::new(),
        elements: Arc::new(elements),
        live: None,
    }
}

pub const fn element(key: ElementKey) -> Element {
    Element { key, data: None, comment: None, timeout_ms: None, state: Vec::new() }
}

pub fn table(family: TableFamily, chains: Vec<Arc<Chain>>, sets: Vec<Set>) -> Ruleset {
    let table = Table {
        family,
        name: "t".into(),
        handle: 1,
        dormant: false,
        comment: None,
        chains,
        sets: sets.into_iter().map(Arc::new).collect(),
        objects: Vec::new(),
        next_handle: 2,
    };
    Ruleset { tables: vec![Arc::new(table)], next_handle: 2 }
}

/// A counter, and the statement that counts with it.
pub fn counter() -> (Arc<Counter>, Statement) {
    let counter = Arc::new(Counter::default());
    (counter.clone(), Statement::Counter(counter))
}

/// A router between two hosts in each family.
pub struct Ground {
    pub table: Tabletop,
    pub rules: RuleHooks,
}

impl Ground {
    pub fn new() -> Self {
        let mut table = Tabletop::new(&["r0", "r1"]);
        for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (0, "fd00::1/64"), (1, "fd01::1/64")] {
            table.address(port, net);
        }
        let neighbors = [
            (0, "10.0.0.2", HOST.0),
            (1, "10.0.1.2", SERVER),
            (0, "fd00::2", HOST.0),
            (1, "fd01::2", SERVER),
        ];
        for (port, address, mac) in neighbors {
            table.neighbor(port, address, Some(mac));
        }
        let shared = table.shared();
        let world = World::new(shared.flows.clone(), shared.ports.clone(), 7);
        Self { table, rules: RuleHooks::new(Arc::new(world)) }
    }

    pub fn with(ruleset: &Ruleset) -> Self {
        let ground = Self::new();
        ground.install(ruleset);
        ground
    }

    pub fn install(&self, ruleset: &Ruleset) {
        self.rules.install(self.table.hooks(), ruleset).unwrap();
    }

    /// Sends a frame from the first host; what came out at the second.
    pub fn pass(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.table.pass(0, frame);
        self.table.hooks().fold();
        self.table.take(1).into_iter().map(|parcel| parcel.bytes).collect()
    }

    /// Whether a frame from the first host came out at the second.
    pub fn passes(&mut self, frame: &[u8]) -> bool {
        !self.pass(frame).is_empty()
    }
}

/// A ruleset of one forward chain, with a counter for each of the rules.
pub fn counted(
    family: TableFamily,
    rules: Vec<Vec<Statement>>,
    sets: Vec<Set>,
) -> (Ruleset, Vec<Arc<Counter>>) {
    let mut counters = Vec::new();
    let rules = rules.into_iter().map(|mut statements| {
        let (counted, statement) = counter();
        counters.push(counted);
        statements.push(statement);
        rule(statements)
    });
    let chain = base("forward", Point::Forward, 0, Policy::Accept, rules.collect());
    (table(family, vec![chain], sets), counters)
}

/// How often each rule was passed.
pub fn counts(counters: &[Arc<Counter>]) -> Vec<u64> {
    counters.iter().map(|counter| counter.read().0).collect()
}
