//! Routers that learn: three in a ring, each with FRR's daemons beside whoever forwards.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{User, chown};
use tempfile::TempDir;

use crate::lab::{Lab, Plan, Process, Role, SECONDS_5, wait_until};
use crate::programs;

/// Where Debian's package `frr` puts its daemons.
const DAEMONS: &str = "/usr/lib/frr";
/// The routers of the ring.
pub const RING: [&str; 3] = ["a", "b", "c"];
/// The ports of each: towards its host, the next router, the router before.
pub const RING_PORTS: [&str; 3] = ["lan", "next", "before"];

/// A routing protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OSPF version 2, by `ospfd`; IPv4 only.
    Ospf,
    /// BGP between three autonomous systems, by `bgpd`; both families.
    Bgp,
}

impl Protocol {
    fn daemon(self) -> &'static str {
        match self {
            Self::Ospf => "ospfd",
            Self::Bgp => "bgpd",
        }
    }

    /// The name of the protocol in `ip route`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ospf => "ospf",
            Self::Bgp => "bgp",
        }
    }
}

/// Routers `a`, `b` and `c` in a ring, each with a host behind it (`ha`, `hb`, `hc`) in `10.2.N.0/24` and
/// `fd02:N::/64`, N from 1. The link from router N to the next is `10.3.N.0/24` and `fd03:N::/64`: `.1` its own end,
/// `.2` the next one's.
pub fn ring() -> Plan {
    let mut plan = Plan::new();
    for name in RING {
        plan = plan.station(name, Role::Router).station(&format!("h{name}"), Role::Host);
    }
    for (name, number) in RING.iter().zip(1..) {
        plan = plan
            .link(
                &format!("h{name}:eth0 10.2.{number}.2/24 fd02:{number}::2/64"),
                &format!("{name}:lan 10.2.{number}.1/24 fd02:{number}::1/64"),
            )
            .ip(&format!("h{name}"), &format!("route add default via 10.2.{number}.1"))
            .ip(&format!("h{name}"), &format!("route add default via fd02:{number}::1"));
    }
    for (place, name) in RING.iter().enumerate() {
        let (number, next) = (place + 1, RING[(place + 1) % RING.len()]);
        plan = plan.link(
            &format!("{name}:next 10.3.{number}.1/24 fd03:{number}::1/64"),
            &format!("{next}:before 10.3.{number}.2/24 fd03:{number}::2/64"),
        );
    }
    plan
}

/// FRR at one router. Dropping it ends its daemons.
#[derive(Debug)]
pub struct Frr {
    _zebra: Process,
    _daemon: Process,
    _folder: TempDir,
}

impl Frr {
    /// Whether FRR can run in the labs of this process. A test that needs it returns at once when not.
    ///
    /// # Panics
    /// When it cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&[&format!("{DAEMONS}/zebra")], Some("frr"))
    }

    /// Starts zebra and the daemon of `protocol` at the router of the [`ring`] with that place in [`RING`].
    ///
    /// # Errors
    /// FRR is not installed, or a daemon does not start.
    pub fn start(lab: &Lab, place: usize, protocol: Protocol) -> Result<Self> {
        let configuration = match protocol {
            Protocol::Ospf => ospf(place),
            Protocol::Bgp => bgp(place),
        };
        Self::start_configured(lab, RING[place], protocol, &configuration)
    }

    /// Starts zebra and the daemon of `protocol` at `station`, configured by these lines.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_configured(lab: &Lab, station: &str, protocol: Protocol, lines: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-frr-").tempdir()?;
        // The daemons give up being root for a user of their own, who has to reach their files.
        let user = User::from_name("frr")?.context("the package frr makes a user frr")?;
        chown(folder.path(), Some(user.uid), Some(user.gid))?;
        let zebra = start(lab, station, folder.path(), "zebra", "log stdout\n")?;
        let socket = folder.path().join("zserv.api");
        wait_until("zebra's socket", SECONDS_5, || socket.exists().then_some(()))
            .with_context(|| zebra.error_output())?;
        let daemon = start(lab, station, folder.path(), protocol.daemon(), lines)?;
        Ok(Self { _zebra: zebra, _daemon: daemon, _folder: folder })
    }
}

/// Starts one daemon in the foreground with files of its own in `folder`.
fn start(lab: &Lab, station: &str, folder: &Path, daemon: &str, configuration: &str) -> Result<Process> {
    let file = |name: &str| folder.join(name).display().to_string();
    let configured = file(&format!("{daemon}.conf"));
    fs::write(&configured, configuration)?;
    let words = [
        format!("{DAEMONS}/{daemon}"),
        "--config_file".to_owned(),
        configured,
        "--pid_file".to_owned(),
        file(&format!("{daemon}.pid")),
        "--socket".to_owned(),
        file("zserv.api"),
        "--vty_socket".to_owned(),
        file(""),
        "--vty_port".to_owned(),
        "0".to_owned(),
        "--log".to_owned(),
        "stdout".to_owned(),
    ];
    Process::start(lab.at(station), &words)
}

/// Hellos four times a second, dead after one; as quick as OSPF gets.
fn ospf(place: usize) -> String {
    let interface = |port: &str| {
        format!(
            "interface {port}\n ip ospf area 0\n ip ospf network point-to-point\n \
             ip ospf dead-interval minimal hello-multiplier 4\n!\n"
        )
    };
    format!(
        "{}{}interface lan\n ip ospf area 0\n ip ospf passive\n!\n\
         router ospf\n ospf router-id 10.2.{}.1\n timers throttle spf 0 50 200\n timers throttle lsa all 0\n!\n",
        interface("next"),
        interface("before"),
        place + 1
    )
}

fn bgp(place: usize) -> String {
    let own = place + 1;
    let (next, before) = ((place + 1) % 3 + 1, (place + 2) % 3 + 1);
    let neighbors = [
        (format!("10.3.{own}.2"), format!("fd03:{own}::2"), next),
        (format!("10.3.{before}.1"), format!("fd03:{before}::1"), before),
    ];
    let mut text = format!(
        "router bgp 6500{own}\n bgp router-id 10.2.{own}.1\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         timers bgp 1 3\n"
    );
    let mut six = String::new();
    for (v4, v6, number) in neighbors {
        for address in [&v4, &v6] {
            text += &format!(
                " neighbor {address} remote-as 6500{number}\n neighbor {address} timers connect 1\n \
                 neighbor {address} advertisement-interval 0\n"
            );
        }
        text += &format!(" no neighbor {v6} activate\n");
        six += &format!("  neighbor {v6} activate\n");
    }
    text + &format!(
        " address-family ipv4 unicast\n  network 10.2.{own}.0/24\n exit-address-family\n \
         address-family ipv6 unicast\n{six}  network fd02:{own}::/64\n exit-address-family\n!\n"
    )
}

/// The next hop of the route with which the kernel at `station` reaches `destination`, if FRR installed it there.
///
/// # Errors
/// `ip` failed.
pub fn learned_next_hop(
    lab: &Lab,
    station: &str,
    prefix: &str,
    protocol: Protocol,
) -> Result<Option<String>> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let line = format!("ip {family} -json route show {prefix} proto {}", protocol.name());
    let routes: serde_json::Value = serde_json::from_str(&lab.run(station, &line, SECONDS_5)?.ok()?)?;
    let route = &routes[0];
    let via = route["gateway"].as_str().or_else(|| route["nexthops"][0]["gateway"].as_str());
    Ok(via.map(str::to_owned))
}

/// How long a ring may take to learn all routes from nothing.
pub const CONVERGENCE: Duration = Duration::from_secs(40);
