//! Texts that nft takes, texts that it does not, and texts without end.

use super::{nothing, parse};

/// Rules that nft takes, one a line behind their family.
const RULES: &str = include_str!("fixtures/rules.txt");

#[test]
fn every_rule_that_nft_takes_is_read() {
    let lines = RULES.lines().filter(|line| !line.starts_with('#'));
    let mut refused = Vec::new();
    for line in lines {
        let (family, rule) = line.split_once(' ').expect("a family stands before the rule");
        let text = format!("add rule {} t c {rule}\n", family.trim_end_matches('d'));
        if let Err(error) = parse("rules.txt", &text, &mut nothing) {
            refused.push(error.to_string());
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}
