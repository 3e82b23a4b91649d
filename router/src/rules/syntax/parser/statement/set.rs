//! Statements that change sets: `add @set { … }`, `meter`, `flow add @table`.

use winnow::Parser;
use winnow::combinator::{alt, opt};

use super::super::expression::{Role, concatenation};
use super::super::primitive::{
    comment, duration, keyword, name, next, next_word, number, once, skip, token, took, took_word, word,
};
use super::super::variables::named;
use super::super::{Failure, Input, Parsed, variables};
use super::stateful;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::Name;
use crate::rules::syntax::tree::{Meter, SetOperation, SetUpdate, StatementKind};

/// `add|update|delete @name { KEY [OPTIONS] [STATEMENTS] [: DATA] }`.
pub(super) fn update(input: &mut Input<'_>) -> Parsed<SetUpdate> {
    let operation = keyword!(SetOperation, "what to do with the set").parse_next(input)?.value;
    let set = set_name(input)?;
    token(Kind::LeftBrace).parse_next(input)?;
    let mut update = element(input, operation)?;
    update.set = set;
    token(Kind::RightBrace).parse_next(input)?;
    Ok(update)
}

/// `set add|update|delete KEY [OPTIONS] @name`, the older form.
pub(super) fn update_reversed(input: &mut Input<'_>) -> Parsed<SetUpdate> {
    skip(input);
    let operation = keyword!(SetOperation, "what to do with the set").parse_next(input)?.value;
    let mut update = element(input, operation)?;
    update.set = set_name(input)?;
    Ok(update)
}

/// What stands in the braces. The set is still to be named.
fn element(input: &mut Input<'_>, operation: SetOperation) -> Parsed<SetUpdate> {
    let key = concatenation(input, Role::Left)?;
    let mut update = SetUpdate {
        operation,
        set: Name::new(String::new(), key.span),
        key,
        timeout: None,
        expires: None,
        comment: None,
        statements: Vec::new(),
        data: None,
    };
    loop {
        let start = next(input).span();
        match next_word(input) {
            "timeout" => {
                skip(input);
                let timeout = duration(input)?;
                once(&mut update.timeout, timeout, start, "the timeout")?;
            }
            "expires" => {
                skip(input);
                let expires = duration(input)?;
                once(&mut update.expires, expires, start, "the expiry")?;
            }
            "comment" => {
                let said = comment(input)?;
                once(&mut update.comment, said, start, "the comment")?;
            }
            _ => match opt(stateful).parse_next(input)? {
                Some(statement) => update.statements.push(statement),
                None => break,
            },
        }
    }
    if took(input, Kind::Colon) {
        update.data = Some(concatenation(input, Role::Left)?);
    }
    Ok(update)
}

/// `@NAME`, or a variable that is one.
fn set_name(input: &mut Input<'_>) -> Parsed<Name> {
    if next(input).kind == Kind::Dollar {
        let variable = variables::variable(input)?;
        return match &variable.resolved().kind {
            crate::rules::syntax::tree::ExpressionKind::SetReference(name) => {
                Ok(Name::new(name.clone(), variable.span))
            }
            _ => named(&variable, "the name of a set"),
        };
    }
    if !took(input, Kind::At) {
        return Err(Failure::expected(input, "`@` and the name of a set"));
    }
    name("the name of a set").parse_next(input)
}

/// `meter NAME [size N] { KEY [timeout DURATION] STATEMENT }`.
pub(super) fn meter(input: &mut Input<'_>) -> Parsed<Meter> {
    skip(input);
    let name = name("the name of the meter").parse_next(input)?;
    let size = if took_word(input, "size") { Some(number(input)?) } else { None };
    token(Kind::LeftBrace).parse_next(input)?;
    let key = concatenation(input, Role::Left)?;
    let timeout = if took_word(input, "timeout") { Some(duration(input)?) } else { None };
    let statement = Box::new(stateful(input)?);
    token(Kind::RightBrace).parse_next(input)?;
    Ok(Meter { name, size, key, timeout, statement })
}

/// `flow add @NAME`.
pub(super) fn flow(input: &mut Input<'_>) -> Parsed<StatementKind> {
    skip(input);
    alt((word!("add"), word!("offload"))).parse_next(input)?;
    token(Kind::At).parse_next(input)?;
    let flowtable = name("the name of a flowtable").parse_next(input)?;
    Ok(StatementKind::FlowAdd { flowtable })
}
