//! What the routing state was told, and what has to be said so that it holds another picture.

use std::collections::BTreeMap;

use fib::change::{Address, Change, Link, LinkSettings, Route, Rule, Settings};

use super::Picture;
use super::wanted::RouteKey;

/// What the routing state holds of these tables.
#[derive(Debug, Default)]
pub(super) struct Told {
    links: Vec<(Link, LinkSettings)>,
    addresses: Vec<Address>,
    routes: BTreeMap<RouteKey, Vec<Route>>,
    rules: Vec<Rule>,
}

/// What has to be said, in three parts: before links go, links, and what is on them.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) gone: Vec<Change>,
    pub(super) links: Vec<Change>,
    pub(super) come: Vec<Change>,
}

impl Told {
    /// Whether a route like it is among these tables' own.
    pub(super) fn has_route(&self, key: &RouteKey) -> bool {
        self.routes.contains_key(key)
    }

    /// The routing state becomes as in the picture.
    pub(super) fn become_(&mut self, picture: Picture) -> Differences {
        let mut differences = Differences::default();
        self.take_links(picture.links, &mut differences);
        self.take_addresses(picture.addresses, &mut differences);
        self.take_routes(picture.routes, &mut differences);
        self.take_rules(picture.rules, &mut differences);
        differences
    }

    /// The one route that there may be with a key becomes this one. `None` if there are others, or if some of them are made
    /// of addresses: then the whole picture is needed.
    pub(super) fn become_at(&mut self, key: RouteKey, new: Option<Route>) -> Option<Differences> {
        let held = self.routes.remove(&key).unwrap_or_default();
        if held.len() > 1 {
            self.routes.insert(key, held);
            return None;
        }
        let mut differences = Differences::default();
        let old = held.into_iter().next();
        if old != new {
            differences.gone.extend(old.map(Change::RouteGone));
            differences.come.extend(new.clone().map(Change::Route));
        }
        if let Some(new) = new {
            self.routes.insert(key, vec![new]);
        }
        Some(differences)
    }

    fn take_links(&mut self, links: Vec<(Link, LinkSettings)>, differences: &mut Differences) {
        let has = |links: &[(Link, LinkSettings)], link: &Link| {
            links.iter().any(|(held, _)| held.index == link.index)
        };
        let gone = self.links.iter().filter(|(link, _)| !has(&links, link));
        differences.links.extend(gone.map(|(link, _)| Change::LinkGone(link.index)));
        for (link, settings) in links.iter().filter(|link| !self.links.contains(link)) {
            differences.links.push(Change::Link(link.clone()));
            if !has(&self.links, link) {
                differences.links.push(Change::Settings(Settings::Link(link.index, *settings)));
            }
        }
        self.links = links;
    }

    fn take_addresses(&mut self, addresses: Vec<Address>, differences: &mut Differences) {
        let is_same = |one: &Address, other: &Address| one.link == other.link && one.net == other.net;
        let still = |address: &Address| addresses.iter().any(|new| is_same(new, address));
        let gone = self.addresses.iter().filter(|address| !still(address));
        differences.gone.extend(gone.cloned().map(Change::AddressGone));
        let come = addresses.iter().filter(|address| !self.addresses.contains(address));
        differences.come.extend(come.cloned().map(Change::Address));
        self.addresses = addresses;
    }

    /// Of routes alike those that stay keep their order, and new ones come behind them, as `NLM_F_APPEND` puts them.
    fn take_routes(&mut self, routes: Vec<Route>, differences: &mut Differences) {
        let mut now: BTreeMap<RouteKey, Vec<Route>> = BTreeMap::new();
        for route in routes {
            now.entry((route.table, route.prefix, route.tos, route.metric)).or_default().push(route);
        }
        for (key, held) in &mut self.routes {
            let new = now.get(key).map_or(&[][..], Vec::as_slice);
            held.retain(|route| {
                let stays = new.contains(route);
                if !stays {
                    differences.gone.push(Change::RouteGone(route.clone()));
                }
                stays
            });
        }
        for (key, new) in now {
            let held = self.routes.entry(key).or_default();
            for route in new {
                if !held.contains(&route) {
                    let is_behind = !held.is_empty() && route.prefix.addr().is_ipv4();
                    let change = if is_behind { Change::RouteAppended } else { Change::Route };
                    differences.come.push(change(route.clone()));
                    held.push(route);
                }
            }
        }
        self.routes.retain(|_, held| !held.is_empty());
    }

    fn take_rules(&mut self, rules: Vec<Rule>, differences: &mut Differences) {
        let gone = self.rules.iter().filter(|rule| !rules.contains(rule));
        differences.gone.extend(gone.cloned().map(Change::RuleGone));
        let come = rules.iter().filter(|rule| !self.rules.contains(rule));
        differences.come.extend(come.cloned().map(Change::Rule));
        self.rules = rules;
    }
}
