//! Queues for people.

use std::io::{self, Write};

use super::bridge::occurred;
use super::table::{Align, Table};
use crate::message::QueueRow;

/// A row for each queue, and under it what it has counted.
pub(super) fn queues(out: &mut impl Write, queues: &[QueueRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("QUEUE", Align::Right),
        ("PID", Align::Right),
        ("PROGRAM", Align::Left),
        ("WAITING", Align::Right),
        ("MOST", Align::Right),
        ("TIMEOUT", Align::Right),
    ]);
    for queue in queues {
        let is_bound = queue.pid.is_some() || queue.waiting_max > 0;
        let bound = |text: String| if is_bound { text } else { "-".into() };
        let nobody = || if is_bound { "-".to_owned() } else { "nobody".to_owned() };
        table.push([
            queue.queue.to_string(),
            queue.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            queue.program.clone().unwrap_or_else(nobody),
            queue.waiting.to_string(),
            bound(queue.waiting_max.to_string()),
            bound(format!("{}ms", queue.timeout_ms)),
        ]);
    }
    table.write(out, |number| occurred(&queues[number].counters))
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::samples;

    #[test]
    fn queues_say_who_has_bound_them_and_what_they_counted() {
        let mut unbound = samples::queue();
        unbound.queue = 7;
        unbound.pid = None;
        unbound.program = None;
        unbound.counters.clear();
        (unbound.waiting, unbound.waiting_max, unbound.timeout_ms) = (0, 0, 0);
        assert_eq!(
            text(|out| queues(out, &[samples::queue(), unbound])),
            "QUEUE   PID  PROGRAM   WAITING  MOST  TIMEOUT\n    \
             0  4711  third.py        2  1024    500ms\n    \
             accepted 20, dropped 10\n    \
             7     -  nobody          0     -        -\n"
        );
    }
}
