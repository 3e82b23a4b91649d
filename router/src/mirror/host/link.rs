//! What the kernel is told of such a device itself.

use std::fs;
use std::io;

use fib::adjacency::{LinkIndex, Mac};

use crate::mirror::request::{Requests, attribute};

/// `IFLA_ADDRESS` (include/uapi/linux/if_link.h).
const ADDRESS: u16 = 1;
/// `IFLA_MTU`.
const MTU: u16 = 4;
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

/// Frames that wait for routerd at most; of super-packets these are 64 KiB each.
const FRAMES_MAX: u32 = 2048;

/// How a device is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    /// Its index.
    pub(super) index: LinkIndex,
    /// Its name.
    pub(super) name: &'a str,
    /// Its link address, if it has one.
    pub(super) mac: Option<Mac>,
    /// Its MTU, in bytes, if it is not to stay.
    pub(super) mtu: Option<u32>,
    /// Whether reverse paths are checked strictly on all links (`net.ipv4.conf.all.rp_filter=1`). It is then set to loose,
    /// which wins over strict; routerd has checked by the port of entry.
    pub(super) strict: bool,
}

impl Settings<'_> {
    /// Has the kernel take them.
    pub(super) fn set(&self, requests: &mut Requests) -> io::Result<()> {
        let mut body = header(self.index, 0);
        if let Some(mac) = self.mac {
            attribute(&mut body, ADDRESS, &mac.0);
        }
        if let Some(mtu) = self.mtu {
            attribute(&mut body, MTU, &mtu.to_ne_bytes());
        }
        attribute(&mut body, QUEUE_LENGTH, &FRAMES_MAX.to_ne_bytes());
        let mut inet6 = Vec::new();
        attribute(&mut inet6, INET6_ADDRESS_MODE, &[NO_ADDRESS]);
        let mut families = Vec::new();
        attribute(&mut families, libc::AF_INET as u16, &self.inet());
        attribute(&mut families, libc::AF_INET6 as u16, &inet6);
        attribute(&mut body, FAMILIES, &families);
        requests.make(libc::RTM_NEWLINK, 0, &body)?
    }

    /// Has the kernel take only what depends on the settings of all links.
    pub(super) fn set_inet(&self, requests: &mut Requests) -> io::Result<()> {
        let mut body = header(self.index, 0);
        let mut families = Vec::new();
        attribute(&mut families, libc::AF_INET as u16, &self.inet());
        attribute(&mut body, FAMILIES, &families);
        requests.make(libc::RTM_NEWLINK, 0, &body)?
    }

    /// Takes the device up, with these flags besides.
    pub(super) fn take_up(&self, requests: &mut Requests, flags: i32) -> io::Result<()> {
        let up = (libc::IFF_UP | flags).cast_unsigned();
        requests.make(libc::RTM_NEWLINK, 0, &header(self.index, up))?
    }

    /// New links may begin with IPv6 switched off while ports have it on. Where neither is there, nothing is lost.
    pub(super) fn allow_ipv6(&self) {
        let file = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", self.name);
        if fs::read(&file).is_ok_and(|text| text.starts_with(b"1"))
            && let Err(error) = fs::write(&file, "0")
        {
            tracing::warn!("IPv6 packets for this host cannot be handed over: {file}: {error}");
        }
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
