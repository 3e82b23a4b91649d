//! What subscribers are told of flows, and when.

use std::sync::Arc;
use std::time::Duration;

use super::Table;
use crate::conn::{Conn, Shared, Status};
use crate::events::{Change, End, Event, EventKind, Listener, Picture, Subscription};
use crate::time::Instant;
use crate::tuple::Direction;

impl<X> Table<X> {
    /// Opens a channel of at most `events_max` events about what becomes of flows from now on.
    pub fn subscribe(&self, events_max: usize) -> Subscription<Event<X>> {
        self.subscribers.subscribe(events_max)
    }

    /// Has `listener` told of flows at once, as long as it lives. Events come in order, each while the one before has been
    /// dealt with.
    pub fn listen(&self, listener: &Arc<dyn Listener<Event<X>>>) {
        self.subscribers.attach(listener);
    }

    /// Notes that somebody else forwards the flow's packets, or that nobody does any more ([`Status::OFFLOAD`]).
    pub fn set_offloaded(&self, conn: &Conn<X>, offloaded: bool) {
        if offloaded {
            conn.set_status(Status::OFFLOAD);
        } else {
            conn.clear_status(Status::OFFLOAD);
        }
    }

    /// Notes a change that the table's user made in a flow, such as a new mark. Subscribers learn of it with whatever
    /// else the packet changes, by [`Self::deliver`].
    pub fn announce(&self, conn: &Conn<X>, change: Change) {
        if self.subscribers.listen() {
            conn.note(change);
        }
    }

    /// Tells subscribers what has changed in a flow since the last time (`nf_ct_deliver_cached_events`): called when a
    /// packet leaves, unless the flow is plain ([`Conn::is_plain`]), and after changes that no packet made.
    pub fn deliver(&self, conn: &Shared<Conn<X>>, now: Instant) {
        if !self.subscribers.listen() {
            conn.take_changes();
            return;
        }
        self.subscribers.publish(|| {
            if !conn.is_live() {
                return [None];
            }
            let changes = conn.take_changes();
            let kind =
                if changes.contains(Change::New) { EventKind::New } else { EventKind::Update(changes) };
            [(!changes.is_empty()).then(|| self.event(kind, conn, conn.timeout_at(now)))]
        });
    }

    /// Tells subscribers that a flow is gone, and of its beginning if nobody has yet.
    /// `now` tells how much of its time was left.
    pub(super) fn deliver_end(&self, conn: &Shared<Conn<X>>, end: End, now: Instant) {
        self.subscribers.publish(|| {
            let is_new = conn.take_changes().contains(Change::New);
            let left = conn.timeout_at(now);
            [
                is_new.then(|| self.event(EventKind::New, conn, left)),
                Some(self.event(EventKind::Destroy(end), conn, left)),
            ]
        });
    }

    fn event(&self, kind: EventKind, conn: &Shared<Conn<X>>, timeout: Duration) -> Event<X> {
        let picture = Picture {
            status: conn.status(),
            mark: conn.mark(),
            labels: conn.labels(),
            state: self.state_name(conn),
            timeout,
            traffic: Direction::ALL.map(|direction| conn.traffic(direction)),
        };
        Event { kind, conn: Shared::clone(conn), picture }
    }
}
