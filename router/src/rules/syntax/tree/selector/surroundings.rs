//! What lies around a packet: routes, sockets, tunnels, numbers.

use super::super::words::words;

words! {
/// What the routing tables are asked with.
FibKey {
    /// Source address.
    Saddr = "saddr",
    /// Destination address.
    Daddr = "daddr",
    /// Packet mark.
    Mark = "mark",
    /// Input port.
    Iif = "iif",
    /// Output port.
    Oif = "oif",
}}

words! {
/// What the routing tables are asked for.
FibResult {
    /// Output port by index.
    Oif = "oif",
    /// Output port by name.
    Oifname = "oifname",
    /// Type of the address.
    Type = "type",
    /// Whether there is a route.
    Check = "check",
}}

words! {
/// What of the route.
RouteKey {
    /// Realm.
    Classid = "classid",
    /// Next hop.
    Nexthop = "nexthop",
    /// Path MTU less the headers: the largest TCP segment.
    Mtu = "mtu",
    /// Whether it goes through IPsec.
    Ipsec = "ipsec",
}}

words! {
/// What of the socket.
SocketKey {
    /// Whether it is transparent.
    Transparent = "transparent",
    /// Its mark.
    Mark = "mark",
    /// Whether it is bound to any address.
    Wildcard = "wildcard",
}}

words! {
/// How `osf` compares the time to live.
FingerprintTtl {
    /// At most the fingerprint's.
    Loose = "loose",
    /// Not at all.
    Skip = "skip",
}}

words! {
/// `ipsec` directions.
IpsecDirection {
    /// Received.
    In = "in",
    /// To be sent.
    Out = "out",
}}

words! {
/// `ipsec` keys.
IpsecKey {
    /// Request identifier.
    Reqid = "reqid",
    /// Security parameters index.
    Spi = "spi",
    /// Source of the tunnel.
    Saddr = "saddr",
    /// Destination of the tunnel.
    Daddr = "daddr",
}}

words! {
/// `tunnel` keys.
TunnelKey {
    /// Identifier.
    Id = "id",
    /// Direction.
    Path = "path",
}}

words! {
/// How `numgen` makes numbers.
NumberMode {
    /// Counting up.
    Incremental = "inc",
    /// At random.
    Random = "random",
}}
