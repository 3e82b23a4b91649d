//! Who tracks what: one tracker for each network protocol and each transport protocol over it, fixed at start.

use std::fmt;

use crate::l3::{Ipv4, Ipv6, L3Tracker};
use crate::l4::{Erased, ErasedL4, Generic, Gre, Icmp, Icmpv6, L4Tracker, Sctp, Tcp, Timeout, Udp, UdpLite};
use crate::tuple::Family;

/// The trackers of a table.
pub struct Registry {
    l3: [Option<Box<dyn L3Tracker>>; 2],
    l4: Vec<Entry>,
    /// Position in `l4` of the tracker of each family and protocol.
    index: [[u8; 256]; 2],
}

/// Settings of the built-in transport trackers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin {
    /// TCP.
    pub tcp: Tcp,
    /// UDP.
    pub udp: Udp,
    /// UDP-Lite.
    pub udplite: UdpLite,
    /// SCTP.
    pub sctp: Sctp,
    /// GRE.
    pub gre: Gre,
    /// ICMP.
    pub icmp: Icmp,
    /// ICMPv6.
    pub icmpv6: Icmpv6,
    /// All other protocols.
    pub generic: Generic,
}

/// Collects trackers before a table is made.
pub struct Builder(Registry);

struct Entry {
    tracker: Box<dyn ErasedL4>,
    /// `None` for the generic tracker.
    place: Option<(Family, u8)>,
}

/// Why a tracker was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Somebody else tracks it already.
    #[error("{family} is already tracked by \"{holder}\"; leave that one out to register another")]
    L3Taken {
        /// The family.
        family: FamilyName,
        /// Name of the tracker that has it.
        holder: &'static str,
    },
    /// Somebody else tracks it already.
    #[error(
        "protocol {protocol} over {family} is already tracked by \"{holder}\"; leave that one out to register another"
    )]
    L4Taken {
        /// The family.
        family: FamilyName,
        /// The protocol number.
        protocol: u8,
        /// Name of the tracker that has it.
        holder: &'static str,
    },
    /// There are 255 transport trackers already.
    #[error("255 transport trackers are registered; there is no room for another")]
    Full,
}

/// A family, displayed by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyName(pub Family);

impl fmt::Display for FamilyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

/// A tracker as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerRow {
    /// Name of the tracker.
    pub name: &'static str,
    /// Family it is registered for; `None` for the generic tracker.
    pub family: Option<Family>,
    /// Transport protocol; `None` for network trackers and the generic one.
    pub protocol: Option<u8>,
    /// Its timeouts; none for network trackers.
    pub timeouts: Vec<Timeout>,
}

impl Registry {
    /// A registry with nothing in it but the generic transport tracker.
    #[must_use]
    pub fn builder() -> Builder {
        Self::builder_with_generic(Generic::default())
    }

    /// As [`Self::builder`], with the generic tracker's settings.
    #[must_use]
    pub fn builder_with_generic(generic: Generic) -> Builder {
        let generic = Entry { tracker: Box::new(Erased(generic)), place: None };
        Builder(Self { l3: [None, None], l4: vec![generic], index: [[0; 256]; 2] })
    }

    /// All that Linux tracks, with its settings; others may be added.
    ///
    /// # Panics
    /// Never: the built-in trackers do not overlap.
    #[must_use]
    pub fn builtin() -> Builder {
        Self::builder_with(&Builtin::default())
    }

    /// As [`Self::builtin`], with these settings.
    ///
    /// # Panics
    /// Never: the built-in trackers do not overlap.
    #[must_use]
    pub fn builder_with(trackers: &Builtin) -> Builder {
        let register = |mut builder: Builder| {
            builder.register_l3(Ipv4)?;
            builder.register_l3(Ipv6)?;
            for family in Family::ALL {
                builder.register_l4(family, protocol::TCP, trackers.tcp)?;
                builder.register_l4(family, protocol::UDP, trackers.udp)?;
                builder.register_l4(family, protocol::UDPLITE, trackers.udplite)?;
                builder.register_l4(family, protocol::SCTP, trackers.sctp)?;
                builder.register_l4(family, protocol::GRE, trackers.gre)?;
                // Over the other family each calls its messages invalid.
                builder.register_l4(family, protocol::ICMP, trackers.icmp)?;
                builder.register_l4(family, protocol::ICMPV6, trackers.icmpv6)?;
            }
            Ok::<_, RegisterError>(builder)
        };
        register(Self::builder_with_generic(trackers.generic)).expect("the built-in trackers do not overlap")
    }

    /// All trackers: network protocols first, then transport protocols by family and number, the generic one last.
    #[must_use]
    pub fn rows(&self) -> Vec<TrackerRow> {
        let l3 = self.l3.iter().flatten().map(|tracker| TrackerRow {
            name: tracker.name(),
            family: Some(tracker.family()),
            protocol: None,
            timeouts: Vec::new(),
        });
        let mut l4: Vec<_> = self.l4.iter().collect();
        l4.sort_by_key(|entry| (entry.place.is_none(), entry.place));
        let l4 = l4.into_iter().map(|entry| TrackerRow {
            name: entry.tracker.name(),
            family: entry.place.map(|(family, _)| family),
            protocol: entry.place.map(|(_, protocol)| protocol),
            timeouts: entry.tracker.timeouts(),
        });
        l3.chain(l4).collect()
    }

    pub(crate) fn l3(&self, family: Family) -> Option<&dyn L3Tracker> {
        self.l3[family.index()].as_deref()
    }

    pub(crate) fn l4(&self, family: Family, protocol: u8) -> &dyn ErasedL4 {
        let position = self.index[family.index()][usize::from(protocol)];
        &*self.l4[usize::from(position)].tracker
    }
}

impl Builder {
    /// Adds a network tracker.
    ///
    /// # Errors
    /// Its family is taken; nothing has changed then.
    pub fn register_l3(&mut self, tracker: impl L3Tracker) -> Result<&mut Self, RegisterError> {
        let family = tracker.family();
        let place = &mut self.0.l3[family.index()];
        if let Some(holder) = place {
            return Err(RegisterError::L3Taken { family: FamilyName(family), holder: holder.name() });
        }
        *place = Some(Box::new(tracker));
        Ok(self)
    }

    /// Adds a transport tracker for `protocol` over `family`.
    ///
    /// # Errors
    /// That place is taken, or there are too many trackers; nothing has changed then.
    pub fn register_l4(
        &mut self,
        family: Family,
        protocol: u8,
        tracker: impl L4Tracker,
    ) -> Result<&mut Self, RegisterError> {
        let registry = &mut self.0;
        let place = &mut registry.index[family.index()][usize::from(protocol)];
        if *place != 0 {
            let holder = registry.l4[usize::from(*place)].tracker.name();
            return Err(RegisterError::L4Taken { family: FamilyName(family), protocol, holder });
        }
        *place = u8::try_from(registry.l4.len()).map_err(|_| RegisterError::Full)?;
        registry.l4.push(Entry { tracker: Box::new(Erased(tracker)), place: Some((family, protocol)) });
        Ok(self)
    }

    /// Freezes the registry.
    #[must_use]
    pub fn build(self) -> Registry {
        self.0
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.rows().iter().map(|row| row.name)).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Protocol numbers of the built-in trackers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDPLITE: u8 = 136;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_tracker_is_refused_and_the_holder_named() {
        let mut builder = Registry::builtin();
        let error = builder.register_l4(Family::Ipv6, protocol::TCP, Udp::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "protocol 6 over ipv6 is already tracked by \"tcp\"; leave that one out to register another"
        );
        let error = builder.register_l3(Ipv4).unwrap_err();
        assert!(error.to_string().starts_with("ipv4 is already tracked by \"ipv4\""), "{error}");
        assert_eq!(builder.build().rows().len(), 17);
    }

    #[test]
    fn the_same_protocol_may_be_tracked_over_one_family_only() {
        let mut builder = Registry::builder();
        builder.register_l4(Family::Ipv4, 47, Udp::default()).unwrap();
        let registry = builder.build();
        assert_eq!(registry.l4(Family::Ipv4, 47).name(), "udp");
        assert_eq!(registry.l4(Family::Ipv6, 47).name(), "generic");
        assert!(registry.l3(Family::Ipv4).is_none());
    }

    #[test]
    fn there_is_room_for_255_trackers() {
        let mut builder = Registry::builder();
        for protocol in 0..=254 {
            builder.register_l4(Family::Ipv4, protocol, Udp::default()).unwrap();
        }
        assert_eq!(builder.register_l4(Family::Ipv4, 255, Udp::default()).unwrap_err(), RegisterError::Full);
        assert_eq!(builder.build().l4(Family::Ipv4, 255).name(), "generic");
    }

    #[test]
    fn rows_list_network_trackers_then_transport_then_generic() {
        let rows = Registry::builtin().build().rows();
        let names: Vec<_> = rows.iter().map(|row| (row.name, row.family, row.protocol)).collect();
        let mut expected = vec![("ipv4", Some(Family::Ipv4), None), ("ipv6", Some(Family::Ipv6), None)];
        for family in Family::ALL {
            for (name, protocol) in [
                ("icmp", 1),
                ("tcp", 6),
                ("udp", 17),
                ("gre", 47),
                ("icmpv6", 58),
                ("sctp", 132),
                ("udplite", 136),
            ] {
                expected.push((name, Some(family), Some(protocol)));
            }
        }
        expected.push(("generic", None, None));
        assert_eq!(names, expected);
    }
}
