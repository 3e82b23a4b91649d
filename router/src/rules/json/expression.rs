//! Expressions and comparisons.

use serde_json::{Value as Json, json};

use super::{Lister, object};
use crate::rules::catalog::{keys, types};
use crate::rules::list::expression::{base_word, bit_operations, fib_result, fib_words, known_field};
use crate::rules::list::statement::{Unaligned, unaligned};
use crate::rules::model::{
    Comparison, Expression, FibResult, Match, NumberSource, OptionField, Right, RouteKey, Selector, SetRef,
    Type,
};

impl Lister<'_> {
    pub(super) fn comparison(&self, comparison: &Match) -> Json {
        if let Some(Unaligned { base, begin, whole, mask, operator, value }) = unaligned(comparison) {
            let payload = json!({"payload": {"base": base_word(base), "offset": begin, "len": whole}});
            let number = |number: u128| match u64::try_from(number) {
                Ok(number) => json!(number),
                Err(_) => json!(format!("{number:#x}")),
            };
            let [mask, value] = [mask, value].map(number);
            return json!({"match": {"op": operator, "left": {"&": [payload, mask]}, "right": value}});
        }
        let Match { left, comparison, right } = comparison;
        let operator = match comparison {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::AnyBit => "in",
            Comparison::NoBit => "!",
        };
        json!({"match": {"op": operator, "left": self.expression(left), "right": self.right(left, *comparison, right)}})
    }

    fn right(&self, left: &Expression, comparison: Comparison, right: &Right) -> Json {
        let kinds = left.types();
        let known = match left {
            Expression::Select(selector) => known_field(Some(self.table.family), selector),
            _ => None,
        };
        let kind = known.map_or(kinds[0], |field| field.kind);
        match right {
            Right::Value(value) if kinds.len() > 1 => self.values(&kinds, value),
            Right::Value(value) if is_bits(kind) => {
                let any = matches!(comparison, Comparison::AnyBit | Comparison::NoBit);
                let masked = matches!(left, Expression::Bitwise { .. });
                if any || masked { self.bit_list(kind, value) } else { self.value(kind, value) }
            }
            Right::Value(value) => self.value(kind, value),
            Right::Range(from, to) => json!({"range": [self.value(kind, from), self.value(kind, to)]}),
            Right::Prefix(value, length) if matches!(kind, Type::InterfaceName | Type::Text(_)) => {
                json!(format!("{}*", types::text_of_value(&value[..usize::from(*length) / 8])))
            }
            Right::Prefix(value, length) => {
                json!({"prefix": {"addr": self.value(kind, value), "len": length}})
            }
            Right::Set(set) => self.set_reference(set),
            Right::Expression(expression) => self.expression(expression),
        }
    }

    /// `"@name"`, or the elements of a set that belongs to this rule.
    pub(super) fn set_reference(&self, reference: &SetRef) -> Json {
        match self.table.set(reference) {
            Some(set) if set.anonymous => json!({"set": self.elements(set)}),
            _ => json!(format!("@{}", reference.0)),
        }
    }

    pub(super) fn expression(&self, expression: &Expression) -> Json {
        match expression {
            Expression::Select(selector) => match known_field(Some(self.table.family), selector) {
                Some(field) => json!({"payload": {"protocol": field.header, "field": field.name}}),
                None => selector_json(selector),
            },
            Expression::Value(kind, value) => self.value(*kind, value),
            Expression::Bitwise { inner, mask, flip } => {
                let kind = inner.types()[0];
                bit_operations(kind, mask, flip).into_iter().fold(
                    self.expression(inner),
                    |inner, (operator, value)| {
                        let value = if is_bits(kind) {
                            self.bit_list(kind, &value)
                        } else {
                            self.value(kind, &value)
                        };
                        Json::Object(object([(operator, json!([inner, value]))]))
                    },
                )
            }
            Expression::Shift { inner, bits } => {
                let operator = if *bits < 0 { ">>" } else { "<<" };
                Json::Object(object([(operator, json!([self.expression(inner), bits.unsigned_abs()]))]))
            }
            Expression::Join { operator, left, right } => {
                let operator = char::from(*operator).to_string();
                Json::Object(object([(&operator, json!([self.expression(left), self.expression(right)]))]))
            }
            Expression::Concat(parts) => {
                json!({"concat": parts.iter().map(|part| self.expression(part)).collect::<Vec<_>>()})
            }
            Expression::Map { key, map, .. } => {
                json!({"map": {"key": self.expression(key), "data": self.set_reference(map)}})
            }
            Expression::Number { source, modulus, offset } => {
                let mode = match source {
                    NumberSource::Incremental(_) => "inc",
                    NumberSource::Random => "random",
                };
                json!({"numgen": {"mode": mode, "mod": modulus, "offset": offset}})
            }
            Expression::Hash(hash) => {
                let word = if hash.key.is_some() { "jhash" } else { "symhash" };
                let mut row = object([("mod", json!(hash.modulus))]);
                if hash.seed != 0 {
                    row.insert("seed".into(), json!(hash.seed));
                }
                if hash.offset != 0 {
                    row.insert("offset".into(), json!(hash.offset));
                }
                if let Some(key) = &hash.key {
                    row.insert("expr".into(), self.expression(key));
                }
                Json::Object(object([(word, Json::Object(row))]))
            }
        }
    }

    /// A value: a number where nft prints one, otherwise its text without quotes.
    pub(super) fn value(&self, kind: Type, value: &[u8]) -> Json {
        let number = types::number_of_value(value);
        match kind {
            Type::Boolean => json!(number != 0),
            Type::Duration => json!(number / 1000),
            Type::Mark => json!(number),
            Type::Integer(bits) if bits <= 64 => json!(number),
            kind if is_bits(kind) => bits_json(kind, number, false),
            _ => {
                let text = types::text(kind, value, self.options.environment);
                match text.parse::<u64>() {
                    _ if matches!(kind, Type::EtherType | Type::Dscp) && text.starts_with("0x") => {
                        json!(number)
                    }
                    Ok(number) => json!(number),
                    Err(_) => json!(text.trim_matches('"').replace("\\*", "*")),
                }
            }
        }
    }

    fn bit_list(&self, kind: Type, value: &[u8]) -> Json {
        bits_json(kind, types::number_of_value(value), true)
    }
}

const fn is_bits(kind: Type) -> bool {
    kind.is_bitmask() && !matches!(kind, Type::CtLabel)
}

/// Bits by name: one as a string, several as a list or joined by `|`.
fn bits_json(kind: Type, number: u64, list: bool) -> Json {
    let text = types::bits_text(kind, number, ",");
    if text.starts_with("0x") {
        return json!(number);
    }
    let words: Vec<&str> = text.split(',').collect();
    match words[..] {
        [word] => json!(word),
        _ if list => json!(words),
        _ => json!({"|": words}),
    }
}

fn selector_json(selector: &Selector) -> Json {
    match selector {
        Selector::Field(field) => json!({"payload": {"protocol": field.header, "field": field.name}}),
        Selector::Raw { base, offset, length } => {
            json!({"payload": {"base": base_word(*base), "offset": offset, "len": length}})
        }
        Selector::Meta(key) => json!({"meta": {"key": keys::meta_word(*key)}}),
        Selector::Ct { key, direction } => {
            let mut row = object([("key", json!(keys::ct_word(*key)))]);
            if let Some(direction) = direction {
                row.insert("dir".into(), json!(keys::direction_word(*direction)));
            }
            json!({"ct": row})
        }
        Selector::Fib { by, result } => {
            let result = if *result == FibResult::Present { "oif" } else { fib_result(*result) };
            json!({"fib": {"result": result, "flags": fib_words(*by)}})
        }
        Selector::Route(key) => match key {
            RouteKey::Realm => json!({"rt": {"key": "classid"}}),
            RouteKey::NextHopIpv4 => json!({"rt": {"key": "nexthop", "family": "ip"}}),
            RouteKey::NextHopIpv6 => json!({"rt": {"key": "nexthop", "family": "ip6"}}),
            RouteKey::Mtu => json!({"rt": {"key": "mtu"}}),
        },
        Selector::Extension(field) => {
            let mut row = object([("name", json!(field.names.0))]);
            if let Some(name) = field.names.1 {
                row.insert("field".into(), json!(name));
            }
            json!({"exthdr": row})
        }
        Selector::Option(option) => option_json(option),
    }
}

pub(super) fn option_json(option: &OptionField) -> Json {
    let word = if option.of_tcp { "tcp option" } else { "ip option" };
    let (name, field) = option.names;
    let mut row = object([("name", json!(name))]);
    if let Some(field) = field {
        row.insert("field".into(), json!(field));
    }
    Json::Object(object([(word, Json::Object(row))]))
}
