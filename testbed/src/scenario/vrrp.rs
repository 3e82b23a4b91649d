//! A router between two pairs of routers that stand in for each other: keepalived on either side of it.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::lab::{Lab, Plan, Process, Role};
use crate::programs;

/// Where Debian's package `keepalived` puts it.
const PROGRAM: &str = "/usr/sbin/keepalived";
/// How long a pair may take to agree on a master.
const AGREE: Duration = Duration::from_secs(20);

/// A pair of routers with common addresses on two segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// `d1` and `d2`, between the client's segment 10 and segment 1 of the router.
    Down,
    /// `u1` and `u2`, between segment 2 of the router and the server's segment 20.
    Up,
}

impl Pair {
    /// Its members: the master by priority first.
    pub fn members(self) -> [&'static str; 2] {
        match self {
            Self::Down => ["d1", "d2"],
            Self::Up => ["u1", "u2"],
        }
    }

    /// The segments it has addresses on: that of the router in the middle first.
    fn segments(self) -> [u8; 2] {
        match self {
            Self::Down => [1, 10],
            Self::Up => [2, 20],
        }
    }

    /// The addresses of the pair that are the gateway of the router in the middle.
    pub fn gateways(self) -> [String; 2] {
        [format!("10.0.{}.254", self.segments()[0]), LINK_LOCAL.to_owned()]
    }

    /// The port of the router in the middle on that side.
    pub fn port(self) -> &'static str {
        match self {
            Self::Down => "r0",
            Self::Up => "r1",
        }
    }
}

/// The pairs' common link-local address, on each segment.
const LINK_LOCAL: &str = "fe80::254";
/// The ports of the router of [`between_pairs`].
pub const BETWEEN_PAIRS_PORTS: [&str; 2] = ["r0", "r1"];
/// The client's addresses, either family.
pub const CLIENT: [&str; 2] = ["10.0.10.2", "fd00:10::2"];
/// The server's addresses, either family.
pub const SERVER: [&str; 2] = ["10.0.20.2", "fd00:20::2"];

/// The router `r1` between two pairs; segments are bridges in the namespace `sw`:
///
/// ```text
/// c .2 ── 10.0.10.0/24 ──┬─ d1 .11 ─┬── 10.0.1.0/24 ── r0 │ r1 │ r1 ── 10.0.2.0/24 ──┬─ u1 .11 ─┬── 10.0.20.0/24 ── .2 s
///                        └─ d2 .12 ─┘                                                └─ u2 .12 ─┘
/// ```
///
/// IPv6 likewise in `fd00:N::/64`. Each pair has `10.0.N.254` and `fe80::254` on its segments in common, and those are
/// the gateways of the client, of the server, and of `r1`. Ports of the pairs are `s1`, `s10` and so on, and their far
/// ends at the bridges are called `d1-s1` and so on.
pub fn between_pairs() -> Plan {
    let plan = stations();
    let plan = plan.link(CLIENT_END, "sw:c-s10").link(SERVER_END, "sw:s-s20");
    pairs_between_ends(plan)
}

/// The client's end of its cable, with its addresses.
pub(super) const CLIENT_END: &str = "c:eth0 10.0.10.2/24 fd00:10::2/64";
/// The server's.
pub(super) const SERVER_END: &str = "s:eth0 10.0.20.2/24 fd00:20::2/64";

/// The stations besides the pairs.
pub(super) fn stations() -> Plan {
    let plan = ["c", "s"].into_iter().fold(Plan::new(), |plan, name| plan.station(name, Role::Host));
    plan.station("r1", Role::Router).station("sw", Role::Wire)
}

/// All of [`between_pairs`] but the cables of the client and the server, which end at `sw` as `c-s10` and `s-s20`.
pub(super) fn pairs_between_ends(plan: Plan) -> Plan {
    let mut bridges = String::new();
    let mut plan = plan
        .link("r1:r0 10.0.1.1/24 fd00:1::1/64", "sw:r1-s1")
        .link("r1:r1 10.0.2.1/24 fd00:2::1/64", "sw:r1-s2");
    let mut ends = vec![(10, "c-s10".to_owned()), (20, "s-s20".to_owned()), (1, "r1-s1".to_owned())];
    ends.push((2, "r1-s2".to_owned()));
    for pair in [Pair::Down, Pair::Up] {
        for (name, host) in pair.members().into_iter().zip([11, 12]) {
            plan = plan
                .station(name, Role::Router)
                .sysctl(name, "ipv4/ip_forward", "1")
                .sysctl(name, "ipv6/conf/all/forwarding", "1")
                .sysctl(name, "ipv4/conf/all/send_redirects", "0")
                // Or devices with virtual MACs would answer for each other's addresses.
                .sysctl(name, "ipv4/conf/all/arp_ignore", "1");
            for segment in pair.segments() {
                plan = plan
                    .link(
                        &format!("{name}:s{segment} 10.0.{segment}.{host}/24 fd00:{segment}::{host}/64"),
                        &format!("sw:{name}-s{segment}"),
                    )
                    .sysctl(name, &format!("ipv4/conf/s{segment}/send_redirects"), "0");
                ends.push((segment, format!("{name}-s{segment}")));
            }
            let middle = pair.segments()[0];
            plan = plan
                .ip(name, &format!("route add default via 10.0.{middle}.1"))
                .ip(name, &format!("route add default via fd00:{middle}::1"));
        }
        let [middle, far] = pair.segments();
        plan = plan
            .ip("r1", &format!("route add 10.0.{far}.0/24 via 10.0.{middle}.254"))
            .ip("r1", &format!("route add fd00:{far}::/64 via {LINK_LOCAL} dev {}", pair.port()));
    }
    for segment in [1, 2, 10, 20] {
        let _ = write!(bridges, "link add s{segment} type bridge mcast_snooping 0\nlink set s{segment} up\n");
    }
    for (segment, end) in ends {
        let _ = writeln!(bridges, "link set {end} master s{segment}");
    }
    let plan = bridges.lines().fold(plan, |plan, line| plan.ip("sw", line));
    plan.ip("c", "route add default via 10.0.10.254")
        .ip("c", &format!("route add default via {LINK_LOCAL} dev eth0"))
        .ip("s", "route add default via 10.0.20.254")
        .ip("s", &format!("route add default via {LINK_LOCAL} dev eth0"))
}

/// keepalived at both members of a pair. Dropping it ends them.
#[derive(Debug)]
pub struct Keepalived {
    pair: Pair,
    members: [Process; 2],
    _folder: TempDir,
}

impl Keepalived {
    /// Whether keepalived can run in the labs of this process. A test that needs it returns at once when not.
    ///
    /// # Panics
    /// When it cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&[PROGRAM], None)
    }

    /// Starts it at both, and waits until the first is master of all addresses. With `virtual_mac` the addresses bring
    /// their own MAC with them from one to the other; without, each member answers with its own.
    ///
    /// # Errors
    /// keepalived does not start, or they do not agree.
    pub fn start(lab: &Lab, pair: Pair, virtual_mac: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-vrrp-").tempdir()?;
        let start = |place: usize| {
            let name = pair.members()[place];
            let file = |kind: &str| folder.path().join(format!("{name}.{kind}")).display().to_string();
            fs::write(file("conf"), configuration(pair, place, virtual_mac))?;
            let (conf, pid, child) = (file("conf"), file("pid"), file("vrrp.pid"));
            let words = [PROGRAM, "--dont-fork", "--log-console", "--vrrp", "--use-file", &conf];
            let words = words.into_iter().chain(["--pid", &pid, "--vrrp_pid", &child]);
            Process::start(lab.at(name), &words.collect::<Vec<_>>())
        };
        let mut pair = Self { pair, members: [start(0)?, start(1)?], _folder: folder };
        pair.wait_master(0, 1)?;
        Ok(pair)
    }

    /// Waits until a member has become master for the given time since it was started.
    ///
    /// # Errors
    /// It does not within twenty seconds.
    pub fn wait_master(&mut self, place: usize, time: usize) -> Result<()> {
        let name = self.pair.members()[place];
        let said = &self.members[place];
        crate::lab::wait_until(&format!("{name} to be master"), AGREE, || {
            let said = said.output() + &said.error_output();
            (said.matches("Group(all) Syncing instances to MASTER state").count() >= time
                && FAMILIES.iter().all(|family| {
                    self.pair.segments().iter().all(|segment| {
                        said.matches(&format!("({}) Entering MASTER STATE", instance(family, *segment)))
                            .count()
                            >= time
                    })
                }))
            .then_some(())
        })
        .map_err(|error| error.context(said.output() + &said.error_output()))
    }

    /// Takes a member off its segments, as if its power had failed, or plugs it in again.
    ///
    /// # Errors
    /// `ip` refused.
    pub fn plug(&self, lab: &Lab, place: usize, in_again: bool) -> Result<()> {
        let (name, word) = (self.pair.members()[place], if in_again { "up" } else { "down" });
        let lines = self.pair.segments().map(|segment| format!("link set {name}-s{segment} {word}"));
        lab.at("sw").batch(&lines)
    }
}

/// Suffixes of the instances of either family.
const FAMILIES: [&str; 2] = ["four", "six"];

fn instance(family: &str, segment: u8) -> String {
    format!("s{segment}-{family}")
}

/// Ten advertisements a second, so that a member is missed after a third of one.
fn configuration(pair: Pair, place: usize, virtual_mac: bool) -> String {
    let (state, priority) = [("MASTER", 150), ("BACKUP", 100)][place];
    let mut text = "global_defs {\n vrrp_version 3\n vrrp_garp_master_delay 1\n}\n".to_owned();
    let mut group = String::new();
    for segment in pair.segments() {
        for family in FAMILIES {
            let name = instance(family, segment);
            let addresses = if family == "four" {
                format!("10.0.{segment}.254/24")
            } else {
                format!("{LINK_LOCAL}/64\n  fd00:{segment}::254/64")
            };
            let mac = if virtual_mac { " use_vmac\n vmac_xmit_base\n" } else { "" };
            let _ = write!(
                text,
                "vrrp_instance {name} {{\n state {state}\n interface s{segment}\n virtual_router_id {segment}\n \
                 priority {priority}\n advert_int 0.1\n accept\n{mac} virtual_ipaddress {{\n  {addresses}\n }}\n}}\n"
            );
            let _ = writeln!(group, "  {name}");
        }
    }
    let _ = write!(text, "vrrp_sync_group all {{\n group {{\n{group} }}\n}}\n");
    text
}
