//! A packet is read, obeyed, answered with every error and cut into fragments.

use std::net::{Ipv4Addr, Ipv6Addr};

use fib::adjacency::Mac;
use router::engine::fragment::{Fragments4, Fragments6, Geometry, MTU_MIN};
use router::engine::icmp::{
    ANSWER4_MAX, ANSWER6_MAX, Answer4, Answer6, Error4, Error6, Sender4, Sender6, redirect6,
};
use router::packet::hop_by_hop::{self, Limits, Refused};
use router::packet::options::{self, Options, Surroundings};
use router::packet::parse::{Ip, parse, parse_ip};
use router::packet::{checksum, ipv4, ipv6};
use router::port::Framing;

use super::mend;
use crate::fuzz::input::{Input, Recipe};
use crate::fuzz::seeds;

/// The header checksum is made right.
const MEND: u8 = 1;
/// The frame was addressed to the port.
const TO_THIS_HOST: u8 = 2;
/// Few hop-by-hop options are let pass.
const STRICT: u8 = 4;
/// The packet came in pieces, of which the largest bore DF.
const GATHERED: u8 = 8;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1);
const OWN_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Flags, a number for whatever needs one, the MTU of all links, and the packet from its network header on.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (flags, number, mtu) = (input.byte(), input.byte(), input.word());
    let mut packet = input.take(usize::MAX).to_vec();
    if flags & MEND != 0 {
        mend(&mut packet);
    }
    let _ = parse(&packet, Framing::Ethernet);
    let Ok(ip) = parse_ip(&packet) else { return };
    assert!(ip.transport <= ip.len && ip.len <= packet.len(), "{ip:?} lies beyond the packet");
    packet.truncate(ip.len);
    let around = Around { flags, number, mtu: mtu.into() };
    if ip.source.is_ipv4() { around.forward4(packet) } else { around.forward6(&ip, packet) }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |(number, packet): (usize, Vec<u8>)| {
        let (flags, mtu) =
            [(TO_THIS_HOST, 1500), (MEND | TO_THIS_HOST, 576), (MEND | GATHERED, 1280)][number % 3];
        Recipe::default().bytes(&[flags, number as u8]).word(mtu).bytes(&packet).done()
    };
    seeds::packets().into_iter().enumerate().map(seed).collect()
}

/// What is not in the packet.
struct Around {
    flags: u8,
    number: u8,
    mtu: usize,
}

impl Surroundings for Around {
    fn receiving_address(&self) -> Ipv4Addr {
        OWN
    }

    fn time_of_day_ms(&self) -> u32 {
        86_399_999
    }

    fn is_foreign(&self, address: Ipv4Addr) -> bool {
        address != OWN && !address.is_multicast() && !address.is_broadcast()
    }
}

impl Around {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn forward4(&self, mut packet: Vec<u8>) {
        let _ = ipv4::martian(ipv4::source(&packet), ipv4::destination(&packet), self.has(STRICT));
        let mut options = match options::compile(&mut packet, self) {
            Ok(options) => options,
            Err(malformed) => {
                assert!(usize::from(malformed.pointer) < ipv4::header_len(&packet), "{malformed:?}");
                let error = Error4::ParameterProblem { pointer: malformed.pointer };
                return self.answer4(error, &packet, &malformed.options);
            }
        };
        for error in [
            Error4::Unreachable(self.number),
            Error4::FragmentationNeeded { mtu: self.mtu as u16 },
            Error4::Redirect { gateway: OWN },
            Error4::TimeExceeded,
        ] {
            self.answer4(error, &packet, &options);
        }
        if packet[8] > 1 {
            ipv4::decrease_ttl(&mut packet);
        }
        options.finish(&mut packet, OWN);
        assert!(parse_ip(&packet).is_ok(), "what was forwarded is not sound: {packet:02x?}");
        self.cut4(&packet);
    }

    fn answer4(&self, error: Error4, packet: &[u8], options: &Options) {
        let is_foreign = |address| self.is_foreign(address);
        let Ok(answer) = Answer4::to(error, packet, options, self.has(TO_THIS_HOST), is_foreign) else {
            return;
        };
        let sender = Sender4 {
            source: OWN,
            ttl: 64,
            identification: 7,
            mtu: self.mtu,
            time_of_day_ms: self.time_of_day_ms(),
        };
        let mut out = [0xaa; ANSWER4_MAX];
        let Ok(len) = answer.write(&sender, &mut out) else { return };
        let ip = parse_ip(&out[..len]).expect("an answer is a sound packet");
        assert!(ip.len == len && len <= self.mtu, "{len} bytes towards a link with {}", self.mtu);
        assert_eq!(checksum::checksum(&out[ip.transport..len]), 0, "ICMP checksum of {:02x?}", &out[..len]);
    }

    fn cut4(&self, packet: &[u8]) {
        let header = ipv4::header_len(packet);
        let geometry = self.geometry(header, packet.len() - header);
        let size_max = geometry.as_ref().map_or(self.mtu, |geometry| self.mtu.min(geometry.fragment_max()));
        let Ok(mut fragments) = Fragments4::new(packet, self.mtu, geometry.as_ref()) else { return };
        let mut out = vec![0xaa; packet.len()];
        let mut payload = Vec::new();
        while let Some(len) = fragments.write_next(&mut out) {
            assert!(len <= size_max, "a fragment of {len} bytes, {size_max} fit");
            let ip = parse_ip(&out[..len]).expect("a fragment is a sound packet");
            assert_eq!((ip.len, ipv4::header_len(&out)), (len, header));
            payload.extend_from_slice(&out[header..len]);
        }
        assert!(payload == packet[header..], "fragments do not carry the payload of {packet:02x?}");
    }

    fn forward6(&self, ip: &Ip, mut packet: Vec<u8>) {
        let upper = ipv6::upper_layer(&packet);
        let _ = (upper, ipv6::flow_label(&packet), ipv6::sort_source(ipv6::source(&packet)));
        if ip.has_options {
            let limits = if self.has(STRICT) { Limits::from_sysctls(-1, 8) } else { Limits::default() };
            if let Err(Refused::ParameterProblem { code, pointer }) = hop_by_hop::check(&packet, &limits) {
                assert!((pointer as usize) < packet.len(), "pointer {pointer} is beyond the packet");
                self.answer6(Error6::ParameterProblem { code, pointer }, &packet);
            }
        }
        for error in [
            Error6::Unreachable(self.number),
            Error6::PacketTooBig { mtu: self.mtu as u32 },
            Error6::TimeExceeded,
        ] {
            self.answer6(error, &packet);
        }
        self.redirect6(&packet);
        if packet[7] > 1 {
            ipv6::decrease_hop_limit(&mut packet);
        }
        self.cut6(&packet);
    }

    fn answer6(&self, error: Error6, packet: &[u8]) {
        let Ok(answer) = Answer6::to(error, packet, self.has(TO_THIS_HOST)) else { return };
        let mut out = [0xaa; ANSWER6_MAX];
        let len = answer.write(&Sender6 { source: OWN6, hop_limit: 64, flow_label: u32::MAX }, &mut out);
        check_icmpv6(&out[..len]);
    }

    fn redirect6(&self, packet: &[u8]) {
        let mut out = [0xaa; ANSWER6_MAX];
        let mac = self.has(MEND).then_some(Mac([2, 0, 0, 0, 0, self.number]));
        for target in [ipv6::destination(packet), OWN_LINK_LOCAL] {
            let len = redirect6(packet, target, mac, OWN_LINK_LOCAL, &mut out).expect("both can be targets");
            check_icmpv6(&out[..len]);
        }
    }

    fn cut6(&self, packet: &[u8]) {
        let Some(geometry) = self.geometry(ipv6::HEADER_LEN + 8, packet.len() - ipv6::HEADER_LEN) else {
            return;
        };
        let Ok(mut fragments) = Fragments6::new(packet, &geometry, u32::MAX) else { return };
        let size_max = geometry.fragment_max().max(MTU_MIN);
        let mut out = vec![0xaa; packet.len() + 8];
        let (mut carried, mut count) = (0, 0);
        while let Some(len) = fragments.write_next(&mut out) {
            assert!(len <= size_max, "a fragment of {len} bytes, {size_max} fit");
            assert_eq!(usize::from(u16::from_be_bytes([out[4], out[5]])), len - ipv6::HEADER_LEN);
            carried += len;
            count += 1;
        }
        // Without a byte behind the headers there is nothing to cut.
        let lost = count > 0 && carried < packet.len() + 8;
        assert!(!lost, "{count} fragments carry {carried} bytes of {}", packet.len());
    }

    /// Pieces in which a payload may have come, if it did.
    fn geometry(&self, header: usize, payload: usize) -> Option<Geometry> {
        let piece = (usize::from(self.number) + 1) * 8;
        let pieces = (0..payload.div_ceil(piece)).map(|place| piece.min(payload - place * piece) as u16);
        let largest = header + piece.min(payload.max(1));
        self.has(GATHERED).then(|| Geometry::new(pieces, largest as u32, self.has(STRICT)))
    }
}

/// A message of the router's own is no longer than it may be, and right to the last bit.
fn check_icmpv6(packet: &[u8]) {
    let (source, destination) = (ipv6::source(packet), ipv6::destination(packet));
    let len = packet.len() - ipv6::HEADER_LEN;
    assert!(packet.len() <= ANSWER6_MAX);
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), len);
    let pseudo = checksum::pseudo_header_v6(source, destination, packet[6], len as u32);
    let sum = checksum::add(pseudo, checksum::sum(&packet[ipv6::HEADER_LEN..]));
    assert_eq!(sum, 0xffff, "ICMPv6 checksum of {packet:02x?}");
}
