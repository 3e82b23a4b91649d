//! A blocking client: binds queues of a running routerd, takes packets, says what becomes of them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::address_of;
use super::message::{
    Bind, Failed, Judged, MESSAGE_BYTES_MAX, Malformed, PacketHead, Said, Told, Unbind, Verdict,
};
use crate::address::Address;

/// How long routerd may take to accept a connection, or to answer anything but a verdict.
const PATIENCE: Duration = Duration::from_secs(10);

/// What went wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Nobody serves programs there.
    #[error("no routerd serves queues at {0} in this network namespace")]
    NobodyThere(Address),
    /// It listens but does not answer.
    #[error("routerd at {0} does not answer (waited {PATIENCE:?})")]
    NoAnswer(Address),
    /// It hung up before it answered.
    #[error("routerd at {0} hung up")]
    HungUp(Address),
    /// The socket cannot be used.
    #[error("queue socket {address}: {source}")]
    Socket {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// What came is not a message of this version.
    #[error("routerd at {address} sent something else than packets: {source}")]
    Nonsense {
        /// Where.
        address: Address,
        /// What was wrong.
        source: Malformed,
    },
    /// routerd says no; the connection can be used further.
    #[error("{}", .0.error)]
    Refused(Failed),
}

/// A packet that waits for a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What is known of it.
    pub head: PacketHead,
    /// Its bytes, from the network header on; those of families arp and bridge from the link header on. Fewer than
    /// [`PacketHead::length`] if fewer were asked for.
    pub bytes: Vec<u8>,
}

/// One or more queues whose packets this process judges. When it is dropped the packets that wait are dropped too, or go
/// on if [`Bind::fail_open`] asks for it.
#[derive(Debug)]
pub struct Queue {
    address: Address,
    socket: Socket,
    message: Vec<u8>,
    /// Packets that came while something else was waited for.
    early: VecDeque<Packet>,
}

impl Queue {
    /// Takes queue `number` of the routerd whose control socket is at `control`, with the usual wishes.
    ///
    /// # Errors
    /// [`QueueError`]; [`QueueError::Refused`] names the process that has the queue already.
    pub fn bind(control: &Address, number: u16) -> Result<Self, QueueError> {
        let mut queue = Self::connect(control)?;
        queue.take(&Bind::new(number))?;
        Ok(queue)
    }

    /// A connection that has no queue yet.
    ///
    /// # Errors
    /// [`QueueError::NobodyThere`], [`QueueError::Socket`].
    pub fn connect(control: &Address) -> Result<Self, QueueError> {
        let address = address_of(control);
        let connected = Socket::new(Domain::UNIX, Type::SEQPACKET, None).and_then(|socket| {
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.connect(&address.to_socket_address()?)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => Ok(Self { address, socket, message: Vec::new(), early: VecDeque::new() }),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    QueueError::NobodyThere(address)
                }
                io::ErrorKind::WouldBlock => QueueError::NoAnswer(address),
                _ => QueueError::Socket { address, source: error },
            }),
        }
    }

    /// Takes a queue, one more or the first.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn take(&mut self, bind: &Bind) -> Result<(), QueueError> {
        self.say(&Said::Bind(bind.clone()))?;
        let number = bind.bind;
        self.await_answer(|told| matches!(told, Told::Bound(bound) if bound.bound == number))
    }

    /// Gives a queue up. Its packets that wait are treated as if this process had ended.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn give_up(&mut self, number: u16) -> Result<(), QueueError> {
        self.say(&Said::Unbind(Unbind { unbind: number }))?;
        self.await_answer(|told| matches!(told, Told::Unbound(unbound) if unbound.unbound == number))
    }

    /// Waits for the next packet; `None` when routerd has ended.
    ///
    /// # Errors
    /// [`QueueError`]; after [`QueueError::Refused`], which is about a verdict given before, it can be called again.
    pub fn receive(&mut self) -> Result<Option<Packet>, QueueError> {
        if let Some(packet) = self.early.pop_front() {
            return Ok(Some(packet));
        }
        self.wait_for(None)?;
        loop {
            match self.hear()? {
                None => return Ok(None),
                Some(Told::Packet(head, bytes)) => {
                    return Ok(Some(Packet { head, bytes: bytes.to_vec() }));
                }
                Some(Told::Failed(failed)) => return Err(QueueError::Refused(failed)),
                Some(Told::Bound(_) | Told::Unbound(_)) => {}
            }
        }
    }

    /// Says what becomes of a packet, which stays as it is.
    ///
    /// # Errors
    /// [`QueueError::Socket`], [`QueueError::HungUp`]. What routerd does not like of it, [`Self::receive`] tells.
    pub fn judge(&mut self, packet: &Packet, verdict: Verdict) -> Result<(), QueueError> {
        self.answer(&Judged::new(packet.head.packet, verdict), None)
    }

    /// Says what becomes of a packet, with everything that can be said, and with new bytes if it is changed. They have to
    /// be the whole packet; with [`Judged::fix_checksums`] routerd makes lengths and checksums right.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn answer(&mut self, judged: &Judged, bytes: Option<&[u8]>) -> Result<(), QueueError> {
        self.say(&Said::Judged(judged.clone(), bytes))
    }

    fn await_answer(&mut self, is_answer: impl Fn(&Told<'_>) -> bool) -> Result<(), QueueError> {
        self.wait_for(Some(PATIENCE))?;
        loop {
            match self.hear()? {
                None => return Err(QueueError::HungUp(self.address.clone())),
                Some(Told::Failed(failed)) => return Err(QueueError::Refused(failed)),
                Some(Told::Packet(head, bytes)) => {
                    let packet = Packet { head, bytes: bytes.to_vec() };
                    self.early.push_back(packet);
                }
                Some(told) if is_answer(&told) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn wait_for(&self, patience: Option<Duration>) -> Result<(), QueueError> {
        self.socket.set_read_timeout(patience).map_err(|error| wrong(&self.address, error))
    }

    fn say(&mut self, said: &Said<'_>) -> Result<(), QueueError> {
        said.write(&mut self.message);
        match self.socket.send(&self.message) {
            Ok(_) => Ok(()),
            Err(error) => Err(wrong(&self.address, error)),
        }
    }

    /// The next message; `None` when routerd has hung up.
    fn hear(&mut self) -> Result<Option<Told<'_>>, QueueError> {
        let Self { address, socket, message, .. } = self;
        message.resize(MESSAGE_BYTES_MAX + 1, 0);
        let len = loop {
            match socket.read(message) {
                Ok(0) => return Ok(None),
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(wrong(address, error)),
            }
        };
        let told = Told::read(&message[..len]);
        told.map(Some).map_err(|source| QueueError::Nonsense { address: address.clone(), source })
    }
}

fn wrong(address: &Address, source: io::Error) -> QueueError {
    let address = address.clone();
    match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => QueueError::NoAnswer(address),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => QueueError::HungUp(address),
        _ => QueueError::Socket { address, source },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::queue::message::{Bound, Unbound};

    /// A routerd that takes one program and does as a script says.
    pub(in super::super) fn scripted(
        script: impl FnOnce(Socket) + Send + 'static,
    ) -> (Address, JoinHandle<()>) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let control = Address::Abstract(format!("ctl-queue-test-{}-{number}", std::process::id()));
        let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        listener.bind(&address_of(&control).to_socket_address().unwrap()).unwrap();
        listener.listen(1).unwrap();
        (control, thread::spawn(move || script(listener.accept().unwrap().0)))
    }

    pub(in super::super) fn tell(socket: &Socket, told: &Told<'_>) {
        let mut message = Vec::new();
        told.write(&mut message);
        socket.send(&message).unwrap();
    }

    /// The line and the bytes of the next message.
    pub(in super::super) fn hear(mut socket: &Socket) -> String {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let len = socket.read(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    pub(in super::super) fn head(packet: u64) -> PacketHead {
        PacketHead {
            packet,
            queue: 3,
            family: "ipv4".into(),
            hook: "forward".into(),
            input: Some("r0".into()),
            output: Some("r1".into()),
            mark: 0,
            length: 3,
            ct: None,
        }
    }

    #[test]
    fn packets_are_taken_and_judged() {
        let (control, routerd) = scripted(|socket| {
            assert_eq!(
                hear(&socket),
                r#"{"bind":3,"copy_bytes":65557,"fail_open":false,"packets_max":1024}"#
            );
            tell(&socket, &Told::Bound(Bound { bound: 3 }));
            tell(&socket, &Told::Packet(head(7), b"one"));
            tell(&socket, &Told::Packet(head(8), b"two"));
            assert_eq!(hear(&socket), r#"{"packet":7,"verdict":"drop"}"#);
            assert_eq!(
                hear(&socket),
                "{\"packet\":8,\"verdict\":\"accept\",\"mark\":5,\"fix_checksums\":true}\nTWO"
            );
        });
        let mut queue = Queue::bind(&control, 3).unwrap();
        let first = queue.receive().unwrap().unwrap();
        assert_eq!(first, Packet { head: head(7), bytes: b"one".to_vec() });
        queue.judge(&first, Verdict::Drop).unwrap();
        let second = queue.receive().unwrap().unwrap();
        let judged =
            Judged { mark: Some(5), fix_checksums: true, ..Judged::new(second.head.packet, Verdict::Accept) };
        queue.answer(&judged, Some(&second.bytes.to_ascii_uppercase())).unwrap();
        assert_eq!(queue.receive().unwrap(), None, "routerd has ended");
        routerd.join().unwrap();
    }

    #[test]
    fn packets_that_come_early_are_not_lost() {
        let (control, routerd) = scripted(|socket| {
            hear(&socket);
            tell(&socket, &Told::Bound(Bound { bound: 3 }));
            hear(&socket);
            tell(&socket, &Told::Packet(head(7), b"one"));
            tell(&socket, &Told::Bound(Bound { bound: 4 }));
            assert_eq!(hear(&socket), r#"{"unbind":4}"#);
            tell(&socket, &Told::Unbound(Unbound { unbound: 4 }));
        });
        let mut queue = Queue::bind(&control, 3).unwrap();
        queue.take(&Bind::new(4)).unwrap();
        queue.give_up(4).unwrap();
        assert_eq!(queue.receive().unwrap().unwrap().head, head(7));
        routerd.join().unwrap();
    }

    #[test]
    fn what_routerd_does_not_like_is_told() {
        let (control, routerd) = scripted(|socket| {
            hear(&socket);
            let error = "queue 3 is held by process 1".to_owned();
            tell(&socket, &Told::Failed(Failed { error, packet: None, queue: Some(3) }));
        });
        let error = Queue::bind(&control, 3).unwrap_err();
        assert_eq!(error.to_string(), "queue 3 is held by process 1");
        routerd.join().unwrap();
        let nobody = Address::Abstract(format!("ctl-queue-test-nobody-{}", std::process::id()));
        let error = Queue::bind(&nobody, 3).unwrap_err();
        assert!(matches!(error, QueueError::NobodyThere(_)), "{error}");
    }
}
