//! Links, addresses and neighbors as announced, and which link is which port.

use std::collections::HashMap;
use std::net::IpAddr;

use super::resolve::port_state;
use super::{ADDRESSES_MAX, Held, LINKS_MAX, NEXTHOPS_MAX, Removed, Rib};
use crate::adjacency::{LinkIndex, PortId, PortView};
use crate::change::{Address, Link, NeighborEntry, NexthopKind, NexthopObject, Settings, Target};
use crate::path::PathSpec;

impl Rib {
    /// Takes in a link; true if anything about it is new.
    pub(crate) fn set_link(&mut self, link: Link) -> bool {
        let dump = self.dump;
        if let Some(held) = self.links.get_mut(&link.index) {
            held.dump = dump;
            if held.value == link {
                return false;
            }
        } else if self.links.len() >= LINKS_MAX {
            self.refused += 1;
            return false;
        }
        self.links.insert(link.index, Held { value: link, dump });
        self.links_differ();
        true
    }

    /// Takes out a link and all that is on it.
    pub(crate) fn remove_link(&mut self, link: LinkIndex, removed: &mut impl FnMut(Removed)) {
        if self.links.remove(&link).is_none() {
            return;
        }
        self.addresses.remove(&link);
        self.link_settings.remove(&link);
        let lost: Vec<_> = self.neighbors.keys().filter(|(on, _)| *on == link).copied().collect();
        for (link, address) in lost {
            self.remove_neighbor(link, address, removed);
        }
        let over_it = |held: &Held<NexthopObject>| matches!(&held.value.kind, NexthopKind::Single(hop) if hop.link == Some(link));
        let lost: Vec<u32> =
            self.nexthops.iter().filter(|(_, held)| over_it(held)).map(|(id, _)| *id).collect();
        for id in lost {
            self.remove_nexthop(id, removed);
        }
        self.withdraw_over(|spec| leads_only_over(spec, link), removed);
        self.links_differ();
    }

    /// Takes in an address; true if anything about it is new.
    pub(crate) fn set_address(&mut self, address: Address) -> bool {
        let total: usize = self.addresses.values().map(Vec::len).sum();
        let list = self.addresses.entry(address.link).or_default();
        let new = Held { value: address, dump: self.dump };
        let place = list.iter().position(|held| is_same_address(&held.value, &new.value));
        let unchanged = place.is_some_and(|place| list[place].value == new.value);
        match place {
            Some(place) if self.dumping => {
                list.remove(place);
                list.push(new);
            }
            Some(place) if list[place].value.secondary == new.value.secondary => list[place] = new,
            Some(place) => {
                list.remove(place);
                insert_address(list, new);
            }
            None if total >= ADDRESSES_MAX => {
                self.refused += 1;
                return false;
            }
            None if self.dumping => list.push(new),
            None => insert_address(list, new),
        }
        self.dirty.surroundings |= !unchanged || self.dumping;
        !unchanged
    }

    /// Takes out an address.
    pub(crate) fn remove_address(&mut self, address: &Address) {
        let Some(list) = self.addresses.get_mut(&address.link) else { return };
        if let Some(place) = list.iter().position(|held| is_same_address(&held.value, address)) {
            list.remove(place);
            self.dirty.surroundings = true;
        }
    }

    /// Takes in a neighbor; true if anything about it is new.
    pub(crate) fn set_neighbor(&mut self, entry: &NeighborEntry, neighbors_max: usize) -> bool {
        let key = (entry.link, entry.address);
        let value = (entry.state, entry.mac);
        if !self.neighbors.contains_key(&key) && self.neighbors.len() >= neighbors_max {
            self.refused += 1;
            return false;
        }
        let before = self.neighbors.insert(key, Held { value, dump: self.dump });
        before.is_none_or(|before| before.value != value)
    }

    /// Takes out a neighbor.
    pub(crate) fn remove_neighbor(
        &mut self,
        link: LinkIndex,
        address: IpAddr,
        removed: &mut impl FnMut(Removed),
    ) {
        if self.neighbors.remove(&(link, address)).is_some() {
            removed(Removed::Neighbor(link, address));
        }
    }

    /// Takes in a nexthop object.
    pub(crate) fn set_nexthop(&mut self, object: NexthopObject) {
        let dump = self.dump;
        let id = object.id;
        if let Some(held) = self.nexthops.get_mut(&id) {
            held.dump = dump;
            if held.value == object {
                return;
            }
        } else if self.nexthops.len() >= NEXTHOPS_MAX {
            self.refused += 1;
            return;
        }
        self.nexthops.insert(id, Held { value: object, dump });
        self.dirty.all_paths = true;
    }

    /// Takes out a nexthop object, its routes, its place in groups, and the groups that are empty without it.
    pub(crate) fn remove_nexthop(&mut self, id: u32, removed: &mut impl FnMut(Removed)) {
        if self.nexthops.remove(&id).is_none() {
            return;
        }
        self.dirty.all_paths = true;
        let mut emptied = Vec::new();
        for (group, held) in &mut self.nexthops {
            if let NexthopKind::Group(members) = &mut held.value.kind {
                let before = members.len();
                members.retain(|(member, _)| *member != id);
                if members.len() != before && members.is_empty() {
                    emptied.push(*group);
                }
            }
        }
        self.withdraw_over(|spec| spec.target == Target::Object(id), removed);
        for group in emptied {
            self.remove_nexthop(group, removed);
        }
    }

    /// Takes in settings.
    pub(crate) fn set_settings(&mut self, settings: Settings) {
        match settings {
            Settings::Link(link, settings) => {
                if self.link_settings.len() >= LINKS_MAX && !self.link_settings.contains_key(&link) {
                    self.refused += 1;
                    return;
                }
                self.link_settings.insert(link, settings);
            }
            Settings::Namespace(settings) => self.namespace = settings,
        }
        self.dirty.surroundings = true;
    }

    /// Finds each port its link: a bound one is kept while it lives, whatever its name; else the one of that name.
    pub(crate) fn bind_ports(&mut self) {
        let gone = |link: LinkIndex| !self.links.contains_key(&link);
        for bound in &mut self.bound {
            if bound.is_some_and(gone) {
                *bound = None;
            }
        }
        let by_name: HashMap<&str, LinkIndex> = self
            .links
            .values()
            .filter(|held| !self.bound.contains(&Some(held.value.index)))
            .map(|held| (held.value.name.as_str(), held.value.index))
            .collect();
        for (bound, name) in self.bound.iter_mut().zip(&self.port_names) {
            *bound = bound.or_else(|| by_name.get(name.as_str()).copied());
        }
    }

    /// What a port's cell is to say.
    pub(crate) fn port_view(&self, port: PortId) -> PortView {
        let link = self.bound.get(usize::from(port.0)).copied().flatten();
        let link = link.and_then(|link| self.links.get(&link));
        link.map_or(PortView::ABSENT, |held| port_state(&held.value))
    }

    fn links_differ(&mut self) {
        self.dirty.ports = true;
        self.dirty.all_paths = true;
        self.dirty.surroundings = true;
    }
}

fn is_same_address(one: &Address, other: &Address) -> bool {
    one.net == other.net && one.peer == other.peer
}

/// Puts a new address where the kernel does: IPv4 primaries behind those of the same or a wider reach
/// (`__inet_insert_ifa`), secondaries last; IPv6 addresses before those of the same scope (`ipv6_link_dev_addr`).
fn insert_address(list: &mut Vec<Held<Address>>, new: Held<Address>) {
    let place = if new.value.net.addr().is_ipv6() {
        let goes_before =
            |held: &Held<Address>| held.value.net.addr().is_ipv6() && held.value.scope >= new.value.scope;
        list.iter().position(goes_before)
    } else if new.value.secondary {
        None
    } else {
        let stays_before = |held: &Held<Address>| {
            !held.value.secondary && held.value.net.addr().is_ipv4() && new.value.scope <= held.value.scope
        };
        Some(list.iter().rposition(stays_before).map_or(0, |place| place + 1))
    };
    list.insert(place.unwrap_or(list.len()), new);
}

fn leads_only_over(spec: &PathSpec, link: LinkIndex) -> bool {
    match &spec.target {
        Target::NextHops(hops) => !hops.is_empty() && hops.iter().all(|hop| hop.link == Some(link)),
        Target::Object(_) => false,
    }
}
