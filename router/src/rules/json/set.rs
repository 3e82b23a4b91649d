//! Sets, maps and their elements.

use serde_json::{Value as Json, json};

use super::{Lister, add, object};
use crate::rules::catalog::types;
use crate::rules::list::element::{is_text, prefix_of, sorted};
use crate::rules::model::{Data, DataType, Element, ElementKey, Set, SetFlags, Type, Value, Verdict};

impl Lister<'_> {
    pub(super) fn set(&self, set: &Set) -> Json {
        let mut row = object([
            ("family", json!(self.table.family.name())),
            ("name", json!(set.name)),
            ("table", json!(self.table.name)),
            ("type", type_names(&set.key)),
            ("handle", json!(set.handle)),
        ]);
        add(&mut row, "comment", set.comment.as_ref().map(|comment| json!(comment)));
        add(&mut row, "map", set.data.as_ref().map(data_name));
        if !set.flags.constant {
            add(&mut row, "policy", set.policy_memory.then(|| json!("memory")));
            add(&mut row, "size", set.size.map(|size| json!(size)));
        }
        // What nft 1.0.6 leaves out: that a set is dynamic.
        let SetFlags { constant, interval, timeout, .. } = set.flags;
        let flags = [("constant", constant), ("interval", interval), ("timeout", timeout)];
        let flags: Vec<&str> =
            flags.into_iter().filter_map(|(word, is_set)| is_set.then_some(word)).collect();
        if !flags.is_empty() {
            row.insert("flags".into(), json!(flags));
        }
        add(&mut row, "timeout", set.timeout_ms.map(|timeout| json!(timeout / 1000)));
        add(&mut row, "gc-interval", set.gc_interval_ms.map(|interval| json!(interval / 1000)));
        let elements = self.elements(set);
        let hidden = self.options.stateless && set.flags.dynamic;
        if !elements.is_empty() && !hidden {
            row.insert("elem".into(), Json::Array(elements));
        }
        if !set.element_state.is_empty() {
            let state: Vec<Json> = set.element_state.iter().map(|state| self.stateless(state)).collect();
            row.insert("stmt".into(), Json::Array(state));
        }
        let word = if set.data.is_some() { "map" } else { "set" };
        Json::Object(object([(word, Json::Object(row))]))
    }

    pub(super) fn elements(&self, set: &Set) -> Vec<Json> {
        if let Some(live) = &set.live {
            let elements = live.elements(self.options.now);
            return elements.iter().map(|live| self.element(set, &live.element, live.expires_ms)).collect();
        }
        sorted(set, &set.elements).into_iter().map(|element| self.element(set, element, None)).collect()
    }

    fn element(&self, set: &Set, element: &Element, expires_ms: Option<u64>) -> Json {
        let mut key = self.key(&set.key, &element.key);
        let timeout = element.timeout_ms.filter(|timeout| Some(*timeout) != set.timeout_ms);
        let expires = expires_ms.filter(|_| !self.options.stateless);
        if timeout.is_some() || expires.is_some() || element.comment.is_some() || !element.state.is_empty() {
            let mut row = object([("val", key)]);
            add(&mut row, "timeout", timeout.map(|timeout| json!(timeout / 1000)));
            add(&mut row, "expires", expires.map(|expires| json!(expires / 1000)));
            add(&mut row, "comment", element.comment.as_ref().map(|comment| json!(comment)));
            for state in &element.state {
                if let Json::Object(state) = self.statement(state) {
                    row.extend(state);
                }
            }
            key = json!({"elem": row});
        }
        match (&element.data, &set.data) {
            (Some(data), Some(kind)) => json!([key, self.data(kind, data)]),
            _ => key,
        }
    }

    fn key(&self, types: &[Type], key: &ElementKey) -> Json {
        match key {
            ElementKey::CatchAll => json!("*"),
            ElementKey::Value(value) => self.values(types, value),
            ElementKey::Range(from, to) => self.ranges(types, from, to),
        }
    }

    fn data(&self, kind: &DataType, data: &Data) -> Json {
        match (kind, data) {
            (_, Data::Verdict(verdict)) => self.verdict(verdict),
            (_, Data::Object(name)) => json!(name),
            (DataType::Values { types, .. }, Data::Value(value)) => self.values(types, value),
            (DataType::Values { types, .. }, Data::Range(from, to)) => self.ranges(types, from, to),
            (_, Data::Value(_) | Data::Range(..)) => Json::Null,
        }
    }

    pub(super) fn verdict(&self, verdict: &Verdict) -> Json {
        match verdict {
            Verdict::Accept => json!({"accept": null}),
            Verdict::Drop => json!({"drop": null}),
            Verdict::Continue => json!({"continue": null}),
            Verdict::Return => json!({"return": null}),
            Verdict::Jump(chain) => json!({"jump": {"target": chain}}),
            Verdict::Goto(chain) => json!({"goto": {"target": chain}}),
            Verdict::Queue(queue) => self.queue(queue),
        }
    }

    pub(super) fn values(&self, types: &[Type], value: &Value) -> Json {
        joined(parts(types, value).map(|(kind, part)| self.value(kind, part)).collect())
    }

    fn ranges(&self, types: &[Type], from: &Value, to: &Value) -> Json {
        let ends = parts(types, from).zip(parts(types, to));
        joined(ends.map(|((kind, from), (_, to))| self.range(kind, from, to)).collect())
    }

    fn range(&self, kind: Type, from: &[u8], to: &[u8]) -> Json {
        if from == to {
            return self.value(kind, from);
        }
        match prefix_of(kind, from, to) {
            _ if is_text(kind) => json!(format!("{}*", types::text_of_value(from))),
            Some(length) => json!({"prefix": {"addr": self.value(kind, from), "len": length}}),
            None => json!({"range": [self.value(kind, from), self.value(kind, to)]}),
        }
    }
}

/// One value by itself, several as a concatenation.
fn joined(mut values: Vec<Json>) -> Json {
    if values.len() == 1 { values.remove(0) } else { json!({"concat": values}) }
}

fn type_names(types: &[Type]) -> Json {
    match types {
        [kind] => json!(types::name(*kind)),
        several => json!(several.iter().map(|kind| types::name(*kind)).collect::<Vec<_>>()),
    }
}

fn data_name(data: &DataType) -> Json {
    match data {
        DataType::Verdict => json!("verdict"),
        DataType::Object(words) => json!(words),
        DataType::Values { types, .. } => {
            json!(types.iter().map(|kind| types::name(*kind)).collect::<Vec<_>>().join(" . "))
        }
    }
}

/// The parts of a value: of a concatenation each padded to four bytes, of one type the value itself.
fn parts<'a>(types: &'a [Type], value: &'a [u8]) -> impl Iterator<Item = (Type, &'a [u8])> {
    let mut at = 0;
    types.iter().map(move |kind| {
        let part = &value[at..at + kind.bytes()];
        at += kind.padded_bytes();
        (*kind, part)
    })
}
