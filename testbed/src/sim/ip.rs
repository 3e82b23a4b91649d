//! The few lines of `ip` that a simulated ground understands.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use fib::change::Change;
use ipnet::IpNet;
use router::tabletop::gateway_route;

use super::Host;

/// What a line at the router changes; `subnets` are those of its ports in order.
pub(super) fn change(line: &str, subnets: &[Vec<IpNet>]) -> Result<Change> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["route", verb, prefix, "via", gateway] = words[..] else {
        bail!("simulated ground knows `route add|replace|del PREFIX via GATEWAY`");
    };
    let address: IpAddr = gateway.parse().context("a gateway's address")?;
    let beside = |port: &Vec<IpNet>| port.iter().any(|net| net.contains(&address));
    let port = subnets.iter().position(beside).context("no port is on the gateway's link")?;
    let prefix = match (prefix, address) {
        ("default", IpAddr::V4(_)) => "0.0.0.0/0",
        ("default", IpAddr::V6(_)) => "::/0",
        _ => prefix,
    };
    let route = gateway_route(prefix, gateway, port);
    match verb {
        "add" => Ok(Change::Route(route)),
        "replace" => Ok(Change::RouteReplaced(route)),
        "del" => Ok(Change::RouteGone(route)),
        _ => bail!("routes are added, replaced or deleted"),
    }
}

impl Host {
    /// Runs a line of `ip` at the host: `route add default via GATEWAY`, `address add NET dev lo`.
    pub(super) fn ip(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["route", "add", "default", "via", gateway] => {
                self.set_gateway(0, gateway.parse().expect("a gateway's address"));
            }
            ["address", "add", net, "dev", "lo", ..] => {
                self.add_address_everywhere(net.parse().expect("an address with a prefix length"));
            }
            _ => panic!("simulated ground does not know `{line}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_found_behind_its_port() {
        let subnets = [vec!["10.0.1.1/24".parse().unwrap()], vec!["fd00:2::1/64".parse().unwrap()]];
        let expected = Change::Route(gateway_route("::/0", "fd00:2::9", 1));
        assert_eq!(change("route add default via fd00:2::9", &subnets).unwrap(), expected);
        for wrong in ["route add default", "route get 10.0.0.1", "route add 10.0.0.0/8 via 10.9.9.9"] {
            assert!(change(wrong, &subnets).is_err(), "{wrong}");
        }
    }
}
