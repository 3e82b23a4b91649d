//! What hosts of the simulated ground send each other: TCP transfers, datagrams, echoes. Each checks what arrives.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use conntrack::Instant;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpListenEndpoint};

use super::Ground;

/// Something that hosts do, a little at a time.
pub trait Traffic {
    /// Does what can be done now.
    fn work(&mut self, ground: &mut Ground);

    /// When it wants to work even if nothing arrives.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How much has arrived, all of it right: bytes of a stream, datagrams, answers; each counted once.
    fn arrived(&self) -> usize;

    /// Whether all that was to be sent has arrived.
    fn is_done(&self) -> bool;
}

/// A TCP stream of bytes that nobody could mistake for others.
#[derive(Debug)]
pub struct Transfer {
    ends: [(String, SocketHandle); 2],
    bytes: Vec<u8>,
    sent: usize,
    received: usize,
}

/// Room of a socket, in bytes.
const WINDOW: usize = 64 << 10;

impl Transfer {
    /// Begins to send so many bytes from one host to `address` of another.
    ///
    /// # Panics
    /// If there are no such hosts.
    pub fn start(ground: &mut Ground, from: &str, to: &str, address: IpAddr, bytes: usize) -> Self {
        let port = ground.next_port();
        let buffer = || tcp::SocketBuffer::new(vec![0; WINDOW]);
        let mut server = tcp::Socket::new(buffer(), buffer());
        server.listen(IpListenEndpoint { addr: None, port }).expect("a fresh socket and a port");
        let server = ground.host(to).sockets.add(server);
        let (interface, sockets) = ground.host(from).parts();
        let client = sockets.add(tcp::Socket::new(buffer(), buffer()));
        sockets
            .get_mut::<tcp::Socket<'_>>(client)
            .connect(interface.context(), (IpAddress::from(address), port), port)
            .expect("a fresh socket and a port");
        let mut random = fastrand::Rng::with_seed(port.into());
        Self {
            ends: [(from.to_owned(), client), (to.to_owned(), server)],
            bytes: std::iter::repeat_with(|| random.u8(..)).take(bytes).collect(),
            sent: 0,
            received: 0,
        }
    }
}

impl Traffic for Transfer {
    fn work(&mut self, ground: &mut Ground) {
        let [(from, client), (to, server)] = &self.ends;
        let sender = ground.host(from).sockets.get_mut::<tcp::Socket<'_>>(*client);
        assert!(sender.state() != tcp::State::Closed || self.is_done(), "the stream broke");
        if sender.can_send() {
            self.sent += sender.send_slice(&self.bytes[self.sent..]).expect("it can send");
            if self.sent == self.bytes.len() {
                sender.close();
            }
        }
        let receiver = ground.host(to).sockets.get_mut::<tcp::Socket<'_>>(*server);
        while receiver.can_recv() {
            let expected = &self.bytes[self.received..];
            let received = receiver.recv(|bytes| {
                assert!(expected.starts_with(bytes), "wrong bytes arrived");
                (bytes.len(), bytes.len())
            });
            self.received += received.expect("it can receive");
        }
    }

    fn arrived(&self) -> usize {
        self.received
    }

    fn is_done(&self) -> bool {
        self.received == self.bytes.len()
    }
}

/// Things sent at even intervals, each with a number; and the numbers that came to their end.
#[derive(Debug)]
struct Series {
    count: u16,
    sent: u16,
    next: Instant,
    interval: Duration,
    arrived: BTreeSet<u16>,
    /// Numbers that arrived again.
    again: u64,
}

impl Series {
    fn new(now: Instant, count: u16, interval: Duration) -> Self {
        Self { count, sent: 0, next: now, interval, arrived: BTreeSet::new(), again: 0 }
    }

    /// The number to send now, if one is due.
    fn take_due(&mut self, now: Instant) -> Option<u16> {
        if self.sent == self.count || self.next > now {
            return None;
        }
        self.sent += 1;
        self.next = self.next + self.interval;
        Some(self.sent - 1)
    }

    fn due(&self) -> Option<Instant> {
        (self.sent < self.count).then_some(self.next)
    }

    fn arrive(&mut self, number: u16) {
        assert!(number < self.sent, "number {number} was never sent");
        if !self.arrived.insert(number) {
            self.again += 1;
        }
    }
}

/// UDP datagrams in one direction.
#[derive(Debug)]
pub struct Datagrams {
    ends: [(String, SocketHandle); 2],
    target: (IpAddress, u16),
    payload: usize,
    series: Series,
}

impl Datagrams {
    /// Sends `count` datagrams of `payload` bytes (at least 2), one every `interval`, from one host to `address` of
    /// another.
    ///
    /// # Panics
    /// If there are no such hosts.
    pub fn start(
        ground: &mut Ground,
        [from, to]: [&str; 2],
        address: IpAddr,
        payload: usize,
        count: u16,
        interval: Duration,
    ) -> Self {
        let port = ground.next_port();
        let ends = [from, to].map(|name| {
            let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; WINDOW]);
            let mut socket = udp::Socket::new(buffer(), buffer());
            socket.bind(port).expect("a fresh socket and a port");
            (name.to_owned(), ground.host(name).sockets.add(socket))
        });
        let series = Series::new(ground.now(), count, interval);
        Self { ends, target: (address.into(), port), payload, series }
    }
}

impl Traffic for Datagrams {
    fn work(&mut self, ground: &mut Ground) {
        let now = ground.now();
        let [(from, client), (to, server)] = &self.ends;
        while let Some(number) = self.series.take_due(now) {
            let mut payload = vec![0x5a; self.payload];
            payload[..2].copy_from_slice(&number.to_be_bytes());
            let socket = ground.host(from).sockets.get_mut::<udp::Socket<'_>>(*client);
            socket.send_slice(&payload, self.target).expect("room for a datagram");
        }
        let socket = ground.host(to).sockets.get_mut::<udp::Socket<'_>>(*server);
        while let Ok((payload, _)) = socket.recv() {
            assert!(payload.len() == self.payload && payload[2..].iter().all(|byte| *byte == 0x5a));
            self.series.arrive(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }

    fn due(&self) -> Option<Instant> {
        self.series.due()
    }

    fn arrived(&self) -> usize {
        self.series.arrived.len()
    }

    fn is_done(&self) -> bool {
        self.arrived() == usize::from(self.series.count)
    }
}

/// Echo requests, and the replies that came back.
#[derive(Debug)]
pub struct Pings {
    from: String,
    socket: SocketHandle,
    addresses: [IpAddress; 2],
    ident: u16,
    series: Series,
}

impl Pings {
    /// Sends `count` echo requests, one every `interval`, from `source` of a host to `target`.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn start(
        ground: &mut Ground,
        from: &str,
        [source, target]: [IpAddr; 2],
        count: u16,
        interval: Duration,
    ) -> Self {
        let ident = ground.next_port();
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 64], vec![0; WINDOW]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(ident)).expect("a fresh socket and an identifier");
        let socket = ground.host(from).sockets.add(socket);
        let addresses = [source.into(), target.into()];
        let series = Series::new(ground.now(), count, interval);
        Self { from: from.to_owned(), socket, addresses, ident, series }
    }

    fn request(&self, seq_no: u16) -> Vec<u8> {
        let (ident, data) = (self.ident, &b"who goes there"[..]);
        let whole = ChecksumCapabilities::default();
        match self.addresses {
            [IpAddress::Ipv6(source), IpAddress::Ipv6(target)] => {
                let request = Icmpv6Repr::EchoRequest { ident, seq_no, data };
                let mut bytes = vec![0; request.buffer_len()];
                request.emit(&source, &target, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &whole);
                bytes
            }
            _ => {
                let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
                let mut bytes = vec![0; request.buffer_len()];
                request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &whole);
                bytes
            }
        }
    }
}

impl Traffic for Pings {
    fn work(&mut self, ground: &mut Ground) {
        while let Some(number) = self.series.take_due(ground.now()) {
            let request = self.request(number);
            let socket = ground.host(&self.from).sockets.get_mut::<icmp::Socket<'_>>(self.socket);
            socket.send_slice(&request, self.addresses[1]).expect("room for a request");
        }
        let socket = ground.host(&self.from).sockets.get_mut::<icmp::Socket<'_>>(self.socket);
        while let Ok((message, source)) = socket.recv() {
            if matches!(message[0], 0 | 129) {
                assert_eq!(source, self.addresses[1], "the answer comes from whom it was asked of");
                self.series.arrive(u16::from_be_bytes([message[6], message[7]]));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.series.due()
    }

    fn arrived(&self) -> usize {
        self.series.arrived.len()
    }

    fn is_done(&self) -> bool {
        self.arrived() == usize::from(self.series.count)
    }
}
