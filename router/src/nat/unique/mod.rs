//! Chooses what a flow is to look like on its other side, so that its replies can be told from all others
//! (`get_unique_tuple` and what it rests on).

use std::hash::Hasher;
use std::net::IpAddr;

use conntrack::{Addresses, Direction, Family, Ids, Instant, Tuple, protocol};
use siphasher::sip::SipHasher13;

use super::jhash::jhash2;
use super::{Manip, Range};
use crate::flow::{Conn, FlowTable};

/// One choice to be made.
pub(super) struct Search<'a> {
    pub(super) table: &'a FlowTable,
    /// The flow, not yet in the table.
    pub(super) flow: &'a Conn,
    pub(super) now: Instant,
    pub(super) range: &'a Range,
    pub(super) manip: Manip,
}

/// Ids that are tried in one go (`NF_NAT_MAX_ATTEMPTS`).
const ATTEMPTS_MAX: u32 = 128;

/// No further round follows one of fewer.
const ATTEMPTS_MIN: u32 = 16;

/// Attempts left from which on flows that are over make room (`NF_NAT_HARDER_THRESH`).
const HARDER_AT: u32 = ATTEMPTS_MAX / 4;

const GRE: u8 = 47;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

impl Search<'_> {
    /// The tuple that packets of the original direction are to have on the other side, `current` being the one they have
    /// without this choice. If none is free, one that is not.
    pub(super) fn run(&self, current: &Tuple) -> Tuple {
        let Range { ids, base_id, flags, .. } = *self.range;
        if self.manip == Manip::Source && !flags.is_random() {
            if self.allows(current) {
                if !self.table.is_own_reply_taken(self.flow, self.now) {
                    return *current;
                }
            } else if let Some(known) = self.known_source(current)
                && self.is_free(&known)
            {
                return known;
            }
        }
        let tuple = self.choose_address(current);
        if !flags.is_random() {
            let good = match ids {
                None => self.is_free(&tuple),
                Some((low, high)) => {
                    base_id.is_none()
                        && has_id_within(&tuple, self.manip, low, high)
                        && (low == high || self.is_free(&tuple))
                }
            };
            if good {
                return tuple;
            }
        }
        self.choose_id(tuple)
    }

    /// Whether a tuple's source lies in the range (`nf_in_range`).
    fn allows(&self, tuple: &Tuple) -> bool {
        self.range.addresses.is_none_or(|(first, last)| (first..=last).contains(&tuple.source()))
            && self.range.ids.is_none_or(|(low, high)| has_id_within(tuple, Manip::Source, low, high))
    }

    /// How the newest flow of the same source was translated, if the range has that (`find_appropriate_src`).
    fn known_source(&self, current: &Tuple) -> Option<Tuple> {
        let original = current.in_zone(self.flow.tuple(Direction::Original).zone());
        self.table.find_by_source(&original, |conn| {
            let translated = self.table.invert(&conn.tuple(Direction::Reply))?;
            let addresses = Addresses {
                source: translated.addresses().source,
                destination: current.addresses().destination,
            };
            let ids = Ids { source: translated.ids().source, destination: current.ids().destination };
            let tuple = with(current, addresses, ids);
            self.allows(&tuple).then_some(tuple)
        })
    }

    /// Spreads clients over the range's addresses, by a hash of both addresses or, if that is to be persistent, of the
    /// source alone (`find_best_ips_proto`).
    fn choose_address(&self, tuple: &Tuple) -> Tuple {
        let Some((first, last)) = self.range.addresses else { return *tuple };
        let mut addresses = *tuple.addresses();
        let (first, last) = (octets(first), octets(last));
        if first == last {
            *self.side(&mut addresses) = first;
            return with(tuple, addresses, tuple.ids());
        }
        let words = match tuple.family() {
            Family::Ipv4 => 1,
            Family::Ipv6 => 4,
        };
        let persistent = self.range.flags.persistent;
        let seed = if persistent {
            0
        } else {
            as_stored(&addresses.destination, words - 1) ^ u32::from(self.flow.zone().id)
        };
        let source: [u32; 4] = std::array::from_fn(|word| as_stored(&addresses.source, word));
        let mut hash = jhash2(&source, seed);
        let mut any = false;
        for word in 0..words {
            let (low, span) = if any {
                (0, u32::MAX)
            } else {
                let low = number(&first, word);
                (low, number(&last, word).wrapping_sub(low).wrapping_add(1))
            };
            let scaled = ((u64::from(hash) * u64::from(span)) >> 32) as u32;
            let chosen = low.wrapping_add(scaled);
            self.side(&mut addresses)[word * 4..word * 4 + 4].copy_from_slice(&chosen.to_be_bytes());
            any |= chosen != number(&last, word);
            if !persistent {
                hash ^= as_stored(&addresses.destination, word);
            }
        }
        with(tuple, addresses, tuple.ids())
    }

    /// Looks for an id that makes the tuple one of its kind (`nf_nat_l4proto_unique_tuple`).
    fn choose_id(&self, tuple: Tuple) -> Tuple {
        let Some(Ground { low, count }) = self.ground(&tuple) else { return tuple };
        let mut offset = match self.range.base_id {
            Some(base) => self.id_of(&tuple).wrapping_sub(base),
            None if self.range.flags.is_random() || self.manip == Manip::Source => self.random(0),
            None => 0,
        };
        let mut attempts = count.min(ATTEMPTS_MAX);
        let mut tried = tuple;
        for round in 1.. {
            for left in (1..=attempts).rev() {
                tried = self.with_id(&tuple, (low + u32::from(offset) % count) as u16);
                if self.is_free_or_yields(&tried, left) {
                    return tried;
                }
                offset = offset.wrapping_add(1);
            }
            if attempts >= count || attempts < ATTEMPTS_MIN {
                break;
            }
            attempts /= 2;
            offset = self.random(round);
        }
        tried
    }

    /// Where to look for an id; `None` if it stays as it is.
    fn ground(&self, tuple: &Tuple) -> Option<Ground> {
        let within = |(low, high): (u16, u16)| Ground {
            low: u32::from(low.min(high)),
            count: u32::from(low.abs_diff(high)) + 1,
        };
        match tuple.protocol() {
            protocol::ICMP | protocol::ICMPV6 => {
                Some(self.range.ids.map_or(Ground { low: 0, count: 0x1_0000 }, within))
            }
            protocol::TCP | protocol::UDP | SCTP | UDP_LITE => match (self.range.ids, self.manip) {
                (Some(ids), _) => Some(within(ids)),
                (None, Manip::Destination) => None,
                (None, Manip::Source) => Some(Ground::of_port(tuple.ids().source)),
            },
            // The key of a call that no other flow announced is not known at both ends.
            GRE if self.flow.master().is_some() => {
                Some(self.range.ids.map_or(Ground { low: 1, count: 0xffff }, within))
            }
            _ => None,
        }
    }

    /// The id that is chosen: of ICMP the one for both directions.
    fn id_of(&self, tuple: &Tuple) -> u16 {
        match self.manip {
            Manip::Destination if !is_icmp(tuple) => tuple.ids().destination,
            _ => tuple.ids().source,
        }
    }

    fn with_id(&self, tuple: &Tuple, id: u16) -> Tuple {
        let ids = match self.manip {
            Manip::Destination if !is_icmp(tuple) => Ids { destination: id, ..tuple.ids() },
            _ => Ids { source: id, ..tuple.ids() },
        };
        with(tuple, *tuple.addresses(), ids)
    }

    /// The side of the addresses that is translated.
    fn side<'b>(&self, addresses: &'b mut Addresses) -> &'b mut [u8; 16] {
        match self.manip {
            Manip::Source => &mut addresses.source,
            Manip::Destination => &mut addresses.destination,
        }
    }

    /// Whether nobody else has the replies to such packets (`nf_nat_used_tuple`).
    fn is_free(&self, tuple: &Tuple) -> bool {
        self.table.invert(tuple).is_some_and(|reply| !self.table.is_taken(&reply, self.flow, self.now))
    }

    /// As [`Self::is_free`]; with few attempts left, flows that are over make room.
    fn is_free_or_yields(&self, tuple: &Tuple, left: u32) -> bool {
        if left > HARDER_AT {
            return self.is_free(tuple);
        }
        let reply = self.table.invert(tuple);
        reply.is_some_and(|reply| !self.table.is_taken_for_good(&reply, self.flow, self.now))
    }

    /// A number that nobody without the table's secret can foresee, another for each flow and round: the same flow gets
    /// another at another time.
    fn random(&self, round: u32) -> u16 {
        const PURPOSE: u64 = u64::from_be_bytes(*b"nat id\0\0");
        let [one, other] = self.table.config().seed;
        let mut hasher = SipHasher13::new_with_keys(one, other);
        hasher.write_u64(PURPOSE);
        let tuple = self.flow.tuple(Direction::Original);
        hasher.write(&tuple.addresses().source);
        hasher.write(&tuple.addresses().destination);
        hasher.write_u16(tuple.ids().source);
        hasher.write_u16(tuple.ids().destination);
        hasher.write_u8(tuple.protocol());
        hasher.write_u64(self.now.nanos());
        hasher.write_u32(round);
        hasher.finish() as u16
    }
}

/// Ids that may be tried.
struct Ground {
    low: u32,
    count: u32,
}

impl Ground {
    /// The ports of the kind of this one: privileged ones stay so (RFC 4787 REQ-3).
    const fn of_port(port: u16) -> Self {
        match port {
            0..512 => Self { low: 1, count: 511 },
            512..1024 => Self { low: 600, count: 424 },
            1024.. => Self { low: 1024, count: 0x1_0000 - 1024 },
        }
    }
}

fn with(tuple: &Tuple, addresses: Addresses, ids: Ids) -> Tuple {
    Tuple::new(tuple.family(), tuple.zone(), tuple.protocol(), addresses, ids)
}

/// `l4proto_in_range`.
fn has_id_within(tuple: &Tuple, manip: Manip, low: u16, high: u16) -> bool {
    let id = match tuple.protocol() {
        protocol::ICMP | protocol::ICMPV6 => tuple.ids().source,
        protocol::TCP | protocol::UDP | SCTP | UDP_LITE | GRE => match manip {
            Manip::Source => tuple.ids().source,
            Manip::Destination => tuple.ids().destination,
        },
        _ => return true,
    };
    (low..=high).contains(&id)
}

const fn is_icmp(tuple: &Tuple) -> bool {
    matches!(tuple.protocol(), protocol::ICMP | protocol::ICMPV6)
}

/// An address as tuples hold it.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// Four bytes of an address as a number.
fn number(address: &[u8; 16], word: usize) -> u32 {
    u32::from_be_bytes([
        address[word * 4],
        address[word * 4 + 1],
        address[word * 4 + 2],
        address[word * 4 + 3],
    ])
}

/// Four bytes of an address as the kernel's hash takes them on machines that put the low byte first, as nearly all do.
fn as_stored(address: &[u8; 16], word: usize) -> u32 {
    number(address, word).swap_bytes()
}

#[cfg(test)]
mod tests;
