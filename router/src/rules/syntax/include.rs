//! The tokens of a text with those of what it includes in their places.

use std::io;

use super::error::{Mistake, SyntaxError};
use super::lexer::{self, Kind, Token};
use super::source::{Sources, Span};
use super::{FILES_MAX, INCLUDE_DEPTH_MAX, TEXT_BYTES_MAX};

/// Reads what `include "…"` names: the path, or pattern with `*`, `?` and `[`, as it was written. Answers with names and
/// texts in the order of their names; a pattern may match nothing.
pub type Read<'a> = dyn FnMut(&str) -> io::Result<Vec<(String, String)>> + 'a;

/// Says that there is nothing to include.
///
/// # Errors
/// Always.
pub fn nothing(_path: &str) -> io::Result<Vec<(String, String)>> {
    Err(io::Error::other("nothing can be included here"))
}

/// What has been read.
pub(super) struct Reading<'a> {
    pub(super) sources: Sources,
    pub(super) tokens: Vec<Token>,
    text_bytes: usize,
    read: &'a mut Read<'a>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(read: &'a mut Read<'a>) -> Self {
        Self { sources: Sources::default(), tokens: Vec::new(), text_bytes: 0, read }
    }

    /// Takes in a text and what it includes.
    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<(), SyntaxError> {
        self.nested(name, text, 0, None)?;
        let end = u32::try_from(text.len()).expect("texts are bounded far below");
        self.tokens.push(Token::new(Kind::End, Span { file: 0, start: end, end }));
        Ok(())
    }

    /// One text, `depth` includes below the first; `from` is where it is included.
    fn nested(
        &mut self,
        name: &str,
        text: &str,
        depth: usize,
        from: Option<Span>,
    ) -> Result<(), SyntaxError> {
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        let too_much = if self.text_bytes > TEXT_BYTES_MAX {
            Some(Mistake::TooMuchText { max: TEXT_BYTES_MAX })
        } else if self.sources.files().len() >= FILES_MAX {
            Some(Mistake::TooManyFiles { max: FILES_MAX })
        } else if depth > INCLUDE_DEPTH_MAX {
            Some(Mistake::IncludedTooDeeply { max: INCLUDE_DEPTH_MAX })
        } else {
            None
        };
        if let Some(mistake) = too_much {
            let span = from.unwrap_or_else(|| {
                self.sources.add(name, "");
                Span::default()
            });
            return Err(SyntaxError::new(&self.sources, span, mistake));
        }
        let file = self.sources.add(name, text);
        let tokens = lexer::tokens(file, text)
            .map_err(|(span, mistake)| SyntaxError::new(&self.sources, span, mistake))?;
        let mut rest = tokens.as_slice();
        let mut begins = true;
        while let Some((token, behind)) = rest.split_first() {
            rest = behind;
            let path = behind.first().filter(|path| path.kind == Kind::Text);
            let includes = begins && token.kind == Kind::Word && self.sources.text(token.span()) == "include";
            if let Some(path) = path.filter(|_| includes) {
                rest = &rest[1..];
                self.include(path.span(), depth)?;
            } else {
                self.tokens.push(*token);
            }
            begins =
                matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::LeftBrace | Kind::RightBrace);
        }
        Ok(())
    }

    /// `include "…"`: its tokens, each file ended like a line.
    fn include(&mut self, span: Span, depth: usize) -> Result<(), SyntaxError> {
        let path = self.sources.text(span).trim_matches('"').to_owned();
        let failed = |sources: &Sources, reason: String| {
            SyntaxError::new(sources, span, Mistake::Include { path: path.clone(), reason })
        };
        let files = (self.read)(&path).map_err(|error| failed(&self.sources, error.to_string()))?;
        if files.is_empty() && !path.contains(['*', '?', '[']) {
            return Err(failed(&self.sources, "no such file".to_owned()));
        }
        for (name, text) in files {
            self.nested(&name, &text, depth + 1, Some(span))?;
            self.tokens.push(Token::new(Kind::Newline, Span { start: span.end, ..span }));
        }
        Ok(())
    }
}
