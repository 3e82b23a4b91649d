//! Queues, as `show queues` tells of them.

use ctl::message::QueueRow;

use crate::queue::Queues;

/// A row for each queue, by number.
pub(super) fn rows(queues: &Queues) -> Vec<QueueRow> {
    let rows = queues.records().into_iter().map(|record| {
        let listener = record.listener();
        let listener = listener.as_deref();
        QueueRow {
            queue: record.number,
            pid: listener.and_then(|listener| listener.peer.pid),
            program: listener.and_then(|listener| listener.peer.name.clone()),
            waiting: listener.map_or(0, |listener| listener.waiting()),
            waiting_max: listener.map_or(0, |listener| listener.packets_max),
            timeout_ms: listener.map_or(0, |listener| listener.answer_wait.as_millis() as u64),
            counters: record.numbers.named().map(|(name, count)| (name.to_owned(), count)).collect(),
        }
    });
    rows.collect()
}
