//! Comparisons (`expr_evaluate_relational` of nftables).

use super::constant::{self, Part, described, is_constant, number_of, ones};
use super::expression::{Scope, fits};
use super::set::{SetWish, bounds, element_key};
use super::{Result, refuse};
use crate::rules::catalog::types;
use crate::rules::model::{
    Comparison, ElementKey, Expression, FibResult, Field, Match, MetaKey, Right, Selector, SetRef, Type,
    Value,
};
use crate::rules::syntax::source::Spanned;
use crate::rules::syntax::tree::{self, ExpressionKind, Relation};

impl Scope<'_> {
    /// A comparison of what is read with something.
    pub(super) fn matching(
        &mut self,
        left: &tree::Expression,
        relation: &Spanned<Relation>,
        right: &tree::Expression,
    ) -> Result<Match> {
        let mut read = self.read(left)?;
        let right = right.resolved();
        if let ExpressionKind::Exists(_) = right.kind
            && let Expression::Select(Selector::Fib { result, .. }) = &mut read
        {
            // `fib … oif exists` asks whether there is a route at all.
            *result = FibResult::Present;
        }
        let kinds = read.types();
        let found = match (&right.kind, relation.value) {
            (ExpressionKind::Set(_) | ExpressionKind::SetReference(_), relation_value) => {
                let comparison = match relation_value {
                    Relation::Implicit | Relation::Equal => Comparison::Equal,
                    Relation::NotEqual => Comparison::NotEqual,
                    _ => return refuse(relation.span, "with a set only `==` and `!=` make sense"),
                };
                let right = self.set_to_match(right, &kinds, comparison)?;
                Match { left: read, comparison, right }
            }
            _ if !is_constant(right) => {
                let other = self.read(right)?;
                let same = other.types().len() == kinds.len()
                    && other.types().iter().zip(&kinds).all(|(one, two)| fits(*one, *two));
                if !same {
                    return refuse(right.span, "both sides must be of one type");
                }
                let comparison = ordered(relation)?;
                Match { left: read, comparison, right: Right::Expression(other) }
            }
            _ => match kinds[..] {
                [kind] => self.with_constant(read, kind, relation, right)?,
                _ => self.with_concatenation(read, &kinds, relation, right)?,
            },
        };
        self.asked_icmp_type |= matches!(
            &found.left,
            Expression::Select(Selector::Field(Field { header: "icmp" | "icmpv6", name: "type", .. }))
        );
        self.learn(&found, left)?;
        Ok(found)
    }

    fn set_to_match(
        &mut self,
        right: &tree::Expression,
        kinds: &[Type],
        comparison: Comparison,
    ) -> Result<Right> {
        match &right.kind {
            ExpressionKind::SetReference(name) => {
                let set = self.draft.referred(name, kinds, right.span)?;
                if set.data.is_some() {
                    return refuse(
                        right.span,
                        format!("`{name}` is a map; it is looked up with `map @{name}` or `vmap @{name}`"),
                    );
                }
                Ok(Right::Set(SetRef(set.name.clone())))
            }
            ExpressionKind::Set(elements) => {
                // As nft does, a set of one plain element becomes a comparison with it.
                if let [element] = &elements[..]
                    && comparison == Comparison::Equal
                    && element.options.is_none()
                    && element.data.is_none()
                    && let Some(right) = self.lone(&element.key, kinds)?
                {
                    return Ok(right);
                }
                let wish = SetWish { key: kinds.to_vec(), data: None };
                Ok(Right::Set(self.draft.anonymous(&wish, elements, right.span, self.environment)?))
            }
            _ => refuse(right.span, "a set belongs here"),
        }
    }

    fn lone(&mut self, key: &tree::Expression, kinds: &[Type]) -> Result<Option<Right>> {
        let key = key.resolved();
        if matches!(key.kind, ExpressionKind::Set(_) | ExpressionKind::Otherwise) {
            return Ok(None);
        }
        let [kind] = kinds else { return Ok(None) };
        if kind.is_bitmask() {
            return Ok(None);
        }
        Ok(Some(match constant::part(key, *kind, self.environment)? {
            Part::One(value) => Right::Value(value),
            Part::Range(first, last) => Right::Range(first, last),
            Part::Prefix(value, bits) => Right::Prefix(value, bits),
        }))
    }

    fn with_constant(
        &mut self,
        left: Expression,
        kind: Type,
        relation: &Spanned<Relation>,
        right: &tree::Expression,
    ) -> Result<Match> {
        let part = constant::part(right, kind, self.environment)?;
        let comparison = match (relation.value, &part) {
            (Relation::Implicit, Part::One(_))
                if kind.is_bitmask() && !matches!(left, Expression::Bitwise { .. }) =>
            {
                Comparison::AnyBit
            }
            (Relation::Not, Part::One(_)) if kind.is_bitmask() => Comparison::NoBit,
            (Relation::Not, _) => {
                return refuse(
                    relation.span,
                    format!("`!` asks for flags that are not set; {} has none: use `!=`", types::name(kind)),
                );
            }
            (Relation::Implicit | Relation::Equal, _) => Comparison::Equal,
            (Relation::NotEqual, _) => Comparison::NotEqual,
            (_, Part::One(_)) => {
                if matches!(kind, Type::InterfaceName | Type::Text(_) | Type::Boolean) {
                    return refuse(relation.span, format!("{} has no order", types::name(kind)));
                }
                ordered(relation)?
            }
            _ => return refuse(relation.span, "a range or prefix is compared with `==` and `!=` only"),
        };
        Ok(settled(left, kind, comparison, part))
    }

    fn with_concatenation(
        &mut self,
        left: Expression,
        kinds: &[Type],
        relation: &Spanned<Relation>,
        right: &tree::Expression,
    ) -> Result<Match> {
        let comparison = match relation.value {
            Relation::Implicit | Relation::Equal => Comparison::Equal,
            Relation::NotEqual => Comparison::NotEqual,
            _ => return refuse(relation.span, "concatenations are compared with `==` and `!=` only"),
        };
        match element_key(right, kinds, self.environment)? {
            ElementKey::Value(value) => Ok(Match { left, comparison, right: Right::Value(value) }),
            key => {
                debug_assert!(bounds(&key).is_some());
                refuse(right.span, "ranges inside a concatenation need a set: put it into braces")
            }
        }
    }

    /// Takes in what a comparison says of protocols.
    fn learn(&mut self, found: &Match, left: &tree::Expression) -> Result<()> {
        if found.comparison != Comparison::Equal {
            return Ok(());
        }
        let reads_transport = |part: &Expression| {
            matches!(
                part,
                Expression::Select(Selector::Meta(MetaKey::TransportProtocol))
                    | Expression::Select(Selector::Field(Field { header: "ip", name: "protocol", .. }))
                    | Expression::Select(Selector::Field(Field { header: "ip6", name: "nexthdr", .. }))
            )
        };
        let parts = if let Expression::Concat(parts) = &found.left {
            parts
        } else {
            std::slice::from_ref(&found.left)
        };
        self.protocols.several |= parts.iter().any(reads_transport);
        let (Expression::Select(selector), Right::Value(value)) = (&found.left, &found.right) else {
            return Ok(());
        };
        let number = types::number_of_value(value);
        let transport = |number: u64| u8::try_from(number).unwrap_or(0);
        match selector {
            Selector::Meta(MetaKey::TransportProtocol) => {
                self.protocols.transport(transport(number), left.span)
            }
            Selector::Meta(MetaKey::NetfilterProtocol) => match number {
                2 => self.protocols.network(0x0800, left.span),
                10 => self.protocols.network(0x86dd, left.span),
                _ => refuse(left.span, "`meta nfproto` is `ipv4` or `ipv6`"),
            },
            Selector::Meta(MetaKey::Protocol) => {
                self.protocols.network(u16::try_from(number).unwrap_or(0), left.span)
            }
            Selector::Field(field) => match (field.header, field.name) {
                ("ip", "protocol") | ("ip6", "nexthdr") => {
                    self.protocols.transport(transport(number), left.span)
                }
                ("ether" | "vlan", "type") => {
                    self.learn_ether_type(u16::try_from(number).unwrap_or(0), left.span)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn ordered(relation: &Spanned<Relation>) -> Result<Comparison> {
    Ok(match relation.value {
        Relation::Implicit | Relation::Equal => Comparison::Equal,
        Relation::NotEqual => Comparison::NotEqual,
        Relation::Less => Comparison::Less,
        Relation::LessOrEqual => Comparison::LessOrEqual,
        Relation::Greater => Comparison::Greater,
        Relation::GreaterOrEqual => Comparison::GreaterOrEqual,
        Relation::Not => {
            return refuse(
                relation.span,
                format!("`!` belongs before flags; {} needs `!=`", described(Type::Mark)),
            );
        }
    })
}

/// One form for what can be said in several ways.
fn settled(left: Expression, kind: Type, comparison: Comparison, part: Part) -> Match {
    if let Expression::Bitwise { inner, mask, flip } = &left
        && number_of(flip) == 0
        && let Part::One(value) = &part
    {
        // `tcp flags & (fin|syn) != 0` is `tcp flags fin,syn`.
        let by_zero = number_of(value) == 0 && kind.is_bitmask();
        let bit = match comparison {
            Comparison::NotEqual if by_zero => Some(Comparison::AnyBit),
            Comparison::Equal if by_zero => Some(Comparison::NoBit),
            _ => None,
        };
        if let Some(comparison) = bit {
            return Match { left: (**inner).clone(), comparison, right: Right::Value(mask.clone()) };
        }
        // `ip saddr & 255.255.0.0 == 1.2.0.0` is `ip saddr 1.2.0.0/16`.
        if let Some(bits) = leading_bits(mask, kind)
            && matches!(kind, Type::Ipv4Address | Type::Ipv6Address)
            && matches!(comparison, Comparison::Equal | Comparison::NotEqual)
            && number_of(value) & !number_of(mask) == 0
        {
            return Match { left: (**inner).clone(), comparison, right: Right::Prefix(value.clone(), bits) };
        }
    }
    let (comparison, right) = match part {
        Part::One(value) => (comparison, Right::Value(value)),
        // An hour in UTC may end before it begins: the hours between are left out.
        Part::Range(first, last) if first > last => (opposite(comparison), Right::Range(last, first)),
        Part::Range(first, last) => (comparison, Right::Range(first, last)),
        Part::Prefix(value, bits) => (comparison, Right::Prefix(value, bits)),
    };
    Match { left, comparison, right }
}

const fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::NotEqual,
        _ => Comparison::Equal,
    }
}

/// How many leading bits a mask has, if it has no others.
fn leading_bits(mask: &Value, kind: Type) -> Option<u16> {
    let mask = number_of(mask);
    let bits = kind.bits();
    let count = u16::try_from(mask.count_ones()).ok()?;
    (count > 0 && mask == ones(bits) ^ ones(bits - count)).then_some(count)
}
