//! Variables: `define`, `redefine`, `undefine`, `$name`.

use std::collections::HashMap;
use std::sync::Arc;

use winnow::Parser;
use winnow::combinator::cut_err;
use winnow::stream::Stream;

use super::primitive::{name, next_word, separator, since, skip, token};
use super::{Failure, Input, Parsed, expression};
use crate::rules::syntax::error::{Mistake, nearest};
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::{Name, Span, Spanned};
use crate::rules::syntax::tree::{Expression, ExpressionKind, Variable};
use crate::rules::syntax::{EXPANDED_MAX, NESTING_MAX};

/// What is defined where: the outermost scope first.
#[derive(Debug)]
pub(super) struct Scopes {
    open: Vec<HashMap<String, Defined>>,
    /// Of all variables that were used so far.
    used_parts: usize,
    /// The deepest of the variables used in the value that is being defined.
    used_depth: usize,
}

/// A variable and what it comes to.
#[derive(Clone, Debug)]
struct Defined {
    variable: Arc<Variable>,
    weight: Weight,
}

/// How large an expression is once variables are put in.
#[derive(Clone, Copy, Debug)]
struct Weight {
    /// In tokens.
    parts: usize,
    /// Variables within variables.
    depth: usize,
}

impl Default for Scopes {
    fn default() -> Self {
        Self { open: vec![HashMap::new()], used_parts: 0, used_depth: 0 }
    }
}

impl Scopes {
    /// What is defined from now on is forgotten with [`Scopes::close`].
    pub(super) fn open(&mut self) {
        self.open.push(HashMap::new());
    }

    /// Forgets what was defined since [`Scopes::open`].
    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    fn find(&self, name: &str) -> Option<&Defined> {
        self.open.iter().rev().find_map(|scope| scope.get(name))
    }

    fn innermost(&mut self) -> &mut HashMap<String, Defined> {
        self.open.last_mut().expect("the outermost scope is never closed")
    }
}

/// `define NAME = VALUE`, `redefine NAME = VALUE`, `undefine NAME`; whether there was one.
pub(super) fn definition(input: &mut Input<'_>) -> Parsed<bool> {
    let verb = next_word(input);
    if !matches!(verb, "define" | "redefine" | "undefine") {
        return Ok(false);
    }
    skip(input);
    let name = cut_err(name("the name of a variable")).parse_next(input)?;
    if verb == "undefine" {
        let scopes = input.state.scopes.open.iter_mut().rev();
        if scopes.into_iter().find_map(|scope| scope.remove(&name.value)).is_none() {
            return Err(unknown(input, &name.value, name.span));
        }
    } else {
        cut_err(token(Kind::Equals)).parse_next(input)?;
        define(input, name, verb == "define")?;
    }
    cut_err(separator).parse_next(input)?;
    Ok(true)
}

/// What stands behind the `=`.
fn define(input: &mut Input<'_>, name: Name, is_new: bool) -> Parsed<()> {
    let (tokens, parts) = (input.eof_offset(), input.state.scopes.used_parts);
    input.state.scopes.used_depth = 0;
    let value = cut_err(expression::initializer).parse_next(input)?;
    let scopes = &mut input.state.scopes;
    let used = scopes.used_parts - parts;
    scopes.used_parts = parts;
    let depth = scopes.used_depth + 1;
    if depth > NESTING_MAX {
        return Err(Failure::mistake(value.span, Mistake::TooDeep { max: NESTING_MAX }));
    }
    if is_new && scopes.find(&name.value).is_some() {
        return Err(Failure::mistake(name.span, Mistake::DefinedTwice(name.value)));
    }
    let weight = Weight { parts: tokens - input.eof_offset() + used, depth };
    let key = name.value.clone();
    input
        .state
        .scopes
        .innermost()
        .insert(key, Defined { variable: Arc::new(Variable { name, value }), weight });
    Ok(())
}

/// `$NAME`.
pub(super) fn variable(input: &mut Input<'_>) -> Parsed<Expression> {
    let start = token(Kind::Dollar).parse_next(input)?;
    let name = cut_err(name("the name of a variable")).parse_next(input)?;
    let variable = used(input, &name.value, name.span)?;
    Ok(Expression::new(ExpressionKind::Variable(variable), since(input, start)))
}

/// The variable, counted as used.
fn used(input: &mut Input<'_>, name: &str, span: Span) -> Parsed<Arc<Variable>> {
    let Some(defined) = input.state.scopes.find(name).cloned() else {
        return Err(unknown(input, name, span));
    };
    let scopes = &mut input.state.scopes;
    scopes.used_parts = scopes.used_parts.saturating_add(defined.weight.parts);
    scopes.used_depth = scopes.used_depth.max(defined.weight.depth);
    if scopes.used_parts > EXPANDED_MAX {
        return Err(Failure::mistake(span, Mistake::TooLarge { max: EXPANDED_MAX }));
    }
    Ok(defined.variable)
}

/// A name, or a variable that is one.
pub(super) fn name_or_variable(input: &mut Input<'_>, what: &'static str) -> Parsed<Name> {
    if super::primitive::next(input).kind != Kind::Dollar {
        return name(what).parse_next(input);
    }
    let variable = variable(input)?;
    named(&variable, what)
}

/// What a variable says as a word or text.
pub(super) fn named(expression: &Expression, expected: &'static str) -> Parsed<Name> {
    match (&expression.kind, &expression.resolved().kind) {
        (_, ExpressionKind::Word(word) | ExpressionKind::Text(word)) => {
            Ok(Spanned::new(word.clone(), expression.span))
        }
        (ExpressionKind::Variable(variable), _) => {
            let mistake = Mistake::Variable { name: variable.name.value.clone(), expected };
            Err(Failure::mistake(expression.span, mistake))
        }
        _ => Err(Failure::mistake(expression.span, Mistake::Wrong("this is neither a word nor a text"))),
    }
}

/// A text with what stands for its variables: `"$name: "`.
pub(super) fn interpolated(input: &mut Input<'_>, text: Spanned<String>) -> Parsed<Spanned<String>> {
    if !text.value.contains('$') {
        return Ok(text);
    }
    let mut value = String::new();
    let mut rest = text.value.as_str();
    while let Some((before, behind)) = rest.split_once('$') {
        value.push_str(before);
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = behind.find(|letter| !is_part(letter)).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        let variable = used(input, name, text.span)?;
        match &variable.value.resolved().kind {
            ExpressionKind::Word(word) | ExpressionKind::Text(word) => value.push_str(word),
            ExpressionKind::Number(number) => value.push_str(&number.to_string()),
            _ => {
                let mistake = Mistake::Variable { name: name.to_owned(), expected: "a text" };
                return Err(Failure::mistake(text.span, mistake));
            }
        }
        rest = behind;
    }
    value.push_str(rest);
    Ok(Spanned::new(value, text.span))
}

fn unknown(input: &Input<'_>, name: &str, span: Span) -> winnow::error::ErrMode<Failure> {
    let names = input.state.scopes.open.iter().flat_map(HashMap::keys);
    // In a fixed order, so that of two equally near the same is named each time.
    let mut names: Vec<_> = names.map(String::as_str).collect();
    names.sort_unstable();
    let suggestion = nearest(name, names.into_iter()).map(|name| format!("${name}"));
    Failure::mistake(span, Mistake::UnknownVariable { name: name.to_owned(), suggestion })
}
