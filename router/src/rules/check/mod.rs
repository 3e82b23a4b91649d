//! The syntax tree to the checked model: names resolved, types agreed, nothing left that cannot run.

mod chain;
mod constant;
mod environment;
mod expression;
mod link;
mod matching;
mod nat;
mod protocol;
mod set;
mod statement;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod transaction;

use std::fmt;

pub(crate) use constant::prefix_end;
pub use environment::{Environment, Helper};
use thiserror::Error;
pub use transaction::{Loaded, Summary, load};

use crate::rules::syntax::source::{Place, Sources, Span};

/// Why rules were refused. Nothing of them took effect. `{}` is the message on one line, the line of the text, and a
/// caret under the place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct RuleError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where.
    pub place: Place,
}

impl RuleError {
    fn new(sources: &Sources, refusal: Refusal) -> Self {
        Self { message: refusal.message, place: sources.place(refusal.span) }
    }

    /// `file:line:column: what is wrong`, on one line.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}", self.headline(), self.place.excerpt())
    }
}

/// What is wrong, and where in the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    span: Span,
    message: String,
}

type Result<T> = std::result::Result<T, Refusal>;

fn refuse<T>(span: Span, message: impl Into<String>) -> Result<T> {
    Err(Refusal { span, message: message.into() })
}
