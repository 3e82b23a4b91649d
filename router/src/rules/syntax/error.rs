//! What can be wrong with a text, said with the place.

use std::fmt;

use thiserror::Error;

use super::source::{Place, Sources, Span};

/// The first thing in a text that is not nft's language. `{}` is the message on one line, the line of the text, and a
/// caret under the place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct SyntaxError {
    /// What is wrong.
    pub mistake: Mistake,
    /// Where.
    pub place: Place,
}

impl SyntaxError {
    pub(super) fn new(sources: &Sources, span: Span, mistake: Mistake) -> Self {
        Self { mistake, place: sources.place(span) }
    }

    /// `file:line:column: what is wrong`, on one line.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{}: {}", self.place, self.mistake)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}", self.headline(), self.place.excerpt())
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Mistake {
    /// Something else belongs there.
    #[error("{found} where {expected} was expected{}", also(.suggestion))]
    Unexpected {
        /// What stands there, in backticks, or `the end of the line` and the like.
        found: String,
        /// What would be right.
        expected: String,
        /// A word that looks like the one that stands there.
        suggestion: Option<&'static str>,
    },
    /// A character that is not part of the language.
    #[error("`{0}` means nothing here")]
    Character(char),
    /// A quote without its end on the same line.
    #[error("this text has no closing `\"` on its line")]
    UnterminatedText,
    /// What looks like an address and is none.
    #[error("`{0}` is no address")]
    BadAddress(String),
    /// What looks like a number and is none.
    #[error("`{0}` is no number of at most 64 bits; behind a leading 0 digits are octal")]
    BadNumber(String),
    /// A number out of its bounds.
    #[error("{number} is not from {least} to {most}")]
    OutOfBounds {
        /// What was written.
        number: u64,
        /// The smallest that would be right.
        least: u64,
        /// The largest that would be right.
        most: u64,
    },
    /// A variable that nobody defined before.
    #[error("there is no variable `${name}` here{}", also(.suggestion))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// A name that looks like it.
        suggestion: Option<String>,
    },
    /// A variable that is defined already.
    #[error("`{0}` is defined already; `redefine` changes it")]
    DefinedTwice(String),
    /// A variable that is put in where its value does not fit.
    #[error("`${name}` is not {expected}")]
    Variable {
        /// Its name.
        name: String,
        /// What would fit.
        expected: &'static str,
    },
    /// What may be said once.
    #[error("{0} was said already")]
    Twice(&'static str),
    /// A word of the language in the place of a name.
    #[error("`{word}` is a word of the language and cannot be {what}")]
    Reserved {
        /// The word.
        word: String,
        /// What it would be.
        what: &'static str,
    },
    /// Something particular.
    #[error("{0}")]
    Wrong(&'static str),
    /// What must be said.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// What changes nothing.
    #[error(
        "`{0}` does not change rules; a rules file does nothing else (`routerctl show rules` shows them)"
    )]
    ChangesNothing(String),
    /// A name or comment that is too long.
    #[error("this is {length} bytes long, at most {max} are kept")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        max: usize,
    },
    /// Braces, parentheses or variables within each other.
    #[error("nested too deeply, at most {max} levels")]
    TooDeep {
        /// How deep it may be.
        max: usize,
    },
    /// Operators in a row.
    #[error("more than {max} of these in a row")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// Variables within variables that come to too much.
    #[error("with the values of its variables this is more than {max} parts")]
    TooLarge {
        /// How many there may be.
        max: usize,
    },
    /// All texts together.
    #[error("more than {} MiB of rules with what is included", .max >> 20)]
    TooMuchText {
        /// Bytes there may be.
        max: usize,
    },
    /// Files in files.
    #[error("included too deeply, at most {max} levels")]
    IncludedTooDeeply {
        /// How deep they may be.
        max: usize,
    },
    /// All files together.
    #[error("more than {max} files")]
    TooManyFiles {
        /// How many there may be.
        max: usize,
    },
    /// A file that cannot be read.
    #[error("cannot include \"{path}\": {reason}")]
    Include {
        /// As it was written.
        path: String,
        /// Why not.
        reason: String,
    },
}

fn also(suggestion: &Option<impl fmt::Display>) -> String {
    suggestion.as_ref().map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

/// The word of a list that is nearest to the one written, if it is near.
pub(super) fn nearest<'w>(written: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if written.is_empty() || written.len() > LOOKS_ALIKE_MAX {
        return None;
    }
    let distance = |word: &&str| strsim::damerau_levenshtein(written, word);
    let nearest = words.filter(|word| word.len().abs_diff(written.len()) <= 2).min_by_key(distance)?;
    let allowed = if written.chars().count() <= 3 { 1 } else { 2 };
    // The very word would be no help: what is wrong with it stands behind it.
    (1..=allowed).contains(&distance(&nearest)).then_some(nearest)
}

/// Longer words are not compared, in bytes.
const LOOKS_ALIKE_MAX: usize = 64;
