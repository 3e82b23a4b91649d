//! A case: frames that go in, and in a few words what Linux makes of them.

use std::time::Duration;

use super::ground::{Ground, Key};
use crate::frames::{V4, V6};
use crate::wire::Frame;

/// Cases that are run one after another on one ground.
pub struct Chapter {
    /// A word for its cases to be found by.
    pub name: &'static str,
    /// How the router is set up.
    pub ground: Ground,
    /// In the order they run.
    pub cases: Vec<Case>,
}

/// One thing to try.
pub struct Case {
    /// A sentence without its verb's subject: what is peculiar about the frames.
    pub name: &'static str,
    /// What comes out of Linux, as [`super::describe::outcome`] puts it.
    pub expected: &'static str,
    /// The same where connections are not tracked, if it is not the same.
    pub expected_stateless: Option<&'static str>,
    /// What comes out of routerd, if that is not the same and is meant.
    pub deviation: Option<Deviation>,
    /// What is done, in order.
    pub steps: Box<dyn Fn(Key) -> Vec<Step> + Send + Sync>,
}

/// A difference that is meant.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// What comes out, as [`super::describe::outcome`] puts it.
    pub outcome: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Only where the kernel's own forwarding is off.
    pub without_kernel: bool,
}

/// What is done to the router.
#[derive(Clone)]
pub enum Step {
    /// A frame arrives at a port.
    Send(usize, Vec<u8>),
    /// A frame of which something was left to the device arrives at a port.
    SendOffloaded(usize, Frame),
    /// Nothing more is sent until such a frame has come out of any port, at most so long.
    AwaitAnywhere(fn(&[u8]) -> bool, Duration),
    /// Nothing more is sent until such a frame has come out of a port, at most so long.
    Await(usize, fn(&[u8]) -> bool, Duration),
}

impl Case {
    /// A case of its own making.
    pub fn new(
        name: &'static str,
        expected: &'static str,
        steps: impl Fn(Key) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self { name, expected, expected_stateless: None, deviation: None, steps: Box::new(steps) }
    }

    /// Says what comes out of Linux where connections are not tracked.
    pub fn untracked(self, expected: &'static str) -> Self {
        Self { expected_stateless: Some(expected), ..self }
    }

    /// Says what comes out of routerd where the kernel's own forwarding is off, and why that is not the same.
    pub fn without_kernel(self, outcome: &'static str, reason: &'static str) -> Self {
        Self { deviation: Some(Deviation { outcome, reason, without_kernel: true }), ..self }
    }

    /// Says what comes out of routerd, and why that is not the same.
    pub fn on_purpose(self, outcome: &'static str, reason: &'static str) -> Self {
        Self { deviation: Some(Deviation { outcome, reason, without_kernel: false }), ..self }
    }

    /// The case for ground without connection tracking.
    pub fn stateless(self) -> Self {
        Self { expected: self.expected_stateless.unwrap_or(self.expected), ..self }
    }
}

/// One IPv4 packet arrives at `r0`.
pub fn v4(name: &'static str, expected: &'static str, packet: fn(Key) -> V4) -> Case {
    Case::new(name, expected, move |key| vec![Step::Send(0, key.frame4(&packet(key)))])
}

/// One IPv6 packet arrives at `r0`.
pub fn v6(name: &'static str, expected: &'static str, packet: fn(Key) -> V6) -> Case {
    Case::new(name, expected, move |key| vec![Step::Send(0, key.frame6(&packet(key)))])
}

/// IPv4 packets arrive at `r0`.
pub fn all4(name: &'static str, expected: &'static str, packets: fn(Key) -> Vec<V4>) -> Case {
    Case::new(name, expected, move |key| {
        packets(key).iter().map(|packet| Step::Send(0, key.frame4(packet))).collect()
    })
}

/// IPv6 packets arrive at `r0`.
pub fn all6(name: &'static str, expected: &'static str, packets: fn(Key) -> Vec<V6>) -> Case {
    Case::new(name, expected, move |key| {
        packets(key).iter().map(|packet| Step::Send(0, key.frame6(packet))).collect()
    })
}

/// A frame, written out, arrives at `r0`.
pub fn frame(name: &'static str, expected: &'static str, frame: fn(Key) -> Vec<u8>) -> Case {
    Case::new(name, expected, move |key| vec![Step::Send(0, frame(key))])
}
