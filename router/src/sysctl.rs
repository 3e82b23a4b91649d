//! What Linux shapes by sysctl, read from `/proc/sys/net` the way the kernel itself combines it.
//!
//! `/proc/sys/net` shows the network namespace of the thread that reads. A file that is missing (an older kernel, no
//! IPv6) counts as the kernel's default. The configuration file may override any value.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fib::change::{LinkSettings, NamespaceSettings, ReversePath};
use serde::Deserialize;

use crate::config::bounded;

/// `unres_qlen_bytes` where no sysctl says otherwise: `SK_WMEM_DEFAULT` on 64-bit machines (net/ipv4/arp.c).
const UNRES_QLEN_BYTES: u32 = 212_992;

/// Reads settings; what the configuration file overrides is applied to all it hands out.
#[derive(Clone, Debug)]
pub struct Sysctl {
    root: PathBuf,
    namespace: NamespaceOverrides,
    links: BTreeMap<String, LinkOverrides>,
}

/// Settings of the namespace that the configuration file fixes (section `[sysctl]`); an absent one is the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamespaceOverrides {
    /// `net.ipv4.fib_multipath_hash_policy`, 0 or 1.
    #[serde(deserialize_with = "bounded::<_, _, 0, 1>")]
    pub multipath_hash_policy_v4: Option<u8>,
    /// `net.ipv6.fib_multipath_hash_policy`, 0 or 1.
    #[serde(deserialize_with = "bounded::<_, _, 0, 1>")]
    pub multipath_hash_policy_v6: Option<u8>,
    /// `net.ipv4.icmp_ratelimit`, milliseconds; 0 for no limit.
    pub icmp_ratelimit_ms: Option<u32>,
    /// `net.ipv4.icmp_ratemask`, bit n for type n.
    pub icmp_ratemask: Option<u32>,
    /// `net.ipv4.icmp_msgs_per_sec`.
    pub icmp_msgs_per_sec: Option<u32>,
    /// `net.ipv4.icmp_msgs_burst`.
    pub icmp_msgs_burst: Option<u32>,
    /// `net.ipv4.icmp_errors_use_inbound_ifaddr`.
    pub icmp_errors_use_inbound_ifaddr: Option<bool>,
    /// `net.ipv6.icmp.ratelimit`, milliseconds; 0 for no limit.
    pub icmp6_ratelimit_ms: Option<u32>,
    /// `net.ipv4.ip_default_ttl`, 1 to 255.
    #[serde(deserialize_with = "bounded::<_, _, 1, 255>")]
    pub default_ttl: Option<u8>,
    /// `net.ipv6.conf.all.hop_limit`, 1 to 255.
    #[serde(deserialize_with = "bounded::<_, _, 1, 255>")]
    pub default_hop_limit: Option<u8>,
    /// `net.ipv4.neigh.default.unres_qlen_bytes`.
    pub unres_qlen_bytes_v4: Option<u32>,
    /// `net.ipv6.neigh.default.unres_qlen_bytes`.
    pub unres_qlen_bytes_v6: Option<u32>,
    /// `net.ipv4.ip_forward_use_pmtu`.
    pub forward_use_pmtu: Option<bool>,
    /// `net.ipv6.auto_flowlabels`.
    pub auto_flow_labels: Option<bool>,
}

/// Settings of one port that the configuration file fixes (section `[port.NAME]`); an absent one is the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkOverrides {
    /// `rp_filter`: `off`, `strict` or `loose`.
    pub rp_filter: Option<ReversePathName>,
    /// `send_redirects`.
    pub send_redirects: Option<bool>,
    /// `accept_source_route`.
    pub accept_source_route: Option<bool>,
    /// `bc_forwarding`.
    pub bc_forwarding: Option<bool>,
    /// `accept_local`.
    pub accept_local: Option<bool>,
    /// `route_localnet`.
    pub route_localnet: Option<bool>,
    /// `log_martians`.
    pub log_martians: Option<bool>,
    /// `disable_ipv6`.
    pub disable_ipv6: Option<bool>,
}

/// How the configuration file writes [`ReversePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReversePathName {
    /// 0.
    Off,
    /// 1.
    Strict,
    /// 2.
    Loose,
}

/// Whether the kernel itself would forward what arrives on some links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelForwarding {
    /// IPv4, on at least one of the links.
    pub ipv4: bool,
    /// IPv6, on at least one of the links.
    pub ipv6: bool,
}

impl KernelForwarding {
    /// Neither family.
    #[must_use]
    pub const fn is_off(self) -> bool {
        !self.ipv4 && !self.ipv6
    }
}

impl Default for Sysctl {
    /// The kernel's settings, nothing overridden.
    fn default() -> Self {
        Self::new(NamespaceOverrides::default(), BTreeMap::new())
    }
}

impl Sysctl {
    /// The kernel's settings with these overrides, `links` by port name.
    #[must_use]
    pub fn new(namespace: NamespaceOverrides, links: BTreeMap<String, LinkOverrides>) -> Self {
        Self { root: PathBuf::from("/proc/sys/net"), namespace, links }
    }

    /// Settings of the namespace. `links` are the names of its links: a namespace other than the first has no
    /// `neigh.default`, so the most generous of them tells the length of the queue for unresolved neighbors.
    #[must_use]
    pub fn namespace<'a>(&self, links: impl IntoIterator<Item = &'a str> + Clone) -> NamespaceSettings {
        let own = &self.namespace;
        NamespaceSettings {
            multipath_hash_policy_v4: own
                .multipath_hash_policy_v4
                .unwrap_or_else(|| self.number("ipv4/fib_multipath_hash_policy", 0)),
            multipath_hash_policy_v6: own
                .multipath_hash_policy_v6
                .unwrap_or_else(|| self.number("ipv6/fib_multipath_hash_policy", 0)),
            icmp_ratelimit_ms: own
                .icmp_ratelimit_ms
                .unwrap_or_else(|| self.number("ipv4/icmp_ratelimit", 1000)),
            icmp_ratemask: own.icmp_ratemask.unwrap_or_else(|| self.number("ipv4/icmp_ratemask", 6168)),
            icmp_msgs_per_sec: own
                .icmp_msgs_per_sec
                .unwrap_or_else(|| self.number("ipv4/icmp_msgs_per_sec", 1000)),
            icmp_msgs_burst: own.icmp_msgs_burst.unwrap_or_else(|| self.number("ipv4/icmp_msgs_burst", 50)),
            icmp_errors_use_inbound_ifaddr: own
                .icmp_errors_use_inbound_ifaddr
                .unwrap_or_else(|| self.flag("ipv4/icmp_errors_use_inbound_ifaddr")),
            icmp6_ratelimit_ms: own
                .icmp6_ratelimit_ms
                .unwrap_or_else(|| self.number("ipv6/icmp/ratelimit", 1000)),
            icmp6_ratemask: self.icmp6_ratemask(),
            default_ttl: own.default_ttl.unwrap_or_else(|| self.number("ipv4/ip_default_ttl", 64)),
            default_hop_limit: own
                .default_hop_limit
                .unwrap_or_else(|| self.number("ipv6/conf/all/hop_limit", 64)),
            unres_qlen_bytes_v4: own
                .unres_qlen_bytes_v4
                .unwrap_or_else(|| self.unres_qlen_bytes("ipv4", links.clone())),
            unres_qlen_bytes_v6: own
                .unres_qlen_bytes_v6
                .unwrap_or_else(|| self.unres_qlen_bytes("ipv6", links)),
            forward_use_pmtu: own.forward_use_pmtu.unwrap_or_else(|| self.flag("ipv4/ip_forward_use_pmtu")),
            auto_flow_labels: own
                .auto_flow_labels
                .unwrap_or_else(|| matches!(self.number::<u8>("ipv6/auto_flowlabels", 1), 1 | 3)),
        }
    }

    /// Whether the kernel checks reverse paths strictly on links that do not say otherwise
    /// (`net.ipv4.conf.all.rp_filter=1`).
    #[must_use]
    pub fn is_strict_everywhere(&self) -> bool {
        self.number::<u8>("ipv4/conf/all/rp_filter", 0) == 1
    }

    /// Settings in force on one link: `all` and the link's own value are combined as include/linux/inetdevice.h does
    /// (`IN_DEV_RPFILTER` takes the larger, `IN_DEV_BFORWARD` and `IN_DEV_SOURCE_ROUTE` want both, the others either).
    #[must_use]
    pub fn link(&self, name: &str) -> LinkSettings {
        let own = self.links.get(name).copied().unwrap_or_default();
        let either =
            |setting: &str, default| self.ipv4("all", setting, 0) || self.ipv4(name, setting, default);
        let both = |setting: &str, all| self.ipv4("all", setting, all) && self.ipv4(name, setting, 0);
        let reverse_path = || {
            let value = |link: &str| self.number::<u8>(&format!("ipv4/conf/{link}/rp_filter"), 0);
            match value("all").max(value(name)) {
                0 => ReversePath::Off,
                1 => ReversePath::Strict,
                _ => ReversePath::Loose,
            }
        };
        LinkSettings {
            rp_filter: own.rp_filter.map_or_else(reverse_path, ReversePath::from),
            send_redirects: own.send_redirects.unwrap_or_else(|| either("send_redirects", 1)),
            accept_source_route: own.accept_source_route.unwrap_or_else(|| both("accept_source_route", 1)),
            bc_forwarding: own.bc_forwarding.unwrap_or_else(|| both("bc_forwarding", 0)),
            accept_local: own.accept_local.unwrap_or_else(|| either("accept_local", 0)),
            route_localnet: own.route_localnet.unwrap_or_else(|| either("route_localnet", 0)),
            log_martians: own.log_martians.unwrap_or_else(|| either("log_martians", 0)),
            ipv6_disabled: own
                .disable_ipv6
                .unwrap_or_else(|| self.flag(&format!("ipv6/conf/{name}/disable_ipv6"))),
        }
    }

    /// Whether the kernel would forward what arrives on one of `links`. IPv4 goes by each link's own `forwarding`
    /// (ip_route_input_slow), IPv6 by `all.forwarding` or, since Linux 6.17, the link's `force_forwarding`
    /// (ip6_forward); a link's own IPv6 `forwarding` makes it a router in neighbor discovery only.
    #[must_use]
    pub fn kernel_forwarding<'a>(&self, links: impl IntoIterator<Item = &'a str>) -> KernelForwarding {
        let mut forwarding = KernelForwarding { ipv4: false, ipv6: self.flag("ipv6/conf/all/forwarding") };
        for link in links {
            forwarding.ipv4 |= self.ipv4(link, "forwarding", 0);
            forwarding.ipv6 |= self.flag(&format!("ipv6/conf/{link}/force_forwarding"));
        }
        forwarding
    }

    fn ipv4(&self, link: &str, setting: &str, default: u8) -> bool {
        self.number::<u32>(&format!("ipv4/conf/{link}/{setting}"), u32::from(default)) != 0
    }

    fn flag(&self, file: &str) -> bool {
        self.number::<u32>(file, 0) != 0
    }

    /// A non-negative number; a value out of range for the type is taken as its largest.
    fn number<T: TryFrom<u64> + Bounded>(&self, file: &str, default: T) -> T {
        match self.text(Path::new(file)).and_then(|text| text.parse::<i64>().ok()) {
            Some(value) => T::try_from(u64::try_from(value).unwrap_or(0)).unwrap_or(T::MAX),
            None => default,
        }
    }

    fn unres_qlen_bytes<'a>(&self, family: &str, links: impl IntoIterator<Item = &'a str>) -> u32 {
        let read = |link: &str| {
            let file = format!("{family}/neigh/{link}/unres_qlen_bytes");
            self.text(Path::new(&file)).and_then(|text| text.parse().ok())
        };
        read("default").or_else(|| links.into_iter().filter_map(read).max()).unwrap_or(UNRES_QLEN_BYTES)
    }

    fn icmp6_ratemask(&self) -> [u32; 8] {
        match self.text(Path::new("ipv6/icmp/ratemask")) {
            Some(text) => bitmap(&text),
            // All types but packet too big (2); informational ones are not limited (icmpv6_sk_init).
            None => [!(1 << 2), u32::MAX, u32::MAX, u32::MAX, 0, 0, 0, 0],
        }
    }

    fn text(&self, file: &Path) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok().map(|text| text.trim().to_owned())
    }
}

impl From<ReversePathName> for ReversePath {
    fn from(name: ReversePathName) -> Self {
        match name {
            ReversePathName::Off => Self::Off,
            ReversePathName::Strict => Self::Strict,
            ReversePathName::Loose => Self::Loose,
        }
    }
}

/// Number types with a largest value.
trait Bounded {
    const MAX: Self;
}

impl Bounded for u8 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u32 {
    const MAX: Self = Self::MAX;
}

/// Reads the kernel's list form of a bitmap, `0-1,3-127`; what is not a bit number below 256 is passed over.
fn bitmap(text: &str) -> [u32; 8] {
    let mut words = [0_u32; 8];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u8>(), last.trim().parse::<u8>()) else {
            continue;
        };
        for bit in first..=last {
            words[usize::from(bit / 32)] |= 1 << (bit % 32);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up `/proc/sys/net` with these files.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Sysctl) {
        let directory = tempfile::tempdir().unwrap();
        for (file, value) in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let sysctl = Sysctl { root: directory.path().to_owned(), ..Sysctl::default() };
        (directory, sysctl)
    }

    #[test]
    fn all_and_link_are_combined_as_the_kernel_does_it() {
        for all in [0_u8, 1] {
            for link in [0_u8, 1] {
                let (all_text, link_text) = (all.to_string(), link.to_string());
                let files: Vec<(String, &str)> = [
                    "send_redirects",
                    "accept_source_route",
                    "bc_forwarding",
                    "accept_local",
                    "route_localnet",
                ]
                .iter()
                .flat_map(|setting| {
                    [
                        (format!("ipv4/conf/all/{setting}"), all_text.as_str()),
                        (format!("ipv4/conf/r0/{setting}"), link_text.as_str()),
                    ]
                })
                .collect();
                let files: Vec<(&str, &str)> =
                    files.iter().map(|(file, value)| (file.as_str(), *value)).collect();
                let (_directory, sysctl) = tree(&files);
                let settings = sysctl.link("r0");
                let (either, both) = (all + link > 0, all + link == 2);
                assert_eq!(settings.send_redirects, either, "send_redirects {all} {link}");
                assert_eq!(settings.accept_local, either, "accept_local {all} {link}");
                assert_eq!(settings.route_localnet, either, "route_localnet {all} {link}");
                assert_eq!(settings.accept_source_route, both, "accept_source_route {all} {link}");
                assert_eq!(settings.bc_forwarding, both, "bc_forwarding {all} {link}");
            }
        }
    }

    #[test]
    fn the_larger_rp_filter_is_in_force() {
        let expected = [
            ("0", "0", ReversePath::Off),
            ("1", "0", ReversePath::Strict),
            ("1", "2", ReversePath::Loose),
            ("2", "1", ReversePath::Loose),
        ];
        for (all, link, in_force) in expected {
            let (_directory, sysctl) =
                tree(&[("ipv4/conf/all/rp_filter", all), ("ipv4/conf/r0/rp_filter", link)]);
            assert_eq!(sysctl.link("r0").rp_filter, in_force, "all {all} link {link}");
        }
    }

    #[test]
    fn an_override_beats_the_kernel_for_its_port_alone() {
        let (_directory, mut sysctl) = tree(&[("ipv4/conf/all/rp_filter", "1")]);
        let loose = LinkOverrides { rp_filter: Some(ReversePathName::Off), ..LinkOverrides::default() };
        sysctl.links.insert("r0".to_owned(), loose);
        sysctl.namespace.icmp_ratelimit_ms = Some(7);
        assert_eq!(sysctl.link("r0").rp_filter, ReversePath::Off);
        assert_eq!(sysctl.link("r1").rp_filter, ReversePath::Strict);
        assert_eq!(sysctl.namespace([]).icmp_ratelimit_ms, 7);
        assert_eq!(sysctl.namespace([]).icmp_ratemask, 6168);
    }

    #[test]
    fn the_kernels_own_forwarding_is_seen_per_link_and_family() {
        let (_directory, sysctl) = tree(&[
            ("ipv4/conf/all/forwarding", "0"),
            ("ipv4/conf/r1/forwarding", "1"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/r0/forwarding", "1"),
            ("ipv6/conf/r2/force_forwarding", "1"),
        ]);
        assert!(sysctl.kernel_forwarding(["r0"]).is_off());
        assert_eq!(sysctl.kernel_forwarding(["r0", "r1"]), KernelForwarding { ipv4: true, ipv6: false });
        assert_eq!(sysctl.kernel_forwarding(["r2"]), KernelForwarding { ipv4: false, ipv6: true });
    }

    #[test]
    fn the_ratemask_is_read_in_the_kernels_list_form() {
        assert_eq!(bitmap("0-1,3-127"), [!(1 << 2), u32::MAX, u32::MAX, u32::MAX, 0, 0, 0, 0]);
        assert_eq!(bitmap("255"), [0, 0, 0, 0, 0, 0, 0, 1 << 31]);
        assert_eq!(bitmap("0-255"), [u32::MAX; 8]);
        assert_eq!(bitmap(""), [0; 8]);
        assert_eq!(bitmap("9-3,x,300"), [0; 8]);
    }

    #[test]
    fn unreadable_and_negative_values_do_no_harm() {
        let (_directory, sysctl) = tree(&[
            ("ipv4/icmp_ratelimit", "-5"),
            ("ipv4/ip_default_ttl", "999"),
            ("ipv4/icmp_msgs_burst", "many"),
        ]);
        let settings = sysctl.namespace(["r0"]);
        assert_eq!(settings.icmp_ratelimit_ms, 0);
        assert_eq!(settings.default_ttl, 255);
        assert_eq!(settings.icmp_msgs_burst, 50);
        assert_eq!(settings.unres_qlen_bytes_v4, UNRES_QLEN_BYTES);
    }
}
