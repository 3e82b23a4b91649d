//! Intervals that do not overlap, by binary search.

/// Intervals in order.
#[derive(Debug)]
pub struct Intervals<K> {
    starts: Box<[K]>,
    /// Last key and place of each.
    rest: Box<[(K, u32)]>,
}

impl<K: Copy + Ord> Intervals<K> {
    /// Intervals from, to (both included) with the places of their elements, in any order.
    pub fn new(intervals: impl IntoIterator<Item = (K, K, u32)>) -> Self {
        let mut intervals: Vec<_> = intervals.into_iter().collect();
        intervals.sort_unstable_by_key(|(from, ..)| *from);
        Self {
            starts: intervals.iter().map(|(from, ..)| *from).collect(),
            rest: intervals.iter().map(|(_, to, place)| (*to, *place)).collect(),
        }
    }

    /// The place of the interval that has `key`.
    pub fn find(&self, key: K) -> Option<u32> {
        let before = self.starts.partition_point(|from| *from <= key).checked_sub(1)?;
        let (to, place) = self.rest[before];
        (key <= to).then_some(place)
    }
}
