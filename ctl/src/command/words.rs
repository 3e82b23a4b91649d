//! What single words are short for, and what they say.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Words of a command line, one after the other.
pub(super) struct Words<'a>(std::slice::Iter<'a, String>);

impl<'a> Words<'a> {
    pub(super) fn of(words: &'a [String]) -> Self {
        Self(words.iter())
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.0.next().map(String::as_str)
    }

    pub(super) fn needed(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("it needs {what}"))
    }

    /// The next word, behind `may` if that stands there.
    pub(super) fn next_behind(&mut self, may: &str) -> Result<&'a str, String> {
        match self.needed("an address")? {
            word if word == may => self.value(may),
            word => Ok(word),
        }
    }

    /// The value behind `word`.
    pub(super) fn value(&mut self, word: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("`{word}` needs a value"))
    }

    pub(super) fn number<T: TryFrom<u32>>(&mut self, word: &str) -> Result<T, String> {
        let value = self.value(word)?;
        let number = match value.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => u32::from_str(value),
        };
        let number = number.ok().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            format!("`{word} {value}`: it is a number from 0 to {}", (1_u64 << (8 * size_of::<T>())) - 1)
        })
    }
}

/// A value that is said once.
#[derive(Debug)]
pub(super) struct Once<T> {
    word: &'static str,
    pub(super) value: Option<T>,
}

impl<T> Once<T> {
    pub(super) const fn new(word: &'static str) -> Self {
        Self { word, value: None }
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), String> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("`{}` is said twice", self.word)),
        }
    }

    pub(super) fn needed(self, what: &str) -> Result<T, String> {
        self.value.ok_or_else(|| format!("say `{} {what}`", self.word))
    }
}

pub(super) fn is_short_for(word: &str, whole: &str) -> bool {
    !word.is_empty() && whole.starts_with(word)
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address"))
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a prefix"))
}

/// An address with the length of its prefix; one address alone without.
pub(super) fn host_in_prefix(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a prefix"))
}

/// Whether a word is short for `whole` and long enough to mean nothing else.
pub(super) fn is_long_for(word: &str, whole: &str) -> bool {
    word.len() >= 3.min(whole.len()) && is_short_for(word, whole)
}
