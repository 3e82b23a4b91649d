//! Which destinations' established flows stay on the way they took (`route policy`).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::change::RoutePolicy;
use crate::lpm::{Fastest, Lpm, Prefix};

/// The most specific prefix decides; without one, flows move.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoutePolicies {
    list: Vec<(IpNet, RoutePolicy)>,
    v4: Fastest<u32, RoutePolicy>,
    v6: Fastest<u128, RoutePolicy>,
}

impl RoutePolicies {
    /// Of prefixes that differ, in their order.
    pub(crate) fn new(list: Vec<(IpNet, RoutePolicy)>) -> Self {
        let mut policies = Self { list, ..Self::default() };
        for (prefix, policy) in &policies.list {
            match prefix {
                IpNet::V4(net) => {
                    policies.v4.insert(Prefix::new(net.network().into(), net.prefix_len()), *policy);
                }
                IpNet::V6(net) => {
                    policies.v6.insert(Prefix::new(net.network().into(), net.prefix_len()), *policy);
                }
            }
        }
        policies
    }

    pub(crate) fn list(&self) -> &[(IpNet, RoutePolicy)] {
        &self.list
    }

    /// Whether flows to a destination stay.
    pub(crate) fn keeps(&self, destination: IpAddr) -> bool {
        if self.list.is_empty() {
            return false;
        }
        let found = match destination {
            IpAddr::V4(address) => self.v4.longest_match(address.into(), u8::MAX),
            IpAddr::V6(address) => self.v6.longest_match(address.into(), u8::MAX),
        };
        found.is_some_and(|(_, policy)| *policy == RoutePolicy::Keep)
    }
}

impl PartialEq for RoutePolicies {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::ip;

    #[test]
    fn the_most_specific_policy_decides() {
        let policy = |prefix: &str, policy| (prefix.parse().unwrap(), policy);
        let policies = RoutePolicies::new(vec![
            policy("10.0.0.0/8", RoutePolicy::Keep),
            policy("10.1.0.0/16", RoutePolicy::Move),
            policy("2001:db8::/32", RoutePolicy::Keep),
        ]);
        let keeps = ["10.0.0.1", "10.1.0.1", "11.0.0.1", "2001:db8::1", "2001:db9::1"]
            .map(|to| policies.keeps(ip(to)));
        assert_eq!(keeps, [true, false, false, true, false]);
        assert!(!RoutePolicies::default().keeps(ip("10.0.0.1")));
    }
}
