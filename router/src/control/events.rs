//! What happens, told to those who watch: bounded for each topic, and free of cost when nobody does.

use std::future::pending;
use std::sync::Arc;

use ctl::frame::{self, REPLY_BYTES_MAX};
use ctl::message::{Event, Reply, Topic, Topics};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError, error::TryRecvError};

/// Events of a topic that are kept for watchers who have not read them yet. Who falls behind further loses the
/// oldest, and is told how many.
pub const EVENTS_MAX: usize = 4096;

/// A message ready to be sent: made once for all who watch.
type Message = Arc<[u8]>;

/// Where events are told. Topics do not displace each other.
#[derive(Debug)]
pub struct Events {
    flows: Sender<Message>,
    routes: Sender<Message>,
    neighbors: Sender<Message>,
    log: Sender<Message>,
    expectations: Sender<Message>,
    flow_cache: Sender<Message>,
    host: Sender<Message>,
}

/// What a watcher gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Something happened: the message to be sent.
    Message(Message),
    /// This many events of one topic were lost.
    Lost(u64),
}

/// One who watches.
#[derive(Debug)]
pub(crate) struct Watch {
    flows: Option<Receiver<Message>>,
    routes: Option<Receiver<Message>>,
    neighbors: Option<Receiver<Message>>,
    log: Option<Receiver<Message>>,
    expectations: Option<Receiver<Message>>,
    flow_cache: Option<Receiver<Message>>,
    host: Option<Receiver<Message>>,
}

impl Events {
    /// Keeps at most `events_max` events of each topic (the next power of two).
    ///
    /// # Panics
    /// If `events_max` is 0.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        let sender = || Sender::new(events_max);
        Self {
            flows: sender(),
            routes: sender(),
            neighbors: sender(),
            log: sender(),
            expectations: sender(),
            flow_cache: sender(),
            host: sender(),
        }
    }

    /// Whether anybody watches `topic`: if not, the event need not be made.
    #[must_use]
    pub fn wanted(&self, topic: Topic) -> bool {
        self.sender(topic).receiver_count() > 0
    }

    /// Tells those who watch. Never waits.
    pub fn tell(&self, event: Event) {
        let sender = self.sender(event.topic());
        if sender.receiver_count() == 0 {
            return;
        }
        let mut message = Vec::new();
        let reply = Reply::Event(Box::new(event));
        frame::encode(&reply, REPLY_BYTES_MAX, &mut message).expect("a row is far below the bound");
        // The last watcher may just have gone.
        drop(sender.send(message.into()));
    }

    pub(crate) fn watch(&self, topics: Topics) -> Watch {
        let receiver = |topic| topics.contains(topic).then(|| self.sender(topic).subscribe());
        Watch {
            flows: receiver(Topic::Flows),
            routes: receiver(Topic::Routes),
            neighbors: receiver(Topic::Neighbors),
            log: receiver(Topic::Log),
            expectations: receiver(Topic::Expectations),
            flow_cache: receiver(Topic::FlowCache),
            host: receiver(Topic::Host),
        }
    }

    const fn sender(&self, topic: Topic) -> &Sender<Message> {
        match topic {
            Topic::Flows => &self.flows,
            Topic::Routes => &self.routes,
            Topic::Neighbors => &self.neighbors,
            Topic::Log => &self.log,
            Topic::Expectations => &self.expectations,
            Topic::FlowCache => &self.flow_cache,
            Topic::Host => &self.host,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new(EVENTS_MAX)
    }
}

impl Watch {
    /// Waits for the next event. The rare topics come first when several have news.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            biased;
            told = receive(self.host.as_mut()) => told,
            told = receive(self.flow_cache.as_mut()) => told,
            told = receive(self.routes.as_mut()) => told,
            told = receive(self.neighbors.as_mut()) => told,
            told = receive(self.expectations.as_mut()) => told,
            told = receive(self.log.as_mut()) => told,
            told = receive(self.flows.as_mut()) => told,
        }
    }

    /// The next event, if one is there.
    pub(crate) fn try_next(&mut self) -> Option<Told> {
        let Self { flows, routes, neighbors, log, expectations, flow_cache, host } = self;
        let rare_first = [host, flow_cache, routes, neighbors, expectations, log, flows];
        rare_first.into_iter().flatten().find_map(|receiver| match receiver.try_recv() {
            Ok(message) => Some(Told::Message(message)),
            Err(TryRecvError::Lagged(count)) => Some(Told::Lost(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        })
    }
}

async fn receive(receiver: Option<&mut broadcast::Receiver<Message>>) -> Told {
    match receiver {
        Some(receiver) => match receiver.recv().await {
            Ok(message) => Told::Message(message),
            Err(RecvError::Lagged(count)) => Told::Lost(count),
            Err(RecvError::Closed) => pending().await,
        },
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use ctl::message::EventKind;

    use super::super::fake;
    use super::*;

    fn number(told: &Told) -> u64 {
        let Told::Message(message) = told else { panic!("{told:?} is no event") };
        let Reply::Event(event) = frame::decode(&message[frame::PREFIX..]).unwrap() else {
            panic!("no event")
        };
        let ctl::message::Subject::Flow(flow) = event.subject else { panic!("no flow") };
        flow.id
    }

    #[test]
    fn who_falls_behind_loses_the_oldest_and_is_told_how_many() {
        let events = Events::new(4);
        let mut watch = events.watch(Topics::ALL);
        for id in 0..10 {
            events.tell(fake::flow_event(EventKind::New, id));
        }
        assert_eq!(watch.try_next(), Some(Told::Lost(6)));
        let rest: Vec<u64> = std::iter::from_fn(|| watch.try_next()).map(|told| number(&told)).collect();
        assert_eq!(rest, [6, 7, 8, 9]);
    }

    #[test]
    fn a_flood_of_flows_displaces_no_neighbor() {
        let events = Events::new(4);
        let mut watch = events.watch(Topics::ALL);
        events.tell(fake::neighbor_event());
        for id in 0..100 {
            events.tell(fake::flow_event(EventKind::New, id));
        }
        let Some(Told::Message(first)) = watch.try_next() else { panic!("the neighbor is lost") };
        assert!(String::from_utf8_lossy(&first).contains("neighbor"));
        assert_eq!(watch.try_next(), Some(Told::Lost(96)));
    }

    #[test]
    fn what_nobody_watches_is_not_wanted() {
        let events = Events::default();
        assert!(!events.wanted(Topic::Flows));
        let mut watch = events.watch(Topic::Routes.into());
        assert!(events.wanted(Topic::Routes) && !events.wanted(Topic::Flows));
        events.tell(fake::flow_event(EventKind::New, 1));
        assert_eq!(watch.try_next(), None);
        drop(watch);
        assert!(!events.wanted(Topic::Routes));
    }
}
