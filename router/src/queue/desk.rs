//! Who listens on which queue, and which packets wait for whose answer: the protocol without sockets and clock.
//!
//! Whoever drives the desk tells it of programs that come and go, of what they say and what time it is, and takes from it
//! what they are to be told. It sends workers their answers itself.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use conntrack::Instant;
use ctl::message::HostEvent;
use ctl::queue::message::{
    Bind, Bound, Failed, Judged, PACKET_BYTES_MAX, PacketHead, Said, Told, Unbound, Verdict,
};
use fib::adjacency::{PortId, Ports};

use super::mend;
use super::{Answer, HANDED_MAX, Handed, Judgement, Listener, Peer, Queues, RECORDS_MAX, raise};
use crate::drops::DropReason;

/// Packets that a program may let wait in one queue, whatever it asks for.
pub const PACKETS_MAX: u32 = 65_536;

/// Queues that one program may have.
pub const QUEUES_MAX: usize = 256;

/// Errors after which a program is sent away.
pub const ERRORS_MAX: u64 = 64;

/// Replies that a program may leave unread.
pub const REPLIES_MAX: usize = 256;

/// Packets given up whose late answer is no error.
const GIVEN_UP_MAX: usize = 65_536;

/// A program's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId(pub u64);

/// What is to become of a program that has said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// It goes on.
    Stays,
    /// It is told what is in store for it, and then sent away.
    Goes(Farewell),
}

/// Why a program has a queue no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It has hung up, or ended.
    HungUp,
    /// It has made too many errors.
    Errors,
    /// It does not read what it is told.
    Unread,
    /// It has given the queue up.
    Unbound,
}

impl Farewell {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HungUp => "hung_up",
            Self::Errors => "garbage",
            Self::Unread => "unread",
            Self::Unbound => "unbound",
        }
    }
}

/// The desk itself.
pub struct Desk {
    queues: Arc<Queues>,
    ports: Arc<Ports>,
    handed: Receiver<Handed>,
    answer_wait: Duration,
    programs: BTreeMap<ProgramId, Program>,
    /// Who has which queue.
    holders: BTreeMap<u16, ProgramId>,
    /// By the packets' numbers, so the oldest first but for those that two workers handed over together.
    waiting: BTreeMap<u64, Waiting>,
    /// Workers that have answers and have not been woken.
    answered: BTreeSet<usize>,
    news: Vec<HostEvent>,
}

struct Program {
    peer: Peer,
    bound: BTreeMap<u16, Arc<Listener>>,
    errors: u64,
    replies: VecDeque<Vec<u8>>,
    /// Packets that it has not been given yet.
    packets: VecDeque<u64>,
    given_up: BTreeSet<u64>,
}

/// A packet that waits for an answer.
struct Waiting {
    program: ProgramId,
    until: Instant,
    handed: Handed,
}

impl Desk {
    /// The desk of these queues; packets are given up after `answer_wait`.
    ///
    /// # Panics
    /// If they have one already.
    #[must_use]
    pub fn new(queues: Arc<Queues>, ports: Arc<Ports>, answer_wait: Duration) -> Self {
        let handed = queues.take_desk_place().expect("queues have one desk");
        Self {
            queues,
            ports,
            handed,
            answer_wait,
            programs: BTreeMap::new(),
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            answered: BTreeSet::new(),
            news: Vec::new(),
        }
    }

    /// A program has connected.
    pub fn welcome(&mut self, program: ProgramId, peer: Peer) {
        let new = Program {
            peer,
            bound: BTreeMap::new(),
            errors: 0,
            replies: VecDeque::new(),
            packets: VecDeque::new(),
            given_up: BTreeSet::new(),
        };
        self.programs.insert(program, new);
    }

    /// A program has gone. What waits for it is dropped, or goes on if it had asked for that (`nfqnl_rcv_nl_event`).
    pub fn part(&mut self, program: ProgramId, why: Farewell) {
        let Some(gone) = self.programs.remove(&program) else { return };
        for number in gone.bound.into_keys() {
            self.leave(number, &gone.peer, why);
        }
    }

    /// Takes what workers have handed over, as much as was there when it began.
    pub fn take_handed(&mut self, now: Instant) {
        for _ in 0..HANDED_MAX {
            let Ok(handed) = self.handed.try_recv() else { return };
            let number = handed.listener.number;
            let holder = self.holders.get(&number).copied();
            let program = holder.and_then(|id| Some((id, self.programs.get_mut(&id)?)));
            let until = now + self.answer_wait;
            match program {
                Some((id, program))
                    if program.bound.get(&number).is_some_and(|own| Arc::ptr_eq(own, &handed.listener)) =>
                {
                    program.packets.push_back(handed.number);
                    self.waiting.insert(handed.number, Waiting { program: id, until, handed });
                }
                // Whoever it was for has gone in the meantime.
                _ => {
                    raise(&handed.listener.numbers.left);
                    self.give_up(handed, DropReason::QueueProgramGone);
                }
            }
        }
    }

    /// A program has said something.
    pub fn hear(&mut self, program: ProgramId, message: &[u8]) -> Heard {
        let failed = match Said::read(message) {
            Ok(Said::Bind(bind)) => self.bind(program, &bind),
            Ok(Said::Unbind(unbind)) => self.unbind(program, unbind.unbind),
            Ok(Said::Judged(judged, bytes)) => self.judge(program, &judged, bytes),
            Err(malformed) => Err(Refusal::of(malformed.to_string())),
        };
        let Some(own) = self.programs.get_mut(&program) else { return Heard::Goes(Farewell::HungUp) };
        let Err(Refusal { counts, failed }) = failed else { return own.may_stay() };
        if counts {
            own.errors += 1;
            own.bound.values().for_each(|listener| raise(&listener.numbers.refused));
        }
        own.reply(&Told::Failed(failed));
        own.may_stay()
    }

    /// Puts the next message to a program in place of what is in `message`; false if there is none. It is the next until
    /// [`Self::told`].
    pub fn next_message(&mut self, program: ProgramId, message: &mut Vec<u8>) -> bool {
        let Some(own) = self.programs.get_mut(&program) else { return false };
        if let Some(reply) = own.replies.front() {
            message.clone_from(reply);
            return true;
        }
        while let Some(number) = own.packets.front() {
            if let Some(waiting) = self.waiting.get(number) {
                let handed = &waiting.handed;
                Told::Packet(head(handed, &self.ports), &handed.bytes).write(message);
                return true;
            }
            // Given up before it was its turn.
            own.packets.pop_front();
        }
        false
    }

    /// The next message has been sent.
    pub fn told(&mut self, program: ProgramId) {
        let Some(own) = self.programs.get_mut(&program) else { return };
        if own.replies.pop_front().is_some() {
            return;
        }
        if let Some(waiting) = own.packets.pop_front().and_then(|number| self.waiting.get_mut(&number)) {
            raise(&waiting.handed.listener.numbers.given);
        }
    }

    /// Gives up packets whose time is over. Returns when the next ones are due.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (number, waiting) = self.waiting.first_key_value()?;
            if waiting.until > now {
                return Some(waiting.until);
            }
            let number = *number;
            let Waiting { program, handed, .. } = self.waiting.remove(&number)?;
            raise(&handed.listener.numbers.timed_out);
            if let Some(program) = self.programs.get_mut(&program) {
                program.give_up(number);
            }
            self.give_up(handed, DropReason::QueueUnanswered);
        }
    }

    /// Wakes the workers that have answers.
    pub fn wake_workers(&mut self) {
        for worker in std::mem::take(&mut self.answered) {
            self.queues.wake(worker);
        }
    }

    /// What has happened since this was asked last.
    #[must_use]
    pub fn take_news(&mut self) -> Vec<HostEvent> {
        std::mem::take(&mut self.news)
    }

    /// Whether anything is in store for a program.
    #[must_use]
    pub fn has_message(&self, program: ProgramId) -> bool {
        let own = self.programs.get(&program);
        own.is_some_and(|own| !own.replies.is_empty() || !own.packets.is_empty())
    }

    fn bind(&mut self, program: ProgramId, bind: &Bind) -> Result<(), Refusal> {
        let number = bind.bind;
        let about = |error: String| Refusal::of(error).about_queue(number);
        if bind.packets_max == 0 || bind.packets_max > PACKETS_MAX {
            return Err(about(format!("packets_max is 1 to {PACKETS_MAX}, not {}", bind.packets_max)));
        }
        if bind.copy_bytes as usize > PACKET_BYTES_MAX {
            return Err(about(format!("copy_bytes is {PACKET_BYTES_MAX} at most, not {}", bind.copy_bytes)));
        }
        if let Some(holder) = self.holders.get(&number) {
            let holder = self.programs.get(holder).and_then(|holder| holder.peer.pid);
            let process = holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            return Err(about(format!("queue {number} is held by {process}")).forgiven());
        }
        let Some(own) = self.programs.get_mut(&program) else { return Ok(()) };
        if own.bound.len() == QUEUES_MAX {
            return Err(about(format!("a program may have {QUEUES_MAX} queues, and this one has them")));
        }
        let Some(record) = self.queues.record_for_binding(number) else {
            return Err(about(format!("routerd knows {RECORDS_MAX} queues already, and no more")));
        };
        let peer = own.peer.clone();
        let listener = Arc::new(Listener::new(bind, peer.clone(), self.answer_wait, record.numbers.clone()));
        own.bound.insert(number, listener.clone());
        own.reply(&Told::Bound(Bound { bound: number }));
        self.holders.insert(number, program);
        record.set_listener(Some(listener));
        self.news.push(HostEvent::QueueBound {
            queue: number,
            pid: peer.pid.unwrap_or_default(),
            program: peer.name,
        });
        Ok(())
    }

    fn unbind(&mut self, program: ProgramId, number: u16) -> Result<(), Refusal> {
        let not_yours = || Refusal::of(format!("queue {number} is not yours")).about_queue(number);
        let own = self.programs.get_mut(&program).ok_or_else(not_yours)?;
        own.bound.remove(&number).ok_or_else(not_yours)?;
        own.reply(&Told::Unbound(Unbound { unbound: number }));
        let peer = own.peer.clone();
        self.leave(number, &peer, Farewell::Unbound);
        Ok(())
    }

    /// Nobody has this queue any more.
    fn leave(&mut self, number: u16, peer: &Peer, why: Farewell) {
        self.holders.remove(&number);
        self.queues.unseat(number);
        let left: Vec<u64> = (self.waiting.iter())
            .filter(|(_, waiting)| waiting.handed.listener.number == number)
            .map(|(number, _)| *number)
            .collect();
        self.news.push(HostEvent::QueueGone {
            queue: number,
            pid: peer.pid.unwrap_or_default(),
            reason: why.word().to_owned(),
            waiting: left.len() as u64,
        });
        for packet in left {
            let Some(Waiting { program, handed, .. }) = self.waiting.remove(&packet) else { continue };
            if let Some(program) = self.programs.get_mut(&program) {
                program.give_up(packet);
            }
            raise(&handed.listener.numbers.left);
            self.give_up(handed, DropReason::QueueProgramGone);
        }
    }

    fn judge(&mut self, program: ProgramId, judged: &Judged, bytes: Option<&[u8]>) -> Result<(), Refusal> {
        let number = judged.packet;
        let about = |error: String| Refusal::of(error).about_packet(number);
        match self.waiting.get(&number) {
            Some(waiting) if waiting.program == program => {}
            _ if self.programs.get_mut(&program).is_some_and(|own| own.given_up.remove(&number)) => {
                // Too late, which has been counted.
                return Ok(());
            }
            _ => return Err(about(format!("packet {number} does not wait for your answer"))),
        }
        let judgement = match (judged.verdict, judged.to) {
            (Verdict::Queue, Some(to)) => Judgement::Queue(to),
            (Verdict::Queue, None) => return Err(about("verdict \"queue\" needs \"to\": NUMBER".into())),
            (_, Some(_)) => return Err(about("\"to\" goes with verdict \"queue\" only".into())),
            (Verdict::Accept, None) => Judgement::Accept,
            (Verdict::Drop, None) => Judgement::Drop(DropReason::QueueVerdict),
            (Verdict::Repeat, None) => Judgement::Repeat,
            (Verdict::Stop, None) => Judgement::Stop,
        };
        let Some(Waiting { handed, .. }) = self.waiting.remove(&number) else { return Ok(()) };
        let numbers = &handed.listener.numbers;
        let bytes = bytes.filter(|_| judged.verdict != Verdict::Drop);
        let change = match bytes.map(|bytes| mend::change(handed.family, bytes, judged.fix_checksums)) {
            None => None,
            Some(Ok(change)) => {
                raise(&numbers.changed);
                Some(change)
            }
            Some(Err(unsound)) => {
                raise(&numbers.malformed);
                self.answer(handed, Judgement::Drop(DropReason::QueueMalformed), None, None);
                return Err(about(unsound.to_string()));
            }
        };
        raise(if judged.verdict == Verdict::Drop { &numbers.dropped } else { &numbers.accepted });
        self.answer(handed, judgement, judged.mark, change);
        Ok(())
    }

    /// Answers for a program that does not.
    fn give_up(&mut self, handed: Handed, reason: DropReason) {
        let judgement = if handed.listener.fail_open {
            raise(&handed.listener.numbers.opened);
            Judgement::Accept
        } else {
            Judgement::Drop(reason)
        };
        self.answer(handed, judgement, None, None);
    }

    fn answer(
        &mut self,
        handed: Handed,
        judgement: Judgement,
        mark: Option<u32>,
        change: Option<super::Change>,
    ) {
        handed.listener.release(handed.length);
        self.queues.post(handed.worker, Answer { number: handed.number, judgement, mark, change });
        self.answered.insert(handed.worker);
    }
}

impl Program {
    fn reply(&mut self, told: &Told<'_>) {
        let mut message = Vec::new();
        told.write(&mut message);
        self.replies.push_back(message);
    }

    fn may_stay(&self) -> Heard {
        if self.errors >= ERRORS_MAX {
            Heard::Goes(Farewell::Errors)
        } else if self.replies.len() >= REPLIES_MAX {
            Heard::Goes(Farewell::Unread)
        } else {
            Heard::Stays
        }
    }

    fn give_up(&mut self, packet: u64) {
        if self.given_up.len() == GIVEN_UP_MAX {
            self.given_up.pop_first();
        }
        self.given_up.insert(packet);
    }
}

/// Why a message is not obeyed.
struct Refusal {
    /// Whether it counts as an error of the program's.
    counts: bool,
    failed: Failed,
}

impl Refusal {
    const fn of(error: String) -> Self {
        Self { counts: true, failed: Failed { error, packet: None, queue: None } }
    }

    const fn about_packet(mut self, packet: u64) -> Self {
        self.failed.packet = Some(packet);
        self
    }

    const fn about_queue(mut self, queue: u16) -> Self {
        self.failed.queue = Some(queue);
        self
    }

    const fn forgiven(mut self) -> Self {
        self.counts = false;
        self
    }
}

fn head(handed: &Handed, ports: &Ports) -> PacketHead {
    let name = |port: PortId| Some(ports.name(port)).filter(|name| !name.is_empty()).map(str::to_owned);
    PacketHead {
        packet: handed.number,
        queue: handed.listener.number,
        family: handed.family.name().to_owned(),
        hook: handed.point.name().to_owned(),
        input: handed.input.and_then(name),
        output: handed.output.and_then(name),
        mark: handed.mark,
        length: u32::try_from(handed.length).expect("bounded by the largest packet"),
        ct: handed.ct.clone(),
    }
}
