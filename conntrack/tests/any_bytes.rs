//! Whatever bytes come in, nothing panics, and what is reported stays within its bounds.

mod packets;

use conntrack::{
    Checksum, Config, Datagram, Family, Flow, Gather, GatherConfig, Gathered, Instant, Registry, Table,
    Tracked,
};
use proptest::prelude::*;

/// Real packets with a few bytes changed and the end cut off: they get further than noise does.
fn damaged() -> impl Strategy<Value = (Family, Vec<u8>)> {
    let quoted = packets::udp("10.0.0.1", "10.0.1.2", 1, 2, b"payload");
    let quoted6 = packets::tcp("2001:db8::1", "2001:db8::2", 1, 80, packets::SYN);
    let mut fragment6 = vec![17, 0, 0, 1, 0, 0, 0, 7];
    fragment6.extend_from_slice(&[0; 16]);
    let templates = vec![
        (Family::Ipv4, packets::udp("10.0.0.1", "10.0.1.2", 1, 2, b"payload")),
        (Family::Ipv4, packets::tcp("10.0.0.1", "10.0.1.2", 1, 80, packets::SYN)),
        (Family::Ipv4, packets::icmp("10.0.0.1", "10.0.1.2", 8, 0, 7, b"payload")),
        (Family::Ipv4, packets::icmp("10.9.9.9", "10.0.0.1", 3, 3, 0, &quoted)),
        (Family::Ipv6, packets::tcp("2001:db8::1", "2001:db8::2", 1, 80, packets::SYN)),
        (Family::Ipv6, packets::icmpv6("2001:db8::9", "2001:db8::1", 1, 0, 0, &quoted6)),
        (Family::Ipv6, packets::finished("2001:db8::1", "2001:db8::2", 44, fragment6, None)),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(templates), changes, 0_usize..40).prop_map(|((family, mut bytes), changes, cut)| {
        for (position, value) in changes {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(20)));
        (family, bytes)
    })
}

fn noise() -> impl Strategy<Value = (Family, Vec<u8>)> {
    (prop::sample::select(Family::ALL.to_vec()), prop::collection::vec(any::<u8>(), 0..120))
}

proptest! {
    #[test]
    fn no_bytes_make_tracking_or_gathering_panic(
        packets in prop::collection::vec(prop_oneof![4 => damaged(), 1 => noise()], 1..60),
        verified: bool,
    ) {
        let config = Config { flows_max: 20, seed: [1, 2], ..Config::default() };
        let table = Table::<()>::new(config, Registry::builtin().build());
        let mut gather = Gather::new(GatherConfig { bytes_max: 20_000, ..GatherConfig::default() });
        let checksum = if verified { Checksum::Valid } else { Checksum::Unknown };
        for (step, (family, bytes)) in (1..).zip(packets) {
            let now = Instant::from_secs(step);
            let datagram = Datagram { checksum, ..Datagram::new(family, &bytes) };
            if let Gathered::Complete(whole) = gather.push(&datagram, 1, now) {
                prop_assert!(whole.bytes.len() <= 65_535 + 40);
                let payload: usize = whole.pieces.iter().map(|size| usize::from(*size)).sum();
                prop_assert_eq!(whole.header + payload, whole.bytes.len());
            }
            if let Tracked::Flow { flow: Flow::Tentative(tentative), .. } = table.track(&datagram, now) {
                table.confirm(tentative, now);
            }
            prop_assert!(table.len() <= 20);
            table.expire(now, 5);
            gather.expire(now, 5);
        }
    }
}
