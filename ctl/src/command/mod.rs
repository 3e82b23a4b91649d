//! routerctl's command line: words that may be shortened as with `ip`, filters as with `conntrack`.

mod flows;
mod own;
mod policy;
mod route_change;
mod routes;
mod rules;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::address::{Address, DEFAULT};
use crate::message::{Action, ChangeVerb, JournalQuery, MacFilter, Question, Request, Topic, Topics};
use crate::queue::Watch;
use flows::{FlowCache, FlowOptions, Flows, way_filter};
use own::{Address as OwnAddress, Neighbor, Queue};
pub(crate) use own::{read_address, read_neighbor};
use policy::Policy;
pub(crate) use policy::read_rule;
pub(crate) use route_change::read_route;
use routes::{Route, RouteOptions, route_query};
pub use rules::{FileError, RULES_BYTES_MAX};
use rules::{Rules, RulesOptions, read_later};
use words::is_short_for;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Whether the answer is printed as JSON.
    pub json: bool,
    /// Network namespace to enter first.
    pub namespace: Option<String>,
    /// Where routerd listens.
    pub control: Address,
    /// What is to be done.
    pub task: Task,
}

/// What a command line asks for, once routerd is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// This is sent, and the answer printed.
    Send(Request),
    /// A queue is bound, and its packets are printed.
    Watch(Watch),
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
    let task = match arguments.command {
        Command::Queue { what: Some(Queue::Watch(options)) } => Task::Watch(options.into()),
        command => Task::Send(command.into_request(arguments.json).map_err(usage)?),
    };
    Ok(Invocation { json: arguments.json, namespace: arguments.namespace, control: arguments.control, task })
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
    /// Add and delete own addresses, as `ip address`; shows them if nothing more is said
    #[command(infer_subcommands = true, disable_help_subcommand = true)]
    Address {
        #[command(subcommand)]
        what: Option<OwnAddress>,
    },
    /// Ask where a packet would go, change own routes as `ip route` does, or say whether flows follow their routes
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    Route(Route),
    /// Add and delete own policy rules, as `ip rule`; shows them if nothing more is said
    #[command(infer_subcommands = true, disable_help_subcommand = true)]
    Policy {
        #[command(subcommand)]
        what: Option<Policy>,
    },
    /// Set neighbors by hand, or have them forgotten, as `ip neighbor`; shows them if nothing more is said
    #[command(infer_subcommands = true, disable_help_subcommand = true, alias = "neighbour")]
    Neighbor {
        #[command(subcommand)]
        what: Option<Neighbor>,
    },
    /// Queues to programs that judge packets; shows them if nothing more is said
    #[command(infer_subcommands = true, disable_help_subcommand = true)]
    Queue {
        #[command(subcommand)]
        what: Option<Queue>,
    },
    /// Switch what is remembered of flows on or off, hold it, or have it forgotten; for all flows or for some
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    FlowCache(FlowCache),
    /// Delete flows, or have them look up again
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
    /// announced flows, what the flow cache does, what befalls the host, bridges, queues and last hops, or all of it
    Monitor {
        /// flows, routes, neighbors, log, expectations, flow-cache, host
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
    /// Flows, as `conntrack -L`, and what they remember
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
    /// How the flow cache is used, and what changes have asked of it
    FlowCache,
    /// The last changes of the routing state, and how many flows each moved
    Journal {
        /// How many, or `all`
        #[arg(value_name = "N|all", default_value = JOURNAL_ROWS, value_parser = journal_query)]
        query: JournalQuery,
    },
    /// Rules with their counters, as `nft list ruleset`
    Rules(RulesOptions),
    /// Bridges, their members and counters
    Bridges,
    /// Which Ethernet address is behind which port of a bridge, as `bridge fdb`
    Macs {
        /// Of this bridge only
        bridge: Option<String>,
    },
    /// Queues, who has bound them, and their counters
    Queues,
    /// Whom flows came from, where their replies go unrouted, and why not
    LastHops,
}

impl Command {
    fn into_request(self, json: bool) -> Result<Request, String> {
        Ok(match self {
            Self::Status => Request::Ask(Question::Status),
            Self::Show(show) => Request::Ask(show.into_question(json)?),
            Self::Route(Route::Get { words }) => Request::Ask(Question::RouteGet(route_query(&words)?)),
            Self::Route(Route::Policy(policy)) => policy.into_request(),
            Self::Route(Route::List(options)) => Request::Ask(Question::Routes(options.into_filter()?)),
            Self::Route(Route::Add { words }) => route_change(ChangeVerb::Add, &words)?,
            Self::Route(Route::Replace { words }) => route_change(ChangeVerb::Replace, &words)?,
            Self::Route(Route::Del { words }) => route_change(ChangeVerb::Del, &words)?,
            Self::Policy { what } => {
                what.map_or(Ok(Request::Ask(Question::PolicyRules)), Policy::into_request)?
            }
            Self::Address { what } => {
                what.map_or(Ok(Request::Ask(Question::Addresses)), OwnAddress::into_request)?
            }
            Self::Neighbor { what } => {
                what.map_or(Ok(Request::Ask(Question::Neighbors)), Neighbor::into_request)?
            }
            // Watching is no request.
            Self::Queue { .. } => Request::Ask(Question::Queues),
            Self::FlowCache(action) => Request::Do(Action::FlowCache(Box::new(action.into_change()?))),
            Self::Flows(Flows::Flush) => Request::Do(Action::DeleteFlows(Box::default())),
            Self::Flows(Flows::Delete(options)) => {
                let filter = options.into_filter()?;
                if filter.is_everything() {
                    return Err("say which flows to delete, or `flows flush` for all of them".into());
                }
                Request::Do(Action::DeleteFlows(Box::new(filter)))
            }
            Self::Flows(Flows::Invalidate { words }) => {
                Request::Do(Action::InvalidateFlows(Box::new(way_filter(&words)?)))
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
            Self::Journal { query } => Question::Journal(query),
            Self::Rules(options) => Question::Rules(options.into_filter(json)?),
            Self::Bridges => Question::Bridges,
            Self::Macs { bridge } => Question::Macs(MacFilter { bridge }),
            Self::Queues => Question::Queues,
            Self::LastHops => Question::LastHops,
        })
    }
}

fn route_change(verb: ChangeVerb, words: &[String]) -> Result<Request, String> {
    Ok(Request::Do(Action::ChangeRoute(Box::new(read_route(verb, words)?))))
}

/// How many changes `show journal` shows if nothing is said.
const JOURNAL_ROWS: &str = "32";

fn journal_query(word: &str) -> Result<JournalQuery, String> {
    if is_short_for(word, "all") {
        return Ok(JournalQuery::default());
    }
    let count = word.parse().map_err(|_| "it is a number, or `all`".to_owned())?;
    Ok(JournalQuery { changes_max: Some(count) })
}

fn topics(words: &[String]) -> Result<Topics, String> {
    const TOPICS: [(&str, Topic); 8] = [
        ("flows", Topic::Flows),
        ("routes", Topic::Routes),
        ("neighbors", Topic::Neighbors),
        ("neighbours", Topic::Neighbors),
        ("log", Topic::Log),
        ("expectations", Topic::Expectations),
        ("flow-cache", Topic::FlowCache),
        ("host", Topic::Host),
    ];
    let mut topics = if words.is_empty() { Topics::ALL } else { Topics::NONE };
    for word in words {
        if is_short_for(word, "all") {
            topics = Topics::ALL;
            continue;
        }
        let Some((_, topic)) = TOPICS.iter().find(|(whole, _)| is_short_for(word, whole)) else {
            return Err(format!(
                "`{word}` is none of flows, routes, neighbors, log, expectations, flow-cache, host, all"
            ));
        };
        topics.add(*topic);
    }
    Ok(topics)
}
