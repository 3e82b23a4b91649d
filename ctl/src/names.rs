//! Numbers by the names that `ip` and `conntrack` give them.

use std::borrow::Cow;

/// Name of a transport protocol as `conntrack -L` writes it (libnetfilter_conntrack); `unknown` for the rest.
#[must_use]
pub const fn flow_protocol(number: u8) -> &'static str {
    match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        47 => "gre",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => "unknown",
    }
}

/// Number of a transport protocol given by name or number.
#[must_use]
pub fn flow_protocol_number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    match text {
        "icmp" => Some(1),
        "igmp" => Some(2),
        "tcp" => Some(6),
        "udp" => Some(17),
        "dccp" => Some(33),
        "gre" => Some(47),
        "esp" => Some(50),
        "ah" => Some(51),
        "icmpv6" | "icmp6" | "ipv6-icmp" => Some(58),
        "ospf" => Some(89),
        "sctp" => Some(132),
        "udplite" => Some(136),
        _ => None,
    }
}

/// Name of a routing table, as in iproute2's `rt_tables`.
#[must_use]
pub fn table(number: u32) -> Cow<'static, str> {
    match number {
        253 => "default".into(),
        254 => "main".into(),
        255 => "local".into(),
        _ => number.to_string().into(),
    }
}

/// Number of a routing table given by name or number.
#[must_use]
pub fn table_number(text: &str) -> Option<u32> {
    match text {
        "default" => Some(253),
        "main" => Some(254),
        "local" => Some(255),
        _ => text.parse().ok(),
    }
}

/// Name of who installed a route, as in iproute2's `rt_protos`.
#[must_use]
pub fn route_protocol(number: u8) -> Cow<'static, str> {
    let name = match number {
        0 => "unspec",
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        99 => "openr",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        _ => return number.to_string().into(),
    };
    name.into()
}

/// Number of who installs a route, given by name or number.
#[must_use]
pub fn route_protocol_number(text: &str) -> Option<u8> {
    text.parse().ok().or_else(|| (0..=u8::MAX).find(|number| route_protocol(*number) == text))
}

/// Name of a scope, as in iproute2's `rt_scopes`.
#[must_use]
pub fn scope(number: u8) -> Cow<'static, str> {
    match number {
        0 => "global".into(),
        200 => "site".into(),
        253 => "link".into(),
        254 => "host".into(),
        255 => "nowhere".into(),
        _ => number.to_string().into(),
    }
}

/// Number of a scope given by name or number.
#[must_use]
pub fn scope_number(text: &str) -> Option<u8> {
    text.parse().ok().or_else(|| (0..=u8::MAX).find(|number| scope(*number) == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_name_that_is_printed_is_read() {
        for number in 0..=255 {
            let name = flow_protocol(number);
            if name != "unknown" {
                assert_eq!(flow_protocol_number(name), Some(number), "{name}");
            }
            assert_eq!(flow_protocol_number(&number.to_string()), Some(number));
        }
        assert_eq!(flow_protocol_number("256"), None);
        assert_eq!(flow_protocol_number("tpc"), None);
    }

    #[test]
    fn every_name_that_stands_in_a_route_is_read() {
        for number in 0..=255 {
            assert_eq!(table_number(&table(number.into())), Some(number.into()));
            assert_eq!(route_protocol_number(&route_protocol(number)), Some(number));
            assert_eq!(scope_number(&scope(number)), Some(number));
        }
        assert_eq!((table_number("mian"), table_number("4294967296")), (None, None));
        assert_eq!((route_protocol_number("ospd"), route_protocol_number("256")), (None, None));
    }

    #[test]
    fn numbers_without_a_name_stay_numbers() {
        assert_eq!(table(254), "main");
        assert_eq!(table(100), "100");
        assert_eq!(route_protocol(188), "ospf");
        assert_eq!(route_protocol(77), "77");
        assert_eq!(scope(253), "link");
        assert_eq!(scope(7), "7");
    }
}
