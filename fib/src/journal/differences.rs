//! What became of the routing state's parts: what to tell people, and whom it concerns.

use ipnet::IpNet;

use super::Subject;
use crate::adjacency::{LinkIndex, PortId};
use crate::cache::Staleness;
use crate::change::{LinkSettings, RouteType};
use crate::path::{Member, Path, PathId, PathSpec, Unusable};
use crate::snapshot::Candidate;
use crate::snapshot::surroundings::Surroundings;

/// Something besides routes that became another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) reason: Staleness,
    pub(crate) subject: Subject,
}

/// How a path became another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathDifference {
    pub(crate) reason: Staleness,
    pub(crate) subject: Subject,
    /// Family of its routes.
    pub(crate) ipv6: bool,
    /// It can be taken, which it could not before: its routes win where they did not.
    pub(crate) returns: bool,
    /// It can be taken over a link over which it could not: the same where only one link counts.
    pub(crate) link_returns: bool,
    /// The table slots and prefixes of these routes; `None` for too many, or for nobody has looked.
    pub(crate) prefixes: Option<Vec<(u32, IpNet)>>,
}

/// What happened to a prefix.
pub(crate) fn difference_of_candidates<'a>(
    before: &[Candidate],
    after: &[Candidate],
    spec: impl Fn(PathId) -> &'a PathSpec,
) -> Staleness {
    let ([was, ..], [is, ..]) = (before, after) else {
        return if after.is_empty() { Staleness::RouteRemoved } else { Staleness::RouteAdded };
    };
    let but_for_the_mtu = |candidate: &Candidate| PathSpec { mtu: 0, ..spec(candidate.path).clone() };
    if was == is {
        Staleness::RouteChanged
    } else if after.contains(was) {
        Staleness::BetterMetric
    } else if before.contains(is) {
        Staleness::RouteRemoved
    } else if was.tos == is.tos && but_for_the_mtu(was) == but_for_the_mtu(is) {
        Staleness::Mtu
    } else {
        Staleness::RouteChanged
    }
}

/// What happened to a path of this family.
pub(crate) fn difference_of_paths(before: &Path, after: &Path, ipv6: bool) -> PathDifference {
    let is_taken =
        |path: &Path| path.kind != RouteType::Unicast || path.usable_members(None).next().is_some();
    let is_back = |path: &Path| {
        path.kind != RouteType::Unicast || path.members.iter().any(Member::is_alive_for_the_kernel)
    };
    let counts = |member: &Member| member.is_usable() || member.is_alive_for_the_kernel();
    let over = |path: &Path, link: Option<LinkIndex>| {
        path.members.iter().any(|member| member.link == link && counts(member))
    };
    let another_kind = before.kind != after.kind;
    let returns = another_kind || is_taken(after) && !is_taken(before) || is_back(after) && !is_back(before);
    let link_returns =
        returns || after.members.iter().any(|member| counts(member) && !over(before, member.link));
    let same = |one: &Member, other: &Member| one.link == other.link && one.gateway == other.gateway;
    let lost = before.members.iter().filter(|member| member.is_usable()).find_map(|member| {
        let now = after.members.iter().find(|now| same(now, member));
        match now.map(|now| now.unusable) {
            Some(None) => None,
            Some(Some(Unusable::PortDown(_))) => Some((member, Staleness::PortDown)),
            Some(Some(_)) | None => Some((member, Staleness::NextHopGone)),
        }
    });
    let won = after.members.iter().find(|member| {
        member.is_usable() && !before.members.iter().any(|was| same(was, member) && was.is_usable())
    });
    let (about, reason) = match (lost, won) {
        _ if another_kind => (after.members.first().or(before.members.first()), Staleness::NextHopChanged),
        (None, Some(won)) if returns => (Some(won), Staleness::NextHopReturned),
        (Some((lost, reason)), None) => (Some(lost), reason),
        (_, Some(won)) => (Some(won), Staleness::NextHopChanged),
        (None, None) => (after.members.first().or(before.members.first()), Staleness::NextHopChanged),
    };
    let subject = Subject::NextHop {
        port: about.and_then(|member| member.port),
        via: about.and_then(|member| member.gateway),
        ipv6,
    };
    PathDifference { reason, subject, ipv6, returns, link_returns, prefixes: None }
}

/// What happened to what lookups need besides routes; nothing where no answer can be another for it.
pub(crate) fn differences_of_surroundings(before: &Surroundings, after: &Surroundings) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |reason, subject| found.push(Difference { reason, subject });
    for (ipv6, was, is) in
        [(false, &before.rules_v4, &after.rules_v4), (true, &before.rules_v6, &after.rules_v6)]
    {
        if was != is {
            add(Staleness::Rule, Subject::Family { ipv6 });
        }
    }
    let (was, is) = (&before.namespace, &after.namespace);
    if differ_for_all_sources(before, after) || was.multipath_hash_policy_v4 != is.multipath_hash_policy_v4 {
        add(Staleness::Settings, Subject::Family { ipv6: false });
    }
    if was.multipath_hash_policy_v6 != is.multipath_hash_policy_v6 {
        add(Staleness::Settings, Subject::Family { ipv6: true });
    }
    let ports = || (0..before.ports.len().max(after.ports.len())).map(|port| PortId(port as u16));
    if ports().any(|port| domain(before, port) != domain(after, port)) {
        add(Staleness::Vrf, Subject::All);
    }
    for port in ports() {
        if let Some(reason) = difference_of_ports(before, after, port) {
            add(reason, Subject::Port(port));
        }
    }
    for address in after.own.difference(&before.own) {
        add(Staleness::AddressAdded, Subject::Address(*address));
    }
    for address in before.own.difference(&after.own) {
        add(Staleness::AddressRemoved, Subject::Address(*address));
    }
    for prefix in differing_policies(before, after) {
        add(Staleness::Policy, Subject::Policy(prefix));
    }
    found
}

/// Whether sources may be judged otherwise whatever port they come from, or the same on ports that are not told
/// apart.
fn differ_for_all_sources(before: &Surroundings, after: &Surroundings) -> bool {
    let of = |settings: &LinkSettings| (settings.accept_local, settings.route_localnet);
    let mut both = before.ports.iter().zip(&after.ports);
    before.custom_local_routes != after.custom_local_routes
        || before.sources_alike != after.sources_alike
        || after.sources_alike && both.any(|(was, is)| of(&was.settings) != of(&is.settings))
}

/// What a VRF rule and an `iif` rule that names a VRF ask of a port.
fn domain(surroundings: &Surroundings, port: PortId) -> (Option<LinkIndex>, Option<u32>) {
    (surroundings.master_of(port), surroundings.vrf_table(Some(port)))
}

fn difference_of_ports(before: &Surroundings, after: &Surroundings, port: PortId) -> Option<Staleness> {
    let of = |surroundings: &Surroundings| {
        let settings = surroundings.settings(port);
        (settings.rp_filter, settings.send_redirects, settings.accept_local, settings.route_localnet)
    };
    let has_address = |surroundings: &Surroundings| {
        surroundings.addresses(port).iter().any(|address| address.net.addr().is_ipv4())
    };
    if before.link_of(port) != after.link_of(port) {
        Some(Staleness::PortReplaced)
    } else if of(before) != of(after) {
        Some(Staleness::Settings)
    } else {
        match (has_address(before), has_address(after)) {
            (false, true) => Some(Staleness::AddressAdded),
            (true, false) => Some(Staleness::AddressRemoved),
            _ => None,
        }
    }
}

fn differing_policies(before: &Surroundings, after: &Surroundings) -> Vec<IpNet> {
    let (was, is) = (before.policies.list(), after.policies.list());
    let missing = |from: &[(IpNet, _)], policy: &(IpNet, _)| !from.contains(policy);
    let gone = was.iter().filter(|policy| missing(is, policy));
    let new = is.iter().filter(|policy| missing(was, policy));
    let mut prefixes: Vec<_> = gone.chain(new).map(|(prefix, _)| *prefix).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}
