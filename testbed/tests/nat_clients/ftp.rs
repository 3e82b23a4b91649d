//! FTP through a firewall that lets in only what a helper has announced: each way of the protocol, both families.

use testbed::router::Router;
use testbed::scenario::ftp::{FtpServer, Way};
use testbed::scenario::nat::{OUTSIDE, SERVER};

use crate::{behind, through_kernel_and_routerd};

/// Control connections may begin, and what they announce; nothing else.
fn rules(helper: bool, translation: &str) -> String {
    let assign = if helper { r#"tcp dport 21 ct helper set "ftp-control""# } else { "" };
    format!(
        r#"
flush ruleset
table inet filter {{
    ct helper ftp-control {{
        type "ftp" protocol tcp;
    }}
    chain early {{
        type filter hook prerouting priority mangle;
        {assign}
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        tcp dport 21 ct state new accept
        meta l4proto tcp reject with tcp reset
    }}
}}
table inet nat {{
    {translation}
}}
"#
    )
}

/// Clients inside reach the server outside under the router's address.
const MASQUERADE: &str = r#"
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "r1" masquerade
    }
"#;

/// The server is inside, and the router's address leads there.
const FORWARDED: &str = r#"
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "r1" meta nfproto ipv4 tcp dport 21 dnat ip to 10.0.1.2
        iifname "r1" meta nfproto ipv6 tcp dport 21 dnat ip6 to fd00:1::2
    }
"#;

/// Fetches files by every way, and says which failed.
fn fetched(router: &Router, helper: bool, translation: &str, (from, at): (&str, &str), addresses: [&str; 2]) {
    if !FtpServer::can_run() {
        return;
    }
    behind(router, &rules(helper, translation), |lab, running| {
        let server = FtpServer::start(lab, at).unwrap();
        for address in addresses {
            for way in Way::of(address.contains(':')) {
                let came = server.fetch(lab, from, address, *way);
                let drops = running.tell("show drops").unwrap_or_default();
                if helper {
                    came.unwrap_or_else(|error| panic!("{error:#}\n{drops}"));
                } else {
                    assert!(came.is_err(), "{way:?} at {address} came without a helper");
                }
            }
        }
    });
}

pub fn files_are_fetched_through_masquerade(router: &Router) {
    fetched(router, true, MASQUERADE, ("c1", "s"), SERVER);
}

pub fn files_are_fetched_from_a_forwarded_server(router: &Router) {
    fetched(router, true, FORWARDED, ("s", "c1"), OUTSIDE);
}

fn without_a_helper_no_way_leads_through_masquerade(router: &Router) {
    fetched(router, false, MASQUERADE, ("c1", "s"), SERVER);
}

fn without_a_helper_no_way_leads_to_a_forwarded_server(router: &Router) {
    fetched(router, false, FORWARDED, ("s", "c1"), OUTSIDE);
}

through_kernel_and_routerd! {
    files_are_fetched_through_masquerade,
    files_are_fetched_from_a_forwarded_server,
    without_a_helper_no_way_leads_through_masquerade,
    without_a_helper_no_way_leads_to_a_forwarded_server,
}
