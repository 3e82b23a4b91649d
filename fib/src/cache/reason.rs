//! Why a kept route is asked for anew: reasons in a byte, and in words for people and programs.

use std::fmt;

/// Defines [`Staleness`]: its values in a byte, its names for programs and its words for people stand side by side.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $bits:literal, $name:literal, $words:literal;)*) => {
        /// Why a kept route is no longer believed, and what an entry of the journal tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Staleness {
            $($(#[$doc])* $reason = $bits,)*
        }

        impl Staleness {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The reason a byte stands for; `None` for 0, which stands for no reason, and for what is no reason.
            #[must_use]
            pub const fn from_bits(bits: u8) -> Option<Self> {
                match bits {
                    $($bits => Some(Self::$reason),)*
                    _ => None,
                }
            }

            /// The name programs know it by (`route_removed`).
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            const fn words(self) -> &'static str {
                match self {
                    $(Self::$reason => $words,)*
                }
            }
        }
    };
}

reasons! {
    /// The routing state has changed, nobody says how.
    Generation = 1, "generation", "routing changed";
    /// Another destination, after NAT.
    Destination = 2, "destination", "destination changed";
    /// Another source, and the answer rests on it.
    Source = 3, "source", "source changed";
    /// Another port of entry, and the answer rests on it.
    Input = 4, "input", "port of entry changed";
    /// Another mark, and the answer rests on it.
    Mark = 5, "mark", "mark changed";
    /// Another TOS, and the answer rests on it.
    Tos = 6, "tos", "tos changed";
    /// Another protocol or L4 ports, and the answer rests on them.
    Ports = 7, "ports", "ports changed";
    /// Its port is down.
    PortDown = 8, "port_down", "port down";
    /// The neighbor's place has been given to another.
    NeighborReused = 9, "neighbor_reused", "neighbor replaced";
    /// A prefix that could win has its first route.
    RouteAdded = 10, "route_added", "route added";
    /// The route is withdrawn.
    RouteRemoved = 11, "route_removed", "route removed";
    /// A route of the same prefix is preferred now.
    BetterMetric = 12, "better_metric", "better metric";
    /// The route leads elsewhere now.
    RouteChanged = 13, "route_changed", "route changed";
    /// Only the MTU of the route is another.
    Mtu = 14, "mtu", "route mtu changed";
    /// A next hop cannot be used any more.
    NextHopGone = 15, "next_hop_gone", "next hop gone";
    /// A next hop can be used (again), so that routes count which did not.
    NextHopReturned = 16, "next_hop_returned", "next hop usable again";
    /// A next-hop object or the membership of a group is another.
    NextHopChanged = 17, "next_hop_changed", "next hop changed";
    /// Another device stands behind the port, or none.
    PortReplaced = 18, "port_replaced", "port replaced";
    /// An address of the router's own is new.
    AddressAdded = 19, "address_added", "address added";
    /// An address of the router's own is gone.
    AddressRemoved = 20, "address_removed", "address removed";
    /// A policy rule was added or removed.
    Rule = 21, "rule", "policy rule changed";
    /// A setting that routing asks is another.
    Settings = 22, "settings", "settings changed";
    /// A port belongs to another VRF, or to none.
    Vrf = 23, "vrf", "vrf changed";
    /// Whether established flows stay (`route policy`) is decided otherwise.
    Policy = 24, "policy", "route policy changed";
    /// The user has asked for it.
    Flush = 25, "flush", "flushed";
    /// More has changed since than the journal knows one by one, some of it near.
    JournalOverrun = 26, "journal_overrun", "journal overrun";
    /// The user has said that ways like it are not to be believed (`flows invalidate`).
    Invalidated = 27, "invalidated", "invalidated";
}

impl Staleness {
    /// The reason in a byte, never 0.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_byte_and_has_a_name_of_its_own() {
        for reason in Staleness::ALL {
            assert_eq!(Staleness::from_bits(reason.bits()), Some(*reason));
            let alike = Staleness::ALL.iter().filter(|other| other.name() == reason.name());
            assert_eq!(alike.count(), 1, "{reason}");
        }
        assert_eq!(Staleness::from_bits(0), None);
        assert_eq!(Staleness::from_bits(u8::MAX), None);
    }
}
