//! From the checked model of a table to code.

mod expression;
mod ready;
mod statement;

pub(super) use expression::NO_PORT_BIT;
pub use ready::ReadySets;

use std::collections::HashMap;
use std::sync::Arc;

use super::hook::World;
use super::program::{Code, Fate, Instruction, Load, NamedObject, Number, Object, Operation, Test, WideTest};
use crate::chain::Family;
use crate::rules::model::{ObjectKind, Rule, Set, SetRef, Statement, Table, Verdict};
use ready::Names;

/// What is known of every packet that reaches a place in a rule.
#[derive(Clone, Copy, Default)]
struct Facts {
    transport: Option<&'static [u8]>,
    protocol: Option<u8>,
    icmp_types: Option<&'static [u8]>,
}

/// The expression has no value for packets of this family.
struct Never;

struct Compiler<'a> {
    /// The table's sets by name.
    sets: HashMap<&'a str, &'a Arc<Set>>,
    family: Family,
    world: &'a World,
    code: Code,
    names: Arc<Names>,
    set_places: HashMap<Arc<str>, u32>,
    ready: &'a mut ReadySets,
    facts: Facts,
    /// The first instruction of the rule being compiled.
    rule_start: usize,
}

/// Compiles all chains of a table for packets of one family. `traced` says that some rule has packets traced.
pub fn compile(table: &Table, family: Family, world: &World, traced: bool, ready: &mut ReadySets) -> Code {
    let names = ready.names(table);
    let objects = table.objects.iter().map(|object| NamedObject {
        words: object.kind.words(),
        name: object.name.clone(),
        object: match &object.kind {
            ObjectKind::Counter(counter) => Object::State(Statement::Counter(counter.clone())),
            ObjectKind::Quota(quota) => Object::State(Statement::Quota(quota.clone())),
            ObjectKind::Limit(limit) => Object::State(Statement::Limit(limit.clone())),
            ObjectKind::Helper { helper, protocol, .. } => {
                Object::Helper { helper: helper.clone(), protocol: *protocol }
            }
        },
    });
    let code = Code {
        family,
        instructions: Vec::new(),
        entries: Vec::with_capacity(table.chains.len()),
        chains: names.chains.clone(),
        objects: objects.collect(),
        tests: Vec::new(),
        wide_tests: Vec::new(),
        narrow: Vec::new(),
        wide: Vec::new(),
        sets: Vec::new(),
    };
    let mut compiler = Compiler {
        sets: table.sets.iter().map(|set| (&*set.name, set)).collect(),
        family,
        world,
        code,
        names,
        set_places: HashMap::new(),
        ready,
        facts: Facts::default(),
        rule_start: 0,
    };
    for chain in &table.chains {
        let entry = compiler.here();
        compiler.code.entries.push(entry);
        for rule in &chain.rules {
            compiler.rule(rule, traced);
        }
        compiler.emit(Operation::End);
    }
    compiler.code
}

impl Compiler<'_> {
    fn rule(&mut self, rule: &Rule, traced: bool) {
        self.facts = Facts::default();
        self.rule_start = self.code.instructions.len();
        if traced {
            self.emit(Operation::Trace(rule.handle));
        }
        for statement in &rule.statements {
            if let Err(Never) = self.statement(statement) {
                self.emit(Operation::Never);
                break;
            }
        }
        let next_rule = self.here();
        for instruction in &mut self.code.instructions[self.rule_start..] {
            instruction.next_rule = next_rule;
        }
    }

    fn here(&self) -> u32 {
        u32::try_from(self.code.instructions.len()).expect("fewer than 2^32 instructions")
    }

    fn emit(&mut self, operation: Operation) {
        self.code.instructions.push(Instruction { operation, next_rule: 0 });
    }

    /// A test; one that follows another in the same rule becomes part of the same instruction.
    fn emit_test(&mut self, test: Test) {
        let place = u32::try_from(self.code.tests.len()).expect("fewer than 2^32 tests");
        self.code.tests.push(test);
        if self.code.instructions.len() > self.rule_start
            && let Some(Instruction { operation: Operation::Tests { first, count }, .. }) =
                self.code.instructions.last_mut()
            && *first + *count == place
        {
            *count += 1;
            return;
        }
        self.emit(Operation::Tests { first: place, count: 1 });
    }

    fn emit_wide_test(&mut self, test: WideTest) {
        let place = u32::try_from(self.code.wide_tests.len()).expect("fewer than 2^32 tests");
        self.code.wide_tests.push(test);
        self.emit(Operation::Wide(place));
    }

    /// A value to be read: kept for the packet if there is room and it stays the same while nothing changes it.
    fn load(&mut self, load: Load, bits: u16) -> Number {
        use super::program::{NARROW_SLOTS, WIDE_SLOTS};
        use crate::rules::model::MetaKey;
        if load == Load::Meta(MetaKey::Random) {
            return Number::Load(load);
        }
        let (slots, most) = if bits <= 64 {
            (&mut self.code.narrow, NARROW_SLOTS)
        } else {
            (&mut self.code.wide, WIDE_SLOTS)
        };
        let place = slots.iter().position(|held| *held == load).or_else(|| {
            (slots.len() < most).then(|| {
                slots.push(load);
                slots.len() - 1
            })
        });
        match place.map(|place| u8::try_from(place).expect("few slots")) {
            Some(slot) if bits <= 64 => Number::Narrow(slot),
            Some(slot) => Number::Wide(slot),
            None => Number::Load(load),
        }
    }

    fn set(&mut self, reference: &SetRef) -> Result<u32, Never> {
        if let Some(place) = self.set_places.get(&reference.0) {
            return Ok(*place);
        }
        let set = self.sets.get(&*reference.0).ok_or(Never)?;
        let ready = self.ready.lookup(set, &self.names);
        let place = u32::try_from(self.code.sets.len()).expect("fewer than 2^32 sets");
        self.code.sets.push(ready);
        self.set_places.insert(reference.0.clone(), place);
        Ok(place)
    }

    /// A verdict with its chain found; one to a chain that is not there drops, but the checker lets none through.
    fn fate(&self, verdict: &Verdict) -> Fate {
        fate_of(verdict, |name| self.names.chain(name))
    }
}

/// A verdict with its chain found by `place`.
pub(in crate::rules::run) fn fate_of(verdict: &Verdict, place: impl Fn(&str) -> Option<u32>) -> Fate {
    match verdict {
        Verdict::Accept => Fate::Accept,
        Verdict::Drop => Fate::Drop,
        Verdict::Continue => Fate::Continue,
        Verdict::Return => Fate::Return,
        Verdict::Jump(name) => place(name).map_or(Fate::Drop, Fate::Jump),
        Verdict::Goto(name) => place(name).map_or(Fate::Drop, Fate::Goto),
        Verdict::Queue(queue) => Fate::Queue { number: queue.first, bypass: queue.bypass },
    }
}
