//! What rules ask of the routing state (`nft_fib_ipv4.c`, `nft_fib_ipv6.c`, `nft_rt.c`).

use std::net::IpAddr;

use fib::adjacency::{LinkIndex, PortId};
use fib::change::RouteType;
use fib::snapshot::{Adjacency, Query};

use super::Run;
use crate::chain::Point;
use crate::rules::lookup::number;
use crate::rules::model::{FibBy, FibResult, RouteKey};

const ICMPV6: u8 = 58;

impl Run<'_, '_> {
    pub(super) fn fib(&self, by: FibBy, result: FibResult) -> Option<u128> {
        let device = if by.input {
            self.input()
        } else if by.output {
            self.output()
        } else {
            None
        };
        if result == FibResult::AddressType {
            let address = if by.destination { self.packet.destination() } else { self.packet.source() };
            return Some(u128::from(self.address_type(address, device, by)));
        }
        let link = self.fib_device(by, device);
        Some(match result {
            FibResult::Index => u128::from(link.map_or(0, |link| link.0)),
            FibResult::Name => self.world.name(link.and_then(|link| self.context.routing.port_of(link))),
            FibResult::Present | FibResult::AddressType => u128::from(link.is_some()),
        })
    }

    /// The device by which an address is reached; with `device`, that one or none.
    fn fib_device(&self, by: FibBy, device: Option<PortId>) -> Option<LinkIndex> {
        let (source, destination) = (self.packet.source(), self.packet.destination());
        let input = || self.context.routing.ports().get(self.input()?).link;
        let special = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                source.octets()[0] == 0
                    && (destination.is_broadcast() || destination.octets().starts_with(&[224, 0, 0]))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.point == Point::Prerouting
                    && self.packet.header.protocol == ICMPV6
                    && source.is_unspecified()
                    && destination.is_unicast_link_local()
            }
            _ => false,
        };
        if special {
            return input();
        }
        self.context.routing.device_towards(&self.fib_query(by, device), device)
    }

    fn fib_query(&self, by: FibBy, device: Option<PortId>) -> Query {
        let query = self.packet.query();
        let (source, destination) = if by.destination {
            (query.source, query.destination)
        } else {
            (query.destination, query.source)
        };
        let input = match destination {
            IpAddr::V4(_) if !by.destination && by.input && self.point == Point::Forward => self.output(),
            IpAddr::V4(_) => None,
            IpAddr::V6(address) if address.is_unicast_link_local() => device.or(self.input()),
            IpAddr::V6(_) => None,
        };
        Query {
            destination,
            source,
            input,
            mark: if by.mark { query.mark } else { 0 },
            source_port: 0,
            destination_port: 0,
            ..query
        }
    }

    fn address_type(&self, address: IpAddr, device: Option<PortId>, by: FibBy) -> u8 {
        let kind = match address {
            IpAddr::V4(_) => self.context.routing.address_type_v4(address, device),
            IpAddr::V6(address) => {
                let query = self.fib_query(by, device);
                self.context.routing.address_type_v6(&query, address, device)
            }
        };
        match kind {
            Some(RouteType::Unicast) => 1,
            Some(RouteType::Local) => 2,
            Some(RouteType::Broadcast) => 3,
            Some(RouteType::Anycast) => 4,
            Some(RouteType::Multicast) => 5,
            Some(RouteType::Blackhole) => 6,
            Some(RouteType::Unreachable) => 7,
            Some(RouteType::Prohibit) => 8,
            Some(RouteType::Throw) => 9,
            None => 0,
        }
    }

    pub(super) fn route(&self, key: RouteKey) -> Option<u128> {
        self.output()?;
        let hop = self.packet.route?.hop;
        let next_hop = hop.gateway.unwrap_or_else(|| self.packet.destination());
        match (key, next_hop) {
            (RouteKey::Realm, _) => Some(0),
            (RouteKey::NextHopIpv4, IpAddr::V4(address)) => Some(number(&address.octets())),
            (RouteKey::NextHopIpv6, IpAddr::V6(address)) => Some(number(&address.octets())),
            (RouteKey::Mtu, _) => Some(u128::from(self.segment_max())),
            _ => None,
        }
    }

    /// The largest TCP segment both ways have room for (`get_tcpmss`).
    fn segment_max(&self) -> u16 {
        const USUAL: u16 = 536;
        let routing = self.context.routing;
        let mtu_of = |hop: &fib::snapshot::Hop| match hop.route_mtu {
            0 => routing.ports().get(hop.port).mtu,
            mtu => mtu,
        };
        let Some(routed) = self.packet.route else { return USUAL };
        let mut mtu = mtu_of(&routed.hop);
        let query = self.packet.query();
        let back = Query {
            destination: query.source,
            source: unspecified(query.source),
            input: None,
            mark: 0,
            tos: 0,
            source_port: 0,
            destination_port: 0,
            protocol: 0,
        };
        if let Adjacency::Forward(hop) = routing.lookup(&back).adjacency {
            mtu = mtu.min(mtu_of(&hop));
        }
        let headers = if query.source.is_ipv4() { 40 } else { 60 };
        match u16::try_from(mtu) {
            Ok(mtu) if mtu > headers => mtu - headers,
            _ => USUAL,
        }
    }
}

const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
