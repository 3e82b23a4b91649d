//! Statements.

use std::sync::Arc;
use std::time::Duration;

use super::expression::flow_direction;
use super::{Compiler, Never};
use crate::chain::Family;
use crate::nat::Flags;
use crate::rules::model::{
    Base, Dynamic, Element, ElementKey, Expression, Field, IdRange, Log, Nat, NatAddress, Queue, Set,
    SetFlags, Statement, Target as ModelTarget, Type, Value, Verdict,
};
use crate::rules::run::program::{
    self, Address, Ids, LogRule, Lookedup, Object, Operation, Payload, QueueRule, Sums, Target,
};
use crate::rules::run::tables::{Lookup, address};

impl Compiler<'_> {
    /// One statement.
    pub(super) fn statement(&mut self, statement: &Statement) -> Result<(), Never> {
        match statement {
            Statement::Match(matched) => self.compare(matched)?,
            Statement::Verdict(Verdict::Queue(queue)) | Statement::Queue(queue) => self.queue(queue)?,
            Statement::Verdict(verdict) => {
                let fate = self.fate(verdict);
                self.emit(Operation::Verdict(fate));
            }
            Statement::VerdictMap { key, map } => {
                let looked_up = self.looked_up(key, map)?;
                self.emit(Operation::VerdictMap(Box::new(looked_up)));
            }
            Statement::Counter(_)
            | Statement::Quota(_)
            | Statement::Limit(_)
            | Statement::CtCount(_)
            | Statement::Last(_) => self.emit(Operation::State(Box::new(statement.clone()))),
            Statement::Object { words, name } => self.object(words, name)?,
            Statement::ObjectMap { words, key, map } => {
                let looked_up = self.looked_up(key, map)?;
                self.emit(Operation::ObjectMap(Box::new((looked_up, words))));
            }
            Statement::Log(log) => self.emit(Operation::Log(Box::new(log_rule(log)))),
            Statement::Reject(reject) => self.emit(Operation::Reject(*reject)),
            Statement::Notrack => self.emit(Operation::Notrack),
            Statement::Set { target, value } => self.set_statement(target, value)?,
            Statement::ResetOption(option) => self.emit(Operation::ResetOption(Box::new(*option))),
            Statement::Nat(nat) => self.nat(nat)?,
            Statement::Dynamic(dynamic) => self.dynamic(dynamic)?,
        }
        Ok(())
    }

    /// A set made up of one key, and its place.
    pub(super) fn set_of_one(&mut self, types: &[Type], key: &Value) -> u32 {
        let element = Element {
            key: ElementKey::Value(key.clone()),
            data: None,
            comment: None,
            timeout_ms: None,
            state: Vec::new(),
        };
        let set = Set {
            name: Arc::from(""),
            handle: 0,
            anonymous: true,
            comment: None,
            key: types.to_vec(),
            typeof_text: None,
            data: None,
            flags: SetFlags::default(),
            timeout_ms: None,
            gc_interval_ms: None,
            size: None,
            policy_memory: false,
            auto_merge: false,
            element_state: Vec::new(),
            elements: Arc::new(vec![element]),
            live: None,
        };
        let place = u32::try_from(self.code.sets.len()).expect("fewer than 2^32 sets");
        let ready = Lookup::new(&set, &|verdict| self.fate(verdict), &|_| None);
        self.code.sets.push(Arc::new(ready));
        place
    }

    fn looked_up(&mut self, key: &Expression, map: &crate::rules::model::SetRef) -> Result<Lookedup, Never> {
        Ok(Lookedup { key: self.key(key)?, set: self.set(map)? })
    }

    fn queue(&mut self, queue: &Queue) -> Result<(), Never> {
        let Queue { first, last, bypass, .. } = *queue;
        if queue.choose.is_none() && first == last {
            self.emit(Operation::Verdict(program::Fate::Queue { number: first, bypass }));
            return Ok(());
        }
        let choose = queue.choose.as_ref().map(|choose| self.number(choose)).transpose()?;
        let count = u32::from(last.saturating_sub(first)) + 1;
        self.emit(Operation::Queue(Box::new(QueueRule { first, count, choose, bypass })));
        Ok(())
    }

    fn object(&mut self, words: &'static str, name: &str) -> Result<(), Never> {
        let place = self.names.object(words, name).ok_or(Never)?;
        let operation = match &self.code.objects[place as usize].object {
            Object::State(statement) => Operation::State(Box::new(statement.clone())),
            Object::Helper { helper, protocol } => Operation::Helper(Box::new((helper.clone(), *protocol))),
        };
        self.emit(operation);
        Ok(())
    }

    fn set_statement(&mut self, target: &ModelTarget, value: &Expression) -> Result<(), Never> {
        let target = match target {
            ModelTarget::Field(field) => {
                self.require(&field.requires)?;
                let payload = Payload { base: field.base, offset: field.offset, length: field.length };
                Target::Payload { payload, sums: sums(field) }
            }
            ModelTarget::Raw { base, offset, length } => {
                let payload = Payload { base: *base, offset: *offset, length: (*length).min(128) };
                Target::Payload { payload, sums: Sums { own: None, pseudo: false, crc: false } }
            }
            ModelTarget::Option(option) => Target::Option(*option),
            ModelTarget::MetaMark => Target::MetaMark,
            ModelTarget::MetaPriority => Target::MetaPriority,
            ModelTarget::MetaPacketType => Target::MetaPacketType,
            ModelTarget::MetaBroute => Target::MetaBroute,
            ModelTarget::MetaTrace => Target::MetaTrace,
            ModelTarget::CtMark => Target::CtMark,
            ModelTarget::CtLabel => {
                let value = self.number(value)?;
                self.emit(Operation::SetLabel(Box::new(value)));
                return Ok(());
            }
            ModelTarget::CtZone(direction) => Target::CtZone(direction.map(flow_direction)),
        };
        let value = self.number(value)?;
        self.emit(Operation::Set(Box::new((target, value))));
        // What was known of the packet may no longer be so.
        self.facts = super::Facts::default();
        Ok(())
    }

    fn nat(&mut self, nat: &Nat) -> Result<(), Never> {
        let of_this_family = |kind: &Type| match self.family {
            Family::Ipv4 => *kind == Type::Ipv4Address,
            _ => *kind == Type::Ipv6Address,
        };
        let kind = match &nat.address {
            Some(NatAddress::One(kind, _) | NatAddress::Range(kind, ..) | NatAddress::Prefix(kind, ..)) => {
                Some(kind)
            }
            Some(NatAddress::Mapped { kind, .. }) => Some(kind),
            None => None,
        };
        if kind.is_some_and(|kind| !of_this_family(kind)) {
            // A statement for packets of the other family does nothing to these (`nft_nat_inet_eval`).
            return Ok(());
        }
        let mut netmap = false;
        let target = match &nat.address {
            None => None,
            Some(NatAddress::One(_, expression)) => Some(Address::One(self.number(expression)?)),
            Some(NatAddress::Range(_, first, last)) => {
                Some(Address::Range(address(first).ok_or(Never)?, address(last).ok_or(Never)?))
            }
            Some(NatAddress::Prefix(_, prefix, length)) => {
                netmap = true;
                let (first, last) = bounds(prefix, *length);
                Some(Address::Range(address(&first).ok_or(Never)?, address(&last).ok_or(Never)?))
            }
            Some(NatAddress::Mapped { expression, with_id, prefix, .. }) => {
                netmap = *prefix;
                let Expression::Map { key, map, .. } = expression else { return Err(Never) };
                Some(Address::Mapped { lookup: self.looked_up(key, map)?, with_id: *with_id })
            }
        };
        let ids = match &nat.ids {
            None => None,
            Some(IdRange::Fixed(first, last)) => Some(Ids::Fixed(*first, *last)),
            Some(IdRange::Computed(expression)) => Some(Ids::Computed(self.number(expression)?)),
        };
        let flags =
            Flags { random: nat.random, fully_random: nat.fully_random, persistent: nat.persistent, netmap };
        self.emit(Operation::Nat(Box::new(program::Nat { kind: nat.kind, address: target, ids, flags })));
        Ok(())
    }

    fn dynamic(&mut self, dynamic: &Dynamic) -> Result<(), Never> {
        let key = self.key(&dynamic.key)?;
        let data = dynamic.data.as_ref().map(|data| self.key(data)).transpose()?;
        let set = self.set(&dynamic.set)?;
        self.emit(Operation::Dynamic(Box::new(program::Dynamic {
            operation: dynamic.operation,
            set,
            key,
            data,
            verdict: dynamic.verdict.clone(),
            timeout: dynamic.timeout_ms.filter(|timeout| *timeout != 0).map(Duration::from_millis),
            state: dynamic.state.clone(),
        })));
        Ok(())
    }
}

/// Which checksums follow when a field is set, as nft asks of the kernel (`netlink_gen_payload_stmt`).
fn sums(field: &Field) -> Sums {
    let own = match field.header {
        "ip" => Some(10),
        "tcp" => Some(16),
        "udp" | "udplite" => Some(6),
        "icmp" | "icmpv6" | "igmp" => Some(2),
        _ => None,
    };
    let addresses = match field.header {
        "ip" => 12 * 8..20 * 8,
        "ip6" => 8 * 8..40 * 8,
        _ => 0..0,
    };
    Sums {
        own,
        pseudo: field.base == Base::Network && addresses.contains(&field.offset),
        crc: field.header == "sctp",
    }
}

/// The first and the last address of a prefix.
fn bounds(prefix: &[u8], length: u8) -> (Vec<u8>, Vec<u8>) {
    let bit = |at: usize| at < usize::from(length);
    let host = |byte: usize| (0..8).fold(0, |mask, at| mask << 1 | u8::from(!bit(byte * 8 + at)));
    let first = prefix.iter().enumerate().map(|(place, byte)| byte & !host(place)).collect();
    let last = prefix.iter().enumerate().map(|(place, byte)| byte | host(place)).collect();
    (first, last)
}

fn log_rule(log: &Log) -> LogRule {
    const WARNING: u8 = 4;
    LogRule {
        prefix: log.prefix.clone().unwrap_or_else(|| Arc::from("")),
        level: log.level.unwrap_or(WARNING),
        flags: log.flags,
        group: log.group,
        kept_max: log.snaplen.filter(|bytes| *bytes != 0).map_or(usize::MAX, |bytes| bytes as usize),
    }
}
