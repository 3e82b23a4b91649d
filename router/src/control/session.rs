//! One client, from its first request to its hanging up.

use std::io;

use ctl::frame::{self, FrameError, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
use ctl::message::{Envelope, Failure, FailureKind, Head, Reply, Request, Row, Topics, VERSION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::answer::{act, answer};
use super::events::{Events, Told};
use super::serve::{ControlStats, Limits, Place, WaitsFor, count};
use super::sources::{Actions, Pages};

/// Bytes of an answer that are gathered before they are sent.
const GATHER_BYTES: usize = 128 * 1024;

/// Bytes of a request that room is made for before they have come.
const ROOM_AHEAD: usize = 64 * 1024;

/// A client and its bounds.
pub(super) struct Session<'a> {
    pub(super) stream: UnixStream,
    pub(super) place: &'a Place,
    pub(super) limits: Limits,
    pub(super) stats: &'a ControlStats,
}

/// The writing half: what is pushed is gathered, and sent by [`Output::flush`].
struct Output<'a> {
    stream: WriteHalf<'a>,
    place: &'a Place,
    gathered: Vec<u8>,
}

/// Why no more requests are read: the client has hung up or cannot be written to.
struct Gone;

impl Session<'_> {
    /// Answers requests until the client hangs up, is silent for too long or sends what is no frame.
    pub(super) async fn run(mut self, actions: &dyn Actions, events: &Events) {
        let (mut input, output) = self.stream.split();
        let mut output = Output { stream: output, place: self.place, gathered: Vec::new() };
        loop {
            self.place.now_waiting(WaitsFor::Request);
            let request = timeout(self.limits.request_wait, read_frame(&mut input)).await;
            self.place.now_waiting(WaitsFor::Router);
            let request = match request {
                Ok(Ok(Some(bytes))) => parse(&bytes),
                Ok(Ok(None) | Err(FrameError::Stream(_) | FrameError::Malformed(_))) => return,
                Ok(Err(error @ FrameError::TooLarge { .. })) => {
                    count(&self.stats.requests_malformed);
                    return output.last_words(FailureKind::BadRequest, error.to_string()).await;
                }
                Err(_) => {
                    let message = format!("no request came for {:?}", self.limits.request_wait);
                    return output.last_words(FailureKind::TimedOut, message).await;
                }
            };
            count(&self.stats.requests);
            let rows = match request {
                Ok(Request::Ask(question)) => answer(&question, actions),
                Ok(Request::Do(action)) => act(&action, actions),
                Ok(Request::Monitor(topics)) => {
                    // Whatever ends it ends the session: the client has hung up.
                    let (Ok(Gone) | Err(Gone)) = output.monitor(topics, events, &mut input).await;
                    return;
                }
                Err(failure) => {
                    count(&self.stats.requests_malformed);
                    Err(failure)
                }
            };
            if output.rows(rows, self.limits.page_rows).await.is_err() {
                return;
            }
        }
    }
}

impl Output<'_> {
    /// Sends an answer to its end. Between pages others get their turn.
    async fn rows(&mut self, rows: Result<Pages<'_, Row>, Failure>, page_rows: usize) -> Result<(), Gone> {
        match rows {
            Err(failure) => self.push(&Reply::Failure(failure))?,
            Ok(mut pages) => {
                while let Some(page) = pages.next(page_rows) {
                    for row in page {
                        self.push(&Reply::Row(row))?;
                        if self.gathered.len() >= GATHER_BYTES {
                            self.flush().await?;
                        }
                    }
                    self.flush().await?;
                    tokio::task::yield_now().await;
                }
                self.push(&Reply::End)?;
            }
        }
        self.flush().await
    }

    /// Sends what happens until the client hangs up, or says anything more.
    async fn monitor(
        &mut self,
        topics: Topics,
        events: &Events,
        input: &mut ReadHalf<'_>,
    ) -> Result<Gone, Gone> {
        let mut watch = events.watch(topics);
        loop {
            let mut told = tokio::select! {
                told = watch.next() => Some(told),
                _ = input.read_u8() => return Ok(Gone),
            };
            while let Some(what) = told {
                match what {
                    Told::Message(message) => self.gathered.extend_from_slice(&message),
                    Told::Lost(count) => self.push(&Reply::Lost(count))?,
                }
                told = if self.gathered.len() < GATHER_BYTES { watch.try_next() } else { None };
            }
            tokio::select! {
                flushed = self.flush() => flushed?,
                _ = input.read_u8() => return Ok(Gone),
            }
        }
    }

    async fn last_words(&mut self, kind: FailureKind, message: String) {
        if self.push(&Reply::Failure(Failure::new(kind, message))).is_ok() {
            // The session ends whether they are heard or not.
            drop(self.flush().await);
        }
    }

    /// Adds a message. One that is too large ends the answer with a failure that says so.
    fn push(&mut self, reply: &Reply) -> Result<(), Gone> {
        let Err(error) = frame::encode(reply, REPLY_BYTES_MAX, &mut self.gathered) else { return Ok(()) };
        let failure =
            Reply::Failure(Failure::new(FailureKind::Failed, format!("a row cannot be told: {error}")));
        frame::encode(&failure, REPLY_BYTES_MAX, &mut self.gathered).map_err(|_| Gone)
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let mut sent = 0;
        while sent < self.gathered.len() {
            self.place.now_waiting(WaitsFor::Reader);
            match self.stream.write(&self.gathered[sent..]).await {
                Ok(0) => return Err(Gone),
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        self.place.now_waiting(WaitsFor::Router);
        self.gathered.clear();
        Ok(())
    }
}

/// A frame's bytes; `None` when the client has hung up between frames.
async fn read_frame(input: &mut ReadHalf<'_>) -> Result<Option<Vec<u8>>, FrameError> {
    let mut prefix = [0; frame::PREFIX];
    if input.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut prefix[1..]).await?;
    let length = frame::length(prefix, REQUEST_BYTES_MAX)?;
    // Room is made as the bytes come: a client that announces much and sends little holds little.
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let step = (length - bytes.len()).min(ROOM_AHEAD);
        let read = bytes.len();
        bytes.resize(read + step, 0);
        input.read_exact(&mut bytes[read..]).await?;
    }
    Ok(Some(bytes))
}

/// The request in a frame, if it is one of this version.
fn parse(bytes: &[u8]) -> Result<Request, Failure> {
    let bad = |error: FrameError| {
        Failure::new(FailureKind::BadRequest, format!("routerd does not understand this request: {error}"))
    };
    let head: Head = frame::decode(bytes).map_err(bad)?;
    if head.version != VERSION {
        let message = format!(
            "this client speaks version {} of the control messages, routerd {} speaks version {VERSION}; \
             use the routerctl that came with it",
            head.version,
            env!("CARGO_PKG_VERSION")
        );
        return Err(Failure::new(FailureKind::Version, message));
    }
    frame::decode::<Envelope>(bytes).map(|envelope| envelope.request).map_err(bad)
}
