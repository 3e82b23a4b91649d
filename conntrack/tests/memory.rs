//! A million flows in at most 256 bytes each, everything counted.

mod packets;

use std::fs;

use conntrack::{Checksum, Config, Datagram, Family, Flow, Instant, Registry, Table, Tracked};

const FLOWS: u32 = 1_000_000;

/// What a router hangs on a flow, in size.
type User = [u64; 6];

/// The most that a flow may cost.
const BYTES_MAX: usize = 256;

/// Begins TCP connections and answers them, so that every one is in the table as it will stay.
fn fill(family: Family, [client, server]: [&str; 2]) -> Table<User> {
    let config = Config { flows_max: FLOWS as usize, seed: [3, 4], ..Config::default() };
    let table = Table::new(config, Registry::builtin().build());
    let now = Instant::from_secs(1);
    let mut syn = packets::tcp(client, server, 1, 443, packets::SYN);
    let mut syn_ack = packets::tcp(server, client, 443, 1, packets::SYN | packets::ACK);
    let (header, source, destination, length) = match family {
        Family::Ipv4 => (20, 12, 16, 4),
        Family::Ipv6 => (40, 8, 24, 16),
    };
    for flow in 0..FLOWS {
        // The low 16 bits are the client's port, the others are the end of its address.
        let [high, low, port @ ..] = flow.to_be_bytes();
        for (bytes, address, id) in [(&mut syn, source, header), (&mut syn_ack, destination, header + 2)] {
            bytes[address + length - 2..address + length].copy_from_slice(&[high, low]);
            bytes[id..id + 2].copy_from_slice(&port);
            let datagram = Datagram { checksum: Checksum::Valid, ..Datagram::new(family, bytes) };
            match table.track(&datagram, now) {
                Tracked::Flow { flow: Flow::Tentative(tentative), .. } => drop(table.confirm(tentative, now)),
                Tracked::Flow { flow: Flow::Conn(_), .. } => {}
                other => panic!("flow {flow}: {other:?}"),
            }
        }
    }
    assert_eq!((table.len(), table.stats().found), (FLOWS as usize, u64::from(FLOWS)));
    table
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux tells");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("the second number") * PAGE
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "nobody says what is resident")]
fn a_million_tcp_flows_of_either_family_take_at_most_256_bytes_each() {
    let mut tables = Vec::new();
    for (family, ends) in
        [(Family::Ipv4, ["10.0.0.0", "192.0.2.1"]), (Family::Ipv6, ["2001:db8::", "2001:db8:1::1"])]
    {
        let before = resident();
        tables.push(fill(family, ends));
        let bytes = resident().saturating_sub(before) / FLOWS as usize;
        println!("{}: {bytes} bytes a flow", family.name());
        // Less than the flow itself would mean that something was not counted.
        assert!((size_of::<User>()..=BYTES_MAX).contains(&bytes), "{}: {bytes} bytes a flow", family.name());
    }
}
