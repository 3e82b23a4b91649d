//! Opens the devices that ports stand for and hands them to the workers.

use std::io;

use fib::adjacency::{LinkIndex, PortId};
use fib::writer::Writer;

use super::{Core, PortKind};
use crate::port::af_packet::{AfPacket, Hears, Settings};
use crate::port::keeper::{Action, Link};
use crate::port::tun::Tun;
use crate::port::{HOST, Port};
use crate::worker::Notice;

/// The devices of the namespace, as the keeper wants to know them.
pub(super) fn devices(writer: &Writer) -> Vec<Link> {
    let link = |row: fib::writer::LinkRow<'_>| Link {
        index: row.link.index,
        name: row.link.name.clone(),
        up: row.link.admin_up,
    };
    writer.links().map(link).collect()
}

impl Core {
    /// Opens and closes what the devices as they are now ask for.
    pub(super) fn keep_ports(&self) {
        let devices = devices(&self.writer.borrow());
        let now = self.now();
        let actions = self.keeper.borrow_mut().decide(&devices, now);
        for action in actions {
            match action {
                Action::Open(port, link) => {
                    if let Err(error) = self.open(port, link) {
                        let name = self.shared.ports.name(port);
                        tracing::warn!("port {name} cannot be opened and is tried again: {error}");
                        self.keeper.borrow_mut().failed(port, self.now());
                    }
                }
                Action::Close(port) => {
                    for seat in &*self.workers.borrow() {
                        let _ = seat.handle.detach(port);
                    }
                }
            }
        }
    }

    /// Takes what a worker says of its ports.
    pub(super) fn take_notice(&self, notice: Notice) {
        match notice {
            Notice::Attached { port } => self.keeper.borrow_mut().opened(port),
            Notice::Detached { .. } => {}
            Notice::Lost { port: HOST, error } if self.shared.host.is_owned() => self.lose_device(&error),
            Notice::Lost { port: HOST, error } => self.lose_host(&error),
            Notice::Lost { port, error } => {
                let name = self.shared.ports.name(port);
                tracing::info!("port {name} is lost and will be picked up again: {error}");
                self.keeper.borrow_mut().failed(port, self.now());
                for seat in &*self.workers.borrow() {
                    let _ = seat.handle.detach(port);
                }
            }
            Notice::Ended => tracing::error!("a worker has ended"),
        }
    }

    /// Opens a port's device, once for each worker.
    fn open(&self, port: PortId, link: LinkIndex) -> anyhow::Result<()> {
        let workers = self.workers.borrow();
        let opened: Vec<Box<dyn Port>> = match self.kinds[usize::from(port.0)] {
            PortKind::AfPacket => {
                let settings = Settings { hears: self.hears(port), ..self.port_settings };
                boxed(AfPacket::open_group(link.0, workers.len(), &settings)?)
            }
            PortKind::Tun => boxed(self.open_tun(port, workers.len())?),
            PortKind::Bridge => Vec::new(),
        };
        for (seat, opened) in workers.iter().zip(opened) {
            seat.handle.attach(port, opened)?;
        }
        Ok(())
    }

    /// Whose frames a port on a device has to receive.
    fn hears(&self, port: PortId) -> Hears {
        if self.shared.bridges.of_member(port).is_some() {
            Hears::All
        } else if self.shared.host.is_owned() {
            Hears::OwnAndGroups
        } else {
            Hears::Own
        }
    }

    /// The TUN device that was made at the start, or one made anew, for each worker.
    fn open_tun(&self, port: PortId, workers: usize) -> anyhow::Result<Vec<Tun>> {
        let made = self.tuns.borrow_mut().remove(&port);
        let first = match made {
            Some(tun) => tun,
            None => Tun::open(self.shared.ports.name(port))?,
        };
        let mut all = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
        all.push(first);
        Ok(all)
    }
}

fn boxed<P: Port + 'static>(ports: Vec<P>) -> Vec<Box<dyn Port>> {
    ports.into_iter().map(|port| Box::new(port) as Box<dyn Port>).collect()
}
