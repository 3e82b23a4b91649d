//! Clients behind a router that translates: their lab, the rules of a home router, and single contacts through it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result, ensure};

use crate::lab::{Lab, Plan, Role, SECONDS_5, wait_until};

/// Two clients in subnets of their own behind the router `r1`; outside it the router `x`, whose kernel forwards, and
/// the server `s` behind a link that takes 1400 bytes only:
///
/// ```text
/// c1 .2 ── 10.0.1.0/24 ── r0 ┐
///                            │ r1 │ r1 .1 ── 192.0.2.0/24 ── .2 left │ x │ right .1 ── 198.51.100.0/24 ── .2, .3 s
/// c2 .2 ── 10.0.3.0/24 ── r2 ┘
/// ```
///
/// IPv6 likewise: `fd00:1::/64` and `fd00:3::/64` inside, `2001:db8:2::/64` and `2001:db8:100::/64` outside. Nobody
/// outside has a way to the addresses inside. The server offers segments of full length all the same, so that clients
/// have to discover the path MTU.
pub fn behind_nat() -> Plan {
    let plan = ["c1", "c2", "s"].into_iter().fold(Plan::new(), |plan, name| plan.station(name, Role::Host));
    let plan = ["r1", "x"].into_iter().fold(plan, |plan, name| {
        // Tracing asks each router several things at once.
        plan.station(name, Role::Router).sysctl(name, "ipv4/icmp_ratelimit", "0").sysctl(
            name,
            "ipv6/icmp/ratelimit",
            "0",
        )
    });
    plan.link("c1:eth0 10.0.1.2/24 fd00:1::2/64", "r1:r0 10.0.1.1/24 fd00:1::1/64")
        .link("c2:eth0 10.0.3.2/24 fd00:3::2/64", "r1:r2 10.0.3.1/24 fd00:3::1/64")
        .link("r1:r1 192.0.2.1/24 2001:db8:2::1/64", "x:left 192.0.2.2/24 2001:db8:2::2/64")
        .link(
            "x:right 198.51.100.1/24 2001:db8:100::1/64",
            "s:eth0 198.51.100.2/24 198.51.100.3/24 2001:db8:100::2/64",
        )
        .sysctl("x", "ipv4/ip_forward", "1")
        .sysctl("x", "ipv6/conf/all/forwarding", "1")
        .ip("x", "link set right mtu 1400")
        .ip("x", "route add blackhole default")
        .ip("s", "link set eth0 mtu 1400")
        .ip("c1", "route add default via 10.0.1.1")
        .ip("c1", "route add default via fd00:1::1")
        .ip("c2", "route add default via 10.0.3.1")
        .ip("c2", "route add default via fd00:3::1")
        .ip("r1", "route add default via 192.0.2.2")
        .ip("r1", "route add default via 2001:db8:2::2")
        .ip("s", "route add default via 198.51.100.1 advmss 1460")
        .ip("s", "route add default via 2001:db8:100::1 advmss 1440")
}

/// The ports of the router of [`behind_nat`]: two inside, then the one outside.
pub const BEHIND_NAT_PORTS: [&str; 3] = ["r0", "r2", "r1"];
/// MAC addresses of the link outside: of the router's port `r1`, and of `left` at `x`.
pub const OUTSIDE_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 3, 1], [2, 0, 0, 0, 3, 2]];
/// The router's addresses outside.
pub const OUTSIDE: [&str; 2] = ["192.0.2.1", "2001:db8:2::1"];
/// The server's addresses.
pub const SERVER: [&str; 2] = ["198.51.100.2", "2001:db8:100::2"];
/// The TCP and UDP port that the router forwards to port 8080 of `c1`, for those inside too.
pub const FORWARDED_PORT: u16 = 8081;
/// The TCP port of any address outside that those in the subnet of `c1` find at port 8080 of the router.
pub const REDIRECTED_PORT: u16 = 8082;

/// A home router's rules: those inside may go out and are masqueraded, one port is forwarded, one redirected, and
/// nobody else gets in.
pub const HOME_ROUTER: &str = r#"
flush ruleset
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname { "r0", "r2" } accept
        ct status dnat accept
    }
}
table inet nat {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        meta nfproto ipv4 fib daddr type local meta l4proto { tcp, udp } th dport 8081 dnat ip to 10.0.1.2:8080
        meta nfproto ipv6 fib daddr type local meta l4proto { tcp, udp } th dport 8081 dnat ip6 to [fd00:1::2]:8080
        iifname "r0" tcp dport 8082 redirect to :8080
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "r1" masquerade
        ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 ct status dnat masquerade
        ip6 saddr fd00::/16 ip6 daddr fd00::/16 ct status dnat masquerade
    }
}
"#;

/// What is said in a contact, either way.
const GREETING: &[u8; 16] = b"are you there?!\n";

/// One TCP connection from station `from` to `target`, which someone at `at` waits for at `listening`. Something is
/// said in either direction. Returns who the client was to the one that waited.
///
/// # Errors
/// It does not come about within five seconds, or breaks.
pub fn tcp_contact(lab: &Lab, from: &str, target: &str, at: &str, listening: &str) -> Result<SocketAddr> {
    let what = format!("tcp from {from} to {target}, where {at} waits at {listening}");
    let [target, listening] = [target, listening].map(str::parse::<SocketAddr>);
    let (target, listening) = (target?, listening?);
    // A process that is just being started elsewhere may still hold the listener of the contact before.
    let bind = || lab.at(at).inside(|| TcpListener::bind(listening)).ok();
    let listener = wait_until("the port to be free", SECONDS_5, bind).with_context(|| what.clone())?;
    let contact = || -> Result<SocketAddr> {
        let mut client = lab.at(from).inside(|| TcpStream::connect_timeout(&target, SECONDS_5))?;
        // Whoever else has answered, this listener has not. The client's last word may still be on its way.
        listener.set_nonblocking(true)?;
        let (mut server, peer) = wait_until("it to be heard of", SECONDS_5, || listener.accept().ok())?;
        server.set_nonblocking(false)?;
        for connection in [&client, &server] {
            connection.set_read_timeout(Some(SECONDS_5))?;
        }
        say(&mut client, &mut server)?;
        say(&mut server, &mut client)?;
        Ok(peer)
    };
    contact().context(what)
}

fn say(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    from.write_all(GREETING)?;
    let mut heard = [0; GREETING.len()];
    to.read_exact(&mut heard)?;
    ensure!(heard == *GREETING, "{heard:?} was heard");
    Ok(())
}

/// One datagram from station `from` to `target`, which someone at `at` waits for at `listening`, and its answer.
/// Returns who the client was to the one that waited.
///
/// # Errors
/// One of them does not arrive within five seconds, or the answer comes from someone else.
pub fn udp_contact(lab: &Lab, from: &str, target: &str, at: &str, listening: &str) -> Result<SocketAddr> {
    let what = format!("udp from {from} to {target}, where {at} waits at {listening}");
    let contact = || -> Result<SocketAddr> {
        let any = if target.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let server = lab.at(at).inside(|| UdpSocket::bind(listening))?;
        let client = lab.at(from).inside(|| UdpSocket::bind(any))?;
        // Only answers from there are taken.
        lab.at(from).inside(|| client.connect(target))?;
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(SECONDS_5))?;
        }
        client.send(GREETING)?;
        let mut heard = [0; 64];
        let (length, peer) = server.recv_from(&mut heard).context("the datagram")?;
        server.send_to(&heard[..length], peer)?;
        let length = client.recv(&mut heard).context("the answer")?;
        ensure!(heard[..length] == *GREETING, "{:?} was heard", &heard[..length]);
        Ok(peer)
    };
    contact().context(what)
}
