//! Sets up the device by which packets pass between routerd and the kernel of this host: a link without neighbors and
//! questions, on which the kernel takes whatever is for one of its addresses.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use fib::adjacency::{LinkIndex, Mac};

use super::request::{Requests, attribute};

/// `IFLA_ADDRESS` (include/uapi/linux/if_link.h).
const ADDRESS: u16 = 1;
/// `IFLA_TXQLEN`.
const QUEUE_LENGTH: u16 = 13;
/// `IFLA_AF_SPEC`.
const FAMILIES: u16 = 26;
/// `IFLA_INET_CONF`, within `AF_INET`.
const INET_SETTINGS: u16 = 1;
/// `IFLA_INET6_ADDR_GEN_MODE`, within `AF_INET6`.
const INET6_ADDRESS_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`.
const NO_ADDRESS: u8 = 1;

/// Numbers of IPv4 settings (include/uapi/linux/ip.h).
const SEND_REDIRECTS: u16 = 6;
const RP_FILTER: u16 = 8;
const ACCEPT_LOCAL: u16 = 23;
const ROUTE_LOCALNET: u16 = 26;

/// `IFA_ADDRESS` and `IFA_LOCAL` (include/uapi/linux/if_addr.h).
const IFA: [u16; 2] = [1, 2];
/// `RT_SCOPE_HOST`.
const HOST_SCOPE: u8 = 254;

/// The device's address. Nobody uses it, but where reverse paths are checked at all, the kernel takes nothing from a
/// device without one (`__fib_validate_source`).
const OWN: Ipv4Addr = Ipv4Addr::new(127, b'r', b't', b'd');

/// Frames that wait for routerd at most; of super-packets these are 64 KiB each.
const FRAMES_MAX: u32 = 2048;

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
    /// this device, so it is then set to loose, which wins over strict; routerd has checked by the port of entry.
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
        let up = (libc::IFF_UP | libc::IFF_NOARP).cast_unsigned();
        let mut settings = header(self.index, 0);
        settings.extend(self.settings());
        requests.make(libc::RTM_NEWLINK, 0, &settings)??;
        requests.make(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &self.address())??;
        self.allow_ipv6();
        requests.make(libc::RTM_NEWLINK, 0, &header(self.index, up))?
    }

    /// Sets what depends on the settings of all links anew.
    ///
    /// # Errors
    /// As [`Self::set_up`].
    pub fn follow(&self) -> io::Result<()> {
        let mut body = header(self.index, 0);
        let mut families = Vec::new();
        attribute(&mut families, libc::AF_INET as u16, &self.inet());
        attribute(&mut body, FAMILIES, &families);
        Requests::open()?.make(libc::RTM_NEWLINK, 0, &body)?
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

    fn settings(&self) -> Vec<u8> {
        let mut inet6 = Vec::new();
        attribute(&mut inet6, INET6_ADDRESS_MODE, &[NO_ADDRESS]);
        let mut families = Vec::new();
        attribute(&mut families, libc::AF_INET as u16, &self.inet());
        attribute(&mut families, libc::AF_INET6 as u16, &inet6);
        let mut settings = Vec::new();
        attribute(&mut settings, ADDRESS, &self.mac.0);
        attribute(&mut settings, QUEUE_LENGTH, &FRAMES_MAX.to_ne_bytes());
        attribute(&mut settings, FAMILIES, &families);
        settings
    }

    fn inet(&self) -> Vec<u8> {
        let mut values = Vec::new();
        let rp_filter: u32 = if self.strict { 2 } else { 0 };
        for (setting, value) in
            [(SEND_REDIRECTS, 0), (RP_FILTER, rp_filter), (ACCEPT_LOCAL, 1), (ROUTE_LOCALNET, 1)]
        {
            attribute(&mut values, setting, &value.to_ne_bytes());
        }
        let mut inet = Vec::new();
        attribute(&mut inet, INET_SETTINGS, &values);
        inet
    }

    /// New links may begin with IPv6 switched off while ports have it on. Where neither is there, nothing is lost.
    fn allow_ipv6(&self) {
        let file = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", self.name);
        if fs::read(&file).is_ok_and(|text| text.starts_with(b"1"))
            && let Err(error) = fs::write(&file, "0")
        {
            tracing::warn!("IPv6 packets for this host cannot be handed over: {file}: {error}");
        }
    }
}

/// `struct ifinfomsg`: the link, and the flags it is to have besides those it has.
fn header(index: LinkIndex, flags: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(128);
    // Family, padding and type: none.
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&index.0.to_ne_bytes());
    header.extend_from_slice(&flags.to_ne_bytes());
    header.extend_from_slice(&flags.to_ne_bytes());
    header
}
