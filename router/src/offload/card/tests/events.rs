//! What a consumer hears of a flow, and in which order.

use std::sync::Arc;

use conntrack::Direction;
use parking_lot::Mutex;

use super::world::{DROP, NEXT_HOPS, SERVERS, World, ends};
use crate::offload::{Consumer, Event, EventKind, Rewrite, SharedFlow};

/// Writes down what it hears, and takes what it is offered if it is to.
#[derive(Default)]
struct Scribe {
    heard: Mutex<Vec<String>>,
    takes: bool,
}

impl Consumer for Scribe {
    fn tell(&self, event: &Event<'_>) {
        let word = match event.kind {
            EventKind::New => "new".to_owned(),
            EventKind::Confirmed => "confirmed".to_owned(),
            EventKind::Updated(_) => "updated".to_owned(),
            EventKind::Routed { direction, instead, rewrite } => {
                let instead = instead.map(|reason| format!(" for {reason}")).unwrap_or_default();
                let port = rewrite.map_or("?".to_owned(), |rewrite| format!("port {}", rewrite.output.0));
                format!("{} routed to {port}{instead}", name(direction))
            }
            EventKind::Invalidated { direction, reason } => format!("{} invalid: {reason}", name(direction)),
            EventKind::Destroyed(end) => format!("{end:?}"),
        };
        self.heard.lock().push(word);
    }

    fn take(&self, _flow: &SharedFlow, rewrite: &Arc<Rewrite>) -> bool {
        self.heard.lock().push(format!("{} offered", name(rewrite.direction)));
        self.takes
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Original => "original",
        Direction::Reply => "reply",
    }
}

#[test]
fn a_life_is_told_in_order() {
    let mut world = World::new(false);
    let scribe = Arc::new(Scribe { takes: true, ..Scribe::default() });
    let offloads = world.table.shared().offloads.clone();
    offloads.join(scribe.clone());
    let heard = |what: &str| {
        let heard = std::mem::take(&mut *scribe.heard.lock());
        assert_eq!(heard.join(", "), what);
    };
    let [there, back] = ends(2, false);
    world.pass(0, &there.udp(b"question")[..]);
    heard("new, confirmed, original routed to port 1, original offered");
    world.pass(0, &there.udp(b"question")[..]);
    heard("");
    world.pass(1, &back.udp(b"answer")[..]);
    heard("updated, original invalid: reply seen, reply routed to port 0, reply offered");
    world.pass(0, &there.udp(b"question")[..]);
    heard("original offered");
    world.table.unroute(SERVERS[0], NEXT_HOPS[0][0], 1);
    let invalid = std::mem::take(&mut *scribe.heard.lock());
    assert!(matches!(&invalid[..], [one] if one.starts_with("original invalid: ")), "{invalid:?}");
    world.table.route(SERVERS[0], NEXT_HOPS[1][0], 2);
    heard("");
    world.pass(0, &there.udp(b"question")[..]);
    let rerouted = std::mem::take(&mut *scribe.heard.lock());
    assert!(
        matches!(&rerouted[..], [one, two] if one.starts_with("original routed to port 2 for ") && two == "original offered"),
        "{rerouted:?}"
    );
    world.table.shared().flows.flush();
    heard("Deleted");
    assert!(offloads.is_empty());
}

#[test]
fn a_flow_that_is_dropped_is_told_of_and_never_confirmed() {
    let mut world = World::new(false);
    world.load(DROP);
    let scribe = Arc::new(Scribe::default());
    world.table.shared().offloads.join(scribe.clone());
    world.pass(0, &ends(2, false)[0].udp(b"question")[..]);
    assert_eq!(*scribe.heard.lock(), ["new"]);
}

#[test]
fn who_takes_nothing_is_asked_again_and_who_leaves_hears_no_more() {
    let mut world = World::new(false);
    let scribe = Arc::new(Scribe::default());
    let offloads = world.table.shared().offloads.clone();
    offloads.join(scribe.clone());
    let [there, _] = ends(2, false);
    for _ in 0..2 {
        world.pass(0, &there.udp(b"question")[..]);
    }
    assert_eq!(scribe.heard.lock().iter().filter(|heard| *heard == "original offered").count(), 2);
    scribe.heard.lock().clear();
    let consumer: Arc<dyn Consumer> = scribe.clone();
    assert!(offloads.leave(&consumer) && !offloads.leave(&consumer));
    world.table.shared().flows.flush();
    world.pass(0, &there.udp(b"question")[..]);
    assert!(scribe.heard.lock().is_empty() && !offloads.listens());
}
