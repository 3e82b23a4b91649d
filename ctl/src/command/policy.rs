//! Changes of own policy rules, in the words of `ip rule`.

use clap::Subcommand;
use ipnet::IpNet;

use super::words::{Once, Words, host_in_prefix, is_long_for, is_short_for};
use crate::message::{
    Action, AddDel, Family, FilterError, MaskedMark, PolicyAction, PolicyRuleChange, Question, Request,
};
use crate::names;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Add a policy rule, as `ip rule add`: `from 10.0.0.0/8 lookup 100 priority 1000`
    Add(PolicyWords),
    /// Delete the first policy rule that agrees with what is said
    #[command(alias = "delete")]
    Del(PolicyWords),
    /// List policy rules, as `show policy` does
    #[command(alias = "show")]
    List,
}

#[derive(Debug, clap::Args)]
pub(super) struct PolicyWords {
    /// A rule for IPv4 packets, as is one that says no family
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,

    /// A rule for IPv6 packets
    #[arg(short = '6')]
    ipv6: bool,

    #[arg(required = true, value_name = "RULE", help = HELP)]
    words: Vec<String>,
}

const HELP: &str = "\
[not] [from PREFIX|all] [to PREFIX|all] [tos N] [fwmark N[/MASK]] [iif PORT] [oif PORT] [ipproto PROTOCOL] \
[sport N[-M]] [dport N[-M]] [priority N] \
[lookup TABLE [suppress_prefixlength N]|goto PRIORITY|nop|blackhole|unreachable|prohibit]";

impl Policy {
    pub(super) fn into_request(self) -> Result<Request, String> {
        let (verb, words) = match self {
            Self::Add(words) => (AddDel::Add, words),
            Self::Del(words) => (AddDel::Del, words),
            Self::List => return Ok(Request::Ask(Question::PolicyRules)),
        };
        let family = match (words.ipv4, words.ipv6) {
            (true, _) => Some(Family::Ipv4),
            (_, true) => Some(Family::Ipv6),
            _ => None,
        };
        let change = read_rule(verb, family, &words.words)?;
        Ok(Request::Do(Action::ChangePolicyRule(Box::new(change))))
    }
}

/// Reads a rule in the words of `ip rule add`.
pub(crate) fn read_rule(
    verb: AddDel,
    mut family: Option<Family>,
    words: &[String],
) -> Result<PolicyRuleChange, String> {
    let mut rule = PolicyRuleChange::new(verb, Family::Ipv4);
    let (mut words, mut once) = (Words::of(words), Said::default());
    while let Some(word) = words.next() {
        if word == "not" {
            rule.inverted = true;
        } else if is_short_for(word, "from") {
            once.from.set(prefix(words.value(word)?)?)?;
        } else if word == "to" {
            once.to.set(prefix(words.value(word)?)?)?;
        } else if word == "tos" || is_long_for(word, "dsfield") {
            once.tos.set(words.number(word)?)?;
        } else if is_short_for(word, "fwmark") {
            let mark = words.value(word)?.parse().map_err(|error: FilterError| error.to_string())?;
            once.mark.set(mark)?;
        } else if matches!(word, "iif" | "dev") {
            once.input.set(words.value(word)?.to_owned())?;
        } else if word == "oif" {
            once.output.set(words.value(word)?.to_owned())?;
        } else if is_long_for(word, "ipproto") {
            once.protocol.set(protocol(words.value(word)?)?)?;
        } else if word == "sport" {
            once.source_ports.set(ports(words.value(word)?)?)?;
        } else if word == "dport" {
            once.destination_ports.set(ports(words.value(word)?)?)?;
        } else if ["priority", "preference", "order"].iter().any(|whole| is_long_for(word, whole)) {
            once.priority.set(words.number(word)?)?;
        } else if is_long_for(word, "suppress_prefixlength") || is_long_for(word, "sup_pl") {
            once.suppress.set(words.number(word)?)?;
        } else if is_short_for(word, "table") || is_short_for(word, "lookup") {
            once.act(PolicyAction::Lookup(table(words.value(word)?)?))?;
        } else if word == "goto" {
            once.act(PolicyAction::Goto(words.number(word)?))?;
        } else if let Some(action) = bare_action(word) {
            once.act(action)?;
        } else {
            return Err(format!(
                "`{word}` is none of not, from, to, tos, fwmark, iif, oif, ipproto, sport, dport, priority, \
                 lookup, suppress_prefixlength, goto, nop, blackhole, unreachable, prohibit"
            ));
        }
    }
    for prefix in [once.from.value, once.to.value].into_iter().flatten().flatten() {
        family.get_or_insert(Family::of(prefix.addr()));
    }
    let rule = PolicyRuleChange {
        family: family.unwrap_or(Family::Ipv4),
        priority: once.priority.value,
        from: once.from.value.flatten(),
        to: once.to.value.flatten(),
        input_port: once.input.value,
        output_port: once.output.value,
        mark: once.mark.value,
        tos: once.tos.value.unwrap_or(0),
        protocol_number: once.protocol.value,
        source_ports: once.source_ports.value,
        destination_ports: once.destination_ports.value,
        suppress_prefix_length: once.suppress.value,
        action: once.action.value,
        ..rule
    };
    rule.check().map_err(|error| error.to_string())?;
    Ok(rule)
}

/// What has been said so far.
struct Said {
    from: Once<Option<IpNet>>,
    to: Once<Option<IpNet>>,
    tos: Once<u8>,
    mark: Once<MaskedMark>,
    input: Once<String>,
    output: Once<String>,
    protocol: Once<u8>,
    source_ports: Once<(u16, u16)>,
    destination_ports: Once<(u16, u16)>,
    priority: Once<u32>,
    suppress: Once<u8>,
    action: Once<PolicyAction>,
}

impl Said {
    fn act(&mut self, action: PolicyAction) -> Result<(), String> {
        let again = "a rule does one thing: one of lookup, goto, nop, blackhole, unreachable, prohibit";
        self.action.set(action).map_err(|_| again.to_owned())
    }
}

impl Default for Said {
    fn default() -> Self {
        Self {
            from: Once::new("from"),
            to: Once::new("to"),
            tos: Once::new("tos"),
            mark: Once::new("fwmark"),
            input: Once::new("iif"),
            output: Once::new("oif"),
            protocol: Once::new("ipproto"),
            source_ports: Once::new("sport"),
            destination_ports: Once::new("dport"),
            priority: Once::new("priority"),
            suppress: Once::new("suppress_prefixlength"),
            action: Once::new("lookup"),
        }
    }
}

/// A prefix, or all.
fn prefix(text: &str) -> Result<Option<IpNet>, String> {
    if matches!(text, "all" | "any" | "default") { Ok(None) } else { host_in_prefix(text).map(Some) }
}

fn protocol(text: &str) -> Result<u8, String> {
    names::flow_protocol_number(&text.to_ascii_lowercase())
        .ok_or_else(|| format!("{text:?} is no protocol: a name such as tcp, or a number up to 255"))
}

/// A port, or the first and the last of several.
fn ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err(format!("{text:?} is neither a port nor FIRST-LAST")),
    }
}

fn table(name: &str) -> Result<u32, String> {
    names::table_number(name)
        .filter(|number| *number != 0)
        .ok_or_else(|| format!("{name:?} is no table: a name or a number from 1"))
}

/// An action that is a word alone.
fn bare_action(word: &str) -> Option<PolicyAction> {
    const ACTIONS: [(&str, PolicyAction); 4] = [
        ("nop", PolicyAction::Nop),
        ("blackhole", PolicyAction::Blackhole),
        ("unreachable", PolicyAction::Unreachable),
        ("prohibit", PolicyAction::Prohibit),
    ];
    ACTIONS.into_iter().find(|(whole, _)| is_long_for(word, whole)).map(|(_, action)| action)
}
