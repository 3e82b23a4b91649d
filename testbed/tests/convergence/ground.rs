//! What the scenes share: their two families, their lab, and what is read off routerd.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testbed::lab::{self, Lab};
use testbed::router::{Router, Running};
use testbed::scenario::steady::{Download, Ends};
use testbed::scenario::tap::Tap;
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

/// The addresses of one family in [`three_subnets`].
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What lines of `ip` that do not tell by themselves begin with.
    pub option: &'static str,
    /// The server, `h1`.
    pub server: &'static str,
    /// The client at `h2` that has two ways to it, with the length of its prefix.
    pub client: &'static str,
    pub prefix: &'static str,
    /// The next hops of the two ways, by the ports `r1` and `r3`.
    pub via: [&'static str; 2],
    /// The router's addresses on the two ways.
    pub router: [&'static str; 2],
}

pub const FAMILIES: [Family; 2] = [
    Family {
        option: "",
        server: "10.0.1.2",
        client: "10.9.9.9",
        prefix: "10.9.9.9/32",
        via: ["10.0.2.2", "10.0.4.2"],
        router: ["10.0.2.1", "10.0.4.1"],
    },
    Family {
        option: "-6 ",
        server: "fd00:1::2",
        client: "fd00:9::9",
        prefix: "fd00:9::9/128",
        via: ["fd00:2::2", "fd00:4::2"],
        router: ["fd00:2::1", "fd00:4::1"],
    },
];

/// The router's ports on the two ways.
pub const WAY_PORTS: [&str; 2] = ["r1", "r3"];

/// Runs `scene` with routerd between three subnets, with these lines of configuration.
pub fn with_routerd(config: &str, scene: impl FnOnce(&Lab, &mut Running<'_>)) {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&three_subnets()).unwrap();
    let router = Router::routerd(&[]).unwrap().configured(config);
    let mut routerd = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    scene(&lab, &mut routerd);
    routerd.stop().unwrap();
}

/// `h2` answers over its second link whatever way it is spoken to by, so that only one direction is at stake.
pub fn answers_go_the_second_way(lab: &Lab) {
    for Family { router, .. } in FAMILIES {
        lab.at("h2").ip(&format!("route replace default via {}", router[1])).unwrap();
    }
}

/// Begins a download from `h1` to the address of `h2` that has two ways to it.
pub fn download(lab: &Lab, family: &Family) -> Download {
    let ends = Ends {
        server: lab.at("h1"),
        at: family.server.parse().unwrap(),
        client: lab.at("h2"),
        from: family.client.parse().unwrap(),
    };
    Download::start(&ends).unwrap()
}

/// Taps at the far ends of the two ways.
pub fn taps(lab: &Lab, family: &Family) -> [Tap; 2] {
    let destination = family.client.parse().unwrap();
    ["eth0", "eth1"].map(|device| Tap::start(lab.at("h2"), device, destination).unwrap())
}

/// The row of the flow whose client has that TCP port.
pub fn flow(routerd: &Running<'_>, download: &Download) -> Value {
    let rows = routerd.ask(&format!("show flows -p tcp --sport {}", download.client_port())).unwrap();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    rows[0].clone()
}

/// How long the threads of a process have waited for a processor since they began, by the kernel's account: time that a
/// crowded machine took, and no one's fault.
pub fn waited_for_processor(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let waited = threads.filter_map(|thread| {
        let account = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        account.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}
/// Packets that may be counted already while their hits are not: a batch.
const UNDER_WAY: u64 = 64;

/// What a flow has cost, each way: packets that did not take its kept route, and renewals of that. Neither grows while
/// nothing is looked up for it.
pub fn asked(row: &Value) -> [(u64, u64); 2] {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number in {row}"));
    ["original", "reply"].map(|direction| {
        let (direction, route) = (&row[direction], &row[direction]["route"]);
        let missed = number(&direction["packets"]).saturating_sub(number(&route["hits"]));
        (if missed <= UNDER_WAY { 0 } else { missed }, number(&route["renewals"]))
    })
}
