//! What the scenes share: the same network with the kernel for a router and with routerd as its own host, and what is
//! seen of either, written down line by line.

use std::time::Duration;

use serde_json::Value;
use testbed::lab::{Lab, Plan};
use testbed::router::{Router, Running};

/// The kernel as a router that tracks connections.
pub const KERNEL: Router = Router::Kernel { tracking: true };

/// What was seen, in order.
#[derive(Debug, Default)]
pub struct Seen(Vec<String>);

impl Seen {
    /// Writes down what was seen of something.
    pub fn note(&mut self, what: &str, seen: impl std::fmt::Display) {
        self.0.push(format!("{what}: {seen}"));
    }

    /// Runs a program at a station to its end, and writes down what it printed, less what `plain` takes away, and how it
    /// ended.
    pub fn run(&mut self, lab: &Lab, station: &str, line: &str, plain: impl Fn(&str) -> String) {
        let said = lab.run(station, line, Duration::from_secs(20)).unwrap();
        let ended = said.status.code().unwrap_or(-1);
        self.note(&format!("{station}$ {line}"), format!("{} (ended with {ended})", plain(&said.output)));
    }

    /// Fetches what a web server has to say, by `curl` with further options.
    pub fn curl(&mut self, lab: &Lab, from: &str, options: &str, address: &str) {
        let line = format!("curl --silent --noproxy * --max-time 2 {options} http://{address}/");
        self.run(lab, from, &line, |said| said.trim().to_owned());
    }
}

/// What is seen in `scene` of a router at `r1` of `plan`, with these rules in force.
pub fn seen_of(
    plan: Plan,
    router: Router,
    ports: &[&str],
    rules: &str,
    scene: impl FnOnce(&Lab, &Running<'_>, &mut Seen),
) -> Vec<String> {
    let (plan, router) = router.settle(plan, "r1");
    let lab = Lab::build(&plan).unwrap();
    let running = router.start(&lab, "r1", ports).unwrap();
    if !rules.is_empty() {
        running.load_rules(rules).unwrap();
    }
    let mut seen = Seen::default();
    scene(&lab, &running, &mut seen);
    if !rules.is_empty() {
        seen.note("packets counted", format!("{:?}", counted(&router, &lab, &running)));
    }
    running.stop().unwrap();
    seen.0
}

/// Of each counting rule, in order, how many packets it has seen.
fn counted(router: &Router, lab: &Lab, running: &Running<'_>) -> Vec<u64> {
    let listing: Value = match router {
        Router::Kernel { .. } => {
            let listing = lab.at("r1").run("nft", &["--json", "list", "ruleset"]).unwrap();
            serde_json::from_str(&listing).unwrap()
        }
        Router::Routerd { .. } => running.ask("show rules").unwrap(),
    };
    let rows = listing["nftables"].as_array().unwrap_or_else(|| panic!("{listing}"));
    let expressions = rows.iter().filter(|row| row["rule"]["table"] != "tracking");
    let expressions = expressions.filter_map(|row| row["rule"]["expr"].as_array()).flatten();
    expressions.filter_map(|expression| expression["counter"]["packets"].as_u64()).collect()
}

/// Expects that what is seen of routerd as its own host (`--host HOST`) is what is seen of the kernel, line by line.
#[track_caller]
pub fn is_like_the_kernel(
    host: &str,
    plan: impl Fn() -> Plan,
    ports: &[&str],
    rules: &str,
    scene: impl Fn(&Lab, &Running<'_>, &mut Seen),
) {
    let kernel = seen_of(plan(), KERNEL, ports, rules, &scene);
    let routerd = seen_of(plan(), Router::routerd(&[]).unwrap().owned(host), ports, rules, &scene);
    let differing: Vec<_> =
        kernel.iter().zip(&routerd).filter(|(kernel, routerd)| kernel != routerd).collect();
    for (kernel, routerd) in &differing {
        eprintln!("kernel   {kernel}\nrouterd  {routerd}\n");
    }
    assert!(differing.is_empty(), "{} of {} lines differ", differing.len(), kernel.len());
    assert!(kernel.len() == routerd.len() && !kernel.is_empty());
}
