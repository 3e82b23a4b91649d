//! Commands: a verb, what it is about, and which.

use winnow::Parser;
use winnow::combinator::cut_err;

use super::declaration::{chain_body, family, flowtable_body, set_body, table, table_path};
use super::primitive::{name, next, next_word, number, second_word, separator, since, skip, took_word, word};
use super::variables::{definition, variable};
use super::{Failure, Input, Parsed, expression, object, statement};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::{Name, Spanned};
use crate::rules::syntax::tree::{
    Beside, ChainBlock, Command, CommandKind, Declaration, Element, Elements, ExpressionKind, Family, Flush,
    Id, ObjectKind, Path, Reset, RuleId, RulePlace, Scope, Target,
};

/// Verbs, and what may be added without one.
const COMMANDS: &[&str] = &[
    "add",
    "create",
    "insert",
    "replace",
    "delete",
    "destroy",
    "flush",
    "rename",
    "reset",
    "define",
    "redefine",
    "undefine",
    "include",
    "table",
    "chain",
    "rule",
    "set",
    "map",
    "element",
    "flowtable",
    "counter",
    "quota",
    "limit",
    "ct",
    "synproxy",
    "secmark",
];
/// What may be added.
const DECLARATIONS: &[&str] = &[
    "table",
    "chain",
    "rule",
    "set",
    "map",
    "element",
    "flowtable",
    "counter",
    "quota",
    "limit",
    "ct",
    "synproxy",
    "secmark",
];

/// All commands of a text.
pub(super) fn commands(input: &mut Input<'_>) -> Parsed<Vec<Command>> {
    let mut commands = Vec::new();
    loop {
        match next(input).kind {
            Kind::End => return Ok(commands),
            Kind::Newline | Kind::Semicolon => {
                skip(input);
            }
            _ if definition(input)? => {}
            _ => {
                let start = next(input).span();
                let kind = cut_err(command).parse_next(input)?;
                commands.push(Command { kind, span: since(input, start) });
                cut_err(separator).parse_next(input)?;
            }
        }
    }
}

fn command(input: &mut Input<'_>) -> Parsed<CommandKind> {
    let verb = next_word(input);
    match verb {
        "add" => {
            skip(input);
            add(input)
        }
        "create" => {
            skip(input);
            create(input)
        }
        "insert" => {
            skip(input);
            word!("rule").parse_next(input)?;
            let place = rule_place(input)?;
            Ok(CommandKind::InsertRule(place, statement::rule(input)?))
        }
        "replace" => {
            skip(input);
            word!("rule").parse_next(input)?;
            let id = rule_id(input)?;
            Ok(CommandKind::ReplaceRule(id, statement::rule(input)?))
        }
        "delete" => {
            skip(input);
            target(input).map(CommandKind::Delete)
        }
        "destroy" => {
            skip(input);
            target(input).map(CommandKind::Destroy)
        }
        "flush" => {
            skip(input);
            flush(input).map(CommandKind::Flush)
        }
        "rename" => {
            skip(input);
            word!("chain").parse_next(input)?;
            let chain = path(input, "the name of a chain")?;
            Ok(CommandKind::RenameChain(chain, name("a new name").parse_next(input)?))
        }
        "reset" => {
            skip(input);
            reset(input).map(CommandKind::Reset)
        }
        "list" | "get" | "monitor" | "export" | "import" | "describe" => {
            Err(Failure::mistake(next(input).span(), Mistake::ChangesNothing(verb.to_owned())))
        }
        _ => add(input),
    }
}

/// What stands behind `add`, or without a verb.
fn add(input: &mut Input<'_>) -> Parsed<CommandKind> {
    if let Some(declaration) = declaration(input)? {
        return Ok(CommandKind::Add(declaration));
    }
    let has_rule = took_word(input, "rule");
    if !has_rule && !begins_rule(input) {
        let (what, words) = if second_to_last_is_verb(input) {
            ("what to add", DECLARATIONS)
        } else {
            ("a command", COMMANDS)
        };
        return Err(Failure::words(input, what, words));
    }
    let place = rule_place(input)?;
    Ok(CommandKind::AddRule(place, statement::rule(input)?))
}

/// Whether a verb was taken just now.
fn second_to_last_is_verb(input: &Input<'_>) -> bool {
    input.state.sources.text(super::primitive::behind(input)) == "add"
}

/// Whether `[FAMILY] TABLE CHAIN` may stand here: a rule without `add rule`.
fn begins_rule(input: &Input<'_>) -> bool {
    let first = next_word(input);
    let is_name = |word: &str| !word.is_empty() && !super::primitive::is_reserved(word);
    Family::from_word(first).is_some() || is_name(first) && is_name(second_word(input))
}

fn create(input: &mut Input<'_>) -> Parsed<CommandKind> {
    match declaration(input)? {
        Some(declaration) => Ok(CommandKind::Create(declaration)),
        None => Err(Failure::words(input, "what to create", DECLARATIONS)),
    }
}

/// What is added or created, if it is not a rule.
fn declaration(input: &mut Input<'_>) -> Parsed<Option<Declaration>> {
    let declaration = match next_word(input) {
        "table" => {
            skip(input);
            let path = table_path(input)?;
            Declaration::Table(table(input, path)?)
        }
        "chain" => {
            skip(input);
            let Path { table, name } = path(input, "the name of a chain")?;
            Declaration::Chain(table, chain(input, name)?)
        }
        kind @ ("set" | "map") => {
            skip(input);
            let Path { table, name } = path(input, "the name of a set")?;
            Declaration::Set(table, set_body(input, name, kind == "map")?)
        }
        "element" => {
            skip(input);
            let set = path(input, "the name of a set")?;
            Declaration::Elements(set, elements(input)?)
        }
        "flowtable" => {
            skip(input);
            let Path { table, name } = path(input, "the name of a flowtable")?;
            Declaration::Flowtable(table, flowtable_body(input, name)?)
        }
        _ => {
            let Some(kind) = object::kind(input) else { return Ok(None) };
            let Path { table, name } = path(input, "the name of an object")?;
            Declaration::Object(table, object::body(input, kind, name)?)
        }
    };
    Ok(Some(declaration))
}

/// `[{ … }]` of a chain.
fn chain(input: &mut Input<'_>, name: Name) -> Parsed<ChainBlock> {
    if next(input).kind == Kind::LeftBrace {
        return chain_body(input, name);
    }
    Ok(ChainBlock { name, base: None, policy: None, offload: None, comment: None, rules: Vec::new() })
}

/// `[FAMILY] TABLE NAME`.
fn path(input: &mut Input<'_>, what: &'static str) -> Parsed<Path> {
    let table = table_path(input)?;
    Ok(Path { table, name: name(what).parse_next(input)? })
}

/// `[FAMILY] TABLE CHAIN [handle N|position N|index N]`.
fn rule_place(input: &mut Input<'_>) -> Parsed<RulePlace> {
    let chain = path(input, "the name of a chain")?;
    let beside = match next_word(input) {
        "handle" | "position" => {
            skip(input);
            Some(Beside::Handle(number(input)?))
        }
        "index" => {
            skip(input);
            Some(Beside::Index(number(input)?))
        }
        _ => None,
    };
    Ok(RulePlace { chain, beside })
}

/// `[FAMILY] TABLE CHAIN handle N`.
fn rule_id(input: &mut Input<'_>) -> Parsed<RuleId> {
    let chain = path(input, "the name of a chain")?;
    Ok(RuleId { chain, handle: handle(input)? })
}

fn handle(input: &mut Input<'_>) -> Parsed<Spanned<u64>> {
    word!("handle").parse_next(input)?;
    number(input)
}

/// `[FAMILY] TABLE NAME`, `[FAMILY] TABLE handle N`.
fn id(input: &mut Input<'_>, what: &'static str) -> Parsed<Id> {
    let table = table_path(input)?;
    if next_word(input) == "handle" {
        return Ok(Id::Handle(table, handle(input)?));
    }
    Ok(Id::Name(Path { table, name: name(what).parse_next(input)? }))
}

/// `{ … }`, or a variable in its place.
fn elements(input: &mut Input<'_>) -> Parsed<Elements> {
    let set = match next(input).kind {
        Kind::Dollar => variable(input)?,
        Kind::LeftBrace => expression::set(input)?,
        _ => return Err(Failure::expected(input, Kind::LeftBrace.name())),
    };
    let span = set.span;
    let elements = match set.kind {
        ExpressionKind::Set(elements) => elements,
        _ => vec![Element { span, key: set, data: None, options: None }],
    };
    Ok(Elements { elements, span })
}

/// What stands behind `delete` or `destroy`.
fn target(input: &mut Input<'_>) -> Parsed<Target> {
    match next_word(input) {
        "table" => {
            skip(input);
            let is_handle = next_word(input) == "handle" || second_word(input) == "handle";
            if is_handle {
                let family = family(input).unwrap_or(Family::Ip);
                return Ok(Target::TableHandle(family, handle(input)?));
            }
            table_path(input).map(Target::Table)
        }
        "chain" => {
            skip(input);
            let id = id(input, "the name of a chain")?;
            let devices = match &id {
                Id::Name(path) if next(input).kind == Kind::LeftBrace => {
                    Some(Box::new(chain_body(input, path.name.clone())?))
                }
                _ => None,
            };
            Ok(Target::Chain(id, devices))
        }
        "rule" => {
            skip(input);
            rule_id(input).map(Target::Rule)
        }
        kind @ ("set" | "map") => {
            skip(input);
            Ok(Target::Set { id: id(input, "the name of a set")?, is_map: kind == "map" })
        }
        "element" => {
            skip(input);
            let set = path(input, "the name of a set")?;
            Ok(Target::Elements(set, elements(input)?))
        }
        "flowtable" => {
            skip(input);
            let id = id(input, "the name of a flowtable")?;
            let devices = match &id {
                Id::Name(path) if next(input).kind == Kind::LeftBrace => {
                    Some(Box::new(flowtable_body(input, path.name.clone())?))
                }
                _ => None,
            };
            Ok(Target::Flowtable(id, devices))
        }
        _ => match object::kind(input) {
            Some(kind) => Ok(Target::Object(kind, id(input, "the name of an object")?)),
            None => Err(Failure::words(input, "what to delete", DECLARATIONS)),
        },
    }
}

/// What stands behind `flush`.
fn flush(input: &mut Input<'_>) -> Parsed<Flush> {
    let what = next_word(input);
    let words: &'static [&'static str] = &["ruleset", "table", "chain", "set", "map", "meter"];
    if !words.contains(&what) {
        return Err(Failure::words(input, "what to flush", words));
    }
    skip(input);
    match what {
        "ruleset" => Ok(Flush::Ruleset(family(input))),
        "table" => table_path(input).map(Flush::Table),
        "chain" => path(input, "the name of a chain").map(Flush::Chain),
        "set" => path(input, "the name of a set").map(Flush::Set),
        "map" => path(input, "the name of a map").map(Flush::Map),
        _ => path(input, "the name of a meter").map(Flush::Meter),
    }
}

/// What stands behind `reset`.
fn reset(input: &mut Input<'_>) -> Parsed<Reset> {
    let what = next_word(input);
    let words: &'static [&'static str] =
        &["counters", "counter", "quotas", "quota", "rules", "rule", "element", "set", "map"];
    if !words.contains(&what) {
        return Err(Failure::words(input, "what to reset", words));
    }
    skip(input);
    match what {
        "counters" => Ok(Reset::Objects(ObjectKind::Counter, scope(input)?)),
        "quotas" => Ok(Reset::Objects(ObjectKind::Quota, scope(input)?)),
        "counter" => Ok(Reset::Object(ObjectKind::Counter, path(input, "the name of a counter")?)),
        "quota" => Ok(Reset::Object(ObjectKind::Quota, path(input, "the name of a quota")?)),
        "rule" => rule_id(input).map(Reset::Rule),
        "element" => {
            let set = path(input, "the name of a set")?;
            Ok(Reset::Elements(set, elements(input)?))
        }
        "set" => path(input, "the name of a set").map(Reset::Set),
        "map" => path(input, "the name of a map").map(Reset::Map),
        _ => {
            let is_chain = took_word(input, "chain");
            let reach = scope(input)?;
            match reach {
                Scope::Table(table) if is_chain || next(input).kind == Kind::Word => {
                    Ok(Reset::Chain(Path { table, name: name("the name of a chain").parse_next(input)? }))
                }
                reach if !is_chain => Ok(Reset::Rules(reach)),
                _ => Err(Failure::expected(input, "the name of a table")),
            }
        }
    }
}

/// `[FAMILY]`, `[table] [FAMILY] TABLE`.
fn scope(input: &mut Input<'_>) -> Parsed<Scope> {
    let has_table = took_word(input, "table");
    let ends = |kind| matches!(kind, Kind::Newline | Kind::Semicolon | Kind::End);
    if !has_table && ends(next(input).kind) {
        return Ok(Scope::Family(None));
    }
    let is_family = Family::from_word(next_word(input)).is_some();
    if !has_table && is_family && ends(super::primitive::second(input).kind) {
        return Ok(Scope::Family(family(input)));
    }
    table_path(input).map(Scope::Table)
}
