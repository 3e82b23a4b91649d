//! routerd's command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ctl::address::Address;
use serde::Deserialize;

use super::{HostKind, PortSpec, WORKERS_MAX};

/// A software router: forwards between its ports what the kernel's addresses, routes and neighbors say.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "routerd", version)]
pub struct Arguments {
    /// Devices to forward between, `tun:NAME` for a TUN device; separated by commas
    #[arg(long, value_name = "PORT,...", value_delimiter = ',')]
    pub ports: Vec<PortSpec>,

    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Rules in nft's language; carried out before the first packet, and again in place of all others on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Who owns addresses and neighbors: kernel, or this router, with (tun) or without (none) the kernel's sockets
    /// behind a TUN device (default: kernel)
    #[arg(long, value_name = "kernel|tun[:NAME]|none")]
    pub host: Option<HostKind>,

    /// Worker threads, 1 to 16 (default: 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub workers: Option<u16>,

    /// Control socket, a path or @NAME (abstract) (default: @routerd)
    #[arg(long, value_name = "PATH|@NAME")]
    pub control: Option<Address>,

    /// Whether flows remember routes and verdicts, all kinds at once (default: on)
    #[arg(long, value_name = "on|off")]
    pub flow_cache: Option<OnOff>,

    /// What is logged: error, warn, info, debug, trace, or by module as in router::mirror=debug (default: info)
    #[arg(long, value_name = "FILTER", value_parser = log_filter)]
    pub log: Option<String>,

    /// Check arguments and configuration, and end
    #[arg(long)]
    pub check: bool,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// A filter that tracing understands.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is no log filter: {error}"))
}
