//! Last hops as users see them: rows, what a flow remembers, and what becomes of gateways, told as it happens.

use std::collections::HashMap;
use std::net::IpAddr;

use ctl::message::{FlowLastHop, HostEvent, LastHopKind, LastHopRow, Mac as ShownMac};
use fib::adjacency::{Mac, PortId};

use super::Core;
use crate::last_hop::{self, Dead, Kind, What};

/// Flows are counted for events no more often than this, in milliseconds.
const COUNT_INTERVAL_MS: u64 = 1_000;

/// What is known of a link address that flows came from.
#[derive(Clone, Copy, Default)]
struct Known {
    flows: u64,
    neighbor: Option<IpAddr>,
}

impl Core {
    /// What time brings to last hops; tells what has become of them.
    pub(super) fn tend_last_hops(&self) {
        let shared = &self.shared;
        if !shared.last_hops.is_on() {
            return;
        }
        let now = self.now();
        shared.last_hops.tend(&shared.flows, &shared.ports, &shared.neighbors, now);
        let now_ms = now.nanos() / 1_000_000;
        if now_ms.saturating_sub(self.last_hops_told_ms.get()) < COUNT_INTERVAL_MS {
            return;
        }
        let refused = shared.last_hops.take_refused();
        if refused > 0 {
            self.news.note(HostEvent::LastHopsFull { refused });
        }
        let (news, _) = shared.last_hops.take_news();
        if news.is_empty() && refused == 0 {
            return;
        }
        self.last_hops_told_ms.set(now_ms);
        let mut known: HashMap<(PortId, Mac), Known> = HashMap::new();
        for (row, flows) in self.last_hop_rows() {
            let known = known.entry((row.port, row.source)).or_default();
            known.flows += flows;
            known.neighbor = known.neighbor.or(row.neighbor.map(|bound| bound.address));
        }
        for news in news {
            let known = known.get(&(news.port, news.mac)).copied().unwrap_or_default();
            self.news.note(self.last_hop_event(news, known));
        }
    }

    /// Rows of the last hops that flows remember, or that programs' packets go on to.
    pub(super) fn show_last_hops(&self) -> Vec<LastHopRow> {
        let rows = self.last_hop_rows().into_iter().filter(|(row, flows)| *flows > 0 || row.is_newest);
        rows.map(|(row, flows)| self.shown_last_hop(row, flows)).collect()
    }

    /// All last hops, with the flows that remember each.
    fn last_hop_rows(&self) -> Vec<(last_hop::Row, u64)> {
        let shared = &self.shared;
        let now = self.now();
        let flows = shared.last_hops.count_flows(&shared.flows, now);
        let rows = shared.last_hops.rows(&shared.ports, &shared.neighbors, now);
        let count = |row: &last_hop::Row| flows.get(&row.number).copied().unwrap_or(0);
        rows.into_iter().map(|row| (count(&row), row)).map(|(count, row)| (row, count)).collect()
    }

    fn shown_last_hop(&self, row: last_hop::Row, flows: u64) -> LastHopRow {
        LastHopRow {
            number: row.number,
            port: self.shared.ports.name(row.port).to_owned(),
            source_mac: shown(row.source),
            neighbor: row.neighbor.map(|bound| bound.address),
            answers_to: row.answers_to.and_then(shown),
            destination_mac: shown(row.destination),
            kind: match row.kind {
                _ if row.group.is_some() => LastHopKind::Group,
                Kind::Physical | Kind::Group => LastHopKind::Physical,
                Kind::Vrrp(_) => LastHopKind::Vrrp,
                Kind::Hsrp(_) => LastHopKind::Hsrp,
                Kind::Glbp => LastHopKind::Glbp,
            },
            virtual_id: match row.kind {
                Kind::Vrrp(id) => Some(id.into()),
                Kind::Hsrp(group) => Some(group),
                Kind::Physical | Kind::Glbp | Kind::Group => None,
            },
            group: row.group,
            flows,
            silent_s: row.silent_ms / 1_000,
            is_newest: row.is_newest,
            alive: row.dead.is_none(),
            reason: row.dead.map(|dead| dead.word().to_owned()),
        }
    }

    fn last_hop_event(&self, news: last_hop::News, Known { flows, neighbor }: Known) -> HostEvent {
        let port = self.shared.ports.name(news.port).to_owned();
        let mac = shown(news.mac);
        match news.what {
            What::Dead(dead) => HostEvent::LastHopDead { port, mac, neighbor, reason: reason(dead), flows },
            What::Alive => HostEvent::LastHopAlive { port, mac, neighbor, flows },
            What::Followed { address, to } => HostEvent::LastHopFollowed {
                port,
                before: mac,
                mac: shown(to),
                neighbor: Some(address),
                flows,
            },
            What::Replaced { by, .. } => {
                HostEvent::LastHopFollowed { port, before: mac, mac: shown(by), neighbor: None, flows }
            }
        }
    }
}

/// What a flow remembers of a last hop, in words.
pub(super) fn of_flow(row: &last_hop::Row, port: &str, used: bool) -> FlowLastHop {
    FlowLastHop {
        port: port.to_owned(),
        source_mac: shown(row.source),
        destination_mac: shown(row.destination),
        neighbor: row.neighbor.map(|bound| bound.address),
        answers_to: row.answers_to.and_then(shown),
        used,
    }
}

fn reason(dead: Dead) -> String {
    dead.word().to_owned()
}

/// An address as it is shown; a port without addresses has none.
fn shown(mac: Mac) -> Option<ShownMac> {
    (mac != Mac::default()).then_some(ShownMac(mac.0))
}
