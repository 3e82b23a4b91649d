//! Where a packet goes: its flow's route if that is still good, else the routing state is asked.

use std::net::{IpAddr, Ipv4Addr};

use fib::adjacency::{Mac, PortId};
use fib::cache::{Judgement, Stamp, Way};
use fib::change::Address;
use fib::snapshot::{
    Adjacency, Answer, Generation, Hop, Martian, Query, Snapshot, SourceAnswer, SourceCheck,
};
use ipnet::IpNet;

use super::icmp::{Error4, Error6};
use super::neighborhood::is_discovery;
use super::{Kind, Off, Packet, Recalled, Stale, Walk};
use crate::drops::DropReason;
use crate::flow::{Kept, is_asked_by};
use crate::packet::ipv4;

/// The link address of everybody on a link.
const EVERYBODY: Mac = Mac([0xff; 6]);

/// The way a packet will take.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// The way.
    pub hop: Hop,
    /// It leaves by the port it came by, and its source could reach the next hop itself: a redirect is due.
    pub redirect: bool,
    /// The link address that a hook has chosen instead of asking where to. The packet goes there, unless the hop has a
    /// neighbor and that is known by another address by now. Nothing is kept of such a way.
    pub chosen: Option<Mac>,
}

/// A way that was looked up for a packet, as its flow may keep it.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    /// The way.
    pub way: Way,
    /// The state that was asked: read with the answer, never later.
    pub generation: Generation,
}

/// What routing makes of a packet. It takes effect once the options have been read.
#[derive(Debug)]
pub(super) enum Fate {
    /// It goes on.
    Forward(Routed),
    /// It ends here.
    End(Off),
}

impl Fate {
    /// Whether the packet is the kernel's.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self, Self::End(Off::Local | Off::Group))
    }

    /// The way on, if there is one.
    pub(super) fn followed(self) -> Result<Routed, Off> {
        match self {
            Self::Forward(routed) => Ok(routed),
            Self::End(off) => Err(off),
        }
    }
}

impl Routed {
    /// The way that routing has found.
    #[must_use]
    pub const fn to(hop: Hop) -> Self {
        Self { hop, redirect: false, chosen: None }
    }

    const fn by(way: &Way) -> Self {
        Self { redirect: way.redirect, ..Self::to(way.hop) }
    }
}

impl Learned {
    fn of(query: &Query, answer: &Answer, source: &SourceAnswer, redirect: bool) -> Option<Self> {
        let way = Way::learn(query, answer, source, redirect)?;
        Some(Self { way, generation: answer.generation })
    }

    /// Whether it may be kept: when there was no room for its neighbor, the next packet may find some.
    pub(crate) fn has_place(&self, routing: &Snapshot) -> bool {
        let hop = &self.way.hop;
        hop.neighbor.is_some() || !routing.ports().get(hop.port).needs_resolution
    }
}

impl Walk<'_> {
    /// The packet's route: the one a hook has set, the one its flow remembers, or the one found now. An error is a packet
    /// that routing itself refuses (`ip_route_input`, `ip6_route_input`).
    pub(super) fn route(&mut self, packet: &mut Packet) -> Result<Fate, Off> {
        if let Some(routed) = packet.route {
            return Ok(Fate::Forward(routed));
        }
        let query = packet.query();
        let is_followed = packet.track.followed().is_some();
        let remembered =
            if is_followed { self.recall(packet, &query) } else { self.recall_untracked(&query) };
        if let Some(way) = remembered {
            let routed = Routed::by(&way);
            packet.route = Some(routed);
            return Ok(Fate::Forward(routed));
        }
        let fate = match query.destination {
            IpAddr::V4(_) => self.judge_ipv4(packet, query)?,
            IpAddr::V6(_) => self.judge_ipv6(packet, query),
        };
        if let Fate::Forward(routed) = fate {
            packet.refuse_link_broadcast()?;
            packet.route = Some(routed);
            if is_followed {
                self.context.counters.flow_cache_misses.add(packet.recalled.is_some().into());
            }
            if let Some(learned) = packet.learned {
                match packet.track.followed() {
                    None => self.keep_untracked(&query, learned),
                    Some((flow, direction)) if is_asked_by(flow, direction, &query, &learned.way) => {}
                    Some(_) => packet.learned = None,
                }
            }
        }
        Ok(fate)
    }

    /// What the packet's flow remembers of the way, if it holds for the packet as it is now.
    fn recall(&self, packet: &mut Packet, query: &Query) -> Option<Way> {
        let Recalled { kept, trust } = packet.recalled?;
        let number = kept.way()?;
        let way = self.context.ways.get(number)?;
        let (flow, direction) = packet.track.followed()?;
        if !is_asked_by(flow, direction, query, way) {
            return None;
        }
        let memory = &flow.user;
        let counters = self.context.counters;
        let judgement = way.judge(kept.stamp(), self.context.routing, query, trust);
        match judgement {
            Judgement::Good => {}
            Judgement::Unaffected => counters.flow_cache_unaffected.raise(),
            Judgement::KeptByPolicy => counters.flow_cache_kept_by_policy.raise(),
            Judgement::Stale(renewal) => {
                counters.flow_cache_revalidated.raise();
                counters.renew(renewal.reason);
                packet.stale = Some(Stale { hop: way.hop, renewal });
                return None;
            }
        }
        if judgement != Judgement::Good {
            let again = Kept::new(number, Stamp::of(self.context.routing.generation()));
            memory.keep(direction, kept, again);
        }
        memory.count_hit(direction);
        counters.flow_cache_hits.raise();
        Some(*way)
    }

    /// The way that an earlier packet without a flow has found, if it asked the same.
    fn recall_untracked(&mut self, query: &Query) -> Option<Way> {
        let trust = self.context.flow_cache.of(Kind::Untracked).trust()?;
        self.untracked.recall(query, self.context.routing, trust, self.context.counters)
    }

    fn keep_untracked(&mut self, query: &Query, learned: Learned) {
        if !self.context.flow_cache.uses(Kind::Untracked) {
            return;
        }
        self.context.counters.untracked_cache_misses.raise();
        if learned.has_place(self.context.routing) {
            self.untracked.keep(query, learned.way, Stamp::of(learned.generation));
        }
    }

    pub(super) fn look_up(&self, packet: &Packet, query: &Query) -> Answer {
        self.context.counters.fib_lookups.raise();
        self.context.routing.lookup_keeping(query, packet.stale.map(|stale| stale.hop))
    }

    /// What `ip_route_input_slow` makes of a question, and `ip_error` of its answer (`net/ipv4/route.c`).
    pub(super) fn judge_ipv4(&self, packet: &mut Packet, query: Query) -> Result<Fate, Off> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (query.source, query.destination) else {
            unreachable!("a question has addresses of one family")
        };
        let localnet = self.context.routing.link_settings(packet.input()).route_localnet;
        match ipv4::martian(source, destination, localnet) {
            Ok(ipv4::Destination::Unicast) => {}
            Ok(_) => return Ok(Fate::End(Off::Group)),
            Err(_) => return Err(Off::Drop(DropReason::Martian)),
        }
        let answer = self.look_up(packet, &query);
        Ok(Fate::End(match answer.adjacency {
            Adjacency::Forward(hop) => {
                let (source, direct) = self.valid_source(&query, Some(hop.port))?;
                let redirect = hop.port == packet.input()
                    && direct
                    && self.context.routing.link_settings(hop.port).send_redirects;
                packet.learned = Learned::of(&query, &answer, &source, redirect);
                return Ok(Fate::Forward(Routed { redirect, ..Routed::to(hop) }));
            }
            Adjacency::Local => {
                self.valid_source(&query, None)?;
                Off::Local
            }
            Adjacency::Broadcast => match self.directed_broadcast(packet, destination) {
                Some(routed) => {
                    self.valid_source(&query, Some(routed.hop.port))?;
                    return Ok(Fate::Forward(routed));
                }
                None => Off::Group,
            },
            Adjacency::Multicast => Off::Group,
            Adjacency::Blackhole => Off::Drop(DropReason::Blackhole),
            Adjacency::Unreachable => Off::Answer4(DropReason::Unreachable, Error4::HOST),
            Adjacency::Prohibit => Off::Answer4(DropReason::Prohibit, Error4::PROHIBITED),
            Adjacency::NoRoute => Off::Answer4(DropReason::NoRoute, Error4::NETWORK),
        }))
    }

    /// The way of a packet to everybody on a link of this router's, if it forwards such packets (`bc_forwarding`). A kernel
    /// that is the host forwards them itself.
    fn directed_broadcast(&self, packet: &Packet, destination: Ipv4Addr) -> Option<Routed> {
        let allowed = self.context.routing.link_settings(packet.input()).bc_forwarding;
        if self.shared.host.is_owned() && allowed { self.way_to_all(destination) } else { None }
    }

    /// The way to everybody on the link whose broadcast address this is.
    pub(super) fn way_to_all(&self, destination: Ipv4Addr) -> Option<Routed> {
        let is_broadcast = |address: &Address| match address.net {
            IpNet::V4(net) => net.prefix_len() < 31 && net.broadcast() == destination,
            IpNet::V6(_) => false,
        };
        let routing = self.context.routing;
        let port = self.shared.ports.ids().find(|port| routing.addresses(*port).iter().any(is_broadcast))?;
        let hop = Hop { port, neighbor: None, gateway: None, route_mtu: 0 };
        Some(Routed { chosen: Some(EVERYBODY), ..Routed::to(hop) })
    }

    /// Whether the source may come from where it came: what was found, and whether it is directly on that link.
    fn valid_source(&self, query: &Query, output: Option<PortId>) -> Result<(SourceAnswer, bool), Off> {
        let source = self.context.routing.check_source(query, output);
        match source.check {
            SourceCheck::Valid { direct } => Ok((source, direct)),
            SourceCheck::Martian(Martian::ReversePath) => Err(Off::Drop(DropReason::ReversePath)),
            SourceCheck::Martian(_) => Err(Off::Drop(DropReason::Martian)),
        }
    }

    /// What `ip6_route_input` makes of a question, and `ip6_pkt_discard` and its like of the answer
    /// (`net/ipv6/route.c`).
    fn judge_ipv6(&self, packet: &mut Packet, query: Query) -> Fate {
        if query.destination.is_multicast() {
            return Fate::End(Off::Group);
        }
        let answer = self.look_up(packet, &query);
        Fate::End(match answer.adjacency {
            // A question to a host that this router answers for (`ip6_forward_proxy_check`).
            Adjacency::Forward(_) if self.shared.discovery.answers_for_others() && is_discovery(packet) => {
                Off::Local
            }
            Adjacency::Forward(hop) => {
                let redirect = hop.port == packet.input();
                packet.learned = Learned::of(&query, &answer, &SourceAnswer::UNASKED, redirect);
                return Fate::Forward(Routed { redirect, ..Routed::to(hop) });
            }
            Adjacency::Local => Off::Local,
            Adjacency::Broadcast | Adjacency::Multicast => Off::Group,
            Adjacency::Blackhole => Off::Drop(DropReason::Blackhole),
            Adjacency::Unreachable => Off::Answer6(DropReason::Unreachable, Error6::NO_ROUTE),
            Adjacency::Prohibit => Off::Answer6(DropReason::Prohibit, Error6::PROHIBITED),
            Adjacency::NoRoute => Off::Answer6(DropReason::NoRoute, Error6::NO_ROUTE),
        })
    }
}
