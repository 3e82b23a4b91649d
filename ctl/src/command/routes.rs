//! Which routes a command line means, the packet that `route get` asks about, and what flows do when routes change.

use std::str::FromStr;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::words::{address, is_short_for, network};
use crate::message::{
    Action, Family, MaskedMark, Question, Request, RouteFilter, RoutePolicy, RoutePolicyRow, RouteQuery,
    TableFilter,
};
use crate::names;

const ROUTES_HELP: &str = "[table NAME|NUMBER|all] [PREFIX]; without a table all but `local`";

const ROUTE_HELP: &str = "\
[blackhole|unreachable|prohibit|throw] PREFIX|default [via [inet6] ADDRESS] [dev PORT] [onlink] \
[metric N] [table NAME|NUMBER] [proto NAME|NUMBER] [tos N] [src ADDRESS] [mtu BYTES], \
or several ways: [nexthop [via ADDRESS] [dev PORT] [weight N] [onlink]]…";

#[derive(Debug, Subcommand)]
pub(super) enum Route {
    /// DEST [from SRC] [iif PORT] [mark N]: where a packet would go
    Get {
        /// DEST [from SRC] [iif PORT] [mark N]
        #[arg(required = true, value_name = "DEST")]
        words: Vec<String>,
    },
    /// Make a route, as `ip route add`: `10.1.0.0/16 via 10.0.1.2 dev r0 metric 20`
    Add {
        #[arg(required = true, value_name = "ROUTE", help = ROUTE_HELP)]
        words: Vec<String>,
    },
    /// The same, in place of the route of the same prefix, table, metric and TOS, if there is one
    Replace {
        /// As of `add`
        #[arg(required = true, value_name = "ROUTE")]
        words: Vec<String>,
    },
    /// Delete the first route that agrees with what is said
    #[command(alias = "delete")]
    Del {
        /// As of `add`; what is not said may be anything
        #[arg(required = true, value_name = "ROUTE")]
        words: Vec<String>,
    },
    /// List routes, as `show routes` does
    #[command(alias = "show")]
    List(RouteOptions),
    /// What becomes of established flows when a better way turns up
    #[command(
        subcommand,
        infer_subcommands = true,
        disable_help_subcommand = true,
        arg_required_else_help = true
    )]
    Policy(Policy),
}

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// List the prefixes that have a policy of their own
    #[command(alias = "show")]
    List,
    /// Set the policy of a prefix
    #[command(alias = "set")]
    Add {
        /// Destinations
        #[arg(value_parser = network)]
        prefix: IpNet,
        /// keep: a flow keeps its way while that can be used; move: it takes the better one
        #[arg(value_name = "keep|move", value_parser = policy)]
        policy: RoutePolicy,
    },
    /// Leave a prefix without a policy of its own
    #[command(alias = "delete")]
    Del {
        /// Destinations
        #[arg(value_parser = network)]
        prefix: IpNet,
    },
}

#[derive(Debug, Args)]
pub(super) struct RouteOptions {
    /// IPv4 routes only
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,

    /// IPv6 routes only
    #[arg(short = '6')]
    ipv6: bool,

    #[arg(value_name = "SELECTOR", help = ROUTES_HELP)]
    words: Vec<String>,
}

impl RouteOptions {
    pub(super) fn into_filter(self) -> Result<RouteFilter, String> {
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

pub(super) fn route_query(words: &[String]) -> Result<RouteQuery, String> {
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

impl Policy {
    pub(super) fn into_request(self) -> Request {
        match self {
            Self::List => Request::Ask(Question::RoutePolicies),
            Self::Add { prefix, policy } => {
                Request::Do(Action::SetRoutePolicy(RoutePolicyRow { prefix, policy }))
            }
            Self::Del { prefix } => Request::Do(Action::UnsetRoutePolicy(prefix)),
        }
    }
}

fn policy(word: &str) -> Result<RoutePolicy, String> {
    [RoutePolicy::Keep, RoutePolicy::Move]
        .into_iter()
        .find(|policy| is_short_for(word, policy.name()))
        .ok_or_else(|| "it is keep or move".into())
}

fn table(word: &str) -> TableFilter {
    match word {
        "all" => TableFilter::All,
        name => TableFilter::Named(
            name.parse().map_or_else(|_| name.to_owned(), |number| names::table(number).into_owned()),
        ),
    }
}
