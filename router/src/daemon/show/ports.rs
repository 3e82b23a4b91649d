//! Ports as rows: what device each stands for, whether frames pass and if not why not.

use conntrack::Instant;
use ctl::message::{Counters, PortRow, PortState, Settings};
use fib::adjacency::{Mac, PortView};
use fib::change::{Link, LinkSettings};

use super::settings;
use crate::daemon::PortKind;
use crate::port::PortCounters;
use crate::port::keeper::Standing;

/// What is known of a port.
pub(super) struct Facts<'a> {
    /// As configured.
    pub(super) name: &'a str,
    /// How frames pass.
    pub(super) kind: PortKind,
    /// What workers see.
    pub(super) view: PortView,
    /// Where its socket stands; `None` for a port whose device nobody looks after.
    pub(super) standing: Option<Standing>,
    /// Its device, as the kernel announced it.
    pub(super) link: Option<&'a Link>,
    /// Settings in force.
    pub(super) settings: &'a LinkSettings,
    /// What passed it, all workers together.
    pub(super) counters: PortCounters,
    /// The moment.
    pub(super) now: Instant,
}

/// The row of a port.
pub(super) fn row(facts: &Facts<'_>) -> PortRow {
    let reason = reason(facts);
    let state = match (facts.view.link, facts.standing) {
        (None, _) | (_, Some(Standing::Absent)) => PortState::Absent,
        _ if reason.is_some() => PortState::Down,
        _ => PortState::Up,
    };
    PortRow {
        name: facts.name.to_owned(),
        index: facts.view.link.map(|link| link.0),
        kind: facts.kind.name().into(),
        mac: (facts.view.mac != Mac::default()).then(|| facts.view.mac.to_string()),
        mtu: facts.view.mtu,
        state,
        reason,
        settings: settings::of_link(facts.settings),
        counters: counters(&facts.counters),
    }
}

/// The row of the device by which packets for and from this host pass; `link` is what the kernel announced of it.
pub(super) fn host_row(name: &str, link: Option<&Link>, counted: &PortCounters) -> PortRow {
    let reason = match link {
        None => Some(format!("there is no device named {name}")),
        Some(link) if !link.admin_up => Some("the device is down".into()),
        Some(_) => None,
    };
    PortRow {
        name: name.to_owned(),
        index: link.map(|link| link.index.0),
        kind: "host".into(),
        mac: link.map(|link| link.mac.to_string()),
        mtu: link.map_or(0, |link| link.mtu),
        state: match (link, &reason) {
            (None, _) => PortState::Absent,
            (_, Some(_)) => PortState::Down,
            _ => PortState::Up,
        },
        reason,
        settings: Settings::new(),
        counters: counters(counted),
    }
}

/// The sum of what two workers counted.
pub(super) fn add(one: PortCounters, other: PortCounters) -> PortCounters {
    PortCounters {
        received_frames: one.received_frames.wrapping_add(other.received_frames),
        received_bytes: one.received_bytes.wrapping_add(other.received_bytes),
        receive_dropped: one.receive_dropped.wrapping_add(other.receive_dropped),
        sent_frames: one.sent_frames.wrapping_add(other.sent_frames),
        sent_bytes: one.sent_bytes.wrapping_add(other.sent_bytes),
        send_dropped: one.send_dropped.wrapping_add(other.send_dropped),
        receive_malformed: one.receive_malformed.wrapping_add(other.receive_malformed),
        system_calls: one.system_calls.wrapping_add(other.system_calls),
    }
}

/// Why no frames pass; `None` when they do.
fn reason(facts: &Facts<'_>) -> Option<String> {
    let name = facts.name;
    match facts.standing {
        Some(Standing::Absent) => return Some(format!("there is no device named {name}")),
        Some(Standing::Down(_)) => return Some("the device is down".into()),
        Some(Standing::Opening(_)) => return Some("the device is being opened".into()),
        Some(Standing::Failed(_, retry)) => {
            let retry_ms = (retry - facts.now).as_millis();
            return Some(format!(
                "the device could not be opened or was lost (the log says why); next attempt in {retry_ms} ms"
            ));
        }
        Some(Standing::Open(_)) | None => {}
    }
    match facts.link {
        None => Some(format!("there is no device named {name}")),
        Some(link) if !link.admin_up => Some("the device is down".into()),
        Some(link) if !link.carrier => Some("the device has no carrier".into()),
        Some(_) if !facts.view.up => Some("the device is down".into()),
        Some(_) => None,
    }
}

fn counters(counters: &PortCounters) -> Counters {
    let PortCounters {
        received_frames,
        received_bytes,
        receive_dropped,
        sent_frames,
        sent_bytes,
        send_dropped,
        receive_malformed,
        system_calls,
    } = *counters;
    [
        ("received_frames", received_frames),
        ("received_bytes", received_bytes),
        ("receive_dropped", receive_dropped),
        ("receive_malformed", receive_malformed),
        ("sent_frames", sent_frames),
        ("sent_bytes", sent_bytes),
        ("send_dropped", send_dropped),
        ("system_calls", system_calls),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

#[cfg(test)]
mod tests {
    use fib::adjacency::LinkIndex;

    use super::*;
    use crate::tabletop::{link, port_mac};

    const SETTINGS: LinkSettings = LinkSettings {
        rp_filter: fib::change::ReversePath::Strict,
        send_redirects: true,
        accept_source_route: false,
        bc_forwarding: false,
        accept_local: false,
        route_localnet: false,
        log_martians: false,
        ipv6_disabled: false,
    };

    const COUNTED: PortCounters = PortCounters {
        received_frames: 1,
        received_bytes: 2,
        receive_dropped: 3,
        sent_frames: 4,
        sent_bytes: 5,
        send_dropped: 6,
        receive_malformed: 7,
        system_calls: 8,
    };

    fn facts(link: &Link) -> Facts<'_> {
        Facts {
            name: "r0",
            kind: PortKind::AfPacket,
            view: PortView {
                link: Some(link.index),
                up: link.admin_up && link.carrier,
                mtu: 1500,
                mac: port_mac(0),
                needs_resolution: true,
            },
            standing: Some(Standing::Open(link.index)),
            link: Some(link),
            settings: &SETTINGS,
            counters: COUNTED,
            now: Instant::from_secs(10),
        }
    }

    #[test]
    fn an_open_port_is_told_whole() {
        let twice = PortCounters { system_calls: 16, ..add(COUNTED, COUNTED) };
        let link = link(0, "r0");
        let expected = r#"{"name":"r0","index":1,"kind":"af_packet","mac":"02:00:00:00:00:00","mtu":1500,"state":"up","reason":null,"settings":{"accept_local":false,"accept_source_route":false,"bc_forwarding":false,"disable_ipv6":false,"log_martians":false,"route_localnet":false,"rp_filter":"strict","send_redirects":true},"counters":{"receive_dropped":6,"receive_malformed":14,"received_bytes":4,"received_frames":2,"send_dropped":12,"sent_bytes":10,"sent_frames":8,"system_calls":16}}"#;
        let expected: PortRow = serde_json::from_str(expected).unwrap();
        assert_eq!(row(&Facts { counters: twice, ..facts(&link) }), expected);
    }

    #[test]
    fn a_port_that_passes_nothing_says_why() {
        let good = link(0, "r0");
        let down = Link { admin_up: false, ..good.clone() };
        let dark = Link { carrier: false, ..good.clone() };
        let index = LinkIndex(1);
        let absent =
            Facts { view: PortView::ABSENT, link: None, standing: Some(Standing::Absent), ..facts(&good) };
        let cases = [
            (facts(&good), PortState::Up, None),
            (facts(&down), PortState::Down, Some("the device is down")),
            (facts(&dark), PortState::Down, Some("the device has no carrier")),
            (
                Facts { standing: Some(Standing::Down(index)), ..facts(&good) },
                PortState::Down,
                Some("the device is down"),
            ),
            (
                Facts { standing: Some(Standing::Opening(index)), ..facts(&good) },
                PortState::Down,
                Some("the device is being opened"),
            ),
            (
                Facts {
                    standing: Some(Standing::Failed(index, Instant::from_nanos(10_250_000_000))),
                    ..facts(&good)
                },
                PortState::Down,
                Some("the device could not be opened or was lost (the log says why); next attempt in 250 ms"),
            ),
            (absent, PortState::Absent, Some("there is no device named r0")),
        ];
        for (facts, state, reason) in cases {
            let row = row(&facts);
            assert_eq!((row.state, row.reason.as_deref()), (state, reason));
        }
    }

    #[test]
    fn a_device_without_a_link_address_shows_none() {
        let link = Link { mac: Mac::default(), ..link(0, "t0") };
        let facts = facts(&link);
        let facts = Facts {
            kind: PortKind::Tun,
            view: PortView { mac: Mac::default(), ..facts.view },
            standing: None,
            ..facts
        };
        let row = row(&facts);
        assert_eq!((row.kind.as_ref(), row.mac, row.state), ("tun", None, PortState::Up));
    }
}
