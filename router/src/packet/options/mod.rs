//! IPv4 options as a router obeys them: read and half filled in on receipt, finished on the way out, and turned
//! round in an ICMP error.

use std::net::Ipv4Addr;

use super::ipv4::{self, HEADER_MIN};

mod echo;

pub use echo::{Echo, NoEcho};

/// Bytes of options, at most.
pub const OPTIONS_MAX: usize = 40;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const CIPSO: u8 = 134;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;
/// Set in an option's number if it goes into every fragment.
const COPIED: u8 = 0x80;

const TIME_ONLY: u8 = 0;
const TIME_AND_ADDRESS: u8 = 1;
const TIME_OF_LISTED: u8 = 3;

/// Smallest option of the commercial security kind that has all its fields.
const CIPSO_MIN: usize = 8;

/// What options ask of the router they pass.
pub trait Surroundings {
    /// The address by which the router is known to the packet's source (`fib_compute_spec_dst`).
    fn receiving_address(&self) -> Ipv4Addr;
    /// Milliseconds since midnight UTC (RFC 791).
    fn time_of_day_ms(&self) -> u32;
    /// Whether an address is neither the router's own, nor broadcast, nor multicast (`inet_addr_type`).
    fn is_foreign(&self, address: Ipv4Addr) -> bool;
}

/// Options that were read. Places count from the network header; 0 means that the option is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    len: u8,
    record_route: u8,
    record_route_takes_address: bool,
    timestamp: u8,
    timestamp_takes_address: bool,
    timestamp_takes_time: bool,
    source_route: u8,
    strict: bool,
    router_alert: bool,
    security: u8,
    next_hop: Option<Ipv4Addr>,
    changed: bool,
}

/// The options are broken; answered with parameter problem, code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the offending byte from the network header.
    pub pointer: u8,
    /// What was read before it: the answer echoes that much.
    pub options: Options,
}

/// Reads the options of a packet, records the router in them, and leaves the checksum to [`Options::finish`], all as
/// `__ip_options_compile` does (`net/ipv4/ip_options.c`): an ICMP error sent in between quotes what is there by then.
///
/// # Errors
/// Broken options.
///
/// # Panics
/// If `packet` is shorter than its header.
pub fn compile(packet: &mut [u8], surroundings: &impl Surroundings) -> Result<Options, Malformed> {
    let header_len = ipv4::header_len(packet);
    let header = &mut packet[..header_len];
    let mut options = Options { len: (header.len() - HEADER_MIN) as u8, ..Options::default() };
    let mut at = HEADER_MIN;
    while at < header.len() {
        let len = match header[at] {
            END => {
                options.changed |= header[at + 1..].iter().any(|byte| *byte != END);
                header[at + 1..].fill(END);
                break;
            }
            NO_OPERATION => 1,
            _ => match header.get(at + 1) {
                Some(&len) if len >= 2 && usize::from(len) <= header.len() - at => usize::from(len),
                _ => return Err(Malformed { pointer: at as u8, options }),
            },
        };
        let option = &mut header[at..at + len];
        let place = at as u8;
        let read = match option[0] {
            STRICT_SOURCE_ROUTE | LOOSE_SOURCE_ROUTE => options.read_source_route(option, place),
            RECORD_ROUTE => options.read_record_route(option, place, surroundings),
            TIMESTAMP => options.read_timestamp(option, place, surroundings),
            ROUTER_ALERT => options.read_router_alert(option),
            CIPSO => options.read_security(option, place),
            _ => Ok(()),
        };
        read.map_err(|wrong: usize| Malformed { pointer: place + wrong as u8, options })?;
        at += len;
    }
    Ok(options)
}

impl Options {
    /// Whether the packet names its own way; dropped unless `accept_source_route` is on.
    #[must_use]
    pub const fn has_source_route(&self) -> bool {
        self.source_route != 0
    }

    /// Whether the source route forbids hops that it does not name. In transit an accepted strict route is answered
    /// with parameter problem at the destination address (`ip_options_rcv_srr`).
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.strict
    }

    /// The hops that the source route names and that have not been visited, in order.
    pub fn named_hops<'a>(&self, packet: &'a [u8]) -> impl Iterator<Item = Ipv4Addr> + use<'a> {
        let option = &packet[usize::from(self.source_route)..];
        let (len, next) = (usize::from(option[1]), usize::from(option[2]));
        let listed = option.get(next - 1..len).unwrap_or_default();
        listed.chunks_exact(4).map(address)
    }

    /// Sends the packet to a hop that its source route names.
    pub const fn set_next_hop(&mut self, next_hop: Ipv4Addr) {
        self.next_hop = Some(next_hop);
    }

    /// The hop of its source route that the packet is sent to, until it [is finished](Self::finish).
    #[must_use]
    pub const fn next_hop(&self) -> Option<Ipv4Addr> {
        self.next_hop
    }

    /// Whether the packet asks every router to look at it (RFC 2113).
    #[must_use]
    pub const fn router_alert(&self) -> bool {
        self.router_alert
    }

    /// Writes the address of the way out and the checksum, as `ip_forward_options` does; right after the forward
    /// hooks.
    ///
    /// # Panics
    /// If `packet` is not the one the options were read from.
    pub fn finish(&mut self, packet: &mut [u8], egress: Ipv4Addr) {
        if self.record_route_takes_address {
            let option = &mut packet[usize::from(self.record_route)..];
            let next = usize::from(option[2]);
            option[next - 5..next - 1].copy_from_slice(&egress.octets());
            self.changed = true;
        }
        if let Some(next_hop) = self.next_hop.take() {
            self.visit(packet, next_hop, egress);
        }
        if std::mem::take(&mut self.changed) {
            ipv4::write_checksum(packet);
        }
    }

    /// Puts the next hop of a source route into the header and the router's address in its place in the route.
    fn visit(&mut self, packet: &mut [u8], next_hop: Ipv4Addr, egress: Ipv4Addr) {
        let option = &mut packet[usize::from(self.source_route)..];
        let (len, first) = (usize::from(option[1]), usize::from(option[2]));
        let mut places = (first..).step_by(4).take_while(|place| place + 3 <= len);
        if let Some(place) = places.find(|place| address(&option[place - 1..]) == next_hop) {
            option[place - 1..place + 3].copy_from_slice(&egress.octets());
            option[2] = (place + 4) as u8;
            packet[16..20].copy_from_slice(&next_hop.octets());
            self.changed = true;
        }
        if self.timestamp_takes_address {
            let option = &mut packet[usize::from(self.timestamp)..];
            let next = usize::from(option[2]);
            option[next - 9..next - 5].copy_from_slice(&egress.octets());
            self.changed = true;
        }
    }

    fn read_source_route(&mut self, option: &[u8], place: u8) -> Result<(), usize> {
        if option.len() < 3 {
            return Err(1);
        }
        if option[2] < 4 {
            return Err(2);
        }
        if self.source_route != 0 {
            return Err(0);
        }
        self.strict = option[0] == STRICT_SOURCE_ROUTE;
        self.source_route = place;
        Ok(())
    }

    fn read_record_route(
        &mut self,
        option: &mut [u8],
        place: u8,
        surroundings: &impl Surroundings,
    ) -> Result<(), usize> {
        if self.record_route != 0 {
            return Err(0);
        }
        if option.len() < 3 {
            return Err(1);
        }
        let next = usize::from(option[2]);
        if next < 4 {
            return Err(2);
        }
        if next <= option.len() {
            if next + 3 > option.len() {
                return Err(2);
            }
            option[next - 1..next + 3].copy_from_slice(&surroundings.receiving_address().octets());
            option[2] += 4;
            self.record_route_takes_address = true;
            self.changed = true;
        }
        self.record_route = place;
        Ok(())
    }

    fn read_timestamp(
        &mut self,
        option: &mut [u8],
        place: u8,
        surroundings: &impl Surroundings,
    ) -> Result<(), usize> {
        if self.timestamp != 0 {
            return Err(0);
        }
        if option.len() < 4 {
            return Err(1);
        }
        let next = usize::from(option[2]);
        if next < 5 {
            return Err(2);
        }
        let kind = option[3] & 0x0f;
        if next <= option.len() {
            if next + 3 > option.len() {
                return Err(2);
            }
            self.stamp(option, kind, surroundings)?;
        } else if kind != TIME_OF_LISTED {
            let overflow = option[3] >> 4;
            if overflow == 15 {
                return Err(3);
            }
            option[3] = kind | (overflow + 1) << 4;
            self.changed = true;
        }
        self.timestamp = place;
        Ok(())
    }

    /// Writes this router's entry into a timestamp option that has room for a time.
    fn stamp(&mut self, option: &mut [u8], kind: u8, surroundings: &impl Surroundings) -> Result<(), usize> {
        let next = usize::from(option[2]);
        let slot = next - 1;
        let time = match kind {
            TIME_ONLY => slot,
            TIME_AND_ADDRESS | TIME_OF_LISTED if next + 7 > option.len() => return Err(2),
            TIME_AND_ADDRESS => {
                option[slot..slot + 4].copy_from_slice(&surroundings.receiving_address().octets());
                self.timestamp_takes_address = true;
                slot + 4
            }
            TIME_OF_LISTED if surroundings.is_foreign(address(&option[slot..])) => return Ok(()),
            TIME_OF_LISTED => slot + 4,
            _ => return Ok(()),
        };
        option[time..time + 4].copy_from_slice(&surroundings.time_of_day_ms().to_be_bytes());
        option[2] = (time + 5) as u8;
        self.timestamp_takes_time = true;
        self.changed = true;
        Ok(())
    }

    fn read_router_alert(&mut self, option: &[u8]) -> Result<(), usize> {
        if option.len() < 4 {
            return Err(1);
        }
        self.router_alert |= option[2] == 0 && option[3] == 0;
        Ok(())
    }

    /// No security domain is known here, which `cipso_v4_validate` holds against the option.
    fn read_security(&mut self, option: &[u8], place: u8) -> Result<(), usize> {
        if self.security != 0 {
            return Err(0);
        }
        self.security = place;
        Err(if option.len() < CIPSO_MIN { 1 } else { 2 })
    }
}

/// Overwrites options that only a first fragment carries, as `ip_options_fragment` does.
///
/// # Panics
/// If `packet` is shorter than its header.
pub fn strip_for_later_fragments(packet: &mut [u8]) {
    let header_len = ipv4::header_len(packet);
    let header = &mut packet[..header_len];
    let mut at = HEADER_MIN;
    while at < header.len() {
        let len = match (header[at], header.get(at + 1)) {
            (END, _) => return,
            (NO_OPERATION, _) => 1,
            (_, Some(&len)) if len >= 2 && usize::from(len) <= header.len() - at => usize::from(len),
            _ => return,
        };
        if header[at] & COPIED == 0 {
            header[at..at + len].fill(NO_OPERATION);
        }
        at += len;
    }
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Here;

    impl Surroundings for Here {
        fn receiving_address(&self) -> Ipv4Addr {
            Ipv4Addr::new(10, 1, 0, 1)
        }

        fn time_of_day_ms(&self) -> u32 {
            0x0102_0304
        }

        fn is_foreign(&self, address: Ipv4Addr) -> bool {
            address.octets()[3] != 1
        }
    }

    fn packet(options: &[u8]) -> Vec<u8> {
        let len = options.len().next_multiple_of(4);
        let mut packet = vec![0; HEADER_MIN + len + 8];
        packet[0] = 0x45 + (len / 4) as u8;
        packet[12..16].copy_from_slice(&[10, 1, 0, 2]);
        packet[HEADER_MIN..][..options.len()].copy_from_slice(options);
        packet
    }

    /// Options more often than bytes drawn blindly would be.
    fn options() -> impl Strategy<Value = Vec<u8>> {
        let kinds = vec![
            END,
            NO_OPERATION,
            RECORD_ROUTE,
            TIMESTAMP,
            LOOSE_SOURCE_ROUTE,
            STRICT_SOURCE_ROUTE,
            CIPSO,
            ROUTER_ALERT,
            99,
        ];
        let option = (proptest::sample::select(kinds), 2u8..20, 3u8..20, any::<u8>(), any::<[u8; 16]>());
        let option = option.prop_map(|(kind, len, pointer, kind_of_time, data)| match kind {
            END | NO_OPERATION => vec![kind],
            _ => {
                [&[kind, len, pointer, kind_of_time][..], &data].concat()[..usize::from(len).max(2)].to_vec()
            }
        });
        proptest::collection::vec(option, 0..4).prop_map(|options| {
            let mut options = options.concat();
            options.truncate(OPTIONS_MAX);
            options
        })
    }

    #[test]
    fn an_accepted_strict_source_route_is_told_from_a_loose_one() {
        let compiled = |kind| compile(&mut packet(&[kind, 7, 4, 10, 2, 0, 9]), &Here).unwrap();
        assert!(
            compiled(STRICT_SOURCE_ROUTE).has_source_route() && compiled(STRICT_SOURCE_ROUTE).is_strict()
        );
        assert!(compiled(LOOSE_SOURCE_ROUTE).has_source_route() && !compiled(LOOSE_SOURCE_ROUTE).is_strict());
        assert!(!compiled(NO_OPERATION).has_source_route());
    }

    #[test]
    fn router_alert_is_told() {
        let alert = |value| compile(&mut packet(&[ROUTER_ALERT, 4, 0, value]), &Here).unwrap().router_alert();
        assert!(alert(0));
        assert!(!alert(1));
    }

    #[test]
    fn a_packet_is_finished_once() {
        let mut bytes = packet(&[RECORD_ROUTE, 7, 4, 0, 0, 0, 0]);
        let mut options = compile(&mut bytes, &Here).unwrap();
        options.finish(&mut bytes, Ipv4Addr::new(10, 2, 0, 1));
        assert_eq!(bytes[20..28], [RECORD_ROUTE, 7, 8, 10, 2, 0, 1, 0]);
        assert_eq!(crate::packet::checksum::checksum(&bytes[..28]), 0);
    }

    proptest! {
        #[test]
        fn no_options_make_it_panic(options in prop_oneof![options(), proptest::collection::vec(any::<u8>(), 0..=OPTIONS_MAX)]) {
            let mut bytes = packet(&options);
            let before = bytes.clone();
            let compiled = compile(&mut bytes, &Here);
            let mut options = match compiled {
                Ok(options) => options,
                Err(malformed) => {
                    prop_assert!((HEADER_MIN..ipv4::header_len(&bytes)).contains(&usize::from(malformed.pointer)));
                    malformed.options
                }
            };
            if let Ok(echo) = Echo::of(&options, &bytes, |address| Here.is_foreign(address)) {
                prop_assert!(echo.len() <= ipv4::header_len(&bytes) - HEADER_MIN);
                let mut out = vec![0; echo.len()];
                echo.write(&mut out, Ipv4Addr::new(10, 1, 0, 1), 0);
            }
            options.finish(&mut bytes, Ipv4Addr::new(10, 2, 0, 1));
            let header_len = ipv4::header_len(&bytes);
            prop_assert_eq!(&bytes[..10], &before[..10]);
            prop_assert_eq!(&bytes[12..HEADER_MIN], &before[12..HEADER_MIN]);
            prop_assert_eq!(&bytes[header_len..], &before[header_len..]);
            strip_for_later_fragments(&mut bytes);
        }

        #[test]
        fn a_changed_packet_leaves_with_a_right_checksum(options in options()) {
            let mut bytes = packet(&options);
            ipv4::write_checksum(&mut bytes);
            if let Ok(mut options) = compile(&mut bytes, &Here) {
                options.finish(&mut bytes, Ipv4Addr::new(10, 2, 0, 1));
                let header_len = ipv4::header_len(&bytes);
                prop_assert_eq!(crate::packet::checksum::checksum(&bytes[..header_len]), 0);
            }
        }
    }
}
