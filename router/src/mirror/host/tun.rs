//! The device of a router that is its own host: its addresses and routes are told to the kernel there, so that programs
//! can use them; what they send leads to routerd, wherever it is for.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use fib::adjacency::LinkIndex;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::io::Errno;

use super::link::Settings;
use crate::host::tables::{HostView, OWN_PROTOCOL};
use crate::mirror::request::{Requests, attribute};

/// `IFA_ADDRESS`, `IFA_LOCAL` (include/uapi/linux/if_addr.h).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `IFA_F_NODAD`: routerd has asked already.
const NO_QUESTIONS: u8 = 0x02;

/// Attributes of a route (include/uapi/linux/rtnetlink.h).
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// Metric of routerd's routes in the kernel's table: a namespace may have devices besides the ports, whose routes of the
/// same prefix go first.
const METRIC: u32 = 1 << 30;
/// Metric of the routes for everything else: routerd tells a program that a packet leads nowhere.
const LAST_METRIC: u32 = METRIC + 1;

/// The prefixes of everything.
const EVERYTHING: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

/// The device, and what the kernel was told.
#[derive(Debug)]
pub struct OwnDevice {
    index: LinkIndex,
    name: String,
    strict: bool,
    told: HostView,
}

impl OwnDevice {
    /// Sets up a TUN device that was made a moment ago and is down: settings, addresses, routes; then it is up. `strict` says
    /// that reverse paths are checked strictly on all links (`net.ipv4.conf.all.rp_filter=1`).
    ///
    /// # Errors
    /// The device is gone, or CAP_NET_ADMIN is missing.
    pub fn set_up(index: LinkIndex, name: &str, strict: bool, view: &HostView) -> io::Result<Self> {
        let mut requests = Requests::open()?;
        let mut device = Self { index, name: name.to_owned(), strict, told: HostView::default() };
        device.settings(Some(view.mtu)).set(&mut requests)?;
        device.settings(None).allow_ipv6();
        device.settings(None).take_up(&mut requests, 0)?;
        device.told.mtu = view.mtu;
        for prefix in EVERYTHING {
            device.without_family(|device| {
                requests.make(libc::RTM_NEWROUTE, CREATE, &device.route(prefix, None, LAST_METRIC))?
            })?;
        }
        device.follow(view)?;
        Ok(device)
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's index.
    #[must_use]
    pub const fn index(&self) -> LinkIndex {
        self.index
    }

    /// Tells the kernel what has changed. What it does not take is told again with the next change.
    ///
    /// # Errors
    /// The first thing that the kernel did not take; the rest is told all the same.
    pub fn follow(&mut self, view: &HostView) -> io::Result<()> {
        if *view == self.told {
            return Ok(());
        }
        let mut requests = Requests::open()?;
        let mut first_error = Ok(());
        let mut note = |outcome: io::Result<()>| {
            if first_error.is_ok() {
                first_error = outcome;
            }
        };
        let told = &self.told;
        if view.mtu != told.mtu {
            note(self.settings(Some(view.mtu)).set(&mut requests));
        }
        let (before, now): (BTreeSet<_>, BTreeSet<_>) =
            (told.addresses.iter().collect(), view.addresses.iter().collect());
        for address in before.difference(&now) {
            note(unless_gone(requests.make(libc::RTM_DELADDR, 0, &self.address(**address)))?);
        }
        for address in now.difference(&before) {
            note(self.without_family(|device| {
                requests.make(libc::RTM_NEWADDR, CREATE, &device.address(**address))?
            }));
        }
        for (prefix, source) in &told.routes {
            if view.routes.get(prefix) != Some(source) {
                let route = self.route(*prefix, Some(*source), METRIC);
                note(unless_gone(requests.make(libc::RTM_DELROUTE, 0, &route))?);
            }
        }
        // With an address the kernel takes the routes away that suggest it.
        let all = before.difference(&now).next().is_some();
        for (prefix, source) in &view.routes {
            if all || told.routes.get(prefix) != Some(source) {
                note(self.without_family(|device| {
                    let route = device.route(*prefix, Some(*source), METRIC);
                    requests.make(libc::RTM_NEWROUTE, CREATE, &route)?
                }));
            }
        }
        if first_error.is_ok() {
            self.told = view.clone();
        }
        first_error
    }

    /// Takes what is in force of `net.ipv4.conf.all.rp_filter` now.
    ///
    /// # Errors
    /// The device is gone.
    pub fn follow_strictness(&mut self, strict: bool) -> io::Result<()> {
        if strict == self.strict {
            return Ok(());
        }
        self.strict = strict;
        self.settings(None).set_inet(&mut Requests::open()?)
    }

    fn settings(&self, mtu: Option<u32>) -> Settings<'_> {
        Settings { index: self.index, name: &self.name, mac: None, mtu, strict: self.strict }
    }

    /// Does something that a kernel without IPv6 cannot do; then nothing is lost.
    fn without_family(&self, work: impl FnOnce(&Self) -> io::Result<()>) -> io::Result<()> {
        match work(self) {
            Err(error)
                if matches!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT | Errno::OPNOTSUPP)) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// `struct ifaddrmsg` and the address.
    fn address(&self, net: IpNet) -> Vec<u8> {
        let (family, flags) = match net {
            IpNet::V4(_) => (libc::AF_INET, 0),
            IpNet::V6(_) => (libc::AF_INET6, NO_QUESTIONS),
        };
        let mut body = vec![family as u8, net.prefix_len(), flags, SCOPE_UNIVERSE];
        body.extend_from_slice(&self.index.0.to_ne_bytes());
        for kind in [IFA_LOCAL, IFA_ADDRESS] {
            bytes_of(net.addr(), |bytes| attribute(&mut body, kind, bytes));
        }
        body
    }

    /// `struct rtmsg` and what belongs to a route of the main table that leads out of the device.
    fn route(&self, prefix: IpNet, source: Option<IpAddr>, metric: u32) -> Vec<u8> {
        let (family, scope) = match prefix {
            IpNet::V4(_) => (libc::AF_INET, SCOPE_LINK),
            IpNet::V6(_) => (libc::AF_INET6, SCOPE_UNIVERSE),
        };
        let mut body =
            vec![family as u8, prefix.prefix_len(), 0, 0, RT_TABLE_MAIN, OWN_PROTOCOL, scope, RTN_UNICAST];
        body.extend_from_slice(&[0; 4]);
        bytes_of(prefix.network(), |bytes| attribute(&mut body, RTA_DST, bytes));
        attribute(&mut body, RTA_OIF, &self.index.0.to_ne_bytes());
        attribute(&mut body, RTA_PRIORITY, &metric.to_ne_bytes());
        if let Some(source) = source {
            bytes_of(source, |bytes| attribute(&mut body, RTA_PREFSRC, bytes));
        }
        body
    }
}

/// Makes it, in place of what there is.
const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// What is gone already has not to go. The outer error is the socket's.
fn unless_gone(outcome: io::Result<io::Result<()>>) -> io::Result<io::Result<()>> {
    Ok(match outcome? {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::ADDRNOTAVAIL | Errno::SRCH)) => {
            Ok(())
        }
        other => other,
    })
}

fn bytes_of(address: IpAddr, mut take: impl FnMut(&[u8])) {
    match address {
        IpAddr::V4(address) => take(&address.octets()),
        IpAddr::V6(address) => take(&address.octets()),
    }
}
