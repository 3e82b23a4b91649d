//! Who is on the ground of all stories: hosts by number, and the ports behind which they are.

use std::net::IpAddr;

/// Names of the router's ports.
pub const PORTS: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// A host's two addresses, and its port.
type Host = (&'static str, &'static str, usize);

const HOSTS: [Host; 12] = [
    ("10.0.0.2", "fd00::2", 0),
    ("10.0.0.3", "fd00::3", 0),
    ("10.0.1.2", "fd01::2", 1),
    ("10.0.2.2", "fd02::2", 2),
    ("10.0.2.200", "fd02::200", 2),
    ("10.50.1.7", "fd50:1::7", 3),
    ("10.50.1.8", "fd50:1::8", 3),
    ("10.50.2.1", "fd50:2::1", 3),
    ("10.60.0.1", "fd60::1", 2),
    ("10.99.0.1", "fd99::1", 2),
    // The router itself.
    ("10.0.3.1", "fd03::1", 3),
    ("10.77.0.1", "fd77::1", 3),
];

/// How many hosts may send first.
pub const SENDERS: usize = 9;
/// How many hosts may be sent to.
pub const RECEIVERS: usize = HOSTS.len();
/// The host that is reached by several ways at once.
pub const MANY_WAYS: usize = HOSTS.len() - 1;

/// A host's address.
///
/// # Panics
/// If there is no such host.
pub fn address(ipv6: bool, host: usize) -> IpAddr {
    let (v4, v6, _) = HOSTS[host];
    if ipv6 { v6 } else { v4 }.parse().expect("an address")
}

/// The port behind which a host is.
///
/// # Panics
/// If there is no such host.
pub const fn port(host: usize) -> usize {
    HOSTS[host].2
}

/// The link address of a station beside a port.
pub const fn mac(port: usize, station: u8) -> [u8; 6] {
    [2, 0, 0, 1, port as u8, station]
}

/// The address of a station beside a port.
///
/// # Panics
/// If there is no such port.
pub fn station(ipv6: bool, port: usize, station: u8) -> IpAddr {
    let text = if ipv6 { format!("fd0{port}::{station}") } else { format!("10.0.{port}.{station}") };
    text.parse().expect("an address")
}
