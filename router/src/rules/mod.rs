//! Rules in nft's language: text is parsed into a tree, checked into a [`model`], compiled and run.
//!
//! What outlives a reload, such as counters, is [`state`] and shared by the old rules and the new.

pub mod catalog;
pub mod check;
pub mod install;
pub mod journal;
pub mod json;
pub mod list;
mod lookup;
pub mod model;
pub mod run;
pub mod state;
pub mod syntax;

use check::{Environment, Loaded, RuleError};
use model::Ruleset;
use syntax::error::SyntaxError;
use thiserror::Error;

/// Why a text of rules was refused. Nothing of it took effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// It is not nft's language.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// It is, but cannot be run.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl LoadError {
    /// `file:line:column: what is wrong`, on one line.
    #[must_use]
    pub fn headline(&self) -> String {
        match self {
            Self::Syntax(error) => error.headline(),
            Self::Rule(error) => error.headline(),
        }
    }
}

/// Reads a text, called `name` in messages, and does what it says to the rules there are; `read` reads what it
/// includes. The rules take effect when [`Loaded::commit`] hands them over.
///
/// # Errors
/// The first thing that is not nft's language or cannot be run. Nothing has changed then.
///
/// # Example
/// ```
/// use router::rules::check::Environment;
/// use router::rules::{load, list, model::Ruleset, syntax::nothing};
///
/// let environment = Environment::default();
/// let text = "table ip t { chain c { type filter hook forward priority 0; tcp dport 22 accept; }; }";
/// let loaded = load(&Ruleset::default(), "rules.nft", text, &mut nothing, &environment).unwrap();
/// assert_eq!(loaded.summary.rules.added, 1);
/// let listed = list::list(&loaded.ruleset, &list::Options::new(&environment));
/// assert!(listed.contains("\t\ttcp dport 22 accept\n"), "{listed}");
/// ```
pub fn load<'a>(
    current: &Ruleset,
    name: &str,
    text: &str,
    read: &'a mut syntax::Read<'a>,
    environment: &Environment,
) -> Result<Loaded, LoadError> {
    let parsed = syntax::parse(name, text, read)?;
    Ok(check::load(current, &parsed.commands, &parsed.sources, environment)?)
}
