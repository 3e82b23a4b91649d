//! The router of the bench: its prefixes, its rules, its flows, and what it may remember of them.

use std::fmt::Write as _;
use std::sync::Arc;

use conntrack::{Config, Instant, Registry};
use fib::change::Change;
use router::engine::{Engine, FlowCache, Kind};
use router::offload::Card;
use router::port::memory::Settings;
use router::rules::check::Environment;
use router::rules::install::RuleHooks;
use router::rules::model::Ruleset;
use router::rules::run::World as Surroundings;
use router::rules::{self, syntax};
use router::stats::Counters;
use router::tabletop::{Tabletop, gateway_route};

use super::flows::{FLOWS_MAX, GATEWAYS, Way, cut, gateway};
use super::tape::{BATCH, Deck, Tape};

/// Changes of the routing state that take effect at a time, as when the kernel announces many.
pub const CHANGES_MAX: usize = 4_096;

/// What is remembered of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remembered {
    /// Each packet's destination is looked up, and each packet meets all rules.
    Nothing,
    /// The way.
    Route,
    /// The way, and what rules made of the flow.
    Verdict,
    /// Everything, by a card: packets of known flows do not enter the walk.
    Card,
}

impl Remembered {
    /// All, from the least on.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Route, Self::Verdict, Self::Card];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Route => "route",
            Self::Verdict => "route+verdict",
            Self::Card => "card",
        }
    }
}

/// A router with two ports, and the worker whose packets are measured.
pub struct World {
    /// Its routing state and what workers share.
    pub table: Tabletop,
    /// Its worker.
    pub deck: Deck<Engine>,
    /// What the worker has counted.
    pub counters: Arc<Counters>,
    rules: RuleHooks,
    prefixes: u32,
    remembered: Option<Remembered>,
}

/// What a worker has counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Packets.
    pub received: u64,
    /// Lookups of a destination.
    pub searched: u64,
    /// Packets that passed rules as those before them did.
    pub recalled: u64,
    /// Packets that a card has forwarded.
    pub offloaded: u64,
}

impl World {
    /// A router without prefixes and rules, with room for [`FLOWS_MAX`] flows, at which a tape's packets arrive.
    #[must_use]
    pub fn new(tape: &Arc<Tape>) -> Self {
        let flows = Config { flows_max: FLOWS_MAX as usize, seed: [1, 2], ..Config::default() };
        let trackers = Registry::builtin().build();
        let mut table = Tabletop::with_ports(&["r0", "r1"], Settings::default(), flows, trackers);
        table.address(0, "10.0.0.1/16");
        table.neighbor(0, "10.0.0.2", Some([2, 0, 0, 0, 1, 1]));
        table.route("10.0.0.0/8", "10.0.0.2", 0);
        table.address(1, "11.0.0.1/24");
        for number in 0..GATEWAYS {
            table.neighbor(1, &gateway(number).to_string(), Some([2, 0, 0, 0, 2, number as u8]));
        }
        let shared = table.shared();
        let surroundings = Surroundings::new(shared.flows.clone(), shared.ports.clone(), 1);
        let rules = RuleHooks::new(Arc::new(surroundings));
        let (engine, counters) = table.assembly.engine();
        Self { deck: Deck::new(engine, tape), table, counters, rules, prefixes: 0, remembered: None }
    }

    /// The same, with a card that has room for all flows.
    #[must_use]
    pub fn with_card(tape: &Arc<Tape>) -> Self {
        let world = Self::new(tape);
        Card::install(world.table.shared(), 2 * FLOWS_MAX as usize, [1, 2]).expect("nobody sits there yet");
        world
    }

    /// Has the table of routes lead to the flows' servers by so many prefixes.
    pub fn set_prefixes(&mut self, count: u32) {
        if count != self.prefixes {
            let gone = routes(self.prefixes).map(Change::RouteGone);
            let come = routes(count).map(Change::Route);
            self.apply(gone.chain(come));
            self.prefixes = count;
        }
    }

    /// Has the routing state follow changes, [`CHANGES_MAX`] at a time.
    fn apply(&mut self, changes: impl Iterator<Item = Change>) {
        self.deck.rest();
        let writer = &mut self.table.assembly.writer;
        let mut changes = changes.peekable();
        while changes.peek().is_some() {
            writer.apply(changes.by_ref().take(CHANGES_MAX));
        }
        let routing = writer.reader();
        // Nothing is forwarded meanwhile, so that a card need not give up its flows before the last of them.
        self.table.shared().follow_routing(&routing.load());
    }

    /// Puts so many rules that match no packet in front of one that accepts all, in one chain, each with a counter. With
    /// `None` there is no chain.
    pub fn set_rules(&self, count: Option<u32>) {
        let loaded = rules::load(
            &Ruleset::default(),
            "bench",
            &count.map_or(String::new(), chain),
            &mut syntax::nothing,
            &Environment::default(),
        );
        let ruleset = loaded.expect("rules are well written").commit(Instant::from_secs(1));
        self.rules.install(self.table.hooks(), &ruleset).expect("there is room");
    }

    /// Has the router remember that much and no more from the next turn on. Of a card it is the router that must have one
    /// ([`Self::with_card`]); it has given up its flows where anything is switched.
    pub fn remember(&mut self, what: Remembered) {
        if self.remembered.replace(what) == Some(what) {
            return;
        }
        let shared = self.table.shared();
        let mode = |used| if used { FlowCache::On } else { FlowCache::Off };
        shared.set_flow_cache_of(Kind::Route, mode(what != Remembered::Nothing));
        shared.set_flow_cache_of(Kind::Verdict, mode(matches!(what, Remembered::Verdict | Remembered::Card)));
    }

    /// Has a packet of each flow pass there and one back: they are established then. The tape of their packets is in
    /// place afterwards.
    ///
    /// # Panics
    /// If a packet is not forwarded.
    pub fn establish(&mut self, flows: u32, there: &Arc<Tape>) {
        self.deck.change(there);
        self.deck.play(there.frames());
        let back = Tape::shuffled(flows, Way::Back);
        self.deck.change(&back);
        self.deck.play(back.frames());
        drop(back);
        self.deck.change(there);
        // With the next turn the worker lets go of the tape before.
        self.deck.play(BATCH);
        let known = self.table.shared().flows.len();
        assert_eq!(known, flows as usize, "all flows are known");
        self.assert_all_forwarded();
    }

    /// What the worker has counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            received: self.counters.received.get(),
            searched: self.counters.fib_lookups.get(),
            recalled: self.counters.verdict_cache_hits.get(),
            offloaded: self.counters.offloaded.get(),
        }
    }

    /// # Panics
    /// If a packet is not forwarded.
    pub fn assert_all_forwarded(&self) {
        assert_eq!(self.counters.forwarded.get(), self.counters.received.get(), "everything is forwarded");
    }
}

/// Routes to the flows' servers, so many of them.
fn routes(count: u32) -> impl Iterator<Item = fib::change::Route> {
    // Zero prefixes cannot be cut, one can.
    let prefixes = (count > 0).then(|| cut(count)).into_iter().flatten();
    prefixes.zip(0..).map(|((address, length), number)| {
        gateway_route(&format!("{address}/{length}"), &gateway(number).to_string(), 1)
    })
}

/// A chain of rules: a table of its own.
fn chain(rules: u32) -> String {
    let mut text = String::from(
        "table ip bench {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n",
    );
    for number in 0..rules {
        let address = std::net::Ipv4Addr::from((172 << 24 | 16 << 16) + number);
        writeln!(text, "ip saddr {address} counter drop").expect("a string takes all");
    }
    text + "counter accept\n}\n}\n"
}
