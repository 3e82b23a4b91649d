//! Rules as text, as `nft list ruleset` prints them; what is listed can be loaded again.

pub(super) mod element;
pub(super) mod expression;
pub(super) mod statement;

use std::fmt::Write as _;

use conntrack::Instant;
pub(crate) use element::key_text;
pub(crate) use expression::expression_text;
pub(crate) use statement::level_word;
use statement::listed_statements;

use super::catalog::{priorities, types};
use super::check::{Environment, time};
use super::model::{
    Chain, ChainKind, DataType, Object, ObjectKind, Policy, Rule, Ruleset, Set, Table, TableFamily,
};

/// What is listed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Handles stand behind everything (`-a`).
    pub handles: bool,
    /// Counters and the like are left out (`-s`).
    pub stateless: bool,
    /// Only the table of this family and name.
    pub table: Option<(TableFamily, &'a str)>,
    /// Names for numbers.
    pub environment: &'a Environment,
    /// The moment, for elements that end.
    pub now: Instant,
}

impl<'a> Options<'a> {
    /// Everything, without handles.
    #[must_use]
    pub const fn new(environment: &'a Environment) -> Self {
        Self { handles: false, stateless: false, table: None, environment, now: Instant::ZERO }
    }

    /// Whether a table is to be listed.
    pub(super) fn wants(&self, table: &Table) -> bool {
        self.table.is_none_or(|(family, name)| table.family == family && *table.name == *name)
    }
}

/// The rules as text.
#[must_use]
pub fn list(ruleset: &Ruleset, options: &Options<'_>) -> String {
    let mut listing = Listing { text: String::new(), options };
    ruleset.tables.iter().filter(|table| options.wants(table)).for_each(|table| listing.table(table));
    listing.text
}

/// A rule on one line, without its handle.
#[must_use]
pub fn rule_text(table: &Table, rule: &Rule, options: &Options<'_>) -> String {
    let mut text = listed_statements(table, rule, options).join(" ");
    if let Some(comment) = &rule.comment {
        let _ = write!(text, " comment \"{comment}\"");
    }
    text
}

struct Listing<'a> {
    text: String,
    options: &'a Options<'a>,
}

impl Listing<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        self.text.extend(std::iter::repeat_n('\t', depth));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn open(&mut self, depth: usize, text: &str, handle: u64) {
        let handle = if self.options.handles { format!(" # handle {handle}") } else { String::new() };
        self.line(depth, &format!("{text} {{{handle}"));
    }

    fn comment(&mut self, depth: usize, comment: Option<&str>) {
        if let Some(comment) = comment {
            self.line(depth, &format!("comment \"{comment}\""));
        }
    }

    fn table(&mut self, table: &Table) {
        self.open(0, &format!("table {} {}", table.family.name(), table.name), table.handle);
        if table.dormant {
            self.line(1, "flags dormant");
        }
        self.comment(1, table.comment.as_deref());
        let mut is_first = !table.dormant;
        let mut gap = |listing: &mut Self| {
            if !std::mem::take(&mut is_first) {
                listing.text.push('\n');
            }
        };
        for object in &table.objects {
            gap(self);
            self.object(object);
        }
        for set in table.sets.iter().filter(|set| !set.anonymous) {
            gap(self);
            self.set(table, set);
        }
        for chain in &table.chains {
            gap(self);
            self.chain(table, chain);
        }
        self.line(0, "}");
    }

    fn object(&mut self, object: &Object) {
        self.open(1, &format!("{} {}", object.kind.words(), object.name), object.handle);
        self.comment(2, object.comment.as_deref());
        match &object.kind {
            ObjectKind::Counter(counter) => {
                if !self.options.stateless {
                    let (packets, bytes) = counter.read();
                    self.line(2, &format!("packets {packets} bytes {bytes}"));
                }
            }
            ObjectKind::Quota(quota) => self.line(2, &statement::quota_text(quota, self.options)),
            ObjectKind::Limit(limit) => self.line(2, &format!("rate {}", statement::rate_text(&limit.rate))),
            ObjectKind::Helper { helper, protocol, family } => {
                let protocol = if *protocol == 6 { "tcp" } else { "udp" };
                self.line(2, &format!("type \"{helper}\" protocol {protocol}"));
                self.line(2, &format!("l3proto {}", family.name()));
            }
        }
        self.line(1, "}");
    }

    fn set(&mut self, table: &Table, set: &Set) {
        let word = if set.data.is_some() { "map" } else { "set" };
        self.open(1, &format!("{word} {}", set.name), set.handle);
        self.line(2, &type_line(set));
        if !set.flags.constant {
            if set.policy_memory {
                self.line(2, "policy memory");
            }
            if let Some(size) = set.size {
                self.line(2, &format!("size {size}"));
            }
        }
        let flags = set.flags;
        if flags.constant || flags.interval || flags.dynamic || flags.timeout && set.timeout_ms.is_none() {
            let words: Vec<_> = [
                (flags.constant, "constant"),
                (flags.dynamic, "dynamic"),
                (flags.interval, "interval"),
                (flags.timeout, "timeout"),
            ]
            .into_iter()
            .filter_map(|(is, word)| is.then_some(word))
            .collect();
            self.line(2, &format!("flags {}", words.join(",")));
        }
        if set.auto_merge {
            self.line(2, "auto-merge");
        }
        for statement in &set.element_state {
            let stateless = Options { stateless: true, ..*self.options };
            self.line(2, &statement::statement_text(table, statement, &stateless));
        }
        if let Some(timeout) = set.timeout_ms {
            self.line(2, &format!("timeout {}", time::span_text(timeout)));
        }
        if let Some(interval) = set.gc_interval_ms {
            self.line(2, &format!("gc-interval {}", time::span_text(interval)));
        }
        self.comment(2, set.comment.as_deref());
        let elements = element::named_elements(table, set, self.options);
        if !elements.is_empty() {
            self.line(2, &format!("elements = {{ {elements} }}"));
        }
        self.line(1, "}");
    }

    fn chain(&mut self, table: &Table, chain: &Chain) {
        self.open(1, &format!("chain {}", chain.name), chain.handle);
        self.comment(2, chain.comment.as_deref());
        if let Some(base) = chain.base {
            let line = format!(
                "type {} hook {} priority {}; policy {};",
                chain_kind(base.kind),
                base.point.name(),
                priorities::text(table.family, base.point, base.priority),
                policy(base.policy)
            );
            self.line(2, &line);
        }
        for rule in &chain.rules {
            let mut text = rule_text(table, rule, self.options);
            if self.options.handles {
                let _ = write!(text, " # handle {}", rule.handle);
            }
            self.line(2, &text);
        }
        self.line(1, "}");
    }
}

/// The word of a chain's type.
pub(crate) const fn chain_kind(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    }
}

/// The word of a policy.
pub(crate) const fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    }
}

fn type_line(set: &Set) -> String {
    let names = |kinds: &[super::model::Type]| {
        kinds.iter().map(|kind| types::name(*kind)).collect::<Vec<_>>().join(" . ")
    };
    let data = match (&set.data, &set.typeof_text) {
        (None, _) => None,
        (Some(_), Some((_, Some(text)))) => Some(text.to_string()),
        (Some(DataType::Values { types, interval }), _) => {
            Some(format!("{}{}", if *interval { "interval " } else { "" }, names(types)))
        }
        (Some(DataType::Verdict), _) => Some("verdict".to_owned()),
        (Some(DataType::Object(words)), _) => Some((*words).to_owned()),
    };
    let mut text = match &set.typeof_text {
        Some((key, _)) => format!("typeof {key}"),
        None => format!("type {}", names(&set.key)),
    };
    if let Some(data) = data {
        let _ = write!(text, " : {data}");
    }
    text
}
