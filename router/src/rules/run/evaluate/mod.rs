//! A packet meets the rules.

mod act;
mod change;
mod options;
mod read;
mod record;
mod ways;

use super::hook::World;
use super::program::{
    Code, Compare, Fate, Lookedup, NARROW_SLOTS, Number, Operation, Right, Test, WIDE_SLOTS, WideTest,
};
use super::tables::{Datum, Elements, Fixed, KeyParts};
use crate::chain::{Point, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::rules::lookup::KEY_MAX;
use crate::rules::model::{Comparison, Data};

/// Chains that a packet may be deep in (`NFT_JUMP_STACK_SIZE`); the checker refuses more.
const JUMPS_MAX: usize = 16;

/// One packet's way through the chains of a table.
pub(super) struct Run<'a, 'c> {
    code: &'a Code,
    world: &'a World,
    point: Point,
    packet: &'a mut Packet,
    context: &'a mut Context<'c>,
    kept: Kept,
    /// What is read and done is told to the worker's recording.
    recorded: bool,
}

/// Values read so far; they are good until something is changed.
#[derive(Default)]
struct Kept {
    narrow: [u64; NARROW_SLOTS],
    wide: [u128; WIDE_SLOTS],
    /// Read; and of those, had.
    narrow_read: u16,
    narrow_had: u16,
    wide_read: u8,
    wide_had: u8,
}

/// How a rule goes on.
enum Step {
    /// With the next statement.
    Next,
    /// Not: the next rule is tried.
    Break,
    /// Into another chain.
    Go(Fate),
    /// Not at all: this base chain has decided.
    Done(Verdict),
}

/// A key of a set on the stack.
struct Key {
    bytes: [u8; KEY_MAX],
    length: usize,
}

impl Key {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'a, 'c> Run<'a, 'c> {
    pub(super) fn new(
        code: &'a Code,
        world: &'a World,
        point: Point,
        packet: &'a mut Packet,
        context: &'a mut Context<'c>,
        recorded: bool,
    ) -> Self {
        Self { code, world, point, packet, context, kept: Kept::default(), recorded }
    }

    /// From the beginning of a chain to a verdict; `None` if no rule has one.
    pub(super) fn chain(&mut self, chain: u32) -> Option<Verdict> {
        let code = self.code;
        let mut stack = [0_u32; JUMPS_MAX];
        let mut depth = 0;
        let mut at = code.entry(chain);
        loop {
            let instruction = &code.instructions[at];
            let fate = match self.step(&instruction.operation) {
                Step::Next => {
                    at += 1;
                    continue;
                }
                Step::Break => {
                    at = instruction.next_rule as usize;
                    continue;
                }
                Step::Done(verdict) => return Some(verdict),
                Step::Go(fate) => fate,
            };
            match fate {
                Fate::Continue => at += 1,
                Fate::Accept => return Some(Verdict::Accept),
                Fate::Drop => return Some(Verdict::Drop(DropReason::Rule)),
                Fate::Queue { number, bypass } => {
                    self.not_remembered();
                    return Some(Verdict::Queue { number, bypass });
                }
                Fate::Goto(chain) => at = code.entry(chain),
                Fate::Jump(chain) => {
                    let Some(place) = stack.get_mut(depth) else {
                        return Some(Verdict::Drop(DropReason::Rule));
                    };
                    *place = instruction.next_rule;
                    depth += 1;
                    at = code.entry(chain);
                }
                Fate::Return => {
                    depth = depth.checked_sub(1)?;
                    at = stack[depth] as usize;
                }
            }
        }
    }

    #[inline]
    fn step(&mut self, operation: &'a Operation) -> Step {
        match operation {
            Operation::Tests { first, count } => {
                let first = *first as usize;
                let tests = &self.code.tests[first..first + *count as usize];
                goes_on(tests.iter().all(|test| self.test(test)))
            }
            Operation::Wide(place) => {
                let test = &self.code.wide_tests[*place as usize];
                goes_on(self.wide_test(test))
            }
            Operation::OneOf(one_of) => {
                let (value, bits) = &**one_of;
                let value = self.number(value);
                goes_on(
                    value.is_some_and(|value| {
                        value < 256 && bits[value as usize >> 7] >> (value & 127) & 1 != 0
                    }),
                )
            }
            Operation::Compare(compare) => goes_on(self.compare(compare)),
            Operation::Member(member) => match self.key(&member.key) {
                Some(key) => goes_on(self.is_member(member.set, &key) != member.negate),
                None => Step::Break,
            },
            Operation::Never => Step::Break,
            Operation::Verdict(fate) => Step::Go(*fate),
            Operation::VerdictMap(looked_up) => self.verdict_map(looked_up),
            Operation::End => Step::Go(Fate::Return),
            other => self.act(other),
        }
    }

    fn verdict_map(&mut self, looked_up: &Lookedup) -> Step {
        match self.look_up(looked_up) {
            Some(Found::Fate(fate)) => Step::Go(fate),
            _ => Step::Break,
        }
    }

    #[inline]
    fn test(&mut self, test: &Test) -> bool {
        let Some(value) = self.narrow(test.slot) else { return false };
        ((value & test.mask).wrapping_sub(test.low) <= test.span) != test.negate
    }

    fn wide_test(&mut self, test: &WideTest) -> bool {
        let Some(value) = self.wide(test.slot) else { return false };
        ((value & test.mask).wrapping_sub(test.low) <= test.span) != test.negate
    }

    #[inline]
    fn narrow(&mut self, slot: u8) -> Option<u64> {
        let bit = 1 << slot;
        if self.kept.narrow_read & bit == 0 {
            self.kept.narrow_read |= bit;
            match self.read(&self.code.narrow[usize::from(slot)]) {
                Some(value) => {
                    self.kept.narrow[usize::from(slot)] = value as u64;
                    self.kept.narrow_had |= bit;
                }
                None => self.kept.narrow_had &= !bit,
            }
        }
        (self.kept.narrow_had & bit != 0).then_some(self.kept.narrow[usize::from(slot)])
    }

    fn wide(&mut self, slot: u8) -> Option<u128> {
        let bit = 1 << slot;
        if self.kept.wide_read & bit == 0 {
            self.kept.wide_read |= bit;
            match self.read(&self.code.wide[usize::from(slot)]) {
                Some(value) => {
                    self.kept.wide[usize::from(slot)] = value;
                    self.kept.wide_had |= bit;
                }
                None => self.kept.wide_had &= !bit,
            }
        }
        (self.kept.wide_had & bit != 0).then_some(self.kept.wide[usize::from(slot)])
    }

    /// Something was changed: what was read is to be read again.
    const fn forget(&mut self) {
        self.kept.narrow_read = 0;
        self.kept.wide_read = 0;
    }

    fn compare(&mut self, compare: &Compare) -> bool {
        let Some(left) = self.number(&compare.left) else { return false };
        let (from, to) = match &compare.right {
            Right::Range(from, to) => (*from, *to),
            Right::Masked(mask, wanted) => {
                return (left & mask == *wanted) == (compare.comparison == Comparison::Equal);
            }
            Right::Number(number) => match self.number(number) {
                Some(number) => (number, number),
                None => return false,
            },
        };
        match compare.comparison {
            Comparison::Equal => from <= left && left <= to,
            Comparison::NotEqual => left < from || to < left,
            Comparison::Less => left < from,
            Comparison::LessOrEqual => left <= from,
            Comparison::Greater => left > from,
            Comparison::GreaterOrEqual => left >= from,
            Comparison::AnyBit => left & from != 0,
            Comparison::NoBit => left & from == 0,
        }
    }

    fn number(&mut self, number: &Number) -> Option<u128> {
        Some(match number {
            Number::Constant(value) => *value,
            Number::Narrow(slot) => u128::from(self.narrow(*slot)?),
            Number::Wide(slot) => self.wide(*slot)?,
            Number::Load(load) => self.read(load)?,
            Number::Bitwise { inner, mask, flip } => self.number(inner)? & mask ^ flip,
            Number::Shift { inner, bits, width } => {
                let value = self.number(inner)?;
                let all = if *width >= 128 { u128::MAX } else { (1 << *width) - 1 };
                let by = u32::from(bits.unsigned_abs());
                if *bits >= 0 {
                    value.checked_shl(by).unwrap_or(0) & all
                } else {
                    value.checked_shr(by).unwrap_or(0)
                }
            }
            Number::Join { operator, left, right } => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                match operator {
                    b'|' => left | right,
                    b'&' => left & right,
                    _ => left ^ right,
                }
            }
            Number::Map(looked_up) => match self.look_up(looked_up)? {
                Found::Number(value) => value,
                _ => return None,
            },
            Number::Incremental { sequence, modulus, offset } => {
                self.not_remembered();
                u128::from(sequence.next(*modulus).wrapping_add(*offset))
            }
            Number::Random { modulus, offset } => {
                self.not_remembered();
                let scaled = (u64::from(self.world.random()) * u64::from(*modulus)) >> 32;
                u128::from((scaled as u32).wrapping_add(*offset))
            }
            Number::Hash { key, modulus, seed, offset } => {
                let hash = match key {
                    Some(key) => {
                        let key = self.key(key)?;
                        read::jhash(key.bytes(), *seed)
                    }
                    None => self.flow_hash(),
                };
                let scaled = (u64::from(hash) * u64::from(*modulus)) >> 32;
                u128::from((scaled as u32).wrapping_add(*offset))
            }
        })
    }

    fn key(&mut self, parts: &KeyParts) -> Option<Key> {
        let mut key = Key { bytes: [0; KEY_MAX], length: 0 };
        for (number, part) in &parts.0 {
            let value = self.number(number)?.to_be_bytes();
            let bytes = usize::from(part.bytes);
            let offset = usize::from(part.offset);
            key.bytes.get_mut(offset..offset + bytes)?.copy_from_slice(&value[16 - bytes..]);
            key.length = offset + bytes;
        }
        if parts.0.len() > 1 {
            key.length = key.length.next_multiple_of(4);
        }
        Some(key)
    }

    /// Whether a key is in a set; its element's own statements run.
    fn is_member(&mut self, set: u32, key: &Key) -> bool {
        let code = self.code;
        match &code.sets[set as usize].elements {
            Elements::Fixed(fixed) => match fixed.index.find(key.bytes()) {
                Some(place) => {
                    let state = &fixed.state;
                    state.get(place as usize).is_none_or(|state| state.iter().all(|one| self.take(one)))
                }
                None => false,
            },
            Elements::Live(live) => {
                self.not_remembered();
                let now = self.context.now;
                live.with(key.bytes(), now, |live| live.state.iter().all(|one| self.take(one)))
                    .unwrap_or(false)
            }
        }
    }

    /// What a map leads to from here.
    fn look_up(&mut self, looked_up: &Lookedup) -> Option<Found<'a>> {
        let key = self.key(&looked_up.key)?;
        let code = self.code;
        let lookup = &code.sets[looked_up.set as usize];
        match &lookup.elements {
            Elements::Fixed(fixed) => {
                let Fixed { index, data, state } = &**fixed;
                let place = index.find(key.bytes())? as usize;
                if !state.get(place).is_none_or(|state| state.iter().all(|one| self.take(one))) {
                    return None;
                }
                Some(match data.get(place)? {
                    Datum::Number(value) => Found::Number(*value),
                    Datum::Bytes(bytes) => Found::Bytes(bytes),
                    Datum::Range(from, to) => Found::Range(from, to),
                    Datum::Verdict(fate) => Found::Fate(*fate),
                    Datum::Object(place) => Found::Object((*place)?),
                })
            }
            Elements::Live(live) => {
                self.not_remembered();
                let now = self.context.now;
                let found = live.with(key.bytes(), now, |live| {
                    if !live.state.iter().all(|one| self.take(one)) {
                        return None;
                    }
                    Some(match live.data.as_ref()? {
                        Data::Value(value) if value.len() <= 16 => {
                            Found::Number(crate::rules::lookup::number(value))
                        }
                        Data::Verdict(verdict) => Found::Fate(super::compile::fate_of(verdict, |name| {
                            code.chains.get(name).copied()
                        })),
                        Data::Object(name) => {
                            let mut objects = code.objects.iter();
                            let place = objects.position(|object| {
                                lookup.objects == Some(object.words) && object.name == *name
                            })?;
                            Found::Object(u32::try_from(place).ok()?)
                        }
                        Data::Value(_) | Data::Range(..) => return None,
                    })
                });
                found.flatten()
            }
        }
    }
}

/// What an element of a map leads to.
enum Found<'a> {
    Number(u128),
    Bytes(&'a [u8]),
    Range(&'a [u8], &'a [u8]),
    Fate(Fate),
    /// By its place among the table's objects.
    Object(u32),
}

const fn goes_on(holds: bool) -> Step {
    if holds { Step::Next } else { Step::Break }
}
