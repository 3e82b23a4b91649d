//! Values, and what is made of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::statement::Statement;
use super::{Selector, Verdict};
use crate::rules::syntax::source::{Name, Span, Spanned};

/// A value, or how to come by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// What was written.
    pub kind: ExpressionKind,
    /// Where.
    pub span: Span,
}

impl Expression {
    /// Puts both together.
    #[must_use]
    pub fn new(kind: ExpressionKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// What variables stand for: the expression itself, or the value of the variable that it is.
    #[must_use]
    pub fn resolved(&self) -> &Self {
        let mut expression = self;
        while let ExpressionKind::Variable(variable) = &expression.kind {
            expression = &variable.value;
        }
        expression
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpressionKind {
    /// What of the packet is looked at.
    Selector(Selector),
    /// A word without quotes whose meaning depends on what it is compared with: `established`, `ssh`, `eth0`.
    Word(String),
    /// What stood in quotes.
    Text(String),
    /// What stood before a final `*`, as in `eth*` or `"eth*"`: everything that begins so. `\*` is a plain asterisk.
    Beginning(String),
    /// A number: decimal, hexadecimal with `0x`, or octal with a leading 0.
    Number(u64),
    /// `-N`; only a variable's value.
    Negative(u64),
    /// An address.
    Address(IpAddr),
    /// An Ethernet address.
    Mac([u8; 6]),
    /// `1d2h3m4s5ms`.
    Duration(Duration),
    /// `exists` or `missing`.
    Exists(bool),
    /// `$name`: what was defined before the place where it is used.
    Variable(Arc<Variable>),
    /// `@name`.
    SetReference(String),
    /// `*`: every key that no other element has.
    Otherwise,
    /// `ADDRESS/LENGTH`.
    Prefix(Box<Expression>, Spanned<u8>),
    /// `FIRST-LAST`.
    Range(Box<Expression>, Box<Expression>),
    /// `a,b,c` without braces: flags of which one is enough.
    List(Vec<Expression>),
    /// `a . b . c`, two or more parts.
    Concatenation(Vec<Expression>),
    /// `{ … }`.
    Set(Vec<Element>),
    /// `KEY map { … }`, `KEY map @name`.
    Map(Box<Expression>, Box<Expression>),
    /// `left OPERATOR right`.
    Binary(BinaryOperator, Box<Expression>, Box<Expression>),
    /// A verdict, as the data of an element.
    Verdict(Box<Verdict>),
}

/// A variable, where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name, where it was defined.
    pub name: Name,
    /// What it was defined as. Further variables in it are as they were at that place.
    pub value: Expression,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// All of it.
    pub span: Span,
    /// The key; for a set inside a set, all of that set.
    pub key: Expression,
    /// What stands behind the colon.
    pub data: Option<Expression>,
    /// What else is said of it. Boxed, as most elements are but keys.
    pub options: Option<Box<ElementOptions>>,
}

/// What may be said of an element besides key and data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementOptions {
    /// How long it stays.
    pub timeout: Option<Spanned<Lifetime>>,
    /// How long it stays from now on.
    pub expires: Option<Spanned<Duration>>,
    /// `comment "…"`.
    pub comment: Option<Spanned<String>>,
    /// `counter`, `quota`, `limit`, `ct count`, `last`.
    pub statements: Vec<Statement>,
}

/// How long an element stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// For ever, whatever the set says.
    Never,
    /// This long.
    For(Duration),
}

/// What makes one number of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    /// `&`.
    And,
    /// `|`.
    Or,
    /// `^`.
    Xor,
    /// `<<`.
    ShiftLeft,
    /// `>>`.
    ShiftRight,
}

impl BinaryOperator {
    /// As nft lists it.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::And => "&",
            Self::Or => "|",
            Self::Xor => "^",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
        }
    }
}

/// What compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// None was written: equal, or contained, or for flags one of them set.
    Implicit,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `>`.
    Greater,
    /// `<=`.
    LessOrEqual,
    /// `>=`.
    GreaterOrEqual,
    /// `!`: none of these flags is set.
    Not,
}

impl Relation {
    /// As nft lists it; nothing for [`Relation::Implicit`].
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Implicit => "",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessOrEqual => "<=",
            Self::GreaterOrEqual => ">=",
            Self::Not => "!",
        }
    }
}
