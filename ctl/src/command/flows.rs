//! Which flows a command line means, and what is done to them.

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::words::network;
use crate::message::{Family, FlowFilter, FlowStatusFilter, MaskedMark};
use crate::names;

#[derive(Debug, Subcommand)]
pub(super) enum FlowCache {
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
pub(super) enum Flows {
    /// Delete all flows
    Flush,
    /// Delete the flows that match
    Delete(Box<FlowOptions>),
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
