//! What a lookup needs to know besides routes: rules, links, addresses and settings. Small, and replaced whole.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::multipath::HashKey;
use super::policy::RuleSet;
use super::route_policy::RoutePolicies;
use crate::adjacency::{LinkIndex, PortId};
use crate::change::{Address, LinkSettings, NamespaceSettings};

/// See the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Surroundings {
    pub(crate) rules_v4: RuleSet,
    pub(crate) rules_v6: RuleSet,
    /// Rules other than those of a fresh namespace (`fib4_has_custom_rules`).
    pub(crate) custom_rules_v4: bool,
    /// Routes of type local that the kernel did not make itself (`fib_has_custom_local_routes`).
    pub(crate) custom_local_routes: bool,
    /// By link index.
    pub(crate) links: Vec<LinkSurroundings>,
    /// By port.
    pub(crate) ports: Vec<PortSurroundings>,
    /// Every address of every link but those that are still tried or that somebody else has (tentative).
    pub(crate) own: HashSet<IpAddr>,
    pub(crate) namespace: NamespaceSettings,
    pub(crate) policies: Arc<RoutePolicies>,
    /// A source is judged alike on every port, so that a flow may change its port of entry unseen.
    pub(crate) sources_alike: bool,
    pub(crate) hash_key: HashKey,
}

/// A link with its addresses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkSurroundings {
    pub(crate) index: LinkIndex,
    pub(crate) port: Option<PortId>,
    pub(crate) loopback: bool,
    /// The VRF it belongs to.
    pub(crate) vrf: Option<LinkIndex>,
    /// Slot of that VRF's table.
    pub(crate) vrf_table: Option<u32>,
    pub(crate) addresses: Vec<Address>,
}

/// A port and what is set for its link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PortSurroundings {
    /// Place in `links`.
    pub(crate) link: Option<usize>,
    pub(crate) settings: LinkSettings,
}

const NO_LINK: LinkSettings = LinkSettings {
    rp_filter: crate::change::ReversePath::Off,
    send_redirects: true,
    accept_source_route: false,
    bc_forwarding: false,
    accept_local: false,
    route_localnet: false,
    log_martians: false,
    ipv6_disabled: false,
};

impl Surroundings {
    pub(super) fn link(&self, port: PortId) -> Option<&LinkSurroundings> {
        self.links.get(self.ports.get(usize::from(port.0))?.link?)
    }

    pub(crate) fn link_of(&self, port: PortId) -> Option<LinkIndex> {
        self.link(port).map(|link| link.index)
    }

    pub(super) fn port_of(&self, link: LinkIndex) -> Option<PortId> {
        let place = self.links.binary_search_by_key(&link, |held| held.index).ok()?;
        self.links[place].port
    }

    pub(crate) fn master_of(&self, port: PortId) -> Option<LinkIndex> {
        self.link(port)?.vrf
    }

    pub(crate) fn vrf_table(&self, input: Option<PortId>) -> Option<u32> {
        self.link(input?)?.vrf_table
    }

    pub(crate) fn addresses(&self, port: PortId) -> &[Address] {
        self.link(port).map_or(&[], |link| &link.addresses)
    }

    pub(crate) fn settings(&self, port: PortId) -> &LinkSettings {
        self.ports.get(usize::from(port.0)).map_or(&NO_LINK, |port| &port.settings)
    }
}
