//! What befalls the router as a host and is still to be told to users: noted by whoever notices, told with the next tick.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use ctl::message::HostEvent;
use parking_lot::Mutex;

/// Events that wait for the next tick at most; those beyond are counted.
const EVENTS_MAX: usize = 1024;

/// Events that wait to be told. To be noted on any thread but a worker's, which waits for nobody.
#[derive(Debug, Default)]
pub struct News {
    waiting: Mutex<VecDeque<HostEvent>>,
    lost: AtomicU64,
}

impl News {
    /// Something has happened.
    pub fn note(&self, event: HostEvent) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < EVENTS_MAX {
            waiting.push_back(event);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What has happened since this was asked last, in its order.
    #[must_use]
    pub fn take(&self) -> VecDeque<HostEvent> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// What has happened and there was no room to tell.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_is_told_in_its_order() {
        let news = News::default();
        let failed = |port: usize| HostEvent::NeighborsFull { refused: port as u64 };
        (0..EVENTS_MAX + 3).for_each(|number| news.note(failed(number)));
        assert_eq!(news.lost(), 3);
        assert_eq!(news.take(), VecDeque::from_iter((0..EVENTS_MAX).map(failed)));
        assert_eq!((news.take().len(), news.lost()), (0, 3));
    }
}
