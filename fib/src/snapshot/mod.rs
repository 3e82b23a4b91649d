//! The routing state as one reader sees it for one turn: it does not change under the reader, and every question
//! has an answer.

mod ask;
mod multipath;
pub(crate) mod policy;
mod route_policy;
mod source;
pub(crate) mod surroundings;
mod table;
mod types;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub(crate) use route_policy::RoutePolicies;
pub(crate) use table::{Candidate, Entry, Table};
pub use types::{Adjacency, Answer, Depends, Generation, Hop, Martian, Query, SourceAnswer, SourceCheck};
pub(crate) use types::{Place, WayBack};

use self::policy::{Action, RuleSet};
use self::surroundings::Surroundings;
use crate::adjacency::{LinkIndex, Neighbors, PortId, Ports};
use crate::change::{Address, LinkSettings, NamespaceSettings, RoutePolicy, RouteType, Scope};
use crate::journal::Journal;
use crate::path::{Member, Path, PathId};

/// The routing state of one generation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    /// By slot; rules name their table by slot.
    pub(crate) tables: Vec<Table>,
    /// By [`PathId`]; a path that no route leads over is empty.
    pub(crate) paths: Vec<Option<Arc<Path>>>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) journal: Journal,
    ports: Arc<Ports>,
    neighbors: Arc<Neighbors>,
}

/// For whom a route is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A packet on its way: next hops must be usable by this router.
    Forward,
    /// The reverse path of a source: the kernel would accept next hops over devices that are not ports.
    Reverse,
}

/// What the tables and rules say, before a next hop is picked.
struct Found<'a> {
    outcome: Outcome<'a>,
    place: Option<Place>,
}

enum Outcome<'a> {
    Path(&'a Path),
    Blackhole,
    Unreachable,
    Prohibit,
    Nothing,
}

impl Snapshot {
    pub(crate) fn new(ports: Arc<Ports>, neighbors: Arc<Neighbors>, surroundings: Surroundings) -> Self {
        Self {
            generation: Generation(1),
            tables: Vec::new(),
            paths: Vec::new(),
            surroundings: Arc::new(surroundings),
            journal: Journal::new(),
            ports,
            neighbors,
        }
    }

    /// Version of this state.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Where a packet goes.
    #[must_use]
    pub fn lookup(&self, query: &Query) -> Answer {
        self.lookup_keeping(query, None)
    }

    /// Where a packet goes, when its flow has gone by `keep` so far: of several equal ways on, that one is kept while
    /// it is among them.
    #[must_use]
    pub fn lookup_keeping(&self, query: &Query, keep: Option<Hop>) -> Answer {
        let mut depends = Depends::default();
        let found = self.find(query, None, Purpose::Forward, &mut depends);
        let mut answer = Answer {
            adjacency: Adjacency::NoRoute,
            generation: self.generation,
            depends,
            table: found.place.map_or(0, |place| self.tables[place.slot as usize].number),
            prefix: found
                .place
                .and_then(|place| IpNet::new(query.destination, place.length).ok())
                .map(|net| net.trunc()),
            preferred_source: None,
            scope: Scope::UNIVERSE,
            keep: self.surroundings.policies.keeps(query.destination),
            place: found.place,
        };
        answer.adjacency = match found.outcome {
            Outcome::Nothing => Adjacency::NoRoute,
            Outcome::Blackhole => Adjacency::Blackhole,
            Outcome::Unreachable => Adjacency::Unreachable,
            Outcome::Prohibit => Adjacency::Prohibit,
            Outcome::Path(path) => {
                answer.preferred_source = path.preferred_source;
                answer.scope = path.scope;
                self.adjacency(path, query, keep, &mut answer.depends)
            }
        };
        answer
    }

    /// The ports, whose state is always the present one.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The neighbors, whose state is always the present one.
    #[must_use]
    pub fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    /// Whether an address is one of the namespace's own: in use on a link, or `local` in the local table.
    #[must_use]
    pub fn is_own_address(&self, address: IpAddr) -> bool {
        self.surroundings.own.contains(&address) || self.is_local_in_local_table(address)
    }

    /// The addresses of a port's link, in the order the kernel keeps them.
    #[must_use]
    pub fn addresses(&self, port: PortId) -> &[Address] {
        self.surroundings.addresses(port)
    }

    /// What Linux shapes by sysctl for a port's link; Linux's defaults for a port without one.
    #[must_use]
    pub fn link_settings(&self, port: PortId) -> &LinkSettings {
        self.surroundings.settings(port)
    }

    /// What Linux shapes by sysctl for the namespace.
    #[must_use]
    pub fn namespace_settings(&self) -> &NamespaceSettings {
        &self.surroundings.namespace
    }

    /// The port bound to a link.
    #[must_use]
    pub fn port_of(&self, link: LinkIndex) -> Option<PortId> {
        self.surroundings.port_of(link)
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&Path> {
        self.paths.get(id.0 as usize)?.as_deref()
    }

    /// What has changed up to here.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What the user has said of established flows, by prefix (`route policy`).
    #[must_use]
    pub fn route_policies(&self) -> &[(IpNet, RoutePolicy)] {
        self.surroundings.policies.list()
    }

    /// Tells which tables were asked in vain before an answer was found at `place`, which is returned; `None` for one
    /// that was not found, or not there now.
    pub(crate) fn tables_asked(
        &self,
        query: &Query,
        place: Option<Place>,
        mut in_vain: impl FnMut(u32),
    ) -> Option<Place> {
        let (mut next, mut depends) = (0, Depends::default());
        let rules = self.rules_of(query);
        while let Some((at, rule)) = rules.next_for(&mut next, query, &self.surroundings, &mut depends) {
            let slot = match rule.action {
                Action::Lookup(slot) => Some(slot),
                Action::LookupVrf => self.surroundings.vrf_table(query.input),
                _ => return None,
            };
            match place {
                Some(place) if at >= place.rule => return Some(place),
                _ => slot.into_iter().for_each(&mut in_vain),
            }
        }
        None
    }

    /// Whether the path of a place is that of the first route of its prefix, whatever the TOS.
    pub(crate) fn is_first_choice(&self, place: Place, destination: IpAddr) -> bool {
        let prefix = IpNet::new(destination, place.length).map(|prefix| prefix.trunc());
        let Ok(prefix) = prefix else { return false };
        let candidates = self.tables.get(place.slot as usize).map_or(&[][..], |table| table.get(prefix));
        candidates.first() == Some(&Candidate { path: place.path, tos: 0 })
    }

    /// Asks the policy rules in their order; `only` admits next hops over one link alone.
    fn find(
        &self,
        query: &Query,
        only: Option<LinkIndex>,
        purpose: Purpose,
        depends: &mut Depends,
    ) -> Found<'_> {
        let nothing = Found { outcome: Outcome::Nothing, place: None };
        let only = only.or_else(|| self.link_in_scope(query, depends));
        let rules = self.rules_of(query);
        let mut next = 0;
        while let Some((at, rule)) = rules.next_for(&mut next, query, &self.surroundings, depends) {
            let slot = match rule.action {
                Action::Lookup(slot) => Some(slot),
                Action::LookupVrf => self.surroundings.vrf_table(query.input),
                Action::Blackhole => return Found { outcome: Outcome::Blackhole, ..nothing },
                Action::Prohibit => return Found { outcome: Outcome::Prohibit, ..nothing },
                Action::Unreachable if query.destination.is_ipv6() => {
                    return Found { outcome: Outcome::Unreachable, ..nothing };
                }
                Action::Unreachable => return nothing,
                Action::Goto(_) | Action::Nop => continue,
            };
            let Some(slot) = slot else { continue };
            let Some(table) = self.tables.get(slot as usize) else { continue };
            let Some((length, path_id, path)) = self.find_in(table, query, only, purpose, depends) else {
                continue;
            };
            let outcome = match path.kind {
                RouteType::Throw => continue,
                RouteType::Blackhole => Outcome::Blackhole,
                RouteType::Unreachable => Outcome::Unreachable,
                RouteType::Prohibit => Outcome::Prohibit,
                _ if rule.suppresses(length) => continue,
                _ => Outcome::Path(path),
            };
            return Found { outcome, place: Some(Place { rule: at, slot, length, path: path_id }) };
        }
        nothing
    }

    fn rules_of(&self, query: &Query) -> &RuleSet {
        match query.destination {
            IpAddr::V4(_) => &self.surroundings.rules_v4,
            IpAddr::V6(_) => &self.surroundings.rules_v6,
        }
    }

    /// The first candidate of the longest prefix that has one to offer (`fib_table_lookup`, `fib6_table_lookup`).
    fn find_in(
        &self,
        table: &Table,
        query: &Query,
        only: Option<LinkIndex>,
        purpose: Purpose,
        depends: &mut Depends,
    ) -> Option<(u8, PathId, &Path)> {
        let mut length_max = u8::MAX;
        loop {
            let (length, entry) = table.longest_match(query.destination, length_max)?;
            for candidate in entry {
                if candidate.tos != 0 {
                    depends.tos = true;
                    if candidate.tos != query.tos & policy::TOS_MASK_V4 {
                        continue;
                    }
                }
                if let Some(path) = self.path(candidate.path).filter(|path| is_eligible(path, only, purpose))
                {
                    return Some((length, candidate.path, path));
                }
            }
            length_max = length.checked_sub(1)?;
        }
    }

    fn adjacency(&self, path: &Path, query: &Query, keep: Option<Hop>, depends: &mut Depends) -> Adjacency {
        match path.kind {
            RouteType::Local | RouteType::Anycast => Adjacency::Local,
            RouteType::Broadcast => Adjacency::Broadcast,
            RouteType::Multicast => Adjacency::Multicast,
            RouteType::Blackhole | RouteType::Throw => Adjacency::Blackhole,
            RouteType::Unreachable => Adjacency::Unreachable,
            RouteType::Prohibit => Adjacency::Prohibit,
            RouteType::Unicast => {
                let only = self.link_in_scope(query, depends);
                let member = self.pick(path, only, query, keep, depends);
                member.map_or(Adjacency::NoRoute, |(port, member)| {
                    Adjacency::Forward(self.hop(path, port, member, query.destination))
                })
            }
        }
    }

    fn pick<'a>(
        &self,
        path: &'a Path,
        only: Option<LinkIndex>,
        query: &Query,
        keep: Option<Hop>,
        depends: &mut Depends,
    ) -> Option<(PortId, &'a Member)> {
        let with_port = |member: &'a Member| member.port.map(|port| (port, member));
        let mut usable = path.usable_members(only).filter_map(with_port);
        let first = usable.next()?;
        if path.members.len() == 1 || usable.next().is_none() {
            return Some(first);
        }
        let settings = &self.surroundings.namespace;
        let hash = multipath::hash(query, settings, &self.surroundings.hash_key, depends);
        let mut usable = path.usable_members(only).filter_map(with_port);
        let kept = keep.and_then(|kept| {
            let same =
                |(port, member): &(PortId, &Member)| *port == kept.port && member.gateway == kept.gateway;
            path.usable_members(only).filter_map(with_port).find(same)
        });
        kept.or_else(|| usable.find(|(_, member)| hash <= member.hash_max)).or(Some(first))
    }

    fn hop(&self, path: &Path, port: PortId, member: &Member, destination: IpAddr) -> Hop {
        let neighbor = member
            .needs_resolution
            .then(|| self.neighbors.find_or_create(port, member.gateway.unwrap_or(destination)))
            .flatten();
        Hop { port, neighbor, gateway: member.gateway, route_mtu: path.route_mtu }
    }

    /// The one link whose routes count for an IPv6 destination of link scope.
    fn link_in_scope(&self, query: &Query, depends: &mut Depends) -> Option<LinkIndex> {
        if !query.is_for_one_link() {
            return None;
        }
        depends.input = true;
        self.surroundings.link_of(query.input?)
    }

    fn is_local_in_local_table(&self, address: IpAddr) -> bool {
        let local = self.tables.iter().find(|table| table.number == RuleSet::LOCAL_TABLE);
        let Some((_, entry)) = local.and_then(|table| table.longest_match(address, u8::MAX)) else {
            return false;
        };
        let is_local = |candidate: &Candidate| {
            self.path(candidate.path).is_some_and(|path| path.kind == RouteType::Local)
        };
        entry.first().is_some_and(is_local)
    }
}

/// Whether a path has something to offer: types other than unicast always do.
fn is_eligible(path: &Path, only: Option<LinkIndex>, purpose: Purpose) -> bool {
    match path.kind {
        RouteType::Unicast => match purpose {
            Purpose::Forward => path.usable_members(only).next().is_some(),
            Purpose::Reverse => path
                .members
                .iter()
                .any(|member| member.is_alive_for_the_kernel() && (only.is_none() || member.link == only)),
        },
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => {
            only.is_none() || path.members.iter().any(|member| member.link == only)
        }
        RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => true,
    }
}

#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
