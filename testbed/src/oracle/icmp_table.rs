//! Every type of ICMP and ICMPv6: whether it may start a flow, and whether the same type or the next answers it.

use super::sequence::{Body, Packet, Sequence, Side, Step};

/// The sequences: each type of both families.
#[must_use]
pub fn sequences() -> Vec<Sequence> {
    let of_family = |ipv6: bool| (0..=255_u8).map(move |kind| sequence(kind, ipv6));
    of_family(false).chain(of_family(true)).collect()
}

fn sequence(kind: u8, ipv6: bool) -> Sequence {
    let message = |side, kind| Step::Send(Packet::new(side, Body::Icmp { kind, code: 0, length: 16 }));
    let steps = vec![
        message(Side::Left, kind),
        message(Side::Right, kind),
        message(Side::Right, kind.wrapping_add(1)),
        message(Side::Right, if kind == 8 { 0 } else { kind.wrapping_sub(1) }),
    ];
    let family = if ipv6 { "icmpv6" } else { "icmp" };
    Sequence { ipv6, ..Sequence::new(format!("{family} table: type {kind}"), steps) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_type_has_a_sequence() {
        assert_eq!(super::sequences().len(), 512);
    }
}
