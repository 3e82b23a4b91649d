//! A stream on one of two ways, watched on both: once a change is made, no packet takes the old way any more.

use std::time::{Duration, SystemTime};

use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::Running;
use testbed::scenario::steady::Download;
use testbed::scenario::tap::Tap;

use crate::ground::{
    FAMILIES, Family, answers_go_the_second_way, download, taps, waited_for_processor, with_routerd,
};

/// How long after `ip` has returned a packet may still take the old way.
const ALLOWED: Duration = Duration::from_millis(10);
/// Packets on the new way after which a move is over.
const MOVED: usize = 100;
/// A stream on one of two ways, watched on both.
pub struct Watched<'lab> {
    pub lab: &'lab Lab,
    pid: u32,
    taps: [Tap; 2],
    pub download: Download,
    pub way: usize,
    /// From when on nothing may be seen on the other way.
    settled: SystemTime,
}

impl<'lab> Watched<'lab> {
    /// Begins a stream, and waits until it is on a way.
    fn start(lab: &'lab Lab, routerd: &mut Running<'_>, family: &Family) -> Self {
        let taps = taps(lab, family);
        let pid = routerd.process().unwrap().pid();
        let download = download(lab, family);
        let way = wait_until("a way", SECONDS_5, || taps.iter().position(|tap| tap.count() >= MOVED));
        Self { lab, pid, taps, download, way: way.unwrap(), settled: SystemTime::now() }
    }

    /// Makes changes at the router that take the stream to another way, or leave it where it is.
    pub fn change(&mut self, lines: &[String], way: usize) {
        let lab = self.lab;
        self.moves(&format!("{lines:?}"), way, |_| lab.at("r1").batch(lines).unwrap());
    }

    /// Does what takes the stream to another way, or leaves it where it is.
    pub fn moves(&mut self, what: &str, way: usize, act: impl FnOnce(&Self)) {
        self.nothing_on_the_other_way(what);
        let waited = waited_for_processor(self.pid);
        act(self);
        let returned = SystemTime::now();
        let on = &self.taps[way];
        wait_until("packets on the new way", SECONDS_5, || (on.count_after(returned) >= MOVED).then_some(()))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let waited = waited_for_processor(self.pid) - waited;
        (self.way, self.settled) = (way, returned + ALLOWED + waited);
        self.nothing_on_the_other_way(what);
    }

    fn nothing_on_the_other_way(&self, what: &str) {
        let other = &self.taps[1 - self.way];
        let late = other.count_after(self.settled);
        let last = other.last().and_then(|last| last.at.duration_since(self.settled).ok());
        assert_eq!(late, 0, "{what}: packets on the other way, the last {last:?} too late");
    }

    /// The stream ends with every byte.
    fn finish(self) {
        self.download.goes_on(20_000).unwrap();
        self.nothing_on_the_other_way("at the end");
        self.download.finish().unwrap();
    }
}

/// In each family, a stream that begins by the first way while `moves` come to pass.
pub fn in_mid_stream(
    prepare: impl Fn(&Lab, &Family),
    moves: impl Fn(&mut Watched<'_>, &Running<'_>, &Family),
) {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        for family in &FAMILIES {
            prepare(lab, family);
            let mut watched = Watched::start(lab, routerd, family);
            moves(&mut watched, routerd, family);
            watched.finish();
        }
    });
}
