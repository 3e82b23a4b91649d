//! Single tokens, names, numbers, blocks: what all grammars are made of.

use std::str::FromStr;
use std::time::Duration;

use winnow::Parser;
use winnow::combinator::cut_err;
use winnow::stream::Stream;

use super::{Failure, Input, Parsed};
use crate::rules::syntax::NESTING_MAX;
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::{self, Kind, Token};
use crate::rules::syntax::source::{Name, Span, Spanned};

/// Longest comment, in bytes (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_BYTES_MAX: usize = 127;
/// Longest name of a table, chain, set or object, in bytes (`NFT_NAME_MAXLEN` less the final zero).
const NAME_BYTES_MAX: usize = 255;

/// The next token. The last one is never taken, so there always is one.
pub(super) fn next(input: &Input<'_>) -> Token {
    *input.peek_token().expect("the end is never taken")
}

/// The token behind the next one; the last one again, if there is none.
pub(super) fn second(input: &Input<'_>) -> Token {
    let tokens = input.peek_slice(input.eof_offset().min(2));
    *tokens.last().expect("the end is never taken")
}

/// What a token was written as.
pub(super) fn text<'s>(input: &Input<'s>, token: Token) -> &'s str {
    input.state.sources.text(token.span())
}

/// The next token if it is a word, else nothing.
pub(super) fn next_word<'s>(input: &Input<'s>) -> &'s str {
    let token = next(input);
    if token.kind == Kind::Word { text(input, token) } else { "" }
}

/// The token behind the next one if it is a word, else nothing.
pub(super) fn second_word<'s>(input: &Input<'s>) -> &'s str {
    let token = second(input);
    if token.kind == Kind::Word { text(input, token) } else { "" }
}

/// Takes the next token, whatever it is but the last.
pub(super) fn skip(input: &mut Input<'_>) -> Span {
    let token = next(input);
    if token.kind != Kind::End {
        input.next_token();
    }
    token.span()
}

/// Where what has been parsed ends.
pub(super) fn behind(input: &Input<'_>) -> Span {
    input.input.previous_tokens().next().map_or_else(Span::default, |token| token.span())
}

/// From `start` to what was parsed last.
pub(super) fn since(input: &Input<'_>, start: Span) -> Span {
    start.to(behind(input))
}

/// This kind of token.
pub(super) fn token<'s>(kind: Kind) -> impl Parser<Input<'s>, Span, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| {
        if next(input).kind == kind { Ok(skip(input)) } else { Err(Failure::expected(input, kind.name())) }
    }
}

/// This word. `quoted` is the word in backticks, for messages: see the macro `word`.
pub(super) fn this_word<'s>(
    quoted: &'static str,
) -> impl Parser<Input<'s>, Span, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| {
        let token = next(input);
        let wanted = &quoted[1..quoted.len() - 1];
        if token.kind == Kind::Word && token.len() == wanted.len() && text(input, token) == wanted {
            Ok(skip(input))
        } else {
            Err(Failure::expected(input, quoted))
        }
    }
}

/// A parser of one word.
macro_rules! word {
    ($word:literal) => {
        crate::rules::syntax::parser::primitive::this_word(concat!("`", $word, "`"))
    };
}
pub(super) use word;

/// One of the words that `read` knows.
pub(super) fn one_of<'s, T>(
    what: &'static str,
    words: &'static [&'static str],
    read: fn(&str) -> Option<T>,
) -> impl Parser<Input<'s>, Spanned<T>, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| match read(next_word(input)) {
        Some(value) => Ok(Spanned::new(value, skip(input))),
        None => Err(Failure::words(input, what, words)),
    }
}

/// One of the words of an enum.
macro_rules! keyword {
    ($type:ty, $what:literal) => {
        crate::rules::syntax::parser::primitive::one_of($what, <$type>::WORDS, <$type>::from_word)
    };
}
pub(super) use keyword;

/// Whether the next token is of this kind; takes it then.
pub(super) fn took(input: &mut Input<'_>, kind: Kind) -> bool {
    let is = next(input).kind == kind;
    if is {
        skip(input);
    }
    is
}

/// Whether the next token is this word; takes it then.
pub(super) fn took_word(input: &mut Input<'_>, word: &str) -> bool {
    let is = next_word(input) == word;
    if is {
        skip(input);
    }
    is
}

/// The end of a line or a semicolon; the end of the file and the end of a block may stand for it.
pub(super) fn separator(input: &mut Input<'_>) -> Parsed<()> {
    match next(input).kind {
        Kind::Newline | Kind::Semicolon => {
            skip(input);
            Ok(())
        }
        Kind::End => Ok(()),
        _ => Err(Failure::expected(input, "`;` or a new line")),
    }
}

/// Ends of lines that mean nothing, as between elements.
pub(super) fn newlines(input: &mut Input<'_>) {
    while took(input, Kind::Newline) {}
}

/// `NAME`.
pub(super) fn name<'s>(what: &'static str) -> impl Parser<Input<'s>, Name, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| {
        let token = next(input);
        let written = text(input, token);
        if token.kind != Kind::Word {
            return Err(Failure::expected(input, what));
        }
        if is_reserved(written) {
            let mistake = Mistake::Reserved { word: written.to_owned(), what };
            return Err(Failure::mistake(token.span(), mistake));
        }
        if written.len() > NAME_BYTES_MAX {
            let mistake = Mistake::TooLong { length: written.len(), max: NAME_BYTES_MAX };
            return Err(Failure::mistake(token.span(), mistake));
        }
        Ok(Spanned::new(written.to_owned(), skip(input)))
    }
}

/// A text in quotes or a word: what nft calls a string.
pub(super) fn string(input: &mut Input<'_>) -> Parsed<Spanned<String>> {
    let token = next(input);
    let written = text(input, token);
    let value = match token.kind {
        Kind::Text => written[1..written.len() - 1].to_owned(),
        Kind::Word | Kind::Asterisk | Kind::Duration | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => {
            written.to_owned()
        }
        _ => return Err(Failure::expected(input, "a text in quotes")),
    };
    Ok(Spanned::new(value, skip(input)))
}

/// A text in quotes.
pub(super) fn quoted(input: &mut Input<'_>) -> Parsed<Spanned<String>> {
    if next(input).kind == Kind::Text {
        string(input)
    } else {
        Err(Failure::expected(input, "a text in quotes"))
    }
}

/// `comment "…"`.
pub(super) fn comment(input: &mut Input<'_>) -> Parsed<Spanned<String>> {
    word!("comment").parse_next(input)?;
    let comment = cut_err(string).parse_next(input)?;
    if comment.value.len() > COMMENT_BYTES_MAX {
        let mistake = Mistake::TooLong { length: comment.value.len(), max: COMMENT_BYTES_MAX };
        return Err(Failure::mistake(comment.span, mistake));
    }
    Ok(comment)
}

/// A number from 0 to the largest of its type.
pub(super) fn number<T: TryFrom<u64>>(input: &mut Input<'_>) -> Parsed<Spanned<T>> {
    number_from(0).parse_next(input)
}

/// A number from `least` to the largest of its type.
pub(super) fn number_from<'s, T: TryFrom<u64>>(
    least: u64,
) -> impl Parser<Input<'s>, Spanned<T>, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| {
        let token = next(input);
        if token.kind != Kind::Number {
            return Err(Failure::expected(input, "a number"));
        }
        let written = lexer::number(text(input, token)).expect("the lexer has read it");
        match T::try_from(written) {
            Ok(value) if written >= least => Ok(Spanned::new(value, skip(input))),
            _ => {
                let bits = (std::mem::size_of::<T>() * 8) as u32;
                let most = u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(u64::MAX);
                let mistake = Mistake::OutOfBounds { number: written, least, most };
                Err(Failure::mistake(token.span(), mistake))
            }
        }
    }
}

/// `1h30m`.
pub(super) fn duration(input: &mut Input<'_>) -> Parsed<Spanned<Duration>> {
    let token = next(input);
    if token.kind != Kind::Duration {
        return Err(Failure::expected(input, Kind::Duration.name()));
    }
    let written = text(input, token);
    match milliseconds(written) {
        Some(value) => Ok(Spanned::new(Duration::from_millis(value), skip(input))),
        None => Err(Failure::mistake(token.span(), Mistake::BadNumber(written.to_owned()))),
    }
}

/// What a duration comes to; nothing if it is too long to count.
fn milliseconds(written: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let mut rest = written;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count = u64::from_str(&rest[..digits]).ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        sum = sum.checked_add(count.checked_mul(*factor)?)?;
    }
    Some(sum)
}

/// One or more of these with commas between.
pub(super) fn commas<'s, T>(
    mut item: impl Parser<Input<'s>, T, winnow::error::ErrMode<Failure>>,
) -> impl Parser<Input<'s>, Vec<T>, winnow::error::ErrMode<Failure>> {
    move |input: &mut Input<'s>| {
        let mut items = vec![item.parse_next(input)?];
        while took(input, Kind::Comma) {
            items.push(cut_err(item.by_ref()).parse_next(input)?);
        }
        Ok(items)
    }
}

/// Parses something within braces or parentheses.
pub(super) fn nested<'s, T>(
    input: &mut Input<'s>,
    inside: impl FnOnce(&mut Input<'s>) -> Parsed<T>,
) -> Parsed<T> {
    if input.state.depth >= NESTING_MAX {
        return Err(Failure::mistake(next(input).span(), Mistake::TooDeep { max: NESTING_MAX }));
    }
    input.state.depth += 1;
    let parsed = inside(input);
    input.state.depth -= 1;
    parsed
}

/// `{ … }`: definitions, separators, and what `item` parses, which ends itself where it must. Names defined in it are
/// forgotten behind it.
pub(super) fn block<'s>(
    input: &mut Input<'s>,
    mut item: impl FnMut(&mut Input<'s>) -> Parsed<()>,
) -> Parsed<()> {
    cut_err(token(Kind::LeftBrace)).parse_next(input)?;
    nested(input, |input| {
        input.state.scopes.open();
        while !took(input, Kind::RightBrace) {
            match next(input).kind {
                Kind::Newline | Kind::Semicolon => {
                    skip(input);
                }
                Kind::End => return Err(Failure::expected(input, "`}`")),
                _ if super::variables::definition(input)? => {}
                _ => item(input)?,
            }
        }
        input.state.scopes.close();
        Ok(())
    })
}

/// Puts a value where it may stand once.
pub(super) fn once<T>(place: &mut Option<T>, value: T, span: Span, what: &'static str) -> Parsed<()> {
    if place.replace(value).is_some() {
        return Err(Failure::mistake(span, Mistake::Twice(what)));
    }
    Ok(())
}

/// Whether nft takes the word for its own wherever it stands, so that it cannot be a name.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word).is_ok()
}

/// Words that nft's scanner knows in every state, sorted. `last` is one, and may be a name all the same.
const RESERVED: &[&str] = &[
    "accept",
    "add",
    "ah",
    "all",
    "and",
    "arp",
    "auto-merge",
    "bridge",
    "cgroup",
    "chain",
    "comment",
    "comp",
    "constant",
    "continue",
    "counter",
    "cpu",
    "create",
    "ct",
    "day",
    "dccp",
    "define",
    "delete",
    "describe",
    "destroy",
    "device",
    "devices",
    "dnat",
    "drop",
    "dst",
    "dup",
    "dynamic",
    "ecn",
    "element",
    "elements",
    "eq",
    "esp",
    "ether",
    "exists",
    "expires",
    "export",
    "exthdr",
    "fib",
    "flags",
    "flow",
    "flowtable",
    "flush",
    "frag",
    "fwd",
    "gc-interval",
    "ge",
    "geneve",
    "get",
    "goto",
    "gre",
    "gretap",
    "gt",
    "handle",
    "hbh",
    "hook",
    "hour",
    "ibriport",
    "ibrname",
    "icmp",
    "icmpv6",
    "igmp",
    "iif",
    "iifgroup",
    "iifname",
    "iiftype",
    "import",
    "include",
    "index",
    "inet",
    "insert",
    "interval",
    "ip",
    "ip6",
    "ipsec",
    "jhash",
    "jump",
    "le",
    "limit",
    "list",
    "log",
    "lshift",
    "lt",
    "map",
    "mark",
    "masquerade",
    "meta",
    "meter",
    "mh",
    "missing",
    "monitor",
    "ne",
    "netdev",
    "nftrace",
    "not",
    "notrack",
    "numgen",
    "obriport",
    "obrname",
    "offload",
    "oif",
    "oifgroup",
    "oifname",
    "oiftype",
    "or",
    "osf",
    "pkttype",
    "policy",
    "position",
    "priority",
    "queue",
    "quota",
    "random",
    "redefine",
    "redirect",
    "reject",
    "rename",
    "replace",
    "reset",
    "return",
    "rshift",
    "rt",
    "rt0",
    "rt2",
    "rtclassid",
    "rule",
    "ruleset",
    "sctp",
    "secmark",
    "set",
    "size",
    "skgid",
    "skuid",
    "snat",
    "socket",
    "srh",
    "symhash",
    "synproxy",
    "table",
    "tcp",
    "th",
    "time",
    "timeout",
    "tproxy",
    "type",
    "typeof",
    "udp",
    "udplite",
    "undefine",
    "update",
    "vlan",
    "vmap",
    "vxlan",
    "xor",
];

#[cfg(test)]
mod tests {
    use super::RESERVED;

    #[test]
    fn reserved_words_are_sorted() {
        assert!(RESERVED.is_sorted());
    }
}
