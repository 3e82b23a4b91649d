//! The consumer of `docs/offload.md`: what the page shows is this code, and it works.

// example begins
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use router::offload::{Consumer, Event, EventKind, Rewrite, SharedFlow};

/// What a card has in its table, by flow and direction.
#[derive(Default)]
struct Driver(Mutex<HashMap<(u64, usize), Arc<Rewrite>>>);

impl Consumer for Driver {
    fn tell(&self, event: &Event<'_>) {
        let mut table = self.0.lock().unwrap();
        match event.kind {
            EventKind::Invalidated { direction, .. } => {
                table.remove(&(event.flow.id(), direction.index()));
            }
            EventKind::Destroyed(_) => table.retain(|(flow, _), _| *flow != event.flow.id()),
            _ => {}
        }
    }

    fn take(&self, flow: &SharedFlow, rewrite: &Arc<Rewrite>) -> bool {
        self.0.lock().unwrap().insert((flow.id(), rewrite.direction.index()), rewrite.clone());
        true
    }
}
// example ends

use router::tabletop::Tabletop;
use router::tabletop::frames::{Ends, HOST};

#[test]
fn the_example_has_what_it_is_offered_until_the_route_changes() {
    let mut table = Tabletop::new(&["r0", "r1", "r2"]);
    for (port, net, next) in
        [(0, "10.0.0", HOST.0), (1, "10.0.1", [2, 0, 0, 0, 2, 2]), (2, "10.0.2", [2, 0, 0, 0, 3, 2])]
    {
        table.address(port, &format!("{net}.1/24"));
        table.neighbor(port, &format!("{net}.2"), Some(next));
    }
    table.route("192.0.2.0/24", "10.0.1.2", 1);
    let driver = Arc::new(Driver::default());
    table.shared().offloads.join(driver.clone());

    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "192.0.2.9:53").udp(b"hello")[..]);
    let [rewrite] = driver.0.lock().unwrap().values().cloned().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(table.shared().ports.name(rewrite.output), "r1");
    assert_eq!(rewrite.next_hop, "10.0.1.2".parse::<std::net::IpAddr>().unwrap());

    table.route("198.51.100.0/24", "10.0.1.2", 1);
    table.unroute("192.0.2.0/24", "10.0.1.2", 1);
    assert!(driver.0.lock().unwrap().is_empty(), "told before the change was acknowledged");
    table.route("192.0.2.0/24", "10.0.2.2", 2);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "192.0.2.9:53").udp(b"hello")[..]);
    let outputs: Vec<_> = driver.0.lock().unwrap().values().map(|rewrite| rewrite.output).collect();
    assert_eq!(outputs.len(), 1);
    assert_eq!(table.shared().ports.name(outputs[0]), "r2");
}

#[test]
fn the_page_shows_this_code() {
    let code = include_str!("example_consumer.rs");
    let example = code.split_once("// example begins\n").unwrap().1.split_once("// example ends").unwrap().0;
    let page = include_str!("../../docs/offload.md");
    assert!(page.contains(example.trim_end()), "docs/offload.md shows other code");
}
