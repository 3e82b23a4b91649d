//! The same story for two routers, and what tells them apart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use router::worker::WorkerConfig;

use super::send::Passages;
use super::story::{Step, Story};
use super::world::{Memory, World};

/// Where two routers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the step after which they do; one more than the last for what is read at the end.
    pub step: usize,
    /// In what.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "After step {}: {}", self.step, self.text)
    }
}

/// What came of stories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stories.
    pub stories: u64,
    /// Packets that left.
    pub left: u64,
    /// Files of rules that were loaded.
    pub loaded: u64,
    /// Files of rules that were refused, by what was said of them.
    pub refused: BTreeMap<String, u64>,
    /// What the judged router has counted, by name.
    pub counted: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.left += other.left;
        self.loaded += other.loaded;
        for (said, count) in &other.refused {
            *self.refused.entry(said.clone()).or_default() += count;
        }
        for (name, count) in &other.counted {
            *self.counted.entry(name).or_default() += count;
        }
    }

    /// What the judged router has counted under this name.
    #[must_use]
    pub fn counted(&self, name: &str) -> u64 {
        self.counted.get(name).copied().unwrap_or_default()
    }
}

/// Tells a story to the router that it judges and to the plain one, which remembers nothing or has no stateful hooks.
///
/// # Errors
/// The first difference.
pub fn play(story: &Story) -> Result<Tally, Difference> {
    let memory = story.ground.memory.as_deref().map_or(Memory::ALL, Memory::of);
    let plain = if story.ground.stateless { Memory::ALL } else { Memory::NONE };
    play_with(story, memory, plain)
}

/// Tells a story to two routers that remember different things.
pub(super) fn play_with(story: &Story, judged: Memory, plain: Memory) -> Result<Tally, Difference> {
    let ground = &story.ground;
    let mut judged = World::new(ground.handover, false, judged);
    let mut plain = World::new(ground.handover, ground.stateless, plain);
    let mut passages = Passages::new(story.flows.len());
    let mut tally = Tally { stories: 1, ..Tally::default() };
    for (number, step) in story.steps.iter().enumerate() {
        let difference =
            |text: String| if text.is_empty() { Ok(()) } else { Err(Difference { step: number, text }) };
        match step {
            Step::Arrive(sent) => {
                judged.arrive(&story.flows, sent, &passages);
                plain.arrive(&story.flows, sent, &passages);
            }
            Step::Change(changes) => {
                judged.change(changes);
                plain.change(changes);
            }
            Step::Burst(count) => {
                judged.burst(*count);
                plain.burst(*count);
            }
            Step::Rules(rules) => {
                let said = [judged.load(rules), plain.load(rules)];
                if said[0] != said[1] {
                    difference(format!("of rules was said {:?} and {:?}", said[0], said[1]))?;
                }
                match said[0].splitn(4, ':').last() {
                    None | Some("") => tally.loaded += 1,
                    Some(reason) => *tally.refused.entry(reason.trim().to_owned()).or_default() += 1,
                }
            }
            Step::Wait(ms) => {
                judged.wait(Duration::from_millis(*ms));
                plain.wait(Duration::from_millis(*ms));
            }
            Step::Read => difference(read(&mut judged, &mut plain, ground.stateless))?,
            Step::Delete(protocol) => {
                judged.delete(*protocol);
                plain.delete(*protocol);
            }
            Step::Order(order) => judged.order(order),
        }
        let left = plain.leaving(|port, frame| passages.note(port, frame));
        difference(judged.leaving(|_, _| {}).difference(&left))?;
        tally.left += left.total() as u64;
        for world in [&judged, &plain] {
            if world.frames_available() != WorkerConfig::default().frames_max {
                difference("a frame is lost".to_owned())?;
            }
        }
    }
    let text = read(&mut judged, &mut plain, ground.stateless);
    if !text.is_empty() {
        return Err(Difference { step: story.steps.len(), text });
    }
    tally.counted = judged.counters().named().collect();
    Ok(tally)
}

fn read(judged: &mut World, plain: &mut World, stateless: bool) -> String {
    judged.read().difference(&plain.read(), stateless)
}

#[cfg(test)]
mod tests {
    use router::engine::{FlowCache, Kind, Modes};

    use super::super::generate::{Taste, story};
    use super::super::shrink::shrink_by;
    use super::*;

    /// Of a hundred stories, those that tell a spoilt router from one that remembers nothing; the first of them made small.
    fn apart(spoilt: Memory, taste: Taste) -> (usize, Story) {
        let play = |story: &Story| play_with(story, spoilt, Memory::NONE).map(|_| ());
        let stories = (0..100).map(|seed| story(seed, taste));
        let told: Vec<_> = stories.filter_map(|story| Some((play(&story).err()?, story))).collect();
        let count = told.len();
        let (difference, story) = told.into_iter().next().expect("some story tells them apart");
        (count, shrink_by(story, difference, play).0)
    }

    #[test]
    fn a_router_that_holds_its_routes_is_told_apart_by_a_small_story() {
        let modes = Modes::all(FlowCache::Off).with(Kind::Route, FlowCache::Hold);
        let (count, story) = apart(Memory { modes, ..Memory::NONE }, Taste::Routes);
        println!("{}", story.to_text());
        assert!(count > 10, "{count} of 100 stories see it");
        assert!(story.steps.len() <= 8, "{}", story.to_text());
    }

    #[test]
    fn counters_that_lack_what_flows_have_counted_are_noticed() {
        let (count, story) = apart(Memory { folds: false, ..Memory::ALL }, Taste::All);
        println!("{}", story.to_text());
        assert!(count > 10, "{count} of 100 stories see it");
        assert!(story.steps.len() <= 8, "{}", story.to_text());
    }
}
