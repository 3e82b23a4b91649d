//! What is read of packets: selectors, masks, shifts, concatenations, maps and hashes.

use std::sync::Arc;

use super::constant::{self, described, is_constant, number_of, ones, value_of};
use super::link::Tells;
use super::protocol::Protocols;
use super::set::{Draft, SetWish};
use super::{Environment, Result, refuse};
use crate::rules::catalog::{fields, keys, options, types};
use crate::rules::model::{
    Base, Comparison, Ctype, DataType, Direction, Expression, FibBy, FibResult, Field, Hash, Match,
    NumberSource, Right, RouteKey, Selector, SetRef, Statement, TableFamily, Type, Value,
};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, BinaryOperator, ExpressionKind};

/// The place where expressions are checked: a rule, or the declaration of a set.
pub(super) struct Scope<'a> {
    /// What names stand for.
    pub environment: &'a Environment,
    /// The table, into which anonymous sets go.
    pub draft: &'a mut Draft,
    /// What is known of protocols so far.
    pub protocols: Protocols,
    /// The rule has asked for an ICMP type, so that fields only some types have need not.
    pub asked_icmp_type: bool,
    /// Matches that the statement at hand needs before it.
    pub implied: Vec<Statement>,
}

impl Scope<'_> {
    /// The family of the table.
    pub(super) fn family(&self) -> TableFamily {
        self.draft.family()
    }

    /// Something that is read of a packet, or made of what is read.
    pub(super) fn read(&mut self, expression: &tree::Expression) -> Result<Expression> {
        let expression = expression.resolved();
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::Selector(selector) => self.selector(selector, span),
            ExpressionKind::Binary(operator, left, right) => self.binary(*operator, left, right, span),
            ExpressionKind::Concatenation(parts) => {
                let mut read = Vec::with_capacity(parts.len());
                for part in parts {
                    let part_read = self.read(part)?;
                    if part_read.types().iter().any(|kind| kind.bits() == 0) {
                        return refuse(part.span, "this cannot be part of a concatenation");
                    }
                    read.push(part_read);
                }
                let whole = Expression::Concat(read);
                if key_bytes(&whole.types()) > KEY_BYTES_MAX {
                    return refuse(span, format!("a concatenation has at most {KEY_BYTES_MAX} bytes"));
                }
                Ok(whole)
            }
            ExpressionKind::Map(key, map) => self.map(key, map, None),
            _ => refuse(span, "something that is read of a packet belongs here, such as `ip saddr`"),
        }
    }

    /// A value for something of this type: known, read, or looked up.
    pub(super) fn value(&mut self, expression: &tree::Expression, kind: Type) -> Result<Expression> {
        let expression = expression.resolved();
        if is_constant(expression) {
            return Ok(Expression::Value(kind, constant::single(expression, kind, self.environment)?));
        }
        let read = match &expression.kind {
            ExpressionKind::Map(key, map) => self.map(key, map, Some(kind))?,
            _ => self.read(expression)?,
        };
        let found = read.types();
        if found.len() != 1 || !fits(found[0], kind) {
            let found: Vec<_> = found.into_iter().map(types::name).collect();
            let message = format!("{} where {} belongs", found.join(" . "), described(kind));
            return refuse(expression.span, message);
        }
        Ok(read)
    }

    /// `key map { … }`, `key map @name`; of anonymous maps the data has this type.
    pub(super) fn map(
        &mut self,
        key: &tree::Expression,
        map: &tree::Expression,
        data: Option<Type>,
    ) -> Result<Expression> {
        let key = self.read(key)?;
        let map = map.resolved();
        let (reference, data) = match &map.kind {
            ExpressionKind::SetReference(name) => {
                let set = self.draft.referred(name, &key.types(), map.span)?;
                match &set.data {
                    Some(DataType::Values { types, .. }) if types.len() == 1 => {
                        (SetRef(set.name.clone()), types[0])
                    }
                    Some(_) => {
                        return refuse(map.span, format!("map `{name}` does not lead to single values"));
                    }
                    None => {
                        return refuse(map.span, format!("`{name}` is a set: only a map leads to values"));
                    }
                }
            }
            ExpressionKind::Set(elements) => {
                let Some(data) = data else {
                    return refuse(
                        map.span,
                        "what the data of this map are is not known here; name a map with a type",
                    );
                };
                let wish = SetWish {
                    key: key.types(),
                    data: Some(DataType::Values { types: vec![data], interval: false }),
                };
                (self.draft.anonymous(&wish, elements, map.span, self.environment)?, data)
            }
            _ => return refuse(map.span, "a map in braces, or the name of one as `@name`, belongs here"),
        };
        Ok(Expression::Map { key: Box::new(key), map: reference, data })
    }

    fn binary(
        &mut self,
        operator: BinaryOperator,
        left: &tree::Expression,
        right: &tree::Expression,
        span: Span,
    ) -> Result<Expression> {
        let shift = matches!(operator, BinaryOperator::ShiftLeft | BinaryOperator::ShiftRight);
        if is_constant(left) && !shift {
            // `0xff & meta mark` is `meta mark & 0xff`.
            if is_constant(right) {
                return refuse(span, "this depends on no packet");
            }
            return self.binary(operator, right, left, span);
        }
        let inner = self.read(left)?;
        let [kind] = inner.types()[..] else {
            return refuse(left.span, "operators work on single values, not on concatenations");
        };
        if matches!(kind, Type::InterfaceName | Type::Text(_) | Type::Boolean | Type::Verdict) {
            return refuse(left.span, format!("operators do not work on {}", types::name(kind)));
        }
        if shift {
            if !is_constant(right) {
                return refuse(right.span, "how far to shift must be a number");
            }
            let by = number_of(&constant::single(right, Type::Integer(32), self.environment)?);
            if by >= u128::from(kind.bits()) {
                return refuse(right.span, format!("shifts beyond the {} bits there are", kind.bits()));
            }
            let by = i8::try_from(by).expect("below 128");
            let bits = if operator == BinaryOperator::ShiftLeft { by } else { -by };
            return Ok(Expression::Shift { inner: Box::new(inner), bits });
        }
        if !is_constant(right) {
            let right_read = self.read(right)?;
            if right_read.types() != [kind] {
                return refuse(right.span, format!("both sides must be {}", described(kind)));
            }
            let operator = operator.symbol().as_bytes()[0];
            return Ok(Expression::Join { operator, left: Box::new(inner), right: Box::new(right_read) });
        }
        let value = number_of(&constant::single(right, kind, self.environment)?);
        let all = ones(kind.bits());
        let (mask, flip) = match operator {
            BinaryOperator::And => (value, 0),
            BinaryOperator::Or => (all & !value, value),
            _ => (all, value),
        };
        Ok(bitwise(inner, mask, flip, kind.bits()))
    }

    fn selector(&mut self, selector: &tree::Selector, span: Span) -> Result<Expression> {
        use tree::Selector as S;
        let read = match selector {
            S::Meta(key) => self.meta(*key, span)?,
            S::Ct { direction, key } => self.ct(direction.map(keys::direction), *key, span)?,
            S::Field(field) => Selector::Field(self.field(*field, span)?),
            S::Raw(raw) => raw_payload(raw, span)?,
            S::ExtensionHeader(header) => {
                self.need_network(0x86dd, Tells::Link, span)?;
                Selector::Extension(options::extension(*header))
            }
            S::ExtensionField(field) => {
                self.need_network(0x86dd, Tells::Link, span)?;
                match options::extension_field(*field) {
                    Some(field) => Selector::Extension(field),
                    None => {
                        return refuse(span, "addresses inside routing headers are not read by this router");
                    }
                }
            }
            S::TcpOption { option, field } => {
                self.protocols.transport(6, span)?;
                match options::tcp(*option, *field) {
                    Some(field) => Selector::Option(field),
                    None => return refuse(span, "this TCP option has no such field"),
                }
            }
            S::IpOption { option, field } => {
                self.need_network(0x0800, Tells::Link, span)?;
                match options::ipv4(*option, *field) {
                    Some(field) => Selector::Option(field),
                    None => return refuse(span, "this IPv4 option has no such field"),
                }
            }
            S::Fib { keys, result } => {
                self.only_routed("`fib`", "looks into routes", span)?;
                fib(keys, *result, span)?
            }
            S::Route { family, key } => {
                self.only_routed("`rt`", "reads a packet's route", span)?;
                self.route(*family, *key, span)?
            }
            S::NumberGenerator { mode, modulus, offset } => {
                let source = match mode {
                    tree::NumberMode::Incremental => NumberSource::Incremental(Arc::default()),
                    tree::NumberMode::Random => NumberSource::Random,
                };
                range_of_results(*modulus, *offset, span)?;
                return Ok(Expression::Number { source, modulus: *modulus, offset: *offset });
            }
            S::JenkinsHash { expression, modulus, seed, offset } => {
                range_of_results(*modulus, *offset, span)?;
                let key = self.read(expression)?;
                let hash =
                    Hash { key: Some(key), modulus: *modulus, seed: seed.unwrap_or(0), offset: *offset };
                return Ok(Expression::Hash(Box::new(hash)));
            }
            S::SymmetricHash { modulus, offset } => {
                range_of_results(*modulus, *offset, span)?;
                let hash = Hash { key: None, modulus: *modulus, seed: 0, offset: *offset };
                return Ok(Expression::Hash(Box::new(hash)));
            }
            S::TcpOptionRaw { .. } => {
                return refuse(span, "raw TCP options are not read by this router; name the option");
            }
            S::SctpChunk { .. } | S::DccpOption(_) => {
                return refuse(span, "SCTP chunks and DCCP options are not read by this router");
            }
            S::Socket(_) | S::SocketCgroup { .. } | S::Fingerprint { .. } => {
                return refuse(
                    span,
                    "sockets are the kernel's: a packet passing through this router has none",
                );
            }
            S::Ipsec { .. } | S::Tunnel(_) | S::Inner { .. } => {
                return refuse(
                    span,
                    "tunnels and IPsec end in the kernel: this router does not see inside them",
                );
            }
        };
        Ok(Expression::Select(read))
    }

    fn field(&mut self, field: tree::Field, span: Span) -> Result<&'static Field> {
        let field = self.field_of_header(field, span)?;
        self.need_icmp_types(field);
        Ok(field)
    }

    /// A field of a header, and the matches that nft puts before it.
    pub(super) fn field_of_header(&mut self, field: tree::Field, span: Span) -> Result<&'static Field> {
        let (header, name) = fields::words(field);
        if header == "vlan" {
            return self.field_of_tag(name, span);
        }
        let Some(field) = fields::named(header, name) else {
            return refuse(span, format!("`{header} {name}` is not read by this router"));
        };
        self.need_headers(field, span)?;
        Ok(field)
    }

    /// As nft does, asks for one of the types that have a field, where the rule has not asked for a type already.
    fn need_icmp_types(&mut self, field: &'static Field) {
        let types = field.requires.icmp_types;
        if types.len() < 2 || std::mem::replace(&mut self.asked_icmp_type, true) {
            return;
        }
        let type_field = fields::named(field.header, "type").expect("ICMP has types");
        let keys = types.iter().map(|kind| smallvec::smallvec![*kind]).collect();
        let set = self.draft.implied(type_field.kind, keys);
        self.implied.push(Statement::Match(Match {
            left: Expression::Select(Selector::Field(type_field)),
            comparison: Comparison::Equal,
            right: Right::Set(set),
        }));
    }

    fn meta(&mut self, key: tree::MetaKey, span: Span) -> Result<Selector> {
        use tree::MetaKey as K;
        let is_bridge = self.family() == TableFamily::Bridge;
        let why = match key {
            K::Nfproto if is_bridge || self.family() == TableFamily::Arp => {
                "frames of all protocols pass here: match `meta protocol`"
            }
            K::Ibrname | K::Obrname | K::Ibrhwaddr if !is_bridge => {
                "only tables of family bridge ask for bridges"
            }
            K::Ibrpvid | K::Ibrvproto => "bridges of this router sort frames by no VLAN: match `vlan id`",
            K::Broute => "`broute` is only set, not read",
            K::Iifgroup | K::Oifgroup | K::Iifkind | K::Oifkind => {
                "this router does not know groups and kinds of interfaces: match their names"
            }
            K::Rtclassid => "this router's routes have no realms",
            K::Cpu => {
                "which worker a packet meets is for this router to choose: spread with `numgen` or `jhash`"
            }
            _ if keys::meta(key).is_some() => "",
            K::Skuid | K::Skgid | K::Cgroup => {
                "sockets are the kernel's: a packet passing through this router has none"
            }
            K::Secmark => "security marks are the kernel's",
            K::Ipsec => "IPsec is the kernel's",
            K::Nftrace => "`nftrace` is only set, not read",
            _ => "this router knows no VRF",
        };
        if let (Some(key), "") = (keys::meta(key), why) {
            return Ok(Selector::Meta(key));
        }
        refuse(span, format!("`meta {key}`: {why}"))
    }

    fn ct(&mut self, direction: Option<Direction>, key: tree::CtKey, span: Span) -> Result<Selector> {
        use tree::CtKey as K;
        self.only_routed("`ct`", "reads what is tracked", span)?;
        let key = match (key, self.family()) {
            (K::Saddr, TableFamily::Ip) => K::SaddrIpv4,
            (K::Saddr, TableFamily::Ip6) => K::SaddrIpv6,
            (K::Daddr, TableFamily::Ip) => K::DaddrIpv4,
            (K::Daddr, TableFamily::Ip6) => K::DaddrIpv6,
            (K::Saddr | K::Daddr, _) => {
                let key = key.word();
                let message =
                    format!("of which family? Say `ct original ip {key}` or `ct original ip6 {key}`");
                return refuse(span, message);
            }
            (key, _) => key,
        };
        let Some(found) = keys::ct(key) else {
            return refuse(span, format!("`ct {key}` is not read by this router"));
        };
        let needs = matches!(
            found,
            Ctype::SourceIpv4
                | Ctype::DestinationIpv4
                | Ctype::SourceIpv6
                | Ctype::DestinationIpv6
                | Ctype::SourcePort
                | Ctype::DestinationPort
        );
        let may = needs || matches!(found, Ctype::Packets | Ctype::Bytes | Ctype::AverageBytes | Ctype::Zone);
        let may_be_dropped = matches!(found, Ctype::NetworkProtocol | Ctype::Protocol);
        match direction {
            None if needs => {
                refuse(span, format!("of which direction? Say `ct original {key}` or `ct reply {key}`"))
            }
            Some(_) if may_be_dropped => Ok(Selector::Ct { key: found, direction: None }),
            Some(_) if !may => refuse(span, format!("`ct {key}` is the same in both directions")),
            direction => Ok(Selector::Ct { key: found, direction }),
        }
    }

    fn route(&mut self, family: Option<tree::Family>, key: tree::RouteKey, span: Span) -> Result<Selector> {
        let key = match (key, family, self.family()) {
            (tree::RouteKey::Classid, ..) => return refuse(span, "this router's routes have no realms"),
            (tree::RouteKey::Mtu, ..) => {
                self.protocols.transport(6, span)?;
                RouteKey::Mtu
            }
            (tree::RouteKey::Ipsec, ..) => return refuse(span, "IPsec is the kernel's"),
            (tree::RouteKey::Nexthop, Some(tree::Family::Ip), _)
            | (tree::RouteKey::Nexthop, None, TableFamily::Ip) => {
                self.protocols.network(0x0800, span)?;
                RouteKey::NextHopIpv4
            }
            (tree::RouteKey::Nexthop, Some(tree::Family::Ip6), _)
            | (tree::RouteKey::Nexthop, None, TableFamily::Ip6) => {
                self.protocols.network(0x86dd, span)?;
                RouteKey::NextHopIpv6
            }
            (tree::RouteKey::Nexthop, ..) => {
                return refuse(span, "of which family? Say `rt ip nexthop` or `rt ip6 nexthop`");
            }
        };
        Ok(Selector::Route(key))
    }

    /// Refuses in tables of frames what only IP packets on their way through the router have.
    pub(super) fn only_routed(&self, what: &str, does: &str, span: Span) -> Result<()> {
        match self.family() {
            TableFamily::Arp | TableFamily::Bridge => {
                let family = self.family().name();
                refuse(
                    span,
                    format!("{what} {does}: {family} frames have not come so far, use ip, ip6 or inet"),
                )
            }
            _ => Ok(()),
        }
    }
}

/// Bytes that a key may have (`NFT_DATA_VALUE_MAXLEN`).
const KEY_BYTES_MAX: usize = 64;

/// Bytes of a key with parts of these types.
pub(super) fn key_bytes(types: &[Type]) -> usize {
    match types {
        [one] => one.bytes(),
        parts => parts.iter().map(|kind| kind.padded_bytes()).sum(),
    }
}

/// `(inner & mask) ^ flip`, put together with what `inner` does already.
fn bitwise(inner: Expression, mask: u128, flip: u128, bits: u16) -> Expression {
    let value = |number: u128| -> Value { value_of(number, bits).expect("no more bits than the type has") };
    match inner {
        Expression::Bitwise { inner, mask: before, flip: flipped } => {
            let mask_all = number_of(&before) & mask;
            let flip_all = number_of(&flipped) & mask ^ flip;
            Expression::Bitwise { inner, mask: value(mask_all), flip: value(flip_all) }
        }
        inner => Expression::Bitwise { inner: Box::new(inner), mask: value(mask), flip: value(flip) },
    }
}

/// Whether a value of one type may be taken for another: numbers of the same width.
pub(super) fn fits(found: Type, wanted: Type) -> bool {
    let is_text = |kind| matches!(kind, Type::InterfaceName | Type::Text(_));
    let is_number = |kind: Type| !is_text(kind) && kind.bits() <= 32;
    found == wanted
        || is_number(found) && is_number(wanted) && found.bytes() == wanted.bytes()
        || is_text(found) && is_text(wanted) && found.bytes() == wanted.bytes()
        || matches!(found, Type::Integer(32)) && is_number(wanted) && wanted.bits() == 16
}

fn raw_payload(raw: &tree::RawPayload, span: Span) -> Result<Selector> {
    let base = raw_base(raw.base);
    let (Ok(offset), Ok(length)) = (u16::try_from(raw.offset_bits), u16::try_from(raw.length_bits)) else {
        return refuse(span, "this lies beyond any header");
    };
    if length == 0 || length > 128 {
        return refuse(span, "1 to 128 bits can be read at once");
    }
    if offset > 8 * 1500 {
        return refuse(span, "this lies beyond any header");
    }
    Ok(Selector::Raw { base, offset, length })
}

/// Where raw payload is read from.
pub(super) const fn raw_base(base: tree::RawBase) -> Base {
    match base {
        tree::RawBase::Link => Base::Link,
        tree::RawBase::Network => Base::Network,
        tree::RawBase::Transport => Base::Transport,
        tree::RawBase::Inner => Base::Inner,
    }
}

fn fib(words: &[tree::FibKey], result: tree::FibResult, span: Span) -> Result<Selector> {
    let mut by = FibBy::default();
    for word in words {
        match word {
            tree::FibKey::Saddr => by.source = true,
            tree::FibKey::Daddr => by.destination = true,
            tree::FibKey::Mark => by.mark = true,
            tree::FibKey::Iif => by.input = true,
            tree::FibKey::Oif => by.output = true,
        }
    }
    if by.source == by.destination {
        return refuse(span, "`fib` looks up either `saddr` or `daddr`");
    }
    if by.input && by.output {
        return refuse(span, "`fib` is restricted to `iif` or to `oif`, not to both");
    }
    let result = keys::fib_result(result);
    if by.output && result != FibResult::AddressType {
        return refuse(span, "`fib … oif` with a result other than `type` is not known to nft");
    }
    Ok(Selector::Fib { by, result })
}

fn range_of_results(modulus: u32, offset: u32, span: Span) -> Result<()> {
    if modulus == 0 {
        return refuse(span, "`mod` must be above 0");
    }
    if modulus.checked_sub(1).and_then(|most| most.checked_add(offset)).is_none() {
        return refuse(span, "the offset leads beyond 32 bits");
    }
    Ok(())
}
