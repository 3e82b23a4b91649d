//! routerctl's command line: words that may be shortened as with `ip`, filters as with `conntrack`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use ipnet::IpNet;

use crate::address::{Address, DEFAULT};
use crate::message::{
    Action, Family, FlowCacheAction, FlowFilter, FlowStatusFilter, MaskedMark, Question, Request,
    RouteFilter, RouteQuery, RulesFile, RulesFilter, TableFilter, Topics,
};
use crate::names;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Whether the answer is printed as JSON.
    pub json: bool,
    /// Network namespace to enter first.
    pub namespace: Option<String>,
    /// Where routerd listens.
    pub control: Address,
    /// What to send.
    pub request: Request,
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// What is wrong with it, or the help or version that was asked for; [`clap::Error::exit`] prints either and ends
/// the process with 2 or 0.
pub fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation, clap::Error> {
    let arguments = Arguments::try_parse_from(words)?;
    let usage = |message: String| Arguments::command().error(ErrorKind::ValueValidation, message);
    let request = arguments.command.into_request(arguments.json).map_err(usage)?;
    Ok(Invocation {
        json: arguments.json,
        namespace: arguments.namespace,
        control: arguments.control,
        request,
    })
}

/// Asks and tells a running routerd. Words may be shortened while they are unambiguous: `routerctl sh fl`.
#[derive(Debug, Parser)]
#[command(
    name = "routerctl",
    version,
    infer_subcommands = true,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Arguments {
    /// Print JSON, as documented in docs/control.md
    #[arg(short, long, global = true)]
    json: bool,

    /// Ask the routerd of this network namespace (a name of `ip netns`, or a path)
    #[arg(short, long = "netns", value_name = "NETNS", global = true)]
    namespace: Option<String>,

    /// Where routerd listens: @NAME (abstract, one for each network namespace) or a path
    #[arg(long, value_name = "PATH|@NAME", global = true, default_value = DEFAULT)]
    control: Address,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How the router is; exits with 0 once it forwards
    Status,
    /// Show a table
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    Show(Show),
    /// Ask where a packet would go
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    Route(Route),
    /// Switch the routes that flows keep on or off, or have them all looked up again
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    FlowCache(FlowCache),
    /// Delete flows
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true,
        aliases = ["fl", "flo", "flow"]
    )]
    Flows(Flows),
    /// Load rules in nft's language, or check a file of them
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    Rules(Rules),
    /// Tell what happens from now on: flows, routes, neighbors, what rules log,
    /// announced flows, or all of it
    Monitor {
        /// flows, routes, neighbors, log, expectations
        #[arg(value_name = "TOPIC")]
        topics: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Show {
    /// Ports and their counters
    Ports,
    /// Addresses, as `ip -br address`
    Addresses,
    /// Routes, as `ip route`, and why some are not used
    Routes(RouteOptions),
    /// Policy rules, as `ip rule`
    Policy,
    /// Neighbors, as `ip neigh`
    #[command(alias = "neighbours")]
    Neighbors,
    /// Flows, as `conntrack -L`, and the routes they keep
    #[command(aliases = ["fl", "flo", "flow"])]
    Flows(Box<FlowOptions>),
    /// Flows that others have announced, as `conntrack -L expect`
    Expectations,
    /// Hooks in the order packets meet them
    Hooks,
    /// Connection trackers and their timeouts
    Trackers,
    /// Counters
    Counters,
    /// Dropped packets by reason
    Drops,
    /// What the flow cache does
    FlowCache,
    /// Rules with their counters, as `nft list ruleset`
    Rules(RulesOptions),
}

#[derive(Debug, Subcommand)]
enum Route {
    /// DEST [from SRC] [iif PORT] [mark N]: where a packet would go
    Get {
        /// DEST [from SRC] [iif PORT] [mark N]
        #[arg(required = true, value_name = "DEST")]
        words: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum FlowCache {
    /// Flows keep their routes
    On,
    /// Every packet looks up
    Off,
    /// Flows keep their routes whatever changes
    Hold,
    /// Every flow looks up once more
    Flush,
}

#[derive(Debug, Subcommand)]
enum Flows {
    /// Delete all flows
    Flush,
    /// Delete the flows that match
    Delete(Box<FlowOptions>),
}

#[derive(Debug, Subcommand)]
enum Rules {
    /// Carry out a file of rules, as `nft -f`: whole or not at all
    Load {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Say what loading a file would do, and change nothing, as `nft -c -f`
    Check {
        /// The file; `-` for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct RulesOptions {
    /// With the handles of everything
    #[arg(short = 'a', long)]
    handles: bool,

    /// Without counters and what else changes by itself
    #[arg(short, long)]
    stateless: bool,

    /// \[table \[FAMILY\] NAME\]
    #[arg(value_name = "SELECTOR")]
    words: Vec<String>,
}

#[derive(Debug, Args)]
struct RouteOptions {
    /// IPv4 routes only
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,

    /// IPv6 routes only
    #[arg(short = '6')]
    ipv6: bool,
    /// table NAME|NUMBER|all, a prefix, or both; without a table all but `local`
    /// \[table NAME|NUMBER|all\] \[PREFIX\]; without a table all but `local`
    #[arg(value_name = "SELECTOR")]
    words: Vec<String>,
}

/// Filters, named as in conntrack(8). Addresses may be prefixes.
#[derive(Debug, Default, Args)]
struct FlowOptions {
    /// ipv4 or ipv6
    #[arg(short = 'f', long, value_parser = family)]
    family: Option<Family>,

    /// Protocol by name or number
    #[arg(short = 'p', long = "protonum", alias = "proto", value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Option<u8>,

    /// Source of the original direction
    #[arg(short = 's', long = "src", alias = "orig-src", value_name = "ADDRESS", value_parser = network)]
    source: Option<IpNet>,

    /// Destination of the original direction
    #[arg(short = 'd', long = "dst", alias = "orig-dst", value_name = "ADDRESS", value_parser = network)]
    destination: Option<IpNet>,

    /// Source of the reply direction
    #[arg(short = 'r', long = "reply-src", value_name = "ADDRESS", value_parser = network)]
    reply_source: Option<IpNet>,

    /// Destination of the reply direction
    #[arg(short = 'q', long = "reply-dst", value_name = "ADDRESS", value_parser = network)]
    reply_destination: Option<IpNet>,

    /// Source port of the original direction
    #[arg(long = "sport", alias = "orig-port-src", value_name = "PORT")]
    source_port: Option<u16>,

    /// Destination port of the original direction
    #[arg(long = "dport", alias = "orig-port-dst", value_name = "PORT")]
    destination_port: Option<u16>,

    /// Source port of the reply direction
    #[arg(long = "reply-port-src", value_name = "PORT")]
    reply_source_port: Option<u16>,

    /// Destination port of the reply direction
    #[arg(long = "reply-port-dst", value_name = "PORT")]
    reply_destination_port: Option<u16>,

    /// ICMP type of the original direction
    #[arg(long, value_name = "NUMBER")]
    icmp_type: Option<u8>,

    /// ICMP code of the original direction
    #[arg(long, value_name = "NUMBER")]
    icmp_code: Option<u8>,

    /// ICMP identifier of the original direction
    #[arg(long, value_name = "NUMBER")]
    icmp_id: Option<u16>,

    /// State, such as ESTABLISHED
    #[arg(long)]
    state: Option<String>,

    /// ASSURED, SEEN_REPLY, UNREPLIED, CONFIRMED; several with commas
    #[arg(short = 'u', long, value_delimiter = ',', value_parser = status)]
    status: Vec<FlowStatusFilter>,

    /// Connection mark
    #[arg(short = 'm', long, value_name = "MARK[/MASK]")]
    mark: Option<MaskedMark>,

    /// Zone
    #[arg(short = 'w', long)]
    zone: Option<u16>,

    /// Number of the flow, as JSON tells it
    #[arg(long)]
    id: Option<u64>,
}

impl Command {
    fn into_request(self, json: bool) -> Result<Request, String> {
        Ok(match self {
            Self::Status => Request::Ask(Question::Status),
            Self::Show(show) => Request::Ask(show.into_question(json)?),
            Self::Route(Route::Get { words }) => Request::Ask(Question::RouteGet(route_query(&words)?)),
            Self::FlowCache(action) => Request::Do(Action::FlowCache(match action {
                FlowCache::On => FlowCacheAction::On,
                FlowCache::Off => FlowCacheAction::Off,
                FlowCache::Hold => FlowCacheAction::Hold,
                FlowCache::Flush => FlowCacheAction::Flush,
            })),
            Self::Flows(Flows::Flush) => Request::Do(Action::DeleteFlows(Box::default())),
            Self::Flows(Flows::Delete(options)) => {
                let filter = options.into_filter()?;
                if filter.is_everything() {
                    return Err("say which flows to delete, or `flows flush` for all of them".into());
                }
                Request::Do(Action::DeleteFlows(Box::new(filter)))
            }
            Self::Rules(Rules::Load { file }) => Request::Do(Action::LoadRules(Box::new(read_later(&file)))),
            Self::Rules(Rules::Check { file }) => {
                Request::Ask(Question::CheckRules(Box::new(read_later(&file))))
            }
            Self::Monitor { topics: words } => Request::Monitor(topics(&words)?),
        })
    }
}

impl Show {
    fn into_question(self, json: bool) -> Result<Question, String> {
        Ok(match self {
            Self::Ports => Question::Ports,
            Self::Addresses => Question::Addresses,
            Self::Routes(options) => Question::Routes(options.into_filter()?),
            Self::Policy => Question::PolicyRules,
            Self::Neighbors => Question::Neighbors,
            Self::Flows(options) => Question::Flows(Box::new(options.into_filter()?)),
            Self::Expectations => Question::Expectations,
            Self::Hooks => Question::Hooks,
            Self::Trackers => Question::Trackers,
            Self::Counters => Question::Counters,
            Self::Drops => Question::Drops,
            Self::FlowCache => Question::FlowCache,
            Self::Rules(options) => Question::Rules(options.into_filter(json)?),
        })
    }
}

impl Invocation {
    /// Reads the file that the request carries, if it carries one.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than [`RULES_BYTES_MAX`]; says which file.
    pub fn read_file(&mut self) -> Result<(), FileError> {
        let (Request::Do(Action::LoadRules(file)) | Request::Ask(Question::CheckRules(file))) =
            &mut self.request
        else {
            return Ok(());
        };
        let wrong = |error| FileError { name: file.name.clone(), error };
        let directory = std::env::current_dir().map_err(wrong)?;
        let mut text = Vec::new();
        let source: &mut dyn Read = if file.name == "-" {
            &mut io::stdin().lock()
        } else {
            &mut File::open(&file.name).map_err(wrong)?
        };
        source.take(RULES_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
        if text.len() > RULES_BYTES_MAX {
            let what = format!("larger than {RULES_BYTES_MAX} bytes, the most that a file of rules may have");
            return Err(wrong(io::Error::other(what)));
        }
        let text = String::from_utf8(text).map_err(|error| wrong(io::Error::other(error.utf8_error())))?;
        (file.text, file.directory) = (text, directory.to_string_lossy().into_owned());
        Ok(())
    }
}

/// A file that the command line names and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub struct FileError {
    /// The file.
    name: String,
    /// Why.
    error: io::Error,
}

/// The largest file of rules, in bytes.
pub const RULES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A file still to be read.
fn read_later(file: &Path) -> RulesFile {
    RulesFile { name: file.to_string_lossy().into_owned(), ..RulesFile::default() }
}

impl RulesOptions {
    fn into_filter(self, json: bool) -> Result<RulesFilter, String> {
        let mut filter =
            RulesFilter { json, handles: self.handles, stateless: self.stateless, ..RulesFilter::default() };
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words[..] {
            [] => {}
            [table, name] if is_short_for(table, "table") => filter.table = Some(name.into()),
            [table, family, name] if is_short_for(table, "table") => {
                if !["ip", "ip6", "inet", "arp", "bridge"].contains(&family) {
                    return Err(format!("`{family}` is none of ip, ip6, inet, arp, bridge"));
                }
                (filter.family, filter.table) = (Some(family.into()), Some(name.into()));
            }
            _ => return Err("say `table [FAMILY] NAME`, or nothing for all rules".into()),
        }
        Ok(filter)
    }
}

impl RouteOptions {
    fn into_filter(self) -> Result<RouteFilter, String> {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::Ipv4),
            (_, true) => Some(Family::Ipv6),
            _ => None,
        };
        let mut filter = RouteFilter { family, ..RouteFilter::default() };
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            if is_short_for(word, "table") {
                filter.table = table(words.next().ok_or("`table` needs a name, a number or `all`")?);
            } else {
                filter.within = Some(network(word)?);
            }
        }
        Ok(filter)
    }
}

impl FlowOptions {
    fn into_filter(self) -> Result<FlowFilter, String> {
        let filter = FlowFilter {
            id: self.id,
            family: self.family,
            protocol_number: self.protocol,
            source: self.source,
            destination: self.destination,
            reply_source: self.reply_source,
            reply_destination: self.reply_destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            reply_source_port: self.reply_source_port,
            reply_destination_port: self.reply_destination_port,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            icmp_id: self.icmp_id,
            state: self.state.map(|state| state.to_ascii_uppercase()),
            status: self.status,
            mark: self.mark,
            zone: self.zone,
        };
        filter.check().map_err(|error| error.to_string())?;
        Ok(filter)
    }
}

fn route_query(words: &[String]) -> Result<RouteQuery, String> {
    let mut words = words.iter().map(String::as_str).peekable();
    if words.peek().is_some_and(|word| *word == "to") {
        words.next();
    }
    let destination = address(words.next().ok_or("`route get` needs a destination")?)?;
    let mut query = RouteQuery { destination, source: None, input_port: None, mark: 0 };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
        if is_short_for(word, "from") {
            query.source = Some(address(value)?);
        } else if is_short_for(word, "iif") {
            query.input_port = Some(value.into());
        } else if is_short_for(word, "mark") {
            let mark = MaskedMark::from_str(value).map_err(|error| error.to_string())?;
            if mark.mask != u32::MAX {
                return Err(format!("a packet has a mark without a mask, not {value}"));
            }
            query.mark = mark.value;
        } else {
            return Err(format!("`{word}` is none of from, iif, mark"));
        }
    }
    match query.source {
        Some(source) if source.is_ipv4() != destination.is_ipv4() => {
            Err(format!("{source} and {destination} are of different families"))
        }
        _ => Ok(query),
    }
}

fn topics(words: &[String]) -> Result<Topics, String> {
    let mut topics =
        Topics { flows: false, routes: false, neighbors: false, log: false, expectations: false };
    for word in words {
        match word.as_str() {
            word if is_short_for(word, "all") => topics = Topics::ALL,
            word if is_short_for(word, "flows") => topics.flows = true,
            word if is_short_for(word, "routes") => topics.routes = true,
            word if is_short_for(word, "log") => topics.log = true,
            word if is_short_for(word, "expectations") => topics.expectations = true,
            word if is_short_for(word, "neighbors") || is_short_for(word, "neighbours") => {
                topics.neighbors = true;
            }
            _ => return Err(format!("`{word}` is none of flows, routes, neighbors, log, expectations, all")),
        }
    }
    Ok(if words.is_empty() { Topics::ALL } else { topics })
}

fn is_short_for(word: &str, whole: &str) -> bool {
    !word.is_empty() && whole.starts_with(word)
}

fn table(word: &str) -> TableFilter {
    match word {
        "all" => TableFilter::All,
        name => TableFilter::Named(
            name.parse().map_or_else(|_| name.to_owned(), |number| names::table(number).into_owned()),
        ),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address"))
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a prefix"))
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "ipv4" | "inet" | "4" => Ok(Family::Ipv4),
        "ipv6" | "inet6" | "6" => Ok(Family::Ipv6),
        _ => Err("it is ipv4 or ipv6".into()),
    }
}

fn protocol(text: &str) -> Result<u8, String> {
    names::flow_protocol_number(&text.to_ascii_lowercase())
        .ok_or_else(|| "it is a name such as tcp, udp, icmp, icmpv6, or a number up to 255".into())
}

fn status(text: &str) -> Result<FlowStatusFilter, String> {
    match text.to_ascii_uppercase().as_str() {
        "ASSURED" => Ok(FlowStatusFilter::Assured),
        "SEEN_REPLY" => Ok(FlowStatusFilter::SeenReply),
        "UNREPLIED" | "UNSET" => Ok(FlowStatusFilter::Unreplied),
        "CONFIRMED" => Ok(FlowStatusFilter::Confirmed),
        _ => Err("it is ASSURED, SEEN_REPLY, UNREPLIED or CONFIRMED".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Topic;

    fn invocation(line: &str) -> Result<Invocation, clap::Error> {
        parse(["routerctl"].into_iter().chain(line.split_whitespace()))
    }

    fn request(line: &str) -> Request {
        invocation(line).unwrap_or_else(|error| panic!("{line}: {error}")).request
    }

    fn flows(line: &str) -> FlowFilter {
        match request(line) {
            Request::Ask(Question::Flows(filter)) | Request::Do(Action::DeleteFlows(filter)) => *filter,
            other => panic!("{line} is {other:?}"),
        }
    }

    fn usage_error(line: &str) -> String {
        let error = invocation(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn words_may_be_shortened_while_unambiguous() {
        for (line, question) in [
            ("status", Question::Status),
            ("st", Question::Status),
            ("sh fl", Question::Flows(Box::default())),
            ("sh flow", Question::Flows(Box::default())),
            ("sh flow-", Question::FlowCache),
            ("sh neigh", Question::Neighbors),
            ("sh n", Question::Neighbors),
            ("show neighbours", Question::Neighbors),
            ("show neighbors", Question::Neighbors),
            ("show route", Question::Routes(RouteFilter::default())),
            ("show ro", Question::Routes(RouteFilter::default())),
            ("sho addr", Question::Addresses),
            ("sh po", Question::Ports),
            ("sh pol", Question::PolicyRules),
            ("sh h", Question::Hooks),
            ("sh t", Question::Trackers),
            ("sh c", Question::Counters),
            ("sh ru", Question::Rules(RulesFilter::default())),
            ("sh d", Question::Drops),
            ("sh expect", Question::Expectations),
        ] {
            if line == "sh po" {
                assert!(usage_error(line).contains("po"), "`po` is ports or policy");
            } else {
                assert_eq!(request(line), Request::Ask(question), "{line}");
            }
        }
        assert!(usage_error("s").contains("unrecognized subcommand 's'"));
        usage_error("show everything");
    }

    #[test]
    fn half_a_command_is_answered_with_what_may_follow() {
        for (line, offer) in
            [("", "flow-cache"), ("show", "neighbors"), ("route", "get"), ("flow-c", "flush")]
        {
            assert!(usage_error(line).contains(offer), "{line}");
        }
    }

    #[test]
    fn what_changes_something_is_an_action() {
        for (line, action) in [
            ("flow-cache on", FlowCacheAction::On),
            ("flow-c of", FlowCacheAction::Off),
            ("flow-cache hold", FlowCacheAction::Hold),
            ("flow-cache flush", FlowCacheAction::Flush),
        ] {
            assert_eq!(request(line), Request::Do(Action::FlowCache(action)), "{line}");
        }
        assert_eq!(request("fl flush"), Request::Do(Action::DeleteFlows(Box::default())));
        assert_eq!(flows("flows delete -p udp").protocol_number, Some(17));
        assert!(usage_error("flows delete").contains("say which flows to delete, or `flows flush`"));
    }

    #[test]
    fn filters_read_as_conntrack_reads_them() {
        let filter = flows(
            "show flows -f ipv4 -p tcp -s 10.0.1.0/24 -d 10.0.2.2 -r 10.0.2.2 -q 192.0.2.1 --sport 1 --dport 2 \
             --reply-port-src 3 --reply-port-dst 4 --state established -u assured,seen_reply -m 0x10/0xff -w 5 \
             --id 6",
        );
        let expected = FlowFilter {
            id: Some(6),
            family: Some(Family::Ipv4),
            protocol_number: Some(6),
            source: Some("10.0.1.0/24".parse().unwrap()),
            destination: Some("10.0.2.2/32".parse().unwrap()),
            reply_source: Some("10.0.2.2/32".parse().unwrap()),
            reply_destination: Some("192.0.2.1/32".parse().unwrap()),
            source_port: Some(1),
            destination_port: Some(2),
            reply_source_port: Some(3),
            reply_destination_port: Some(4),
            icmp_type: None,
            icmp_code: None,
            icmp_id: None,
            state: Some("ESTABLISHED".into()),
            status: vec![FlowStatusFilter::Assured, FlowStatusFilter::SeenReply],
            mark: Some(MaskedMark { value: 0x10, mask: 0xff }),
            zone: Some(5),
        };
        assert_eq!(filter, expected);
        let long = flows("show flows --orig-src fd00::/16 --orig-port-dst 53 --proto icmpv6 --mark 7");
        assert_eq!(long.source, Some("fd00::/16".parse().unwrap()));
        assert_eq!((long.destination_port, long.protocol_number), (Some(53), Some(58)));
        assert_eq!(long.mark, Some(MaskedMark { value: 7, mask: u32::MAX }));
        let icmp = flows("show flows -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 9");
        assert_eq!((icmp.icmp_type, icmp.icmp_code, icmp.icmp_id), (Some(8), Some(0), Some(9)));
    }

    #[test]
    fn filters_that_cannot_be_meant_are_usage_errors() {
        for (line, said) in [
            ("show flows -p tpc", "a name such as tcp"),
            ("show flows -s 10.0.0.0/33", "neither an address nor a prefix"),
            ("show flows -s 10.0.0.1 -d fd00::1", "different families"),
            ("show flows -f ipv6 -s 10.0.0.1", "different families"),
            ("show flows -m 1/x", "is not a mark"),
            ("show flows --dport 65536", "65536"),
            ("show flows -u asured", "ASSURED"),
        ] {
            let error = usage_error(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn routes_are_selected_by_family_table_and_prefix() {
        let filter = |line: &str| match request(line) {
            Request::Ask(Question::Routes(filter)) => filter,
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(filter("show routes").table, TableFilter::NotLocal);
        assert_eq!(filter("show routes table all").table, TableFilter::All);
        assert_eq!(filter("show routes t 254").table, TableFilter::Named("main".into()));
        assert_eq!(filter("show routes table 100").table, TableFilter::Named("100".into()));
        let both = filter("show routes -6 fd00::/8 table local");
        assert_eq!((both.family, both.within), (Some(Family::Ipv6), Some("fd00::/8".parse().unwrap())));
        assert!(usage_error("show routes table").contains("needs a name"));
        usage_error("show routes -4 -6");
        usage_error("show routes 10.0.0.0/8/8");
    }

    #[test]
    fn route_get_reads_as_ip_reads_it() {
        let query = |line: &str| match request(line) {
            Request::Ask(Question::RouteGet(query)) => query,
            other => panic!("{line} is {other:?}"),
        };
        let plain = query("route get 10.0.0.1");
        assert_eq!((plain.destination, plain.mark), ("10.0.0.1".parse().unwrap(), 0));
        let full = query("ro g to fd00::1 from fd00::2 iif r0 mark 0x10");
        assert_eq!(full.source, Some("fd00::2".parse().unwrap()));
        assert_eq!((full.input_port.as_deref(), full.mark), (Some("r0"), 16));
        for (line, said) in [
            ("route get", "DEST"),
            ("route get ten", "\"ten\" is not an address"),
            ("route get 10.0.0.1 from", "`from` needs a value"),
            ("route get 10.0.0.1 oif r0", "none of from, iif, mark"),
            ("route get 10.0.0.1 from fd00::1", "different families"),
            ("route get 10.0.0.1 mark 1/2", "without a mask"),
        ] {
            let error = usage_error(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn rules_are_listed_whole_or_by_table() {
        let filter = |line: &str| match request(line) {
            Request::Ask(Question::Rules(filter)) => filter,
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(filter("show rules"), RulesFilter::default());
        assert!(filter("show rules -a").handles && filter("show rules -s").stateless);
        assert!(filter("-j show rules").json);
        assert_eq!(filter("show rules table t").table.as_deref(), Some("t"));
        let both = filter("show rules table inet t");
        assert_eq!((both.family.as_deref(), both.table.as_deref()), (Some("inet"), Some("t")));
        assert!(usage_error("show rules table ipx t").contains("none of ip, ip6"));
        assert!(usage_error("show rules chain").contains("say `table"));
    }

    #[test]
    fn files_of_rules_are_read_where_the_command_is_given() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.nft");
        std::fs::write(&path, "flush ruleset\n").unwrap();
        let mut load = invocation(&format!("rules load {}", path.display())).unwrap();
        load.read_file().unwrap();
        let Request::Do(Action::LoadRules(file)) = load.request else { panic!("{:?}", load.request) };
        assert_eq!((file.text.as_str(), file.name.as_str()), ("flush ruleset\n", path.to_str().unwrap()));
        assert!(Path::new(&file.directory).is_absolute());

        std::fs::write(&path, [0xff]).unwrap();
        let mut check = invocation(&format!("rules check {}", path.display())).unwrap();
        assert!(check.read_file().unwrap_err().to_string().contains("rules.nft: invalid utf-8"));
        std::fs::write(&path, vec![b' '; RULES_BYTES_MAX + 1]).unwrap();
        assert!(check.read_file().unwrap_err().to_string().contains("larger than 16777216 bytes"));
        assert!(usage_error("rules load").contains("FILE"));
    }

    #[test]
    fn topics_default_to_all() {
        let topics = |line: &str| match request(line) {
            Request::Monitor(topics) => topics,
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(topics("monitor"), Topics::ALL);
        assert_eq!(topics("mon fl"), Topic::Flows.into());
        assert_eq!(topics("mon r neigh"), Topics { neighbors: true, ..Topic::Routes.into() });
        assert_eq!(topics("monitor log"), Topic::Log.into());
        assert_eq!(topics("monitor expect"), Topic::Expectations.into());
        assert!(usage_error("monitor weather").contains("none of flows"));
    }

    #[test]
    fn general_options_stand_anywhere() {
        let invocation = invocation("show flows -j -p tcp -n lab --control /run/r.sock").unwrap();
        assert!(invocation.json);
        assert_eq!(invocation.namespace.as_deref(), Some("lab"));
        assert_eq!(invocation.control, Address::Path("/run/r.sock".into()));
        assert_eq!(self::invocation("status").unwrap().control, Address::default());
        usage_error("status --control @");
    }
}
