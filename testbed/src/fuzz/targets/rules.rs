//! Rules in nft's language: a text becomes a tree, or an error that names a place.

use router::rules::syntax::error::SyntaxError;
use router::rules::syntax::parse;

/// Rules that nft takes, one a line behind their family.
const RULES: &str = include_str!("../../../../router/src/rules/syntax/fixtures/rules.txt");
/// A whole file that nft takes.
const ROUTER: &str = include_str!("../../../../router/src/rules/syntax/fixtures/router.nft");

/// A text; what it includes is its own second half.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let half = text.ceil_char_boundary(text.len() / 2);
    let mut read = |path: &str| Ok(vec![(path.to_owned(), text[half..].to_owned())]);
    match parse("rules.nft", &text, &mut read) {
        Ok(parsed) => {
            for command in &parsed.commands {
                let place = parsed.sources.place(command.span);
                assert!(place.line >= 1 && place.column >= 1, "{place}");
            }
        }
        Err(error) => check(&error),
    }
}

/// An error is a line that names a place, and two that show it.
fn check(error: &SyntaxError) {
    let headline = error.headline();
    assert!(error.place.line >= 1 && error.place.column >= 1, "{headline}");
    let width = error.place.text.chars().count();
    assert!(error.place.column <= width + 1, "{headline}");
    assert_eq!(error.to_string().lines().count(), 2 + headline.lines().count(), "{headline}");
    assert!(error.to_string().len() < 4096, "{headline}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let rules = RULES.lines().filter_map(|line| line.split_once(' ')).filter(|(family, _)| *family != "#");
    let mut seeds: Vec<_> =
        rules.map(|(_, rule)| format!("add rule inet t c {rule}\n").into_bytes()).collect();
    seeds.push(ROUTER.as_bytes().to_vec());
    seeds
}
