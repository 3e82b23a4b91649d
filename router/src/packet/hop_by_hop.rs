//! IPv6 hop-by-hop options, which every router on the path must look at (RFC 8200 section 4.3).

use super::ipv6;
use super::parse::Unfit;
use super::{u16_at, u32_at};

/// How much a hop-by-hop header may ask for (`net.ipv6.max_hbh_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Options other than padding, at most.
    pub options_max: u32,
    /// Whether options that nobody here knows may be there at all.
    pub unknown: bool,
    /// Bytes of the header, at most.
    pub len_max: usize,
}

impl Limits {
    /// From the sysctls `max_hbh_opts_number` (negative: unknown options are refused) and `max_hbh_length`.
    #[must_use]
    pub const fn from_sysctls(options_number: i32, length: usize) -> Self {
        Self { options_max: options_number.unsigned_abs(), unknown: options_number >= 0, len_max: length }
    }
}

impl Default for Limits {
    /// The kernel's defaults: eight options, any length.
    fn default() -> Self {
        Self::from_sysctls(8, usize::MAX)
    }
}

/// What a sound header asks of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HopByHop {
    /// Value of the router alert option (RFC 2711).
    pub router_alert: Option<u16>,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// In silence.
    Drop(Unfit),
    /// Answered with an ICMPv6 parameter problem.
    ParameterProblem {
        /// 0: erroneous field; 2: unrecognised option.
        code: u8,
        /// Offset of the offending byte from the network header.
        pointer: u32,
    },
}

const PAD_1: u8 = 0;
const PAD_N: u8 = 1;
const ROUTER_ALERT: u8 = 5;
const CALIPSO: u8 = 7;
const IOAM: u8 = 49;
const JUMBO: u8 = 194;

/// Bytes of padding in a row, at most (RFC 4942 section 2.1.9.5).
const PADDING_MAX: usize = 7;
/// Largest payload that needs no jumbo option.
const PAYLOAD_MAX: u32 = 65_535;

/// ICMPv6 parameter problem: erroneous header field.
const CODE_FIELD: u8 = 0;
/// ICMPv6 parameter problem: unrecognised option.
const CODE_OPTION: u8 = 2;

const DROP: Refused = Refused::Drop(Unfit::Header);

/// Obeys the hop-by-hop header right behind the fixed header, as `ipv6_parse_hopopts` and `ip6_parse_tlv` do
/// (`net/ipv6/exthdrs.c`). `packet` starts with its network header and has no padding behind it; IOAM is taken as
/// switched off and no CALIPSO domain is known, which are the kernel's defaults.
///
/// # Errors
/// The packet goes no further.
///
/// # Panics
/// If `packet` has no fixed header.
pub fn check(packet: &[u8], limits: &Limits) -> Result<HopByHop, Refused> {
    let start = ipv6::HEADER_LEN;
    let end = match packet.get(start + 1) {
        Some(&units) => start + (usize::from(units) + 1) * 8,
        None => return Err(DROP),
    };
    if packet.len() < end || end - start > limits.len_max {
        return Err(DROP);
    }
    let mut found = HopByHop::default();
    let mut at = start + 2;
    let mut options = 0;
    let mut padding = 0;
    while at < end {
        let kind = packet[at];
        let len = match kind {
            PAD_1 => 1,
            _ if end - at < 2 => return Err(DROP),
            _ => usize::from(packet[at + 1]) + 2,
        };
        if len > end - at {
            return Err(DROP);
        }
        let option = &packet[at..at + len];
        if matches!(kind, PAD_1 | PAD_N) {
            padding += len;
            if padding > PADDING_MAX || option.iter().skip(2).any(|byte| *byte != 0) {
                return Err(DROP);
            }
        } else {
            options += 1;
            if options > limits.options_max {
                return Err(DROP);
            }
            obey(packet, at, option, limits, &mut found)?;
            padding = 0;
        }
        at += len;
    }
    Ok(found)
}

fn obey(
    packet: &[u8],
    at: usize,
    option: &[u8],
    limits: &Limits,
    found: &mut HopByHop,
) -> Result<(), Refused> {
    match option[0] {
        ROUTER_ALERT if option.len() == 4 => {
            found.router_alert = Some(u16_at(option, 2));
            Ok(())
        }
        ROUTER_ALERT | CALIPSO => Err(DROP),
        IOAM if at.is_multiple_of(4) => Ok(()),
        IOAM => Err(DROP),
        JUMBO => jumbo(packet, at, option),
        kind => unknown(packet, at, kind, limits),
    }
}

/// A jumbo payload never fits into a frame, so the option is always refused; `ipv6_hop_jumbo` says how.
fn jumbo(packet: &[u8], at: usize, option: &[u8]) -> Result<(), Refused> {
    let problem = |pointer| Refused::ParameterProblem { code: CODE_FIELD, pointer };
    if option.len() != 6 || at % 4 != 2 {
        return Err(DROP);
    }
    if u32_at(option, 2) <= PAYLOAD_MAX {
        return Err(problem(pointer(at + 2)));
    }
    if u16_at(packet, 4) != 0 {
        return Err(problem(pointer(at)));
    }
    Err(Refused::Drop(Unfit::Truncated))
}

/// The two upper bits of an option's number say what to do with it (RFC 8200 section 4.2).
fn unknown(packet: &[u8], at: usize, kind: u8, limits: &Limits) -> Result<(), Refused> {
    let problem = Refused::ParameterProblem { code: CODE_OPTION, pointer: pointer(at) };
    match kind >> 6 {
        _ if !limits.unknown => Err(Refused::Drop(Unfit::NotIp)),
        0b00 => Ok(()),
        0b10 => Err(problem),
        0b11 if !ipv6::destination(packet).is_multicast() => Err(problem),
        _ => Err(Refused::Drop(Unfit::NotIp)),
    }
}

fn pointer(at: usize) -> u32 {
    u32::try_from(at).expect("an option lies within a header of at most 2048 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet to `destination` whose hop-by-hop header holds `options`, filled up with one PadN.
    fn packet(destination: &str, options: &[u8]) -> Vec<u8> {
        let mut header = vec![59, 0];
        header.extend_from_slice(options);
        let gap = header.len().next_multiple_of(8) - header.len();
        match gap {
            0 => {}
            1 => header.push(0),
            _ => {
                header.extend_from_slice(&[1, gap as u8 - 2]);
                header.resize(header.len() + gap - 2, 0);
            }
        }
        header[1] = (header.len() / 8 - 1) as u8;
        let destination: std::net::Ipv6Addr = destination.parse().unwrap();
        let mut packet = vec![0x60, 0, 0, 0, 0, header.len() as u8, 0, 64];
        packet.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend_from_slice(&destination.octets());
        packet.extend_from_slice(&header);
        packet
    }

    fn ask(options: &[u8]) -> Result<HopByHop, Refused> {
        check(&packet("2001:db8:1::1", options), &Limits::default())
    }

    #[test]
    fn padding_and_router_alert_pass() {
        assert_eq!(ask(&[1, 4, 0, 0, 0, 0]), Ok(HopByHop { router_alert: None }));
        assert_eq!(ask(&[5, 2, 0, 3]), Ok(HopByHop { router_alert: Some(3) }));
        assert_eq!(ask(&[5, 1, 0]), Err(DROP));
    }

    #[test]
    fn padding_is_bounded_and_zero() {
        assert_eq!(ask(&[0, 1, 4, 0, 0, 0, 0, 0x1e, 0, 0, 0, 0, 0, 0]), Ok(HopByHop::default()));
        assert_eq!(ask(&[1, 6, 0, 0, 0, 0, 0, 0, 0x1e, 0, 0, 0, 0, 0]), Err(DROP));
        assert_eq!(ask(&[1, 4, 0, 0, 1, 0]), Err(DROP));
    }

    #[test]
    fn unknown_options_do_as_their_number_says() {
        let problem = Err(Refused::ParameterProblem { code: 2, pointer: 42 });
        assert_eq!(ask(&[0x1e, 0]), Ok(HopByHop::default()));
        assert_eq!(ask(&[0x5e, 0]), Err(Refused::Drop(Unfit::NotIp)));
        assert_eq!(ask(&[0x9e, 0]), problem);
        assert_eq!(ask(&[0xde, 0]), problem);
        let to_group = |kind| check(&packet("ff0e::1", &[kind, 0]), &Limits::default());
        assert_eq!(to_group(0x9e), problem);
        assert_eq!(to_group(0xde), Err(Refused::Drop(Unfit::NotIp)));
    }

    #[test]
    fn a_ninth_option_is_one_too_many() {
        assert_eq!(ask(&[0x1e, 0].repeat(8)), Ok(HopByHop::default()));
        assert_eq!(ask(&[0x1e, 0].repeat(9)), Err(DROP));
        let none_unknown = Limits::from_sysctls(-8, usize::MAX);
        let bytes = packet("2001:db8:1::1", &[0x1e, 0]);
        assert_eq!(check(&bytes, &none_unknown), Err(Refused::Drop(Unfit::NotIp)));
        let short = Limits::from_sysctls(8, 8);
        assert_eq!(check(&packet("::2", &[1, 12]), &short), Err(DROP));
    }

    #[test]
    fn jumbograms_are_refused_with_the_kernels_pointer() {
        let field = |pointer| Err(Refused::ParameterProblem { code: 0, pointer });
        assert_eq!(ask(&[194, 4, 0, 0, 1, 0]), field(44));
        assert_eq!(ask(&[194, 4, 0, 1, 0, 0]), field(42));
        let mut without_length = packet("2001:db8:1::1", &[194, 4, 0, 1, 0, 0]);
        without_length[4..6].fill(0);
        assert_eq!(check(&without_length, &Limits::default()), Err(Refused::Drop(Unfit::Truncated)));
        assert_eq!(ask(&[0, 0, 194, 4, 0, 1, 0, 0]), Err(DROP));
    }

    #[test]
    fn a_header_longer_than_its_packet_is_dropped() {
        let mut cut = packet("2001:db8:1::1", &[5, 2, 0, 0]);
        cut[41] = 1;
        assert_eq!(check(&cut, &Limits::default()), Err(DROP));
        assert_eq!(check(&cut[..40], &Limits::default()), Err(DROP));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(options in proptest::collection::vec(any::<u8>(), 0..80), cut in 40usize..140) {
            let mut bytes = packet("2001:db8:1::1", &options);
            bytes.truncate(cut);
            let _ = check(&bytes, &Limits::default());
        }

        #[test]
        fn what_passes_is_a_chain_of_whole_options(options in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bytes = packet("2001:db8:1::1", &options);
            if check(&bytes, &Limits::default()).is_ok() {
                let mut at = 42;
                while at < bytes.len() {
                    at += if bytes[at] == 0 { 1 } else { 2 + usize::from(bytes[at + 1]) };
                }
                prop_assert_eq!(at, bytes.len());
            }
        }
    }
}
