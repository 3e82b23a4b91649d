//! Rules change hands while packets pass: each packet meets one set of rules, and all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::build::Ground;
use super::texts::{counts, read, udp};
use crate::rules::model::Ruleset;

/// How often rules are put in force at least.
const INSTALLS: u64 = 300;

/// Puts the two rulesets in force in turn, from another thread, while `pass` has packets pass; until each has been in
/// force often enough and `enough` says so.
fn while_changing(both: &[Ruleset; 2], mut pass: impl FnMut(&mut Ground), enough: impl Fn() -> bool) {
    let mut ground = Ground::with(&both[0]);
    let (installs, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let shared = Arc::clone(&ground.table.assembly.shared);
    let rules = std::mem::replace(&mut ground.rules, Ground::new().rules);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for ruleset in both.iter().rev().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                rules.install(&shared.hooks, ruleset).expect("there is room for two chains");
                installs.fetch_add(1, Ordering::Relaxed);
            }
        });
        while installs.load(Ordering::Relaxed) < INSTALLS || !enough() {
            pass(&mut ground);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_packet_meets_a_mixture_of_rules_or_none() {
    // A packet that is marked by one ruleset and judged by the other is dropped; one that meets no rules is not counted.
    let both = [1, 2].map(|mark| {
        read(&format!(
            "table ip t {{
                chain before {{ type filter hook prerouting priority -150; meta mark set {mark}; }}
                chain c {{ type filter hook forward priority 0; policy drop; meta mark {mark} counter accept; }}
                chain behind {{ type filter hook postrouting priority 0; policy drop; meta mark {mark} counter accept; }}
            }}"
        ))
    });
    let packet = udp("10.0.0.2:1", "10.0.1.2:53");
    let mut passed = 0;
    let met = || both.each_ref().map(counts);
    while_changing(
        &both,
        |ground| {
            assert!(ground.passes(&packet), "packet {passed} met a mixture");
            passed += 1;
        },
        || met().iter().all(|counts| counts[0] > 0),
    );
    let [one, other] = met();
    assert_eq!(
        (one[0] + other[0], one[1] + other[1]),
        (passed, passed),
        "every packet met all chains of its rules"
    );
}

#[test]
fn of_two_packets_that_come_together_the_rules_in_force_drop_the_one_they_name() {
    let both = [1, 2].map(|port| {
        let rule = format!("udp dport {port} counter drop");
        read(&format!("table ip t {{ chain c {{ type filter hook forward priority 0; {rule}; }}\n}}"))
    });
    let packets = [1, 2].map(|port| udp("10.0.0.2:1", &format!("10.0.1.2:{port}")));
    let mut pairs = 0;
    let dropped = || both.each_ref().map(|ruleset| counts(ruleset)[0]);
    while_changing(
        &both,
        |ground| {
            packets.iter().for_each(|packet| ground.table.send(0, &packet[..]));
            ground.table.settle();
            assert_eq!(ground.table.take(1).len(), 1, "of pair {pairs}");
            pairs += 1;
        },
        || dropped().iter().all(|dropped| *dropped > 0),
    );
    assert_eq!(dropped().iter().sum::<u64>(), pairs);
}
