//! Rules: what people write, and what they had better not, in one table with a chain for every place.

use fastrand::Rng;

use super::{Limits, one_in, pick};
use crate::proof::story::Rules;

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before tracking.
    Early,
    /// Behind it, before routing.
    Mangle,
    /// In the middle; `side` is the chain that this one jumps to.
    Forward,
    Side,
    /// Behind routing and all else.
    Late,
    /// For the router itself, and by it.
    Input,
    Output,
}

/// Base chains: name, place, and what they are declared as.
const CHAINS: [(&str, Place, &str); 6] = [
    ("early", Place::Early, "type filter hook prerouting priority raw;"),
    ("mangle", Place::Mangle, "type filter hook prerouting priority mangle;"),
    ("forward", Place::Forward, "type filter hook forward priority filter;"),
    ("late", Place::Late, "type filter hook postrouting priority mangle;"),
    ("input", Place::Input, "type filter hook input priority filter;"),
    ("output", Place::Output, "type filter hook output priority filter;"),
];

/// What all rulesets have, so that rules may name it.
const OBJECTS: [&str; 10] = [
    "counter web { }",
    "quota little { 3000 bytes }",
    "limit few { rate 5/second burst 4 packets }",
    "set hosts { type ipv4_addr; counter; elements = { 10.0.0.2, 10.50.1.7 }; }",
    "set hosts6 { type ipv6_addr; elements = { fd00::2, fd50:1::7 }; }",
    "set nets { type ipv4_addr; flags interval; counter; elements = { 10.50.1.0/24, 10.60.0.0-10.60.0.9 }; }",
    "set seen { type ipv4_addr; size 4; flags dynamic,timeout; timeout 30s; }",
    "set pairs { type ipv4_addr . inet_service; size 8; flags dynamic; }",
    "map marks { type inet_service : mark; elements = { 53 : 1, 80 : 2 }; }",
    "map back { type inet_service : ipv4_addr; elements = { 80 : 10.50.1.7, 22 : 10.50.2.1 }; }",
];

/// A ruleset in place of all rules there are.
pub(super) fn whole(rng: &mut Rng, limits: Limits) -> Rules {
    Rules { whole: true, lines: if limits.stateful { table(rng, limits) } else { marks(rng, limits) } }
}

/// A ruleset, or commands that change the one there is.
pub(super) fn any(rng: &mut Rng, limits: Limits) -> Rules {
    if one_in(rng, 3) {
        return whole(rng, limits);
    }
    let lines = (0..rng.usize(1..3)).map(|_| command(rng, limits)).collect();
    Rules { whole: false, lines }
}

/// Marks by what packets are, for policy rules to route by.
fn marks(rng: &mut Rng, limits: Limits) -> Vec<String> {
    let mut lines = vec!["table inet t {".to_owned()];
    for (name, place, declared) in CHAINS.into_iter().take(2) {
        lines.push(format!("chain {name} {{ {declared}"));
        for _ in 0..rng.usize(1..4) {
            lines.push(format!("{} meta mark set {}", stateless(rng, place, limits), rng.u32(0..3)));
        }
        lines.push("}".to_owned());
    }
    lines.push("}".to_owned());
    lines
}

fn table(rng: &mut Rng, limits: Limits) -> Vec<String> {
    let mut lines = vec!["table inet t {".to_owned()];
    lines.extend(OBJECTS.map(str::to_owned));
    chain(rng, "side", "", Place::Side, 1..4, limits, &mut lines);
    for (name, place, declared) in CHAINS {
        let (rules, wanted) = match place {
            Place::Forward => (1..7, !one_in(rng, 10)),
            Place::Mangle => (1..4, one_in(rng, 2)),
            _ => (1..3, one_in(rng, 3)),
        };
        if !wanted {
            continue;
        }
        let policy = if place == Place::Forward && one_in(rng, 4) { " policy drop;" } else { "" };
        chain(rng, name, &format!("{declared}{policy}"), place, rules, limits, &mut lines);
    }
    if one_in(rng, 3) {
        lines.push("chain servers { type nat hook prerouting priority dstnat;".to_owned());
        (0..rng.usize(1..4)).for_each(|_| lines.push(destination(rng)));
        lines.push("}".to_owned());
    }
    if one_in(rng, 3) {
        lines.push("chain sources { type nat hook postrouting priority srcnat;".to_owned());
        (0..rng.usize(1..4)).for_each(|_| lines.push(source(rng, limits)));
        lines.push("}".to_owned());
    }
    lines.push("}".to_owned());
    lines
}

fn chain(
    rng: &mut Rng,
    name: &str,
    declared: &str,
    place: Place,
    rules: std::ops::Range<usize>,
    limits: Limits,
    lines: &mut Vec<String>,
) {
    lines.push(format!("chain {name} {{ {declared}"));
    if matches!(place, Place::Forward | Place::Late) && one_in(rng, 2) {
        lines.push(pick(rng, &ESTABLISHED).to_owned());
    }
    (0..rng.usize(rules)).for_each(|_| lines.push(rule(rng, place, limits)));
    lines.push("}".to_owned());
}

/// What most rulesets begin with.
const ESTABLISHED: [&str; 5] = [
    "ct state established,related accept",
    "ct state established,related counter accept",
    "ct state vmap { established : accept, related : accept, invalid : drop }",
    "ct state established counter",
    "ct state invalid drop",
];

fn command(rng: &mut Rng, limits: Limits) -> String {
    let (name, place, _) = pick(rng, &CHAINS);
    let host = pick(rng, &["10.0.0.3", "10.50.1.7", "10.50.1.8", "10.0.0.2"]);
    match rng.u32(0..16) {
        0..3 => format!("add rule inet t {name} {}", rule(rng, place, limits)),
        3..6 => format!("insert rule inet t forward {}", rule(rng, Place::Forward, limits)),
        6 => format!("flush chain inet t {name}"),
        7 | 8 => format!("add element inet t hosts {{ {host} }}"),
        9 => format!("delete element inet t hosts {{ {host} }}"),
        10 => "add element inet t nets { 10.50.2.0/24 }".to_owned(),
        11 => format!("add element inet t seen {{ {host} }}"),
        12 => "flush set inet t seen".to_owned(),
        13 => pick(rng, &["reset counter inet t web", "reset quota inet t little", "reset rules inet t"])
            .to_owned(),
        14 => format!("add element inet t marks {{ {} : {} }}", pick(rng, &[22, 1000]), rng.u32(0..3)),
        _ if one_in(rng, 3) => pick(rng, &["delete table inet t", "flush ruleset"]).to_owned(),
        _ => "flush table inet t".to_owned(),
    }
}

/// A rule with some matches and statements, and a verdict or none.
fn rule(rng: &mut Rng, place: Place, limits: Limits) -> String {
    let mut words: Vec<String> = Vec::new();
    // What cannot be of one packet is refused with the whole text, so it is drawn again.
    let add = |words: &mut Vec<String>, text: String| {
        if words.iter().all(|word| Demands::of(word).go_with(Demands::of(&text))) {
            words.push(text);
        }
    };
    for _ in 0..rng.usize(0..3) {
        // Most of what rules look at stays the same within a flow.
        let text = match rng.u32(0..10) {
            0..4 => stateless(rng, place, limits),
            4..8 if place != Place::Early => of_flow(rng),
            8 => passing(rng, place),
            _ => stateless(rng, place, limits),
        };
        add(&mut words, text);
    }
    for _ in 0..rng.usize(0..2) {
        add(&mut words, statement(rng, place));
    }
    if one_in(rng, 3) || words.is_empty() {
        words.push("counter".to_owned());
    }
    if rng.bool() {
        add(&mut words, verdict(rng, place).to_owned());
    }
    words.join(" ")
}

/// Of which protocols a packet has to be for a part of a rule.
#[derive(Clone, Copy)]
struct Demands {
    ipv4: bool,
    ipv6: bool,
    /// Protocols that it may be of: TCP, UDP, ICMP, ICMPv6.
    transports: [bool; 4],
}

impl Demands {
    fn of(text: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let both = has(&["meta l4proto {", "th "]) && !has(&["icmp"]);
        let transports = if both {
            [true, true, false, false]
        } else {
            [has(&["tcp"]), has(&["udp"]), has(&["icmp "]), has(&["icmpv6"])]
        };
        let any = !transports.contains(&true)
            || text.contains("meta l4proto { udp, icmp }")
            || text.contains("icmpx");
        Self {
            ipv4: has(&["ip saddr", "ip daddr", "ip dscp", "ip ttl", "ip frag", "icmp "]),
            ipv6: has(&["ip6 ", "icmpv6", "nfproto ipv6"]),
            transports: if any { [true; 4] } else { transports },
        }
    }

    fn go_with(self, other: Self) -> bool {
        let conflict = self.ipv4 && other.ipv6 || self.ipv6 && other.ipv4;
        !conflict && self.transports.iter().zip(other.transports).any(|(one, another)| *one && another)
    }
}

/// Matches of what stays the same within a flow and direction.
fn stateless(rng: &mut Rng, place: Place, limits: Limits) -> String {
    let host = pick(rng, &["10.0.0.2", "10.0.0.3", "10.0.1.2", "10.50.1.7", "10.50.1.8", "10.60.0.1"]);
    let host6 = pick(rng, &["fd00::2", "fd01::2", "fd50:1::7"]);
    let id = pick(rng, &[53, 80, 22, 1000]);
    let goes_out = matches!(place, Place::Forward | Place::Side | Place::Late) && !limits.many_ways;
    match rng.u32(0..16) {
        0 => format!("ip saddr {host}"),
        1 => format!("ip daddr {host}"),
        2 => format!("ip daddr != {host}"),
        3 => format!("ip6 saddr {host6}"),
        4 => format!("ip6 daddr {host6}"),
        5 if limits.stateful => {
            pick(rng, &["ip saddr @hosts", "ip daddr @hosts", "ip6 daddr @hosts6"]).to_owned()
        }
        6 if limits.stateful => pick(
            rng,
            &["ip daddr @nets", "ip saddr @nets", "meta l4proto { tcp, udp } ip saddr . th dport @pairs"],
        )
        .to_owned(),
        7 => format!("udp dport {id}"),
        8 => format!("tcp dport {{ {id}, 80 }}"),
        9 => format!("meta l4proto {{ tcp, udp }} th sport {id}"),
        10 => pick(rng, &["meta l4proto tcp", "meta l4proto { udp, icmp }", "meta nfproto ipv6"]).to_owned(),
        11 => format!("iifname \"r{}\"", rng.u32(0..4)),
        12 if goes_out => format!("oifname \"r{}\"", rng.u32(0..4)),
        13 => format!("meta mark {}", rng.u32(0..3)),
        14 => "iifname { \"r0\", \"r3\" }".to_owned(),
        _ => format!("ip dscp {}", pick(rng, &["0x04", "0x08", "cs0"])),
    }
}

/// Matches of what is known of the packet's flow.
fn of_flow(rng: &mut Rng) -> String {
    let texts = [
        "ct state established",
        "ct state new",
        "ct state established,related",
        "ct state invalid",
        "ct state untracked",
        "ct direction original",
        "ct direction reply",
        "ct mark 1",
        "ct mark != 0",
        "ct status dnat",
        "ct status snat,dnat",
        "ct status assured",
        "ct original ip saddr 10.0.0.2",
        "ct reply ip saddr 10.50.1.7",
        "ct original proto-dst 80",
        "ct protocol tcp",
        "ct l3proto ipv4",
        "ct packets > 4",
        "ct original bytes > 300",
        "ct expiration < 40s",
        "ct label 3",
    ];
    pick(rng, &texts).to_owned()
}

/// Matches that one packet of a flow meets and another does not.
fn passing(rng: &mut Rng, place: Place) -> String {
    let texts = [
        "ip ttl 64",
        "ip6 hoplimit > 1",
        "meta length > 200",
        "tcp flags syn / syn,ack,rst,fin",
        "tcp flags & (fin | rst) != 0",
        "icmp type echo-request",
        "icmpv6 type echo-reply",
        "udp length > 30",
        "limit rate 3/second burst 3 packets",
        "limit rate over 2/minute",
        "limit name \"few\"",
        "quota name \"little\"",
        "quota over 2 kbytes",
        "numgen inc mod 3 0",
        "numgen random mod 2 0",
        "@th,32,8 0",
        "ether saddr 02:00:00:01:00:02",
        "fib daddr type unicast",
        "fib saddr type local",
        "ip saddr @seen",
        "tcp option maxseg size 1460",
        "ip frag-off & 0x4000 != 0",
    ];
    if place == Place::Forward && one_in(rng, 8) {
        return "ct count over 2".to_owned();
    }
    pick(rng, &texts).to_owned()
}

fn statement(rng: &mut Rng, place: Place) -> String {
    let texts = [
        "counter",
        "counter",
        "counter name \"web\"",
        "counter name \"web\"",
        "meta mark set 1",
        "meta mark set 2",
        "meta l4proto { tcp, udp } meta mark set th dport map @marks",
        "add @seen { ip saddr }",
        "update @seen { ip saddr timeout 20s }",
        "meta l4proto { tcp, udp } add @pairs { ip daddr . th dport counter }",
        "delete @seen { ip daddr }",
        "log prefix \"met \"",
        "ip dscp set cs2",
        "meta priority set 1:2",
    ];
    let of_flows = [
        "ct mark set 1",
        "ct mark set meta mark",
        "meta mark set ct mark",
        "ct mark set ct mark or 2",
        "ct label set 3",
        "tcp flags syn tcp option maxseg size set 1200",
    ];
    match place {
        Place::Early => pick(rng, &["notrack", "counter", "meta mark set 1", "meta mark set 2"]).to_owned(),
        _ if one_in(rng, 3) => pick(rng, &of_flows).to_owned(),
        _ => pick(rng, &texts).to_owned(),
    }
}

const fn verdicts(place: Place) -> &'static [&'static str] {
    match place {
        Place::Early | Place::Mangle => &["accept", "accept", "drop", "return"],
        Place::Forward => &[
            "accept",
            "accept",
            "accept",
            "drop",
            "reject",
            "jump side",
            "jump side",
            "goto side",
            "continue",
            DENY,
        ],
        Place::Input => &["accept", "drop", "reject"],
        Place::Side => &["accept", "drop", "return", "reject with icmpx admin-prohibited"],
        Place::Late | Place::Output => &["accept", "accept", "drop"],
    }
}

/// A refusal that TCP has of its own.
const DENY: &str = "meta l4proto tcp reject with tcp reset";

fn verdict(rng: &mut Rng, place: Place) -> &'static str {
    pick(rng, verdicts(place))
}

/// A rule that translates destinations.
fn destination(rng: &mut Rng) -> String {
    let texts = [
        "ip daddr 10.99.0.1 dnat ip to 10.50.1.7",
        "ip daddr 10.99.0.1 tcp dport 80 counter dnat ip to 10.50.1.8:8080",
        "ip6 daddr fd99::1 dnat ip6 to fd50:1::7",
        "iifname \"r3\" tcp dport 80 dnat ip to 10.0.0.2",
        "ip daddr 10.50.2.1 counter dnat ip to tcp dport map @back",
        "udp dport 53 redirect to :5353",
        "iifname \"r0\" udp dport 53 dnat ip to 10.0.1.2-10.0.1.3",
        "ip daddr 10.0.3.1 tcp dport 22 dnat ip to 10.0.0.3:2222",
    ];
    pick(rng, &texts).to_owned()
}

/// A rule that translates sources.
fn source(rng: &mut Rng, limits: Limits) -> String {
    let fixed = [
        "ip saddr 10.0.0.0/24 snat ip to 10.0.3.1",
        "ip saddr 10.0.0.2 counter snat ip to 10.0.3.1:4000-4001",
        "ip6 saddr fd00::/64 snat ip6 to fd03::1",
        "ip daddr 10.50.1.7 snat ip to 10.0.2.1-10.0.2.3",
    ];
    let by_exit = [
        "oifname \"r3\" masquerade",
        "oifname \"r2\" counter masquerade",
        "meta l4proto udp masquerade",
        "masquerade",
        "oifname \"r3\" masquerade random",
    ];
    if limits.many_ways || one_in(rng, 3) {
        pick(rng, &fixed).to_owned()
    } else {
        pick(rng, &by_exit).to_owned()
    }
}
