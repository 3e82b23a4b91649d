//! Drops every third packet of queue 3, and lets the others pass: `cargo run -p ctl --example every_third`.

use ctl::address::Address;
use ctl::queue::{Queue, QueueError, Verdict};

fn main() -> anyhow::Result<()> {
    let control = std::env::args().nth(1).unwrap_or_else(|| "@routerd".to_owned());
    let mut queue = Queue::bind(&control.parse::<Address>()?, 3)?;
    let mut count = 0_u64;
    loop {
        let packet = match queue.receive() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(()),
            Err(QueueError::Refused(failed)) => {
                eprintln!("{}", failed.error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        count += 1;
        queue.judge(&packet, if count.is_multiple_of(3) { Verdict::Drop } else { Verdict::Accept })?;
    }
}
