//! The kernel's `jhash2` (Bob Jenkins' lookup3 over 32-bit words), by which it spreads clients over a range of addresses.

/// The hash of `words`, starting from `initial`.
pub(super) fn jhash2(words: &[u32], initial: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add((words.len() as u32) << 2).wrapping_add(initial);
    let mut lanes = [start; 3];
    let mut blocks = words.chunks(3).peekable();
    while let Some(block) = blocks.next() {
        for (lane, word) in lanes.iter_mut().zip(block) {
            *lane = lane.wrapping_add(*word);
        }
        if blocks.peek().is_some() {
            mix(&mut lanes);
        } else {
            finish(&mut lanes);
        }
    }
    lanes[2]
}

/// `__jhash_mix`.
fn mix(lanes: &mut [u32; 3]) {
    const A: usize = 0;
    const B: usize = 1;
    const C: usize = 2;
    for (to, from, next, by) in
        [(A, C, B, 4), (B, A, C, 6), (C, B, A, 8), (A, C, B, 16), (B, A, C, 19), (C, B, A, 4)]
    {
        lanes[to] = lanes[to].wrapping_sub(lanes[from]) ^ lanes[from].rotate_left(by);
        lanes[from] = lanes[from].wrapping_add(lanes[next]);
    }
}

/// `__jhash_final`.
fn finish(lanes: &mut [u32; 3]) {
    const A: usize = 0;
    const B: usize = 1;
    const C: usize = 2;
    for (to, from, by) in [(C, B, 14), (A, C, 11), (B, A, 25), (C, B, 16), (A, C, 4), (B, A, 14), (C, B, 24)]
    {
        lanes[to] = (lanes[to] ^ lanes[from]).wrapping_sub(lanes[from].rotate_left(by));
    }
}
