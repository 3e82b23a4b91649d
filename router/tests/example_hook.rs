//! The hook of `docs/hooks.md`: what the page shows is this code, and it works.

// example begins
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use router::chain::{Family, Hook, Place, Point, Registration, Registry, Verdict, priority};
use router::drops::DropReason;
use router::engine::{Context, Packet};

/// Drops what one source sends, and counts how much that was.
struct Ban {
    source: IpAddr,
    banned: Arc<AtomicU64>,
}

impl Hook for Ban {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        if packet.source() != self.source {
            return Verdict::Accept;
        }
        self.banned.fetch_add(1, Ordering::Relaxed);
        Verdict::Drop(DropReason::Rule)
    }
}

fn ban(hooks: &Registry, source: IpAddr) -> Arc<AtomicU64> {
    let banned = Arc::new(AtomicU64::new(0));
    let hook = Arc::new(Ban { source, banned: banned.clone() });
    let place = Place::new(Family::Ipv4, Point::Forward, "ban");
    hooks.register([Registration { place, priority: priority::FILTER, hook }]).expect("one ban at a time");
    banned
}
// example ends

use router::tabletop::Tabletop;
use router::tabletop::frames::Ends;

#[test]
fn the_example_bans_a_source_until_it_is_unregistered() {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
    let banned = ban(table.hooks(), "10.0.0.2".parse().unwrap());

    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2").udp(b"banned")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.3:1", "10.0.1.2:2").udp(b"welcome")[..]);
    assert_eq!(table.take(1).len(), 1);
    assert_eq!(banned.load(Ordering::Relaxed), 1);

    table.hooks().unregister([Place::new(Family::Ipv4, Point::Forward, "ban")]).unwrap();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2").udp(b"again")[..]);
    assert_eq!(table.take(1).len(), 1);
}

#[test]
fn the_page_shows_this_code() {
    let code = include_str!("example_hook.rs");
    let (_, code) = code.split_once("// example begins\n").unwrap();
    let (code, _) = code.split_once("// example ends").unwrap();
    let page = include_str!("../../docs/hooks.md");
    assert!(page.contains(code), "docs/hooks.md must show the example as it is tested");
}
