//! Tokens to commands. Each file has the grammar of one thing, as in nft's `parser_bison.y`.

mod command;
mod declaration;
mod expression;
mod failure;
mod object;
mod primitive;
mod selector;
mod statement;
mod variables;

use winnow::Parser as _;
use winnow::stream::{Stateful, TokenSlice};

use failure::Failure;
use variables::Scopes;

use super::error::SyntaxError;
use super::lexer::Token;
use super::source::Sources;
use super::tree::Command;

/// What is parsed: tokens, of which the last is [`super::lexer::Kind::End`], and what was defined so far.
type Input<'s> = Stateful<TokenSlice<'s, Token>, State<'s>>;
/// What a parser answers.
type Parsed<T> = winnow::ModalResult<T, Failure>;

/// What parsers know besides the tokens before them.
#[derive(Debug)]
struct State<'s> {
    sources: &'s Sources,
    scopes: Scopes,
    /// Braces and parentheses that are open.
    depth: usize,
}

/// All commands of a text.
pub(super) fn commands(sources: &Sources, tokens: &[Token]) -> Result<Vec<Command>, SyntaxError> {
    let state = State { sources, scopes: Scopes::default(), depth: 0 };
    let mut input = Stateful { input: TokenSlice::new(tokens), state };
    command::commands
        .parse_next(&mut input)
        .map_err(|failure| failure.into_inner().expect("the text is complete").said(sources, tokens))
}
