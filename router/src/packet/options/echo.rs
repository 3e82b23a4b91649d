//! IPv4 options of an ICMP error, made from those of the packet it is about.

use std::net::Ipv4Addr;

use super::{END, OPTIONS_MAX, Options, TIME_OF_LISTED, address};
use crate::packet::ipv4;

/// Options of an ICMP error, made from those of the packet it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    bytes: [u8; OPTIONS_MAX],
    len: usize,
    record_route: Option<usize>,
    timestamp: Option<usize>,
    takes_address: bool,
    takes_time: bool,
    /// Where the error goes first if it goes back along a source route.
    pub first_hop: Option<Ipv4Addr>,
}

/// The packet's options leave no way to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEcho;

impl Echo {
    /// No options.
    pub const EMPTY: Self = Self {
        bytes: [END; OPTIONS_MAX],
        len: 0,
        record_route: None,
        timestamp: None,
        takes_address: false,
        takes_time: false,
        first_hop: None,
    };

    /// Turns round what was read from `packet`, as `__ip_options_echo` does: record route and timestamp with this
    /// router yet to be entered, a source route backwards, security as it was.
    ///
    /// # Errors
    /// Record route or timestamp has room for less than an entry; the kernel sends no error then.
    ///
    /// # Panics
    /// If `packet` is not the one the options were read from.
    pub fn of(
        options: &Options,
        packet: &[u8],
        is_foreign: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Self, NoEcho> {
        let mut echo = Self::EMPTY;
        if options.len == 0 {
            return Ok(echo);
        }
        if options.record_route != 0 {
            echo.turn_record_route(options, option_at(packet, options.record_route))?;
        }
        if options.timestamp != 0 {
            echo.turn_timestamp(options, option_at(packet, options.timestamp), is_foreign)?;
        }
        if options.source_route != 0 {
            echo.turn_source_route(option_at(packet, options.source_route), ipv4::source(packet));
        }
        if options.security != 0 {
            echo.append(option_at(packet, options.security));
        }
        echo.len = echo.len.next_multiple_of(4);
        Ok(echo)
    }

    /// Bytes of the options, a multiple of four.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the options with the error's own source address and time entered, as `ip_options_build` does.
    ///
    /// # Panics
    /// If `out` is not [`Self::len`] bytes.
    pub fn write(&self, out: &mut [u8], source: Ipv4Addr, time_of_day_ms: u32) {
        out.copy_from_slice(&self.bytes[..self.len]);
        if let Some(place) = self.record_route {
            let end = place + usize::from(out[place + 2]) - 1;
            out[end - 4..end].copy_from_slice(&source.octets());
        }
        if let Some(place) = self.timestamp {
            let end = place + usize::from(out[place + 2]) - 1;
            if self.takes_address {
                out[end - 8..end - 4].copy_from_slice(&source.octets());
            }
            if self.takes_time {
                out[end - 4..end].copy_from_slice(&time_of_day_ms.to_be_bytes());
            }
        }
    }

    fn append(&mut self, option: &[u8]) -> usize {
        let place = self.len;
        self.bytes[place..place + option.len()].copy_from_slice(option);
        self.len += option.len();
        place
    }

    fn turn_record_route(&mut self, options: &Options, option: &[u8]) -> Result<(), NoEcho> {
        let place = self.append(option);
        let next = usize::from(option[2]);
        if options.record_route_takes_address && next <= option.len() {
            if next + 3 > option.len() {
                return Err(NoEcho);
            }
            self.bytes[place + 2] = option[2] + 4;
            self.record_route = Some(place);
        }
        Ok(())
    }

    fn turn_timestamp(
        &mut self,
        options: &Options,
        option: &[u8],
        is_foreign: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<(), NoEcho> {
        let place = self.append(option);
        let mut next = usize::from(option[2]);
        if next > option.len() {
            return Ok(());
        }
        if options.timestamp_takes_address {
            if next + 3 > option.len() {
                return Err(NoEcho);
            }
            self.takes_address = true;
            next += 4;
        }
        if options.timestamp_takes_time {
            if next + 3 > option.len() {
                return Err(NoEcho);
            }
            if option[3] & 0x0f != TIME_OF_LISTED {
                self.takes_time = true;
                next += 4;
            } else if next + 7 <= option.len() && !is_foreign(address(&option[next - 1..])) {
                self.takes_time = true;
                next += 8;
            }
        }
        self.bytes[place + 2] = next as u8;
        self.timestamp = Some(place);
        Ok(())
    }

    /// The hops passed so far, backwards; the packet's source comes last and is not named twice.
    fn turn_source_route(&mut self, option: &[u8], source: Ipv4Addr) {
        let passed_end = usize::from(option[2]).min(option.len() + 1) - 1;
        let passed_start = 3 + (passed_end - 3) % 4;
        let mut hops = option[passed_start..passed_end].chunks_exact(4).map(address).rev();
        let Some(first) = hops.next() else { return };
        let mut back = [0; OPTIONS_MAX];
        let mut len = 3;
        let mut last = first;
        for hop in hops {
            back[len..len + 4].copy_from_slice(&hop.octets());
            len += 4;
            last = hop;
        }
        if last != source {
            len += 4;
        }
        if len < 7 {
            return;
        }
        back[len - 4..len].copy_from_slice(&source.octets());
        back[..3].copy_from_slice(&[option[0], len as u8, 4]);
        self.append(&back[..len]);
        self.first_hop = Some(first);
    }
}

fn option_at(packet: &[u8], place: u8) -> &[u8] {
    let place = usize::from(place);
    &packet[place..place + usize::from(packet[place + 1])]
}
