//! Which sockets are to be opened and closed as devices come, go and change: a decision, made of facts handed in.
//!
//! A port is configured by its device's name. Once open it stays with the device, by its index, even if that is
//! renamed, until the device goes away or down, or another one takes the configured name. A new MTU or MAC needs
//! nothing here: the socket does not care.

use std::time::Duration;

use fib::adjacency::{LinkIndex, PortId};

use conntrack::Instant;

/// What the kernel says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: LinkIndex,
    /// Its name.
    pub name: String,
    /// Whether it is administratively up (`IFF_UP`). Carrier does not matter for the socket.
    pub up: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the device and attach it to the workers; then tell [`Keeper::opened`] or [`Keeper::failed`].
    Open(PortId, LinkIndex),
    /// Detach the port from the workers.
    Close(PortId),
}

/// Where a port stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No device has the port's name.
    Absent,
    /// The device is there, and down.
    Down(LinkIndex),
    /// [`Action::Open`] has been asked for.
    Opening(LinkIndex),
    /// Opening failed or the port was lost; tried again at the given time.
    Failed(LinkIndex, Instant),
    /// Frames pass.
    Open(LinkIndex),
}

/// How long after a failure a device that seems well is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The ports of the router, by id, and where each stands.
#[derive(Debug, Default)]
pub struct Keeper {
    ports: Vec<(String, Standing)>,
}

impl Keeper {
    /// Ports by the names of their devices; the first has [`PortId`] 0.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { ports: names.into_iter().map(|name| (name, Standing::Absent)).collect() }
    }

    /// What is to be done now that the devices are these. Asked on each change of a link and at
    /// [`Self::next_retry`]; asking more often does no harm.
    pub fn decide(&mut self, links: &[Link], now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, (name, standing)) in self.ports.iter_mut().enumerate() {
            let id = PortId(id as u16);
            let next = next(*standing, device_of(name, *standing, links), now);
            if standing.bound().is_some() && next.bound() != standing.bound() {
                actions.push(Action::Close(id));
            }
            if let Standing::Opening(index) = next
                && *standing != next
            {
                actions.push(Action::Open(id, index));
            }
            *standing = next;
        }
        actions
    }

    /// The port has been opened.
    pub fn opened(&mut self, port: PortId) {
        if let Some((_, standing)) = self.ports.get_mut(usize::from(port.0))
            && let Standing::Opening(index) = *standing
        {
            *standing = Standing::Open(index);
        }
    }

    /// Opening the port has failed, or an open port was lost to an error.
    pub fn failed(&mut self, port: PortId, now: Instant) {
        if let Some((_, standing)) = self.ports.get_mut(usize::from(port.0))
            && let Some(index) = standing.bound()
        {
            *standing = Standing::Failed(index, now + RETRY_AFTER);
        }
    }

    /// When [`Self::decide`] is to be asked even if no link changes.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        let retries = self.ports.iter().filter_map(|(_, standing)| match standing {
            Standing::Failed(_, retry) => Some(*retry),
            _ => None,
        });
        retries.min()
    }

    /// Where a port stands; `None` for one that is not configured.
    #[must_use]
    pub fn standing(&self, port: PortId) -> Option<Standing> {
        self.ports.get(usize::from(port.0)).map(|(_, standing)| *standing)
    }
}

impl Standing {
    /// The device whose socket is open or about to be.
    const fn bound(self) -> Option<LinkIndex> {
        match self {
            Self::Opening(index) | Self::Open(index) => Some(index),
            Self::Absent | Self::Down(_) | Self::Failed(..) => None,
        }
    }

    const fn device(self) -> Option<LinkIndex> {
        match self {
            Self::Opening(index) | Self::Open(index) | Self::Down(index) | Self::Failed(index, _) => {
                Some(index)
            }
            Self::Absent => None,
        }
    }
}

/// The device that a port belongs to: the one of its name, else the one it was with, whatever that is called now.
fn device_of<'links>(name: &str, standing: Standing, links: &'links [Link]) -> Option<&'links Link> {
    let named = links.iter().find(|link| link.name == name);
    named.or_else(|| links.iter().find(|link| Some(link.index) == standing.device()))
}

fn next(standing: Standing, device: Option<&Link>, now: Instant) -> Standing {
    let Some(device) = device else { return Standing::Absent };
    if !device.up {
        return Standing::Down(device.index);
    }
    match standing {
        Standing::Open(index) | Standing::Opening(index) if index == device.index => standing,
        Standing::Failed(index, retry) if index == device.index && now < retry => standing,
        _ => Standing::Opening(device.index),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORT: PortId = PortId(0);

    fn link(index: u32, name: &str, up: bool) -> Link {
        Link { index: LinkIndex(index), name: name.to_owned(), up }
    }

    fn open(index: u32) -> Action {
        Action::Open(PORT, LinkIndex(index))
    }

    fn keeper() -> Keeper {
        Keeper::new(["a".to_owned()])
    }

    fn opened(links: &[Link]) -> Keeper {
        let mut keeper = keeper();
        assert_eq!(keeper.decide(links, Instant::ZERO).len(), 1);
        keeper.opened(PORT);
        keeper
    }

    #[test]
    fn a_device_that_is_there_and_up_is_opened_once() {
        let mut keeper = keeper();
        let links = [link(1, "lo", true), link(7, "a", true)];
        assert_eq!(keeper.decide(&links, Instant::ZERO), [open(7)]);
        assert_eq!(keeper.decide(&links, Instant::from_nanos(1)), []);
        keeper.opened(PORT);
        assert_eq!(keeper.decide(&links, Instant::from_nanos(2)), []);
        assert_eq!(keeper.standing(PORT), Some(Standing::Open(LinkIndex(7))));
    }

    #[test]
    fn a_device_that_vanishes_is_closed_and_opened_again_under_its_new_index() {
        let mut keeper = opened(&[link(7, "a", true)]);
        assert_eq!(keeper.decide(&[], Instant::from_nanos(1)), [Action::Close(PORT)]);
        assert_eq!(keeper.decide(&[link(9, "a", true)], Instant::from_nanos(2)), [open(9)]);
    }

    #[test]
    fn a_device_made_anew_between_two_looks_is_closed_and_opened() {
        let mut keeper = opened(&[link(7, "a", true)]);
        assert_eq!(
            keeper.decide(&[link(9, "a", true)], Instant::from_nanos(1)),
            [Action::Close(PORT), open(9)]
        );
    }

    #[test]
    fn a_device_that_goes_down_is_closed_until_it_is_up() {
        let mut keeper = opened(&[link(7, "a", true)]);
        assert_eq!(keeper.decide(&[link(7, "a", false)], Instant::from_nanos(1)), [Action::Close(PORT)]);
        assert_eq!(keeper.standing(PORT), Some(Standing::Down(LinkIndex(7))));
        assert_eq!(keeper.decide(&[link(7, "a", true)], Instant::from_nanos(2)), [open(7)]);
    }

    #[test]
    fn a_port_stays_with_a_renamed_device_until_another_takes_the_name() {
        let mut keeper = opened(&[link(7, "a", true)]);
        assert_eq!(keeper.decide(&[link(7, "b", true)], Instant::from_nanos(1)), []);
        let both = [link(7, "b", true), link(8, "a", true)];
        assert_eq!(keeper.decide(&both, Instant::from_nanos(2)), [Action::Close(PORT), open(8)]);
    }

    #[test]
    fn a_renamed_device_that_was_down_is_still_the_port() {
        let mut keeper = opened(&[link(7, "a", true)]);
        keeper.decide(&[link(7, "a", false)], Instant::from_nanos(1));
        assert_eq!(keeper.decide(&[link(7, "b", true)], Instant::from_nanos(2)), [open(7)]);
    }

    #[test]
    fn a_failure_is_tried_again_after_a_while_and_at_once_with_another_device() {
        let mut keeper = opened(&[link(7, "a", true)]);
        keeper.failed(PORT, Instant::from_nanos(10));
        assert_eq!(keeper.next_retry(), Some(Instant::from_nanos(10) + RETRY_AFTER));
        assert_eq!(keeper.decide(&[link(7, "a", true)], Instant::from_nanos(9) + RETRY_AFTER), []);
        assert_eq!(keeper.decide(&[link(7, "a", true)], Instant::from_nanos(10) + RETRY_AFTER), [open(7)]);
        keeper.failed(PORT, Instant::from_nanos(20) + RETRY_AFTER);
        assert_eq!(keeper.decide(&[link(8, "a", true)], Instant::from_nanos(20) + RETRY_AFTER), [open(8)]);
        assert_eq!(keeper.next_retry(), None);
    }

    proptest! {
        /// Whoever carries the actions out never opens what is open, and ends with the device that has the name.
        #[test]
        fn actions_carried_out_lead_to_the_right_device(
            history in prop::collection::vec(prop::collection::btree_map(1..5_u32, (0..3_usize, any::<bool>()), 0..4), 1..20),
            failures in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut keeper = keeper();
            let mut socket: Option<u32> = None;
            let mut failures = failures.into_iter().cycle();
            for (step, links) in history.into_iter().enumerate() {
                let links: Vec<Link> =
                    links.into_iter().map(|(index, (name, up))| link(index, ["a", "b", "c"][name], up)).collect();
                let now = Instant::from_secs(step as u64);
                for action in keeper.decide(&links, now) {
                    match action {
                        Action::Close(_) => prop_assert!(socket.take().is_some(), "closed what is not open"),
                        Action::Open(_, index) => {
                            prop_assert!(socket.is_none(), "opened twice");
                            prop_assert!(links.iter().any(|link| link.index == index && link.up));
                            if failures.next() == Some(true) {
                                keeper.failed(PORT, now);
                            } else {
                                socket = Some(index.0);
                                keeper.opened(PORT);
                            }
                        }
                    }
                }
                let named = links.iter().find(|link| link.name == "a");
                if let Some(named) = named {
                    let failed = matches!(keeper.standing(PORT), Some(Standing::Failed(..)));
                    prop_assert_eq!(socket, (named.up && !failed).then_some(named.index.0));
                }
                if let Some(socket) = socket {
                    prop_assert!(links.iter().any(|link| link.index.0 == socket && link.up));
                }
            }
        }
    }
}
