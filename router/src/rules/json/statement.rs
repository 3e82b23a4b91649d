//! Statements.

use serde_json::{Value as Json, json};

use super::expression::option_json;
use super::{Lister, add, limit_row, object, one_or_several};
use crate::rules::catalog::{keys, symbols};
use crate::rules::list::expression::{base_word, known_field};
use crate::rules::list::statement::{amount, level_word, nat_flags, nat_word};
use crate::rules::model::{
    Dynamic, DynamicOperation, Expression, Field, IdRange, Log, Nat, NatAddress, Queue, Reject, Selector,
    Statement, TableFamily, Target, Type,
};
use crate::rules::syntax::tree::LogFlag;

impl Lister<'_> {
    pub(super) fn statement(&self, statement: &Statement) -> Json {
        match statement {
            Statement::Match(comparison) => self.comparison(comparison),
            Statement::Verdict(verdict) => self.verdict(verdict),
            Statement::VerdictMap { key, map } => {
                json!({"vmap": {"key": self.expression(key), "data": self.set_reference(map)}})
            }
            Statement::Counter(_) if self.options.stateless => json!({"counter": null}),
            Statement::Counter(counter) => {
                let (packets, bytes) = counter.read();
                json!({"counter": {"packets": packets, "bytes": bytes}})
            }
            Statement::Object { words, name } => Json::Object(object([(words, json!(name))])),
            Statement::ObjectMap { words, key, map } => {
                let map = json!({"map": {"key": self.expression(key), "data": self.set_reference(map)}});
                Json::Object(object([(words, map)]))
            }
            Statement::Quota(quota) => {
                let (value, unit) = amount(quota.bytes);
                let mut row = object([("val", json!(value)), ("val_unit", json!(unit))]);
                let used = if self.options.stateless { 0 } else { quota.used() };
                if used != 0 {
                    let (used, unit) = amount(used);
                    row.insert("used".into(), json!(used));
                    row.insert("used_unit".into(), json!(unit));
                }
                add(&mut row, "inv", quota.over.then_some(json!(true)));
                json!({"quota": row})
            }
            Statement::Limit(limit) => json!({"limit": limit_row(&limit.rate)}),
            Statement::CtCount(count) => {
                let mut row = object([("val", json!(count.count))]);
                add(&mut row, "inv", count.over.then_some(json!(true)));
                json!({"ct count": row})
            }
            Statement::Last(_) if self.options.stateless => json!({"last": null}),
            Statement::Last(last) => match last.at_ns() {
                None => json!({"last": null}),
                Some(at) => {
                    json!({"last": {"used": self.options.now.nanos().saturating_sub(at) / 1_000_000}})
                }
            },
            Statement::Log(log) => log_json(log),
            Statement::Reject(reject) => reject_json(*reject),
            Statement::Queue(queue) => self.queue(queue),
            Statement::Notrack => json!({"notrack": null}),
            Statement::Set { target, value } => {
                let known = raw_of(target).and_then(|raw| known_field(Some(self.table.family), &raw));
                let value = match (known, value) {
                    (Some(field), Expression::Value(_, value)) => self.value(field.kind, value),
                    _ => self.expression(value),
                };
                json!({"mangle": {"key": target_json(known, target), "value": value}})
            }
            Statement::ResetOption(option) => json!({"reset": option_json(option)}),
            Statement::Nat(nat) => self.nat(nat),
            Statement::Dynamic(dynamic) => self.dynamic(dynamic),
        }
    }

    /// A statement of a declaration, where it has not counted anything.
    pub(super) fn stateless(&self, statement: &Statement) -> Json {
        let mut lister = *self;
        lister.options.stateless = true;
        lister.statement(statement)
    }

    pub(super) fn queue(&self, queue: &Queue) -> Json {
        let number = match &queue.choose {
            Some(expression) => self.expression(expression),
            None if queue.first == queue.last => json!(queue.first),
            None => json!({"range": [queue.first, queue.last]}),
        };
        let mut row = object([("num", number)]);
        let flags: Vec<&str> = [("bypass", queue.bypass), ("fanout", queue.fanout)]
            .into_iter()
            .filter_map(|(word, is_set)| is_set.then_some(word))
            .collect();
        add(&mut row, "flags", (!flags.is_empty()).then(|| one_or_several(&flags)));
        json!({"queue": row})
    }

    fn nat(&self, nat: &Nat) -> Json {
        let mut row = object([]);
        let mut netmap = false;
        if let Some(address) = &nat.address {
            let family = |kind: Type| json!(if kind == Type::Ipv4Address { "ip" } else { "ip6" });
            let in_inet = self.table.family == TableFamily::Inet;
            let (kind, named, address) = match address {
                NatAddress::One(kind, expression) => (*kind, in_inet, self.expression(expression)),
                NatAddress::Range(kind, from, to) => {
                    (*kind, in_inet, json!({"range": [self.value(*kind, from), self.value(*kind, to)]}))
                }
                NatAddress::Prefix(kind, value, length) => {
                    netmap = true;
                    (*kind, true, json!({"prefix": {"addr": self.value(*kind, value), "len": length}}))
                }
                NatAddress::Mapped { kind, expression, with_id, interval, prefix } => {
                    netmap = *prefix;
                    (*kind, in_inet || *with_id || *interval || *prefix, self.expression(expression))
                }
            };
            add(&mut row, "family", named.then(|| family(kind)));
            row.insert("addr".into(), address);
        }
        let ids = nat.ids.as_ref().map(|ids| match ids {
            IdRange::Fixed(from, to) if from == to => json!(from),
            IdRange::Fixed(from, to) => json!({"range": [from, to]}),
            IdRange::Computed(expression) => self.expression(expression),
        });
        add(&mut row, "port", ids);
        let mut flags = nat_flags(nat);
        if netmap {
            flags.push("netmap");
        }
        add(&mut row, "flags", (!flags.is_empty()).then(|| one_or_several(&flags)));
        add(&mut row, "type_flags", netmap.then(|| json!("prefix")));
        let row = if row.is_empty() { Json::Null } else { Json::Object(row) };
        Json::Object(object([(nat_word(nat.kind), row)]))
    }

    fn dynamic(&self, dynamic: &Dynamic) -> Json {
        let operation = match dynamic.operation {
            DynamicOperation::Add => "add",
            DynamicOperation::Update => "update",
            DynamicOperation::Delete => "delete",
        };
        let mut element = self.expression(&dynamic.key);
        if let Some(timeout) = dynamic.timeout_ms {
            element = json!({"elem": {"val": element, "timeout": timeout / 1000}});
        }
        let mut row = object([
            ("op", json!(operation)),
            ("elem", element),
            ("set", json!(format!("@{}", dynamic.set.0))),
        ]);
        let data = dynamic.data.as_ref().map(|data| self.expression(data));
        let data = data.or_else(|| dynamic.verdict.as_ref().map(|verdict| self.verdict(verdict)));
        let word = match data {
            Some(data) => {
                row.insert("data".into(), data);
                row.insert("map".into(), json!(format!("@{}", dynamic.set.0)));
                row.remove("set");
                "map"
            }
            None => "set",
        };
        if !dynamic.state.is_empty() {
            let state: Vec<Json> = dynamic.state.iter().map(|state| self.stateless(state)).collect();
            row.insert("stmt".into(), Json::Array(state));
        }
        Json::Object(object([(word, Json::Object(row))]))
    }
}

fn log_json(log: &Log) -> Json {
    let mut row = object([]);
    add(&mut row, "prefix", log.prefix.as_ref().map(|prefix| json!(prefix)));
    add(&mut row, "group", log.group.map(|group| json!(group)));
    add(&mut row, "snaplen", log.snaplen.map(|snaplen| json!(snaplen)));
    add(&mut row, "queue-threshold", log.queue_threshold.map(|threshold| json!(threshold)));
    add(&mut row, "level", log.level.filter(|level| *level != 4).map(|level| json!(level_word(level))));
    let flags = LogFlag::words(log.flags);
    add(&mut row, "flags", (!flags.is_empty()).then(|| one_or_several(&flags)));
    if row.is_empty() { json!({"log": null}) } else { json!({"log": row}) }
}

fn reject_json(reject: Reject) -> Json {
    let name = |symbols, code: u8| match symbols::name(symbols, code.into()) {
        Some(name) => json!(name),
        None => json!(code),
    };
    match reject {
        Reject::TcpReset => json!({"reject": {"type": "tcp reset"}}),
        Reject::Icmp(code) => {
            json!({"reject": {"type": "icmp", "expr": name(symbols::ICMP_CODE, code)}})
        }
        Reject::Icmpv6(code) => {
            json!({"reject": {"type": "icmpv6", "expr": name(symbols::ICMPV6_CODE, code)}})
        }
        Reject::Icmpx(code) => {
            json!({"reject": {"type": "icmpx", "expr": name(symbols::ICMPX_CODE, code)}})
        }
    }
}

/// The raw bits that are set.
const fn raw_of(target: &Target) -> Option<Selector> {
    match target {
        Target::Raw { base, offset, length } => {
            Some(Selector::Raw { base: *base, offset: *offset, length: *length })
        }
        _ => None,
    }
}

/// What is set; `known` is the field that raw bits are.
fn target_json(known: Option<&Field>, target: &Target) -> Json {
    let named = |field: &Field| json!({"payload": {"protocol": field.header, "field": field.name}});
    if let Some(field) = known {
        return named(field);
    }
    match target {
        Target::Field(field) => named(field),
        Target::Raw { base, offset, length } => {
            json!({"payload": {"base": base_word(*base), "offset": offset, "len": length}})
        }
        Target::Option(option) => option_json(option),
        Target::MetaMark => json!({"meta": {"key": "mark"}}),
        Target::MetaPriority => json!({"meta": {"key": "priority"}}),
        Target::MetaPacketType => json!({"meta": {"key": "pkttype"}}),
        Target::MetaBroute => json!({"meta": {"key": "broute"}}),
        Target::MetaTrace => json!({"meta": {"key": "nftrace"}}),
        Target::CtMark => json!({"ct": {"key": "mark"}}),
        Target::CtLabel => json!({"ct": {"key": "label"}}),
        Target::CtZone(None) => json!({"ct": {"key": "zone"}}),
        Target::CtZone(Some(direction)) => {
            json!({"ct": {"key": "zone", "dir": keys::direction_word(*direction)}})
        }
    }
}
