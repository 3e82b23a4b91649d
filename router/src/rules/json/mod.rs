//! Rules in libnftables' JSON schema (`libnftables-json(5)`), as `nft -j list ruleset` prints them.

mod expression;
mod set;
mod statement;

use serde_json::{Map, Value as Json, json};

use super::list::statement::{amount, implies_tcp, period_word, shown};
use super::list::{Options, chain_kind, policy};
use super::model::{Chain, LimitUnit, Object, ObjectKind, Rule, Ruleset, Table};

/// Version of the schema.
const SCHEMA_VERSION: u32 = 1;

/// The objects in the order nft prints them: information on the schema first; of each table the table itself, objects,
/// sets, chains, rules.
#[must_use]
pub fn list(ruleset: &Ruleset, options: &Options<'_>) -> Vec<Json> {
    let version = env!("CARGO_PKG_VERSION");
    let information =
        json!({"version": version, "release_name": "routerd", "json_schema_version": SCHEMA_VERSION});
    let mut objects = vec![json!({"metainfo": information})];
    for table in ruleset.tables.iter().filter(|table| options.wants(table)) {
        Lister { table, options: *options }.table(&mut objects);
    }
    objects
}

/// Makes the objects of one table.
#[derive(Clone, Copy)]
struct Lister<'a> {
    table: &'a Table,
    options: Options<'a>,
}

impl Lister<'_> {
    fn table(&self, objects: &mut Vec<Json>) {
        let table = self.table;
        let mut row = object([
            ("family", json!(table.family.name())),
            ("name", json!(table.name)),
            ("handle", json!(table.handle)),
        ]);
        if table.dormant {
            row.insert("flags".into(), json!("dormant"));
        }
        add(&mut row, "comment", table.comment.as_ref().map(|comment| json!(comment)));
        objects.push(json!({"table": row}));
        objects.extend(table.objects.iter().map(|object| self.object(object)));
        objects.extend(table.sets.iter().filter(|set| !set.anonymous).map(|set| self.set(set)));
        objects.extend(table.chains.iter().map(|chain| self.chain(chain)));
        for chain in &table.chains {
            objects.extend(chain.rules.iter().map(|rule| self.rule(chain, rule)));
        }
    }

    fn chain(&self, chain: &Chain) -> Json {
        let mut row = object([
            ("family", json!(self.table.family.name())),
            ("table", json!(self.table.name)),
            ("name", json!(chain.name)),
            ("handle", json!(chain.handle)),
        ]);
        add(&mut row, "comment", chain.comment.as_ref().map(|comment| json!(comment)));
        if let Some(base) = &chain.base {
            row.insert("type".into(), json!(chain_kind(base.kind)));
            row.insert("hook".into(), json!(base.point.name()));
            row.insert("prio".into(), json!(base.priority));
            row.insert("policy".into(), json!(policy(base.policy)));
        }
        json!({"chain": row})
    }

    fn rule(&self, chain: &Chain, rule: &Rule) -> Json {
        let mut row = object([
            ("family", json!(self.table.family.name())),
            ("table", json!(self.table.name)),
            ("chain", json!(chain.name)),
            ("handle", json!(rule.handle)),
        ]);
        add(&mut row, "comment", rule.comment.as_ref().map(|comment| json!(comment)));
        let tcp = json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}});
        let shown = rule.statements.iter().zip(shown(self.table.family, rule)).filter(|(_, shown)| *shown);
        let statements = shown.map(|(statement, _)| self.statement(statement));
        let statements: Vec<Json> = implies_tcp(rule).then_some(tcp).into_iter().chain(statements).collect();
        row.insert("expr".into(), Json::Array(statements));
        json!({"rule": row})
    }

    fn object(&self, object_: &Object) -> Json {
        let mut row = object([
            ("family", json!(self.table.family.name())),
            ("name", json!(object_.name)),
            ("table", json!(self.table.name)),
            ("handle", json!(object_.handle)),
        ]);
        add(&mut row, "comment", object_.comment.as_ref().map(|comment| json!(comment)));
        match &object_.kind {
            ObjectKind::Counter(counter) => {
                let (packets, bytes) = if self.options.stateless { (0, 0) } else { counter.read() };
                row.insert("packets".into(), json!(packets));
                row.insert("bytes".into(), json!(bytes));
            }
            ObjectKind::Quota(quota) => {
                let used = if self.options.stateless { 0 } else { quota.used() };
                row.insert("bytes".into(), json!(quota.bytes));
                row.insert("used".into(), json!(used));
                row.insert("inv".into(), json!(quota.over));
            }
            ObjectKind::Limit(limit) => row.extend(limit_row(&limit.rate)),
            ObjectKind::Helper { helper, protocol, family } => {
                row.insert("type".into(), json!(helper));
                let protocol = self.options.environment.protocol_name(*protocol).unwrap_or("tcp");
                row.insert("protocol".into(), json!(protocol));
                row.insert("l3proto".into(), json!(family.name()));
            }
        }
        Json::Object(object([(object_.kind.words(), Json::Object(row))]))
    }
}

/// A limit's keys.
fn limit_row(limit: &super::model::Limit) -> Map<String, Json> {
    let mut row = Map::new();
    let bytes = limit.unit == LimitUnit::Bytes;
    let (rate, rate_unit) = if bytes { amount(limit.rate) } else { (limit.rate, "packets") };
    let (burst, burst_unit) =
        if bytes { amount(limit.burst.into()) } else { (limit.burst.into(), "packets") };
    row.insert("rate".into(), json!(rate));
    row.insert("burst".into(), json!(burst));
    row.insert("per".into(), json!(period_word(limit.period_s)));
    if limit.over {
        row.insert("inv".into(), json!(true));
    }
    if bytes {
        row.insert("rate_unit".into(), json!(rate_unit));
        row.insert("burst_unit".into(), json!(burst_unit));
    }
    row
}

fn object<const N: usize>(rows: [(&str, Json); N]) -> Map<String, Json> {
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn add(row: &mut Map<String, Json>, key: &str, value: Option<Json>) {
    if let Some(value) = value {
        row.insert(key.to_owned(), value);
    }
}

/// One word as a string, several as an array, as nft prints flags.
fn one_or_several(words: &[&str]) -> Json {
    match words {
        [word] => json!(word),
        words => json!(words),
    }
}
