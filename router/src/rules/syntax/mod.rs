//! nft's text to a syntax tree: every word of the language is known here, none is judged.

pub mod error;
mod include;
mod lexer;
mod parser;
pub mod source;
pub mod tree;

use error::SyntaxError;
use source::Sources;
use tree::Command;

pub use include::{Read, nothing};

/// All texts together, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// All texts together.
pub const FILES_MAX: usize = 4096;
/// Files within files.
pub const INCLUDE_DEPTH_MAX: usize = 16;
/// Braces, parentheses, prefixes and variables within each other.
pub const NESTING_MAX: usize = 64;
/// Operators in a row, and parts of a concatenation.
pub const CHAIN_MAX: usize = 256;
/// Parts of an expression once the values of its variables are put in, and of all uses of variables in a text.
pub const EXPANDED_MAX: usize = 8 << 20;

/// A text that is nft's language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What was read, for showing places.
    pub sources: Sources,
    /// What it asks for, in order.
    pub commands: Vec<Command>,
}

/// Reads a text, called `name` in messages, and with `read` what it includes.
///
/// # Errors
/// The first thing that is not nft's language, or beyond a bound.
///
/// # Example
/// ```
/// use router::rules::syntax::{nothing, parse};
///
/// let parsed = parse("rules.nft", "add table inet filter", &mut nothing).unwrap();
/// assert_eq!(parsed.commands.len(), 1);
///
/// let error = parse("rules.nft", "add tabel inet filter", &mut nothing).unwrap_err();
/// assert!(error.headline().ends_with("did you mean `table`?"), "{error}");
/// ```
pub fn parse<'a>(name: &str, text: &str, read: &'a mut Read<'a>) -> Result<Parsed, SyntaxError> {
    let mut reading = include::Reading::new(read);
    reading.text(name, text)?;
    let include::Reading { sources, tokens, .. } = reading;
    let commands = parser::commands(&sources, &tokens)?;
    Ok(Parsed { sources, commands })
}

#[cfg(test)]
mod tests;
