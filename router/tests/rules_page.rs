//! What the page on rules says of refusals is what the checker says: each message quoted there, and no other.

use router::rules::check::Environment;
use router::rules::model::Ruleset;
use router::rules::{load, syntax};

const PAGE: &str = include_str!("../../docs/rules.md");

/// What is refused, and the words for it.
const REFUSED: &[(&str, &str)] = &[
    (
        "list ruleset",
        "`list` does not change rules; a rules file does nothing else (`routerctl show rules` shows them)",
    ),
    ("table netdev t", "netdev tables are the kernel's: put this table into the kernel's nft"),
    (
        "table arp t { chain c { type filter hook input priority 0; }; }",
        "no arp frames pass this router's rules: the kernel answers them; put this chain into the kernel's nft",
    ),
    (
        "table ip t { flags owner; }",
        "tables belong to this router's configuration, not to a program: leave out `owner`",
    ),
    (
        "table ip t { chain c { type filter hook input priority 0; }; }",
        "packets to and from the router itself are the kernel's while it is the host (--host kernel): put this chain \
         into the kernel's nft",
    ),
    (
        "table inet t { chain c { type filter hook ingress device \"eth0\" priority 0; }; }",
        "ingress chains are the kernel's: put this chain into the kernel's nft, or use prerouting",
    ),
    ("jump { accept; }", "chains without a name are not run by this router: name the chain and jump to it"),
    (
        "meta iifgroup 1",
        "`meta iifgroup`: this router does not know groups and kinds of interfaces: match their names",
    ),
    ("meta skuid 0", "`meta skuid`: sockets are the kernel's: a packet passing through this router has none"),
    (
        "vlan id 5",
        "tagged frames do not come to this router's IP rules: match tags in a table of family bridge",
    ),
    ("rt classid 1", "this router's routes have no realms"),
    ("meta sdif 1", "this router knows no VRF"),
    (
        "meta cpu 0",
        "`meta cpu`: which worker a packet meets is for this router to choose: spread with `numgen` or `jhash`",
    ),
    ("ct event set new", "whoever listens to this router's events chooses among them: leave out `ct event`"),
    ("rt ipsec exists", "IPsec is the kernel's"),
    ("ip saddr www.example.org", "`www.example.org` is no address; names of hosts are not looked up"),
    ("rt0 addr[1] fd00::1", "addresses inside routing headers are not read by this router"),
    ("sctp chunk init exists", "SCTP chunks and DCCP options are not read by this router"),
    ("tcp option @254,16,8 1", "raw TCP options are not read by this router; name the option"),
    ("gre ip saddr 10.0.0.1", "tunnels and IPsec end in the kernel: this router does not see inside them"),
    (
        "table ip t { ct timeout x { protocol tcp; policy = { established : 10 }; }; }",
        "ct timeout objects are not run by this router",
    ),
    ("socket transparent 1", "sockets are the kernel's: a packet passing through this router has none"),
    ("table ip t { map m { typeof ip saddr : queue; }; }", "maps to queues are not run by this router"),
    (
        "meter m { ip saddr limit rate 1/second }",
        "meters are an old spelling: declare a set with `flags dynamic` and use `update @set { … }`",
    ),
    ("flow add @f", "there are no flowtables: this router keeps each flow's route by itself; leave it out"),
    ("tproxy to :3128", "tproxy hands packets to sockets, which are the kernel's"),
    ("synproxy mss 1460 wscale 7", "synproxy is not run by this router"),
    ("dup to 10.0.0.1", "packets are not duplicated by this router"),
    ("fwd to \"eth0\"", "`fwd` belongs to netdev tables, which are the kernel's"),
];

/// A text on its own, or a rule in a chain at forward.
fn refusal(text: &str) -> Option<String> {
    let is_whole = text.starts_with("table") || text.starts_with("list");
    let chain = "type filter hook forward priority filter";
    let rule = format!("table inet t {{ chain c {{ {chain};\n{text}\n}}; }}");
    let text = if is_whole { text } else { &rule };
    let environment = Environment {
        interfaces: vec![(1, "eth0".to_owned())],
        kernel_is_host: true,
        ..Environment::of_texts("", "tcp 6\nudp 17\n")
    };
    load(&Ruleset::default(), "rules.nft", text, &mut syntax::nothing, &environment)
        .err()
        .map(|error| error.to_string())
}

/// The messages that the page quotes where it tells what is refused.
fn quoted() -> Vec<String> {
    let (_, rest) = PAGE.split_once("## What of nft is there").expect("the page has this section");
    let (section, _) = rest.split_once("\n## ").expect("and another behind it");
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // In a row every second part between stars is a quotation, once stars that are code are out of the way.
    rows.flat_map(|row| {
        let row = row.replace("`*`", "");
        row.split('*').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn what_the_page_says_is_refused_is_refused_in_those_words() {
    for (text, message) in REFUSED {
        let error = refusal(text).unwrap_or_else(|| panic!("`{text}` is taken"));
        assert!(error.contains(message), "`{text}` is refused in other words: {error}");
    }
}

#[test]
fn the_page_quotes_no_other_message() {
    let quoted = quoted();
    for message in &quoted {
        assert!(REFUSED.iter().any(|(_, known)| known == message), "nothing is refused with `{message}`");
    }
    for (text, message) in REFUSED {
        assert!(
            quoted.iter().any(|quoted| quoted == message),
            "the page does not say how `{text}` is refused"
        );
    }
}
