//! Statements that change the packet, its flow, or a set.

use super::super::expression::{Scope, raw_base};
use super::super::set::milliseconds;
use super::super::{Result, refuse};
use super::element_state;
use crate::rules::catalog::{keys, options};
use crate::rules::model::{
    DataType, Dynamic, DynamicOperation, SetRef, Statement, TableFamily, Target, Type,
};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, ExpressionKind};

impl Scope<'_> {
    pub(super) fn set_meta(
        &mut self,
        key: tree::MetaKey,
        value: &tree::Expression,
        span: Span,
    ) -> Result<Statement> {
        use tree::MetaKey as K;
        let (target, kind) = match key {
            K::Mark => (Target::MetaMark, Type::Mark),
            K::Priority => (Target::MetaPriority, Type::ClassId),
            K::Pkttype if self.family() == TableFamily::Arp => {
                return refuse(span, "the packet type of ARP frames is not set");
            }
            K::Pkttype => (Target::MetaPacketType, Type::PacketType),
            K::Nftrace => (Target::MetaTrace, Type::Integer(1)),
            K::Broute if self.family() == TableFamily::Bridge => (Target::MetaBroute, Type::Integer(1)),
            K::Broute => {
                return refuse(
                    span,
                    "`meta broute` takes frames out of a bridge: it belongs into a table of family bridge",
                );
            }
            other => return refuse(span, format!("`meta {other}` cannot be set by this router")),
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    pub(super) fn set_ct(
        &mut self,
        direction: Option<tree::CtDirection>,
        key: tree::CtKey,
        value: &tree::Expression,
        span: Span,
    ) -> Result<Statement> {
        use tree::CtKey as K;
        self.only_routed("`ct`", "changes what is tracked", span)?;
        let direction = direction.map(keys::direction);
        let (target, kind) = match key {
            K::Zone => (Target::CtZone(direction), Type::Integer(16)),
            _ if direction.is_some() => {
                return refuse(span, format!("`ct {key}` is the same in both directions"));
            }
            K::Mark => (Target::CtMark, Type::Mark),
            K::Label => (Target::CtLabel, Type::CtLabel),
            K::Event => {
                return refuse(
                    span,
                    "whoever listens to this router's events chooses among them: leave out `ct event`",
                );
            }
            other => return refuse(span, format!("`ct {other}` cannot be set")),
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    pub(super) fn set_field(
        &mut self,
        field: tree::Settable,
        value: &tree::Expression,
        span: Span,
    ) -> Result<Statement> {
        let (target, kind) = match field {
            tree::Settable::Field(field) => {
                let field = self.field_of_header(field, span)?;
                (Target::Field(field), field.kind)
            }
            tree::Settable::Raw(raw) => {
                let (Ok(offset), Ok(length)) =
                    (u16::try_from(raw.offset_bits), u16::try_from(raw.length_bits))
                else {
                    return refuse(span, "this lies beyond any header");
                };
                if length == 0 || length > 128 || offset > 8 * 1500 {
                    return refuse(span, "1 to 128 bits of a header can be changed at once");
                }
                let target = Target::Raw { base: raw_base(raw.base), offset, length };
                (target, Type::Integer(length))
            }
            tree::Settable::TcpOption(option, field) => {
                self.protocols.transport(6, span)?;
                match options::tcp(option, Some(field)) {
                    Some(field) if matches!(field.length, 8 | 16 | 32) => (Target::Option(field), field.kind),
                    _ => return refuse(span, "this field of a TCP option cannot be changed"),
                }
            }
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    pub(super) fn set_update(&mut self, update: &tree::SetUpdate) -> Result<Statement> {
        let key = self.read(&update.key)?;
        let span = update.set.span;
        let set = self.draft.referred(&update.set.value, &key.types(), span)?.clone();
        if set.live.is_none() {
            let message = format!("packets do not change `{}`: declare it with `flags dynamic`", set.name);
            return refuse(span, message);
        }
        let operation = match update.operation {
            tree::SetOperation::Add => DynamicOperation::Add,
            tree::SetOperation::Update => DynamicOperation::Update,
            tree::SetOperation::Delete => DynamicOperation::Delete,
        };
        if let Some(timeout) = &update.timeout
            && !set.flags.timeout
        {
            return refuse(
                timeout.span,
                format!("elements of `{}` do not end: declare it with `flags timeout`", set.name),
            );
        }
        if let Some(expires) = &update.expires {
            return refuse(
                expires.span,
                "`expires` belongs to elements that are restored, not to what packets add",
            );
        }
        let (mut data, mut verdict) = (None, None);
        match (&set.data, &update.data) {
            (None, None) => {}
            (Some(DataType::Values { types, interval: false }), Some(value)) if types.len() == 1 => {
                data = Some(self.value(value, types[0])?);
            }
            (Some(DataType::Values { types, interval: false }), Some(value)) => {
                let read = self.read(value)?;
                if read.types() != *types {
                    return refuse(value.span, "the data are of another type than the map's");
                }
                data = Some(read);
            }
            (Some(DataType::Verdict), Some(value)) => match &value.resolved().kind {
                ExpressionKind::Verdict(found) => verdict = Some(self.draft.verdict(found)?),
                _ => return refuse(value.span, "a verdict belongs here"),
            },
            (Some(_), Some(value)) => return refuse(value.span, "packets cannot add such data"),
            (Some(_), None) if operation == DynamicOperation::Delete => {}
            (Some(_), None) => return refuse(span, format!("`{}` is a map: say `: data` too", set.name)),
            (None, Some(value)) => {
                return refuse(value.span, format!("`{}` is a set and leads to nothing", set.name));
            }
        }
        let mut states = Vec::with_capacity(update.statements.len());
        for statement in &update.statements {
            states.push(element_state(statement, self.environment.now)?);
        }
        Ok(Statement::Dynamic(Dynamic {
            operation,
            set: SetRef(set.name.clone()),
            key,
            data,
            verdict,
            timeout_ms: update.timeout.as_ref().map(|timeout| milliseconds(timeout.value)),
            state: states,
        }))
    }
}
