//! A blocking client: connects to a running routerd, asks, and reads the answer as it is made.

use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::address::Address;
use crate::frame::{self, FrameError, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::message::{Action, Envelope, Failure, Question, Reply, Request, Row};

/// How long routerd may take to accept a connection, or to send the next message of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no routerd answers at {0} in this network namespace; start one with `routerd --ports PORT,PORT`, \
         or say where it is with --control or -n"
    )]
    NobodyThere(Address),
    /// It listens but does not answer.
    #[error("routerd at {0} does not answer (waited {PATIENCE:?})")]
    NoAnswer(Address),
    /// It hung up within an answer.
    #[error("routerd at {0} hung up in the middle of its answer")]
    HungUp(Address),
    /// The socket cannot be used.
    #[error("control socket {address}: {source}")]
    Socket {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// What came is not a message of this version.
    #[error("routerd at {address} sent something else than an answer: {source}")]
    Nonsense {
        /// Where.
        address: Address,
        /// What was wrong.
        source: FrameError,
    },
    /// routerd says no.
    #[error(transparent)]
    Refused(#[from] Failure),
}

/// A connection to a routerd. Can be used for many requests, one after the other.
#[derive(Debug)]
pub struct Client {
    address: Address,
    stream: BufReader<UnixStream>,
    buffer: Vec<u8>,
}

/// The answer to a request, read message by message. Rows for a question; rows, events and losses for a monitor.
#[derive(Debug)]
pub struct Replies<'client> {
    client: &'client mut Client,
    finished: bool,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::NobodyThere`], [`ClientError::NoAnswer`] if routerd takes no more clients for ten seconds,
    /// [`ClientError::Socket`].
    pub fn connect(address: &Address) -> Result<Self, ClientError> {
        let stream = connect(address).map_err(|source| match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                ClientError::NobodyThere(address.clone())
            }
            io::ErrorKind::WouldBlock => ClientError::NoAnswer(address.clone()),
            _ => ClientError::Socket { address: address.clone(), source },
        })?;
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self { address: address.clone(), stream, buffer: Vec::new() })
    }

    /// Sends a request. The answer has to be read to its end before the next one.
    ///
    /// # Errors
    /// [`ClientError`]; a request refused by routerd shows when its answer is read.
    pub fn send(&mut self, request: Request) -> Result<Replies<'_>, ClientError> {
        let patience = if matches!(request, Request::Monitor(_)) { None } else { Some(PATIENCE) };
        let mut bytes = Vec::new();
        frame::encode(&Envelope::new(request), REQUEST_BYTES_MAX, &mut bytes)
            .map_err(|source| self.nonsense(source))?;
        let stream = self.stream.get_mut();
        let sent = stream.set_read_timeout(patience).and_then(|()| stream.write_all(&bytes));
        match sent {
            // A routerd that hangs up at once has said why, or its silence is reported by the reader.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.socket(error)),
            _ => Ok(Replies { client: self, finished: false }),
        }
    }

    /// Asks a question.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn ask(&mut self, question: Question) -> Result<Replies<'_>, ClientError> {
        self.send(Request::Ask(question))
    }

    /// Asks a question and collects all rows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rows(&mut self, question: Question) -> Result<Vec<Row>, ClientError> {
        self.ask(question)?.rows()
    }

    /// Has something done, and collects what became of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn act(&mut self, action: Action) -> Result<Vec<Row>, ClientError> {
        self.send(Request::Do(action))?.rows()
    }

    fn read(&mut self) -> Result<Reply, ClientError> {
        match frame::read(&mut self.stream, REPLY_BYTES_MAX, &mut self.buffer) {
            Ok(Some(bytes)) => frame::decode(bytes)
                .map_err(|source| ClientError::Nonsense { address: self.address.clone(), source }),
            Ok(None) => Err(ClientError::HungUp(self.address.clone())),
            Err(FrameError::Stream(error)) => Err(self.socket(error)),
            Err(source) => Err(self.nonsense(source)),
        }
    }

    fn socket(&self, source: io::Error) -> ClientError {
        let address = self.address.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::NoAnswer(address),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                ClientError::HungUp(address)
            }
            _ => ClientError::Socket { address, source },
        }
    }

    fn nonsense(&self, source: FrameError) -> ClientError {
        ClientError::Nonsense { address: self.address.clone(), source }
    }
}

impl Replies<'_> {
    fn rows(self) -> Result<Vec<Row>, ClientError> {
        let rows = self.filter_map(|reply| match reply {
            Ok(Reply::Row(row)) => Some(Ok(row)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        rows.collect()
    }
}

impl Iterator for Replies<'_> {
    type Item = Result<Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let reply = self.client.read();
        self.finished = !matches!(reply, Ok(Reply::Row(_) | Reply::Event(_) | Reply::Lost(_)));
        match reply {
            Ok(Reply::End) => None,
            Ok(Reply::Failure(failure)) => Some(Err(failure.into())),
            other => Some(other),
        }
    }
}

/// Connects with a bound: `SO_SNDTIMEO` also limits how long `connect(2)` waits for a place in the backlog.
fn connect(address: &Address) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&address.to_socket_address()?)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::message::{FailureKind, FlowsDeleted};

    /// A routerd that reads one request and says `replies`, cut off after `bytes_max` bytes.
    fn scripted(replies: &[Reply], bytes_max: usize) -> (Address, thread::JoinHandle<Option<Envelope>>) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ctl-client-test-{}-{number}", std::process::id());
        let address = Address::Abstract(name.clone());
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&address.to_socket_address().unwrap()).unwrap();
        socket.listen(4).unwrap();
        let listener = UnixListener::from(OwnedFd::from(socket));
        let mut bytes = Vec::new();
        for reply in replies {
            frame::encode(reply, REPLY_BYTES_MAX, &mut bytes).unwrap();
        }
        bytes.truncate(bytes_max);
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = Vec::new();
            let request = frame::read(&mut stream, REQUEST_BYTES_MAX, &mut buffer).unwrap();
            let request = request.map(|bytes| frame::decode(bytes).unwrap());
            stream.write_all(&bytes).unwrap();
            request
        });
        (address, thread)
    }

    fn deleted(deleted: u64) -> Reply {
        Reply::Row(Row::FlowsDeleted(FlowsDeleted { deleted }))
    }

    #[test]
    fn rows_are_read_until_the_end() {
        let (address, routerd) = scripted(&[deleted(1), deleted(2), Reply::End, deleted(3)], usize::MAX);
        let rows = Client::connect(&address).unwrap().rows(Question::Hooks).unwrap();
        let expected: Vec<Row> =
            [1, 2].map(|deleted| Row::FlowsDeleted(FlowsDeleted { deleted })).into_iter().collect();
        assert_eq!(rows, expected);
        let request = routerd.join().unwrap().unwrap();
        assert_eq!(request, Envelope::new(Request::Ask(Question::Hooks)));
    }

    #[test]
    fn a_failure_after_rows_is_an_error() {
        let failure = Failure::new(FailureKind::Failed, "the table is on fire");
        let (address, _routerd) = scripted(&[deleted(1), Reply::Failure(failure)], usize::MAX);
        let error = Client::connect(&address).unwrap().rows(Question::Hooks).unwrap_err();
        assert_eq!(error.to_string(), "the table is on fire");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_never_taken_for_a_whole_one() {
        let mut whole = Vec::new();
        frame::encode(&deleted(1), REPLY_BYTES_MAX, &mut whole).unwrap();
        for cut in 0..=whole.len() {
            let (address, _routerd) = scripted(&[deleted(1), Reply::End], cut);
            let error = Client::connect(&address).unwrap().rows(Question::Hooks).unwrap_err();
            assert!(matches!(error, ClientError::HungUp(_)), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn where_nobody_listens_the_error_says_how_to_start() {
        let address = Address::Abstract(format!("ctl-client-test-nobody-{}", std::process::id()));
        let error = Client::connect(&address).unwrap_err();
        assert!(matches!(error, ClientError::NobodyThere(_)), "{error}");
        assert!(error.to_string().contains("start one with `routerd --ports"), "{error}");
        let error = Client::connect(&Address::Path("/nonexistent/routerd.sock".into())).unwrap_err();
        assert!(matches!(error, ClientError::NobodyThere(_)), "{error}");
    }
}
