//! Statements that send a packet elsewhere: translations, `tproxy`, `dup`, `fwd`.

use winnow::Parser;

use super::super::expression::in_statement;
use super::super::primitive::{next, next_word, second_word, skip, token, took, took_word, word};
use super::super::selector::family;
use super::super::{Failure, Input, Parsed};
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::Spanned;
use crate::rules::syntax::tree::{Nat, NatFlag, NatForm, NatKind, StatementKind};

/// `snat`, `dnat`, `masquerade`, `redirect` and what stands behind.
pub(super) fn nat(input: &mut Input<'_>) -> Parsed<Nat> {
    let kind = NatKind::from_word(next_word(input)).expect("one of these called");
    skip(input);
    let mut nat =
        Nat { kind, family: None, address: None, port: None, form: NatForm::Plain, flags: Vec::new() };
    match kind {
        NatKind::Masquerade => {
            if took_word(input, "to") {
                token(Kind::Colon).parse_next(input)?;
                nat.port = Some(in_statement(input)?);
            }
        }
        NatKind::Redirect => {
            if took_word(input, "to") {
                took(input, Kind::Colon);
                nat.port = Some(in_statement(input)?);
            }
        }
        NatKind::Source | NatKind::Destination => target(input, &mut nat)?,
    }
    flags(input, &mut nat.flags)?;
    Ok(nat)
}

/// `[ip|ip6] [interval|prefix|addr . port] [to] ADDRESS[:PORT]`.
fn target(input: &mut Input<'_>, nat: &mut Nat) -> Parsed<()> {
    if matches!(second_word(input), "to" | "interval" | "prefix" | "addr") {
        nat.family = family(input);
    }
    nat.form = match next_word(input) {
        "interval" => NatForm::Interval,
        "prefix" => NatForm::Prefix,
        "addr" => NatForm::AddressAndPort,
        _ => NatForm::Plain,
    };
    if nat.form != NatForm::Plain {
        skip(input);
    }
    if nat.form == NatForm::AddressAndPort {
        (token(Kind::Dot), word!("port")).parse_next(input)?;
    }
    if nat.form == NatForm::Plain && nat.family.is_none() {
        took_word(input, "to");
    } else {
        word!("to").parse_next(input)?;
    }
    if next(input).kind != Kind::Colon {
        nat.address = Some(in_statement(input)?);
    }
    if nat.form == NatForm::Plain && took(input, Kind::Colon) {
        nat.port = Some(in_statement(input)?);
    }
    Ok(())
}

fn flags(input: &mut Input<'_>, flags: &mut Vec<Spanned<NatFlag>>) -> Parsed<()> {
    while let Some(flag) = NatFlag::from_word(next_word(input)) {
        flags.push(Spanned::new(flag, skip(input)));
        if took(input, Kind::Comma) && NatFlag::from_word(next_word(input)).is_none() {
            return Err(Failure::words(input, "how to choose", NatFlag::WORDS));
        }
    }
    Ok(())
}

/// `tproxy [ip|ip6] to [ADDRESS][:PORT]`.
pub(super) fn tproxy(input: &mut Input<'_>) -> Parsed<StatementKind> {
    skip(input);
    let family = family(input);
    word!("to").parse_next(input)?;
    let address = if next(input).kind == Kind::Colon { None } else { Some(in_statement(input)?) };
    let port = if took(input, Kind::Colon) { Some(in_statement(input)?) } else { None };
    Ok(StatementKind::Tproxy { family, address, port })
}

/// `dup to ADDRESS [device PORT]`.
pub(super) fn duplicate(input: &mut Input<'_>) -> Parsed<StatementKind> {
    skip(input);
    word!("to").parse_next(input)?;
    let to = in_statement(input)?;
    let device = if took_word(input, "device") { Some(in_statement(input)?) } else { None };
    Ok(StatementKind::Duplicate { to, device })
}

/// `fwd to PORT`, `fwd ip|ip6 to ADDRESS device PORT`.
pub(super) fn forward(input: &mut Input<'_>) -> Parsed<StatementKind> {
    skip(input);
    let family = family(input);
    word!("to").parse_next(input)?;
    let to = in_statement(input)?;
    if family.is_none() {
        return Ok(StatementKind::Forward { family, address: None, device: to });
    }
    word!("device").parse_next(input)?;
    Ok(StatementKind::Forward { family, address: Some(to), device: in_statement(input)? })
}
