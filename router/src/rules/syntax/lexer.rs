//! Text to tokens, as nft's scanner cuts it: the longest piece that is anything.

use std::net::{Ipv4Addr, Ipv6Addr};

use winnow::combinator::{alt, dispatch, fail, opt, peek, repeat};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::{any, take, take_till, take_while};

use super::error::Mistake;
use super::source::Span;

/// A piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    file: u16,
    start: u32,
    end: u32,
}

impl Token {
    pub(super) fn new(kind: Kind, span: Span) -> Self {
        let file = u16::try_from(span.file).expect("files are bounded far below");
        Self { kind, file, start: span.start, end: span.end }
    }

    pub(super) fn span(self) -> Span {
        Span { file: self.file.into(), start: self.start, end: self.end }
    }

    /// In bytes.
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word without quotes, whether it means something or is a name.
    Word,
    /// A word with an asterisk at the end, or with `\*` in it.
    Asterisk,
    /// In quotes.
    Text,
    Number,
    /// `1h30m`.
    Duration,
    Ipv4,
    /// Possibly in brackets.
    Ipv6,
    Mac,
    /// The end of a line.
    Newline,
    Semicolon,
    Comma,
    Dot,
    Colon,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParenthesis,
    RightParenthesis,
    Equals,
    EqualTo,
    NotEqualTo,
    Not,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    ShiftLeft,
    ShiftRight,
    And,
    Or,
    Xor,
    Slash,
    Dash,
    Plus,
    Star,
    At,
    Dollar,
    /// The end of the outermost file.
    End,
}

impl Kind {
    /// As messages call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Word => "a word",
            Self::Asterisk => "a word with `*`",
            Self::Text => "a text in quotes",
            Self::Number => "a number",
            Self::Duration => "a duration such as `1h30m`",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Mac => "an Ethernet address",
            Self::Newline => "a new line",
            Self::Semicolon => "`;`",
            Self::Comma => "`,`",
            Self::Dot => "`.`",
            Self::Colon => "`:`",
            Self::LeftBrace => "`{`",
            Self::RightBrace => "`}`",
            Self::LeftBracket => "`[`",
            Self::RightBracket => "`]`",
            Self::LeftParenthesis => "`(`",
            Self::RightParenthesis => "`)`",
            Self::Equals => "`=`",
            Self::EqualTo => "`==`",
            Self::NotEqualTo => "`!=`",
            Self::Not => "`!`",
            Self::Less => "`<`",
            Self::LessOrEqual => "`<=`",
            Self::Greater => "`>`",
            Self::GreaterOrEqual => "`>=`",
            Self::ShiftLeft => "`<<`",
            Self::ShiftRight => "`>>`",
            Self::And => "`&`",
            Self::Or => "`|`",
            Self::Xor => "`^`",
            Self::Slash => "`/`",
            Self::Dash => "`-`",
            Self::Plus => "`+`",
            Self::Star => "`*`",
            Self::At => "`@`",
            Self::Dollar => "`$`",
            Self::End => "the end of the file",
        }
    }
}

/// Cuts a text of at most 4 GiB into tokens, without one for its end.
pub(super) fn tokens(file: u32, text: &str) -> Result<Vec<Token>, (Span, Mistake)> {
    let mut input = LocatingSlice::new(text);
    // Lists of addresses have a token for 12 bytes or so.
    let mut tokens = Vec::with_capacity(text.len() / 8);
    loop {
        blank(&mut input).expect("nothing is blank, too");
        let start = input.current_token_start();
        let span = |end: usize| Span { file, start: start as u32, end: end as u32 };
        let Some(first) = input.peek_token() else { return Ok(tokens) };
        let Ok(kind) = token(&mut input) else {
            let mistake = if first == '"' { Mistake::UnterminatedText } else { Mistake::Character(first) };
            return Err((span(start + first.len_utf8()), mistake));
        };
        let end = input.current_token_start();
        sound(kind, &text[start..], end - start)
            .map_err(|(length, mistake)| (span(start + length), mistake))?;
        tokens.push(Token::new(kind, span(end)));
    }
}

type Input<'s> = LocatingSlice<&'s str>;
type Lexed<T> = Result<T, EmptyError>;

/// Blanks, comments, and the ends of lines that a backslash hides.
fn blank(input: &mut Input<'_>) -> Lexed<()> {
    repeat(
        0..,
        alt((
            take_while(1.., (' ', '\t', '\r')).void(),
            ('#', take_till(0.., '\n')).void(),
            ('\\', opt('\r'), '\n').void(),
        )),
    )
    .parse_next(input)
}

fn token(input: &mut Input<'_>) -> Lexed<Kind> {
    dispatch! { peek(any);
        '\n' => any.value(Kind::Newline),
        '"' => ('"', take_till(0.., ('"', '\n')), '"').value(Kind::Text),
        ';' => any.value(Kind::Semicolon),
        ',' => any.value(Kind::Comma),
        '{' => any.value(Kind::LeftBrace),
        '}' => any.value(Kind::RightBrace),
        '(' => any.value(Kind::LeftParenthesis),
        ')' => any.value(Kind::RightParenthesis),
        ']' => any.value(Kind::RightBracket),
        '&' => any.value(Kind::And),
        '|' => any.value(Kind::Or),
        '^' => any.value(Kind::Xor),
        '/' => any.value(Kind::Slash),
        '-' => any.value(Kind::Dash),
        '+' => any.value(Kind::Plus),
        '*' => any.value(Kind::Star),
        '@' => any.value(Kind::At),
        '$' => any.value(Kind::Dollar),
        '=' => alt(("==".value(Kind::EqualTo), "=".value(Kind::Equals))),
        '!' => alt(("!=".value(Kind::NotEqualTo), "!".value(Kind::Not))),
        '<' => alt(("<=".value(Kind::LessOrEqual), "<<".value(Kind::ShiftLeft), "<".value(Kind::Less))),
        '>' => alt((">=".value(Kind::GreaterOrEqual), ">>".value(Kind::ShiftRight), ">".value(Kind::Greater))),
        '[' | ':' | '\\' | '_' | '.' | '0'..='9' | 'a'..='z' | 'A'..='Z' => piece,
        _ => fail,
    }
    .parse_next(input)
}

/// What begins with a letter, a digit or `_ . : [ \`: the longest of all that it can be, the first of equals.
fn piece(input: &mut Input<'_>) -> Lexed<Kind> {
    let rest: &str = input;
    if rest.starts_with(|letter: char| letter.is_ascii_alphabetic() && !letter.is_ascii_hexdigit()) {
        let (kind, length) = word(rest);
        return take(length).value(kind).parse_next(input);
    }
    let candidates = [
        (Kind::Colon, usize::from(rest.starts_with(':'))),
        (Kind::LeftBracket, usize::from(rest.starts_with('['))),
        (Kind::Dot, usize::from(rest.starts_with('.'))),
        colon_separated(rest),
        (Kind::Ipv4, ipv4_length(rest)),
        (Kind::Duration, duration_length(rest)),
        (Kind::Number, number_length(rest)),
        class_id(rest),
        word(rest),
    ];
    let longest = candidates.into_iter().rev().max_by_key(|(_, length)| *length);
    let (kind, length) = longest.filter(|(_, length)| *length > 0).ok_or(EmptyError)?;
    take(length).value(kind).parse_next(input)
}

/// How many bytes at the beginning are these.
fn run(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !wanted(byte)).unwrap_or(text.len())
}

/// `name`, `eth*`, `eth\*`, `\*`, and the names of two EtherTypes that begin with a digit.
fn word(rest: &str) -> (Kind, usize) {
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let begins = rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '_' | '.'));
    let length = if begins { run(rest, continues) } else { 0 };
    let behind = &rest[length..];
    if let Some(second) = behind.strip_prefix("\\*") {
        let more =
            second.starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '_' | '.'));
        return (Kind::Asterisk, length + 2 + if begins && more { run(second, continues) } else { 0 });
    }
    match ["8021ad", "8021q"].iter().find(|name| rest.starts_with(**name)) {
        _ if begins && behind.starts_with('*') => (Kind::Asterisk, length + 1),
        Some(name) => (Kind::Word, name.len()),
        None => (Kind::Word, length),
    }
}

/// `0x1f`, `42`.
fn number_length(rest: &str) -> usize {
    let hexadecimal = rest.strip_prefix("0x").or(rest.strip_prefix("0X"));
    match hexadecimal.map_or(0, |digits| run(digits, |byte| byte.is_ascii_hexdigit())) {
        0 => run(rest, |byte| byte.is_ascii_digit()),
        digits => digits + 2,
    }
}

/// `1d2h3m4s5ms`: each unit at most once, in this order.
fn duration_length(rest: &str) -> usize {
    let mut length = 0;
    for unit in ["d", "h", "m", "s", "ms"] {
        let digits = run(&rest[length..], |byte| byte.is_ascii_digit());
        let behind = &rest[length + digits..];
        // `5ms` is milliseconds: the `m` of minutes must not be followed by `s`.
        if digits > 0 && behind.starts_with(unit) && !(unit == "m" && behind.starts_with("ms")) {
            length += digits + unit.len();
        }
    }
    length
}

/// Four numbers of up to three digits, whatever they come to.
fn ipv4_length(rest: &str) -> usize {
    let mut length = 0;
    for number in 0..4 {
        let dot = usize::from(number > 0);
        if dot == 1 && !rest[length..].starts_with('.') {
            return 0;
        }
        let digits = run(&rest[length + dot..], |byte| byte.is_ascii_digit()).min(3);
        if digits == 0 {
            return 0;
        }
        length += dot + digits;
    }
    length
}

/// Hexadecimal digits, colons and dots: what addresses are written with.
fn address_run(rest: &str) -> &str {
    &rest[..run(rest, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))]
}

/// The longest written IPv6 address, in bytes.
const IPV6_LENGTH_MAX: usize = 45;

/// An IPv6 address, possibly in brackets, or an Ethernet address.
fn colon_separated(rest: &str) -> (Kind, usize) {
    let (rest, brackets) = rest.strip_prefix('[').map_or((rest, 0), |rest| (rest, 2));
    let written = address_run(rest);
    if written.bytes().filter(|byte| *byte == b':').take(2).count() < 2 {
        return (Kind::Ipv6, 0);
    }
    if brackets > 0 {
        let closed = rest[written.len()..].starts_with(']') && written.parse::<Ipv6Addr>().is_ok();
        return (Kind::Ipv6, if closed { written.len() + brackets } else { 0 });
    }
    let longest = (2..=written.len().min(IPV6_LENGTH_MAX)).rev();
    let ipv6 = longest.into_iter().find(|length| written[..*length].parse::<Ipv6Addr>().is_ok());
    let mac = mac_length(written);
    if mac > ipv6.unwrap_or(0) { (Kind::Mac, mac) } else { (Kind::Ipv6, ipv6.unwrap_or(0)) }
}

/// Six pairs of digits.
fn mac_length(written: &str) -> usize {
    let mut length = 0;
    for number in 0..6 {
        let colon = usize::from(number > 0);
        if colon == 1 && !written[length..].starts_with(':') {
            return 0;
        }
        let digits = run(&written[length + colon..], |byte| byte.is_ascii_hexdigit()).min(2);
        if digits == 0 {
            return 0;
        }
        length += colon + digits;
    }
    length
}

/// `1:10`, of traffic control, if a blank or the like follows; a time of the day looks the same.
fn class_id(rest: &str) -> (Kind, usize) {
    let digits = |text: &str| run(text, |byte| byte.is_ascii_hexdigit());
    let major = digits(rest);
    let minor = rest[major..].strip_prefix(':').map_or(0, digits);
    let length = major + 1 + minor;
    let is_one = (1..=4).contains(&major) && (1..=4).contains(&minor);
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\n', ':', '-', '}', ',']);
    (Kind::Word, if is_one && ends(&rest[length..]) { length } else { 0 })
}

/// Whether a token is what it looks like; if not, how long the unsound piece is.
fn sound(kind: Kind, rest: &str, length: usize) -> Result<(), (usize, Mistake)> {
    let written = &rest[..length];
    let bad_address = |length: usize| Err((length, Mistake::BadAddress(rest[..length].to_owned())));
    match kind {
        Kind::Ipv4 if written.parse::<Ipv4Addr>().is_err() => return bad_address(length),
        Kind::Number if number(written).is_none() => {
            return Err((length, Mistake::BadNumber(written.to_owned())));
        }
        Kind::Ipv4 | Kind::Ipv6 | Kind::Mac | Kind::Number => {}
        Kind::Word => {}
        _ => return Ok(()),
    }
    // What goes on without a blank was meant as one piece: `10.0.0`, `10.0.0.1.5`, `2001:db8:::1`, `00:11:22:33:44`.
    let all = address_run(rest);
    let colons = all.bytes().filter(|byte| *byte == b':').count();
    let in_address = match kind {
        Kind::Ipv6 if rest.starts_with('[') => false,
        Kind::Ipv6 | Kind::Mac => all.len() > length && &all[length..] != ":",
        Kind::Ipv4 | Kind::Number => {
            all[length.min(all.len())..].starts_with('.') || (colons >= 2 && all.len() > length + 1)
        }
        _ => colons >= 2 && all.len() > length && &all[length..] != ":",
    };
    if in_address { bad_address(all.trim_end_matches(':').len().max(length)) } else { Ok(()) }
}

/// What a number says: decimal, hexadecimal with `0x`, octal with a leading 0.
pub(super) fn number(written: &str) -> Option<u64> {
    let bytes = written.as_bytes();
    match bytes {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(&written[2..], 16).ok(),
        [b'0', _, ..] => u64::from_str_radix(written, 8).ok(),
        _ => written.parse().ok(),
    }
}
