//! FTP through a router on a table: a client or server inside on port 0, the other end outside behind port 1.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use conntrack::{Helper, Helpers, Shared, Status, protocol};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use crate::chain::{Family, Hook, Place, Point, Registration, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Conn, Flow, FlowTable, Track};
use crate::frame::Checksum;
use crate::hooks::{Nat, NatChain};
use crate::nat::{Flags, Manip, Range, masquerade, setup};
use crate::port::Offloads;
use crate::port::memory::{Parcel, Settings};
use crate::tabletop::Tabletop;
use crate::tabletop::frames::{Ends, HOST};

const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 2, 2];
/// The router's own addresses outside.
const OWN: &str = "192.168.101.1";
const OWN6: &str = "fd01::1";

/// Assigns the helper to control connections, as a rule with `ct helper set` does.
struct Assign(Arc<dyn Helper>);

impl Hook for Assign {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        if let Track::Flow { flow: Flow::Tentative(tentative), .. } = &packet.track
            && packet.header.destination_port == 21
        {
            tentative.set_helper(self.0.clone());
        }
        Verdict::Accept
    }
}

/// A rule of translation.
struct Rule<F>(Arc<FlowTable>, F);

impl<F> Hook for Rule<F>
where
    F: Fn(&mut Packet, &Context<'_>, &FlowTable) -> Verdict + Send + Sync,
{
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        (self.1)(packet, context, &self.0)
    }
}

fn table_with(offloads: Offloads) -> Tabletop {
    let settings = Settings { offloads, ..Settings::default() };
    let trackers = conntrack::Registry::builtin().build();
    let mut table = Tabletop::with_ports(&["r0", "r1"], settings, conntrack::Config::default(), trackers);
    for (port, own) in [(0, "10.0.0.1/24"), (0, "fd00::1/64"), (1, "192.168.101.1/24"), (1, "fd01::1/64")] {
        table.address(port, own);
    }
    for inside in ["10.0.0.2", "fd00::2"] {
        table.neighbor(0, inside, Some(HOST.0));
    }
    for outside in ["192.168.101.22", "fd01::2"] {
        table.neighbor(1, outside, Some(OUTSIDE));
    }
    let helpers = Helpers::builtin();
    let assign = Arc::new(Assign(helpers.find("ftp", protocol::TCP).unwrap().clone()));
    let seats = [Family::Ipv4, Family::Ipv6].map(|family| Registration {
        place: Place::new(family, Point::Prerouting, "assign"),
        priority: priority::MANGLE,
        hook: assign.clone(),
    });
    table.hooks().register(seats).unwrap();
    table
}

fn table() -> Tabletop {
    table_with(Offloads::NONE)
}

fn with_rule(
    table: &Tabletop,
    point: Point,
    statement: impl Fn(&mut Packet, &Context<'_>, &FlowTable) -> Verdict + Send + Sync + Clone + 'static,
) {
    let flows = &table.shared().flows;
    let chains = [Family::Ipv4, Family::Ipv6].map(|family| NatChain {
        family,
        point,
        priority: 0,
        hook: Arc::new(Rule(flows.clone(), statement.clone())),
    });
    table.hooks().register(Nat::seats(flows, &chains)).unwrap();
}

fn masqueraded(offloads: Offloads) -> Tabletop {
    let table = table_with(offloads);
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        if packet.route.is_some_and(|routed| routed.hop.port.0 == 1) {
            return masquerade(packet, context, flows, None, Flags::default());
        }
        Verdict::Accept
    });
    table
}

/// A TCP segment as it left the router.
#[derive(Debug, PartialEq)]
struct Segment {
    ends: (String, String),
    sequence: i32,
    ack: Option<i32>,
    payload: String,
}

/// Reads a frame, all of whose checksums must be right.
fn read(bytes: &[u8]) -> Segment {
    let frame = EthernetFrame::new_checked(bytes).unwrap();
    let (source, destination, tcp): (IpAddress, IpAddress, &[u8]) = match frame.payload()[0] >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(frame.payload()).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!(usize::from(ip.total_len()), frame.payload().len());
            assert_eq!(ip.next_header(), IpProtocol::Tcp);
            (ip.src_addr().into(), ip.dst_addr().into(), &frame.payload()[20..])
        }
        _ => {
            let ip = Ipv6Packet::new_checked(frame.payload()).unwrap();
            assert_eq!(ip.total_len(), frame.payload().len());
            (ip.src_addr().into(), ip.dst_addr().into(), &frame.payload()[40..])
        }
    };
    let packet = TcpPacket::new_checked(tcp).unwrap();
    let checks = ChecksumCapabilities::default();
    let tcp = TcpRepr::parse(&packet, &source, &destination, &checks).expect("the checksum is right");
    let end = |address: IpAddress, port| SocketAddr::new(IpAddr::from(address), port).to_string();
    Segment {
        ends: (end(source, tcp.src_port), end(destination, tcp.dst_port)),
        sequence: tcp.seq_number.0,
        ack: tcp.ack_number.map(|TcpSeqNumber(number)| number),
        payload: String::from_utf8_lossy(tcp.payload).into_owned(),
    }
}

/// One end of a connection: what it calls itself and the other, and its numbers.
struct End {
    port: usize,
    own: String,
    peer: String,
    sequence: i32,
    seen: i32,
}

impl End {
    fn segment(&self, control: TcpControl, ack: bool, payload: &str) -> Vec<u8> {
        let mut ends = Ends::to_port(self.port, &self.own, &self.peer);
        if self.port == 1 {
            ends.from = fib::adjacency::Mac(OUTSIDE);
        }
        ends.tcp(control, self.sequence, ack.then_some(self.seen), payload.as_bytes())
    }
}

/// Both ends of a connection through the router, each with its own view of it.
struct Talk {
    table: Tabletop,
    ends: [End; 2],
}

impl Talk {
    /// Opens a connection from `ends[0]`; what the ends call each other is found out as the packets pass.
    fn open(table: Tabletop, caller_port: usize, caller: &str, called: &str, seen_as: (&str, &str)) -> Self {
        let end = |port, own: &str, peer: &str, sequence| End {
            port,
            own: own.to_owned(),
            peer: peer.to_owned(),
            sequence,
            seen: 0,
        };
        let ends = [end(caller_port, caller, called, 1000), end(1 - caller_port, seen_as.1, seen_as.0, 7000)];
        let mut talk = Self { table, ends };
        talk.pass(0, TcpControl::Syn, false, "");
        talk.pass(1, TcpControl::Syn, true, "");
        talk.pass(0, TcpControl::None, true, "");
        talk
    }

    /// One end sends; the other gets the segment, which must be what it waits for.
    fn pass(&mut self, from: usize, control: TcpControl, ack: bool, payload: &str) -> Segment {
        let sent = self.send(from, control, ack, payload);
        let segment = sent.unwrap_or_else(|| panic!("end {from}: {control:?} {payload:?} was dropped"));
        let [one, other] = &mut self.ends;
        let (sender, receiver) = if from == 0 { (one, other) } else { (other, one) };
        assert_eq!(segment.ends, (receiver.peer.clone(), receiver.own.clone()));
        if control == TcpControl::Syn {
            receiver.seen = segment.sequence;
        }
        assert_eq!(segment.sequence, receiver.seen, "{payload:?}");
        if ack {
            assert_eq!(segment.ack, Some(receiver.sequence), "{payload:?}");
        }
        let control = i32::from(control == TcpControl::Syn);
        sender.sequence += i32::try_from(payload.len()).unwrap() + control;
        receiver.seen += i32::try_from(segment.payload.len()).unwrap() + control;
        segment
    }

    /// Puts what an end says on the wire; returns what leaves on the other side.
    fn send(&mut self, from: usize, control: TcpControl, ack: bool, payload: &str) -> Option<Segment> {
        let end = &self.ends[from];
        let (port, frame) = (end.port, end.segment(control, ack, payload));
        self.table.pass(port, &frame[..]);
        let out = self.table.take(1 - port);
        assert!(out.len() <= 1);
        out.first().map(|parcel| read(&parcel.bytes))
    }

    fn say(&mut self, from: usize, payload: &str) -> String {
        let heard = self.pass(from, TcpControl::Psh, true, payload).payload;
        self.pass(1 - from, TcpControl::None, true, "");
        heard
    }

    /// What both say before anything is transferred.
    fn greet(&mut self) {
        self.say(1, "220 ready\r\n");
        self.say(0, "USER me\r\n");
        self.say(1, "230 in\r\n");
    }

    fn table(&self) -> &FlowTable {
        &self.table.shared().flows
    }

    /// A segment that opens a connection of its own; what leaves on the other side.
    fn call(&mut self, port: usize, from: &str, to: &str) -> Option<Segment> {
        let end = End { port, own: from.into(), peer: to.into(), sequence: 1, seen: 0 };
        self.table.pass(port, &end.segment(TcpControl::Syn, false, "")[..]);
        self.table.take(1 - port).first().map(|parcel| read(&parcel.bytes))
    }

    fn flow_of(&self, source: &str, destination: &str) -> Shared<Conn> {
        let page = self.table().list(conntrack::Cursor::default(), 100, self.table.now(), |conn| {
            let tuple = conn.tuple(conntrack::Direction::Original);
            let end = |address, id| SocketAddr::new(address, id).to_string();
            end(tuple.source(), tuple.ids().source) == source
                && end(tuple.destination(), tuple.ids().destination) == destination
        });
        page.conns.into_iter().next().expect("there is such a flow")
    }
}

/// A client inside that is seen outside as the router.
fn client_inside(offloads: Offloads) -> Talk {
    let (client, server) = ("10.0.0.2:1000", "192.168.101.22:21");
    let mut talk = Talk::open(masqueraded(offloads), 0, client, server, ("192.168.101.1:1000", server));
    talk.greet();
    talk
}

#[test]
fn without_translation_an_announced_connection_is_related_and_the_announcement_untouched() {
    let (client, server) = ("10.0.0.2:1000", "192.168.101.22:21");
    let mut talk = Talk::open(table(), 0, client, server, (client, server));
    talk.greet();
    assert_eq!(talk.say(0, "PORT 10,0,0,2,4,210\r\n"), "PORT 10,0,0,2,4,210\r\n");
    assert_eq!(talk.table().expectations_len(), 1);
    talk.call(1, "192.168.101.22:20", "10.0.0.2:1234").expect("it passes");
    let data = talk.flow_of("192.168.101.22:20", "10.0.0.2:1234");
    assert!(data.status().contains(Status::EXPECTED));
    assert_eq!(data.master().unwrap().id(), talk.flow_of(client, server).id());
    assert_eq!(talk.table().expectations_len(), 0);
}

#[test]
fn a_masqueraded_client_is_called_at_the_routers_address() {
    let mut talk = client_inside(Offloads::NONE);
    assert_eq!(talk.say(0, "PORT 10,0,0,2,4,210\r\n"), "PORT 192,168,101,1,4,210\r\n");
    // Five bytes longer outside: every number after that is another on each side.
    assert_eq!(talk.say(1, "200 fine\r\n"), "200 fine\r\n");
    assert_eq!(talk.say(0, "LIST\r\n"), "LIST\r\n");
    assert_eq!(talk.ends[0].sequence + 5, talk.ends[1].seen);
    let segment = talk.call(1, "192.168.101.22:20", "192.168.101.1:1234").expect("it passes");
    assert_eq!(segment.ends, ("192.168.101.22:20".to_owned(), "10.0.0.2:1234".to_owned()));
    let data = talk.flow_of("192.168.101.22:20", "192.168.101.1:1234");
    assert!(data.status().contains(Status::EXPECTED | Status::DST_NAT));
    assert_eq!(talk.say(0, "EPRT |1|10.0.0.2|1235|\r\n"), format!("EPRT |1|{OWN}|1235|\r\n"));
    assert_eq!(talk.say(1, "200 fine\r\n"), "200 fine\r\n");
}

#[test]
fn a_shorter_announcement_shifts_the_other_way() {
    let (client, server) = ("[fd00::2]:1000", "[fd01::2]:21");
    let mut talk = Talk::open(masqueraded(Offloads::NONE), 0, client, server, ("[fd01::1]:1000", server));
    talk.greet();
    let long = "EPRT |2|fd00:0000:0000:0000:0000:0000:0000:0002|00000000000001234|\r\n";
    let heard = talk.say(0, long);
    assert_eq!(heard, "EPRT |2|fd01:0000:0000:0000:0000:0000:0000:0001|1234|\r\n");
    assert_eq!(talk.say(0, "LIST\r\n"), "LIST\r\n");
    assert!(talk.ends[0].sequence > talk.ends[1].seen);
    let segment = talk.call(1, "[fd01::2]:20", &format!("[{OWN6}]:1234")).expect("it passes");
    assert_eq!(segment.ends.1, "[fd00::2]:1234");
}

#[test]
fn a_server_behind_the_router_is_called_at_the_routers_address() {
    let table = table();
    with_rule(&table, Point::Prerouting, |packet, context, flows| {
        if packet.header.destination_port != 21 {
            return Verdict::Accept;
        }
        let range = Range { ids: Some((21, 21)), ..Range::to("10.0.0.2".parse().unwrap()) };
        setup(packet, context, flows, &range, Manip::Destination)
    });
    let client = "192.168.101.22:1000";
    let mut talk = Talk::open(table, 1, client, "192.168.101.1:21", (client, "10.0.0.2:21"));
    talk.greet();
    assert_eq!(talk.say(0, "PASV\r\n"), "PASV\r\n");
    assert_eq!(talk.say(1, "227 Here (10,0,0,2,19,137).\r\n"), "227 Here (192,168,101,1,19,137).\r\n");
    let segment = talk.call(1, "192.168.101.22:1001", "192.168.101.1:5001").expect("it passes");
    assert_eq!(segment.ends, ("192.168.101.22:1001".to_owned(), "10.0.0.2:5001".to_owned()));
    assert_eq!(talk.say(0, "RETR file\r\n"), "RETR file\r\n");
    assert_eq!(talk.say(1, "229 Here (|||5002|)\r\n"), "229 Here (|||5002|)\r\n");
    let segment = talk.call(1, "192.168.101.22:1002", "192.168.101.1:5002").expect("it passes");
    assert_eq!(segment.ends.1, "10.0.0.2:5002");
}

#[test]
fn an_announcement_sent_again_is_written_the_same_again() {
    let mut talk = client_inside(Offloads::NONE);
    let (before, seen) = (talk.ends[0].sequence, talk.ends[1].seen);
    let line = "PORT 10,0,0,2,4,210\r\n";
    let first = talk.pass(0, TcpControl::Psh, true, line);
    talk.ends[0].sequence = before;
    talk.ends[1].seen = seen;
    assert_eq!(talk.pass(0, TcpControl::Psh, true, line), first);
    assert_eq!(talk.table().expectations_len(), 1);
    assert_eq!(talk.say(0, "LIST\r\n"), "LIST\r\n");
    assert_eq!(talk.ends[0].sequence + 5, talk.ends[1].seen);
}

#[test]
fn a_port_that_somebody_else_expects_is_announced_as_another() {
    let mut talk = client_inside(Offloads::NONE);
    talk.say(0, "PORT 10,0,0,2,4,210\r\n");
    let Talk { mut table, .. } = talk;
    table.neighbor(0, "10.0.0.3", Some(HOST.0));
    let server = "192.168.101.22:21";
    let mut talk = Talk::open(table, 0, "10.0.0.3:2000", server, ("192.168.101.1:2000", server));
    talk.greet();
    let heard = talk.say(0, "PORT 10,0,0,3,4,210\r\n");
    assert!(heard.starts_with("PORT 192,168,101,1,"), "{heard:?}");
    assert_ne!(heard, "PORT 192,168,101,1,4,210\r\n");
    let numbers: Vec<u16> =
        heard.trim_end().rsplit(',').take(2).map(|number| number.parse().unwrap()).collect();
    let port = numbers[1] << 8 | numbers[0];
    let segment = talk.call(1, "192.168.101.22:20", &format!("{OWN}:{port}")).expect("it passes");
    assert_eq!(segment.ends.1, "10.0.0.3:1234", "it goes to the port that was meant");
}

#[test]
fn half_a_command_is_dropped_and_passes_when_it_is_whole() {
    let mut talk = client_inside(Offloads::NONE);
    assert_eq!(talk.send(0, TcpControl::Psh, true, "PORT 10,0,0,2"), None);
    assert_eq!(talk.table.counters().drops(DropReason::HelperRefused), 1);
    assert_eq!(talk.say(0, "PORT 10,0,0,2,4,210\r\n"), "PORT 192,168,101,1,4,210\r\n");
}

#[test]
fn an_announcement_at_the_head_of_a_super_packet_is_written_anew() {
    let mut talk = client_inside(Offloads::ALL);
    let line = "PORT 10,0,0,2,4,210\r\n";
    let payload = line.to_owned() + &"x".repeat(4000);
    let end = &talk.ends[0];
    let ends = Ends::to_port(0, &end.own, &end.peer);
    let parcel = ends.tcp_super_packet(end.sequence, end.seen, payload.as_bytes(), 1400);
    let segmentation = parcel.segmentation;
    talk.table.pass(0, parcel);
    let out: Vec<Parcel> = talk.table.take(1);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].segmentation, segmentation);
    assert!(matches!(out[0].checksum, Checksum::Partial { start: 20, offset: 16 }));
    let tcp = &out[0].bytes[34..];
    assert!(tcp[20..].starts_with(b"PORT 192,168,101,1,4,210\r\nxxx"), "{:?}", &tcp[20..60]);
    assert_eq!(tcp.len(), 20 + payload.len() + 5);
    let (own, server): (std::net::Ipv4Addr, std::net::Ipv4Addr) =
        (OWN.parse().unwrap(), "192.168.101.22".parse().unwrap());
    let length = u16::try_from(tcp.len()).unwrap();
    let pseudo = crate::packet::checksum::pseudo_header_v4(own, server, protocol::TCP, length);
    assert_eq!(crate::packet::u16_at(tcp, 16), pseudo);
}
