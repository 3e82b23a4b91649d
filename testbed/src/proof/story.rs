//! Stories: what a router is, what happens to it, and what it is sent. Data, so that one that fails can be kept.

use serde::{Deserialize, Serialize};

/// What happens to a router from its first moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// What the router is.
    pub ground: Ground,
    /// Who talks to whom.
    pub flows: Vec<Flow>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What does not change in a story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ground {
    /// Packets for the router itself are handed over to it.
    pub handover: bool,
    /// The other router has no stateful hooks, rather than remembering nothing.
    pub stateless: bool,
    /// What the judged router remembers; all it can, if nothing is said.
    pub memory: Option<Vec<String>>,
}

/// Two hosts and what they talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Of IPv6.
    pub ipv6: bool,
    /// By what.
    pub protocol: Protocol,
    /// Who begins.
    pub client: usize,
    /// Who answers.
    pub server: usize,
    /// The client's port, or the id of its echoes.
    pub client_id: u16,
    /// The server's port.
    pub server_id: u16,
}

/// By what two hosts talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Segments.
    Tcp,
    /// Echoes of ICMP.
    Echo,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Packets arrive; all of them are there before the first is looked at.
    Arrive(Vec<Sent>),
    /// The routing state changes, in one batch.
    Change(Vec<Change>),
    /// Routes that concern nobody are announced, one after another.
    Burst(u32),
    /// A file of rules is loaded.
    Rules(Rules),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// All that is counted is read.
    Read,
    /// Flows are deleted: all, or those of one protocol.
    Delete(Option<Protocol>),
    /// The user says something of what is remembered; told to the judged router alone.
    Order(Order),
}

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// In place of all rules there are, rather than as commands that change them.
    pub whole: bool,
    /// Its lines.
    pub lines: Vec<String>,
}

/// What the user says of what is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A kind is no longer remembered.
    Off(String),
    /// It is again.
    On(String),
    /// Everything is to be forgotten.
    Flush,
}

/// A packet to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Number of its flow.
    pub flow: usize,
    /// By the server. It answers to whatever came out of the router last; if nothing did, to the client.
    pub reply: bool,
    /// What it is.
    pub body: Body,
    /// Arrives at this port, where its source is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub astray: Option<usize>,
    /// DSCP and ECN.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Is not to be cut, if of IPv4.
    pub dont_fragment: bool,
    /// Comes in two pieces, the second one first.
    #[serde(default)]
    pub pieces: bool,
    /// Its transport checksum is wrong.
    #[serde(default)]
    pub spoilt: bool,
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Data of this many bytes; of TCP, a segment out of the middle of nowhere.
    Data(usize),
    /// A segment: sequence number, acknowledgment, flags with FIN the lowest bit, and so many bytes.
    Segment(u32, u32, u8, usize),
    /// An ICMP error about what came out of the router last, of the other direction.
    Error(Trouble),
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Too big.
    TooBig,
    /// The port, or the host, is not reached.
    Unreachable,
    /// TTL or hop limit used up.
    Expired,
}

/// Something of the routing state that becomes different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A route is announced, or withdrawn if `gone`.
    Route {
        gone: bool,
        ipv6: bool,
        /// Number of its prefix.
        prefix: usize,
        kind: Kind,
        table: u32,
        tos: u8,
        metric: u32,
        mtu: u32,
        way: Way,
    },
    /// The route with several ways at once, by port and station.
    Group { gone: bool, ipv6: bool, members: Vec<(usize, u8)> },
    /// A nexthop object.
    Object { gone: bool, ipv6: bool, id: u32, port: usize, station: u8, blackhole: bool },
    /// A policy rule, by number, for some sources or all.
    Policy { gone: bool, ipv6: bool, kind: usize, some: bool },
    /// A link is like this now.
    Link { port: usize, admin_up: bool, carrier: bool, mtu: u32 },
    /// A link is removed, and one of the same name with another index made in its place.
    Replaced { port: usize },
    /// A neighbor is like this now.
    Neighbor { gone: bool, ipv6: bool, port: usize, station: u8, state: Health, mac: u8 },
    /// An address of the router's comes or goes, by number; or, `local`, the route that makes it the router's.
    Address { gone: bool, which: usize, local: bool },
    /// Settings of a link.
    Settings { port: usize, reverse_path: u8, redirects: bool, ipv6_disabled: bool },
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// By a port to a station beside it.
    Gateway(usize, u8),
    /// By a port, straight.
    Link(usize),
    /// Where a nexthop object says.
    Object(u32),
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
}

/// What is known of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    Reachable,
    Stale,
    Failed,
}

impl Story {
    /// The story as text, to be kept.
    ///
    /// # Panics
    /// Never: a story has nothing that JSON has not.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{{\n\"ground\": {},\n\"flows\": [\n",
            serde_json::to_string(&self.ground).expect("a ground is JSON")
        );
        text.push_str(&rows(&self.flows));
        text.push_str("\n],\n\"steps\": [\n");
        text.push_str(&rows(&self.steps));
        text.push_str("\n]\n}\n");
        text
    }

    /// A story that was kept.
    ///
    /// # Errors
    /// It is not one.
    pub fn from_text(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

fn rows<T: Serialize>(items: &[T]) -> String {
    let rows: Vec<_> =
        items.iter().map(|item| format!("  {}", serde_json::to_string(item).expect("it is JSON"))).collect();
    rows.join(",\n")
}
