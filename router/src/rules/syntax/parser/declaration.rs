//! Tables, chains, sets, maps and flowtables in blocks.

mod set;

use winnow::Parser;
use winnow::combinator::cut_err;

pub(super) use set::set_body;

use super::expression::device;
use super::primitive::{
    block, commas, comment, keyword, name, newlines, next, next_word, number, once, separator, since, skip,
    token, took, word,
};
use super::variables::{named, variable};
use super::{Failure, Input, Parsed, object, statement};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::{Name, Span, Spanned};
use crate::rules::syntax::tree::{
    BaseChain, ChainBlock, ChainType, Expression, ExpressionKind, Family, FlowtableBlock, HookName, Policy,
    Priority, TableBlock, TableFlag, TableItem, TablePath,
};

/// What may stand in the block of a table.
const TABLE_ITEMS: &[&str] = &[
    "chain",
    "set",
    "map",
    "flowtable",
    "counter",
    "quota",
    "limit",
    "ct",
    "synproxy",
    "secmark",
    "flags",
    "comment",
    "include",
    "define",
    "redefine",
    "undefine",
];

/// `[FAMILY] NAME`.
pub(super) fn table_path(input: &mut Input<'_>) -> Parsed<TablePath> {
    let start = next(input).span();
    let family = family(input);
    let name = name("the name of a table").parse_next(input)?;
    Ok(TablePath { family: family.unwrap_or(Family::Ip), name, span: since(input, start) })
}

/// A family, if one stands there.
pub(super) fn family(input: &mut Input<'_>) -> Option<Family> {
    let family = Family::from_word(next_word(input))?;
    skip(input);
    Some(family)
}

/// `[{ … }]` behind the table's path.
pub(super) fn table(input: &mut Input<'_>, path: TablePath) -> Parsed<TableBlock> {
    let mut table = TableBlock { path, flags: Vec::new(), comment: None, items: Vec::new() };
    if next(input).kind == Kind::LeftBrace {
        block(input, |input| {
            table_item(input, &mut table)?;
            separator(input)
        })?;
    }
    Ok(table)
}

fn table_item(input: &mut Input<'_>, table: &mut TableBlock) -> Parsed<()> {
    let start = next(input).span();
    match next_word(input) {
        "flags" => {
            skip(input);
            table.flags.extend(commas(keyword!(TableFlag, "a flag of a table")).parse_next(input)?);
        }
        "comment" => {
            let said = comment(input)?;
            once(&mut table.comment, said, start, "the comment")?;
        }
        "chain" => {
            skip(input);
            let name = name("the name of a chain").parse_next(input)?;
            if next(input).kind != Kind::LeftBrace {
                return Err(Failure::expected(input, Kind::LeftBrace.name()));
            }
            table.items.push(TableItem::Chain(chain_body(input, name)?));
        }
        kind @ ("set" | "map") => {
            skip(input);
            let name = name("the name of a set").parse_next(input)?;
            table.items.push(TableItem::Set(set_body(input, name, kind == "map")?));
        }
        "flowtable" => {
            skip(input);
            let name = name("the name of a flowtable").parse_next(input)?;
            table.items.push(TableItem::Flowtable(flowtable_body(input, name)?));
        }
        _ => {
            let Some(kind) = object::kind(input) else {
                return Err(Failure::words(input, "something of a table", TABLE_ITEMS));
            };
            let name = name("the name of an object").parse_next(input)?;
            if next(input).kind != Kind::LeftBrace {
                return Err(Failure::expected(input, Kind::LeftBrace.name()));
            }
            table.items.push(TableItem::Object(object::body(input, kind, name)?));
        }
    }
    Ok(())
}

/// `{ … }` of a chain.
pub(super) fn chain_body(input: &mut Input<'_>, name: Name) -> Parsed<ChainBlock> {
    let mut chain =
        ChainBlock { name, base: None, policy: None, offload: None, comment: None, rules: Vec::new() };
    let mut devices = Vec::new();
    block(input, |input| {
        chain_item(input, &mut chain, &mut devices)?;
        separator(input)
    })?;
    match (&mut chain.base, devices.first()) {
        (Some(base), _) => base.devices.extend(devices),
        (None, Some(device)) => {
            return Err(Failure::mistake(device.span, Mistake::Missing("`type … hook … priority …`")));
        }
        (None, None) => {}
    }
    Ok(chain)
}

fn chain_item(input: &mut Input<'_>, chain: &mut ChainBlock, devices: &mut Vec<Expression>) -> Parsed<()> {
    let start = next(input).span();
    match next_word(input) {
        "type" => {
            let base = base_chain(input)?;
            once(&mut chain.base, base, start, "`type … hook …`")
        }
        "policy" => {
            skip(input);
            let policy = policy(input)?;
            once(&mut chain.policy, policy, start, "the policy")
        }
        "flags" => {
            skip(input);
            word!("offload").parse_next(input)?;
            once(&mut chain.offload, since(input, start), start, "`flags offload`")
        }
        "devices" => {
            devices.extend(device_list(input)?);
            Ok(())
        }
        "comment" => {
            let said = comment(input)?;
            once(&mut chain.comment, said, start, "the comment")
        }
        _ => {
            chain.rules.push(statement::rule(input)?);
            Ok(())
        }
    }
}

/// `type TYPE hook HOOK [device …] priority PRIORITY`.
fn base_chain(input: &mut Input<'_>) -> Parsed<BaseChain> {
    let start = word!("type").parse_next(input)?;
    let kind = keyword!(ChainType, "a type of chain").parse_next(input)?;
    word!("hook").parse_next(input)?;
    let hook = keyword!(HookName, "a hook").parse_next(input)?;
    let devices = match next_word(input) {
        "device" => {
            skip(input);
            vec![device(input)?]
        }
        "devices" => device_list(input)?,
        _ => Vec::new(),
    };
    let priority = priority(input)?;
    Ok(BaseChain { span: since(input, start), kind, hook, devices, priority })
}

/// `devices = { NAME, … }`, `devices = $NAME`.
fn device_list(input: &mut Input<'_>) -> Parsed<Vec<Expression>> {
    word!("devices").parse_next(input)?;
    token(Kind::Equals).parse_next(input)?;
    if next(input).kind == Kind::Dollar {
        return Ok(vec![variable(input)?]);
    }
    token(Kind::LeftBrace).parse_next(input)?;
    let mut devices = Vec::new();
    loop {
        newlines(input);
        devices.push(device(input)?);
        newlines(input);
        if !took(input, Kind::Comma) {
            break;
        }
        newlines(input);
        if next(input).kind == Kind::RightBrace {
            break;
        }
    }
    token(Kind::RightBrace).parse_next(input)?;
    Ok(devices)
}

/// `priority N`, `priority NAME [± N]`, `priority $NAME`.
fn priority(input: &mut Input<'_>) -> Parsed<Priority> {
    let start = word!("priority").parse_next(input)?;
    let mut priority = match next(input).kind {
        Kind::Dollar => {
            let variable = variable(input)?;
            of_variable(&variable)?
        }
        Kind::Word => (Some(priority_name(input)?), 0),
        _ => (None, 0),
    };
    let shifts = next(input).kind == Kind::Dash || next(input).kind == Kind::Plus && priority.0.is_some();
    if shifts {
        priority.1 = signed(input, priority.1)?;
    } else if next(input).kind == Kind::Number && priority.0.is_none() {
        let number = number::<u32>(input)?;
        priority.1 = offset(number.value.into(), number.span)?;
    } else if priority.0.is_none() && super::primitive::behind(input) == start {
        return Err(Failure::expected(input, "a number, or the name of a priority"));
    }
    Ok(Priority { name: priority.0, offset: priority.1, span: since(input, start) })
}

/// A name of a priority; `out` is one in old texts.
fn priority_name(input: &mut Input<'_>) -> Parsed<Name> {
    name("a number, or the name of a priority").parse_next(input)
}

/// `+ N`, `- N`, added to what is there.
fn signed(input: &mut Input<'_>, to: i32) -> Parsed<i32> {
    let is_minus = next(input).kind == Kind::Dash;
    skip(input);
    let number = cut_err(number::<u32>).parse_next(input)?;
    let value = i64::from(number.value);
    offset(i64::from(to) + if is_minus { -value } else { value }, number.span)
}

fn offset(value: i64, span: Span) -> Parsed<i32> {
    i32::try_from(value).map_err(|_| {
        let mistake = Mistake::OutOfBounds { number: value.unsigned_abs(), least: 0, most: i32::MAX as u64 };
        Failure::mistake(span, mistake)
    })
}

/// What a variable says as a priority: a number, a name, or a text such as `"filter - 10"`.
fn of_variable(variable: &Expression) -> Parsed<(Option<Name>, i32)> {
    match &variable.resolved().kind {
        ExpressionKind::Number(number) => {
            Ok((None, offset(i64::try_from(*number).unwrap_or(i64::MAX), variable.span)?))
        }
        ExpressionKind::Negative(number) => {
            Ok((None, offset(i64::try_from(*number).map_or(i64::MIN, |number| -number), variable.span)?))
        }
        _ => {
            let text = named(variable, "a priority")?;
            let mut words = text.value.split_whitespace();
            let name = words.next().map(|name| Spanned::new(name.to_owned(), text.span));
            let shift = match (words.next(), words.next().map(str::parse::<i32>)) {
                (None, None) => Some(0),
                (Some("+"), Some(Ok(number))) => Some(number),
                (Some("-"), Some(Ok(number))) => Some(-number),
                _ => None,
            };
            match shift.filter(|_| words.next().is_none()) {
                Some(shift) => Ok((name, shift)),
                None => Err(Failure::mistake(
                    text.span,
                    Mistake::Wrong("a priority is a number, a name, or both as in `filter + 10`"),
                )),
            }
        }
    }
}

/// `accept`, `drop`, or a variable that is one.
fn policy(input: &mut Input<'_>) -> Parsed<Spanned<Policy>> {
    if next(input).kind == Kind::Dollar {
        let variable = variable(input)?;
        let word = named(&variable, "`accept` or `drop`")?;
        let policy = Policy::from_word(&word.value);
        return match policy {
            Some(policy) => Ok(Spanned::new(policy, word.span)),
            None => Err(Failure::mistake(word.span, Mistake::Wrong("a policy is `accept` or `drop`"))),
        };
    }
    keyword!(Policy, "a policy").parse_next(input)
}

/// `{ … }` of a flowtable.
pub(super) fn flowtable_body(input: &mut Input<'_>, name: Name) -> Parsed<FlowtableBlock> {
    let mut flowtable =
        FlowtableBlock { name, hook: None, devices: Vec::new(), counter: false, offload: None };
    block(input, |input| {
        let start = next(input).span();
        match next_word(input) {
            "hook" => {
                skip(input);
                let hook = keyword!(HookName, "a hook").parse_next(input)?;
                let priority = priority(input)?;
                once(&mut flowtable.hook, (hook, priority), start, "the hook")?;
            }
            "devices" => flowtable.devices.extend(device_list(input)?),
            "counter" => {
                skip(input);
                flowtable.counter = true;
            }
            "flags" => {
                skip(input);
                word!("offload").parse_next(input)?;
                once(&mut flowtable.offload, since(input, start), start, "`flags offload`")?;
            }
            _ => {
                let words = &["hook", "devices", "counter", "flags"];
                return Err(Failure::words(input, "something of a flowtable", words));
            }
        }
        separator(input)
    })?;
    Ok(flowtable)
}
