//! Reads the kernel's messages in their context: what one alone does not say is known from those before it.
//!
//! - A link is announced for many reasons; only a difference is passed on, and one that takes routes with it asks for
//!   a resync.
//! - The flags of a new route say where among its like it came to stand; where no [`Change`] says that, it asks for a
//!   resync.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fib::adjacency::LinkIndex;
use fib::change::{Change, Link, Route, Settings};

use super::Counters;
use super::socket::{Message, Messages};
use super::translate::{Announcement, Netconf, NetconfScope, translate};
use crate::sysctl::Sysctl;

/// What a message asks of the mirror beyond passing it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// The complete picture: something changed that is not announced.
    Resync,
}

/// The context in which messages are read.
pub(super) struct Interpreter {
    sysctl: Sysctl,
    links: HashMap<LinkIndex, Link>,
}

impl Interpreter {
    /// An interpreter that knows nothing yet and takes settings from `sysctl`.
    pub(super) fn new(sysctl: Sysctl) -> Self {
        Self { sysctl, links: HashMap::new() }
    }

    /// Forgets all, as the complete picture follows.
    pub(super) fn begin_picture(&mut self) {
        self.links.clear();
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
        if let Change::Link(link) = &change {
            self.links.insert(link.index, link.clone());
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
            Change::Route(route) => take_route(message, route, batch),
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

/// A new route. Of IPv4 (fib_table_insert): `NLM_F_REPLACE`, in the place of the first of its key; `NLM_F_APPEND`,
/// behind another; `NLM_F_EXCL`, alone of its key; none of these, before the others. IPv6 announces all next hops of
/// a multipath route when one is appended, but not in the order in which the kernel spreads packets over them.
fn take_route(message: &Message<'_>, route: Route, batch: &mut Vec<Change>) -> Wish {
    let ipv4 = route.prefix.addr().is_ipv4();
    let (change, wish) = if has(message, libc::NLM_F_REPLACE) {
        (Change::RouteReplaced(route), Wish::Nothing)
    } else if ipv4 && has(message, libc::NLM_F_APPEND) {
        (Change::RouteAppended(route), Wish::Nothing)
    } else if has(message, libc::NLM_F_APPEND) || (ipv4 && !has(message, libc::NLM_F_EXCL)) {
        (Change::Route(route), Wish::Resync)
    } else {
        (Change::Route(route), Wish::Nothing)
    };
    batch.push(change);
    wish
}

fn has(message: &Message<'_>, flag: i32) -> bool {
    i32::from(message.flags) & flag != 0
}

/// Counts one; says how many there were before.
fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
