//! Packets of known flows allocate nothing.

mod packets;

use std::time::Duration;

use allocation_counter::measure;
use conntrack::{Config, Datagram, Family, Flow, Instant, Registry, Table, Tracked};

#[test]
fn packets_of_known_flows_allocate_nothing() {
    let (a, b, a6, b6) = ("10.0.0.1", "10.0.1.2", "2001:db8::1", "2001:db8::2");
    let starts = [
        (Family::Ipv4, packets::tcp(a, b, 1, 80, packets::SYN)),
        (Family::Ipv4, packets::udp(a, b, 1, 53, b"x")),
        (Family::Ipv4, packets::icmp(a, b, 8, 0, 7, b"x")),
        (Family::Ipv6, packets::udp(a6, b6, 1, 53, b"x")),
    ];
    let quoted = packets::udp(a, b, 1, 53, b"x");
    let later = [
        (Family::Ipv4, packets::tcp(b, a, 80, 1, packets::SYN | packets::ACK)),
        (Family::Ipv4, packets::tcp(a, b, 1, 80, packets::ACK)),
        (Family::Ipv4, packets::udp(b, a, 53, 1, b"answer")),
        (Family::Ipv4, packets::udp(a, b, 1, 53, b"x")),
        (Family::Ipv4, packets::icmp(b, a, 0, 0, 7, b"x")),
        (Family::Ipv6, packets::udp(b6, a6, 53, 1, b"answer")),
        (Family::Ipv4, packets::icmp("10.9.9.9", a, 3, 3, 0, &quoted)),
        (Family::Ipv4, packets::icmp(b, a, 0, 0, 99, b"invalid")),
    ];
    let table = Table::<()>::new(Config::default(), Registry::builtin().build());
    let start = Instant::from_secs(1);
    let opening = measure(|| {
        for (family, bytes) in &starts {
            let Tracked::Flow { flow: Flow::Tentative(tentative), .. } =
                table.track(&Datagram::new(*family, bytes), start)
            else {
                panic!("a new flow")
            };
            table.confirm(tentative, start);
        }
    });
    assert!(opening.count_total >= 4, "new flows are allocated, and that is counted");

    let steady = measure(|| {
        for step in 0..1000 {
            let now = start + Duration::from_millis(step * 10);
            for (family, bytes) in &later {
                table.track(&Datagram::new(*family, bytes), now);
            }
            table.expire(now, 100);
        }
    });
    assert_eq!(steady.count_total, 0);
    assert_eq!(table.stats().found, 7000);
    assert_eq!(table.stats().invalid_total(), 1000);
}
