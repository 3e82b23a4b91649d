//! Command lines of routerctl: words are requests, or wrong in words.

use ctl::command;

/// Right lines, with every kind of filter.
pub const LINES: [&str; 39] = [
    "status",
    "-j -n lab show flows -p tcp -s 10.0.1.0/24 -d 10.0.2.2 --sport 1 --dport 2 --state established",
    "show flows -f ipv4 -r 10.0.2.2 -q 192.0.2.1 --reply-port-src 3 --reply-port-dst 4 -u assured -m 0x10/0xff",
    "show flows -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 9 -w 5 --id 6 --control @other",
    "sh fl --orig-src fd00::/16 --orig-port-dst 53 --proto icmpv6 --mark 7",
    "flows delete -p udp -s 2001:db8::/32",
    "flows flush",
    "show routes -6 fd00::/8 table all",
    "show routes -4 10.0.0.0/8 table 100",
    "route get fd00::1 from fd00::2 iif r0 mark 0x10",
    "flow-cache flush",
    "flow-cache off verdict negative",
    "flow-c hold route -p tcp -d 10.0.2.0/24 --dport 80",
    "flows invalidate via 10.0.12.2 dev r1 prefix 10.2.0.0/16 mac 02:00:00:00:00:0a",
    "route policy list",
    "route policy add 10.2.0.0/16 keep",
    "ro pol del fd00::/8",
    "show journal 5",
    "sh j all",
    "monitor flows routes neighbors flow-cache host",
    "address add 10.0.1.1/24 dev r0 nodad",
    "addr del fe80::1/64 dev br0",
    "a",
    "route add default via 10.0.1.2 dev r0 metric 20 table 100 proto static src 10.0.1.1 mtu 1400 onlink",
    "route replace 10.1.0.0/16 tos 0x10 nexthop via 10.0.1.2 weight 2 nexthop via inet6 fe80::2 dev r1",
    "route add blackhole fd00::/8",
    "ro del 10.1.0.0/16 dev r0 scope link",
    "neighbor replace 10.0.1.2 lladdr 02:00:00:00:00:02 dev r0 nud permanent",
    "neigh del fe80::2 dev r0",
    "neighbour flush dev r0",
    "queue",
    "policy add not from 10.0.0.0/8 fwmark 1/0xff iif r0 ipproto tcp dport 80-90 priority 9 lookup 100 suppress_prefixlength 0",
    "policy del -6 to fd00::/16 goto 970",
    "show macs br0",
    "show bridges",
    "show queues",
    "sh last-hops -j",
    "show neighbours",
    "show counters -j",
];

/// Lines, their words between blanks.
pub fn run(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        let words = ["routerctl"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        match command::parse(words) {
            Ok(invocation) => assert_eq!(invocation, invocation.clone()),
            Err(error) => assert!(!error.to_string().is_empty(), "{line} is refused without a word"),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    LINES.iter().map(|line| line.as_bytes().to_vec()).chain([LINES.join("\n").into_bytes()]).collect()
}
