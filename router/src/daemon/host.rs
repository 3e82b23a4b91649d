//! A router that is its own host, on the control thread: its tables between the kernel's links, users and the routing state;
//! its addresses between these tables, its neighbors, and the kernel's programs behind the TUN device.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ctl::message::HostEvent;
use fib::adjacency::LinkIndex;
use fib::change::Change;
use fib::writer::Applied;
use tokio::sync::{Notify, mpsc};

use super::Core;
use crate::config::{HostConfig, PortSpec, ValidConfig};
use crate::control::Events;
use crate::engine::Heard;
use crate::host::neighborhood::{Standing, Verdict};
use crate::host::tables::{OwnError, OwnNeighbor, OwnTables, Phase, Seat, Setup};
use crate::mirror::OwnDevice;
use crate::port::HOST;
use crate::port::af_packet::index_of;
use crate::port::tun::Tun;
use crate::worker::Notice;

/// How long the start waits for addresses that are being tried.
const TRYING_MAX: Duration = Duration::from_secs(4);

/// Where the TUN device to the kernel stands.
enum Device {
    /// There is to be none.
    None,
    /// It is to be made, again with the next tick if that fails.
    Wanted,
    /// Packets pass.
    There(OwnDevice),
}

/// What only a router has that is its own host.
pub struct Own {
    /// Addresses, routes and policy rules. Of a router whose host is the kernel these are empty.
    pub tables: RefCell<OwnTables>,
    /// What users have changed and watchers are still to be told.
    untold: RefCell<Vec<Applied>>,
    /// Wakes the control thread when users have changed something.
    stirred: Notify,
    /// Name of the TUN device to the kernel, if there is to be one.
    device_name: Option<String>,
    /// That device.
    device: RefCell<Device>,
    /// Whether addresses may be tried and announced: not before the ports are open.
    is_open: Cell<bool>,
}

impl Own {
    /// What a configuration asks for.
    #[must_use]
    pub fn new(config: &ValidConfig) -> Self {
        let seats = config.ports.iter().map(|port| Seat::Device(port.name().to_owned()));
        let bridges = config.bridges.iter().map(|bridge| Seat::Bridge {
            name: bridge.name.clone(),
            mac: bridge.mac,
            members: bridge.members.clone(),
            settings: config.sysctl.link(&bridge.name),
        });
        Self::with(Setup {
            ports: seats.chain(bridges).collect(),
            wanted: config.own.wanted.clone(),
            follow: followed(config, &config.own),
        })
        .behind(config.host.device())
    }

    /// With a TUN device of this name to the kernel.
    fn behind(self, device: Option<&str>) -> Self {
        Self { device_name: device.map(str::to_owned), ..self }
    }

    /// With these tables.
    #[must_use]
    pub fn with(setup: Setup) -> Self {
        Self {
            tables: RefCell::new(OwnTables::new(setup)),
            untold: RefCell::default(),
            stirred: Notify::new(),
            device_name: None,
            device: RefCell::new(Device::None),
            is_open: Cell::new(false),
        }
    }
}

const fn phase(standing: &Standing) -> Phase {
    match standing {
        Standing::Tentative => Phase::Tentative,
        Standing::Ready => Phase::Ready,
        Standing::Duplicate(_) => Phase::Duplicate,
    }
}

/// The device whose routes are followed.
fn followed(config: &ValidConfig, own: &HostConfig) -> Option<String> {
    config.host.device().filter(|_| own.follow_kernel_routes).map(str::to_owned)
}

impl Core {
    /// What the kernel's news mean for the routing state: in an owned host little more than its links.
    pub(super) fn meaning_of(&self, batch: Vec<Change>) -> Vec<Change> {
        if self.shared.host.is_owned() { self.own.tables.borrow_mut().take(batch) } else { batch }
    }

    /// Has the tables know of each address what the neighborhood has found out: while a link flaps, verdicts may be on
    /// links that are no more.
    pub(super) fn settle_phases(&self, events: &Events) {
        if !self.shared.host.is_owned() || !self.own.is_open.get() {
            return;
        }
        let neighborhood = self.neighborhood.borrow();
        let found = |port, address| neighborhood.standing(port, address).as_ref().map(phase);
        let changes = self.own.tables.borrow_mut().set_phases(found);
        drop(neighborhood);
        if !changes.is_empty() {
            let applied = self.writer.borrow_mut().apply(changes);
            self.follow(&applied, events);
        }
    }

    /// What the routing state is to be told when one of the router's addresses stands otherwise than before.
    pub(super) fn take_verdict(&self, verdict: &Verdict) -> Vec<Change> {
        let phase = phase(&verdict.standing);
        self.own.tables.borrow_mut().set_phase(verdict.port, verdict.address, phase)
    }

    /// Puts a change of the tables in force. Those who watch are told with the next turn of the control thread.
    pub(super) fn settle_own(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return self.follow_host();
        }
        let applied = self.writer.borrow_mut().apply(changes);
        self.heed(&applied);
        self.own.untold.borrow_mut().push(applied);
        self.own.stirred.notify_one();
    }

    /// Puts a change of the neighbors in force that users have made, likewise.
    pub(super) fn settle_neighborhood(&self) {
        let changes = self.neighborhood.borrow_mut().take_changes();
        self.settle_own(changes);
        self.own.stirred.notify_one();
    }

    /// Ends when users have changed something.
    pub(super) async fn stirred(&self) {
        self.own.stirred.notified().await;
    }

    /// Does what is left to be done after users have changed something.
    pub(super) fn follow_users(&self, events: &Events) {
        for applied in self.own.untold.take() {
            self.tell(&applied, events);
        }
        self.follow_neighborhood(events);
    }

    /// Keeps neighbors, and the kernel behind the TUN device, in step with addresses as they are now.
    pub(super) fn follow_host(&self) {
        if !self.shared.host.is_owned() || !self.own.is_open.get() {
            return;
        }
        self.follow_interfaces();
        let now = self.now();
        let standings = self.own.tables.borrow().standings().into_iter();
        let addresses = standings.map(|one| (one.address.port, one.address.net, one.address.detect));
        self.neighborhood.borrow_mut().set_addresses(addresses, now);
        if let Device::There(device) = &mut *self.own.device.borrow_mut()
            && let Err(error) = device.follow(&self.own.tables.borrow().host_view())
        {
            tracing::error!("device {} is not in step with the router's addresses: {error}", device.name());
        }
    }

    /// Makes the TUN device to the kernel, with a queue for each worker.
    fn make_device(&self, name: &str) -> anyhow::Result<OwnDevice> {
        let workers = self.workers.borrow();
        let queues = Tun::make(name, workers.len())?;
        let index = LinkIndex(index_of(name)?);
        let strict = self.sysctl.borrow().is_strict_everywhere();
        let device = OwnDevice::set_up(index, name, strict, &self.own.tables.borrow().host_view())
            .with_context(|| format!("device {name} cannot be set up"))?;
        for (seat, queue) in workers.iter().zip(queues) {
            if let Err(error) = seat.handle.attach(HOST, Box::new(queue)) {
                self.leave_device();
                return Err(error).with_context(|| format!("device {name}"));
            }
        }
        Ok(device)
    }

    fn leave_device(&self) {
        for seat in &*self.workers.borrow() {
            // A worker that has ended has closed its queue; one that is busy does so when it ends.
            let _ = seat.handle.detach(HOST);
        }
    }

    /// The TUN device to the kernel is gone or down; it is made anew with the next tick.
    pub(super) fn lose_device(&self, error: &io::Error) {
        let before = self.own.device.replace(Device::Wanted);
        if let Device::There(device) = before {
            let (device, reason) = (device.name().to_owned(), error.to_string());
            self.news.note(HostEvent::DeviceLost { device, reason });
        }
        self.leave_device();
    }

    /// Makes the TUN device anew if it was lost.
    pub(super) fn keep_device(&self) {
        let is_wanted = matches!(*self.own.device.borrow(), Device::Wanted);
        let Some(name) = self.own.device_name.as_deref().filter(|_| is_wanted) else { return };
        match self.make_device(name) {
            Ok(device) => {
                self.own.device.replace(Device::There(device));
                self.news.note(HostEvent::DeviceReady { device: name.to_owned() });
            }
            Err(error) => tracing::debug!("{error:#}"),
        }
    }

    /// Keeps the TUN device in step with settings of the namespace that it depends on.
    pub(super) fn follow_device_settings(&self) {
        let strict = self.sysctl.borrow().is_strict_everywhere();
        if let Device::There(device) = &mut *self.own.device.borrow_mut()
            && let Err(error) = device.follow_strictness(strict)
        {
            tracing::error!("device {} cannot be set up: {error}", device.name());
        }
    }

    /// Name of the TUN device by which local packets pass to and from the kernel, of an owned host that has one.
    pub(super) fn own_device(&self) -> Option<String> {
        self.own.device_name.clone()
    }

    /// The kernel's index of that device, while there is one.
    pub(super) fn own_device_index(&self) -> Option<LinkIndex> {
        match &*self.own.device.borrow() {
            Device::There(device) => Some(device.index()),
            Device::None | Device::Wanted => None,
        }
    }

    /// Begins to be a host, once the ports are open: neighbors that are set by hand, what others are told, addresses.
    ///
    /// # Errors
    /// The TUN device cannot be made.
    pub(super) fn open_host(&self, config: &HostConfig) -> anyhow::Result<()> {
        if !self.shared.host.is_owned() {
            return Ok(());
        }
        if let Some(name) = &self.own.device_name {
            self.own.device.replace(Device::There(self.make_device(name)?));
        }
        self.own.is_open.set(true);
        self.follow_interfaces();
        let mut neighborhood = self.neighborhood.borrow_mut();
        for OwnNeighbor { port, address, mac } in &config.neighbors {
            neighborhood.set_static(*port, *address, *mac);
        }
        for (port, proxy) in &config.proxy {
            neighborhood.set_proxy(*port, proxy.clone());
        }
        for (port, advertising) in &config.advertise {
            neighborhood.set_advertising(*port, Some(advertising.clone()), self.now());
        }
        drop(neighborhood);
        self.follow_host();
        Ok(())
    }

    /// Waits until nobody else is found to have the addresses that were configured, or for as long as that may take.
    pub(super) async fn wait_for_addresses(
        &self,
        notices: &mut mpsc::Receiver<Notice>,
        heard: &mut mpsc::Receiver<Heard>,
    ) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + TRYING_MAX;
        let events = Events::default();
        let mut messages = Vec::new();
        self.follow_neighborhood(&events);
        while self.is_trying() {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                notice = notices.recv() => match notice {
                    Some(notice) => self.take_notice(notice),
                    None => bail!("the workers have ended"),
                },
                _ = heard.recv_many(&mut messages, 64) => self.hear(messages.drain(..), &events),
                () = self.neighbor_due() => self.tend_neighbors(&events),
            }
        }
        Ok(())
    }

    /// Whether an address is being tried where it can be.
    fn is_trying(&self) -> bool {
        let tables = self.own.tables.borrow();
        let can_be_tried = |port| tables.link_of(port).is_some_and(|link| link.admin_up && link.carrier);
        let mut standings = tables.standings().into_iter();
        self.shared.host.is_owned()
            && standings.any(|one| one.phase == Phase::Tentative && can_be_tried(one.address.port))
    }

    /// Puts in force what a configuration says otherwise than the one before. What users have changed since stays.
    ///
    /// # Errors
    /// Addresses, routes and rules that cannot be: these stay as they were.
    pub(super) fn take_own(&self, before: &ValidConfig, now: &HostConfig) -> Result<(), OwnError> {
        if !self.shared.host.is_owned() {
            return Ok(());
        }
        let old = &before.own;
        let said = self.own.tables.borrow_mut().change(|wanted, seats| {
            for route in old.wanted.routes().filter(|route| now.wanted.route(&route.key()) != Some(route)) {
                // One that users have deleted already is no mistake.
                let _ = wanted.remove_route(route.table, route.prefix, |held| held == route);
            }
            for rule in old.wanted.rules().iter().filter(|rule| !now.wanted.rules().contains(rule)) {
                wanted.remove_rule(rule);
            }
            let gone = old.wanted.addresses().iter().filter(|own| !now.wanted.addresses().contains(own));
            for own in gone {
                let _ = wanted.remove_address(seats, own.port, own.net);
            }
            let come = now.wanted.addresses().iter().filter(|own| !old.wanted.addresses().contains(own));
            for own in
                come.filter(|own| !wanted.addresses().to_vec().contains(own)).cloned().collect::<Vec<_>>()
            {
                wanted.add_address(seats, own)?;
            }
            for route in now.wanted.routes().filter(|route| old.wanted.route(&route.key()) != Some(route)) {
                wanted.replace_route(seats, route.clone())?;
            }
            for rule in now.wanted.rules().iter().filter(|rule| !old.wanted.rules().contains(rule)) {
                if !wanted.rules().contains(rule) {
                    wanted.add_rule(rule.clone())?;
                }
            }
            Ok(())
        })?;
        self.take_neighborhood(old, now);
        self.settle_own(said);
        if old.follow_kernel_routes != now.follow_kernel_routes {
            self.own.tables.borrow_mut().set_followed(followed(before, now));
            self.mirror.resync();
        }
        Ok(())
    }

    fn take_neighborhood(&self, old: &HostConfig, now: &HostConfig) {
        let mut neighborhood = self.neighborhood.borrow_mut();
        let is_named = |config: &HostConfig, one: &OwnNeighbor| {
            config.neighbors.iter().any(|other| (other.port, other.address) == (one.port, one.address))
        };
        for gone in old.neighbors.iter().filter(|one| !is_named(now, one)) {
            neighborhood.forget(gone.port, gone.address);
        }
        for come in now.neighbors.iter().filter(|one| !old.neighbors.contains(one)) {
            neighborhood.set_static(come.port, come.address, come.mac);
        }
        for port in self.port_ids() {
            if old.proxy.get(&port) != now.proxy.get(&port) {
                neighborhood.set_proxy(port, now.proxy.get(&port).cloned().unwrap_or_default());
            }
            if old.advertise.get(&port) != now.advertise.get(&port) {
                neighborhood.set_advertising(port, now.advertise.get(&port).cloned(), self.now());
            }
        }
        drop(neighborhood);
        self.own.stirred.notify_one();
    }
}

/// Finds addresses that the kernel has on ports of a router that is its own host: its programs would use them, and nobody
/// would answer. Those of a link alone do no harm.
///
/// # Errors
/// There are some, and programs are to use the router's (`--host tun`).
pub(super) fn check_kernels_addresses(config: &ValidConfig, first: &[Change]) -> anyhow::Result<()> {
    let names = first.iter().filter_map(|change| match change {
        Change::Link(link) => Some((link.index, link.name.as_str())),
        _ => None,
    });
    let names: BTreeMap<_, _> = names.collect();
    for change in first {
        let Change::Address(address) = change else { continue };
        let is_port = |name: &&str| config.ports.contains(&PortSpec::Device((*name).to_owned()));
        let Some(port) = names.get(&address.link).filter(|name| is_port(name)) else { continue };
        let is_of_link = matches!(address.net.addr(), IpAddr::V6(own) if own.is_unicast_link_local());
        if is_of_link {
            continue;
        }
        let net = address.net;
        if config.host.device().is_some() {
            bail!(
                "port {port} has the address {net} in the kernel, whose programs would use it and be heard by nobody: \
                 `ip address flush dev {port}`, or --host kernel"
            );
        }
        tracing::warn!(
            "port {port} has the address {net} in the kernel, for which nobody answers while routerd runs"
        );
    }
    Ok(())
}
