//! Answers for others: for whom, and after what delay (`arp_fwd_proxy`, `pneigh_enqueue`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use conntrack::Instant;
use fib::adjacency::PortId;

use super::advertise::random_below;
use super::outbox::Outgoing;
use super::{Neighborhood, Timer};

/// Answers that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    answers: BTreeMap<u64, Outgoing>,
    next: u64,
}

impl Neighborhood {
    /// Whether a port answers for `target`, which is not the router's own. `routed_by` says by which port it is reached.
    pub(super) fn proxies(
        &self,
        port: PortId,
        target: IpAddr,
        routed_by: &dyn Fn(IpAddr) -> Option<PortId>,
    ) -> bool {
        let Some(known) = self.ports.get(&port) else { return false };
        match target {
            IpAddr::V4(_) if known.proxy.all_routed || known.proxy.covers(target) => {
                routed_by(target).is_some_and(|by| by != port)
            }
            IpAddr::V4(_) => false,
            IpAddr::V6(_) => known.proxy.covers(target),
        }
    }

    /// Sends an answer for another: at once if only this router was asked, else after a while, for the one who is asked
    /// for to answer first.
    pub(super) fn answer_for_another(
        &mut self,
        port: PortId,
        frame: Vec<u8>,
        asked_alone: bool,
        now: Instant,
    ) {
        if asked_alone || self.settings.proxy_delay.is_zero() {
            self.outbox.counters.proxied += 1;
            return self.outbox.send(port, frame);
        }
        if self.waiting.answers.len() >= self.settings.proxy_waiting_max {
            self.outbox.counters.proxy_overflows += 1;
            return;
        }
        let delay = random_below(&mut self.random, self.settings.proxy_delay);
        let number = self.waiting.next;
        self.waiting.next += 1;
        self.waiting.answers.insert(number, Outgoing { port, frame });
        self.timers.set(Timer::Answer(number), Some(now + delay));
    }

    pub(super) fn answer_waiting(&mut self, number: u64) {
        if let Some(answer) = self.waiting.answers.remove(&number) {
            self.outbox.counters.proxied += 1;
            self.outbox.send(answer.port, answer.frame);
        }
    }
}
