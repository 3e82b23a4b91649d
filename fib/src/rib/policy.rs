//! Policy rules as announced, and all that lookups need besides routes, put together.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Held, POLICIES_MAX, RULES_MAX, Rib};
use crate::adjacency::LinkIndex;
use crate::change::{LinkSettings, ReversePath, RoutePolicy, Rule, RuleAction};
use crate::snapshot::RoutePolicies;
use crate::snapshot::policy::{Action, CompiledRule, Input, RuleSet};
use crate::snapshot::surroundings::{LinkSurroundings, PortSurroundings, Surroundings};

impl Rib {
    /// Takes in a rule. Rules of equal preference are asked in the order of their announcement.
    pub(crate) fn set_rule(&mut self, rule: Rule) {
        self.rules_known[usize::from(rule.ipv6)] = true;
        let dump = self.dump;
        let place = self.rules.iter().position(|held| held.value == rule);
        match place {
            Some(place) if self.dumping => {
                self.rules.remove(place);
            }
            Some(_) => return,
            None if self.rules.len() >= RULES_MAX => {
                self.refused += 1;
                return;
            }
            None => {}
        }
        let after = self.rules.iter().rposition(|held| held.value.priority <= rule.priority);
        self.rules.insert(after.map_or(0, |after| after + 1), Held { value: rule, dump });
        self.dirty.surroundings = true;
    }

    /// Takes out a rule.
    pub(crate) fn remove_rule(&mut self, rule: &Rule) {
        self.rules_known[usize::from(rule.ipv6)] = true;
        if let Some(place) = self.rules.iter().position(|held| held.value == *rule) {
            self.rules.remove(place);
            self.dirty.surroundings = true;
        }
    }

    /// Takes in a route policy, or takes it back.
    pub(crate) fn set_policy(&mut self, prefix: IpNet, policy: Option<RoutePolicy>) {
        let prefix = prefix.trunc();
        let mut list = self.policies.list().to_vec();
        match (list.binary_search_by_key(&prefix, |(held, _)| *held), policy) {
            (Ok(place), Some(policy)) => list[place].1 = policy,
            (Ok(place), None) => {
                list.remove(place);
            }
            (Err(_), Some(_)) if list.len() >= POLICIES_MAX => {
                self.refused += 1;
                return;
            }
            (Err(place), Some(policy)) => list.insert(place, (prefix, policy)),
            (Err(_), None) => return,
        }
        self.policies = Arc::new(RoutePolicies::new(list));
        self.dirty.surroundings = true;
    }

    /// The rules in force of one family: those announced, or Linux's own when none ever were.
    pub(crate) fn rules_in_force(&self, ipv6: bool) -> Vec<Rule> {
        if !self.rules_known[usize::from(ipv6)] {
            return default_rules(ipv6);
        }
        self.rules.iter().map(|held| &held.value).filter(|rule| rule.ipv6 == ipv6).cloned().collect()
    }

    /// All that lookups need besides routes.
    pub(crate) fn surroundings(&mut self, hash_key: (u64, u64)) -> Surroundings {
        let links = self.link_surroundings();
        let ports = self.port_surroundings(&links);
        let rules_v4 = self.rules_in_force(false);
        let rules_v6 = self.rules_in_force(true);
        // One that is still tried, or that somebody else has, is that one's until it is found to be free.
        let held = links.iter().flat_map(|link| &link.addresses).filter(|address| !address.tentative);
        let own = held.map(|address| address.net.addr()).collect();
        Surroundings {
            custom_rules_v4: !is_default(&rules_v4),
            custom_local_routes: self.routes.custom_local > 0,
            rules_v4: self.compile(&rules_v4),
            rules_v6: self.compile(&rules_v6),
            own,
            namespace: self.namespace,
            policies: self.policies.clone(),
            sources_alike: are_sources_alike(&ports),
            links,
            ports,
            hash_key,
        }
    }

    fn link_surroundings(&mut self) -> Vec<LinkSurroundings> {
        let vrfs: HashMap<LinkIndex, u32> =
            self.links.values().filter_map(|held| Some((held.value.index, held.value.vrf_table?))).collect();
        let vrfs: HashMap<LinkIndex, Option<u32>> =
            vrfs.into_iter().map(|(link, table)| (link, self.table_slot(table))).collect();
        let one = |held: &Held<crate::change::Link>| {
            let link = &held.value;
            let vrf = link.master.filter(|master| vrfs.contains_key(master));
            LinkSurroundings {
                index: link.index,
                port: self.port_of(link.index),
                loopback: link.loopback,
                vrf,
                vrf_table: vrf.and_then(|vrf| vrfs[&vrf]),
                addresses: self
                    .addresses
                    .get(&link.index)
                    .map(|list| list.iter().map(|held| held.value.clone()).collect())
                    .unwrap_or_default(),
            }
        };
        self.links.values().map(one).collect()
    }

    fn port_surroundings(&self, links: &[LinkSurroundings]) -> Vec<PortSurroundings> {
        let one = |bound: &Option<LinkIndex>| PortSurroundings {
            link: bound.and_then(|bound| links.binary_search_by_key(&bound, |link| link.index).ok()),
            settings: bound.and_then(|bound| self.link_settings.get(&bound).copied()).unwrap_or_default(),
        };
        self.bound.iter().map(one).collect()
    }

    fn compile(&mut self, rules: &[Rule]) -> RuleSet {
        let place_of = |target: u32| rules.iter().position(|rule| rule.priority == target);
        let mut compiled = Vec::with_capacity(rules.len());
        for (place, rule) in rules.iter().enumerate() {
            let action = match rule.action {
                _ if rule.l3mdev => Action::LookupVrf,
                RuleAction::Lookup(table) => self.table_slot(table).map_or(Action::Nop, Action::Lookup),
                RuleAction::Goto(target) => match place_of(target) {
                    Some(target) if target > place => Action::Goto(target),
                    _ => Action::Nop,
                },
                RuleAction::Nop => Action::Nop,
                RuleAction::Blackhole => Action::Blackhole,
                RuleAction::Unreachable => Action::Unreachable,
                RuleAction::Prohibit => Action::Prohibit,
            };
            compiled.push(CompiledRule {
                invert: rule.invert,
                never: rule.oif.is_some() || rule.uid_range,
                input: rule.iif.as_deref().map_or(Input::Any, |name| self.input_named(name)),
                mark: rule.mark,
                vrf: rule.l3mdev,
                from: rule.from,
                to: rule.to,
                tos: rule.tos,
                protocol: rule.protocol,
                source_ports: rule.source_ports.map(|(low, high)| low..=high),
                destination_ports: rule.destination_ports.map(|(low, high)| low..=high),
                suppress_prefix_length: rule.suppress_prefix_length,
                action,
            });
        }
        RuleSet { rules: compiled }
    }

    fn input_named(&self, name: &str) -> Input {
        let Some(link) = self.links.values().map(|held| &held.value).find(|link| link.name == name) else {
            return Input::Nobody;
        };
        match self.port_of(link.index) {
            _ if link.loopback => Input::Router,
            _ if link.vrf_table.is_some() => Input::Vrf(link.index),
            Some(port) => Input::Port(port),
            None => Input::Nobody,
        }
    }
}

/// The rules of a fresh namespace (`fib_default_rules_init`, `fib6_rules_net_init`).
fn default_rules(ipv6: bool) -> Vec<Rule> {
    const KERNEL: u8 = 2;
    let rule = |priority, table| Rule {
        protocol_origin: KERNEL,
        ..Rule::for_all(ipv6, priority, RuleAction::Lookup(table))
    };
    let mut rules = vec![rule(0, RuleSet::LOCAL_TABLE), rule(32_766, RuleSet::MAIN_TABLE)];
    if !ipv6 {
        rules.push(rule(32_767, RuleSet::DEFAULT_TABLE));
    }
    rules
}

/// Whether these are the rules of a fresh namespace, whoever is said to have installed them.
fn is_default(rules: &[Rule]) -> bool {
    let ipv6 = rules.first().is_some_and(|rule| rule.ipv6);
    let plain = |rule: &Rule| Rule { protocol_origin: 0, ..rule.clone() };
    rules.iter().map(plain).eq(default_rules(ipv6).iter().map(plain))
}

/// Whether every bound port judges sources by the same settings, none of them `rp_filter`.
fn are_sources_alike(ports: &[PortSurroundings]) -> bool {
    let of = |settings: &LinkSettings| (settings.accept_local, settings.route_localnet);
    let mut bound = ports.iter().filter(|port| port.link.is_some()).map(|port| &port.settings);
    let Some(first) = bound.clone().next() else { return true };
    bound.all(|settings| settings.rp_filter == ReversePath::Off && of(settings) == of(first))
}
