//! The table of expectations against a plain list.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::conn::ProtocolState;
use crate::helper::{Advice, Memory, Message, Policy};
use crate::tuple::{Family, TupleHasher};
use crate::zone::Zone;

const POLICIES: [Policy; 3] = [
    Policy { expected_max: 1, timeout: Duration::from_secs(300) },
    Policy { expected_max: 2, timeout: Duration::from_secs(10) },
    Policy { expected_max: 0, timeout: Duration::from_secs(100) },
];
const EXPECTATIONS_MAX: usize = 5;

/// A helper that reads nothing.
struct Mute;

impl Helper for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn protocol(&self) -> u8 {
        17
    }

    fn policies(&self) -> &[Policy] {
        &POLICIES
    }

    fn handle(&self, _memory: &mut Memory, _message: &Message<'_>) -> Advice {
        Advice::Pass
    }

    fn spell(&self, _form: u8, _address: std::net::IpAddr, _id: u16) -> String {
        String::new()
    }
}

/// One of few tuples, so that many meet.
fn tuple(source: u8, id: u16, to: u8, zone: u16) -> Tuple {
    let addresses = Addresses { source: [source; 16], destination: [to; 16] };
    Tuple::new(Family::Ipv6, zone, 17, addresses, Ids { source: id, destination: 53 })
}

fn master(id: u64, zone: u16) -> Shared<Conn<()>> {
    let tuple = tuple(200, 1, 201, zone);
    let conn = Conn::new(tuple, tuple.mirrored(), id, ProtocolState::of(&()));
    conn.set_status(Status::CONFIRMED);
    conn.set_helper(Arc::new(Mute));
    Shared::new(conn)
}

/// An expectation in the list, oldest first.
#[derive(Clone, Debug)]
struct Row {
    id: u64,
    master: usize,
    wanted: Wanted,
    expires: Instant,
}

/// What is compared of two patterns, part by part: the slow way.
fn agree(one: &Tuple, other: &Tuple, source_address: bool, source_id: bool) -> bool {
    one.addresses().destination == other.addresses().destination
        && one.ids().destination == other.ids().destination
        && one.zone() == other.zone()
        && (!source_address || one.addresses().source == other.addresses().source)
        && (!source_id || one.ids().source == other.ids().source)
}

fn add(list: &mut Vec<Row>, id: u64, master: usize, wanted: Wanted, now: Instant) -> Result<(), ExpectError> {
    let pattern = wanted.pattern;
    let in_the_way = |row: &Row| {
        let other = row.wanted.pattern;
        let source_address = pattern.source_address && other.source_address;
        agree(&pattern.tuple, &other.tuple, source_address, pattern.source_id && other.source_id)
    };
    let same = |row: &Row| row.master == master && row.wanted.pattern == pattern;
    // No two of the list are in each other's way, so at most one is the same, and then no other is in the way.
    if let Some(place) = list.iter().position(same) {
        if list[place].wanted.class != wanted.class {
            return Err(ExpectError::Already);
        }
        list.remove(place);
    } else if list.iter().any(in_the_way) {
        return Err(ExpectError::Busy);
    }
    let policy = POLICIES[usize::from(wanted.class)];
    let of_class = |row: &Row| row.master == master && row.wanted.class == wanted.class;
    if policy.expected_max != 0 && list.iter().filter(|row| of_class(row)).count() >= policy.expected_max {
        let oldest = list.iter().position(of_class).unwrap();
        list.remove(oldest);
    }
    if list.len() >= EXPECTATIONS_MAX {
        return Err(ExpectError::Full);
    }
    list.push(Row { id, master, wanted, expires: now + policy.timeout });
    Ok(())
}

fn ids(store: &Store<()>) -> Vec<u64> {
    let mut ids: Vec<_> = store.list().iter().map(|expectation| expectation.id()).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_plain_list(
        steps in prop::collection::vec((0..10_u8, 0..2_u8, 0..2_u16, 0..2_u8, any::<[bool; 4]>(), 0..3_u8, 0..4_usize), 1..120),
    ) {
        let store = Store::new(EXPECTATIONS_MAX, TupleHasher::new([1, 2]));
        let masters: Vec<_> = (0..4).map(|id| master(id, u16::try_from(id % 2).unwrap())).collect();
        let mut list: Vec<Row> = Vec::new();
        let mut now = Instant::from_secs(1);
        for (step, source, id, to, [address, any_id, permanent, inactive], class, who) in steps {
            let zone = masters[who].zone().id;
            let tuple = tuple(source, id, to, zone);
            match step {
                0..4 => {
                    let pattern = Pattern { tuple, source_address: address, source_id: any_id };
                    let inactive = inactive && id == 0;
                    let wanted = Wanted { pattern, class, permanent, inactive, helper: None, nat: None };
                    let added = store.add(&masters[who], wanted.clone(), now);
                    let next = added.as_ref().map_or(0, |added| added.expectation.id());
                    let expected = add(&mut list, next, who, wanted, now);
                    prop_assert_eq!(added.map(|_| ()), expected);
                }
                4..7 => {
                    let found = store.find(&tuple, Zone::both(zone), now);
                    let meant: Vec<u64> = list
                        .iter()
                        .filter(|row| !row.wanted.inactive && row.expires > now)
                        .filter(|row| {
                            let pattern = row.wanted.pattern;
                            agree(&pattern.tuple, &tuple, pattern.source_address, pattern.source_id)
                        })
                        .map(|row| row.id)
                        .collect();
                    match found {
                        None => prop_assert!(meant.is_empty(), "{:?}", meant),
                        Some((expectation, used_up)) => {
                            prop_assert!(meant.contains(&expectation.id()));
                            prop_assert_eq!(used_up, !expectation.is_permanent());
                            list.retain(|row| row.wanted.permanent || row.id != expectation.id());
                        }
                    }
                }
                7 => {
                    store.remove_of(masters[who].id());
                    list.retain(|row| row.master != who);
                }
                8 => {
                    if let Some(expectation) = store.list().get(who) {
                        prop_assert!(store.remove(expectation));
                        prop_assert!(!store.remove(expectation), "it is gone");
                        list.retain(|row| row.id != expectation.id());
                    }
                }
                _ => {
                    now = now + Duration::from_secs(u64::from(class) * 40 + 3);
                    let ended = store.expire(now, usize::MAX);
                    prop_assert!(ended.iter().all(|expectation| expectation.timeout_at(now).is_zero()));
                    list.retain(|row| row.expires > now);
                }
            }
            let mut expected: Vec<_> = list.iter().map(|row| row.id).collect();
            expected.sort_unstable();
            prop_assert_eq!(ids(&store), expected);
            prop_assert_eq!(store.len(), list.len());
        }
    }
}

#[test]
fn nobody_answers_for_a_flow_that_has_not_left_or_is_over() {
    let store = Store::new(EXPECTATIONS_MAX, TupleHasher::new([1, 2]));
    let (now, tuple) = (Instant::from_secs(1), tuple(1, 1, 2, 0));
    let pattern = Pattern { tuple, source_address: true, source_id: true };
    let wanted = || Wanted { pattern, class: 2, permanent: true, inactive: false, helper: None, nat: None };
    let unconfirmed = Conn::<()>::new(tuple, tuple, 9, ProtocolState::of(&()));
    unconfirmed.set_helper(Arc::new(Mute));
    let unconfirmed = Shared::new(unconfirmed);
    store.add(&unconfirmed, wanted(), now).ok().unwrap();
    assert!(store.find(&tuple, Zone::DEFAULT, now).is_none());
    unconfirmed.set_status(Status::CONFIRMED);
    assert!(store.find(&tuple, Zone::DEFAULT, now).is_some());
    assert!(store.find(&tuple, Zone::both(1), now).is_none());
    unconfirmed.set_status(Status::DYING);
    assert!(store.find(&tuple, Zone::DEFAULT, now).is_none());
    assert_eq!(store.add(&unconfirmed, wanted(), now).err(), Some(ExpectError::MasterGone));
}
