//! Whatever changes, packets fare with routes kept in flows as they do without: two routers are told and sent the
//! same, and what leaves them is compared packet by packet.

mod packets;
mod world;

use std::time::Duration;

use fib::change::Change;
use proptest::prelude::*;
use proptest::test_runner::Config;
use router::engine::FlowCache;
use router::worker::WorkerConfig;

use packets::{FLOWS, Flow, Sent};
use world::{Hooks, World, all_alike};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Packets arrive; all of them are there before the first is looked at.
    Arrive(Vec<Sent>),
    /// The routing state changes.
    Change(Vec<Change>),
    /// Time passes.
    Wait(Duration),
}

fn any_step(sent: impl Strategy<Value = Sent> + 'static) -> impl Strategy<Value = Step> {
    let wait = prop_oneof![8 => 1_u64..1_500, 1 => 20_000_u64..40_000];
    prop_oneof![
        6 => prop::collection::vec(sent, 1..6).prop_map(Step::Arrive),
        4 => prop::collection::vec(world::any_change(), 1..4).prop_map(Step::Change),
        1 => wait.prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ]
}

/// Has the same happen to all `worlds`, and compares what leaves them after each step.
fn compare(worlds: &mut [World], flows: &[Flow], steps: &[Step]) -> Result<(), TestCaseError> {
    for (number, step) in steps.iter().enumerate() {
        for world in &mut *worlds {
            match step {
                Step::Arrive(sent) => world.arrive(flows, sent),
                Step::Change(changes) => world.change(changes),
                Step::Wait(time) => world.table.advance(*time),
            }
        }
        let left: Vec<_> = worlds.iter_mut().map(World::leaving).collect();
        for world in &*worlds {
            prop_assert_eq!(
                world.table.frames_available(),
                WorkerConfig::default().frames_max,
                "no frame is lost"
            );
        }
        if let Err(difference) = all_alike(&left) {
            return Err(TestCaseError::fail(format!("step {number}, {step:?}: {difference}")));
        }
    }
    Ok(())
}

/// As many cases as the environment asks for (`PROPTEST_CASES`), else so many.
fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config { cases: asked.unwrap_or(usual), max_shrink_iters: 20_000, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(12_000))]

    #[test]
    fn with_the_flow_cache_on_packets_leave_as_with_it_off(
        flows in prop::collection::vec(packets::any_flow(), FLOWS),
        steps in prop::collection::vec(any_step(packets::any_sent(true)), 1..60),
    ) {
        let mut worlds = [World::new(Hooks::All, FlowCache::On), World::new(Hooks::All, FlowCache::Off)];
        compare(&mut worlds, &flows, &steps)?;
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn without_stateful_hooks_whole_packets_leave_as_with_them(
        flows in prop::collection::vec(packets::any_flow(), FLOWS),
        steps in prop::collection::vec(any_step(packets::any_sent(false)), 1..60),
    ) {
        let mut worlds = [World::new(Hooks::All, FlowCache::On), World::new(Hooks::Stateless, FlowCache::On)];
        compare(&mut worlds, &flows, &steps)?;
    }
}

#[test]
fn the_comparison_sees_a_router_that_trusts_old_routes() {
    let mut worlds = [World::new(Hooks::All, FlowCache::Hold), World::new(Hooks::All, FlowCache::Off)];
    let sent = Sent::plain();
    let steps = [
        Step::Arrive(vec![sent.clone()]),
        Step::Change(vec![world::blackhole("10.50.1.0/24")]),
        Step::Arrive(vec![sent]),
    ];
    assert!(compare(&mut worlds, &[Flow::plain()], &steps).is_err());
}

#[test]
fn flows_in_these_worlds_do_use_what_they_keep() {
    let mut world = World::new(Hooks::All, FlowCache::On);
    world.arrive(&[Flow::plain()], &[Sent::plain(), Sent::plain(), Sent::plain()]);
    assert_eq!(world.table.counters().flow_cache_hits.get(), 2);
    assert_eq!(world.leaving().total(), 3);
}
