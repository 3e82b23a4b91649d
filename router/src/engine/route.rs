//! Where a packet goes: its flow's route if that is still good, else the routing state is asked.

use std::net::IpAddr;

use fib::adjacency::PortId;
use fib::snapshot::{Adjacency, Answer, Depends, Hop, Martian, Query, SourceCheck};

use super::icmp::{Error4, Error6};
use super::{Off, Packet, Walk};
use crate::drops::DropReason;
use crate::packet::ipv4;

/// The way a packet will take.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// The way.
    pub hop: Hop,
    /// It leaves by the port it came by, and its source could reach the next hop itself: a redirect is due.
    pub redirect: bool,
}

/// A fresh answer with its question, as a flow keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    /// What was asked.
    pub query: Query,
    /// What was answered.
    pub answer: Answer,
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

impl Walk<'_> {
    /// The packet's route: the one a hook has set, or the one found now. An error is a packet that routing itself
    /// refuses (`ip_route_input`, `ip6_route_input`).
    pub(super) fn route(&mut self, packet: &mut Packet) -> Result<Fate, Off> {
        packet.forget_outdated_route();
        if let Some(routed) = packet.route {
            self.context.counters.flow_cache_hits.raise();
            return Ok(Fate::Forward(routed));
        }
        let query = packet.query();
        let fate = match query.destination {
            IpAddr::V4(_) => self.judge_ipv4(packet, query)?,
            IpAddr::V6(_) => self.judge_ipv6(packet, query),
        };
        if let Fate::Forward(routed) = fate {
            packet.refuse_link_broadcast()?;
            packet.route = Some(routed);
        }
        Ok(fate)
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
        let mut answer = self.look_up(packet, &query);
        Ok(Fate::End(match answer.adjacency {
            Adjacency::Forward(hop) => {
                let direct = self.valid_source(&query, Some(hop.port), &mut answer.depends)?;
                let redirect = hop.port == packet.input()
                    && direct
                    && self.context.routing.link_settings(hop.port).send_redirects;
                packet.learned = Some(Learned { query, answer });
                return Ok(Fate::Forward(Routed { hop, redirect }));
            }
            Adjacency::Local => {
                self.valid_source(&query, None, &mut answer.depends)?;
                Off::Local
            }
            Adjacency::Broadcast | Adjacency::Multicast => Off::Group,
            Adjacency::Blackhole => Off::Drop(DropReason::Blackhole),
            Adjacency::Unreachable => Off::Answer4(DropReason::Unreachable, Error4::HOST),
            Adjacency::Prohibit => Off::Answer4(DropReason::Prohibit, Error4::PROHIBITED),
            Adjacency::NoRoute => Off::Answer4(DropReason::NoRoute, Error4::NETWORK),
        }))
    }

    /// Whether the source may come from where it came; says whether it is directly on that link.
    fn valid_source(
        &self,
        query: &Query,
        output: Option<PortId>,
        depends: &mut Depends,
    ) -> Result<bool, Off> {
        match self.context.routing.validate_source(query, output, depends) {
            SourceCheck::Valid { direct } => Ok(direct),
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
            Adjacency::Forward(hop) => {
                let redirect = hop.port == packet.input();
                packet.learned = Some(Learned { query, answer });
                return Fate::Forward(Routed { hop, redirect });
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
