//! Helpers read what a protocol's control connection says, and announce the connections it arranges.

mod ftp;

pub use self::ftp::Ftp;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::expect::Pattern;

use crate::table::CtState;
use crate::tuple::{Direction, Tuple};

/// Bytes that a helper may remember of a flow (`NF_CT_HELPER_DATA_SIZE` is as large).
pub const MEMORY_SIZE: usize = 32;

/// Reads the packets of the flows it is assigned to (`struct nf_conntrack_helper`). It keeps its settings and nothing
/// else; what it has to remember of a flow is in a [`Memory`].
pub trait Helper: Send + Sync + 'static {
    /// Name, as in `ct helper` objects.
    fn name(&self) -> &'static str;

    /// Transport protocol of the flows it reads.
    fn protocol(&self) -> u8;

    /// How many flows of each class it may announce for one flow, and for how long. Not empty.
    fn policies(&self) -> &[Policy];

    /// Reads a packet of a flow, which is about to leave. Called with `memory` locked: it must not wait.
    fn handle(&self, memory: &mut Memory, message: &Message<'_>) -> Advice;

    /// What stands in a packet instead of what [`Announcement::text`] names, when the flow is to come to another
    /// `address` and `id` than the packet's sender meant.
    fn spell(&self, form: u8, address: IpAddr, id: u16) -> String;
}

impl fmt::Debug for dyn Helper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Bounds of one class of announced flows (`struct nf_conntrack_expect_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most that one flow may announce at a time; 0 for no bound but the table's.
    pub expected_max: usize,
    /// How long an announcement holds.
    pub timeout: Duration,
}

/// A packet as a helper sees it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The packet from its transport header on.
    pub transport: &'a [u8],
    /// Its direction in the flow.
    pub direction: Direction,
    /// What it is to the flow.
    pub state: CtState,
    /// The flow's tuples, by direction.
    pub tuples: [Tuple; 2],
}

/// What a helper says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Pass,
    /// It announces a flow.
    Expect(Announcement),
    /// It cannot be read, and to let it pass would let a flow pass unannounced: drop it.
    Drop,
}

/// A flow that a packet announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which flow.
    pub pattern: Pattern,
    /// Which of [`Helper::policies`] bounds it.
    pub class: u8,
    /// Where the packet names its address and id, in bytes from the transport header.
    pub text: Range<usize>,
    /// How it names them; for [`Helper::spell`].
    pub form: u8,
}

/// What a helper remembers of a flow; zeros at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory([u64; MEMORY_SIZE / 8]);

impl Memory {
    /// The memory as `S`.
    #[must_use]
    pub fn view<S: FromBytes + IntoBytes + KnownLayout>(&mut self) -> &mut S {
        const { assert!(size_of::<S>() <= MEMORY_SIZE) };
        const { assert!(align_of::<S>() <= align_of::<u64>()) };
        let Ok((state, _)) = S::mut_from_prefix(self.0.as_mut_bytes()) else {
            unreachable!("size and alignment are asserted, and any bytes will do");
        };
        state
    }
}

/// The helpers there are, by name and protocol.
#[derive(Clone, Debug, Default)]
pub struct Helpers(Vec<Arc<dyn Helper>>);

/// There is such a helper already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is a helper \"{name}\" for protocol {protocol} already; leave that one out to register another"
)]
pub struct HelperTaken {
    /// Its name.
    pub name: &'static str,
    /// Its transport protocol.
    pub protocol: u8,
}

impl Helpers {
    /// The helpers that come with the crate: FTP.
    #[must_use]
    pub fn builtin() -> Self {
        Self(vec![Arc::new(Ftp::default())])
    }

    /// Adds a helper.
    ///
    /// # Errors
    /// Its name is taken for its protocol; nothing has changed then.
    pub fn register(&mut self, helper: impl Helper) -> Result<(), HelperTaken> {
        let (name, protocol) = (helper.name(), helper.protocol());
        if self.find(name, protocol).is_some() {
            return Err(HelperTaken { name, protocol });
        }
        self.0.push(Arc::new(helper));
        Ok(())
    }

    /// The helper of this name for this transport protocol.
    #[must_use]
    pub fn find(&self, name: &str, protocol: u8) -> Option<&Arc<dyn Helper>> {
        self.0.iter().find(|helper| helper.name() == name && helper.protocol() == protocol)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Helper>> {
        self.0.iter()
    }
}

/// Where a TCP segment's payload begins, from its header on, and its sequence number; `None` if it has none.
fn tcp_payload(transport: &[u8]) -> Option<(usize, u32)> {
    let (header, _) = transport.split_first_chunk::<20>()?;
    let offset = usize::from(header[12] >> 4) * 4;
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    (offset >= 20 && offset < transport.len()).then_some((offset, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::protocol;

    #[test]
    fn a_helper_is_found_by_name_and_protocol_and_registered_once() {
        let mut helpers = Helpers::builtin();
        assert_eq!(helpers.find("ftp", protocol::TCP).map(|helper| helper.name()), Some("ftp"));
        assert!(helpers.find("ftp", protocol::UDP).is_none());
        let error = helpers.register(Ftp::default()).unwrap_err();
        assert!(error.to_string().starts_with("there is a helper \"ftp\" for protocol 6 already"), "{error}");
        assert_eq!(helpers.iter().count(), 1);
    }

    #[test]
    fn segments_without_payload_have_none() {
        let mut segment = [0_u8; 30];
        segment[12] = 5 << 4;
        segment[7] = 9;
        assert_eq!(tcp_payload(&segment), Some((20, 9)));
        assert_eq!(tcp_payload(&segment[..20]), None);
        assert_eq!(tcp_payload(&segment[..19]), None);
        segment[12] = 4 << 4;
        assert_eq!(tcp_payload(&segment), None);
        segment[12] = 15 << 4;
        assert_eq!(tcp_payload(&segment), None);
    }
}
