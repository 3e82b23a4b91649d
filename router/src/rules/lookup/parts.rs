//! Concatenations whose parts may be intervals: each part says by a bit an element which elements it allows, and what
//! all parts allow is the answer. It is what nft's `pipapo` does with less memory and more steps.

use super::number;
use crate::rules::model::Type;

/// Elements in one block: a bit each.
const BLOCK: usize = 1024;
const WORDS: usize = BLOCK / 64;

/// Elements in blocks, each with an index of its own, so that memory grows with the number of elements and not with
/// its square: at most 2 * [`BLOCK`] + 1 segments of [`BLOCK`] bits a part and block.
#[derive(Debug)]
pub struct PartIndex {
    /// Offset and length of each part in a key, in bytes.
    parts: Box<[(usize, usize)]>,
    blocks: Box<[Block]>,
}

#[derive(Debug)]
struct Block {
    /// The lowest and the highest first part of any element: most blocks are passed over by it.
    first_part: (u128, u128),
    /// By place in the block.
    places: Box<[u32]>,
    by_part: Box<[Segments]>,
}

/// The values of one part, cut where any interval begins or ends.
#[derive(Debug)]
struct Segments {
    /// Where each segment begins, in order; the first begins at 0.
    starts: Box<[u128]>,
    /// Which elements of the block allow each segment.
    allowed: Box<[[u64; WORDS]]>,
}

type Range<'a> = (&'a [u8], &'a [u8], u32);

impl PartIndex {
    /// An index over concatenations of these types.
    pub fn new(types: &[Type], ranges: &[Range<'_>]) -> Self {
        let mut at = 0;
        let parts: Box<[(usize, usize)]> = types
            .iter()
            .map(|part| {
                let offset = at;
                at += part.padded_bytes();
                (offset, part.bytes())
            })
            .collect();
        let mut sorted = ranges.to_vec();
        sorted.sort_by_key(|(from, ..)| part_of(from, parts[0]));
        let blocks = sorted.chunks(BLOCK).map(|ranges| Block::new(&parts, ranges)).collect();
        Self { parts, blocks }
    }

    /// The element with the lowest place that has `key`.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        let first = part_of(key, self.parts[0]);
        let may_have = |block: &&Block| block.first_part.0 <= first && first <= block.first_part.1;
        self.blocks.iter().filter(may_have).filter_map(|block| block.find(&self.parts, key)).min()
    }
}

impl Block {
    fn new(parts: &[(usize, usize)], ranges: &[Range<'_>]) -> Self {
        let mut ranges = ranges.to_vec();
        ranges.sort_by_key(|(.., place)| *place);
        let lowest = ranges.iter().map(|(from, ..)| part_of(from, parts[0])).min().unwrap_or(0);
        let highest = ranges.iter().map(|(_, to, _)| part_of(to, parts[0])).max().unwrap_or(0);
        Self {
            first_part: (lowest, highest),
            places: ranges.iter().map(|(.., place)| *place).collect(),
            by_part: parts.iter().map(|part| Segments::new(*part, &ranges)).collect(),
        }
    }

    fn find(&self, parts: &[(usize, usize)], key: &[u8]) -> Option<u32> {
        let mut left = [u64::MAX; WORDS];
        for (segments, part) in self.by_part.iter().zip(parts) {
            for (word, allowed) in left.iter_mut().zip(segments.at(part_of(key, *part))) {
                *word &= allowed;
            }
        }
        let word = left.iter().position(|word| *word != 0)?;
        Some(self.places[word * 64 + left[word].trailing_zeros() as usize])
    }
}

impl Segments {
    fn new(part: (usize, usize), ranges: &[Range<'_>]) -> Self {
        let bounds = ranges.iter().flat_map(|(from, to, _)| {
            [Some(part_of(from, part)), part_of(to, part).checked_add(1)].into_iter().flatten()
        });
        let mut starts: Vec<u128> = std::iter::once(0).chain(bounds).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut allowed = vec![[0_u64; WORDS]; starts.len()];
        for (bit, (from, to, _)) in ranges.iter().enumerate() {
            let (from, to) = (part_of(from, part), part_of(to, part));
            let first = starts.partition_point(|start| *start < from);
            let behind = starts.partition_point(|start| *start <= to);
            for words in &mut allowed[first..behind.max(first)] {
                words[bit / 64] |= 1 << (bit % 64);
            }
        }
        Self { starts: starts.into_boxed_slice(), allowed: allowed.into_boxed_slice() }
    }

    fn at(&self, value: u128) -> &[u64; WORDS] {
        &self.allowed[self.starts.partition_point(|start| *start <= value) - 1]
    }
}

fn part_of(key: &[u8], (offset, length): (usize, usize)) -> u128 {
    number(&key[offset..offset + length])
}
