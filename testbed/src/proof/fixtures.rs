//! Stories that once told a router that remembers from one that does not.

use include_dir::{Dir, include_dir};

use super::story::Story;

static FIXTURES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/proof/fixtures");

/// All stories kept, with the names of their files.
///
/// # Panics
/// If a file is no story.
pub fn fixtures() -> Vec<(String, Story)> {
    let read = |file: &include_dir::File<'_>| {
        let name = file.path().display().to_string();
        let text = file.contents_utf8().unwrap_or_else(|| panic!("{name} is no text"));
        let story = Story::from_text(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, story)
    };
    FIXTURES
        .files()
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "json"))
        .map(read)
        .collect()
}
