//! Sources: whether a packet may come from where it says, and which address the router itself speaks from.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::surroundings::LinkSurroundings;
use super::{
    Adjacency, Answer, Depends, Martian, Outcome, Place, Purpose, Query, Snapshot, SourceAnswer, SourceCheck,
    WayBack,
};
use crate::adjacency::{LinkIndex, PortId};
use crate::change::{Address, ReversePath, RouteType, Scope};
use crate::path::Path;

const VALID: SourceCheck = SourceCheck::Valid { direct: false };

impl Snapshot {
    /// Whether a packet may bear its source address, as `fib_validate_source` (net/ipv4/fib_frontend.c) judges for a
    /// packet that would leave by `output` (`None` when it is for the router or a broadcast).
    ///
    /// IPv6 has no such filter in Linux: there only multicast and loopback sources are refused.
    #[must_use]
    pub fn check_source(&self, query: &Query, output: Option<PortId>) -> SourceAnswer {
        let mut answer = SourceAnswer { check: VALID, ..SourceAnswer::UNASKED };
        let Some(input) = query.input else { return answer };
        answer.depends.source = true;
        answer.check = match query.source {
            IpAddr::V4(source) => {
                answer.depends.input = !self.surroundings.sources_alike;
                if self.is_impossible(source, input) {
                    SourceCheck::Martian(Martian::Impossible)
                } else {
                    self.validate_source_v4(query, input, output, &mut answer)
                }
            }
            IpAddr::V6(source) if source.is_multicast() || source.is_loopback() => {
                SourceCheck::Martian(Martian::Impossible)
            }
            IpAddr::V6(_) => SourceCheck::Valid { direct: true },
        };
        answer
    }

    /// The address the router speaks from when it sends by this answer: the route's preferred source, else as
    /// `inet_select_addr` or `ipv6_dev_get_saddr` choose. For a local destination, that destination.
    #[must_use]
    pub fn source_address(&self, answer: &Answer, destination: IpAddr) -> Option<IpAddr> {
        match answer.adjacency {
            Adjacency::Local => Some(destination),
            Adjacency::Forward(hop) => answer.preferred_source.or_else(|| match destination {
                IpAddr::V4(_) => {
                    let gateway = hop.gateway.filter(IpAddr::is_ipv4);
                    self.select_source_v4(Some(hop.port), gateway, answer.scope)
                }
                IpAddr::V6(destination) => self.select_source_v6(Some(hop.port), destination),
            }),
            _ => None,
        }
    }

    /// The address a port speaks from towards a destination when no route is asked: of its own addresses first, then
    /// of other links.
    #[must_use]
    pub fn port_source_address(&self, port: PortId, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(_) => self.select_source_v4(Some(port), Some(destination), Scope::UNIVERSE),
            IpAddr::V6(destination) => self.select_source_v6(Some(port), destination),
        }
    }

    /// Sources that `ip_route_input_slow` refuses before it looks anything up.
    fn is_impossible(&self, source: Ipv4Addr, input: PortId) -> bool {
        source.is_multicast()
            || source.is_broadcast()
            || source.is_unspecified()
            || source.is_loopback() && !self.link_settings(input).route_localnet
    }

    fn validate_source_v4(
        &self,
        query: &Query,
        input: PortId,
        output: Option<PortId>,
        answer: &mut SourceAnswer,
    ) -> SourceCheck {
        let settings = self.link_settings(input);
        let hairpin = output == Some(input) && settings.send_redirects;
        if settings.rp_filter == ReversePath::Off && !hairpin {
            if settings.accept_local {
                return VALID;
            }
            if !self.surroundings.custom_local_routes && !self.surroundings.custom_rules_v4 {
                let own = self.surroundings.own.contains(&query.source);
                return if own { SourceCheck::Martian(Martian::OwnAddress) } else { VALID };
            }
        }
        self.validate_reverse_path(query, input, output, answer)
    }

    /// `__fib_validate_source`.
    fn validate_reverse_path(
        &self,
        query: &Query,
        input: PortId,
        output: Option<PortId>,
        answer: &mut SourceAnswer,
    ) -> SourceCheck {
        let settings = self.link_settings(input);
        let link = self.surroundings.link(input);
        let reverse = query.back(output);
        let last_resort = match settings.rp_filter {
            ReversePath::Off => VALID,
            ReversePath::Strict | ReversePath::Loose => SourceCheck::Martian(Martian::ReversePath),
        };
        let (path, found) = self.find_reverse(&reverse, None, &mut answer.depends);
        let rests_on = answer.reverse.insert(WayBack { found, again: None });
        let Some(path) = path else { return last_resort };
        match path.kind {
            RouteType::Unicast => {}
            RouteType::Local if settings.accept_local => {}
            RouteType::Local => return SourceCheck::Martian(Martian::OwnAddress),
            _ => return SourceCheck::Martian(Martian::Impossible),
        }
        let Some(link) = link else { return last_resort };
        if path.members.iter().any(|member| member.link == Some(link.index)) {
            return SourceCheck::Valid { direct: is_direct(path, None) };
        }
        if !link.addresses.iter().any(|address| address.net.addr().is_ipv4()) {
            return last_resort;
        }
        if settings.rp_filter == ReversePath::Strict {
            return SourceCheck::Martian(Martian::ReversePath);
        }
        let (path, found) = self.find_reverse(&reverse, Some(link.index), &mut answer.depends);
        rests_on.again = Some(found);
        match path {
            Some(path) if path.kind == RouteType::Unicast => {
                SourceCheck::Valid { direct: is_direct(path, Some(link.index)) }
            }
            _ => VALID,
        }
    }

    /// The route back. Routes that only say no are as good as none.
    fn find_reverse(
        &self,
        reverse: &Query,
        only: Option<LinkIndex>,
        depends: &mut Depends,
    ) -> (Option<&Path>, Option<Place>) {
        let mut rests_on = Depends::default();
        let found = self.find(reverse, only, Purpose::Reverse, &mut rests_on);
        depends.tos |= rests_on.tos;
        depends.ports |= rests_on.ports;
        let path = match found.outcome {
            Outcome::Path(path) => Some(path),
            Outcome::Blackhole | Outcome::Unreachable | Outcome::Prohibit | Outcome::Nothing => None,
        };
        (path, found.place)
    }

    /// `inet_select_addr` (net/ipv4/devinet.c).
    fn select_source_v4(
        &self,
        port: Option<PortId>,
        destination: Option<IpAddr>,
        scope: Scope,
    ) -> Option<IpAddr> {
        let link = port.and_then(|port| self.surroundings.link(port));
        let localnet = port.is_some_and(|port| self.link_settings(port).route_localnet);
        let widest = if localnet { Scope::LINK } else { Scope::HOST };
        let on_link = link.and_then(|link| {
            let mut fit = primaries(link).filter(|address| address.scope.min(widest) <= scope);
            let first = fit.clone().next()?;
            let matching =
                destination.and_then(|destination| fit.find(|address| address.net.contains(&destination)));
            Some(matching.unwrap_or(first).net.addr())
        });
        let vrf = link.and_then(|link| link.vrf);
        let elsewhere = || {
            let vrf_itself = self.surroundings.links.iter().filter(|held| Some(held.index) == vrf);
            let same_domain = self.surroundings.links.iter().filter(|held| held.vrf == vrf);
            let mut candidates = vrf_itself.chain(same_domain).flat_map(primaries);
            let fits = |address: &&Address| address.scope != Scope::LINK && address.scope <= scope;
            candidates.find(fits).map(|address| address.net.addr())
        };
        on_link.or_else(elsewhere)
    }

    /// `ipv6_dev_get_saddr` (net/ipv6/addrconf.c): RFC 6724 section 5, rules 1, 2, 3, 5, 6 and 8.
    fn select_source_v6(&self, port: Option<PortId>, destination: Ipv6Addr) -> Option<IpAddr> {
        let link = port.and_then(|port| self.surroundings.link(port));
        let own_link_only = destination.is_unicast_link_local() || destination.is_multicast();
        let outgoing = link.map(|link| link.index);
        let vrf = link.and_then(|link| link.vrf);
        let in_reach = |held: &&LinkSurroundings| {
            Some(held.index) == outgoing || !own_link_only && (held.vrf == vrf || Some(held.index) == vrf)
        };
        let candidates = self.surroundings.links.iter().filter(in_reach).flat_map(|held| {
            held.addresses.iter().filter(|address| !address.tentative).filter_map(
                move |address| match address.net.addr() {
                    IpAddr::V6(source) => Some((held, address, source)),
                    IpAddr::V4(_) => None,
                },
            )
        });
        let rank = |(held, address, source): &(&LinkSurroundings, &Address, Ipv6Addr)| {
            let scope = scope_of(*source);
            let wanted = scope_of(destination);
            let reaches = scope >= wanted;
            let closeness =
                if reaches { Reverse(i16::from(scope)) } else { Reverse(i16::MAX - i16::from(scope)) };
            let common = (u128::from(*source) ^ u128::from(destination)).leading_zeros();
            (
                *source == destination,
                (reaches, closeness),
                !address.deprecated,
                Some(held.index) == outgoing,
                label_of(*source) == label_of(destination),
                common.min(u32::from(address.net.prefix_len())),
            )
        };
        let usable = candidates.filter(|(_, _, source)| !source.is_multicast() && !source.is_unspecified());
        let mut best: Option<(_, Ipv6Addr)> = None;
        for candidate in usable {
            let score = rank(&candidate);
            if best.as_ref().is_none_or(|(held, _)| score > *held) {
                best = Some((score, candidate.2));
            }
        }
        best.map(|(_, source)| IpAddr::V6(source))
    }
}

/// No gateway on the first next hop that counts (`nhc_scope >= RT_SCOPE_HOST`).
fn is_direct(path: &Path, only: Option<LinkIndex>) -> bool {
    let counts = |member: &&crate::path::Member| {
        member.is_alive_for_the_kernel() && (only.is_none() || member.link == only)
    };
    path.members.iter().find(counts).is_some_and(|member| member.gateway.is_none())
}

fn primaries(link: &LinkSurroundings) -> impl Iterator<Item = &Address> + Clone {
    let is_primary =
        |address: &&Address| address.net.addr().is_ipv4() && !address.secondary && !address.tentative;
    link.addresses.iter().filter(is_primary)
}

/// Scope as a multicast scope value (RFC 6724 section 3.1): 1 host, 2 link, 5 site, 14 global.
fn scope_of(address: Ipv6Addr) -> u8 {
    let [first, second, ..] = address.octets();
    match (first, second) {
        (0xff, second) => second & 0xf,
        (0xfe, 0x80..=0xbf) => 2,
        (0xfe, 0xc0..=0xff) => 5,
        _ if address.is_loopback() => 2,
        _ => 14,
    }
}

/// The default policy table's labels (`ip6addrlbl_init_table` in net/ipv6/addrlabel.c).
fn label_of(address: Ipv6Addr) -> u8 {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, _, _] => 4,
        [0, 0, 0, 0, 0, 0, _, _] => 3,
        [0x2001, 0, ..] => 6,
        [0x2001, second, ..] if (0x10..0x20).contains(&second) => 7,
        [0x2002, ..] => 2,
        [first, ..] if first & 0xfe00 == 0xfc00 => 5,
        [first, ..] if first & 0xffc0 == 0xfec0 => 11,
        [0x3ffe, ..] => 12,
        _ => 1,
    }
}
