//! Stories out of seeds.

mod changes;
mod rules;
mod traffic;

use fastrand::Rng;

use super::hosts::{MANY_WAYS, RECEIVERS, SENDERS};
use super::story::{Flow, Ground, Order, Protocol, Step, Story};
use super::world::CARD;
use traffic::Talk;

/// Flows of a story: few, so that each is met often.
const FLOWS: usize = 4;
/// Things that happen in a story, at most.
const STEPS_MAX: usize = 44;

/// What stories contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// Everything.
    All,
    /// Routes change, and there are no rules but for marks.
    Routes,
    /// Everything, and a card that takes flows over.
    Card,
    /// Nothing that needs state; the other router has no stateful hooks.
    Stateless,
}

impl Taste {
    /// All tastes.
    pub const ALL: [Self; 4] = [Self::All, Self::Routes, Self::Card, Self::Stateless];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Routes => "routes",
            Self::Card => "card",
            Self::Stateless => "stateless",
        }
    }
}

/// What rules must not look at, and packets not be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Some flow has several ways. A router that remembers keeps to one while it is among them, one that does not asks
    /// anew: packets are compared wherever they leave, so rules may not look at where that is.
    many_ways: bool,
    /// There are rules that need flows.
    stateful: bool,
    /// Packets may come in pieces, which are whole again behind the hook that gathers them.
    pieces: bool,
}

/// The story of a seed.
#[must_use]
pub fn story(seed: u64, taste: Taste) -> Story {
    let rng = &mut Rng::with_seed(seed);
    let many_ways = one_in(rng, 6);
    let flows: Vec<Flow> = (0..FLOWS).map(|number| flow(rng, many_ways && number == 0)).collect();
    let stateful = matches!(taste, Taste::All | Taste::Card);
    let limits = Limits { many_ways, stateful, pieces: taste != Taste::Stateless };
    let mut talks: Vec<Talk> = flows.iter().map(Talk::new).collect();
    let mut steps = Vec::new();
    if stateful || one_in(rng, 2) {
        steps.push(Step::Rules(rules::whole(rng, limits)));
    }
    for _ in 0..rng.usize(6..=STEPS_MAX) {
        steps.push(step(rng, limits, &mut talks));
    }
    let ground = Ground {
        handover: stateful && one_in(rng, 5),
        stateless: taste == Taste::Stateless,
        memory: match taste {
            Taste::Card => Some(KINDS.into_iter().chain([CARD]).map(str::to_owned).collect()),
            Taste::All if one_in(rng, 4) => Some(some_memory(rng)),
            _ => None,
        },
    };
    Story { ground, flows, steps }
}

fn step(rng: &mut Rng, limits: Limits, talks: &mut [Talk]) -> Step {
    match rng.u32(0..100) {
        0..64 => {
            let count = rng.usize(1..6);
            Step::Arrive((0..count).map(|_| traffic::sent(rng, limits, talks)).collect())
        }
        64..84 => {
            let count = if one_in(rng, 2) { 1 } else { rng.usize(1..4) };
            Step::Change((0..count).map(|_| changes::any(rng, limits)).collect())
        }
        84..90 if limits.stateful => Step::Rules(rules::any(rng, limits)),
        90..94 => Step::Wait(match rng.u32(0..12) {
            0..8 => rng.u64(1..1_500),
            8..10 => rng.u64(20_000..40_000),
            10 => rng.u64(100_000..200_000),
            _ => 700_000,
        }),
        94..97 => Step::Read,
        97 if limits.stateful => {
            let kinds = [None, Some(Protocol::Udp), Some(Protocol::Tcp), Some(Protocol::Echo)];
            Step::Delete(pick(rng, &kinds))
        }
        98 => Step::Order(order(rng)),
        _ => Step::Burst(if one_in(rng, 8) { 100 } else { rng.u32(1..12) }),
    }
}

fn flow(rng: &mut Rng, many_ways: bool) -> Flow {
    // A sender on a link that may be the way out hears of a redirect for one way and not for the other.
    let (client, server) = if many_ways {
        (rng.usize(0..3), MANY_WAYS)
    } else {
        (rng.usize(0..SENDERS), rng.usize(0..RECEIVERS - 1))
    };
    let (client_id, server_id) = pick(rng, &[(1_000, 80), (2_000, 53), (1_000, 53), (3_000, 22)]);
    let protocol = pick(
        rng,
        &[Protocol::Udp, Protocol::Udp, Protocol::Tcp, Protocol::Tcp, Protocol::Tcp, Protocol::Echo],
    );
    Flow { ipv6: one_in(rng, 3), protocol, client, server, client_id, server_id }
}

/// Kinds of what is remembered.
const KINDS: [&str; 4] = ["route", "verdict", "negative", "untracked"];

fn some_memory(rng: &mut Rng) -> Vec<String> {
    KINDS.iter().filter(|_| rng.bool()).map(|kind| (*kind).to_owned()).collect()
}

fn order(rng: &mut Rng) -> Order {
    let kind = pick(rng, &KINDS).to_owned();
    match rng.u32(0..3) {
        0 => Order::Off(kind),
        1 => Order::On(kind),
        _ => Order::Flush,
    }
}

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())]
}

fn one_in(rng: &mut Rng, count: u32) -> bool {
    rng.u32(0..count) == 0
}
