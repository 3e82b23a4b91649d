//! Texts that nft takes, texts that it does not, and texts without end.

use std::io;
use std::time::{Duration, Instant};

use super::error::SyntaxError;
use super::tree::{Command, CommandKind, Declaration, Expression, ExpressionKind, StatementKind, TableItem};
use super::{Parsed, nothing, parse};

/// Rules that nft takes, one a line behind their family.
const RULES: &str = include_str!("fixtures/rules.txt");
/// A whole file that nft takes, but for what it asks of things that are not there.
const ROUTER: &str = include_str!("fixtures/router.nft");

fn read(text: &str) -> Result<Parsed, SyntaxError> {
    parse("a.nft", text, &mut nothing)
}

fn commands(text: &str) -> Vec<Command> {
    read(text).unwrap_or_else(|error| panic!("{error}")).commands
}

/// The only statement of a rule.
fn statement(rule: &str) -> StatementKind {
    let commands = commands(&format!("add rule t c {rule}"));
    let [Command { kind: CommandKind::AddRule(_, rule), .. }] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    let [statement] = rule.statements.as_slice() else { panic!("{rule:?}") };
    statement.kind.clone()
}

/// The right side of a rule that compares.
fn right(rule: &str) -> Expression {
    match statement(rule) {
        StatementKind::Match { right, .. } => right,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_rule_that_nft_takes_is_read() {
    let lines = RULES.lines().filter(|line| !line.starts_with('#'));
    let mut refused = Vec::new();
    for line in lines {
        let (family, rule) = line.split_once(' ').expect("a family stands before the rule");
        let family = family.strip_suffix('d').unwrap_or(family);
        if let Err(error) = read(&format!("add rule {family} t c {rule}\n")) {
            refused.push(error.to_string());
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}

#[test]
fn a_whole_file_is_read_in_order() {
    let commands = commands(ROUTER);
    assert_eq!(commands.len(), 16);
    assert!(matches!(commands[0].kind, CommandKind::Flush(_)));
    let CommandKind::Add(Declaration::Table(table)) = &commands[1].kind else { panic!("{:?}", commands[1]) };
    assert_eq!(table.items.len(), 13);
    let TableItem::Chain(input) = &table.items[11] else { panic!("{:?}", table.items[11]) };
    assert_eq!(input.rules.len(), 8);
    assert_eq!(input.base.as_ref().map(|base| base.priority.offset), Some(10));
    let TableItem::Chain(late) = &table.items[12] else { panic!("{:?}", table.items[12]) };
    assert_eq!(late.base.as_ref().map(|base| base.priority.offset), Some(-5));
    let StatementKind::Log(log) = &input.rules[6].statements[0].kind else { panic!("{:?}", input.rules[6]) };
    assert_eq!(log.prefix.as_ref().map(|prefix| prefix.value.as_str()), Some("to eth0: "));
}

#[test]
fn what_is_written_in_two_ways_is_read_as_one() {
    let pairs = [
        ("tcp dport eq 22", "tcp dport == 22"),
        ("ct mark and 0xff != 0x10", "ct mark & 0xff ne 16"),
        ("tcp flags & (syn | ack) syn", "tcp flags syn / syn,ack"),
        ("meta iifname lo", "iifname lo"),
        ("iifname eth*", "iifname \"eth*\""),
        ("tcp dport 0x16", "tcp dport 026"),
    ];
    // Places differ: what is compared is the tree without them.
    let plain = |rule: &str| {
        let tree = format!("{:?}", statement(rule)).replace("Text(", "Word(");
        let mut parts = tree.split("Span {");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('}').map_or("", |(_, rest)| rest))
    };
    for (one, other) in pairs {
        assert_eq!(plain(one), plain(other));
    }
}

#[test]
fn values_are_what_they_look_like() {
    use ExpressionKind as Kind;
    assert!(matches!(right("ip6 saddr ::1").kind, Kind::Address(address) if address.is_loopback()));
    assert!(matches!(right("ether saddr 2:4:6:8:a:b").kind, Kind::Mac([2, 4, 6, 8, 10, 11])));
    assert!(matches!(right("ct expiration 1d2h3m4s5ms").kind,
        Kind::Duration(duration) if duration == Duration::from_millis(93_784_005)));
    assert!(matches!(right("meta priority 1:10").kind, Kind::Word(word) if word == "1:10"));
    assert!(matches!(right("iifname eth\\*").kind, Kind::Word(word) if word == "eth*"));
    assert!(matches!(right("iifname \"eth*\"").kind, Kind::Beginning(word) if word == "eth"));
    assert!(matches!(right("ip saddr 10.0.0.0/8").kind, Kind::Prefix(_, length) if length.value == 8));
    assert!(
        matches!(right("tcp dport { 80:accept, 22 : drop }").kind, Kind::Set(elements) if elements.len() == 2)
    );
    assert!(matches!(right("meta l4proto tcp").kind, Kind::Word(word) if word == "tcp"));
}

#[test]
fn a_variable_is_what_it_was_where_it_is_used() {
    let commands =
        commands("define x = 1\nadd rule t c tcp dport $x\nredefine x = 2\nadd rule t c tcp dport $x\n");
    let values: Vec<_> = commands
        .iter()
        .map(|command| match &command.kind {
            CommandKind::AddRule(_, rule) => match &rule.statements[0].kind {
                StatementKind::Match { right, .. } => right.resolved().kind.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, [ExpressionKind::Number(1), ExpressionKind::Number(2)]);
}

#[test]
fn what_a_block_defines_is_forgotten_behind_it() {
    let error = read("table t {\n define x = 1\n}\nadd rule t c tcp dport $x\n").unwrap_err();
    assert_eq!(error.headline(), "a.nft:4:25: there is no variable `$x` here");
}

#[test]
fn mistakes_are_said_with_the_place() {
    // The text, what is said, and how far into its line with how many carets.
    let cases = [
        (
            "table inet t {\n\tchain c {\n\t\taccept\n\t}\n",
            "5:1: the end of the file where `}` was expected",
            1,
        ),
        ("table t {\n tcp dport 22 acept\n}", "2:2: `tcp` where something of a table was expected", 3),
        ("t c tcp dport 22 acept", "1:18: `acept` where a statement was expected; did you mean `accept`?", 5),
        ("tabel inet t { }", "1:1: `tabel` where a command was expected; did you mean `table`?", 5),
        ("add tabel inet t", "1:5: `tabel` where what to add was expected; did you mean `table`?", 5),
        ("t c ip saddr 10.0.0 accept", "1:14: `10.0.0` is no address", 6),
        ("t c ip saddr 10.0.0.300 accept", "1:14: `10.0.0.300` is no address", 10),
        ("t c ip6 saddr 2001:db8:::1", "1:15: `2001:db8:::1` is no address", 12),
        ("t c ether saddr 00:11:22:33:44 drop", "1:17: `00:11:22:33:44` is no address", 14),
        ("t c log prefix \"oops\n", "1:16: this text has no closing `\"` on its line", 1),
        (
            "t c udp dprot 22",
            "1:9: `dprot` where a field of `udp` (`sport`, `dport`, `length` or `checksum`) was expected; did you mean `dport`?",
            5,
        ),
        (
            "t c tcp dport 08",
            "1:15: `08` is no number of at most 64 bits; behind a leading 0 digits are octal",
            2,
        ),
        ("t c tcp dport\n", "1:14: the end of the line where a value was expected", 1),
        ("t c tcp dport accept", "1:15: `accept` where a value was expected", 6),
        ("t c tcp dport { 22 80 }", "1:20: `80` where `,` or `}` was expected", 2),
        (
            "define port = 1\nt c tcp dport $prot",
            "2:16: there is no variable `$prot` here; did you mean `$port`?",
            4,
        ),
        ("define a = 1\ndefine a = 2", "2:8: `a` is defined already; `redefine` changes it", 1),
        (
            "table t { chain c { type nat hook forwrad priority 0; }; }",
            "1:35: `forwrad` where a hook (`prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress` or `egress`) was expected; did you mean `forward`?",
            7,
        ),
        ("table t { chain c { policy drop; policy drop; }; }", "1:34: the policy was said already", 6),
        ("table t { chain c { accept }; }", "1:28: `}` where `;` or a new line was expected", 1),
        (
            "table t { set s { type ipv4_adr; }; }",
            "1:24: `ipv4_adr` where a type was expected; did you mean `ipv4_addr`?",
            8,
        ),
        (
            "list ruleset",
            "1:1: `list` does not change rules; a rules file does nothing else (`routerctl show rules` shows them)",
            4,
        ),
        (
            "t c limit rate 10/fortnight",
            "1:19: `fortnight` where a unit of time (`second`, `minute`, `hour`, `day` or `week`) was expected",
            9,
        ),
        ("add chain t log", "1:13: `log` is a word of the language and cannot be the name of a chain", 3),
        ("t c ip saddr 10.0.0.0/300", "1:23: 300 is not from 0 to 255", 3),
        ("t c ip saddr 10.0.0.0/130", "1:23: 130 is not from 0 to 128", 3),
        ("t c fib iif oif exists", "1:9: `fib` asks with one of `saddr` and `daddr`, and not with both", 3),
        ("t c accept ? drop", "1:12: `?` means nothing here", 1),
        ("include \"x.nft\"", "1:9: cannot include \"x.nft\": nothing can be included here", 7),
        ("delete rule t c", "1:16: the end of the file where `handle` was expected", 1),
        ("t c tcp option maxseg set 5", "1:5: this cannot be set", 21),
    ];
    for (text, said, carets) in cases {
        let error = read(text).map(|_| ()).expect_err(text);
        assert_eq!(error.headline(), format!("a.nft:{said}"), "{text}");
        let shown = error.to_string();
        let last = shown.lines().last().unwrap_or_default();
        assert_eq!(last.matches('^').count(), carets, "{shown}");
        assert_eq!(last.find('^'), Some(error.place.column + 3), "{shown}");
    }
}

#[test]
fn files_are_included_in_their_places() {
    let mut files = |path: &str| match path {
        "rules.d/*.nft" => Ok(vec![
            ("rules.d/a.nft".to_owned(), "tcp dport 22 accept".to_owned()),
            ("rules.d/b.nft".to_owned(), "drop\nacept\n".to_owned()),
        ]),
        "none*" => Ok(Vec::new()),
        "self" => Ok(vec![("self".to_owned(), "include \"self\"".to_owned())]),
        _ => Err(io::Error::other("not to be had")),
    };
    let text = "include \"none*\"\ntable t { chain c {\ninclude \"rules.d/*.nft\"\n}\n}\n";
    let error = parse("a.nft", text, &mut files).unwrap_err();
    let said = "rules.d/b.nft:2:1: `acept` where a statement was expected; did you mean `accept`?";
    assert_eq!(error.headline(), said);
    let error = parse("a.nft", "include \"gone\"", &mut files).unwrap_err();
    assert_eq!(error.headline(), "a.nft:1:9: cannot include \"gone\": not to be had");
    let error = parse("a.nft", "include \"self\"", &mut files).unwrap_err();
    assert_eq!(error.headline(), "self:1:9: included too deeply, at most 16 levels");
}

#[test]
fn what_has_no_end_is_refused() {
    let deep = |open: &str, times| format!("t c {}", open.repeat(times));
    let nested = "nested too deeply, at most 64 levels";
    let row = "more than 256 of these in a row";
    let mut doubling = "define v0 = { 1, 2 }\n".to_owned();
    (1..40).for_each(|n| doubling += &format!("define v{n} = {{ $v{m}, $v{m} }}\n", m = n - 1));
    let mut chained = "define v0 = 1\n".to_owned();
    (1..100).for_each(|n| chained += &format!("define v{n} = $v{}\n", n - 1));
    let cases = [
        (deep("jump {\n", 100_000), nested),
        (format!("t c meta mark {}", "(".repeat(100_000)), nested),
        (format!("t c tcp dport {}", "{ ".repeat(100_000)), nested),
        (deep("meta mark set jhash ", 100_000), ""),
        (format!("t c meta mark 1{}", " | 1".repeat(100_000)), row),
        (format!("t c tcp flags syn / syn{}", ",syn".repeat(100_000)), row),
        (format!("t c ip saddr{} accept", " . ip saddr".repeat(100_000)), row),
        (doubling, "with the values of its variables this is more than 8388608 parts"),
        (chained, nested),
        (" ".repeat((16 << 20) + 1), "more than 16 MiB of rules with what is included"),
    ];
    for (text, said) in cases {
        let error = read(&text).map(|_| ()).expect_err(said);
        assert!(error.to_string().len() < 2000, "{}", error.headline());
        assert!(error.headline().ends_with(said), "{}", error.headline());
    }
}

/// Many times what it takes on a quiet machine, and a fraction of what anything quadratic would take.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn many_rules_and_elements_are_read_in_time_that_grows_with_them() {
    let rules: String = (0..10_000)
        .map(|n| {
            format!("iifname eth{n} ip saddr 10.{}.{}.0/24 tcp dport {n} counter accept\n", n >> 8, n & 255)
        })
        .collect();
    let elements: String =
        (0..100_000).map(|n| format!("10.{}.{}.{},", n >> 16, n >> 8 & 255, n & 255)).collect();
    let text = format!(
        "table t {{ chain c {{\n{rules}}}\nset s {{ type ipv4_addr; elements = {{ {elements} }}; }}\n}}\n"
    );
    let begun = Instant::now();
    let commands = commands(&text);
    let taken = begun.elapsed();
    assert_eq!(commands.len(), 1);
    assert!(taken < PATIENCE, "{taken:?}");
    println!("10,000 rules and 100,000 elements: {taken:?}");
}
