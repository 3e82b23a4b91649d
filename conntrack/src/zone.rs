//! Zones: flows of different zones never meet, whatever their addresses.

use crate::tuple::Direction;

/// The zone that a packet is tracked in (`struct nf_conntrack_zone`). Rules set it before tracking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zone {
    /// Number of the zone; 0 is where everybody is unless told otherwise.
    pub id: u16,
    /// Which direction of a flow is in it. The other one is in zone 0.
    pub scope: ZoneScope,
}

/// Which direction of a flow a zone holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ZoneScope {
    /// Both (`ct zone`).
    #[default]
    Both,
    /// The original one (`ct original zone`).
    Original,
    /// The reply direction (`ct reply zone`).
    Reply,
}

impl Zone {
    /// Zone 0.
    pub const DEFAULT: Self = Self::both(0);

    /// A zone that holds both directions.
    #[must_use]
    pub const fn both(id: u16) -> Self {
        Self { id, scope: ZoneScope::Both }
    }

    /// The number that tells apart the tuples of `direction` (`nf_ct_zone_id`).
    #[must_use]
    pub const fn of(self, direction: Direction) -> u16 {
        match (self.scope, direction) {
            (ZoneScope::Both, _)
            | (ZoneScope::Original, Direction::Original)
            | (ZoneScope::Reply, Direction::Reply) => self.id,
            _ => 0,
        }
    }

    /// The zone whose directions have these numbers: one that [`Self::of`] can say.
    pub(crate) const fn from_numbers(original: u16, reply: u16) -> Self {
        if original == reply {
            Self::both(original)
        } else if reply == 0 {
            Self { id: original, scope: ZoneScope::Original }
        } else {
            Self { id: reply, scope: ZoneScope::Reply }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_by_the_numbers_of_its_directions() {
        for id in [0, 1, u16::MAX] {
            for scope in [ZoneScope::Both, ZoneScope::Original, ZoneScope::Reply] {
                let zone = Zone { id, scope };
                let [original, reply] = Direction::ALL.map(|direction| zone.of(direction));
                let again = Zone::from_numbers(original, reply);
                assert_eq!(Direction::ALL.map(|direction| again.of(direction)), [original, reply]);
                assert!(again == zone || id == 0, "{zone:?} {again:?}");
            }
        }
        assert_eq!(Zone { id: 7, scope: ZoneScope::Reply }.of(Direction::Original), 0);
    }
}
