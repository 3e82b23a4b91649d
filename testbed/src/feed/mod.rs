//! A feed of routes as a border router has it: a full table arrives over rtnetlink, then changes go on, while flows
//! that none of it concerns pass. What they notice, with routerd and with the kernel as the router.

mod announce;
mod probe;

use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::lab::{Lab, wait_until};
use crate::router::{Router, Running};
use crate::scenario::{THREE_SUBNETS_PORTS, three_subnets};
use announce::{Announcer, News, address_in};
use probe::{Probe, Probes};

/// What is fed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Routes that arrive at once.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    pub routes: u32,
    /// Changes a second afterwards.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub changes: u32,
    /// Seconds without news, and seconds of changes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,
}

/// How often changes are announced each second.
const TICKS_PER_S: u32 = 100;
/// Routes announced before the probes' own pace is looked at again.
const AT_ONCE: usize = 4096;
/// How long a table of a million routes may take to be known.
const KNOWN: Duration = Duration::from_secs(120);
/// Where probes go: its route is not of the feed.
const AIM: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
/// Gateways of the feed.
const GATEWAYS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(10, 0, 4, 2)];

/// What probes noticed in one phase of a feed.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// What was fed.
    pub name: String,
    /// How long it took, until the router had taken all of it.
    pub took: Duration,
    /// How much news there was.
    pub news: u32,
    /// Packets that routerd forwarded, and lookups it made; none are counted of the kernel.
    pub forwarded: u64,
    /// See there.
    pub lookups: u64,
    /// Probes that were sent.
    pub sent: usize,
    /// Probes that did not arrive.
    pub lost: usize,
    /// Delays of the others, in order of size.
    delays: Vec<Duration>,
    /// The longest that is not explained by workers waiting for a processor.
    pub longest_own: Duration,
}

impl Phase {
    /// The part of packets that took the way their flow remembers.
    pub fn hits(&self) -> f64 {
        1.0 - self.lookups as f64 / self.forwarded.max(1) as f64
    }

    /// The delay that so many of a thousand probes stayed below.
    pub fn delay(&self, of_thousand: usize) -> Duration {
        let place = (self.delays.len() * of_thousand / 1000).min(self.delays.len().saturating_sub(1));
        self.delays.get(place).copied().unwrap_or_default()
    }
}

/// Nothing fed, a table arriving, changes going on.
pub type Phases = [Phase; 3];

/// Feeds the router, and says what flows noticed that were not concerned.
///
/// # Errors
/// The lab cannot be built, the kernel refuses a route, or the router does not learn of it.
pub fn measure(router: &Router, options: &Options) -> Result<Phases> {
    let lab = Lab::build(&three_subnets())?;
    let mut running = router.start(&lab, "r1", &THREE_SUBNETS_PORTS)?;
    let worker = running.process().ok().map(|process| process.pid());
    let mut feed = Feed {
        announcer: Announcer::open(lab.at("r1"))?,
        router: worker.is_some().then_some(&running),
        random: fastrand::Rng::with_seed(1),
        options: *options,
    };
    let probes = Probes::start(lab.at("h1"), lab.at("h2"), AIM.into(), worker)?;
    // First packets of flows and of neighbors are not of this story.
    std::thread::sleep(Duration::from_millis(500));
    let seconds = Duration::from_secs(options.seconds.into());
    let quiet = feed.phase("no news", 0, |_| {
        std::thread::sleep(seconds);
        Ok(())
    })?;
    let arriving = feed.phase("routes arrive", options.routes, Feed::arrive)?;
    let changing = feed.phase("changes", options.changes * options.seconds, Feed::change)?;
    let probes = probes.finish()?;
    let phases = [quiet, arriving, changing].map(|(phase, [from, to])| with_probes(phase, &probes, from, to));
    running.stop()?;
    Ok(phases)
}

struct Feed<'lab> {
    announcer: Announcer,
    router: Option<&'lab Running<'lab>>,
    random: fastrand::Rng,
    options: Options,
}

impl Feed<'_> {
    /// Runs one phase, and says what it came to and when it was.
    fn phase(
        &mut self,
        name: &str,
        news: u32,
        run: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<(Phase, [SystemTime; 2])> {
        let (from, began, before) = (SystemTime::now(), Instant::now(), self.counters()?);
        run(self)?;
        let (took, after) = (began.elapsed(), self.counters()?);
        let [forwarded, lookups] = [0, 1].map(|counter| after[counter] - before[counter]);
        let name = name.to_owned();
        Ok((Phase { name, took, news, forwarded, lookups, ..Phase::default() }, [from, SystemTime::now()]))
    }

    /// Packets forwarded and lookups made by routerd.
    fn counters(&self) -> Result<[u64; 2]> {
        let Some(router) = self.router else { return Ok([0; 2]) };
        let counters = router.ask("show counters")?;
        let counter = |name: &str| counters[name].as_u64().with_context(|| format!("counter {name}"));
        Ok([counter("forwarded")?, counter("fib_lookups")?])
    }

    /// The whole table, as fast as the kernel takes it.
    fn arrive(&mut self) -> Result<()> {
        let numbers: Vec<u32> = (0..self.options.routes).collect();
        for numbers in numbers.chunks(AT_ONCE) {
            let news: Vec<News> =
                numbers.iter().map(|number| News::By(*number, GATEWAYS[(number % 2) as usize])).collect();
            self.announcer.tell(&news)?;
        }
        self.is_known(self.options.routes - 1, Some(GATEWAYS[((self.options.routes - 1) % 2) as usize]))
    }

    /// Routes that move, go, and come again.
    fn change(&mut self) -> Result<()> {
        let Options { changes, seconds, routes } = self.options;
        let began = Instant::now();
        // The last route is changed last of all.
        let mut gone = std::collections::BTreeSet::new();
        for tick in 1..=seconds * TICKS_PER_S {
            let news: Vec<News> = (0..changes / TICKS_PER_S)
                .map(|_| {
                    let number = self.random.u32(..routes - 1);
                    if self.random.u8(..4) == 0 && gone.insert(number) {
                        return News::Gone(number);
                    }
                    gone.remove(&number);
                    News::By(number, GATEWAYS[self.random.usize(..2)])
                })
                .collect();
            self.announcer.tell(&news)?;
            let next = Duration::from_secs(1) * tick / TICKS_PER_S;
            std::thread::sleep(next.saturating_sub(began.elapsed()));
        }
        self.announcer.tell(&[News::Gone(routes - 1)])?;
        self.is_known(routes - 1, None)
    }

    /// Waits until routerd goes by the news about this prefix; the kernel does at once.
    fn is_known(&self, number: u32, gateway: Option<Ipv4Addr>) -> Result<()> {
        let Some(router) = self.router else { return Ok(()) };
        let line = format!("route get {}", address_in(number));
        let gateway = gateway.map(|gateway| gateway.to_string());
        wait_until(&format!("{line}: {gateway:?}"), KNOWN, || {
            let via = router.ask(&line).ok().and_then(|way| way["via"].as_str().map(str::to_owned));
            (via == gateway).then_some(())
        })
    }
}

/// The phase with what was noticed between two times.
fn with_probes(mut phase: Phase, probes: &[Probe], from: SystemTime, to: SystemTime) -> Phase {
    let within = |probe: &&Probe| (from..to).contains(&probe.sent);
    let probes: Vec<&Probe> = probes.iter().filter(within).collect();
    phase.sent = probes.len();
    phase.delays = probes.iter().filter_map(|probe| probe.delay).collect();
    phase.delays.sort_unstable();
    phase.lost = phase.sent - phase.delays.len();
    phase.longest_own = probes.iter().filter_map(|probe| probe.own).max().unwrap_or_default();
    phase
}

/// Feeds routerd and the kernel, and shows what flows noticed.
///
/// # Errors
/// Those of [`measure`].
pub fn run(options: &Options) -> Result<String> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures say little: use `cargo run --release`");
    }
    let mut text = String::new();
    for router in [Router::routerd(&[])?, Router::Kernel { tracking: true }] {
        let phases = measure(&router, options)?;
        text += &Report { router: router.name(), phases: &phases }.to_string();
        ensure!(phases.iter().all(|phase| phase.sent > 0), "no probes were sent");
    }
    Ok(text)
}

struct Report<'a> {
    router: &'a str,
    phases: &'a Phases,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            out,
            "{:<14} {:>8} {:>7}  {:>7} {:>5} {:>9}  {:>7} {:>7} {:>7} {:>8} {:>7}",
            self.router,
            "news",
            "seconds",
            "probes",
            "lost",
            "hits %",
            "50% ms",
            "99%",
            "99.9%",
            "longest",
            "own"
        )?;
        for phase in self.phases {
            let hits =
                if phase.forwarded == 0 { "-".to_owned() } else { format!("{:.4}", phase.hits() * 100.0) };
            writeln!(
                out,
                "{:<14} {:>8} {:>7.2}  {:>7} {:>5} {hits:>9}  {:>7.3} {:>7.3} {:>7.3} {:>8.3} {:>7.3}",
                phase.name,
                phase.news,
                phase.took.as_secs_f64(),
                phase.sent,
                phase.lost,
                milliseconds(phase.delay(500)),
                milliseconds(phase.delay(990)),
                milliseconds(phase.delay(999)),
                milliseconds(phase.delay(1000)),
                milliseconds(phase.longest_own),
            )?;
        }
        writeln!(out)
    }
}
