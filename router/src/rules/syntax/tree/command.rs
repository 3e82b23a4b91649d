//! What a file asks for, one after the other.

use super::{
    ChainBlock, Element, Family, FlowtableBlock, ObjectBlock, ObjectKind, Path, Rule, SetBlock, TableBlock,
    TablePath,
};
use crate::rules::syntax::source::{Name, Span, Spanned};

/// One command. Variables are put in already and includes read: neither is a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it asks for.
    pub kind: CommandKind,
    /// Where it was written.
    pub span: Span,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// `add …`, or without a verb: if it is there already, good. A table or chain block adds what it holds.
    Add(Declaration),
    /// `create …`: must not be there yet.
    Create(Declaration),
    /// `add rule …`, or without a verb `rule …`, or `TABLE CHAIN …`.
    AddRule(RulePlace, Rule),
    /// `insert rule …`.
    InsertRule(RulePlace, Rule),
    /// `replace rule … handle N …`.
    ReplaceRule(RuleId, Rule),
    /// `delete …`: must be there.
    Delete(Target),
    /// `destroy …`: if it is not there, good.
    Destroy(Target),
    /// `flush …`.
    Flush(Flush),
    /// `rename chain … NAME`.
    RenameChain(Path, Name),
    /// `reset …`.
    Reset(Reset),
}

/// What `add` and `create` make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// `table`, with or without a block.
    Table(TableBlock),
    /// `chain`, with or without a block.
    Chain(TablePath, ChainBlock),
    /// `set`, `map`.
    Set(TablePath, SetBlock),
    /// `element TABLE SET { … }`.
    Elements(Path, Elements),
    /// `flowtable`.
    Flowtable(TablePath, FlowtableBlock),
    /// `counter`, `quota`, `limit`, `ct helper` …
    Object(TablePath, ObjectBlock),
}

/// Elements in braces, or a variable in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    /// One after the other. Sets inside, by variable or in braces, are elements whose key is a set.
    pub elements: Vec<Element>,
    /// All of them.
    pub span: Span,
}

/// Where a rule goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Into which chain.
    pub chain: Path,
    /// Behind (`add`) or before (`insert`) which rule; else at the end, or the beginning.
    pub beside: Option<Beside>,
}

/// Beside which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// `handle N`, formerly `position N`.
    Handle(Spanned<u64>),
    /// `index N`, counted from 0.
    Index(Spanned<u64>),
}

/// A rule by its handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleId {
    /// Of which chain.
    pub chain: Path,
    /// Its handle.
    pub handle: Spanned<u64>,
}

/// What `delete` and `destroy` take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `table NAME`.
    Table(TablePath),
    /// `table [FAMILY] handle N`.
    TableHandle(Family, Spanned<u64>),
    /// `chain`; with a block, nft takes devices away from a base chain.
    Chain(Id, Option<Box<ChainBlock>>),
    /// `rule … handle N`.
    Rule(RuleId),
    /// `set`, `map`.
    Set {
        /// Which.
        id: Id,
        /// Whether `map` was written.
        is_map: bool,
    },
    /// `element TABLE SET { … }`.
    Elements(Path, Elements),
    /// `flowtable`; with a block, nft takes devices away from it.
    Flowtable(Id, Option<Box<FlowtableBlock>>),
    /// `counter`, `quota`, `limit`, `ct helper` …
    Object(ObjectKind, Id),
}

/// Something of a table, by name or by handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// `TABLE NAME`.
    Name(Path),
    /// `TABLE handle N`.
    Handle(TablePath, Spanned<u64>),
}

/// What `flush` empties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flush {
    /// `ruleset [FAMILY]`: everything.
    Ruleset(Option<Family>),
    /// `table`: the rules of its chains.
    Table(TablePath),
    /// `chain`: its rules.
    Chain(Path),
    /// `set`: its elements.
    Set(Path),
    /// `map`: its elements.
    Map(Path),
    /// `meter`: its elements.
    Meter(Path),
}

/// What `reset` sets to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// `counters`, `quotas`: all of a kind.
    Objects(ObjectKind, Scope),
    /// `counter`, `quota`.
    Object(ObjectKind, Path),
    /// `rules`: counters, quotas and limits inside them.
    Rules(Scope),
    /// `rules chain …`.
    Chain(Path),
    /// `rule … handle N`.
    Rule(RuleId),
    /// `element TABLE SET { … }`.
    Elements(Path, Elements),
    /// `set`.
    Set(Path),
    /// `map`.
    Map(Path),
}

/// How far a command reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere, or a family.
    Family(Option<Family>),
    /// A table.
    Table(TablePath),
}
