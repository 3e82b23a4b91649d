//! Router advertisements: what is in them, and when they are sent.

use super::*;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, NdiscOption, NdiscOptionRepr, NdiscRepr};

fn advertising() -> Advertising {
    Advertising {
        interval_min: Duration::from_secs(30),
        interval_max: Duration::from_secs(60),
        lifetime: Duration::from_secs(180),
        preference: Preference::High,
        managed: true,
        mtu: Some(1400),
        prefixes: vec![
            AdvertisedPrefix::new("fd00:1::/64".parse().unwrap()),
            AdvertisedPrefix {
                autonomous: false,
                valid: Duration::MAX,
                ..AdvertisedPrefix::new("fd00:2::/48".parse().unwrap())
            },
        ],
        dns_servers: vec!["fd00:1::53".parse().unwrap(), "fd00:1::54".parse().unwrap()],
        ..Advertising::default()
    }
}

/// The advertisements sent in this time, each with when.
fn sent_within(link: &mut Link, time: Duration) -> Vec<(Instant, Vec<u8>)> {
    let end = link.now + time;
    let mut sent = Vec::new();
    loop {
        sent.extend(
            std::iter::from_fn(|| link.hood.take_frame())
                .filter(|outgoing| outgoing.frame[54] == 134)
                .map(|outgoing| (link.now, outgoing.frame)),
        );
        let Some(next) = link.hood.deadline().filter(|deadline| *deadline <= end) else { break };
        link.pass(next - link.now);
    }
    link.now = end;
    sent
}

fn solicitation_of_routers() -> Vec<u8> {
    let lladdr = Some(EthernetAddress(A.0).into());
    wire::router_advertisement(A, peer6(), &NdiscRepr::RouterSolicit { lladdr }, 0, [])
}

#[test]
fn an_advertisement_says_what_it_was_told_to() {
    let mut link = Link::new();
    link.hood.set_advertising(PORT, Some(advertising()), link.now);
    let frame = sent_within(&mut link, Duration::ZERO).remove(0).1;
    assert_eq!((&frame[..6], &frame[6..12]), (&[0x33, 0x33, 0, 0, 0, 1][..], &OWN.0[..]));
    assert_eq!(
        wire::read(&frame, A).unwrap().message,
        Message::RouterAdvertisement { source: own6(), link_address: Some(OWN) }
    );
    let packet = Icmpv6Packet::new_checked(&frame[54..]).unwrap();
    assert_eq!(frame[59], 0x80 | 0x08, "managed, and preferred (RFC 4191)");
    assert_eq!((packet.current_hop_limit(), packet.router_lifetime().secs()), (64, 180));
    let mut options = Vec::new();
    let mut rest = packet.payload();
    while !rest.is_empty() {
        let option = NdiscOption::new_checked(rest).unwrap();
        options.push((u8::from(option.option_type()), option.data_len()));
        rest = &rest[usize::from(option.data_len()) * 8..];
    }
    assert_eq!(options, [(1, 1), (5, 1), (3, 4), (3, 4), (25, 5)]);
    let prefix = |at: usize| {
        let option = NdiscOption::new_checked(&packet.payload()[at..]).unwrap();
        match NdiscOptionRepr::parse(&option).unwrap() {
            NdiscOptionRepr::PrefixInformation(prefix) => prefix,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (prefix(16), prefix(48));
    assert_eq!((first.prefix_len, first.flags.bits(), first.valid_lifetime.secs()), (64, 0xc0, 2_592_000));
    assert_eq!((second.prefix_len, second.flags.bits()), (48, 0x80));
    assert_eq!(packet.payload()[52..56], [0xff; 4], "valid for ever");
    assert_eq!(packet.payload()[84..88], 1800_u32.to_be_bytes(), "lifetime of the servers");
    assert_eq!(packet.payload()[88..104], "fd00:1::53".parse::<Ipv6Addr>().unwrap().octets());
}

#[test]
fn the_first_three_come_soon_and_the_rest_at_random_within_the_interval() {
    let mut link = Link::new();
    link.hood.set_advertising(PORT, Some(advertising()), link.now);
    let times: Vec<_> =
        sent_within(&mut link, Duration::from_secs(1000)).into_iter().map(|(at, _)| at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[..2].iter().all(|gap| *gap <= Duration::from_secs(16)), "{gaps:?}");
    let within = |gap: &Duration| (30..=60).contains(&gap.as_secs());
    assert!(gaps[2..].iter().all(within) && gaps.len() > 15, "{gaps:?}");
    let mut unlike = gaps[2..].to_vec();
    unlike.dedup();
    assert!(unlike.len() > 10);
}

#[test]
fn hosts_that_ask_are_answered_within_half_a_second_and_no_oftener_than_every_three() {
    let mut link = Link::new();
    link.hood.set_advertising(PORT, Some(advertising()), link.now);
    sent_within(&mut link, Duration::from_secs(200));
    let asked = link.now;
    let mut times = Vec::new();
    for _ in 0..200 {
        link.hear(&solicitation_of_routers());
        times.extend(sent_within(&mut link, ms(50)).into_iter().map(|(at, _)| at));
    }
    assert!(times[0] - asked <= ms(500), "{times:?}");
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (3_000..=3_550).contains(&gap.as_millis())), "{gaps:?}");
    assert!(times.len() >= 3, "asked for ten seconds: {times:?}");
}

#[test]
fn at_the_end_hosts_hear_that_the_router_is_none_any_more() {
    let mut link = Link::new();
    link.hood.set_advertising(PORT, Some(advertising()), link.now);
    sent_within(&mut link, Duration::from_secs(10));
    link.hood.end(link.now);
    let last = sent_within(&mut link, Duration::from_secs(1000));
    assert_eq!(last.len(), 1);
    let packet = Icmpv6Packet::new_checked(&last[0].1[54..]).unwrap();
    assert_eq!(packet.router_lifetime().secs(), 0);
    assert_eq!(last[0].1[59], 0x80, "no preference where there is no router");
    assert_eq!(link.hood.deadline(), None);
}

#[test]
fn nothing_is_advertised_before_there_is_an_address_to_do_it_from() {
    let mut link = Link::bare(Settings::default());
    link.hood.set_advertising(PORT, Some(advertising()), link.now);
    link.hood.add_address(PORT, "fd00:1::1/64".parse().unwrap(), false, link.now);
    assert!(sent_within(&mut link, Duration::from_secs(100)).is_empty());
    link.hood.add_address(PORT, "fe80::1/64".parse().unwrap(), true, link.now);
    assert!(!sent_within(&mut link, Duration::from_secs(3)).is_empty());
    link.hood.remove_address(PORT, own6().into(), link.now);
    assert!(sent_within(&mut link, Duration::from_secs(100)).is_empty());
}

#[test]
fn what_cannot_be_advertised_is_refused() {
    let seconds = Duration::from_secs;
    let base = advertising;
    let prefix = |text: &str| vec![AdvertisedPrefix::new(text.parse().unwrap())];
    let brief = AdvertisedPrefix { preferred: seconds(9), valid: seconds(8), ..base().prefixes[0] };
    for (wrong, told) in [
        (Advertising { interval_max: seconds(3), ..base() }, "interval-max is 3 s"),
        (Advertising { interval_max: seconds(1801), ..base() }, "interval-max is 1801 s"),
        (Advertising { interval_min: seconds(2), ..base() }, "interval-min is 2 s"),
        (Advertising { interval_min: seconds(46), ..base() }, "interval-min is 46 s"),
        (Advertising { lifetime: seconds(59), ..base() }, "lifetime is 59 s"),
        (Advertising { lifetime: seconds(9001), ..base() }, "lifetime is 9001 s"),
        (Advertising { mtu: Some(1279), ..base() }, "MTU 1279"),
        (Advertising { prefixes: prefix("fe80::/64"), ..base() }, "link-local"),
        (Advertising { prefixes: prefix("fd00::/48"), ..base() }, "64 bits"),
        (Advertising { prefixes: vec![brief], ..base() }, "longer than it is valid"),
        (Advertising { prefixes: vec![base().prefixes[0]; 25], ..base() }, "25 prefixes"),
        (Advertising { dns_servers: vec![own6(); 9], ..base() }, "9 DNS servers"),
    ] {
        let error = wrong.check().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert_eq!(base().check(), Ok(()));
    let full = Advertising { prefixes: vec![base().prefixes[0]; 24], dns_servers: vec![own6(); 8], ..base() };
    assert_eq!(full.check(), Ok(()));
    assert!(full.frame(OWN, own6(), false).len() <= 14 + 1280);
}
