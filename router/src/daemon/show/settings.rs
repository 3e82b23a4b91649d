//! Settings in force by the names that the configuration file gives them.

use std::borrow::Cow;

use ctl::message::{Setting, Settings};
use fib::change::{LinkSettings, NamespaceSettings, ReversePath};

/// Settings of the namespace.
pub(super) fn of_namespace(settings: &NamespaceSettings) -> Settings {
    let NamespaceSettings {
        multipath_hash_policy_v4,
        multipath_hash_policy_v6,
        icmp_ratelimit_ms,
        icmp_ratemask,
        icmp_msgs_per_sec,
        icmp_msgs_burst,
        icmp_errors_use_inbound_ifaddr,
        icmp6_ratelimit_ms,
        icmp6_ratemask,
        default_ttl,
        default_hop_limit,
        unres_qlen_bytes_v4,
        unres_qlen_bytes_v6,
        forward_use_pmtu,
        auto_flow_labels,
    } = *settings;
    named([
        ("multipath_hash_policy_v4", number(multipath_hash_policy_v4)),
        ("multipath_hash_policy_v6", number(multipath_hash_policy_v6)),
        ("icmp_ratelimit_ms", number(icmp_ratelimit_ms)),
        ("icmp_ratemask", number(icmp_ratemask)),
        ("icmp_msgs_per_sec", number(icmp_msgs_per_sec)),
        ("icmp_msgs_burst", number(icmp_msgs_burst)),
        ("icmp_errors_use_inbound_ifaddr", Setting::Flag(icmp_errors_use_inbound_ifaddr)),
        ("icmp6_ratelimit_ms", number(icmp6_ratelimit_ms)),
        ("icmp6_ratemask", Setting::Word(Cow::Owned(bit_list(&icmp6_ratemask)))),
        ("default_ttl", number(default_ttl)),
        ("default_hop_limit", number(default_hop_limit)),
        ("unres_qlen_bytes_v4", number(unres_qlen_bytes_v4)),
        ("unres_qlen_bytes_v6", number(unres_qlen_bytes_v6)),
        ("forward_use_pmtu", Setting::Flag(forward_use_pmtu)),
        ("auto_flow_labels", Setting::Flag(auto_flow_labels)),
    ])
}

/// Settings of a port's link.
pub(super) fn of_link(settings: &LinkSettings) -> Settings {
    let LinkSettings {
        rp_filter,
        send_redirects,
        accept_source_route,
        bc_forwarding,
        accept_local,
        route_localnet,
        log_martians,
        ipv6_disabled,
    } = *settings;
    let rp_filter = match rp_filter {
        ReversePath::Off => "off",
        ReversePath::Strict => "strict",
        ReversePath::Loose => "loose",
    };
    named([
        ("rp_filter", Setting::Word(rp_filter.into())),
        ("send_redirects", Setting::Flag(send_redirects)),
        ("accept_source_route", Setting::Flag(accept_source_route)),
        ("bc_forwarding", Setting::Flag(bc_forwarding)),
        ("accept_local", Setting::Flag(accept_local)),
        ("route_localnet", Setting::Flag(route_localnet)),
        ("log_martians", Setting::Flag(log_martians)),
        ("disable_ipv6", Setting::Flag(ipv6_disabled)),
    ])
}

fn named<const COUNT: usize>(settings: [(&str, Setting); COUNT]) -> Settings {
    settings.into_iter().map(|(name, setting)| (name.to_owned(), setting)).collect()
}

fn number(number: impl Into<u64>) -> Setting {
    Setting::Number(number.into())
}

/// The bits that are set, as the kernel writes bitmaps: `0-1,3-127`.
fn bit_list(words: &[u32]) -> String {
    let bits = words.len() * 32;
    let is_set = |bit: usize| bit < bits && words[bit / 32] >> (bit % 32) & 1 == 1;
    let mut ranges = Vec::new();
    let mut bit = 0;
    while bit < bits {
        if !is_set(bit) {
            bit += 1;
            continue;
        }
        let first = bit;
        while is_set(bit) {
            bit += 1;
        }
        let last = bit - 1;
        ranges.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
    }
    ranges.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_read_as_the_kernel_writes_them() {
        for (words, text) in [
            (vec![0, 0], ""),
            (vec![1, 0], "0"),
            (vec![!(1 << 2), u32::MAX, u32::MAX, u32::MAX, 0, 0, 0, 0], "0-1,3-127"),
            (vec![0, 1 << 31], "63"),
            (vec![1 << 31, 1], "31-32"),
        ] {
            assert_eq!(bit_list(&words), text);
        }
    }

    #[test]
    fn a_fresh_namespace_shows_the_kernels_defaults() {
        let settings: Vec<String> = of_namespace(&NamespaceSettings::default())
            .into_iter()
            .map(|(name, setting)| format!("{name} {setting}"))
            .collect();
        assert_eq!(
            settings,
            [
                "auto_flow_labels on",
                "default_hop_limit 64",
                "default_ttl 64",
                "forward_use_pmtu off",
                "icmp6_ratelimit_ms 1000",
                "icmp6_ratemask 0-1,3-127",
                "icmp_errors_use_inbound_ifaddr off",
                "icmp_msgs_burst 50",
                "icmp_msgs_per_sec 1000",
                "icmp_ratelimit_ms 1000",
                "icmp_ratemask 6168",
                "multipath_hash_policy_v4 0",
                "multipath_hash_policy_v6 0",
                "unres_qlen_bytes_v4 212992",
                "unres_qlen_bytes_v6 212992",
            ]
        );
    }

    #[test]
    fn each_setting_of_a_link_shows_under_its_own_name() {
        let off = LinkSettings { send_redirects: false, ..LinkSettings::default() };
        let on = |settings: LinkSettings| -> Vec<String> {
            let is_on = |setting: &Setting| !matches!(setting.to_string().as_str(), "off");
            of_link(&settings)
                .into_iter()
                .filter(|(_, setting)| is_on(setting))
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(on(off), [""; 0]);
        for (settings, name) in [
            (LinkSettings { rp_filter: ReversePath::Strict, ..off }, "rp_filter"),
            (LinkSettings { rp_filter: ReversePath::Loose, ..off }, "rp_filter"),
            (LinkSettings { send_redirects: true, ..off }, "send_redirects"),
            (LinkSettings { accept_source_route: true, ..off }, "accept_source_route"),
            (LinkSettings { bc_forwarding: true, ..off }, "bc_forwarding"),
            (LinkSettings { accept_local: true, ..off }, "accept_local"),
            (LinkSettings { route_localnet: true, ..off }, "route_localnet"),
            (LinkSettings { log_martians: true, ..off }, "log_martians"),
            (LinkSettings { ipv6_disabled: true, ..off }, "disable_ipv6"),
        ] {
            assert_eq!(on(settings), [name]);
        }
    }
}
