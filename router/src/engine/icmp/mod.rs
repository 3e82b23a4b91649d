//! ICMP errors, redirects and echo replies: what may be answered at all, and the bytes of the answer.

mod echo;
mod redirect;
mod v4;
mod v6;

pub use echo::{echo_reply4, echo_reply6, is_echo_request};
pub use redirect::redirect6;
pub use v4::{Answer4, Error4, Sender4};
pub use v6::{Answer6, Error6, Sender6, flow_label};

/// Bytes of the longest ICMPv4 error, IP header included (RFC 1812 section 4.3.2.3).
pub const ANSWER4_MAX: usize = 576;
/// Bytes of the longest ICMPv6 error or redirect, IP header included (RFC 4443 section 2.4 c).
pub const ANSWER6_MAX: usize = 1280;

/// Protocol number of ICMP.
const ICMP: u8 = 1;
/// Bytes of an ICMP header.
const ICMP_HEADER_LEN: usize = 8;

/// Why a packet gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAnswered {
    /// It came as a link-layer broadcast or multicast.
    #[error("came as a link-layer broadcast or multicast")]
    LinkBroadcast,
    /// It is for a group, or for everybody.
    #[error("is for a group or for everybody")]
    Group,
    /// Its source does not name one host.
    #[error("has a source that does not name one host")]
    Source,
    /// It is a fragment other than the first.
    #[error("is a fragment other than the first")]
    LaterFragment,
    /// It is an ICMP error itself, or ICMP of a kind that nobody knows, or too short to tell.
    #[error("is an ICMP error or unknown ICMP")]
    IcmpError,
    /// Its options cannot be turned round.
    #[error("has options that cannot be turned round")]
    Options,
    /// The way back has no room for a quote.
    #[error("has a way back without room for a quote")]
    NoRoom,
    /// A redirect towards something that is no neighbor.
    #[error("has a next hop that cannot be redirected to")]
    NoTarget,
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use fib::adjacency::Mac;
    use proptest::prelude::*;

    use super::*;
    use crate::packet::options::Options;
    use crate::packet::parse::parse_ip;
    use crate::packet::{checksum, ipv4, ipv6};

    const SENDER: Sender4 = Sender4 {
        source: Ipv4Addr::new(10, 1, 0, 1),
        ttl: 64,
        identification: 7,
        mtu: 1500,
        time_of_day_ms: 0,
    };

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn packet4() -> Vec<u8> {
        bytes("45000024123400003f1155710a0100020a01002130390035001000006162636465666768")
    }

    fn answer4(error: Error4, packet: &[u8], to_this_host: bool) -> Result<Answer4<'_>, NotAnswered> {
        Answer4::to(error, packet, &Options::default(), to_this_host, |_| true)
    }

    fn with_addresses(source: &str, destination: &str) -> Vec<u8> {
        let mut packet = packet4();
        packet[12..16].copy_from_slice(&source.parse::<Ipv4Addr>().unwrap().octets());
        packet[16..20].copy_from_slice(&destination.parse::<Ipv4Addr>().unwrap().octets());
        packet
    }

    #[test]
    fn an_ipv4_redirect_is_that_of_linux() {
        let packet = packet4();
        let redirect = Error4::Redirect { gateway: Ipv4Addr::new(10, 1, 0, 33) };
        let mut out = [0; ANSWER4_MAX];
        let sender = Sender4 { identification: 0xce35, ..SENDER };
        let len = answer4(redirect, &packet, true).unwrap().write(&sender, &mut out).unwrap();
        let expected = "45c00040ce350000400197c30a0100010a01000205012ec90a01002145000024123400003f1155710a0100020a\
                        01002130390035001000006162636465666768";
        assert_eq!(out[..len], bytes(expected));
    }

    #[test]
    fn an_ipv6_redirect_is_that_of_linux() {
        let packet = bytes(
            "600000000011114020010db800010000000000000000000620010db800080000000000000000000130390035001112346162\
             63646566676869",
        );
        let port: Ipv6Addr = "fe80::ff:fe00:101".parse().unwrap();
        let mut out = [0xaa; ANSWER6_MAX];
        let target = "fe80::77".parse().unwrap();
        let len = redirect6(&packet, target, Some(Mac([2, 0, 0, 0, 0, 0x77])), port, &mut out).unwrap();
        let expected = "6000000000703afffe80000000000000000000fffe00010120010db8000100000000000000000006890073bc0000\
                        0000fe80000000000000000000000000007720010db8000800000000000000000001020102000000007704080000\
                        00000000600000000011114020010db800010000000000000000000620010db80008000000000000000000013039\
                        0035001112346162636465666768";
        assert_eq!(out[..len], bytes(expected));
        assert_eq!(redirect6(&packet, port, None, port, &mut out), Ok(len - 8));
        let global = "2001:db8:1::9".parse().unwrap();
        assert_eq!(redirect6(&packet, global, None, port, &mut out), Err(NotAnswered::NoTarget));
        assert_eq!(redirect6(&packet, ipv6::destination(&packet), None, port, &mut out), Ok(len - 8));
    }

    #[test]
    fn a_long_packet_is_quoted_in_a_redirect_as_far_as_it_goes() {
        let mut packet = bytes("600000000515114020010db8000100000000000000000002");
        packet.resize(40 + 1301, 0x79);
        let target = ipv6::destination(&packet);
        let mut out = [0; ANSWER6_MAX];
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(redirect6(&packet, target, mac, target, &mut out), Ok(ANSWER6_MAX));
        assert_eq!(out[88..90], [4, 149]);
    }

    #[test]
    fn packets_to_many_are_not_answered() {
        let error = Error4::TimeExceeded;
        assert_eq!(answer4(error, &packet4(), false).unwrap_err(), NotAnswered::LinkBroadcast);
        for destination in ["255.255.255.255", "239.1.1.1"] {
            let packet = with_addresses("10.1.0.2", destination);
            assert_eq!(answer4(error, &packet, true).unwrap_err(), NotAnswered::Group, "{destination}");
        }
        let packet =
            bytes("600000000000114020010db8000100000000000000000002ff0e0000000000000000000000000001");
        let told = |error, to_this_host| Answer6::to(error, &packet, to_this_host).map(|_| ());
        assert_eq!(told(Error6::NO_ROUTE, true), Err(NotAnswered::Group));
        assert_eq!(told(Error6::NO_ROUTE, false), Err(NotAnswered::LinkBroadcast));
        assert_eq!(told(Error6::PacketTooBig { mtu: 1280 }, false), Ok(()));
        assert_eq!(told(Error6::ParameterProblem { code: 0, pointer: 40 }, true), Err(NotAnswered::Group));
    }

    #[test]
    fn packets_from_nobody_are_not_answered() {
        for source in ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"] {
            let packet = with_addresses(source, "10.2.0.2");
            let refused = answer4(Error4::TimeExceeded, &packet, true).unwrap_err();
            assert_eq!(refused, NotAnswered::Source, "{source}");
        }
    }

    #[test]
    fn a_way_back_without_room_for_a_header_gets_nothing() {
        let packet = packet4();
        let answer = answer4(Error4::HOST, &packet, true).unwrap();
        let mut out = [0; ANSWER4_MAX];
        assert_eq!(answer.write(&Sender4 { mtu: 48, ..SENDER }, &mut out), Err(NotAnswered::NoRoom));
        assert_eq!(answer.write(&Sender4 { mtu: 49, ..SENDER }, &mut out), Ok(49));
    }

    #[test]
    fn a_flow_label_stays_the_same_for_one_flow() {
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
        let label = flow_label([1, 2], a, b, Error6::TimeExceeded);
        assert_eq!(label, flow_label([1, 2], a, b, Error6::TimeExceeded));
        assert_ne!(label, flow_label([1, 2], b, a, Error6::TimeExceeded));
        assert_ne!(label, flow_label([1, 2], a, b, Error6::NO_ROUTE));
        assert_ne!(label, flow_label([3, 4], a, b, Error6::TimeExceeded));
    }

    #[test]
    fn each_error_has_its_type_code_and_field() {
        let packet = packet4();
        let header4 = |error| {
            let mut out = [0xaa; ANSWER4_MAX];
            answer4(error, &packet, true).unwrap().write(&SENDER, &mut out).unwrap();
            [&out[20..22], &out[24..28]].concat()
        };
        assert_eq!(header4(Error4::NETWORK), [3, 0, 0, 0, 0, 0]);
        assert_eq!(header4(Error4::HOST), [3, 1, 0, 0, 0, 0]);
        assert_eq!(header4(Error4::FragmentationNeeded { mtu: 600 }), [3, 4, 0, 0, 2, 88]);
        assert_eq!(header4(Error4::SOURCE_ROUTE_FAILED), [3, 5, 0, 0, 0, 0]);
        assert_eq!(header4(Error4::PROHIBITED), [3, 13, 0, 0, 0, 0]);
        assert_eq!(header4(Error4::TimeExceeded), [11, 0, 0, 0, 0, 0]);
        assert_eq!(header4(Error4::ParameterProblem { pointer: 22 }), [12, 0, 22, 0, 0, 0]);

        let packet =
            bytes("600000000000114020010db800010000000000000000000220010db8000200000000000000000002");
        let header6 = |error| {
            let sender = Sender6 { source: ipv6::destination(&packet), hop_limit: 64, flow_label: 0 };
            let mut out = [0xaa; ANSWER6_MAX];
            Answer6::to(error, &packet, true).unwrap().write(&sender, &mut out);
            [&out[40..42], &out[44..48]].concat()
        };
        assert_eq!(header6(Error6::NO_ROUTE), [1, 0, 0, 0, 0, 0]);
        assert_eq!(header6(Error6::PROHIBITED), [1, 1, 0, 0, 0, 0]);
        assert_eq!(header6(Error6::BEYOND_SCOPE), [1, 2, 0, 0, 0, 0]);
        assert_eq!(header6(Error6::ADDRESS), [1, 3, 0, 0, 0, 0]);
        assert_eq!(header6(Error6::PacketTooBig { mtu: 1400 }), [2, 0, 0, 0, 5, 0x78]);
        assert_eq!(header6(Error6::TimeExceeded), [3, 0, 0, 0, 0, 0]);
        assert_eq!(header6(Error6::ParameterProblem { code: 2, pointer: 42 }), [4, 2, 0, 0, 0, 42]);
    }

    proptest! {
        #[test]
        fn answers_are_sound_whatever_they_are_about(
            mut packet in proptest::collection::vec(any::<u8>(), 60..2000),
            mtu in 0usize..2000,
            kind in 0usize..3,
        ) {
            packet[0] = 0x45 + packet[0] % 11;
            let error = [Error4::TimeExceeded, Error4::HOST, Error4::ParameterProblem { pointer: 1 }][kind];
            let mut out = [0; ANSWER4_MAX];
            let answer = answer4(error, &packet, true);
            if let Ok(len) = answer.and_then(|answer| answer.write(&Sender4 { mtu, ..SENDER }, &mut out)) {
                let ip = parse_ip(&out[..len]).unwrap();
                prop_assert_eq!(ip.len, len);
                prop_assert!(len <= mtu.min(ANSWER4_MAX));
                prop_assert_eq!(checksum::checksum(&out[ip.transport..len]), 0);
                prop_assert_eq!(&out[ip.transport + 8..len], &packet[..len - ip.transport - 8]);
                prop_assert_eq!(ipv4::destination(&out), ipv4::source(&packet));
                prop_assert!(answer4(error, &out[..len], true).is_err(), "an error about an error");
            }
        }

        #[test]
        fn ipv6_answers_are_sound_whatever_they_are_about(
            packet in proptest::collection::vec(any::<u8>(), 40..2000),
            pointer in any::<u32>(),
            source in any::<u128>(),
        ) {
            let sender = Sender6 { source: source.into(), hop_limit: 64, flow_label: pointer };
            let error = Error6::ParameterProblem { code: 2, pointer };
            let mut out = [0; ANSWER6_MAX];
            if let Ok(answer) = Answer6::to(error, &packet, true) {
                let len = answer.write(&sender, &mut out);
                prop_assert_eq!(len, ANSWER6_MAX.min(48 + packet.len()));
                let pseudo = checksum::pseudo_header_v6(sender.source, ipv6::source(&packet), 58, len as u32 - 40);
                prop_assert_eq!(checksum::add(pseudo, checksum::sum(&out[40..len])), 0xffff);
                prop_assert!(Answer6::to(error, &out[..len], true).is_err(), "an error about an error");
            }
            let _ = redirect6(&packet, ipv6::destination(&packet), None, source.into(), &mut out);
        }
    }
}
