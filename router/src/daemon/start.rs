//! Starting: privileges, control address, a first picture of the kernel's tables, guard, ports, workers; or one line
//! that says what is wrong.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use conntrack::Registry as Trackers;
use fib::adjacency::PortId;
use fib::change::Change;
use fib::writer::Writer;
use tokio::sync::mpsc;

use super::host::check_kernels_addresses;
use super::{Chronicle, Core, Handover, Own, PortKind, Rules, Seat};
use crate::clock;
use crate::compose::{Assembly, Plan, assemble};
use crate::config::{ConntrackConfig, FlowCacheConfig, PortSpec, ValidConfig};
use crate::control::{Limits, Server};
use crate::engine::{Heard, Resolver};
use crate::guard::Guard;
use crate::host::neighborhood::{Neighborhood, Settings as Neighbors};
use crate::mirror::{self, Mirror};
use crate::news::News;
use crate::offload::Card;
use crate::port::af_packet::Settings;
use crate::port::keeper::{Keeper, Standing};
use crate::port::tun::Tun;
use crate::privileges;
use crate::queue;
use crate::worker::{Notice, WorkerConfig, spawn};

/// Questions about neighbors that wait for the kernel.
const QUESTIONS_MAX: usize = 1024;
/// Messages about neighbors that wait to be read.
const HEARD_MAX: usize = 1024;
/// What workers say of their ports, waiting to be heard.
const NOTICES_MAX: usize = 1024;
/// How long ports may take to open at the start.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// A started router.
pub struct Daemon {
    /// What the control thread holds.
    pub core: Core,
    pub(super) config: ValidConfig,
    pub(super) server: Server,
    /// Programs that judge packets are served while it lives.
    pub(super) queues: queue::Server,
    pub(super) changes: mpsc::Receiver<Vec<Change>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) questions: mpsc::Receiver<(PortId, IpAddr)>,
    pub(super) resolver: mirror::Resolver,
    pub(super) heard: mpsc::Receiver<Heard>,
}

/// Asks the control thread, which asks the kernel.
struct Ask(mpsc::Sender<(PortId, IpAddr)>);

impl Resolver for Ask {
    fn ask(&self, port: PortId, address: IpAddr) -> bool {
        self.0.try_send((port, address)).is_ok()
    }
}

/// Puts the router together. Called on the only thread there is, within a tokio runtime of that thread. When it
/// returns all ports are open and packets are forwarded; when it fails nothing is left behind.
///
/// # Errors
/// What is wrong, for people.
pub async fn start(config: ValidConfig) -> anyhow::Result<Daemon> {
    privileges::require()?;
    let server = Server::bind(&config.control, Limits::default())?;
    let tuns = open_tuns(&config)?;
    let mut mirror = Mirror::start(config.sysctl.clone())?;
    let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
    let mut assembly = assemble(plan(&config, Box::new(Ask(ask)))?);
    if !config.conntrack.enabled {
        assembly.track_nothing();
    }
    let own = Own::new(&config);
    take_first_picture(&config, &own, &mut assembly.writer, &mut mirror.changes).await?;
    check_devices(&config, &assembly.writer)?;

    let guard = set_guard(&config)?;
    if let Some(reason) = guard.reason() {
        tracing::info!("no guard is needed, as the kernel does not forward, and none is set: {reason}");
    }
    let resolver = mirror::Resolver::new().context("the kernel cannot be asked for neighbors")?;
    privileges::drop_others()?;

    let (notify, mut notices) = mpsc::channel(NOTICES_MAX);
    let seats = seat_workers(&config, &assembly, &notify)?;
    let news = Arc::new(News::default());
    let queues = serve_queues(&config, &assembly, &seats, &news)?;
    let Assembly { shared, writer, defragment } = assembly;
    let (tell, mut heard) = mpsc::channel(HEARD_MAX);
    shared.discovery.listen(tell);
    if config.offload.card {
        let seed = [RandomState::new().hash_one(3), RandomState::new().hash_one(4)];
        Card::install(&shared, 2 * config.offload.flows_max, seed)?;
    }
    let rules = Rules::new(&shared, RandomState::new().hash_one(2), config.conntrack.enabled);
    let core = Core {
        reader: writer.reader(),
        writer: RefCell::new(writer),
        shared,
        workers: RefCell::new(seats),
        keeper: RefCell::new(Keeper::new(config.port_names().map(str::to_owned))),
        kinds: kinds(&config),
        port_settings: Settings { buffer_bytes: config.buffers.port_bytes, ..Settings::default() },
        tuns: RefCell::new(tuns),
        masquerades: RefCell::default(),
        defragment,
        mirror: mirror.handle.clone(),
        own,
        neighborhood: RefCell::new(neighborhood(&config)),
        subscription: RefCell::new(None),
        expectation_subscription: RefCell::new(None),
        chronicle: Chronicle::default(),
        news,
        last_hops_told_ms: Cell::new(0),
        guard: RefCell::new(guard),
        handover: Handover::new(config.handover),
        rules,
        sysctl: RefCell::new(config.sysctl.clone()),
        clock: clock::now,
        ready_since: Cell::new(None),
    };
    core.take_flow_cache(&FlowCacheConfig::default(), &config.flow_cache)?;
    core.shared.set_last_hop(config.last_hop.clone());
    core.follow_generation();
    core.follow_settings();
    core.masquerades.borrow_mut().follow(&core.reader.load(), &core.shared.flows);
    if let Some(path) = &config.rules {
        core.take_rules_at(path)?;
    }
    core.keep_ports();
    wait_for_ports(&core, &mut notices).await?;
    if !core.shared.host.is_owned() && !core.handover.is_on() {
        core.set_handover(false)?;
    }
    core.open_host(&config.own)?;
    core.wait_for_addresses(&mut notices, &mut heard).await?;
    Ok(Daemon { core, config, server, queues, changes: mirror.changes, notices, questions, resolver, heard })
}

/// The neighbors of a router that is its own host; there is room for as many as packets can have next hops.
fn neighborhood(config: &ValidConfig) -> Neighborhood {
    let max = config.buffers.neighbors_max;
    let defaults = config.own.discovery.clone();
    let settings = Neighbors {
        keep: defaults.keep.min(max),
        crowded: defaults.crowded.min(max),
        neighbors_max: defaults.neighbors_max.min(max),
        ..defaults
    };
    Neighborhood::new(settings, RandomState::new().hash_one(5))
}

fn kinds(config: &ValidConfig) -> Vec<PortKind> {
    let kind = |port: &PortSpec| match port {
        PortSpec::Device(_) => PortKind::AfPacket,
        PortSpec::Tun(_) => PortKind::Tun,
    };
    let bridges = config.bridges.iter().map(|_| PortKind::Bridge);
    config.ports.iter().map(kind).chain(bridges).collect()
}

/// TUN devices come first, so that the first picture shows them.
fn open_tuns(config: &ValidConfig) -> anyhow::Result<HashMap<PortId, Tun>> {
    let mut tuns = HashMap::new();
    for (index, port) in config.ports.iter().enumerate() {
        if let PortSpec::Tun(name) = port {
            tuns.insert(PortId(u16::try_from(index)?), Tun::open(name)?);
        }
    }
    Ok(tuns)
}

fn plan(config: &ValidConfig, resolver: Box<dyn Resolver>) -> anyhow::Result<Plan> {
    let conntrack = &config.conntrack;
    Ok(Plan {
        host: config.host.host(),
        ports: config.all_port_names().map(str::to_owned).collect(),
        bridges: config.bridges.clone(),
        neighbors_max: config.buffers.neighbors_max,
        flows: conntrack::Config {
            flows_max: conntrack.flows_max,
            seed: secret(),
            expectations_max: conntrack.expectations_max,
            checksum: conntrack.checksum,
        },
        trackers: trackers(conntrack),
        resolver,
        seed: secret(),
    })
}

/// The built-in trackers. One of another's making is registered before they are built.
fn trackers(config: &ConntrackConfig) -> Trackers {
    Trackers::builder_with(&config.trackers).build()
}

/// Random numbers, as the standard library seeds its hash maps.
fn secret() -> [u64; 2] {
    [RandomState::new().hash_one(0_u8), RandomState::new().hash_one(1_u8)]
}

/// The guard on the ports. To a TUN device of routerd's own the kernel is a host like others.
fn set_guard(config: &ValidConfig) -> anyhow::Result<Guard> {
    if config.host.host().is_owned() {
        let devices = config.ports.iter().filter(|port| matches!(port, PortSpec::Device(_)));
        return Ok(Guard::set_whole(devices.map(PortSpec::name))?);
    }
    let forwarding = config.sysctl.kernel_forwarding(config.port_names());
    Ok(Guard::set(config.port_names(), forwarding)?)
}

/// Applies changes until the first complete picture is in.
async fn take_first_picture(
    config: &ValidConfig,
    own: &Own,
    writer: &mut Writer,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> anyhow::Result<()> {
    let mut picture = Vec::new();
    while let Some(batch) = changes.recv().await {
        let complete = batch.contains(&Change::DumpEnd);
        if config.host.host().is_owned() {
            let of_host = |change: &&Change| matches!(change, Change::Link(_) | Change::Address(_));
            picture.extend(batch.iter().filter(of_host).cloned());
            writer.apply(own.tables.borrow_mut().take(batch));
        } else {
            writer.apply(batch);
        }
        if complete {
            return check_kernels_addresses(config, &picture);
        }
    }
    bail!("the kernel's routing tables could not be read")
}

/// Every port must have its device at the start; later ones may come and go.
fn check_devices(config: &ValidConfig, writer: &Writer) -> anyhow::Result<()> {
    for port in &config.ports {
        let name = port.name();
        let Some(row) = writer.links().find(|row| row.link.name == name) else {
            bail!("port {name}: there is no such device in this network namespace (see `ip link`)");
        };
        if row.link.loopback {
            bail!("port {name}: the loopback device cannot be a port");
        }
    }
    Ok(())
}

fn seat_workers(
    config: &ValidConfig,
    assembly: &Assembly,
    notify: &mpsc::Sender<Notice>,
) -> anyhow::Result<Vec<Seat>> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    (0..usize::from(config.workers))
        .map(|number| {
            let (engine, counters) = assembly.engine();
            let settings = WorkerConfig {
                frames_max: config.buffers.frames_max,
                cpu: (config.workers > 1).then_some(number % cpus),
                ..WorkerConfig::default()
            };
            let handle = spawn(&format!("worker-{number}"), settings, notify.clone(), move || engine)
                .with_context(|| format!("worker {number} cannot be started"))?;
            Ok(Seat { handle, counters })
        })
        .collect()
}

/// Serves programs that judge packets.
fn serve_queues(
    config: &ValidConfig,
    assembly: &Assembly,
    seats: &[Seat],
    news: &Arc<News>,
) -> anyhow::Result<queue::Server> {
    let shared = &assembly.shared;
    for (number, seat) in seats.iter().enumerate() {
        shared.queues.set_waker(number, seat.handle.waker());
    }
    let address = ctl::queue::address_of(&config.control);
    let answer_wait = Duration::from_secs(config.queue.answer_s);
    Ok(queue::Server::start(
        &address,
        shared.queues.clone(),
        shared.ports.clone(),
        news.clone(),
        answer_wait,
    )?)
}

/// Waits until every port whose device is up is open.
async fn wait_for_ports(core: &Core, notices: &mut mpsc::Receiver<Notice>) -> anyhow::Result<()> {
    let mut missing = core.workers.borrow().len() * opening(core);
    let deadline = tokio::time::Instant::now() + OPENING_MAX;
    while missing > 0 {
        let notice = tokio::time::timeout_at(deadline, notices.recv()).await;
        match notice.context("the ports were not open in time")? {
            Some(Notice::Lost { port, error }) => {
                bail!("port {}: {error}", core.shared.ports.name(port))
            }
            Some(notice) => {
                missing -= usize::from(matches!(notice, Notice::Attached { .. }));
                core.take_notice(notice);
            }
            None => bail!("the workers have ended"),
        }
    }
    Ok(())
}

/// Ports that are about to open.
fn opening(core: &Core) -> usize {
    let keeper = core.keeper.borrow();
    let is_opening = |port: &PortId| matches!(keeper.standing(*port), Some(Standing::Opening(_)));
    core.port_ids().filter(is_opening).count()
}

impl Daemon {
    /// Says that packets are forwarded from now on, in the line for people that it returns.
    #[must_use]
    pub fn ready(&self) -> String {
        self.core.ready_since.set(Some(self.core.now()));
        let ports: Vec<&str> = self.config.port_names().collect();
        format!(
            "routerd {} ready: ports {}, control {}, pid {}",
            env!("CARGO_PKG_VERSION"),
            ports.join(","),
            self.config.control,
            std::process::id()
        )
    }
}
