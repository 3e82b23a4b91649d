//! The tables of an own host against the kernel's: the same addresses and routes said to both mean the same.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ctl::lines;
use fib::adjacency::PortId;
use fib::change::Change;
use fib::writer::Writer;
use proptest::prelude::*;
use router::host::spoken;
use router::host::tables::{OwnAddress, OwnTables, Phase, Seat, Setup};
use router::mirror::Mirror;
use router::sysctl::Sysctl;
use support::{in_namespace, ip, run};

/// How long the kernel may take to give its links addresses.
const PATIENCE: Duration = Duration::from_secs(20);

const PORTS: [&str; 2] = ["e0", "e1"];

/// Addresses that may come and go.
const ADDRESSES: [&str; 14] = [
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.3/24",
    "10.0.0.1/16",
    "10.0.0.2/16",
    "10.0.1.1/31",
    "10.0.2.1/32",
    "192.168.0.255/24",
    "fd00::1/64",
    "fd00::2/64",
    "fd00::3/48",
    "fd01::1/128",
    "fd02::/64",
    "fd03::1/127",
];

/// Routes that are said at the end; what they lead by may be there or not.
const ROUTES: [&str; 14] = [
    "198.51.100.0/24 via 10.0.0.9",
    "198.51.100.0/24 via 10.0.0.9 metric 7",
    "198.51.101.0/24 dev e1",
    "198.51.102.0/24 via 10.0.0.9 dev e0",
    "198.51.103.0/24 via 10.0.0.9 dev e1 onlink",
    "198.51.104.0/24 nexthop via 10.0.0.9 weight 2 nexthop via 10.0.1.0",
    "198.51.105.0/24 via 198.51.101.7",
    "198.51.106.0/24 via 192.168.0.9 src 10.0.2.1",
    "198.51.107.0/24 via inet6 fe80::9 dev e0",
    "blackhole 198.51.108.0/24",
    "10.0.0.0/24 via 192.168.0.9",
    "fd10::/64 via fd00::9",
    "fd11::/64 via fe80::9 dev e1",
    "prohibit fd12::/64",
];

#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Del(usize, usize),
    Down(usize),
}

/// On which port the address of this number is, where no subnet is to be on two.
fn apart(address: usize) -> usize {
    usize::from(!(ADDRESSES[address].starts_with("10.0.0.") || ADDRESSES[address].starts_with("fd00:")))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        5 => (0..ADDRESSES.len(), 0..2_usize).prop_map(|(address, port)| Step::Add(address, port)),
        2 => (0..ADDRESSES.len(), 0..2_usize).prop_map(|(address, port)| Step::Del(address, port)),
        1 => (0..2_usize).prop_map(Step::Down),
    ];
    (prop::collection::vec(one, 1..16), any::<bool>()).prop_map(|(steps, is_apart)| {
        let one = |step| match step {
            Step::Add(address, _) if is_apart => Step::Add(address, apart(address)),
            Step::Del(address, _) if is_apart => Step::Del(address, apart(address)),
            other => other,
        };
        steps.into_iter().map(one).collect()
    })
}

/// What a routing state holds of the ports and the loopback device, in words.
#[derive(Debug, Default, PartialEq)]
struct Held {
    addresses: BTreeSet<String>,
    routes: BTreeSet<String>,
}

fn held(writer: &Writer) -> Held {
    let names: BTreeMap<_, _> = writer.links().map(|row| (row.link.index, row.link.name.clone())).collect();
    let is_ours = |name: &str| name == "lo" || PORTS.contains(&name);
    let addresses = writer.addresses().filter(|address| is_ours(&names[&address.link]));
    let routes = writer.routes(None).filter(|row| row.next_hops.iter().all(|hop| is_ours(&hop.link_name)));
    Held {
        addresses: addresses.map(|address| format!("{address:?}")).collect(),
        // Who said it is another matter.
        routes: routes.map(|row| format!("{:?}", fib::writer::RouteRow { protocol: 0, ..row })).collect(),
    }
}

/// The kernel's picture as it is now.
fn picture() -> Vec<Change> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut mirror = Mirror::start(Sysctl::default()).expect("root may watch");
        let mut all = Vec::new();
        while !all.contains(&Change::DumpEnd) {
            all.extend(mirror.changes.recv().await.expect("the mirror runs"));
        }
        all
    })
}

fn writer() -> Writer {
    Writer::new(PORTS.map(str::to_owned).to_vec(), 64)
}

/// Says something to the kernel; whether it agrees.
fn kernel_agrees(line: &str) -> bool {
    run("ip", line, "").status.success()
}

fn compare(steps: &[Step]) {
    for (key, value) in [
        ("ipv4/conf/all/promote_secondaries", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        ("ipv6/conf/all/keep_addr_on_down", "1"),
        ("ipv6/conf/default/keep_addr_on_down", "1"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ] {
        std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap();
    }
    for port in PORTS {
        ip(&format!("link add {port} type veth peer name {port}p"));
        ip(&format!("link set {port} up"));
        ip(&format!("link set {port}p up"));
    }
    let mut tables = OwnTables::new(Setup {
        ports: PORTS.map(|name| Seat::Device(name.to_owned())).to_vec(),
        ..Setup::default()
    });
    let mut own = writer();
    own.apply(tables.take(picture()));
    for step in steps {
        match *step {
            Step::Add(address, port) => {
                let line = format!("{} dev {}", ADDRESSES[address], PORTS[port]);
                let change = lines::address(&format!("{line} nodad")).unwrap();
                let said = tables.add_address(spoken::address(&change, &tables).unwrap());
                assert_eq!(said.is_ok(), kernel_agrees(&format!("address add {line}")), "{line}: {said:?}");
                own.apply(said.unwrap_or_default());
            }
            Step::Del(address, port) => {
                let net = ADDRESSES[address].parse().unwrap();
                let said = tables.remove_address(PortId(port as u16), net);
                let line = format!("address del {net} dev {}", PORTS[port]);
                assert_eq!(said.is_ok(), kernel_agrees(&line), "{line}: {said:?}");
                own.apply(said.unwrap_or_default());
            }
            Step::Down(port) => {
                for state in ["down", "up"] {
                    ip(&format!("link set {} {state}", PORTS[port]));
                    own.apply(tables.take(picture()));
                }
            }
        }
    }
    agree(&mut tables, &mut own);
    let all = tables.wanted().addresses();
    let is_shared = |one: &OwnAddress| {
        all.iter().any(|other| other.port != one.port && other.net.contains(&one.net.trunc().addr()))
    };
    if all.iter().any(is_shared) {
        // Which of the ports a gateway is behind rests on which came up last.
        return;
    }
    for line in ROUTES {
        let route = spoken::route(&lines::route(line).unwrap(), spoken::BOOT, &tables).unwrap();
        let said = tables.add_route(route);
        assert_eq!(said.is_ok(), kernel_agrees(&format!("route add {line}")), "{line}: {said:?}");
        own.apply(said.unwrap_or_default());
    }
    agree(&mut tables, &mut own);
}

/// Waits until both hold the same, and fails if they never do.
fn agree(tables: &mut OwnTables, own: &mut Writer) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let picture = picture();
        let mut kernels = writer();
        kernels.apply(picture.clone());
        own.apply(tables.take(picture));
        for one in tables.standings() {
            own.apply(tables.set_phase(one.address.port, one.address.net.addr(), Phase::Ready));
        }
        let (expected, is) = (held(&kernels), held(own));
        if expected == is {
            return;
        }
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            one.difference(other).map(|line| format!("\n  {line}")).collect::<String>()
        };
        assert!(
            Instant::now() < deadline,
            "only the kernel has:{}{}\nonly this router has:{}{}",
            only(&expected.addresses, &is.addresses),
            only(&expected.routes, &is.routes),
            only(&is.addresses, &expected.addresses),
            only(&is.routes, &expected.routes),
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_same_addresses_and_routes_mean_the_same_as_in_the_kernel(steps in steps()) {
        in_namespace(|| compare(&steps));
    }
}
