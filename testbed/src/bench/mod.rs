//! What a forwarder between two hosts achieves, measured on namespaces: delay, TCP throughput, small packets a second.
//!
//! Figures of different runs and machines say little; ratios within one run say much. Every bench therefore measures
//! all its subjects one after the other on the same lab.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::lab::{Lab, Plan, Role, SECONDS_5};
use crate::null::{Side, parse_side};

pub mod blast;
pub mod connections;
pub mod engine;
pub mod flow_cache;
pub mod forwarding;
pub mod ports;

/// How long each load lasts.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Echo requests for the delay.
    pub pings: u32,
    /// Seconds of each TCP transfer.
    pub transfer_s: u32,
    /// Time for each flood of small packets, and for opening connections.
    pub flood: Duration,
}

/// What was measured of one subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Mean time of an echo with nothing else going on, one every 2 ms, in microseconds.
    pub ping_us: f64,
    /// TCP throughput with the offloads a veth has by default, in Gbit/s.
    pub tcp_gbit_s: f64,
    /// TCP connections opened and closed, thousands a second.
    pub connections_k_s: f64,
    /// 64-byte packets of one flow that arrive, thousands a second.
    pub one_flow_kpps: f64,
    /// 64-byte packets of 10,000 flows that arrive, thousands a second.
    pub many_flows_kpps: f64,
}

/// Two hosts with a router between them. The kernel of `r1` has addresses and answers ARP; whether it forwards is
/// left to the bench.
pub fn plan() -> Plan {
    Plan::new()
        .station("h1", Role::Host)
        .station("r1", Role::Router)
        .station("h2", Role::Host)
        .link("h1:eth0 10.0.1.2/24", "r1:r0 10.0.1.1/24")
        .link("h2:eth0 10.0.2.2/24", "r1:r1 10.0.2.1/24")
        // A port of h1 is in use again only when the router has long forgotten its last connection.
        .sysctl("h1", "ipv4/ip_local_port_range", "1024 65535")
        .ip("h1", "route add default via 10.0.1.1")
        .ip("h2", "route add default via 10.0.2.1")
}

/// The two sides of `r1` in [`plan`], for a null forwarder.
///
/// # Panics
/// Never: the words are fixed.
pub fn sides() -> [Side; 2] {
    ["r0=02:00:00:00:01:02,02:00:00:00:01:01", "r1=02:00:00:00:02:02,02:00:00:00:02:01"]
        .map(|text| parse_side(text).expect("well written"))
}

/// Has the kernel of `r1` forward, or leaves transit to another and keeps the kernel from spending time on it.
///
/// # Errors
/// A setting or the guard is refused.
pub fn set_kernel_forwarding(lab: &Lab, forward: bool) -> Result<()> {
    let router = lab.at("r1");
    router.sysctl("ipv4/ip_forward", if forward { "1" } else { "0" })?;
    router.nft("table netdev bench-guard\ndelete table netdev bench-guard")?;
    if !forward {
        let chain = |port| {
            format!(
                "chain {port} {{ type filter hook ingress device \"{port}\" priority 0; fib daddr type unicast drop; }}"
            )
        };
        router.nft(&format!("table netdev bench-guard {{\n{}\n{}\n}}", chain("r0"), chain("r1")))?;
    }
    Ok(())
}

/// Measures whatever forwards in `r1`.
///
/// # Errors
/// A host cannot reach the other, or a tool is missing.
pub fn measure(lab: &Lab, effort: &Effort) -> Result<Measured> {
    lab.run("h1", "ping -n -c 1 -W 2 10.0.2.2", SECONDS_5)?.ok().context("nothing forwards")?;
    Ok(Measured {
        ping_us: ping(lab, effort)?,
        tcp_gbit_s: transfer(lab, effort)?,
        connections_k_s: connections::connect(lab, effort.flood)?,
        one_flow_kpps: blast::flood(lab, 1, effort.flood)?,
        many_flows_kpps: blast::flood(lab, 10_000, effort.flood)?,
    })
}

fn ping(lab: &Lab, effort: &Effort) -> Result<f64> {
    let line = format!("ping -n -q -i 0.002 -c {} 10.0.2.2", effort.pings);
    let said = lab.run("h1", &line, Duration::from_secs(60))?.ok()?;
    // rtt min/avg/max/mdev = 0.020/0.025/0.080/0.004 ms
    let figures =
        said.lines().find_map(|line| line.split_once(" = ").filter(|(name, _)| name.starts_with("rtt")));
    let average =
        figures.and_then(|(_, figures)| figures.split('/').nth(1)).context("ping told no average")?;
    Ok(average.parse::<f64>()? * 1000.0)
}

fn transfer(lab: &Lab, effort: &Effort) -> Result<f64> {
    let mut server = lab.start("h2", "iperf3 -s -1 --forceflush")?;
    server.wait_line("Server listening", SECONDS_5)?;
    let line = format!("iperf3 -c 10.0.2.2 -J -t {}", effort.transfer_s);
    let said = lab.run("h1", &line, Duration::from_secs(u64::from(effort.transfer_s) + 20))?.ok()?;
    server.finish(SECONDS_5)?;
    let report: serde_json::Value = serde_json::from_str(&said)?;
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 told no rate")?;
    Ok(bits / 1e9)
}

/// A table of subjects and their figures, the first one being what the others are compared with.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<(String, Measured)>,
}

impl Report {
    /// Adds a subject.
    pub fn push(&mut self, name: &str, measured: Measured) {
        self.rows.push((name.to_owned(), measured));
    }

    /// Adds a subject; says on standard error that it is done, since a bench takes its time.
    pub fn add(&mut self, name: &str, measured: Measured, began: Instant) {
        eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        self.push(name, measured);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((_, first)) = self.rows.first() else { return Ok(()) };
        write!(out, "{:<28} {:>9} {:>7}", "", "ping us", "more")?;
        for (name, _) in RATES {
            write!(out, "  {name:>12} {:>6}", "ratio")?;
        }
        writeln!(out)?;
        for (name, row) in &self.rows {
            write!(out, "{name:<28} {:>9.1} {:>+7.1}", row.ping_us, row.ping_us - first.ping_us)?;
            for (_, rate) in RATES {
                write!(out, "  {:>12.1} {:>6.2}", rate(row), rate(row) / rate(first))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// Head of a column, and the figure in it.
type Rate = (&'static str, fn(&Measured) -> f64);

/// The figures of which more is better.
const RATES: [Rate; 4] = [
    ("TCP Gbit/s", |row| row.tcp_gbit_s),
    ("TCP k conn/s", |row| row.connections_k_s),
    ("1 flow kpps", |row| row.one_flow_kpps),
    ("10k flows", |row| row.many_flows_kpps),
];
