//! Tells those who watch what becomes of routes, neighbors and flows. Nothing is made that nobody watches.

use ctl::message::{Event, EventKind, HostEvent, Mac, Subject, Topic};
use ctl::render::host_event;
use fib::adjacency::{LinkIndex, PortId};
use fib::change::{NeighborEntry, NeighborState};
use fib::writer::{Applied, Event as RoutingEvent};

use super::Core;
use super::show::{self, View};
use crate::bridge::{self, Bridge};
use crate::control::Events;
use crate::queue::Losses;

/// Events of announced flows that wait, likewise.
const EXPECTATION_EVENTS_MAX: usize = 16_384;
/// Lines of the log for what befalls the host, of one tick at most.
const LOG_LINES_MAX: usize = 10;
/// Flow events that wait for the next tick at most; those beyond are counted by the subscription.
const FLOW_EVENTS_MAX: usize = 65_536;

impl Core {
    /// Tells what a change of the routing state was.
    pub(super) fn tell(&self, applied: &Applied, events: &Events) {
        for event in &applied.events {
            let told = match event {
                RoutingEvent::Route(row) if events.wanted(Topic::Routes) => {
                    (EventKind::Changed, Subject::Route(Box::new(show::routing::route(row.clone()))))
                }
                RoutingEvent::RouteGone(row) if events.wanted(Topic::Routes) => {
                    (EventKind::Gone, Subject::Route(Box::new(show::routing::route(row.clone()))))
                }
                RoutingEvent::Neighbor(entry) if events.wanted(Topic::Neighbors) => (
                    EventKind::Changed,
                    Subject::Neighbor(self.neighbor_row(self.name_of(entry.link), entry)),
                ),
                RoutingEvent::NeighborGone { link, address } if events.wanted(Topic::Neighbors) => {
                    let (link, address) = (*link, *address);
                    let entry = NeighborEntry { link, address, state: NeighborState::None, mac: None };
                    (EventKind::Gone, Subject::Neighbor(self.neighbor_row(self.name_of(link), &entry)))
                }
                _ => continue,
            };
            events.tell(Event { event: told.0, subject: told.1 });
        }
    }

    /// Tells what has become of flows since the last tick; subscribes while somebody watches.
    pub(super) fn tell_flows(&self, events: &Events) {
        let mut subscription = self.subscription.borrow_mut();
        if !events.wanted(Topic::Flows) {
            *subscription = None;
            return;
        }
        let subscription = subscription.get_or_insert_with(|| self.shared.flows.subscribe(FLOW_EVENTS_MAX));
        let routing = self.reader.load();
        let view = View::new(&self.shared, &routing, self.now());
        while let Some(event) = subscription.try_next() {
            let kind = match event.kind {
                conntrack::EventKind::New => EventKind::New,
                conntrack::EventKind::Update(_) => EventKind::Changed,
                conntrack::EventKind::Destroy(_) => EventKind::Gone,
            };
            let row = view.row_then(&event.conn, &event.picture);
            events.tell(Event { event: kind, subject: Subject::Flow(Box::new(row)) });
        }
    }

    /// Tells which flows were announced since the last tick, and which announcements have ended.
    pub(super) fn tell_expectations(&self, events: &Events) {
        let mut subscription = self.expectation_subscription.borrow_mut();
        if !events.wanted(Topic::Expectations) {
            *subscription = None;
            return;
        }
        let subscribe = || self.shared.flows.subscribe_expectations(EXPECTATION_EVENTS_MAX);
        while let Some(event) = subscription.get_or_insert_with(subscribe).try_next() {
            let kind = if event.is_new { EventKind::New } else { EventKind::Gone };
            let row = show::expectation(&event.expectation, event.timeout);
            events.tell(Event { event: kind, subject: Subject::Expectation(Box::new(row)) });
        }
    }

    /// Tells what users have done to the flow cache since the last tick, and in sums what changes of the routing state have
    /// asked of flows.
    pub(super) fn tell_flow_cache(&self, events: &Events) {
        let news = self.chronicle.take_news();
        if !events.wanted(Topic::FlowCache) {
            return self.chronicle.forget();
        }
        let followed = self.chronicle.followed(self.sums());
        for event in news.into_iter().chain(followed) {
            events.tell(Event { event: EventKind::Changed, subject: Subject::FlowCache(Box::new(event)) });
        }
    }

    /// Notes what workers have noticed of bridges, to be told with the rest.
    pub(super) fn note_bridges(&self) {
        let now = self.now();
        for bridge in self.shared.bridges.iter() {
            for news in bridge.observed.news(now) {
                self.news.note(self.bridge_event(bridge, news));
            }
        }
    }

    fn bridge_event(&self, bridge: &Bridge, news: bridge::News) -> HostEvent {
        let name = |port: PortId| self.shared.ports.name(port).to_owned();
        let bridge = bridge.description.name.clone();
        match news {
            bridge::News::Loop { mac, port } => {
                let action = "dropped".to_owned();
                HostEvent::BridgeLoop { bridge, port: name(port), mac: Mac(mac.0), action }
            }
            bridge::News::Moved { mac, before, port } => {
                HostEvent::MacMoved { bridge, mac: Mac(mac.0), before: name(before), port: name(port) }
            }
            bridge::News::Full { refused } => HostEvent::MacsFull { bridge, refused },
        }
    }

    /// Tells what has befallen the router as a host since the last tick, and logs what people should see who do not watch.
    pub(super) fn tell_news(&self, events: &Events) {
        for Losses { number, dropped, bypassed } in self.shared.queues.losses(self.now()) {
            self.news.note(HostEvent::QueueLost { queue: number, dropped, bypassed });
        }
        let mut lines_left = LOG_LINES_MAX;
        for event in self.news.take() {
            if event.is_alarming() && lines_left > 0 {
                lines_left -= 1;
                tracing::warn!("{}", host_event(&event));
            }
            if events.wanted(Topic::Host) {
                events.tell(Event { event: EventKind::Changed, subject: Subject::Host(Box::new(event)) });
            }
        }
    }

    fn name_of(&self, link: LinkIndex) -> String {
        self.writer.borrow().link_name(link).unwrap_or_default().to_owned()
    }
}
