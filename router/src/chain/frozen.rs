//! The chains as workers walk them: sorted, unchangeable, replaced whole.

use std::sync::Arc;

use super::{Family, Hook, Needs, Point, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::verdict::Passages;

/// How often in a row a hook may ask to be called again for one packet.
pub const REPEATS_MAX: usize = 8;

/// All chains, one for each family and point.
#[derive(Clone, Default)]
pub struct Chains {
    pub(super) chains: [[Chain; Point::ALL.len()]; Family::ALL.len()],
    walked: [Walked; Family::ALL.len()],
    may_refuse: [[bool; Point::ALL.len()]; Family::ALL.len()],
    pub(super) passages: Arc<Passages>,
}

/// Which packets that are forwarded have to be walked, as all hooks on their way want it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// All.
    pub all: bool,
    /// Those of flows of which it is not remembered what rules make of their packets.
    pub unremembered: bool,
    /// Those of flows whose translation is not decided.
    pub undecided: bool,
}

impl Chains {
    /// The hooks of one family at one point.
    #[must_use]
    pub fn at(&self, family: Family, point: Point) -> &Chain {
        &self.chains[family as usize][point as usize]
    }

    /// What rules among these hooks have made of packets.
    #[must_use]
    pub const fn passages(&self) -> &Arc<Passages> {
        &self.passages
    }

    /// Which packets of a family have to be walked.
    #[must_use]
    pub const fn walked(&self, family: Family) -> Walked {
        self.walked[family as usize]
    }

    /// Whether a packet of a family may be dropped where it is tracked, if rules are certain to drop it at `point`: nobody
    /// but rules has to see it until then, and of these none before it is asked what is remembered of rules.
    #[must_use]
    pub const fn may_refuse(&self, family: Family, point: Point) -> bool {
        self.may_refuse[family as usize][point as usize]
    }

    /// Asks all hooks anew who has to be shown what.
    pub(super) fn settle(&mut self) {
        const WAY: [Point; 3] = [Point::Prerouting, Point::Forward, Point::Postrouting];
        for family in Family::ALL {
            let mut may_refuse = no_rules_at_tracking(&self.at(family, Point::Prerouting).links);
            for point in WAY {
                let is_seen = |link: &Link| point != Point::Prerouting || link.priority >= priority::TRACK;
                let mut links = self.at(family, point).links.iter().filter(|link| is_seen(link));
                may_refuse &= links.all(|link| link.hook.needs() != Needs::EveryPacket);
                self.may_refuse[family as usize][point as usize] = may_refuse;
            }
            let links = || WAY.into_iter().flat_map(|point| self.at(family, point).links.iter());
            let needs = |what| links().any(|link| link.hook.needs() == what);
            // Rules up to there see a packet before anybody knows what is remembered of it.
            let is_early = (self.at(family, Point::Prerouting).links.iter())
                .take_while(|link| link.priority <= priority::VERDICT_FROM_FLOW)
                .any(|link| link.hook.needs() != Needs::WalkedPackets);
            self.walked[family as usize] = Walked {
                all: is_early || needs(Needs::EveryPacket),
                unremembered: needs(Needs::Unremembered),
                undecided: needs(Needs::UndecidedFlows),
            };
        }
    }
}

/// Whether no rules sit from tracking to where it is asked what is remembered of rules.
fn no_rules_at_tracking(links: &[Link]) -> bool {
    let places = priority::TRACK..=priority::VERDICT_FROM_FLOW;
    !links.iter().any(|link| places.contains(&link.priority) && link.hook.needs() != Needs::WalkedPackets)
}

/// The hooks at one point, in the order in which they are called.
#[derive(Clone, Default)]
pub struct Chain {
    pub(super) links: Box<[Link]>,
}

/// One hook in its place.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) name: Arc<str>,
    pub(super) priority: i32,
    pub(super) hook: Arc<dyn Hook>,
}

/// A hook's place in a chain, whatever has come and gone around it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    name: Arc<str>,
    priority: i32,
}

/// How a packet came out of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Passed,
    /// It ends here.
    Dropped(DropReason),
    /// A hook has it.
    Stolen,
    /// It is for a queue, and goes on behind link `by` of this chain when it comes back.
    Queued {
        /// Queue number.
        number: u16,
        /// It goes on at once if nobody listens there.
        bypass: bool,
        /// Index of the hook that said so; [`Chain::run`] goes on with the next.
        by: usize,
    },
}

impl Chain {
    /// Shows the packet to the hooks from `first` on, each in turn, until one decides otherwise.
    pub fn run(&self, first: usize, packet: &mut Packet, context: &mut Context<'_>) -> Outcome {
        for (index, link) in self.links.iter().enumerate().skip(first) {
            let mut calls = 0;
            let verdict = loop {
                let verdict = link.hook.handle(packet, context);
                calls += 1;
                if verdict != Verdict::Repeat {
                    break verdict;
                }
                if calls > REPEATS_MAX {
                    return Outcome::Dropped(DropReason::HookRepeatsTooOften);
                }
            };
            match verdict {
                Verdict::Accept | Verdict::Repeat => {}
                Verdict::Stop => return Outcome::Passed,
                Verdict::Drop(reason) => return Outcome::Dropped(reason),
                Verdict::Stolen => return Outcome::Stolen,
                Verdict::Queue { number, bypass } => return Outcome::Queued { number, bypass, by: index },
            }
        }
        Outcome::Passed
    }

    /// The seat of link `index`, by which it is found again when others have come and gone.
    ///
    /// # Panics
    /// If there is no such link.
    #[must_use]
    pub(crate) fn seat(&self, index: usize) -> Seat {
        let link = &self.links[index];
        Seat { name: link.name.clone(), priority: link.priority }
    }

    /// Where the hook of a seat is now; `None` if it has gone.
    #[must_use]
    pub(crate) fn find(&self, seat: &Seat) -> Option<usize> {
        self.links.iter().position(|link| link.name == seat.name)
    }

    /// The first link behind a seat: if its hook has gone, the first of a higher priority.
    #[must_use]
    pub(crate) fn behind(&self, seat: &Seat) -> usize {
        match self.find(seat) {
            Some(index) => index + 1,
            None => self.links.partition_point(|link| link.priority <= seat.priority),
        }
    }

    /// Behind the last link.
    #[must_use]
    pub(crate) const fn end(&self) -> usize {
        self.links.len()
    }

    /// Whether nobody sits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}
