//! Small random changes to an input: bits, bytes, words that tend to matter, pieces moved, repeated, cut and mixed.

use fastrand::Rng;

/// Bytes of an input, at most.
pub const INPUT_MAX: usize = 16 * 1024;

/// Values at which something tends to change.
const EDGES: [u16; 14] = [0, 1, 4, 5, 8, 20, 40, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xfffe, 0xffff];

/// Makes another input of one of `seeds`.
///
/// # Panics
/// If there are no seeds.
pub fn mutated(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = random.choice(seeds).expect("every target has seeds").clone();
    for _ in 0..random.usize(1..=8) {
        change(&mut input, seeds, random);
    }
    input.truncate(INPUT_MAX);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Rng) {
    if input.is_empty() {
        input.push(random.u8(..));
        return;
    }
    let at = random.usize(..input.len());
    let piece = at..(at + random.usize(1..=32)).min(input.len());
    match random.u8(..10) {
        0 => input[at] ^= 1 << random.u8(..8),
        1 => input[at] = random.u8(..),
        2 => input[at] = input[at].wrapping_add(random.u8(..16)).wrapping_sub(8),
        3 | 4 => {
            let edge = EDGES[random.usize(..EDGES.len())].wrapping_add(random.u16(..2));
            let width = piece.len().min(2);
            input[at..at + width].copy_from_slice(&edge.to_be_bytes()[2 - width..]);
        }
        5 => drop(input.drain(piece)),
        6 => {
            let copy = input[piece].to_vec();
            let place = random.usize(..=input.len());
            input.splice(place..place, copy);
        }
        7 => {
            let noise: Vec<u8> = piece.map(|_| random.u8(..)).collect();
            input.splice(at..at, noise);
        }
        8 => input.truncate(at),
        _ => {
            let other = random.choice(seeds).expect("every target has seeds");
            if !other.is_empty() {
                let from = random.usize(..other.len());
                let to = (from + random.usize(1..=256)).min(other.len());
                let replaced = if random.bool() { at..at } else { at..(at + to - from).min(input.len()) };
                input.splice(replaced, other[from..to].iter().copied());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_within_the_bound() {
        let seeds = [vec![1; INPUT_MAX], b"GET".to_vec(), Vec::new()];
        let inputs = |seed| {
            let mut random = Rng::with_seed(seed);
            (0..2000).map(|_| mutated(&seeds, &mut random)).collect::<Vec<_>>()
        };
        let first = inputs(7);
        assert_eq!(first, inputs(7));
        assert_ne!(first, inputs(8));
        assert!(first.iter().all(|input| input.len() <= INPUT_MAX));
        let changed = first.iter().filter(|input| !seeds.contains(input)).count();
        assert!(changed > 1500, "only {changed} of 2000 differ from the seeds");
    }
}
