//! What routerd is told: arguments and `routerd.toml`, checked once into a [`ValidConfig`] that cannot be wrong.
//!
//! An argument beats the file. `docs/config.md` has every key; a test holds it against the code.

mod arguments;
mod bridge;
mod file;
mod flow_cache;
mod host;
mod host_kind;
mod last_hop;
mod port_spec;
mod tracking;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ctl::address::Address;
use fib::adjacency::PORTS_MAX;

pub use arguments::{Arguments, OnOff};
pub use flow_cache::FlowCacheConfig;
pub use host::HostConfig;
pub use host_kind::HostKind;
pub use port_spec::{PortSpec, PortSpecError};
pub use tracking::ConntrackConfig;

use crate::bridge::Description;
use crate::last_hop::Settings;
use crate::sysctl::Sysctl;
use file::File;
pub(crate) use file::bounded;

/// Most workers.
pub const WORKERS_MAX: u16 = 16;

/// Everything routerd was told, in force as it stands.
#[derive(Clone, Debug)]
pub struct ValidConfig {
    /// Ports in the order given: at least one, at most [`PORTS_MAX`], each name once.
    pub ports: Vec<PortSpec>,
    /// Who answers for the router's addresses.
    pub host: HostKind,
    /// What a router that is its own host has of addresses, routes and neighbors.
    pub own: HostConfig,
    /// Bridges in the order given; their ports are numbered behind [`Self::ports`].
    pub bridges: Vec<Description>,
    /// Worker threads, 1 to [`WORKERS_MAX`].
    pub workers: u16,
    /// Where the control socket listens.
    pub control: Address,
    /// The file of rules to start with, if any.
    pub rules: Option<PathBuf>,
    /// What is remembered of flows from the start.
    pub flow_cache: FlowCacheConfig,
    /// Whether packets for and from this host pass routerd even where no rule asks for it.
    pub handover: bool,
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// Where settings come from, with what the file overrides.
    pub sysctl: Sysctl,
    /// Limits and timeouts of connection tracking.
    pub conntrack: ConntrackConfig,
    /// Sizes of buffers and tables.
    pub buffers: BufferConfig,
    /// Who forwards packets of known flows without a walk.
    pub offload: OffloadConfig,
    /// Packets that programs judge.
    pub queue: QueueConfig,
    /// Which flows are answered where they came from.
    pub last_hop: Settings,
    /// Only check the configuration, and end.
    pub check: bool,
}

/// Whether there is a card in software ([`crate::offload::Card`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadConfig {
    /// Whether there is one.
    pub card: bool,
    /// Flows that it has room for.
    pub flows_max: usize,
}

/// How packets wait for programs that judge them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Seconds until a packet without a verdict is given up.
    pub answer_s: u64,
}

/// Sizes of buffers and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferConfig {
    /// Bytes of frames that may wait in a port's socket, in each direction.
    pub port_bytes: i32,
    /// Frames a worker owns.
    pub frames_max: usize,
    /// Neighbors known at one time.
    pub neighbors_max: usize,
}

/// A configuration that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A place in the file is wrong.
    #[error("{path}:{line}:{column}: {what}")]
    File {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// An argument, or arguments and file together, are wrong.
    #[error("{0}")]
    Whole(String),
}

impl ValidConfig {
    /// Reads the file the arguments name, if they do, and puts both together.
    ///
    /// # Errors
    /// The file cannot be read, or something in it or in the arguments is wrong; the first thing found is told.
    pub fn load(arguments: &Arguments) -> Result<Self, ConfigError> {
        match &arguments.config {
            None => Self::merge(arguments, File::default(), |_, what| ConfigError::Whole(what)),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| ConfigError::Read { path: path.display().to_string(), error })?;
                Self::parse(&text, path, arguments)
            }
        }
    }

    /// As [`Self::load`], with the file's text given; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path, arguments: &Arguments) -> Result<Self, ConfigError> {
        let at = |span: Option<Range<usize>>, what: String| place(text, path, span, what);
        let file: File = toml::from_str(text).map_err(|error| at(error.span(), one_line(error.message())))?;
        Self::merge(arguments, file, at)
    }

    fn merge(
        arguments: &Arguments,
        file: File,
        at: impl Fn(Option<Range<usize>>, String) -> ConfigError,
    ) -> Result<Self, ConfigError> {
        let ports = if arguments.ports.is_empty() {
            let mut ports = Vec::new();
            for text in &file.ports {
                let wrong = |what| at(Some(text.span()), what);
                let port = text.get_ref().parse().map_err(|error: PortSpecError| wrong(error.to_string()))?;
                add(&mut ports, port).map_err(wrong)?;
            }
            ports
        } else {
            let mut ports = Vec::new();
            for port in &arguments.ports {
                add(&mut ports, port.clone())
                    .map_err(|what| ConfigError::Whole(format!("--ports: {what}")))?;
            }
            ports
        };
        if ports.is_empty() {
            return Err(ConfigError::Whole(
                "no ports: name at least one, as in --ports eth0,eth1 or ports = [\"eth0\", \"eth1\"]"
                    .to_owned(),
            ));
        }

        let (said, own_span, own) = match file.host.map(|host| (host.span(), host.into_inner())) {
            None => (None, 0..0, host::Section::default()),
            Some((span, host::Value::Kind(kind))) => (Some((span, kind)), 0..0, host::Section::default()),
            Some((span, host::Value::Section(section))) => {
                let kind = section.kind.as_ref().map(|kind| (kind.span(), kind.get_ref().clone()));
                (kind, span, *section)
            }
        };
        let host: HostKind = match (&arguments.host, said) {
            (Some(host), _) => host.clone(),
            (None, Some((span, kind))) => kind.parse().map_err(|what| at(Some(span), what))?,
            (None, None) => HostKind::Kernel,
        };
        if let Some(device) = host.device()
            && ports.iter().any(|port| port.name() == device)
        {
            let what = format!("{device} cannot be both a port and the device of the host");
            return Err(ConfigError::Whole(what));
        }

        let bridges =
            bridge::check(file.bridge, &ports, &host).map_err(|(span, what)| at(Some(span), what))?;

        let names: Vec<&str> = ports.iter().map(PortSpec::name).collect();
        let names = [names, bridges.iter().map(|bridge| bridge.name.as_str()).collect()].concat();
        let own = own.read(own_span, &host, &names, &bridges).map_err(|(span, what)| at(span, what))?;

        let mut links = BTreeMap::new();
        for (name, section) in file.port {
            let is_bridge = bridges.iter().any(|bridge| bridge.name == name);
            if !is_bridge && !ports.iter().any(|port| port.name() == name) {
                let what = format!("[port.{name}] is a section for a port that routerd does not have");
                return Err(at(Some(section.span()), what));
            }
            links.insert(name, section.into_inner());
        }

        let conntrack: ConntrackConfig = file.conntrack.into();
        let names = ports.iter().map(PortSpec::name).chain(bridges.iter().map(|bridge| bridge.name.as_str()));
        let last_hop = match file.last_hop {
            None => Settings::default(),
            Some(section) => {
                let span = section.span();
                let settings =
                    section.into_inner().check(names).map_err(|(span, what)| at(Some(span), what))?;
                if settings.is_on() && !conntrack.enabled {
                    let what =
                        "last hops are remembered by flows, and [conntrack] enabled = false keeps none";
                    return Err(at(Some(span), what.to_owned()));
                }
                settings
            }
        };

        Ok(Self {
            ports,
            host,
            own,
            bridges,
            workers: arguments.workers.or(file.workers).unwrap_or(1),
            control: arguments.control.clone().or(file.control).unwrap_or_default(),
            rules: arguments.rules.clone().or(file.rules),
            flow_cache: file.flow_cache_section.merge(
                arguments.flow_cache,
                file.flow_cache,
                |span, what| at(Some(span), what),
            )?,
            handover: file.handover.unwrap_or(OnOff::Off) == OnOff::On,
            log: arguments.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned()),
            sysctl: Sysctl::new(file.sysctl, links),
            conntrack,
            buffers: file.buffers.into(),
            offload: file.offload.into(),
            queue: file.queue.into(),
            last_hop,
            check: arguments.check,
        })
    }

    /// The names of all ports by their ids: the devices that are ports, then bridges.
    pub fn all_port_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.port_names().chain(self.bridges.iter().map(|bridge| bridge.name.as_str()))
    }

    /// The names of the devices that are ports.
    pub fn port_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.ports.iter().map(PortSpec::name)
    }

    /// What of another configuration, read again on SIGHUP, can only be had by starting anew; `None` when the rest,
    /// settings and log filter, can be taken over.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Option<&'static str> {
        let differs = [
            ("ports", self.ports != new.ports),
            ("host", self.host != new.host),
            ("host.discovery", self.own.discovery != new.own.discovery),
            ("bridge", self.bridges != new.bridges),
            ("workers", self.workers != new.workers),
            ("control", self.control != new.control),
            ("conntrack", format!("{:?}", self.conntrack) != format!("{:?}", new.conntrack)),
            ("buffers", self.buffers != new.buffers),
            ("offload", self.offload != new.offload),
            ("queue", self.queue != new.queue),
        ];
        differs.into_iter().find_map(|(what, differs)| differs.then_some(what))
    }
}

impl Default for OffloadConfig {
    fn default() -> Self {
        Self { card: false, flows_max: 65_536 }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { answer_s: 10 }
    }
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { port_bytes: 16 << 20, frames_max: 4096, neighbors_max: 65_536 }
    }
}

/// Adds a port, unless nothing can be forwarded there, it is there already, or there are too many.
fn add(ports: &mut Vec<PortSpec>, port: PortSpec) -> Result<(), String> {
    if port.name() == "lo" {
        return Err("lo is the loopback device, nothing is forwarded there".to_owned());
    }
    if ports.iter().any(|known| known.name() == port.name()) {
        return Err(format!("port {} is named twice", port.name()));
    }
    if ports.len() == PORTS_MAX {
        return Err(format!("more than {PORTS_MAX} ports, the most there can be"));
    }
    ports.push(port);
    Ok(())
}

/// An error at a place in the file. Without a span the file as a whole is meant: line 1, column 1.
fn place(text: &str, path: &Path, span: Option<Range<usize>>, what: String) -> ConfigError {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError::File {
        path: path.display().to_string(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        what,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
