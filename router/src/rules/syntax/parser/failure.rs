//! Why a parser did not go on.

use smallvec::{SmallVec, smallvec};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::Stream;

use super::Input;
use crate::rules::syntax::error::{Mistake, SyntaxError, nearest};
use crate::rules::syntax::lexer::{Kind, Token};
use crate::rules::syntax::source::{Sources, Span};

/// Why, and how many tokens were left.
#[derive(Debug)]
pub(super) struct Failure {
    tokens_left: usize,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// One of these was expected.
    Expected(SmallVec<[&'static str; 4]>),
    /// One of these words was expected, called so.
    Words(&'static str, &'static [&'static str]),
    /// Something particular, at its own place.
    Mistake(Box<(Span, Mistake)>),
}

impl Failure {
    /// This was expected next. Others may be tried.
    pub(super) fn expected(input: &Input<'_>, what: &'static str) -> ErrMode<Self> {
        ErrMode::Backtrack(Self { tokens_left: input.eof_offset(), why: Why::Expected(smallvec![what]) })
    }

    /// One of these words was expected next, `what` for short. Others may be tried.
    pub(super) fn words(
        input: &Input<'_>,
        what: &'static str,
        words: &'static [&'static str],
    ) -> ErrMode<Self> {
        ErrMode::Backtrack(Self { tokens_left: input.eof_offset(), why: Why::Words(what, words) })
    }

    /// Something is wrong, whatever else may be tried.
    pub(super) fn mistake(span: Span, mistake: Mistake) -> ErrMode<Self> {
        ErrMode::Cut(Self { tokens_left: 0, why: Why::Mistake(Box::new((span, mistake))) })
    }

    /// The message about it.
    pub(super) fn said(self, sources: &Sources, tokens: &[Token]) -> SyntaxError {
        let at = tokens[tokens.len() - self.tokens_left.clamp(1, tokens.len())];
        let word = if at.kind == Kind::Word { sources.text(at.span()) } else { "" };
        let (expected, suggestion) = match self.why {
            Why::Mistake(mistake) => {
                let (span, mistake) = *mistake;
                return SyntaxError::new(sources, span, mistake);
            }
            Why::Expected(expected) => {
                let looks_like = expected.iter().filter_map(|what| what.strip_prefix('`')?.strip_suffix('`'));
                let suggestion = nearest(word, looks_like);
                (one_of(&expected), suggestion)
            }
            Why::Words(what, words) => {
                let named = if words.len() <= WORDS_SHOWN_MAX {
                    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                    let words: Vec<_> = words.iter().map(String::as_str).collect();
                    format!("{what} ({})", one_of(&words))
                } else {
                    what.to_owned()
                };
                (named, nearest(word, words.iter().copied()))
            }
        };
        let found = match at.kind {
            Kind::Newline => "the end of the line".to_owned(),
            Kind::End => "the end of the file".to_owned(),
            _ => format!("`{}`", shortened(sources.text(at.span()))),
        };
        SyntaxError::new(sources, at.span(), Mistake::Unexpected { found, expected, suggestion })
    }
}

/// More words than these are not listed in a message.
const WORDS_SHOWN_MAX: usize = 12;
/// A word in a message is cut to this, in characters.
const FOUND_MAX: usize = 60;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(FOUND_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn one_of(items: &[&str]) -> String {
    match items {
        [] => "something else".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

impl<'s> ParserError<Input<'s>> for Failure {
    type Inner = Self;

    fn from_input(input: &Input<'s>) -> Self {
        Self { tokens_left: input.eof_offset(), why: Why::Expected(SmallVec::new()) }
    }

    /// The one that got further; of two that got equally far, what both expected.
    fn or(mut self, other: Self) -> Self {
        if self.tokens_left != other.tokens_left {
            return if self.tokens_left < other.tokens_left { self } else { other };
        }
        match (&mut self.why, other.why) {
            (Why::Expected(expected), Why::Expected(more)) => {
                expected.extend(more);
                self
            }
            (Why::Expected(_), why) => Self { why, ..self },
            _ => self,
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}
