//! The device by which packets are handed over while the kernel is the host: a link without neighbors and questions.

use std::io;
use std::net::Ipv4Addr;

use fib::adjacency::{LinkIndex, Mac};

use super::link::Settings;
use crate::mirror::request::{Requests, attribute};

/// `IFA_ADDRESS` and `IFA_LOCAL` (include/uapi/linux/if_addr.h).
const IFA: [u16; 2] = [1, 2];
/// `RT_SCOPE_HOST`.
const HOST_SCOPE: u8 = 254;

/// The device's address. Nobody uses it, but where reverse paths are checked at all, the kernel takes nothing from a
/// device without one (`__fib_validate_source`).
const OWN: Ipv4Addr = Ipv4Addr::new(127, b'r', b't', b'd');

/// How the device of the host is to be.
#[derive(Clone, Copy, Debug)]
pub struct HostDevice<'a> {
    /// Its index.
    pub index: LinkIndex,
    /// Its name.
    pub name: &'a str,
    /// Its link address.
    pub mac: Mac,
    /// Whether reverse paths are checked strictly on all links (`net.ipv4.conf.all.rp_filter=1`). No path leads back by
    /// this device.
    pub strict: bool,
}

impl HostDevice<'_> {
    /// Gives the device its settings and takes it up. Nothing is announced on it, as it has no address for others: not
    /// even IPv6's own for a link.
    ///
    /// # Errors
    /// The device is gone, or CAP_NET_ADMIN is missing.
    pub fn set_up(&self) -> io::Result<()> {
        let mut requests = Requests::open()?;
        self.settings().set(&mut requests)?;
        requests.make(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &self.address())??;
        self.settings().allow_ipv6();
        self.settings().take_up(&mut requests, libc::IFF_NOARP)
    }

    /// Sets what depends on the settings of all links anew.
    ///
    /// # Errors
    /// As [`Self::set_up`].
    pub fn follow(&self) -> io::Result<()> {
        self.settings().set_inet(&mut Requests::open()?)
    }

    const fn settings(&self) -> Settings<'_> {
        Settings { index: self.index, name: self.name, mac: Some(self.mac), mtu: None, strict: self.strict }
    }

    /// `struct ifaddrmsg` and the address.
    fn address(&self) -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 32, 0, HOST_SCOPE];
        body.extend_from_slice(&self.index.0.to_ne_bytes());
        for kind in IFA {
            attribute(&mut body, kind, &OWN.octets());
        }
        body
    }
}
