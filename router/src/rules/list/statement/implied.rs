//! Matches that others imply are not listed.

use crate::rules::catalog::types;
use crate::rules::model::{
    Comparison, Expression, Field, Match, MetaKey, Reject, Right, Rule, Selector, Statement, TableFamily,
    Target, Type,
};

/// Which of a rule's statements are listed: not those matches that others imply (`payload_dependency_kill`).
pub(crate) fn shown(family: TableFamily, rule: &Rule) -> Vec<bool> {
    let mut shown: Vec<bool> = Vec::with_capacity(rule.statements.len());
    let none = Implied { in_bridge: family == TableFamily::Bridge, ..Implied::default() };
    let mut implied = none.clone();
    for (at, statement) in rule.statements.iter().enumerate() {
        if let Statement::Match(found) = statement {
            implied.forget_read_by(&found.left, &mut shown);
            if let Right::Expression(right) = &found.right {
                implied.forget_read_by(right, &mut shown);
            }
            implied.remember(found, at);
        } else {
            match statement {
                Statement::VerdictMap { key, .. } => implied.forget_read_by(key, &mut shown),
                Statement::Set { target: Target::Field(field @ Field { header: "vlan", .. }), .. } => {
                    let field = Expression::Select(Selector::Field(field));
                    implied.forget_tag(&mut shown);
                    implied.forget_read_by(&field, &mut shown);
                }
                Statement::Set { target: Target::Field(field), .. } => {
                    let field = Expression::Select(Selector::Field(field));
                    implied.forget_read_by(&field, &mut shown);
                }
                Statement::Reject(Reject::Icmp(_)) => implied.forget_network(0x0800, &mut shown),
                Statement::Reject(Reject::Icmpv6(_)) => implied.forget_network(0x86dd, &mut shown),
                Statement::Set { value, .. } if none.in_bridge => implied.forget_read_by(value, &mut shown),
                Statement::Dynamic(dynamic) if none.in_bridge => {
                    implied.forget_read_by(&dynamic.key, &mut shown);
                }
                _ => {}
            }
            implied = none.clone();
        }
        shown.push(true);
    }
    shown
}

/// Matches that may turn out to be implied by what comes behind them.
#[derive(Clone, Default)]
struct Implied {
    in_bridge: bool,
    network: Option<(u16, usize)>,
    /// A tag that the EtherType says.
    tag: Option<usize>,
    transport: Option<(u8, usize)>,
}

/// EtherType of the tag that nft takes `vlan` for.
const TAG: u16 = 0x8100;

impl Implied {
    fn remember(&mut self, found: &Match, at: usize) {
        let (Expression::Select(selector), Comparison::Equal, Right::Value(value)) =
            (&found.left, found.comparison, &found.right)
        else {
            return;
        };
        let number = types::number_of_value(value);
        match selector {
            Selector::Meta(MetaKey::NetfilterProtocol) => {
                self.network = Some((if number == 2 { 0x0800 } else { 0x86dd }, at));
            }
            Selector::Field(field) if self.in_bridge && is_ether_type(field) && number == u64::from(TAG) => {
                self.tag = (field.header == "ether").then_some(at);
            }
            Selector::Meta(MetaKey::Protocol) if self.in_bridge => {
                self.network = u16::try_from(number).ok().map(|network| (network, at));
            }
            Selector::Field(field) if is_ether_type(field) => {
                self.network = u16::try_from(number).ok().map(|network| (network, at));
            }
            Selector::Meta(MetaKey::TransportProtocol) => {
                self.transport = u8::try_from(number).ok().map(|transport| (transport, at));
            }
            _ => {}
        }
    }

    fn forget_network(&mut self, network: u16, shown: &mut [bool]) {
        if let Some((known, at)) = self.network
            && known == network
        {
            shown[at] = false;
            self.network = None;
        }
    }

    fn forget_tag(&mut self, shown: &mut [bool]) {
        if let Some(at) = self.tag.take() {
            shown[at] = false;
        }
    }

    fn forget_read_by(&mut self, expression: &Expression, shown: &mut [bool]) {
        match expression {
            Expression::Select(Selector::Field(Field { header: "vlan", name, .. })) if *name != "type" => {
                self.forget_tag(shown);
            }
            Expression::Select(Selector::Extension(_)) if self.in_bridge => {
                self.forget_network(0x86dd, shown)
            }
            Expression::Select(Selector::Option(option)) if self.in_bridge && !option.of_tcp => {
                self.forget_network(0x0800, shown);
            }
            Expression::Select(Selector::Field(field)) => {
                let network = match field.header {
                    "icmp" => Some(0x0800),
                    "icmpv6" => Some(0x86dd),
                    _ => field.requires.network,
                };
                if let Some(network) = network {
                    self.forget_network(network, shown);
                }
                if let (Some((known, at)), [needed]) = (self.transport, field.requires.transport)
                    && known == *needed
                {
                    shown[at] = false;
                    self.transport = None;
                }
            }
            Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => {
                self.forget_read_by(inner, shown)
            }
            Expression::Map { key, .. } => self.forget_read_by(key, shown),
            Expression::Concat(parts) => parts.iter().for_each(|part| self.forget_read_by(part, shown)),
            _ => {}
        }
    }
}

fn is_ether_type(field: &Field) -> bool {
    matches!((field.header, field.name), ("ether" | "vlan", "type"))
}

/// Whether `reject with tcp reset` asks for TCP and no statement says so.
pub(crate) fn implies_tcp(rule: &Rule) -> bool {
    let resets = rule.statements.iter().any(|it| matches!(it, Statement::Reject(Reject::TcpReset)));
    let says_tcp = |statement: &Statement| match statement {
        Statement::Match(found) => match &found.left {
            Expression::Select(
                Selector::Meta(MetaKey::TransportProtocol)
                | Selector::Field(Field { kind: Type::Protocol, .. }),
            ) => found.comparison == Comparison::Equal && found.right == Right::Value(smallvec::smallvec![6]),
            left => reads_tcp(left),
        },
        Statement::VerdictMap { key, .. } => reads_tcp(key),
        _ => false,
    };
    resets && !rule.statements.iter().any(says_tcp)
}

fn reads_tcp(expression: &Expression) -> bool {
    match expression {
        Expression::Select(Selector::Field(field)) => field.header == "tcp",
        Expression::Select(Selector::Option(option)) => option.of_tcp,
        Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => reads_tcp(inner),
        Expression::Map { key, .. } => reads_tcp(key),
        Expression::Concat(parts) => parts.iter().any(reads_tcp),
        _ => false,
    }
}
