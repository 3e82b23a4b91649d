//! Announced flows, told when asked and as they come and go.

use std::sync::Arc;

use conntrack::{Direction, Flow, Ftp, Pattern, Wanted};
use ctl::message::{Reply, Topic};
use smoltcp::wire::TcpControl;

use super::*;
use crate::chain::{Hook, Registration, Verdict, priority};
use crate::control::Events;
use crate::engine::{Context, Packet};
use crate::flow::Track;

/// Has the FTP helper watch every flow that begins, as a rule with `ct helper set` does.
struct Assign;

impl Hook for Assign {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        if let Track::Flow { flow: Flow::Tentative(tentative), .. } = &packet.track {
            tentative.set_helper(Arc::new(Ftp::default()));
        }
        Verdict::Accept
    }
}

/// A router through which one control connection has begun, which announces nothing yet.
fn with_control_connection() -> Core {
    let mut table = table();
    let place = Place::new(Family::Ipv4, Point::Prerouting, "assign");
    let hook = Arc::new(Assign);
    table.hooks().register([Registration { place, priority: priority::MANGLE, hook }]).unwrap();
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.9.9.9:21");
    table.pass(0, &ends.tcp(TcpControl::Syn, 0, None, b"")[..]);
    core(table)
}

/// The client is to be called at port 5000.
fn announce(core: &Core) {
    let flows = &core.shared.flows;
    let page = flows.list(Default::default(), 10, ASKED_AT, |_| true);
    let master = &page.conns[0];
    let called = master.tuple(Direction::Reply);
    let ids = conntrack::Ids { source: 0, destination: 5000 };
    let tuple = conntrack::Tuple::new(called.family(), 0, conntrack::protocol::TCP, *called.addresses(), ids);
    let pattern = Pattern { tuple, source_address: true, source_id: false };
    let wanted = Wanted { pattern, class: 0, permanent: false, inactive: false, helper: None, nat: None };
    flows.expect(master, wanted, ASKED_AT).unwrap();
}

#[test]
fn what_a_flow_announces_is_told_with_the_flow_that_did() {
    let core = with_control_connection();
    assert_eq!(ask(&core, &Question::Expectations), json!([]));
    announce(&core);
    let master = &ask(&core, &all_flows())[0]["id"];
    assert_eq!(
        ask_one(&core, &Question::Expectations),
        json!({
            "id": 1, "family": "ipv4", "protocol": "tcp", "protocol_number": 6, "timeout_s": 300,
            "source": "10.9.9.9", "destination": "10.0.0.2", "source_port": null, "destination_port": 5000,
            "zone": 0, "helper": "ftp", "class": 0, "permanent": false, "inactive": false,
            "master": {
                "id": master, "source": "10.0.0.2", "destination": "10.9.9.9", "source_port": 1000,
                "destination_port": 21,
            },
        })
    );
}

#[test]
fn announcements_are_told_as_they_come_and_go_to_those_who_watch() {
    let core = with_control_connection();
    let events = Events::default();
    core.tell_expectations(&events);
    assert!(core.expectation_subscription.borrow().is_none(), "nobody watches");

    let mut watch = events.watch(Topic::Expectations.into());
    core.tell_expectations(&events);
    announce(&core);
    core.shared.flows.flush();
    core.tell_expectations(&events);
    let mut told = Vec::new();
    while let Some(message) = watch.try_next() {
        let crate::control::Told::Message(message) = message else { panic!("{message:?} is no event") };
        let Reply::Event(event) = ctl::frame::decode(&message[ctl::frame::PREFIX..]).unwrap() else {
            panic!("no event")
        };
        told.push(event.event);
    }
    assert_eq!(told, [ctl::message::EventKind::New, ctl::message::EventKind::Gone]);
}
