//! Sets and maps: declarations, elements, anonymous ones, and the draft of a table that they go into.

mod declare;
mod element;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use declare::declare;
pub(super) use element::{arrange, bounds, element_key};

use super::statement::element_state;
use super::{Environment, Result, refuse};
use crate::rules::catalog::types;
use crate::rules::model::{
    Data, DataType, Element, ElementKey, Set, SetFlags, SetRef, Statement, Table, TableFamily, Type, Value,
    Verdict,
};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, ExpressionKind};

/// A table that is being changed.
pub(super) struct Draft {
    /// The table; a copy of its own as soon as something changes.
    pub table: Arc<Table>,
    /// Positions of sets by name, made when first asked for.
    sets: Option<HashMap<Arc<str>, usize>>,
    /// Positions of chains by name, made when first asked for.
    chains: Option<HashMap<Arc<str>, usize>>,
}

/// What a set is to have.
pub(super) struct SetWish {
    /// Types of the key.
    pub key: Vec<Type>,
    /// What elements lead to.
    pub data: Option<DataType>,
}

impl Draft {
    /// A draft of a table.
    pub(super) const fn new(table: Arc<Table>) -> Self {
        Self { table, sets: None, chains: None }
    }

    /// The table, to be changed.
    pub(super) fn table_mut(&mut self) -> &mut Table {
        Arc::make_mut(&mut self.table)
    }

    /// A handle that nothing in the table has had.
    pub(super) fn next_handle(&mut self) -> u64 {
        let table = self.table_mut();
        let handle = table.next_handle.max(1);
        table.next_handle = handle + 1;
        handle
    }

    /// Family of the table.
    pub(super) fn family(&self) -> TableFamily {
        self.table.family
    }

    /// The position of a set.
    pub(super) fn set_position(&mut self, name: &str) -> Option<usize> {
        let table = &self.table;
        let sets = self.sets.get_or_insert_with(|| {
            table.sets.iter().enumerate().map(|(at, set)| (set.name.clone(), at)).collect()
        });
        sets.get(name).copied()
    }

    /// The position of a chain.
    pub(super) fn chain_position(&mut self, name: &str) -> Option<usize> {
        let table = &self.table;
        let chains = self.chains.get_or_insert_with(|| {
            table.chains.iter().enumerate().map(|(at, chain)| (chain.name.clone(), at)).collect()
        });
        chains.get(name).copied()
    }

    /// Positions have changed.
    pub(super) fn forget_positions(&mut self) {
        self.sets = None;
        self.chains = None;
    }

    /// Takes in a set.
    pub(super) fn add_set(&mut self, set: Set) {
        let name = set.name.clone();
        let at = self.table.sets.len();
        self.table_mut().sets.push(Arc::new(set));
        if let Some(sets) = &mut self.sets {
            sets.insert(name, at);
        }
    }

    /// Takes in a chain.
    pub(super) fn add_chain(&mut self, chain: crate::rules::model::Chain) {
        let name = chain.name.clone();
        let at = self.table.chains.len();
        self.table_mut().chains.push(Arc::new(chain));
        if let Some(chains) = &mut self.chains {
            chains.insert(name, at);
        }
    }

    /// The set of this name, whose key must have these types.
    pub(super) fn referred(&mut self, name: &str, key: &[Type], span: Span) -> Result<&Arc<Set>> {
        let Some(at) = self.set_position(name) else {
            let table = &self.table;
            let message =
                format!("there is no set or map `{name}` in table {} {}", table.family.name(), table.name);
            return refuse(span, message);
        };
        let set = &self.table.sets[at];
        let same = set.key.len() == key.len()
            && set.key.iter().zip(key).all(|(one, other)| super::expression::fits(*other, *one));
        if !same {
            let names =
                |types: &[Type]| types.iter().map(|kind| types::name(*kind)).collect::<Vec<_>>().join(" . ");
            let message = format!("keys of `{name}` are {}, not {}", names(&set.key), names(key));
            return refuse(span, message);
        }
        Ok(set)
    }

    /// Makes an anonymous set or map of elements in braces.
    pub(super) fn anonymous(
        &mut self,
        wish: &SetWish,
        elements: &[tree::Element],
        span: Span,
        environment: &Environment,
    ) -> Result<SetRef> {
        let mut set = nameless(wish);
        let mut new = Vec::new();
        self.elements(&set, elements, environment, &mut new)?;
        if new.is_empty() {
            return refuse(span, "a set without elements fits nothing");
        }
        if let Some((at, _)) = new.iter().find(|(_, element)| element.timeout_ms.is_some()) {
            return refuse(
                *at,
                "elements of a set without a name do not end; declare a set with `flags timeout`",
            );
        }
        set.flags.interval = new.iter().any(|(_, element)| matches!(element.key, ElementKey::Range(..)));
        let merge =
            wish.data.is_none() && wish.key.len() == 1 && new.iter().all(|(_, element)| is_plain(element));
        set.elements = Arc::new(arrange(&set, new, merge)?);
        Ok(self.add_nameless(set))
    }

    /// Makes an anonymous set of values.
    pub(super) fn implied(&mut self, kind: Type, keys: Vec<Value>) -> SetRef {
        let mut set = nameless(&SetWish { key: vec![kind], data: None });
        let element = |key| Element {
            key: ElementKey::Value(key),
            data: None,
            comment: None,
            timeout_ms: None,
            state: Vec::new(),
        };
        set.elements = Arc::new(keys.into_iter().map(element).collect());
        self.add_nameless(set)
    }

    fn add_nameless(&mut self, mut set: Set) -> SetRef {
        set.handle = self.next_handle();
        set.name = format!("__{}{}", if set.data.is_some() { "map" } else { "set" }, set.handle).into();
        let reference = SetRef(set.name.clone());
        self.add_set(set);
        reference
    }

    /// Reads elements for a set, with their places.
    pub(super) fn elements(
        &mut self,
        set: &Set,
        elements: &[tree::Element],
        environment: &Environment,
        into: &mut Vec<(Span, Element)>,
    ) -> Result<()> {
        into.reserve(elements.len());
        for element in elements {
            let key = element.key.resolved();
            if let ExpressionKind::Set(inner) = &key.kind {
                self.elements(set, inner, environment, into)?;
                continue;
            }
            let element = self.element(set, element, key, environment)?;
            into.push((key.span, element));
        }
        Ok(())
    }

    fn element(
        &mut self,
        set: &Set,
        element: &tree::Element,
        key: &tree::Expression,
        environment: &Environment,
    ) -> Result<Element> {
        let data = match (&element.data, &set.data) {
            (None, None) => None,
            (Some(data), Some(kind)) => Some(self.data(data, kind, environment)?),
            (None, Some(_)) => {
                return refuse(element.span, "in a map each element leads to something: `key : data`");
            }
            (Some(data), None) => {
                return refuse(data.span, "elements of a set lead to nothing; a map is declared with `map`");
            }
        };
        let key = match &key.kind {
            ExpressionKind::Otherwise => ElementKey::CatchAll,
            _ => element_key(key, &set.key, environment)?,
        };
        let mut state = Vec::new();
        let (mut comment, mut timeout_ms) = (None, None);
        if let Some(options) = &element.options {
            comment = options.comment.as_ref().map(|comment| comment.value.as_str().into());
            timeout_ms = options.timeout.as_ref().map(|timeout| match timeout.value {
                tree::Lifetime::Never => 0,
                tree::Lifetime::For(span) => milliseconds(span),
            });
            for statement in &options.statements {
                state.push(element_state(statement, environment.now)?);
            }
        }
        if state.is_empty() {
            state = set.element_state.iter().map(super::statement::fresh).collect();
        }
        Ok(Element { key, data, comment, timeout_ms, state })
    }

    fn data(&mut self, data: &tree::Expression, kind: &DataType, environment: &Environment) -> Result<Data> {
        let data = data.resolved();
        match kind {
            DataType::Values { types, interval } => Ok(match element_key(data, types, environment)? {
                ElementKey::Value(value) => Data::Value(value),
                ElementKey::Range(first, last) if *interval => Data::Range(first, last),
                _ => {
                    let message =
                        "data are single values; declare the map with `interval` before the data's type";
                    return refuse(data.span, message);
                }
            }),
            DataType::Verdict => match &data.kind {
                ExpressionKind::Verdict(verdict) => Ok(Data::Verdict(self.verdict(verdict)?)),
                _ => refuse(data.span, "a verdict belongs here, such as `accept` or `jump CHAIN`"),
            },
            DataType::Object(words) => {
                let (ExpressionKind::Text(name) | ExpressionKind::Word(name)) = &data.kind else {
                    return refuse(data.span, format!("the name of a {words} belongs here"));
                };
                match self.object(words, name) {
                    Some(name) => Ok(Data::Object(name)),
                    None => refuse(data.span, format!("there is no {words} `{name}` in this table")),
                }
            }
        }
    }

    /// The name of an object of this kind, if there is one.
    pub(super) fn object(&self, words: &str, name: &str) -> Option<Arc<str>> {
        let mut objects = self.table.objects.iter();
        objects
            .find(|object| object.kind.words() == words && *object.name == *name)
            .map(|object| object.name.clone())
    }

    /// A verdict whose chain must be there.
    pub(super) fn verdict(&mut self, verdict: &tree::Verdict) -> Result<Verdict> {
        use tree::VerdictKind as K;
        Ok(match &verdict.kind {
            K::Accept => Verdict::Accept,
            K::Drop => Verdict::Drop,
            K::Continue => Verdict::Continue,
            K::Return => Verdict::Return,
            K::Jump(name) => Verdict::Jump(self.target(&name.value, name.span)?),
            K::Goto(name) => Verdict::Goto(self.target(&name.value, name.span)?),
        })
    }

    fn target(&mut self, name: &str, span: Span) -> Result<Arc<str>> {
        let Some(at) = self.chain_position(name) else {
            return refuse(span, format!("there is no chain `{name}` in table {}", self.table.name));
        };
        let chain = &self.table.chains[at];
        if chain.base.is_some() {
            return refuse(
                span,
                format!("`{name}` is a base chain: packets come to it by its hook, it is not jumped to"),
            );
        }
        Ok(chain.name.clone())
    }
}

fn nameless(wish: &SetWish) -> Set {
    Set {
        name: "".into(),
        handle: 0,
        anonymous: true,
        comment: None,
        key: wish.key.clone(),
        typeof_text: None,
        data: wish.data.clone(),
        flags: SetFlags { constant: true, ..SetFlags::default() },
        timeout_ms: None,
        gc_interval_ms: None,
        size: None,
        policy_memory: false,
        auto_merge: false,
        element_state: Vec::new(),
        elements: Arc::default(),
        live: None,
    }
}

fn is_plain(element: &Element) -> bool {
    element.comment.is_none() && element.state.is_empty() && element.key != ElementKey::CatchAll
}

/// Whole milliseconds.
pub(super) fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A name, of at most 255 bytes.
pub(super) fn name(name: &crate::rules::syntax::source::Name) -> Result<Arc<str>> {
    if name.value.is_empty() || name.value.len() > 255 {
        return refuse(name.span, "a name has 1 to 255 bytes");
    }
    Ok(name.value.as_str().into())
}

/// A comment, of at most 128 bytes.
pub(super) fn comment(
    comment: Option<&crate::rules::syntax::source::Spanned<String>>,
) -> Result<Option<Arc<str>>> {
    match comment {
        Some(comment) if comment.value.len() > 128 => refuse(comment.span, "a comment has at most 128 bytes"),
        comment => Ok(comment.map(|comment| comment.value.as_str().into())),
    }
}

/// Whether a statement is one that elements may have.
pub(super) const fn is_state(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Counter(_)
            | Statement::Quota(_)
            | Statement::Limit(_)
            | Statement::CtCount(_)
            | Statement::Last(_)
    )
}
