//! Which flows a command line means, and what is done to them.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::words::{address, is_short_for, network};
use crate::message::{
    Family, FlowCacheAction, FlowCacheChange, FlowCacheKind, FlowFilter, FlowStatusFilter, MacError,
    MaskedMark, WayFilter,
};
use crate::names;

#[derive(Debug, Subcommand)]
pub(super) enum FlowCache {
    /// Flows keep what is found out of them
    On(Box<FlowCacheOptions>),
    /// Every packet asks
    Off(Box<FlowCacheOptions>),
    /// Kept routes are trusted whatever changes
    Hold(Box<FlowCacheOptions>),
    /// What is kept is forgotten once
    Flush(Box<FlowCacheOptions>),
}

#[derive(Debug, Args)]
pub(super) struct FlowCacheOptions {
    /// route, verdict, negative, untracked; all that can be meant if none is named
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,

    #[command(flatten)]
    filter: FlowOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum Flows {
    /// Delete all flows
    Flush,
    /// Delete the flows that match
    Delete(Box<FlowOptions>),
    /// Have flows look up again with their next packet: those that go via ADDRESS, dev PORT, to prefix PREFIX, to
    /// mac MAC
    Invalidate {
        /// via ADDRESS, dev PORT, prefix PREFIX, mac MAC; several must all agree
        #[arg(required = true, value_name = "SELECTOR")]
        words: Vec<String>,
    },
}

/// Filters, named as in conntrack(8). Addresses may be prefixes.
#[derive(Debug, Default, Args)]
pub(super) struct FlowOptions {
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

impl FlowCache {
    pub(super) fn into_change(self) -> Result<FlowCacheChange, String> {
        let (action, options) = match self {
            Self::On(options) => (FlowCacheAction::On, options),
            Self::Off(options) => (FlowCacheAction::Off, options),
            Self::Hold(options) => (FlowCacheAction::Hold, options),
            Self::Flush(options) => (FlowCacheAction::Flush, options),
        };
        let FlowCacheOptions { kinds: words, filter } = *options;
        let mut kinds = BTreeSet::new();
        for word in &words {
            let meant = FlowCacheKind::ALL.into_iter().find(|kind| is_short_for(word, kind.name()));
            let wrong = || format!("`{word}` is none of route, verdict, negative, untracked");
            kinds.insert(meant.ok_or_else(wrong)?);
        }
        let change = FlowCacheChange { action, kinds, filter: filter.into_filter()? };
        change.check().map_err(|error| error.to_string())?;
        Ok(change)
    }
}

impl FlowOptions {
    pub(super) fn into_filter(self) -> Result<FlowFilter, String> {
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

/// Reads what `flows invalidate` names.
pub(super) fn way_filter(words: &[String]) -> Result<WayFilter, String> {
    let mut filter = WayFilter::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
        let again = if is_short_for(word, "via") {
            filter.via.replace(address(value)?).is_some()
        } else if is_short_for(word, "dev") {
            filter.port.replace(value.into()).is_some()
        } else if is_short_for(word, "prefix") {
            filter.prefix.replace(network(value)?).is_some()
        } else if is_short_for(word, "mac") {
            filter.mac.replace(value.parse().map_err(|error: MacError| error.to_string())?).is_some()
        } else {
            return Err(format!("`{word}` is none of via, dev, prefix, mac"));
        };
        if again {
            return Err(format!("`{word}` is said twice"));
        }
    }
    Ok(filter)
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
