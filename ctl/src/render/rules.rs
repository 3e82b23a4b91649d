//! What became of rules, and what they log.

use std::io::{self, Write};

use super::counted;
use crate::message::{LogRow, RulesLoaded};

/// A file of rules that was loaded or checked.
pub(super) fn loaded(out: &mut impl Write, row: &RulesLoaded) -> io::Result<()> {
    let verb = if row.loaded { "loaded" } else { "checked, nothing changed" };
    writeln!(
        out,
        "{verb}: {}, {}, {}, {} with {}",
        counted(row.tables, "table"),
        counted(row.chains, "chain"),
        counted(row.rules, "rule"),
        counted(row.sets, "set"),
        counted(row.elements, "element")
    )?;
    let changes = [
        ("chains", row.chains_added, row.chains_removed),
        ("rules", row.rules_added, row.rules_removed),
        ("sets", row.sets_added, row.sets_removed),
    ];
    let said: Vec<String> = changes
        .into_iter()
        .filter(|(_, added, removed)| added + removed > 0)
        .map(|(what, added, removed)| format!("{what} +{added} -{removed}"))
        .collect();
    if said.is_empty() { Ok(()) } else { writeln!(out, "  {}", said.join(", ")) }
}

/// A logged packet, on one line as in the kernel's log.
pub(super) fn log(out: &mut impl Write, row: &LogRow) -> io::Result<()> {
    write!(out, "[LOG] ")?;
    if let Some(group) = row.group {
        write!(out, "group {group} ")?;
    }
    writeln!(out, "{}{}", row.prefix, row.packet)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    #[test]
    fn the_reply_says_what_is_there_and_what_changed() {
        let row = RulesLoaded {
            loaded: true,
            tables: 1,
            chains: 2,
            rules: 10,
            rules_added: 3,
            rules_removed: 1,
            ..RulesLoaded::default()
        };
        assert_eq!(
            text(|out| loaded(out, &row)),
            "loaded: 1 table, 2 chains, 10 rules, 0 sets with 0 elements\n  rules +3 -1\n"
        );
        let checked = RulesLoaded { loaded: false, rules_added: 0, rules_removed: 0, ..row };
        assert!(text(|out| loaded(out, &checked)).starts_with("checked, nothing changed: 1 table"));
        assert_eq!(text(|out| loaded(out, &checked)).lines().count(), 1);
    }

    #[test]
    fn a_logged_packet_stands_on_one_line() {
        let row = LogRow { prefix: "denied: ".into(), packet: "IN=r0 OUT=r1".into(), ..LogRow::default() };
        assert_eq!(text(|out| log(out, &row)), "[LOG] denied: IN=r0 OUT=r1\n");
        let row = LogRow { group: Some(3), ..row };
        assert_eq!(text(|out| log(out, &row)), "[LOG] group 3 denied: IN=r0 OUT=r1\n");
    }
}
