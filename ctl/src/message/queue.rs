//! Rows of queues: packets on their way to programs that judge them.

use serde::{Deserialize, Serialize};

use super::Counters;

/// A queue that a program has bound, or that rules have queued packets to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its number, that of `queue num N`.
    pub queue: u16,
    /// Process id of the program that has bound it; null when none has.
    pub pid: Option<u32>,
    /// Name of that program, as `ps` shows it; null when it is not known.
    pub program: Option<String>,
    /// Packets that wait for the program, or for its verdict.
    pub waiting: u64,
    /// The most that may.
    pub waiting_max: u64,
    /// Milliseconds after which a packet without a verdict is given up.
    pub timeout_ms: u64,
    /// Packets since routerd started: `queued`; `given` to the program, and by it `accepted` (of them `changed`) or `dropped`;
    /// `malformed` (what it made of them is no packet); `full`, `timed_out`, `left` (it ended or gave the queue up), of these
    /// three `opened` (they went on, as it had asked); `unbound` and `bypassed` where nobody has bound the queue. `refused`
    /// are messages that could not be obeyed.
    pub counters: Counters,
}
