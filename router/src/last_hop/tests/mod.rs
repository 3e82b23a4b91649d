//! Last hops on a table: a server's network on one port, on the other two gateways, of which routing knows one.

mod bridged;
mod choice;
mod following;
mod programs;
mod property;
mod store;

use std::sync::Arc;
use std::time::Duration;

use fib::adjacency::{Mac, PortId};

use super::*;
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict, priority};
use crate::engine::Context;
use crate::tabletop::Tabletop;
use crate::tabletop::frames::Ends;

const SERVER: Mac = Mac([2, 0, 0, 0, 2, 2]);
/// By which the client's packets come.
const COMES_BY: Mac = Mac([2, 0, 0, 0, 3, 3]);
/// By which routing would answer.
const ROUTED_BY: Mac = Mac([2, 0, 0, 0, 3, 4]);
/// Who takes over.
const SUCCESSOR: Mac = Mac([2, 0, 0, 0, 3, 5]);
const CLIENT: &str = "192.0.2.7:1000";
const SERVICE: &str = "10.0.0.2:80";

/// The server's 10.0.0.0/24 on port 0, 10.0.1.0/24 on port 1; there the default route leads by 10.0.1.3, while the client's
/// packets come by 10.0.1.2.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    lay(&mut table);
    table
}

fn lay(table: &mut Tabletop) {
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.address(0, "fd00::1/64");
    table.address(1, "fd01::1/64");
    table.route("0.0.0.0/0", "10.0.1.3", 1);
    table.route("::/0", "fd01::3", 1);
    table.neighbor(0, "10.0.0.2", Some(SERVER.0));
    table.neighbor(0, "fd00::2", Some(SERVER.0));
    table.neighbor(1, "10.0.1.2", Some(COMES_BY.0));
    table.neighbor(1, "10.0.1.3", Some(ROUTED_BY.0));
    table.neighbor(1, "fd01::3", Some(ROUTED_BY.0));
}

fn everywhere() -> Settings {
    Settings { everywhere: true, ..Settings::default() }
}

/// The same table with last hops in use for all flows.
fn answering_table() -> Tabletop {
    let table = table();
    table.shared().set_last_hop(everywhere());
    table
}

/// A question of the client's, by that gateway.
fn question_by(gateway: Mac) -> Ends {
    Ends { from: gateway, ..Ends::to_port(1, CLIENT, SERVICE) }
}

fn answer() -> Ends {
    Ends { from: SERVER, ..Ends::to_port(0, SERVICE, CLIENT) }
}

/// Sends a question by a gateway, and takes it off the server's wire.
fn ask(table: &mut Tabletop, gateway: Mac) {
    table.pass(1, &question_by(gateway).udp(b"question")[..]);
    assert_eq!(table.take(0).len(), 1, "the server is asked");
}

/// Link address to which the frames on a port's wire are sent.
fn sent_to(table: &mut Tabletop, port: usize) -> Vec<Mac> {
    table.take(port).iter().map(|parcel| Mac(*parcel.bytes.first_chunk().expect("a frame"))).collect()
}

/// Where the server's answer goes.
fn answered(table: &mut Tabletop) -> Vec<Mac> {
    table.pass(0, &answer().udp(b"answer")[..]);
    sent_to(table, 1)
}

fn tend(table: &Tabletop) {
    let shared = table.shared();
    shared.last_hops.tend(&shared.flows, &shared.ports, &shared.neighbors, table.now());
}

fn news(table: &Tabletop) -> Vec<What> {
    table.shared().last_hops.take_news().0.into_iter().map(|news| news.what).collect()
}

fn rows(table: &Tabletop) -> Vec<Row> {
    let shared = table.shared();
    shared.last_hops.rows(&shared.ports, &shared.neighbors, table.now())
}

/// Rules in a closure.
struct Rule<F>(F);

impl<F: Fn(&mut Packet) + Send + Sync> Hook for Rule<F> {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        (self.0)(packet);
        Verdict::Accept
    }
}

/// Seats a rule where rules give marks.
fn mark(table: &Tabletop, point: Point, rule: impl Fn(&mut Packet) + Send + Sync + 'static) {
    let hook: Arc<dyn Hook> = Arc::new(Rule(rule));
    let seat = |family| Registration {
        place: Place::new(family, point, "test"),
        priority: priority::MANGLE,
        hook: hook.clone(),
    };
    table.hooks().register([Family::Ipv4, Family::Ipv6].map(seat)).expect("nobody sits there");
}

/// An ARP frame from a gateway, by which it says that it has an address.
fn announcement(mac: Mac, address: [u8; 4], asked_for: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(address);
    frame.extend([0; 6]);
    frame.extend(asked_for);
    frame
}
