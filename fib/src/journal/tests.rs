//! What people see of the journal.

use super::*;
use crate::change::{Change, Link};
use crate::rig::{R1, Rig, address, link, nexthop};

#[test]
fn the_newest_change_comes_first_and_each_is_told_in_words() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.apply([nexthop(1, "192.0.2.1", "r2")]);
    rig.add("11.0.0.0/8 nhid 1");
    let before = rig.load().journal().changes();
    rig.apply([nexthop(1, "192.0.2.5", "r2")]);
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    rig.apply([Change::Address(address(R1, "192.0.2.4/24"))]);
    rig.apply([Change::Policy("10.0.0.0/8".parse().unwrap(), Some(crate::change::RoutePolicy::Keep))]);
    rig.writer.raise();
    let snapshot = rig.load();
    let count = (snapshot.journal().changes() - before) as usize;
    let words: Vec<_> = snapshot.journal().rows(count).map(|row| row.words(&rig.writer.ports())).collect();
    assert_eq!(
        words,
        [
            "flushed",
            "route policy changed: 10.0.0.0/8",
            "address added: 192.0.2.4",
            "address added: r1",
            "port down: via 192.0.2.1 dev r1",
            "next hop changed: via 192.0.2.5 dev r2",
        ]
    );
    assert_eq!(snapshot.journal().rows(2).count(), 2);
    let first = snapshot.journal().rows(usize::MAX).last().unwrap();
    assert_eq!(first.position, Position(0));
}

#[test]
fn both_copies_of_the_state_tell_the_same() {
    let mut rig = Rig::new();
    let mut seen: Vec<_> = rig.load().journal().rows(usize::MAX).collect();
    for number in 0..20 {
        rig.add(&format!("10.{number}.0.0/16 via 192.0.2.1 dev r1"));
        let rows: Vec<_> = rig.load().journal().rows(usize::MAX).collect();
        assert_eq!(rows[1..], seen);
        assert_eq!(rows[0].generation, rig.load().generation());
        seen = rows;
    }
}

#[test]
fn what_changes_nothing_is_not_told() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let before = rig.load().journal().changes();
    rig.add("10.0.0.0/8 via 192.0.2.1 dev r1");
    rig.apply([Change::Link(Link { mtu: 9000, ..link(R1, "r1") })]);
    assert_eq!(rig.load().journal().changes(), before);
}
