//! Reads the kernel's messages in their context: what one alone does not say is known from those before it.
//!
//! - A link is announced for many reasons; only a difference is passed on, and one that takes routes with it asks for
//!   a resync.
//! - IPv4 keeps several routes of one table, prefix, TOS and metric (`ip route append`, two links in one subnet), of
//!   which only the first is used. The others are *hidden*: never passed on, but a change to the first asks for a
//!   resync, which finds out who is first now.
//! - IPv6 announces the replacement of a route without the withdrawal of what it replaces.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use fib::adjacency::LinkIndex;
use fib::change::{Change, Link, Route, Settings, Target};
use ipnet::IpNet;

use super::Counters;
use super::socket::{Message, Messages};
use super::translate::{Announcement, Netconf, NetconfScope, translate};
use crate::sysctl::Sysctl;

/// Most hidden routes remembered one by one; with more, every withdrawn IPv4 route asks for a resync.
const HIDDEN_MAX: usize = 65_536;

/// What a message asks of the mirror beyond passing it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// The complete picture: something changed that is not announced.
    Resync,
}

/// What the kernel tells several routes apart by.
type RouteKey = (u32, IpNet, u8, u32);

/// The context in which messages are read.
pub(super) struct Interpreter {
    sysctl: Sysctl,
    links: HashMap<LinkIndex, Link>,
    hidden: HashSet<RouteKey>,
    hidden_overflow: bool,
    /// The IPv4 route dumped last: hidden ones follow theirs at once.
    dumped_last: Option<RouteKey>,
}

impl Interpreter {
    /// An interpreter that knows nothing yet and takes settings from `sysctl`.
    pub(super) fn new(sysctl: Sysctl) -> Self {
        Self {
            sysctl,
            links: HashMap::new(),
            hidden: HashSet::new(),
            hidden_overflow: false,
            dumped_last: None,
        }
    }

    /// Forgets all, as the complete picture follows.
    pub(super) fn begin_picture(&mut self) {
        self.links.clear();
        self.hidden.clear();
        self.hidden_overflow = false;
    }

    /// The dump of a table begins, perhaps for the second time.
    pub(super) fn begin_table(&mut self) {
        self.dumped_last = None;
    }

    /// Reads one entry of a dump.
    pub(super) fn take_entry(
        &mut self,
        kind: u16,
        payload: &[u8],
        batch: &mut Vec<Change>,
        counters: &Counters,
    ) {
        count(&counters.dump_entries);
        let Some(Announcement::Change(change)) = self.read(kind, payload, counters) else {
            return;
        };
        match &change {
            Change::Link(link) => {
                self.links.insert(link.index, link.clone());
            }
            Change::Route(route) if is_ipv4(route) => {
                let key = key(route);
                if self.dumped_last == Some(key) {
                    self.hide(key);
                    return;
                }
                self.dumped_last = Some(key);
            }
            _ => {}
        }
        batch.push(change);
    }

    /// Adds to the picture what no dump contains: the settings.
    pub(super) fn end_picture(&mut self, batch: &mut Vec<Change>) {
        self.tell_all_settings(batch);
    }

    /// Reads announcements.
    pub(super) fn take(
        &mut self,
        messages: Messages<'_>,
        batch: &mut Vec<Change>,
        counters: &Counters,
    ) -> Wish {
        let mut wish = Wish::Nothing;
        for message in messages {
            count(&counters.events);
            let said = match self.read(message.kind, message.payload, counters) {
                Some(Announcement::Change(change)) => self.take_change(&message, change, batch),
                Some(Announcement::Settings(netconf)) => {
                    self.take_settings(netconf, batch);
                    Wish::Nothing
                }
                _ => Wish::Nothing,
            };
            if said == Wish::Resync {
                wish = said;
            }
        }
        wish
    }

    /// Reads all settings again, from now on through `sysctl` if one is given.
    pub(super) fn reread_settings(&mut self, sysctl: Option<Sysctl>, batch: &mut Vec<Change>) {
        if let Some(sysctl) = sysctl {
            self.sysctl = sysctl;
        }
        self.tell_all_settings(batch);
    }

    fn take_change(&mut self, message: &Message<'_>, change: Change, batch: &mut Vec<Change>) -> Wish {
        match change {
            Change::Link(link) => self.take_link(link, batch),
            Change::LinkGone(index) => {
                self.links.remove(&index);
                batch.push(Change::LinkGone(index));
                Wish::Resync
            }
            Change::AddressGone(address) if address.net.addr().is_ipv4() => {
                batch.push(Change::AddressGone(address));
                Wish::Resync
            }
            Change::Route(route) if is_ipv4(&route) => {
                self.take_route_v4(message, route, batch);
                Wish::Nothing
            }
            Change::Route(route) => {
                if has(message, libc::NLM_F_REPLACE) {
                    let all = Route { target: Target::NextHops(Vec::new()), ..route.clone() };
                    batch.push(Change::RouteGone(all));
                }
                batch.push(Change::Route(route));
                Wish::Nothing
            }
            Change::RouteGone(route)
                if is_ipv4(&route) && (self.hidden_overflow || self.hidden.contains(&key(&route))) =>
            {
                Wish::Resync
            }
            other => {
                batch.push(other);
                Wish::Nothing
            }
        }
    }

    fn take_link(&mut self, link: Link, batch: &mut Vec<Change>) -> Wish {
        let before = self.links.get(&link.index);
        if before == Some(&link) {
            return Wish::Nothing;
        }
        let renamed = before.is_none_or(|before| before.name != link.name);
        let routes_differ = before.is_some_and(|before| {
            (before.admin_up, before.carrier, before.master) != (link.admin_up, link.carrier, link.master)
        });
        if renamed {
            // The settings live under the name, and a new link has some too.
            let settings = self.sysctl.link(&link.name);
            batch.push(Change::Link(link.clone()));
            batch.push(Change::Settings(Settings::Link(link.index, settings)));
        } else {
            batch.push(Change::Link(link.clone()));
        }
        self.links.insert(link.index, link);
        if routes_differ { Wish::Resync } else { Wish::Nothing }
    }

    /// The flags of a new IPv4 route say where it came to stand (fib_table_insert): `NLM_F_EXCL` alone of its kind,
    /// `NLM_F_REPLACE` in the place of the first, `NLM_F_APPEND` behind another, none of these before the first.
    fn take_route_v4(&mut self, message: &Message<'_>, route: Route, batch: &mut Vec<Change>) {
        if has(message, libc::NLM_F_APPEND) {
            self.hide(key(&route));
            return;
        }
        if !has(message, libc::NLM_F_EXCL) && !has(message, libc::NLM_F_REPLACE) {
            self.hide(key(&route));
        }
        batch.push(Change::Route(route));
    }

    fn hide(&mut self, key: RouteKey) {
        if self.hidden.len() < HIDDEN_MAX {
            self.hidden.insert(key);
        } else {
            self.hidden_overflow = true;
        }
    }

    /// The kernel said that a setting changed. Which one it does not always say, so all of the place are read.
    fn take_settings(&mut self, netconf: Netconf, batch: &mut Vec<Change>) {
        match netconf.scope {
            NetconfScope::All => self.tell_all_settings(batch),
            NetconfScope::Default => {}
            NetconfScope::Link(index) => {
                if let Some(link) = self.links.get(&index) {
                    let settings = self.sysctl.link(&link.name);
                    batch.push(Change::Settings(Settings::Link(index, settings)));
                }
            }
        }
    }

    fn tell_all_settings(&self, batch: &mut Vec<Change>) {
        let names = self.links.values().map(|link| link.name.as_str());
        batch.push(Change::Settings(Settings::Namespace(self.sysctl.namespace(names))));
        for link in self.links.values() {
            batch.push(Change::Settings(Settings::Link(link.index, self.sysctl.link(&link.name))));
        }
    }

    fn read(&self, kind: u16, payload: &[u8], counters: &Counters) -> Option<Announcement> {
        match translate(kind, payload) {
            Ok(Announcement::Unsupported(what)) => {
                // Said once for every thousand: a table may be full of them.
                if count(&counters.unsupported).is_multiple_of(1000) {
                    tracing::warn!("passed over: {what}");
                }
                None
            }
            Ok(announcement) => Some(announcement),
            Err(error) => {
                if count(&counters.unreadable).is_multiple_of(1000) {
                    tracing::warn!(%error, "a message of the kernel was passed over");
                }
                None
            }
        }
    }
}

fn is_ipv4(route: &Route) -> bool {
    route.prefix.addr().is_ipv4()
}

fn key(route: &Route) -> RouteKey {
    (route.table, route.prefix, route.tos, route.metric)
}

fn has(message: &Message<'_>, flag: i32) -> bool {
    i32::from(message.flags) & flag != 0
}

/// Counts one; says how many there were before.
fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
