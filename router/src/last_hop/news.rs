//! What becomes of last hops, until the control thread tells it.

use std::net::IpAddr;

use fib::adjacency::{Mac, PortId};
use parking_lot::Mutex;

use super::Dead;

/// News that wait to be told; what comes beyond is counted.
pub const NEWS_MAX: usize = 64;
/// Of one last hop the same is told once in this time, in milliseconds.
pub(super) const TOLD_AGAIN_MS: u64 = 10_000;

/// Something that became of a last hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Its port.
    pub port: PortId,
    /// The link address that flows came from, or went to.
    pub mac: Mac,
    /// What.
    pub what: What,
}

/// What can become of a last hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing can be sent there; its flows are routed.
    Dead(Dead),
    /// Nothing can be sent there; another gateway of its group stands in.
    Replaced {
        /// Why.
        dead: Dead,
        /// The other's link address.
        by: Mac,
    },
    /// It can be sent to again.
    Alive,
    /// Its neighbor has another link address, and its flows go there.
    Followed {
        /// The neighbor's protocol address.
        address: IpAddr,
        /// Its link address.
        to: Mac,
    },
}

/// News in order, bounded.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    news: Vec<News>,
    lost: u64,
}

impl Board {
    pub(super) fn post(&self, news: News) {
        let mut waiting = self.0.lock();
        if waiting.news.len() < NEWS_MAX {
            waiting.news.push(news);
        } else {
            waiting.lost += 1;
        }
    }

    /// Takes what waits, and how much was lost before.
    pub(super) fn take(&self) -> (Vec<News>, u64) {
        let mut waiting = self.0.lock();
        (std::mem::take(&mut waiting.news), std::mem::take(&mut waiting.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_counted() {
        let board = Board::default();
        let news = News { port: PortId(1), mac: Mac([2; 6]), what: What::Alive };
        (0..NEWS_MAX + 3).for_each(|_| board.post(news));
        assert_eq!(board.take(), (vec![news; NEWS_MAX], 3));
        assert_eq!(board.take(), (vec![], 0));
    }
}
