//! The texts that were read, and places in them.

use std::fmt;
use std::sync::Arc;

/// A part of a text: bytes `start..end` of the file with number `file` in [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which of the texts, counted from 0 in the order in which they were opened.
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// From the beginning of this to the end of `last`, which stands behind it in the same file.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        if self.file == last.file { Self { end: last.end.max(self.end), ..self } } else { self }
    }
}

/// A value, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts both together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// A name that the author chose, or referred to.
pub type Name = Spanned<String>;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: the path as it was written.
    pub name: Arc<str>,
    /// All of it.
    pub text: Arc<str>,
}

/// All texts that were read: the first one, and what it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Takes in one more text; its number for [`Span::file`].
    ///
    /// # Panics
    /// Beyond 4 thousand million texts.
    pub fn add(&mut self, name: &str, text: &str) -> u32 {
        let number = u32::try_from(self.files.len()).expect("files are bounded far below");
        self.files.push(Source { name: name.into(), text: text.into() });
        number
    }

    /// The texts in the order in which they were opened.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// What was written there; nothing if the span is of other sources.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        let file = self.files.get(span.file as usize);
        file.and_then(|file| file.text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    }

    /// The place as people are shown it.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let Some(source) = self.files.get(span.file as usize) else { return Place::default() };
        let text = &source.text;
        let start = text.floor_char_boundary(span.start as usize);
        let end = text.floor_char_boundary(span.end as usize).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        // Behind the carriage return of an end of a line there is nothing to show.
        let start = start.min(line_start + line.len());
        let before = &text[line_start..start];
        Place {
            file: source.name.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            width: text[start..end.min(line_end).max(start)].chars().count().max(1),
            text: line.into(),
        }
    }
}

/// A place in a text. `{}` writes `file:line:column`, `{:#}` adds the line and a caret under the place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How many characters on this line, at least 1.
    pub width: usize,
    /// The line, without its end.
    pub text: Box<str>,
}

/// As much of a line as is shown, in characters: half of it on each side of the place.
const SHOWN_MAX: usize = 160;

impl Place {
    /// The line with its place underlined, on two lines; of a long line the surroundings.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let skipped = if self.column <= SHOWN_MAX { 0 } else { self.column - SHOWN_MAX / 2 };
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        let shown: String = self.text.chars().skip(skipped).take(SHOWN_MAX).map(plain).collect();
        let before = self.column.saturating_sub(skipped + 1);
        let carets = self.width.min(SHOWN_MAX.saturating_sub(before)).max(1);
        format!("    {}\n    {}{}", shown.trim_end(), " ".repeat(before), "^".repeat(carets))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)?;
        if formatter.alternate() { write!(formatter, "\n{}", self.excerpt()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sources, Span};

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.nft", "one\n\tzwölf drei\n");
        let place = sources.place(Span { file, start: 12, end: 16 });
        assert_eq!(place.to_string(), "a.nft:2:8");
        assert_eq!(format!("{place:#}"), "a.nft:2:8\n     zwölf drei\n           ^^^^");
    }

    #[test]
    fn the_end_of_a_text_is_a_place() {
        let mut sources = Sources::default();
        let file = sources.add("a.nft", "one\n");
        assert_eq!(sources.place(Span { file, start: 4, end: 4 }).to_string(), "a.nft:2:1");
        assert_eq!(sources.place(Span { file: 9, start: 4, end: 4 }).line, 0, "of other sources");
    }

    #[test]
    fn a_place_behind_a_carriage_return_is_the_end_of_the_line() {
        let mut sources = Sources::default();
        let file = sources.add("a.nft", "one\r");
        let place = sources.place(Span { file, start: 4, end: 4 });
        assert_eq!(format!("{place:#}"), "a.nft:1:4\n    one\n       ^");
    }

    #[test]
    fn of_a_long_line_the_surroundings_are_shown() {
        let mut sources = Sources::default();
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let file = sources.add("a.nft", &text);
        let excerpt = sources.place(Span { file, start: 1000, end: 1001 }).excerpt();
        let (line, caret) = excerpt.split_once('\n').unwrap();
        assert_eq!(line.find('X'), caret.find('^'));
        assert!(line.len() < 200);
    }
}
