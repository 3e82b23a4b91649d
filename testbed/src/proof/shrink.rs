//! Makes a story that tells two routers apart as small as it can be while it still does.

use super::play::{Difference, play};
use super::story::{Body, Rules, Sent, Step, Story};

/// Stories that are tried, at most.
const TRIES_MAX: usize = 4_000;

/// The smallest story found that tells two routers apart as well, and where.
pub fn shrink(story: Story, difference: Difference) -> (Story, Difference) {
    shrink_by(story, difference, |story| play(story).map(|_| ()))
}

/// The same, with another way to play.
pub(super) fn shrink_by(
    story: Story,
    difference: Difference,
    play: impl Fn(&Story) -> Result<(), Difference>,
) -> (Story, Difference) {
    let mut smallest = (story, difference);
    smallest.0.steps.truncate(smallest.1.step + 1);
    let mut tries = 0;
    loop {
        let found = smaller(&smallest.0).into_iter().find_map(|story| {
            tries += 1;
            if tries > TRIES_MAX {
                return None;
            }
            let difference = play(&story).err()?;
            Some((story, difference))
        });
        match found {
            Some(found) => {
                smallest = found;
                smallest.0.steps.truncate(smallest.1.step + 1);
            }
            None => return smallest,
        }
    }
}

/// Stories a little smaller, the smallest first.
fn smaller(story: &Story) -> Vec<Story> {
    let with = |steps: Vec<Step>| Story { steps, ..story.clone() };
    let mut candidates = Vec::new();
    let length = story.steps.len();
    for take in [length / 2, length / 4, length / 8, 2, 1] {
        if take == 0 || take >= length {
            continue;
        }
        for from in (0..=length - take).rev().step_by(take.div_ceil(2)) {
            let mut steps = story.steps.clone();
            steps.drain(from..from + take);
            candidates.push(with(steps));
        }
    }
    for (index, step) in story.steps.iter().enumerate() {
        for simpler in simpler(step) {
            let mut steps = story.steps.clone();
            steps[index] = simpler;
            candidates.push(with(steps));
        }
    }
    if story.ground.handover {
        let mut plain = story.clone();
        plain.ground.handover = false;
        candidates.push(plain);
    }
    candidates
}

/// A step with one thing less to read.
fn simpler(step: &Step) -> Vec<Step> {
    match step {
        Step::Arrive(sent) => {
            let fewer = without_one(sent).into_iter().filter(|sent| !sent.is_empty());
            let plainer = sent.iter().enumerate().flat_map(|(index, one)| {
                plainer(one).into_iter().map(move |one| {
                    let mut sent = sent.clone();
                    sent[index] = one;
                    sent
                })
            });
            fewer.chain(plainer).map(Step::Arrive).collect()
        }
        Step::Change(changes) => {
            without_one(changes).into_iter().filter(|rest| !rest.is_empty()).map(Step::Change).collect()
        }
        Step::Rules(rules) => fewer_lines(rules).into_iter().map(Step::Rules).collect(),
        Step::Burst(count) if *count > 1 => vec![Step::Burst(count / 2)],
        Step::Wait(ms) if *ms > 1 => vec![Step::Wait(ms / 2)],
        _ => Vec::new(),
    }
}

fn without_one<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let without = |index| {
        let mut rest = items.to_vec();
        rest.remove(index);
        rest
    };
    (0..items.len()).map(without).collect()
}

/// A text without one of its lines, or without all of one block.
fn fewer_lines(rules: &Rules) -> Vec<Rules> {
    let depth = |line: &str| line.matches('{').count() as isize - line.matches('}').count() as isize;
    let mut candidates = Vec::new();
    for (from, line) in rules.lines.iter().enumerate() {
        let mut open = depth(line);
        let mut to = from + 1;
        while open > 0 && to < rules.lines.len() {
            open += depth(&rules.lines[to]);
            to += 1;
        }
        if open == 0 && to - from < rules.lines.len() {
            let mut lines = rules.lines.clone();
            lines.drain(from..to);
            candidates.push(Rules { lines, ..rules.clone() });
        }
    }
    candidates.sort_by_key(|rules| rules.lines.len());
    candidates
}

/// A packet with one thing less to notice.
fn plainer(sent: &Sent) -> Vec<Sent> {
    let length = |body: &Body| match body {
        Body::Data(length) | Body::Segment(_, _, _, length) => *length,
        Body::Error(_) => 0,
    };
    let shorter = match &sent.body {
        Body::Data(length) if *length > 1 => Body::Data(1),
        Body::Segment(sequence, acknowledgment, flags, length) if *length > 1 => {
            Body::Segment(*sequence, *acknowledgment, *flags, 1)
        }
        other => other.clone(),
    };
    let weight = |sent: &Sent| {
        usize::from(sent.astray.is_some())
            + usize::from(sent.tos != 0)
            + usize::from(sent.ttl != 64)
            + usize::from(sent.dont_fragment)
            + usize::from(sent.pieces)
            + usize::from(sent.spoilt)
            + usize::from(length(&sent.body) > 1)
    };
    let mut candidates = vec![
        Sent { astray: None, ..sent.clone() },
        Sent { tos: 0, ..sent.clone() },
        Sent { ttl: 64, ..sent.clone() },
        Sent { dont_fragment: false, ..sent.clone() },
        Sent { pieces: false, ..sent.clone() },
        Sent { spoilt: false, ..sent.clone() },
        Sent { body: shorter, ..sent.clone() },
    ];
    candidates.retain(|candidate| weight(candidate) < weight(sent));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_loses_lines_and_whole_blocks() {
        let lines = ["table ip t {", "chain c {", "accept", "}", "}"].map(str::to_owned).to_vec();
        let fewer = fewer_lines(&Rules { whole: true, lines });
        let texts: Vec<String> = fewer.iter().map(|rules| rules.lines.join(" ")).collect();
        assert_eq!(texts, ["table ip t { }", "table ip t { chain c { } }"]);
    }
}
