//! The router's ports on devices of the kernel's: what they promise, tried on veth and TUN in namespaces.

use std::time::Duration;

use fib::adjacency::PortId;
use router::frame::{Checksum, Frame, Pool, Segmentation, SegmentationKind, VlanTag};
use router::packet::checksum;
use router::packet::offload::segment;
use router::port::af_packet::{AfPacket, Hears, OpenError, Receive, Settings, index_of};
use router::port::tun::{self, Tun};
use router::port::{Framing, Offloads, Port};
use router::worker::{Notice, WorkerConfig};
use testbed::bench::{plan, set_kernel_forwarding, sides};
use testbed::lab::{self, Lab, Plan, Role, SECONDS_5, wait_until};
use testbed::null;

const BOTH: [Receive; 2] = [Receive::Calls, Receive::Ring];
const FRAMES_MAX: usize = 512;

/// A veth with nobody at either end who would say a word.
fn wire() -> Lab {
    let plan = Plan::new().station("a", Role::Wire).station("b", Role::Wire).link("a:eth0", "b:eth0");
    let lab = Lab::build(&plan).unwrap();
    for station in ["a", "b"] {
        // A device swallows what is sent until the kernel has seen its carrier, which it does in its own time.
        let show = || lab.run(station, "ip link show dev eth0", SECONDS_5).unwrap().ok().unwrap();
        wait_until("the link", SECONDS_5, || (!show().contains("qdisc noop ")).then_some(())).unwrap();
    }
    lab
}

fn open(lab: &Lab, station: &str, receive: Receive) -> AfPacket {
    let settings = Settings { receive, ..Settings::default() };
    lab.at(station).inside(|| AfPacket::open(index_of("eth0").unwrap(), &settings).unwrap())
}

/// Waits until `count` frames have arrived.
fn receive(port: &mut dyn Port, pool: &mut Pool, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    wait_until(&format!("{count} frames"), SECONDS_5, || {
        port.receive(pool, &mut frames, 64).unwrap();
        (frames.len() >= count).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}, of which {} came", frames.len()));
    frames
}

fn send(port: &mut dyn Port, pool: &mut Pool, frames: Vec<Frame>) {
    let mut frames = frames;
    port.send(pool, &mut frames);
    assert!(frames.is_empty());
}

fn frame(pool: &mut Pool, bytes: &[u8]) -> Frame {
    let mut frame = pool.take().unwrap();
    frame.copy_from(bytes);
    frame
}

/// A broadcast frame of a protocol that no kernel answers.
fn ethernet(ethertype: [u8; 2], rest: &[u8]) -> Vec<u8> {
    [&[0xff; 6][..], &[2, 0, 0, 0, 9, 9], &ethertype, rest].concat()
}

/// A packet as an offloading sender leaves it: lengths of the whole, the pseudo header's sum as checksum.
fn large(
    kind: SegmentationKind,
    ipv6: bool,
    payload_len: usize,
    size: u16,
) -> (Vec<u8>, Checksum, Segmentation) {
    let tcp = kind != SegmentationKind::Udp;
    let (transport_len, protocol, field) = if tcp { (32, 6, 16) } else { (8, 17, 6) };
    let length = transport_len + payload_len;
    let mut network = Vec::new();
    let pseudo = if ipv6 {
        let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        network.extend([0x60, 0, 0, 0]);
        network.extend((length as u16).to_be_bytes());
        network.extend([protocol, 64]);
        network.extend(std::net::Ipv6Addr::octets(&source));
        network.extend(std::net::Ipv6Addr::octets(&destination));
        checksum::pseudo_header_v6(source, destination, protocol, length as u32)
    } else {
        network.extend([0x45, 0x02]);
        network.extend((20 + length as u16).to_be_bytes());
        network.extend([0xff, 0xfe, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let finished = checksum::checksum(&network).to_be_bytes();
        network[10..12].copy_from_slice(&finished);
        checksum::pseudo_header_v4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol, length as u16)
    };
    let mut transport = vec![0; transport_len];
    transport[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
    if tcp {
        transport[4..8].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
        // ACK, PSH, FIN, CWR; a timestamp option.
        transport[12..14].copy_from_slice(&[0x80, 0x99]);
        transport[20..32].copy_from_slice(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    } else {
        transport[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    transport[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let start = network.len() as u16;
    let payload = (0..payload_len).map(|place| (place * 7) as u8);
    let rest: Vec<u8> = network.into_iter().chain(transport).chain(payload).collect();
    let checksum = Checksum::Partial { start, offset: field as u16 };
    let header_len = start + transport_len as u16;
    (
        ethernet(if ipv6 { [0x86, 0xdd] } else { [8, 0] }, &rest),
        checksum,
        Segmentation { kind, size, header_len, ecn: false },
    )
}

const KINDS: [(SegmentationKind, bool); 4] = [
    (SegmentationKind::Tcp4, false),
    (SegmentationKind::Tcp6, true),
    (SegmentationKind::Udp, false),
    (SegmentationKind::Udp, true),
];

#[test]
fn large_packets_with_unfinished_checksums_pass_as_they_are() {
    if !lab::labs_can_run() {
        return;
    }
    for receive_by in BOTH {
        let lab = wire();
        let mut pool = Pool::new(FRAMES_MAX);
        let (mut a, mut b) = (open(&lab, "a", receive_by), open(&lab, "b", receive_by));
        for (kind, ipv6) in KINDS {
            let (bytes, checksum, segmentation) = large(kind, ipv6, 30_000, 1400);
            let mut sent = frame(&mut pool, &bytes);
            (sent.checksum, sent.segmentation) = (checksum, Some(segmentation));
            let small = frame(&mut pool, &ethernet([0x88, 0xb5], &[1; 46]));
            send(&mut a, &mut pool, vec![sent, small]);
            let frames = receive(&mut b, &mut pool, 2);
            assert_eq!(frames[0].bytes(), bytes, "{kind:?} {receive_by:?}");
            assert_eq!((frames[0].checksum, frames[0].segmentation), (checksum, Some(segmentation)));
            assert_eq!(frames[1].len(), 60, "order is kept between slots and calls");
            frames.into_iter().for_each(|frame| pool.give(frame));
        }
        assert_eq!(b.counters().received_frames, 8);
        b.release(&mut pool);
        assert_eq!(pool.available(), FRAMES_MAX);
    }
}

#[test]
fn our_segments_are_the_kernels_segments() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    // Without these the kernel has to cut and to sum itself before the frame may enter the device.
    let line = "ethtool -K eth0 tso off tx-udp-segmentation off tx off gso off";
    lab.run("a", line, SECONDS_5).unwrap().ok().unwrap();
    lab.run("b", "ethtool -K eth0 gro off", SECONDS_5).unwrap().ok().unwrap();
    let mut pool = Pool::new(FRAMES_MAX);
    let (mut a, mut b) = (open(&lab, "a", Receive::Calls), open(&lab, "b", Receive::Calls));
    for (kind, ipv6) in KINDS {
        for (payload_len, size) in [(3000, 1000), (5001, 1000), (7, 1000), (20_000, 999)] {
            let (bytes, checksum, segmentation) = large(kind, ipv6, payload_len, size);
            let mut sent = frame(&mut pool, &bytes);
            (sent.checksum, sent.segmentation) = (checksum, Some(segmentation));
            let mut ours = Vec::new();
            segment(&sent, 14, &mut pool, |pool, piece| {
                ours.push(piece.bytes().to_vec());
                pool.give(piece);
            })
            .unwrap();
            send(&mut a, &mut pool, vec![sent]);
            let frames = receive(&mut b, &mut pool, ours.len());
            let theirs: Vec<_> = frames.iter().map(|frame| frame.bytes().to_vec()).collect();
            assert_eq!(theirs.len(), ours.len(), "{kind:?} ipv6 {ipv6} {payload_len} by {size}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(
                    ours[..80.min(ours.len())],
                    theirs[..80.min(theirs.len())],
                    "{kind:?} ipv6 {ipv6}"
                );
                assert_eq!(ours, theirs, "{kind:?} ipv6 {ipv6} {payload_len} by {size}");
            }
            frames.into_iter().for_each(|frame| pool.give(frame));
        }
    }
}

#[test]
fn a_stripped_tag_is_told() {
    if !lab::labs_can_run() {
        return;
    }
    for receive_by in BOTH {
        let lab = wire();
        let mut pool = Pool::new(FRAMES_MAX);
        let (mut a, mut b) = (open(&lab, "a", receive_by), open(&lab, "b", receive_by));
        let plain = ethernet([0x88, 0xb5], &[1; 46]);
        let tags = [
            Some(VlanTag::customer(5)),
            Some(VlanTag { protocol: 0x88a8, control: 0xf00a }),
            Some(VlanTag { protocol: 0x8100, control: 0xe000 }),
            None,
        ];
        let tagged = |tag: Option<VlanTag>| {
            let tag = tag.map(VlanTag::bytes);
            [&plain[..12], tag.as_ref().map_or(&[][..], |tag| &tag[..]), &plain[12..]].concat()
        };
        let sent = tags.map(|tag| frame(&mut pool, &tagged(tag)));
        send(&mut a, &mut pool, sent.into());
        let mut frames = receive(&mut b, &mut pool, tags.len());
        let received: Vec<_> = frames.iter().map(|frame| frame.vlan).collect();
        assert_eq!(received, tags);
        for frame in &frames {
            assert_eq!(frame.bytes(), plain, "the tag itself is gone");
        }
        for (frame, tag) in frames.iter_mut().zip(tags) {
            frame.put_tag_back();
            assert_eq!(frame.bytes(), tagged(tag));
        }
    }
}

#[test]
fn what_the_device_refuses_is_counted_and_the_rest_is_sent() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    let mut pool = Pool::new(FRAMES_MAX);
    let (mut a, mut b) = (open(&lab, "a", Receive::Ring), open(&lab, "b", Receive::Ring));
    let lengths = [46, 3000, 50, 3000, 3000, 51];
    let sent = lengths.map(|len| frame(&mut pool, &ethernet([0x88, 0xb5], &vec![1; len])));
    send(&mut a, &mut pool, sent.into());
    let received: Vec<_> = receive(&mut b, &mut pool, 3).iter().map(|frame| frame.len() - 14).collect();
    assert_eq!(received, [46, 50, 51]);
    assert_eq!((a.counters().sent_frames, a.counters().send_dropped), (3, 3));
    assert_eq!(a.counters().sent_bytes, 46 + 50 + 51 + 3 * 14);
    lab.at("a").ip("link set eth0 down").unwrap();
    let late = vec![frame(&mut pool, &ethernet([0x88, 0xb5], &[1; 46]))];
    send(&mut a, &mut pool, late);
    assert_eq!(a.counters().send_dropped, 4);
}

#[test]
fn frames_for_others_are_left_out_unless_asked_for() {
    if !lab::labs_can_run() {
        return;
    }
    for hears in [Hears::Own, Hears::OwnAndGroups, Hears::All] {
        let lab = wire();
        let mut pool = Pool::new(FRAMES_MAX);
        let settings = Settings { hears, ..Settings::default() };
        let mut a = open(&lab, "a", Receive::Ring);
        let mut b = lab.at("b").inside(|| AfPacket::open(index_of("eth0").unwrap(), &settings).unwrap());
        let mut foreign = ethernet([0x88, 0xb5], &[1; 46]);
        foreign[..6].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
        let last = ethernet([0x88, 0xb5], &[2; 46]);
        let sent = [&foreign, &last].map(|bytes| frame(&mut pool, bytes));
        send(&mut a, &mut pool, sent.into());
        let expected = if hears == Hears::All { 2 } else { 1 };
        let frames = receive(&mut b, &mut pool, expected);
        assert_eq!((frames.len(), frames.last().unwrap().bytes()), (expected, &last[..]));
    }
}

#[test]
fn what_does_not_fit_the_queue_is_counted() {
    if !lab::labs_can_run() {
        return;
    }
    for receive_by in BOTH {
        let lab = wire();
        let mut pool = Pool::new(FRAMES_MAX);
        let settings = Settings { receive: receive_by, buffer_bytes: 1 << 16, ..Settings::default() };
        let mut a = open(&lab, "a", receive_by);
        let mut b = lab.at("b").inside(|| AfPacket::open(index_of("eth0").unwrap(), &settings).unwrap());
        const SENT: u64 = 6400;
        for _ in 0..SENT / 64 {
            let batch = (0..64).map(|_| frame(&mut pool, &ethernet([0x88, 0xb5], &[1; 46]))).collect();
            send(&mut a, &mut pool, batch);
        }
        assert_eq!(a.counters().sent_frames, SENT);
        let mut arrived = 0;
        wait_until("every frame to be received or counted as dropped", SECONDS_5, || {
            let mut frames = Vec::new();
            b.receive(&mut pool, &mut frames, 64).unwrap();
            arrived += frames.len() as u64;
            frames.into_iter().for_each(|frame| pool.give(frame));
            b.refresh_counters();
            (arrived + b.counters().receive_dropped == SENT).then_some(())
        })
        .unwrap();
        assert!(b.counters().receive_dropped > 0, "{receive_by:?}: the queue holds less than was sent");
    }
}

#[test]
fn a_group_shares_a_device_by_flow_and_hears_nothing_it_sends() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    let mut pool = Pool::new(FRAMES_MAX);
    let mut a = open(&lab, "a", Receive::Ring);
    let settings = Settings::default();
    let mut group =
        lab.at("b").inside(|| AfPacket::open_group(index_of("eth0").unwrap(), 2, &settings).unwrap());
    let flow = |port: u16, back: bool| {
        let mut bytes = ethernet([8, 0], &[]);
        let (from, to) = if back { ([10, 0, 0, 2], [10, 0, 0, 1]) } else { ([10, 0, 0, 1], [10, 0, 0, 2]) };
        bytes.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
        bytes.extend([from, to].concat());
        let ports = if back { [9, port] } else { [port, 9] };
        bytes.extend(ports.map(u16::to_be_bytes).concat());
        bytes.extend([0, 26, 0, 0]);
        bytes.resize(60, 0);
        bytes
    };
    for port in 1000..1040 {
        let pair = [flow(port, false), flow(port, true)].map(|bytes| frame(&mut pool, &bytes));
        send(&mut a, &mut pool, pair.into());
    }
    let mut shares = [Vec::new(), Vec::new()];
    wait_until("80 frames", SECONDS_5, || {
        for (port, share) in group.iter_mut().zip(&mut shares) {
            port.receive(&mut pool, share, 64).unwrap();
        }
        (shares[0].len() + shares[1].len() == 80).then_some(())
    })
    .unwrap();
    for share in &shares {
        assert!(!share.is_empty(), "both have a share");
        for pair in share.chunks(2) {
            let port =
                |frame: &Frame, place| u16::from_be_bytes([frame.bytes()[place], frame.bytes()[place + 1]]);
            assert_eq!(
                port(&pair[0], 34),
                port(&pair[1], 36),
                "both directions of a flow come to the same one"
            );
        }
    }
    let outgoing = vec![frame(&mut pool, &ethernet([0x88, 0xb5], &[1; 46]))];
    send(&mut group[0], &mut pool, outgoing);
    receive(&mut a, &mut pool, 1);
    for port in &mut group {
        assert_eq!(port.receive(&mut pool, &mut Vec::new(), 64).unwrap(), 0);
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    let error = lab.at("a").inside(|| index_of("eth7")).unwrap_err();
    assert!(matches!(&error, OpenError::NoDevice { name } if name == "eth7"), "{error}");
}

#[test]
fn a_port_that_goes_down_or_away_is_lost_and_the_worker_goes_on() {
    if !lab::labs_can_run() {
        return;
    }
    for (receive_by, line) in [
        (Receive::Ring, "link set r1 down"),
        (Receive::Ring, "link delete r1"),
        (Receive::Calls, "link set r1 down"),
        (Receive::Calls, "link delete r1"),
    ] {
        let lab = Lab::build(&plan()).unwrap();
        let settings = Settings { receive: receive_by, ..Settings::default() };
        let start = || null::start(sides(), &settings, WorkerConfig::default());
        let (handle, mut notices) = lab.at("r1").inside(start).unwrap();
        lab.at("r1").ip(line).unwrap();
        let lost = wait_until("the loss of port 1", SECONDS_5, || match notices.try_recv() {
            Ok(Notice::Lost { port, error }) => Some((port, error)),
            _ => None,
        });
        let (port, error) = lost.unwrap_or_else(|waited| panic!("{line} {receive_by:?}: {waited}"));
        assert_eq!(port, PortId(1), "{error}");
        lab.run("h1", "ping -n -c 1 -W 2 10.0.1.1", SECONDS_5).unwrap().ok().unwrap();
        let received = || (handle.stats().port(PortId(0)).received_frames > 0).then_some(());
        wait_until("port 0 to go on", SECONDS_5, received).unwrap();
    }
}

#[test]
fn tcp_with_default_offloads_crosses_in_large_packets() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&plan()).unwrap();
    set_kernel_forwarding(&lab, false).unwrap();
    let start = || null::start(sides(), &Settings::default(), WorkerConfig::default());
    let (handle, _notices) = lab.at("r1").inside(start).unwrap();
    let mut server = lab.start("h2", "iperf3 -s -1 --forceflush").unwrap();
    server.wait_line("Server listening", SECONDS_5).unwrap();
    let patience = Duration::from_secs(30);
    lab.run("h1", "iperf3 -c 10.0.2.2 -n 200M", patience).unwrap().ok().unwrap();
    server.finish(SECONDS_5).unwrap().ok().unwrap();
    let counters = handle.stats().port(PortId(1));
    assert!(counters.sent_bytes > 200_000_000, "{counters:?}");
    assert!(counters.sent_bytes / counters.sent_frames > 3000, "{counters:?}");
}

#[test]
fn a_device_of_another_program_without_link_addresses_is_a_port() {
    if !lab::labs_can_run() {
        return;
    }
    for (receive_by, offloads) in BOTH.into_iter().flat_map(|by| [(by, true), (by, false)]) {
        let lab = wire();
        let mut pool = Pool::new(FRAMES_MAX);
        let mut program = lab.at("a").inside(|| Tun::open("vpn0")).unwrap();
        lab.at("a").ip("link set vpn0 up").unwrap();
        if !offloads {
            // As a program that asks for packets without a header of their own leaves its device.
            lab.run("a", "ethtool -K vpn0 tx off tso off tx-udp-segmentation off", SECONDS_5)
                .unwrap()
                .ok()
                .unwrap();
        }
        let settings = Settings { receive: receive_by, ..Settings::default() };
        let open = || AfPacket::open(index_of("vpn0").unwrap(), &settings).unwrap();
        let mut port = lab.at("a").inside(open);
        assert_eq!(port.framing(), Framing::Network);
        for (kind, ipv6) in KINDS {
            let (bytes, checksum, segmentation) = large(kind, ipv6, 5001, 1000);
            let large = |pool: &mut Pool| {
                let mut large = frame(pool, &bytes[14..]);
                (large.checksum, large.segmentation) = (checksum, Some(segmentation));
                large
            };
            let sent = large(&mut pool);
            send(&mut program, &mut pool, vec![sent]);
            let received = receive(&mut port, &mut pool, 1).remove(0);
            assert_eq!(received.bytes(), &bytes[14..], "{kind:?} {receive_by:?}");
            assert_eq!((received.checksum, received.segmentation), (checksum, Some(segmentation)));
            pool.give(received);

            let sent = large(&mut pool);
            let mut expected = vec![(sent.bytes().to_vec(), checksum, Some(segmentation))];
            if !offloads {
                expected.clear();
                segment(&sent, 0, &mut pool, |pool, piece| {
                    expected.push((piece.bytes().to_vec(), piece.checksum, None));
                    pool.give(piece);
                })
                .unwrap();
            }
            send(&mut port, &mut pool, vec![sent]);
            let frames = receive(&mut program, &mut pool, expected.len());
            for (frame, (bytes, checksum, segmentation)) in frames.iter().zip(&expected) {
                assert_eq!(frame.bytes(), bytes, "{kind:?} ipv6 {ipv6} offloads {offloads}");
                assert_eq!((frame.checksum, frame.segmentation), (*checksum, *segmentation));
            }
            assert_eq!(frames.len(), expected.len());
            frames.into_iter().for_each(|frame| pool.give(frame));
        }
    }
}

#[test]
fn a_device_whose_frames_begin_otherwise_is_refused_by_name_of_its_kind() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    lab.at("a").ip("tuntap add other7 mode tun").unwrap();
    // TUNSETIFF by its name, then TUNSETLINK: from now on it says to be a tunnel of IPv6 in IPv4.
    let script = "import fcntl, struct\n\
        tun = open('/dev/net/tun', 'rb')\n\
        fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'other7', 0x1001))\n\
        fcntl.ioctl(tun, 0x400454cd, 776)\n";
    lab.at("a").run("python3", &["-c", script]).unwrap();
    let error = lab.at("a").inside(|| AfPacket::open(index_of("other7").unwrap(), &Settings::default()));
    let error = error.err().unwrap();
    assert!(matches!(error, OpenError::OtherLink(776)), "{error}");
}

#[test]
fn a_tun_port_passes_packets_both_ways_and_takes_its_device_with_it() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = wire();
    let mut pool = Pool::new(8);
    let mut port = lab.at("a").inside(|| Tun::open("tun7")).unwrap();
    assert_eq!(port.offloads(), Offloads::ALL);
    let busy = lab.at("a").inside(|| Tun::open("tun7")).err().unwrap();
    assert!(matches!(busy, tun::OpenError::Busy(_)), "{busy}");
    let other = lab.at("a").inside(|| Tun::open("eth0")).err().unwrap();
    assert!(matches!(other, tun::OpenError::OtherKind(_)), "{other}");
    lab.at("a").ip("address add 10.7.0.1/24 dev tun7").unwrap();
    lab.at("a").ip("link set tun7 up").unwrap();
    let ping = lab.start("a", "ping -n -c 1 -W 4 10.7.0.2").unwrap();
    let mut request = receive(&mut port, &mut pool, 1).remove(0);
    assert_eq!((request.bytes()[0], request.bytes()[20]), (0x45, 8));
    // The answer: addresses exchanged, type 0, and the checksum follows the type.
    let bytes = request.bytes_mut();
    let addresses = [&bytes[16..20], &bytes[12..16]].concat();
    bytes[12..20].copy_from_slice(&addresses);
    let repaired = checksum::update_u16(u16::from_be_bytes([bytes[22], bytes[23]]), 0x0800, 0);
    bytes[20] = 0;
    bytes[22..24].copy_from_slice(&repaired.to_be_bytes());
    send(&mut port, &mut pool, vec![request]);
    ping.finish(SECONDS_5).unwrap().ok().unwrap();
    assert_eq!((port.counters().received_frames, port.counters().sent_frames), (1, 1));
    lab.at("a").ip("link delete tun7").unwrap();
    assert!(port.receive(&mut pool, &mut Vec::new(), 1).is_err(), "a device that is gone is an error");
    drop(port);
    let again = lab.at("a").inside(|| Tun::open("tun7")).unwrap();
    drop(again);
    assert!(lab.at("a").inside(|| index_of("tun7")).is_err(), "the device went with its port");
}
