//! From a ruleset to hooks: all base chains change hands in one moment.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::model::{BaseChain, ChainKind, Ruleset, Statement, Table, TableFamily, Target};
use super::run::{Code, ReadySets, RuleHook, World, compile};
use crate::chain::{Family, Hook, Place, Refused, Registration, Registry};
use crate::hooks::{Nat, NatChain};

/// The rules in force, as hooks.
pub struct RuleHooks {
    world: Arc<World>,
    seated: Mutex<Seated>,
}

#[derive(Default)]
struct Seated {
    chains: Vec<Place>,
    /// Translation has been seated; flows that are translated need it from then on.
    nat: bool,
    ready: ReadySets,
}

impl RuleHooks {
    /// No rules yet.
    #[must_use]
    pub fn new(world: Arc<World>) -> Self {
        Self { world, seated: Mutex::default() }
    }

    /// What rules look at besides packets.
    #[must_use]
    pub const fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Compiles a ruleset and puts it in place of the one in force. Each base chain is a hook named after its table and
    /// itself, in each family of its table; chains of type `nat` are part of the hook `nat`. No packet meets a mixture,
    /// and none meets no rules. Sets that the one in force has too are not made anew.
    ///
    /// # Errors
    /// [`Refused`] if there is no room for a chain; then the rules in force stay.
    pub fn install(&self, hooks: &Registry, ruleset: &Ruleset) -> Result<(), Refused> {
        let mut seated = self.seated.lock();
        let traced = ruleset.tables.iter().any(|table| has_traces(table));
        let mut plan = Plan::default();
        // Of chains with equal priority the kernel calls the one made last first (`nf_hook_entries_grow`).
        for table in ruleset.tables.iter().rev().filter(|table| !table.dormant) {
            plan.table(table, &self.world, traced, &mut seated.ready);
        }
        seated.ready.complete();
        let chains: Vec<Place> = plan.chains.iter().map(|chain| chain.place.clone()).collect();
        let nat = seated.nat || !plan.nat.is_empty();
        let mut away = seated.chains.clone();
        let mut batch = plan.chains;
        if nat {
            batch.extend(Nat::seats(&self.world.flows, &plan.nat));
        }
        if seated.nat {
            away.extend(Nat::places());
        }
        hooks.replace(away, batch)?;
        (seated.chains, seated.nat) = (chains, nat);
        Ok(())
    }
}

/// What is to be seated.
#[derive(Default)]
struct Plan {
    chains: Vec<Registration>,
    nat: Vec<NatChain>,
    names: HashSet<(Family, &'static str, String)>,
}

impl Plan {
    fn table(&mut self, table: &Table, world: &Arc<World>, traced: bool, ready: &mut ReadySets) {
        let families: &[Family] = match table.family {
            TableFamily::Ip => &[Family::Ipv4],
            TableFamily::Ip6 => &[Family::Ipv6],
            TableFamily::Inet => &[Family::Ipv4, Family::Ipv6],
            TableFamily::Arp => &[Family::Arp],
            TableFamily::Bridge => &[Family::Bridge],
        };
        for family in families {
            let code = Arc::new(compile(table, *family, world, traced, ready));
            for (place, chain) in (0_u32..).zip(&table.chains).collect::<Vec<_>>().into_iter().rev() {
                if let Some(base) = &chain.base {
                    let hook = RuleHook::new(code.clone(), world.clone(), base, place);
                    self.chain(table, &chain.name, *family, base, Arc::new(hook));
                }
            }
        }
    }

    fn chain(&mut self, table: &Table, chain: &str, family: Family, base: &BaseChain, hook: Arc<dyn Hook>) {
        let BaseChain { kind, point, priority, .. } = *base;
        if kind == ChainKind::Nat {
            self.nat.push(NatChain { family, point, priority, hook });
            return;
        }
        let short = format!("{}/{chain}", table.name);
        let name = if self.names.insert((family, point.name(), short.clone())) {
            short
        } else {
            format!("{} {short}", table.family.name())
        };
        self.chains.push(Registration { place: Place::new(family, point, &name), priority, hook });
    }
}

fn has_traces(table: &Table) -> bool {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    let mut statements = rules.flat_map(|rule| &rule.statements);
    statements.any(|statement| matches!(statement, Statement::Set { target: Target::MetaTrace, .. }))
}

/// A table's code is shared by its hooks; this says that it may be.
const _: fn() = || {
    const fn shared<T: Send + Sync>() {}
    shared::<Code>();
};
