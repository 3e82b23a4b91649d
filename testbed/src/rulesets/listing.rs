//! Listed rules, as libnftables' JSON has them.

use serde_json::{Map, Value};

/// Commands that insert `rules` at the head of every base chain of a listing; those about `ip` not in tables of `ip6`.
pub(super) fn at_the_head_of_base_chains(listing: &Value, rules: &[&str]) -> String {
    let chains =
        objects(listing).filter_map(|object| object.get("chain")).filter(|chain| chain.get("hook").is_some());
    let name = |chain: &Value, key: &str| chain[key].as_str().unwrap_or_default().to_owned();
    chains
        .flat_map(|chain| {
            let [family, table, chain] = ["family", "table", "name"].map(|key| name(chain, key));
            let fitting = rules.iter().filter(|rule| family != "ip6" || !rule.starts_with("ip "));
            let commands = fitting.map(|rule| format!("insert rule {family} {table} {chain} {rule}\n"));
            commands.collect::<Vec<_>>()
        })
        .collect()
}

/// The listing without a table and what is in it.
pub(super) fn without_table(mut listing: Value, name: &str) -> Value {
    let is_of_it = |object: &Value| {
        let parts = object.as_object().into_iter().flatten();
        parts
            .map(|(kind, part)| &part[if kind == "table" { "name" } else { "table" }])
            .any(|table| table == name)
    };
    if let Some(objects) = listing["nftables"].as_array_mut() {
        objects.retain(|object| !is_of_it(object));
    }
    listing
}

/// The listing without what differs between two routers that do the same: handles, versions, how long is left, and the
/// order of elements. Of tables and chains nft 1.0.6 tells flags and comments wrongly, so these are left out too.
pub(super) fn comparable(listing: &Value) -> Value {
    let kept: Vec<Value> = objects(listing)
        .filter(|object| object.get("metainfo").is_none())
        .map(|object| {
            let mut object = object.clone();
            for what in ["table", "chain"] {
                if let Some(Value::Object(row)) = object.get_mut(what) {
                    row.retain(|key, _| key != "flags" && key != "comment");
                }
            }
            without_variables(&Value::Object(object))
        })
        .collect();
    Value::Array(kept)
}

/// Of a comparable listing, what has counted: counters and quotas, in order.
pub(super) fn counted(listing: &Value) -> Value {
    let mut found = Vec::new();
    gather_counted(listing, &mut found);
    Value::Array(found)
}

fn gather_counted(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if (key == "counter" || key == "quota") && value.is_object() {
                    found.push(value.clone());
                } else {
                    gather_counted(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather_counted(value, found)),
        _ => {}
    }
}

/// Where two comparable listings differ, a line for each object.
pub(super) fn difference(one: &Value, other: &Value, name: &str) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (one, other) = (list(one), list(other));
    let mut reports: Vec<String> = one
        .iter()
        .zip(&other)
        .filter(|(one, other)| one != other)
        .map(|(one, other)| format!("  kernel lists:  {one}\n  {name} lists: {other}\n"))
        .collect();
    for missing in one.iter().skip(other.len()) {
        reports.push(format!("  kernel lists:  {missing}\n  {name} lists nothing there\n"));
    }
    for more in other.iter().skip(one.len()) {
        reports.push(format!("  {name} lists, and the kernel does not: {more}\n"));
    }
    reports
}

fn objects(listing: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    listing["nftables"].as_array().into_iter().flatten().filter_map(Value::as_object)
}

fn without_variables(value: &Value) -> Value {
    const VARY: [&str; 3] = ["handle", "expires", "last"];
    match value {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .filter(|(key, _)| !VARY.contains(&key.as_str()))
                .map(|(key, value)| {
                    let value = without_variables(value);
                    (key.clone(), if key == "elem" { sorted(value) } else { value })
                })
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.iter().map(without_variables).collect()),
        other => other.clone(),
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(mut values) => {
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markers_pass_every_base_chain_and_no_other() {
        let listing = json!({"nftables": [
            {"metainfo": {"version": "1"}},
            {"table": {"family": "inet", "name": "t", "handle": 1}},
            {"chain": {"family": "inet", "table": "t", "name": "c", "handle": 1, "hook": "forward"}},
            {"chain": {"family": "inet", "table": "t", "name": "d", "handle": 2}},
        ]});
        let commands = at_the_head_of_base_chains(&listing, &["accept", "ip ttl 1 accept"]);
        assert_eq!(commands, "insert rule inet t c accept\ninsert rule inet t c ip ttl 1 accept\n");
    }

    #[test]
    fn what_has_counted_is_found_wherever_it_stands() {
        let counter = json!({"packets": 1, "bytes": 2});
        let listing = json!([{"rule": {"expr": [{"counter": counter}, "nft cannot tell this"]}}]);
        assert_eq!(counted(&listing), json!([counter]));
    }

    #[test]
    fn a_table_is_left_out_with_all_that_is_in_it() {
        let listing = |more: &[Value]| {
            let kept =
                [json!({"metainfo": {}}), json!({"table": {"name": "t"}}), json!({"rule": {"table": "t"}})];
            let all = [&kept, more].concat();
            json!({"nftables": all})
        };
        let more = [json!({"table": {"name": "x"}}), json!({"chain": {"table": "x", "name": "t"}})];
        assert_eq!(without_table(listing(&more), "x"), listing(&[]));
    }

    #[test]
    fn counters_are_compared_and_handles_are_not() {
        let listing = |handle, packets| json!({"nftables": [{"rule": {"handle": handle, "expr": [{"counter": {"packets": packets, "bytes": 1}}]}}]});
        let of = |handle, packets| comparable(&listing(handle, packets));
        assert!(difference(&of(1, 5), &of(2, 5), "routerd").is_empty());
        assert_eq!(difference(&of(1, 5), &of(1, 6), "routerd").len(), 1);
        assert_eq!(difference(&of(1, 5), &json!([]), "routerd").len(), 1);
    }
}
