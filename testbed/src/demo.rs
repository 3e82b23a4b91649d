//! The demo: a network of its own, traffic through routerd, and what a person wants to see of it.

use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::lab::{Lab, SECONDS_5, entered, wait_until};
use crate::programs;
use crate::router::{Router, Running};
use crate::scenario::traffic::{Carried, Stream, datagrams};
use crate::scenario::{THREE_SUBNETS_PORTS, clients, three_subnets};

/// How to run the demo.
#[derive(Args)]
pub struct Options {
    /// Leave the network standing until Ctrl-C, to play on.
    #[arg(long)]
    keep: bool,
    /// Who forwards.
    #[arg(long, value_enum, default_value = "routerd")]
    router: Which,
    /// Who answers for the router's addresses: its kernel, or routerd itself, with a TUN device to the kernel's programs or
    /// without.
    #[arg(long, value_enum, default_value = "kernel")]
    host: Host,
    /// How long each TCP transfer runs, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(1..=60))]
    time: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Routerd,
    Kernel,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Host {
    Kernel,
    Tun,
    None,
}

impl Host {
    const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Tun => "tun",
            Self::None => "none",
        }
    }
}

const DRAWING: &str = "
   h1  10.0.1.2 ───────── r0 ┌──────────┐ r1 ───────── 10.0.2.2 ┐
       fd00:1::2             │          │             fd00:2::2 │  h2   10.9.9.9
                             │ ROUTER__ │                       │       fd00:9::9
   h3  10.0.3.2 ───────── r2 │          │ r3 ───────── 10.0.4.2 ┘
       fd00:3::2             └──────────┘             fd00:4::2
";

/// Pings that are sent from h1.
const PINGS: [(&str, &str); 4] =
    [("h2", "10.0.2.2"), ("h2", "fd00:2::2"), ("h3", "10.0.3.2"), ("h3", "fd00:3::2")];
/// Pings that routerd itself answers, where it is its own host.
const ROUTER_PINGS: [(&str, &str); 2] = [("r1", "10.0.1.1"), ("r1", "fd00:1::1")];
/// Addresses of h2 that are reached over either of its links, with the routes of later and of before.
const MOVING: [(&str, &str, &str); 2] = [
    ("10.9.9.9", "10.9.9.9/32 via 10.0.4.2", "10.0.4.2"),
    ("fd00:9::9", "fd00:9::9/128 via fd00:4::2", "fd00:4::2"),
];
/// Datagrams of a UDP stream, and how many a second.
const DATAGRAMS: (u32, u32) = (4000, 4000);
/// A route is changed once so many bytes have come.
const MIDDLE: u64 = 20 << 20;

/// Rules in nft's language, for the kernel and for routerd alike.
const RULES: &str = "\
table inet demo {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related counter accept
		iifname \"r0\" counter accept comment \"h1 may begin\"
		counter reject
	}
}
";

/// What hides h1 behind the router.
const TRANSLATION: &str = "\
table inet demo {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname { \"r1\", \"r3\" } meta nfproto ipv4 counter masquerade
	}
}
";

/// Builds the network, sends, shows, and takes it down.
///
/// # Errors
/// The lab cannot be built, routerd does not start, or traffic does not come through.
pub fn run(options: &Options) -> Result<()> {
    let router = match (options.router, options.host) {
        (Which::Kernel, Host::Kernel) => Router::Kernel { tracking: true },
        (Which::Kernel, _) => bail!("--host is for routerd: the kernel is always its own host"),
        (Which::Routerd, Host::Kernel) => Router::routerd(&[])?,
        (Which::Routerd, host) => Router::routerd(&[])?.owned(host.word()),
    };
    let (plan, router) = router.settle(three_subnets(), "r1");
    let lab = Lab::build(&plan)?;
    println!("A network of its own, in namespaces; nothing else on this machine is touched.");
    println!("{}", DRAWING.replace("ROUTER__", &format!("{:^8}", router.name())));
    let running = router.start(&lab, "r1", &THREE_SUBNETS_PORTS)?;
    println!("{} forwards between {}.\n", router.name(), THREE_SUBNETS_PORTS.join(", "));

    pings(&lab, &PINGS)?;
    if options.host != Host::Kernel {
        pings(&lab, &ROUTER_PINGS)?;
    }
    for (address, change, via) in MOVING {
        let replace = || match options.host {
            Host::Kernel => lab.at("r1").ip(&format!("route replace {change}")).map(drop),
            Host::Tun | Host::None => running.tell(&format!("route replace {change}")).map(drop),
        };
        transfer(&lab, address, replace, via, Duration::from_secs(options.time))?;
    }
    for address in ["10.0.3.2", "fd00:3::2"] {
        let arrived = datagrams(lab.at("h1"), lab.at("h3"), address.parse()?, DATAGRAMS.0, DATAGRAMS.1)?;
        println!("  udp    h1 → h3  {address:10}  {arrived} of {} datagrams of 1200 bytes", DATAGRAMS.0);
        ensure!(arrived > DATAGRAMS.0 * 9 / 10, "most datagrams to {address} were lost");
    }
    if options.router == Which::Routerd {
        show_flows(&running)?;
    }
    if options.host != Host::Kernel {
        show_host(&running)?;
    }
    with_rules(&lab, &running, options)?;
    if options.keep {
        play_on(&lab, options)?;
    } else {
        println!("\nTo play on in this network: run it again with --keep.");
    }
    match options.router {
        Which::Routerd => running.stop(),
        Which::Kernel => Ok(()),
    }
}

fn pings(lab: &Lab, pings: &[(&str, &str)]) -> Result<()> {
    for (host, address) in pings {
        let said = lab.run("h1", &format!("ping -n -c 5 -i 0.05 -w 3 {address}"), SECONDS_5)?;
        let received = clients::received(&said.output).with_context(|| said.error.clone())?;
        let times = said.output.lines().find_map(|line| line.split_once(" = ")?.1.split('/').nth(1));
        println!(
            "  ping   h1 → {host}  {address:10}  {received} of 5 answered, {} ms on average",
            times.unwrap_or("?")
        );
        ensure!(received > 0, "{host} does not answer");
    }
    Ok(())
}

/// A transfer during which the router's route to its target changes.
fn transfer(
    lab: &Lab,
    address: &str,
    change: impl FnOnce() -> Result<()>,
    via: &str,
    time: Duration,
) -> Result<()> {
    let target: IpAddr = address.parse()?;
    let longest = time + 2 * SECONDS_5;
    let stream = Stream::start(lab.at("h1"), lab.at("h2"), target, longest)?;
    wait_until("the first bytes of a transfer", SECONDS_5, || (stream.received() > MIDDLE).then_some(()))?;
    std::thread::sleep(time / 2);
    change()?;
    let before = stream.received();
    std::thread::sleep(time / 2);
    wait_until("bytes over the new route", SECONDS_5, || {
        (stream.received() > before + MIDDLE).then_some(())
    })?;
    let carried: Carried = stream.finish()?;
    println!(
        "  tcp    h1 → h2  {address:10}  {:.1} Gbit/s over {:.1} s; in the middle its route changed to go via {via}",
        carried.gigabits(),
        carried.time.as_secs_f64()
    );
    Ok(())
}

fn show_flows(running: &Running<'_>) -> Result<()> {
    println!("\nWhat routerd keeps of it (routerctl show flows):\n");
    for line in running.tell("show flows")?.lines() {
        println!("  {line}");
    }
    let counters = running.ask("show counters")?;
    let count =
        |name: &str| counters[name].as_u64().with_context(|| format!("no counter {name} in {counters}"));
    let (lookups, hits): (u64, u64) = (count("fib_lookups")?, count("flow_cache_hits")?);
    println!("\n  {} frames were forwarded.", count("forwarded")?);
    println!("  {hits} times the route was taken from the flow, {lookups} times it was looked up:");
    println!("  once for each flow and direction, and again after the routes had changed.");
    Ok(())
}

/// What a router that is its own host knows of itself.
fn show_host(running: &Running<'_>) -> Result<()> {
    for what in ["addresses", "neighbors"] {
        println!("\nThe router's own {what} (routerctl show {what}):\n");
        for line in running.tell(&format!("show {what}"))?.lines() {
            println!("  {line}");
        }
    }
    Ok(())
}

/// Loads rules, and shows what becomes of pings both ways.
fn with_rules(lab: &Lab, running: &Running<'_>, options: &Options) -> Result<()> {
    let router = options.router;
    // A router that is its own host sees all packets for it anyway.
    let translates = router == Which::Kernel || options.host != Host::Kernel || may_make_devices();
    let rules = if translates { format!("{RULES}{TRANSLATION}") } else { RULES.to_owned() };
    match router {
        Which::Kernel => lab.at("r1").nft(&rules)?,
        Which::Routerd => {
            running.load_rules(&rules)?;
            // A flow keeps what was decided with its first packet; the one that is shown is to begin under the rules.
            running.tell("flows delete -p icmp")?;
        }
    }
    let hidden = if translates { ", and to h2 h1 is hidden" } else { "" };
    println!("\nNow with rules in nft's language: h1 may begin, h2 and h3 may only answer{hidden}.\n");
    for (from, to, address, answered) in [("h1", "h2", "10.0.2.2", 5), ("h2", "h1", "10.0.1.2", 0)] {
        let said = lab.run(from, &format!("ping -n -c 5 -i 0.05 -w 3 {address}"), SECONDS_5)?;
        let received = clients::received(&said.output).with_context(|| said.error.clone())?;
        let refused = said.output.matches("Unreachable").count();
        println!("  ping   {from} → {to}  {address:10}  {received} of 5 answered, {refused} refused");
        ensure!(received == answered, "{answered} answers were expected");
    }
    if router == Which::Routerd {
        println!("\nWhat the rules have counted, and the ping's flow (routerctl show rules, show flows):\n");
        for line in running.tell("show rules")?.lines() {
            println!("  {line}");
        }
        let flows = running.tell("show flows -p icmp -d 10.0.2.2")?;
        println!("\n  {}", flows.lines().next().context("the pings have left no flow")?);
        if !translates {
            println!(
                "\nNothing is translated: routerd needs a device for that, and {TUN} is closed to this user."
            );
        }
    }
    Ok(())
}

/// Where TUN and TAP devices are made.
const TUN: &str = "/dev/net/tun";

/// Whether this user may make devices; not every system lets all of them.
fn may_make_devices() -> bool {
    File::options().read(true).write(true).open(TUN).is_ok()
}

/// Says how to go on by hand, and waits until the person has had enough.
fn play_on(lab: &Lab, options: &Options) -> Result<()> {
    println!("\nThe network stands until Ctrl-C. In another terminal:\n");
    if entered() {
        println!("  nsenter --preserve-credentials --user --mount --net --target {}", std::process::id());
    }
    let [h1, h2, r1] = ["h1", "h2", "r1"].map(|station| lab.at(station).name());
    println!("  ip netns exec {h1} ping 10.9.9.9");
    println!("  ip netns exec {h2} tcpdump -ni any");
    if options.host == Host::Kernel {
        println!("  ip netns exec {r1} ip route replace 10.9.9.9 via 10.0.2.2");
    }
    if options.router == Which::Routerd {
        let routerctl = programs::program("routerctl")?;
        if options.host != Host::Kernel {
            println!("  {} -n {r1} route replace 10.9.9.9 via 10.0.2.2", shortened(&routerctl));
        }
        for command in
            ["show rules -a", "show flows", "show routes", "route get 10.9.9.9", "monitor flows log"]
        {
            println!("  {} -n {r1} {command}", shortened(&routerctl));
        }
    }
    loop {
        std::thread::park();
    }
}

/// The path, from here if that is shorter.
fn shortened(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
