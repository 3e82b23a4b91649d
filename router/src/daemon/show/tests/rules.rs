//! Rules loaded, listed and refused over the control socket.

use ctl::message::{Action, Failure, Question, Row, RulesFile, RulesFilter, RulesLoaded};

use super::{core, rows, table};
use crate::control::{act, answer};
use crate::daemon::Core;

fn file(text: &str) -> Box<RulesFile> {
    Box::new(RulesFile { name: "rules.nft".into(), directory: "/".into(), text: text.into() })
}

fn load(core: &Core, text: &str) -> Result<RulesLoaded, Failure> {
    match &rows(act(&Action::LoadRules(file(text)), core)?, 64)[..] {
        [Row::RulesLoaded(loaded)] => Ok(*loaded),
        other => panic!("{other:?}"),
    }
}

fn listing(core: &Core) -> String {
    let question = Question::Rules(RulesFilter { stateless: true, ..RulesFilter::default() });
    let rows = rows(answer(&question, core).unwrap(), 64);
    rows.into_iter()
        .map(|row| if let Row::RulesText(text) = row { text } else { panic!("{row:?}") })
        .collect()
}

const RULES: &str = "table inet t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy accept;\n\
                     \t\ttcp dport 22 counter drop\n\t}\n}\n";

#[test]
fn what_is_loaded_is_listed_and_can_be_loaded_again() {
    let core = core(table());
    let loaded = load(&core, RULES).unwrap();
    assert!(loaded.loaded);
    assert_eq!((loaded.tables, loaded.chains, loaded.rules, loaded.rules_added), (1, 1, 1, 1));
    assert_eq!(listing(&core), RULES);
    let again = format!("flush ruleset\n{}", listing(&core));
    let loaded = load(&core, &again).unwrap();
    assert_eq!((loaded.rules, loaded.rules_added, loaded.rules_removed), (1, 1, 1));
    assert_eq!(listing(&core), RULES);
    let hooks = core.shared.hooks.rows();
    assert_eq!(
        hooks.iter().filter(|row| &*row.place.name == "t/c").count(),
        2,
        "one in each family: {hooks:?}"
    );
    load(&core, "flush ruleset").unwrap();
    assert!(core.shared.hooks.rows().iter().all(|row| &*row.place.name != "t/c"));
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_says_where_it_is() {
    let core = core(table());
    load(&core, RULES).unwrap();
    let error = load(&core, "add table ip more\nadd rule inet t c tcp dport shh accept\n").unwrap_err();
    assert!(error.message.starts_with("rules.nft:2:29: "), "{error}");
    assert!(
        error.message.lines().any(|line| line.trim_end().ends_with('^') || line.contains("^^^")),
        "{error}"
    );
    assert_eq!(listing(&core), RULES);
}

#[test]
fn checking_a_file_changes_nothing() {
    let core = core(table());
    let rows = rows(answer(&Question::CheckRules(file(RULES)), &core).unwrap(), 64);
    assert!(matches!(&rows[..], [Row::RulesLoaded(told)] if !told.loaded && told.rules == 1), "{rows:?}");
    assert_eq!(listing(&core), "");
}

#[test]
fn chains_of_the_kernels_are_refused_with_a_word_on_where_they_belong() {
    let core = core(table());
    let text = "table ip t { chain c { type filter hook input priority 0; }; }";
    let error = load(&core, text).unwrap_err();
    assert!(error.message.contains("kernel's nft"), "{error}");
}

#[test]
fn a_table_that_is_not_there_is_not_listed() {
    let core = core(table());
    let question = Question::Rules(RulesFilter { table: Some("t".into()), ..RulesFilter::default() });
    let error = answer(&question, &core).err().unwrap();
    assert!(error.message.contains("no table ip t"), "{error}");
    load(&core, "table ip t { }").unwrap();
    assert!(answer(&question, &core).is_ok());
}
