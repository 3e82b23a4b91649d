//! Policy rules in the form lookups use: names resolved to ports, tables to slots, `goto` to places.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::surroundings::Surroundings;
use super::{Depends, Query};
use crate::adjacency::{LinkIndex, PortId};

/// The bits of the TOS that IPv4 routes by (`INET_DSCP_LEGACY_TOS_MASK`).
pub(crate) const TOS_MASK_V4: u8 = 0x1c;
/// The bits of the traffic class that IPv6 rules compare: all but ECN.
pub(crate) const TOS_MASK_V6: u8 = 0xfc;

/// The rules of one family in the order they are asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RuleSet {
    pub(crate) rules: Vec<CompiledRule>,
}

/// A rule as packets meet it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledRule {
    pub(crate) invert: bool,
    /// An `oif` or `uidrange` that no packet of ours has.
    pub(crate) never: bool,
    pub(crate) input: Input,
    pub(crate) mark: Option<(u32, u32)>,
    pub(crate) vrf: bool,
    pub(crate) from: Option<IpNet>,
    pub(crate) to: Option<IpNet>,
    pub(crate) tos: u8,
    pub(crate) protocol: Option<u8>,
    pub(crate) source_ports: Option<RangeInclusive<u16>>,
    pub(crate) destination_ports: Option<RangeInclusive<u16>>,
    pub(crate) suppress_prefix_length: Option<u8>,
    pub(crate) action: Action,
}

/// What `iif` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Any,
    /// Names a device that is none of ours.
    Nobody,
    /// `iif lo`: packets of the router itself.
    Router,
    Port(PortId),
    /// Ports enslaved to this VRF.
    Vrf(LinkIndex),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look into the table in this slot.
    Lookup(u32),
    /// Look into the table of the VRF that the port of entry belongs to.
    LookupVrf,
    /// Go on at this place in the rule set.
    Goto(usize),
    Nop,
    Blackhole,
    Unreachable,
    Prohibit,
}

impl RuleSet {
    /// `RT_TABLE_LOCAL`.
    pub(crate) const LOCAL_TABLE: u32 = 255;
    /// `RT_TABLE_MAIN`.
    pub(crate) const MAIN_TABLE: u32 = 254;
    /// `RT_TABLE_DEFAULT`.
    pub(crate) const DEFAULT_TABLE: u32 = 253;

    /// The next rule from `next` on that speaks of this packet and says more than where to go on; and its place.
    /// What was looked at to tell goes into `depends`.
    pub(super) fn next_for(
        &self,
        next: &mut usize,
        query: &Query,
        surroundings: &Surroundings,
        depends: &mut Depends,
    ) -> Option<(u16, &CompiledRule)> {
        while let Some(rule) = self.rules.get(*next) {
            let place = *next;
            *next += 1;
            if !rule.matches(query, surroundings, depends) {
                continue;
            }
            match rule.action {
                Action::Goto(target) => {
                    debug_assert!(target > place, "rules only go forward");
                    *next = target.max(*next);
                }
                Action::Nop => {}
                _ => return Some((u16::try_from(place).expect("bounded by RULES_MAX"), rule)),
            }
        }
        None
    }
}

impl CompiledRule {
    /// Whether the rule speaks of this packet (`fib_rule_match`, `fib4_rule_match`, `fib6_rule_match`). What was
    /// looked at to tell goes into `depends`.
    fn matches(&self, query: &Query, surroundings: &Surroundings, depends: &mut Depends) -> bool {
        self.selects(query, surroundings, depends) != self.invert
    }

    /// Whether an answer from a prefix of this length does not count.
    pub(super) fn suppresses(&self, length: u8) -> bool {
        self.suppress_prefix_length.is_some_and(|limit| length <= limit)
    }

    fn selects(&self, query: &Query, surroundings: &Surroundings, depends: &mut Depends) -> bool {
        if self.never {
            return false;
        }
        if self.input != Input::Any {
            depends.input = true;
            if !self.input.is(query.input, surroundings) {
                return false;
            }
        }
        if let Some((value, mask)) = self.mark {
            depends.mark = true;
            if (query.mark ^ value) & mask != 0 {
                return false;
            }
        }
        if self.vrf {
            depends.input = true;
            if surroundings.vrf_table(query.input).is_none() {
                return false;
            }
        }
        if let Some(from) = self.from {
            depends.source = true;
            if !from.contains(&query.source) {
                return false;
            }
        }
        if self.to.is_some_and(|to| !to.contains(&query.destination)) {
            return false;
        }
        if self.tos != 0 {
            depends.tos = true;
            let mask = if query.destination.is_ipv4() { TOS_MASK_V4 } else { TOS_MASK_V6 };
            if self.tos != query.tos & mask {
                return false;
            }
        }
        self.selects_transport(query, depends)
    }

    fn selects_transport(&self, query: &Query, depends: &mut Depends) -> bool {
        depends.ports |=
            self.protocol.is_some() || self.source_ports.is_some() || self.destination_ports.is_some();
        let within =
            |range: &Option<RangeInclusive<u16>>, id| range.as_ref().is_none_or(|range| range.contains(&id));
        self.protocol.is_none_or(|protocol| protocol == query.protocol)
            && within(&self.source_ports, query.source_port)
            && within(&self.destination_ports, query.destination_port)
    }
}

impl Input {
    fn is(self, input: Option<PortId>, surroundings: &Surroundings) -> bool {
        match self {
            Self::Any => true,
            Self::Nobody => false,
            Self::Router => input.is_none(),
            Self::Port(port) => input == Some(port),
            Self::Vrf(vrf) => input.and_then(|port| surroundings.master_of(port)) == Some(vrf),
        }
    }
}
