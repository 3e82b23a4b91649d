//! Who may connect, how many at once, and who gives way when there are too many.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ctl::address::Address;
use ctl::frame::{self, REPLY_BYTES_MAX};
use ctl::message::{Failure, FailureKind, Reply};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::events::Events;
use super::listen::{BindError, Listener};
use super::session;
use super::sources::Actions;

/// How long nobody is accepted after `accept(2)` has failed (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the control socket.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients at once.
    pub clients_max: usize,
    /// Rows made at a time; the mirror gets its turn in between.
    pub page_rows: usize,
    /// How long a client may take to send a request, counted from its connection or its last answer.
    pub request_wait: Duration,
    /// When all places are taken, a client that has sent no request for this long gives way.
    pub silent_grace: Duration,
    /// When all places are taken, a client that has read nothing of its answer for this long gives way.
    pub stalled_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients_max: 256,
            page_rows: 256,
            request_wait: Duration::from_secs(60),
            silent_grace: Duration::from_millis(200),
            stalled_grace: Duration::from_secs(10),
        }
    }
}

/// What the control socket has counted.
#[derive(Debug, Default)]
pub struct ControlStats {
    /// Clients that were given a place.
    pub clients: AtomicU64,
    /// Clients turned away because they are neither root nor the user routerd runs as.
    pub clients_forbidden: AtomicU64,
    /// Clients turned away because all places were taken.
    pub clients_refused: AtomicU64,
    /// Silent or stalled clients that gave way to others.
    pub clients_gave_way: AtomicU64,
    /// Requests answered, failures included.
    pub requests: AtomicU64,
    /// Requests that were none.
    pub requests_malformed: AtomicU64,
}

/// The control socket, listening.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Limits,
    own_user: u32,
    stats: Arc<ControlStats>,
}

/// A client's place, and what it is waiting for.
#[derive(Debug)]
pub(super) struct Place {
    waiting: Cell<(WaitsFor, Instant)>,
    give_way: Notify,
}

/// What a client's session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The client, to send its request.
    Request,
    /// The client, to read.
    Reader,
    /// Nobody, or an event to happen.
    Router,
}

impl Server {
    /// Takes `address`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], which names the process that holds the address.
    pub fn bind(address: &Address, limits: Limits) -> Result<Self, BindError> {
        let refused = |source| BindError::Refused { address: address.clone(), source };
        let own_user = own_user().map_err(refused)?;
        Ok(Self { listener: Listener::bind(address)?, limits, own_user, stats: Arc::default() })
    }

    /// Answers until dropped.
    pub async fn serve(self, actions: &dyn Actions, events: &Events) {
        let mut sessions = FuturesUnordered::new();
        let mut places: HashMap<u64, Rc<Place>> = HashMap::new();
        let mut accept_after = Instant::now();
        let mut number = 0;
        loop {
            let accept = async {
                sleep_until(accept_after).await;
                self.listener.socket.accept().await
            };
            tokio::select! {
                Some(ended) = sessions.next(), if !sessions.is_empty() => {
                    places.remove(&ended);
                }
                accepted = accept => match accepted {
                    Err(error) => {
                        tracing::warn!(%error, "no control client can be accepted now");
                        accept_after = Instant::now() + ACCEPT_PAUSE;
                    }
                    Ok((stream, _)) => {
                        let Some(stream) = self.admit(stream, &mut places) else { continue };
                        number += 1;
                        let place = Rc::new(Place::new());
                        places.insert(number, Rc::clone(&place));
                        let (limits, stats) = (self.limits, &*self.stats);
                        sessions.push(async move {
                            let session = session::Session { stream, place: &place, limits, stats };
                            tokio::select! {
                                () = place.give_way.notified() => {}
                                () = session.run(actions, events) => {}
                            }
                            number
                        });
                    }
                }
            }
        }
    }

    /// Counters, shared with whoever shows them.
    #[must_use]
    pub fn stats(&self) -> Arc<ControlStats> {
        Arc::clone(&self.stats)
    }

    /// The stream, if its user may ask and there is a place for it.
    fn admit(&self, stream: UnixStream, places: &mut HashMap<u64, Rc<Place>>) -> Option<UnixStream> {
        let user = stream.peer_cred().map(|credentials| credentials.uid());
        if !user.as_ref().is_ok_and(|user| may_ask(*user, self.own_user)) {
            count(&self.stats.clients_forbidden);
            let message = format!(
                "permission denied: this routerd answers root and the user it runs as (uid {})",
                self.own_user
            );
            turn_away(stream, FailureKind::Forbidden, message);
            return None;
        }
        if places.len() >= self.limits.clients_max {
            let Some(quietest) = self.quietest(places) else {
                count(&self.stats.clients_refused);
                let message = format!(
                    "routerd is busy: all {} places for clients are taken; try again",
                    self.limits.clients_max
                );
                turn_away(stream, FailureKind::Busy, message);
                return None;
            };
            count(&self.stats.clients_gave_way);
            if let Some(place) = places.remove(&quietest) {
                place.give_way.notify_one();
            }
        }
        count(&self.stats.clients);
        Some(stream)
    }

    /// The client that has kept its session waiting longest, if long enough to give way.
    fn quietest(&self, places: &HashMap<u64, Rc<Place>>) -> Option<u64> {
        let now = Instant::now();
        let gives_way = |place: &Rc<Place>| {
            let (waiting, since) = place.waiting.get();
            let grace = match waiting {
                WaitsFor::Request => self.limits.silent_grace,
                WaitsFor::Reader => self.limits.stalled_grace,
                WaitsFor::Router => return None,
            };
            let quiet = now.duration_since(since);
            (quiet >= grace).then_some(quiet)
        };
        let candidates = places.iter().filter_map(|(number, place)| Some((gives_way(place)?, *number)));
        candidates.max().map(|(_, number)| number)
    }
}

impl Place {
    fn new() -> Self {
        Self { waiting: Cell::new((WaitsFor::Request, Instant::now())), give_way: Notify::new() }
    }

    /// Notes that the session begins to wait, or has got on.
    pub(super) fn now_waiting(&self, waiting: WaitsFor) {
        self.waiting.set((waiting, Instant::now()));
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Root and the user routerd runs as may ask, and change things; nobody else may do either.
const fn may_ask(user: u32, own_user: u32) -> bool {
    user == 0 || user == own_user
}

/// The user this process runs as, seen the way a peer is seen.
fn own_user() -> std::io::Result<u32> {
    Ok(UnixStream::pair()?.0.peer_cred()?.uid())
}

/// Says why and hangs up, without waiting.
fn turn_away(stream: UnixStream, kind: FailureKind, message: String) {
    let mut bytes = Vec::new();
    let reply = Reply::Failure(Failure::new(kind, message));
    frame::encode(&reply, REPLY_BYTES_MAX, &mut bytes).expect("a sentence is far below the bound");
    if let Ok(mut stream) = stream.into_std() {
        // A fresh socket has room for a sentence; a client that has gone needs none.
        drop(stream.write(&bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream as BlockingStream;
    use std::thread::{self, JoinHandle};

    use ctl::client::{Client, ClientError};
    use ctl::message::{Action, EventKind, FlowFilter, Question, Request, Row, Subject, Topic, Topics};
    use tokio::sync::mpsc;

    use super::super::fake::{self, Fake};
    use super::*;

    /// A routerd of rows only, answering on a thread of its own until dropped.
    struct Routerd {
        address: Address,
        stats: Arc<ControlStats>,
        order: mpsc::UnboundedSender<Order>,
        thread: Option<JoinHandle<()>>,
        _directory: tempfile::TempDir,
    }

    /// What the thread does besides answering.
    enum Order {
        /// Tells these events at once, as soon as somebody watches their topic.
        Tell(Vec<ctl::message::Event>),
        Stop,
    }

    impl Routerd {
        fn start(flows: u64, limits: Limits) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let address = Address::Path(directory.path().join("routerd"));
            let (order, mut orders) = mpsc::unbounded_channel();
            let (ready, started) = std::sync::mpsc::channel();
            let bind_to = address.clone();
            let thread = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let server = Server::bind(&bind_to, limits).unwrap();
                    ready.send(server.stats()).unwrap();
                    let (fake, events) = (Fake::with_flows(flows), Events::new(8));
                    tokio::select! {
                        () = server.serve(&fake, &events) => {}
                        () = obey(&mut orders, &events) => {}
                    }
                    assert!(fake.page_max.get() <= limits.page_rows, "a page of {}", fake.page_max.get());
                });
            });
            let stats = started.recv().unwrap();
            Self { address, stats, order, thread: Some(thread), _directory: directory }
        }

        fn client(&self) -> Client {
            Client::connect(&self.address).unwrap()
        }

        fn raw(&self) -> BlockingStream {
            let Address::Path(path) = &self.address else { unreachable!("tests listen on a path") };
            let stream = BlockingStream::connect(path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream
        }

        fn status(&self) -> Result<Vec<Row>, ClientError> {
            Client::connect(&self.address)?.rows(Question::Status)
        }

        /// A client that has asked for the status as often as it was told that routerd is busy.
        fn status_when_not_busy(&self) -> Client {
            loop {
                let mut client = self.client();
                match client.rows(Question::Status) {
                    Ok(_) => return client,
                    Err(ClientError::Refused(failure)) if failure.kind == FailureKind::Busy => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    impl Drop for Routerd {
        fn drop(&mut self) {
            drop(self.order.send(Order::Stop));
            let result = self.thread.take().expect("joined once").join();
            assert!(result.is_ok() || thread::panicking(), "routerd's thread has panicked");
        }
    }

    async fn obey(orders: &mut mpsc::UnboundedReceiver<Order>, events: &Events) {
        while let Some(Order::Tell(told)) = orders.recv().await {
            let topic = told[0].topic();
            while !events.wanted(topic) {
                tokio::task::yield_now().await;
            }
            told.into_iter().for_each(|event| events.tell(event));
        }
    }

    fn everything() -> Question {
        Question::Flows(Box::default())
    }

    fn read_reply(stream: &mut BlockingStream) -> Option<Reply> {
        let mut buffer = Vec::new();
        frame::read(stream, REPLY_BYTES_MAX, &mut buffer).unwrap().map(|bytes| frame::decode(bytes).unwrap())
    }

    fn failure(stream: &mut BlockingStream) -> Failure {
        match read_reply(stream) {
            Some(Reply::Failure(failure)) => failure,
            other => panic!("{other:?} instead of a failure"),
        }
    }

    #[test]
    fn many_clients_at_once_each_get_the_whole_answer() {
        let routerd = Routerd::start(2_000, Limits::default());
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let mut client = routerd.client();
                    for _ in 0..2 {
                        let rows = client.rows(everything()).unwrap();
                        let whole = rows
                            .iter()
                            .zip(0..)
                            .all(|(row, id)| matches!(row, Row::Flow(flow) if flow.id == id));
                        assert!(whole && rows.len() == 2_000);
                    }
                });
            }
        });
        assert_eq!(routerd.stats.clients.load(Ordering::Relaxed), 40);
        assert_eq!(routerd.stats.requests.load(Ordering::Relaxed), 80);
    }

    #[test]
    fn a_client_that_does_not_read_holds_up_nobody_and_loses_nothing() {
        let routerd = Routerd::start(20_000, Limits::default());
        let mut slow = routerd.client();
        let mut replies = slow.ask(everything()).unwrap();
        assert!(matches!(replies.next(), Some(Ok(Reply::Row(Row::Flow(_))))));
        for _ in 0..20 {
            assert_eq!(routerd.status().unwrap().len(), 1);
        }
        assert_eq!(replies.filter(|reply| matches!(reply, Ok(Reply::Row(_)))).count(), 19_999);
    }

    #[test]
    fn one_client_too_many_is_told_so() {
        let limits = Limits { clients_max: 2, silent_grace: Duration::from_secs(3600), ..Limits::default() };
        let routerd = Routerd::start(0, limits);
        let mut held: Vec<Client> = (0..2).map(|_| routerd.client()).collect();
        for client in &mut held {
            client.rows(Question::Status).unwrap();
        }
        let error = routerd.status().unwrap_err();
        assert!(
            matches!(&error, ClientError::Refused(failure) if failure.kind == FailureKind::Busy),
            "{error}"
        );
        assert_eq!(error.to_string(), "routerd is busy: all 2 places for clients are taken; try again");
        assert_eq!(routerd.stats.clients_refused.load(Ordering::Relaxed), 1);
        held[0].rows(Question::Status).unwrap();
    }

    #[test]
    fn silent_clients_give_way_when_their_place_is_needed() {
        let limits = Limits { clients_max: 4, silent_grace: Duration::ZERO, ..Limits::default() };
        let routerd = Routerd::start(0, limits);
        let mut silent: Vec<BlockingStream> = (0..4).map(|_| routerd.raw()).collect();
        routerd.status().unwrap();
        assert_eq!(routerd.stats.clients_gave_way.load(Ordering::Relaxed), 1);
        assert_eq!(silent[0].read(&mut [0]).unwrap(), 0, "the longest silent one is let go");
    }

    #[test]
    fn a_client_that_stalls_gives_way_but_one_that_waits_for_events_does_not() {
        let limits = Limits {
            clients_max: 2,
            silent_grace: Duration::from_secs(3600),
            stalled_grace: Duration::ZERO,
            ..Limits::default()
        };
        let routerd = Routerd::start(20_000, limits);
        let mut watcher = routerd.client();
        let mut watched = watcher.send(Request::Monitor(Topics::ALL)).unwrap();
        routerd.order.send(Order::Tell(vec![fake::neighbor_event()])).unwrap();
        assert!(matches!(watched.next(), Some(Ok(Reply::Event(_)))));
        let mut stalled = routerd.client();
        let mut replies = stalled.ask(everything()).unwrap();
        assert!(matches!(replies.next(), Some(Ok(Reply::Row(_)))));
        routerd.status_when_not_busy();
        assert!(matches!(replies.last(), Some(Err(ClientError::HungUp(_)))), "the stalled one is let go");
        routerd.order.send(Order::Tell(vec![fake::neighbor_event()])).unwrap();
        assert!(matches!(watched.next(), Some(Ok(Reply::Event(_)))), "the watcher is still there");
    }

    #[test]
    fn a_client_that_sends_no_request_is_let_go_with_a_word() {
        let limits = Limits { request_wait: Duration::from_millis(20), ..Limits::default() };
        let routerd = Routerd::start(0, limits);
        let mut dribbling = routerd.raw();
        // On a slow machine the end may come before the bytes.
        drop(dribbling.write_all(&[0, 0]));
        assert_eq!(failure(&mut dribbling).kind, FailureKind::TimedOut);
        assert!(matches!(dribbling.read(&mut [0]), Ok(0) | Err(_)));
    }

    #[test]
    fn what_is_no_request_is_answered_and_the_next_one_still_heard() {
        let routerd = Routerd::start(0, Limits::default());
        let mut stream = routerd.raw();
        for nonsense in ["", "nonsense", "{}", r#"{"version":1,"request":{"ask":"the_way"}}"#] {
            stream.write_all(&u32::try_from(nonsense.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(nonsense.as_bytes()).unwrap();
            assert_eq!(failure(&mut stream).kind, FailureKind::BadRequest, "{nonsense:?}");
        }
        let other = r#"{"version":2,"request":"words of another time"}"#;
        stream.write_all(&u32::try_from(other.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(other.as_bytes()).unwrap();
        let refused = failure(&mut stream);
        assert_eq!(refused.kind, FailureKind::Version);
        assert!(refused.message.contains("speaks version 2"), "{refused}");
        let good = r#"{"version":1,"request":{"ask":"drops"}}"#;
        stream.write_all(&u32::try_from(good.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(good.as_bytes()).unwrap();
        assert!(matches!(read_reply(&mut stream), Some(Reply::Row(Row::Drops(_)))));
        assert_eq!(read_reply(&mut stream), Some(Reply::End));
        assert_eq!(routerd.stats.requests_malformed.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_request_beyond_the_bound_ends_the_connection_with_a_word() {
        let routerd = Routerd::start(0, Limits::default());
        let mut stream = routerd.raw();
        stream.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(failure(&mut stream).kind, FailureKind::BadRequest);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        routerd.status().unwrap();
    }

    #[test]
    fn random_bytes_do_no_harm() {
        use proptest::test_runner::{Config, TestRunner};
        let routerd = Routerd::start(0, Limits::default());
        let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..300);
        let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
        let result = TestRunner::new(config).run(&bytes, |bytes| {
            let mut stream = routerd.raw();
            // It may be hung up on while it still writes.
            drop(stream.write_all(&bytes));
            Ok(())
        });
        result.unwrap();
        routerd.status().unwrap();
    }

    #[test]
    fn a_watcher_is_told_its_topics_in_order_and_what_it_has_lost() {
        let routerd = Routerd::start(0, Limits::default());
        let mut client = routerd.client();
        let mut watched = client.send(Request::Monitor(Topic::Flows.into())).unwrap();
        let mut events = vec![fake::flow_event(EventKind::New, 0)];
        events.push(fake::neighbor_event());
        events.extend((1..20).map(|id| fake::flow_event(EventKind::Changed, id)));
        routerd.order.send(Order::Tell(events)).unwrap();
        assert_eq!(watched.next().unwrap().unwrap(), Reply::Lost(12));
        for id in 12..20 {
            let Reply::Event(event) = watched.next().unwrap().unwrap() else { panic!("no event") };
            assert!(matches!(event.subject, Subject::Flow(flow) if flow.id == id));
        }
    }

    #[test]
    fn a_watcher_that_hangs_up_leaves_its_place() {
        let limits = Limits { clients_max: 1, silent_grace: Duration::from_secs(3600), ..Limits::default() };
        let routerd = Routerd::start(0, limits);
        for _ in 0..3 {
            // The place of the one before is free as soon as its end has been noticed.
            let mut client = routerd.status_when_not_busy();
            let mut watched = client.send(Request::Monitor(Topics::ALL)).unwrap();
            routerd.order.send(Order::Tell(vec![fake::neighbor_event()])).unwrap();
            assert!(matches!(watched.next(), Some(Ok(Reply::Event(_)))));
        }
    }

    #[test]
    fn what_is_done_is_done_once_and_told() {
        let routerd = Routerd::start(5_000, Limits::default());
        let mut client = routerd.client();
        let filter = FlowFilter { destination_port: Some(80), ..FlowFilter::default() };
        let rows = client.act(Action::DeleteFlows(Box::new(filter))).unwrap();
        assert!(matches!(rows[..], [Row::FlowsDeleted(row)] if row.deleted == 2_500), "{rows:?}");
        assert_eq!(client.rows(everything()).unwrap().len(), 2_500);
    }

    #[test]
    fn root_and_our_own_user_may_ask_and_nobody_else() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000) && may_ask(0, 0));
        assert!(!may_ask(1000, 0) && !may_ask(1001, 1000) && !may_ask(65534, 1000));
    }
}
