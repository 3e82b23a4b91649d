//! Switches the hand-over of local packets on and off: device, workers and guard, in an order in which the kernel never
//! answers for what routerd is about to translate.

use std::cell::Cell;
use std::io;

use fib::adjacency::{LinkIndex, PortId};

use super::{Core, PortKind};
use crate::guard::{self, GuardError};
use crate::mirror::HostDevice;
use crate::port::af_packet::{self, index_of};
use crate::port::tun::{self, Tun};
use crate::port::{HOST, Port, tag_of};
use crate::worker::CommandError;

/// The device by which packets pass between routerd and the kernel's sockets.
pub const DEVICE: &str = "routerd";

/// Whether packets for and from this host pass routerd, by whose wish, and by what.
#[derive(Debug)]
pub struct Handover {
    configured: Cell<bool>,
    asked: Cell<bool>,
    device: Cell<Option<Device>>,
}

#[derive(Clone, Copy, Debug)]
struct Device {
    index: LinkIndex,
    strict: bool,
    /// Set when it was lost; it is made anew with the next tick.
    lost: bool,
}

/// Why packets for this host cannot be handed over, or not left to the kernel again.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The device cannot be made.
    #[error("packets for this host cannot be handed over: {0}")]
    Device(#[from] tun::OpenError),
    /// The device vanished at once.
    #[error("packets for this host cannot be handed over: {0}")]
    Vanished(#[from] af_packet::OpenError),
    /// The device cannot be set up.
    #[error("device {DEVICE} cannot be set up: {0}")]
    Settings(#[from] io::Error),
    /// A worker does not take it.
    #[error("device {DEVICE}: {0}")]
    Worker(#[from] CommandError),
    /// The guard cannot be set.
    #[error("packets for this host cannot be kept from the kernel: {0}")]
    Guard(#[from] GuardError),
}

impl Handover {
    /// Off, and if `configured` to be switched on by the first [`Core::set_handover`], whatever that asks for.
    #[must_use]
    pub const fn new(configured: bool) -> Self {
        Self { configured: Cell::new(configured), asked: Cell::new(false), device: Cell::new(None) }
    }

    /// Whether packets for this host pass routerd.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.device.get().is_some()
    }

    /// The kernel's index of the device, while packets for this host pass by it.
    pub(super) fn device_index(&self) -> Option<LinkIndex> {
        self.device.get().map(|device| device.index)
    }

    /// Takes over what the configuration says now.
    pub(super) fn configure(&self, core: &Core, on: bool) -> Result<(), HandoverError> {
        self.configured.set(on);
        core.set_handover(self.asked.get())
    }
}

impl Core {
    /// Has packets for and from this host pass routerd, for rules that translate or that judge what enters and leaves
    /// this host; or leaves them to the kernel again, unless the configuration wants it so. It is in force when this
    /// returns, so rules that need it come into force afterwards; before it is switched off, the last flow that is
    /// translated onto this host's addresses has to be gone, or the kernel answers its packets.
    ///
    /// While it is switched a packet may arrive twice, once from the kernel's own copy; none is lost.
    ///
    /// # Errors
    /// See [`HandoverError`]; everything is as it was before.
    pub fn set_handover(&self, on: bool) -> Result<(), HandoverError> {
        if self.shared.host.is_owned() {
            // Packets for and from this host pass routerd as it is.
            return Ok(());
        }
        let before = self.handover.asked.replace(on);
        let result = match (on || self.handover.configured.get(), self.handover.is_on()) {
            (true, false) => self.begin_handover(),
            (false, true) => self.end_handover(),
            _ => Ok(()),
        };
        if result.is_err() {
            self.handover.asked.set(before);
        }
        result
    }

    /// Device, workers, then the guard: packets are handed over before the kernel is kept from taking its own copies.
    fn begin_handover(&self) -> Result<(), HandoverError> {
        let device = self.attach_host()?;
        self.shared.set_handover(true);
        if let Err(error) = self.rearm_guard(true) {
            self.shared.set_handover(false);
            self.detach_host();
            return Err(error.into());
        }
        self.handover.device.set(Some(device));
        Ok(())
    }

    /// The reverse: the kernel takes its own copies before none is handed over any more.
    fn end_handover(&self) -> Result<(), HandoverError> {
        self.rearm_guard(false)?;
        self.shared.set_handover(false);
        self.detach_host();
        self.handover.device.set(None);
        Ok(())
    }

    /// Makes the device, with a queue for each worker.
    fn attach_host(&self) -> Result<Device, HandoverError> {
        let workers = self.workers.borrow();
        let queues = Tun::make_tap(DEVICE, workers.len())?;
        let index = LinkIndex(index_of(DEVICE)?);
        let device = Device { index, strict: self.sysctl.borrow().is_strict_everywhere(), lost: false };
        device.host().set_up()?;
        for (seat, queue) in workers.iter().zip(queues) {
            let attached = seat.handle.attach(HOST, Box::new(queue) as Box<dyn Port>);
            if let Err(error) = attached {
                self.detach_host();
                return Err(error.into());
            }
        }
        Ok(device)
    }

    fn detach_host(&self) {
        for seat in &*self.workers.borrow() {
            // A worker that has ended has closed its queue; one that is busy does so when it ends.
            let _ = seat.handle.detach(HOST);
        }
    }

    /// Sets the guard anew on the ports as they are now.
    pub(super) fn rearm_guard(&self, handover: bool) -> Result<(), GuardError> {
        let writer = self.writer.borrow();
        let bound: Vec<(PortId, &str)> =
            writer.links().filter_map(|row| Some((row.port?, row.link.name.as_str()))).collect();
        let names = bound.iter().map(|(_, name)| *name);
        let on_devices = |port: &PortId| self.kinds[usize::from(port.0)] == PortKind::AfPacket;
        let ports = bound.iter().filter(|(port, _)| on_devices(port));
        if self.shared.host.is_owned() {
            return self.guard.borrow_mut().rearm(ports.map(|(_, name)| *name));
        }
        if !handover {
            return self.guard.borrow_mut().rearm(names);
        }
        let ports = ports.map(|(port, name)| (*name, tag_of(*port))).collect();
        let handover = guard::Handover { device: DEVICE, ports };
        self.guard.borrow_mut().rearm_handing_over(names, &handover)
    }

    /// The device is gone or down; it is made anew with the next tick.
    pub(super) fn lose_host(&self, error: &io::Error) {
        let Some(device) = self.handover.device.get() else { return };
        if !device.lost {
            tracing::warn!("device {DEVICE} is lost and will be made anew: {error}");
            self.handover.device.set(Some(Device { lost: true, ..device }));
        }
        self.detach_host();
    }

    /// Makes the device anew if it was lost. The guard follows, as it knows the device by its index.
    pub(super) fn keep_handover(&self) {
        if !self.handover.device.get().is_some_and(|device| device.lost) {
            return;
        }
        match self.attach_host() {
            Ok(device) => {
                self.handover.device.set(Some(device));
                if let Err(error) = self.rearm_guard(true) {
                    tracing::error!("{error}");
                }
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// Keeps the device in step with settings of the namespace that it depends on.
    pub(super) fn follow_handover(&self) {
        let Some(device) = self.handover.device.get() else { return };
        let strict = self.sysctl.borrow().is_strict_everywhere();
        if strict == device.strict {
            return;
        }
        let device = Device { strict, ..device };
        self.handover.device.set(Some(device));
        if let Err(error) = device.host().follow() {
            tracing::error!("device {DEVICE} cannot be set up: {error}");
        }
    }
}

impl Device {
    const fn host(&self) -> HostDevice<'static> {
        HostDevice { index: self.index, name: DEVICE, mac: tag_of(HOST), strict: self.strict }
    }
}
