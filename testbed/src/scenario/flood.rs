//! A flood of SYNs from everywhere, as fast as a socket takes them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use router::frame::Pool;
use router::port::Port;
use router::port::af_packet::{AfPacket, Settings, index_of};

use crate::frames::{Checksum, ETHERTYPE_IPV4, Link, Payload, Tcp, V4};
use crate::lab::Namespace;

/// Different frames of a flood; when all are sent it begins again.
const FRAMES: usize = 1 << 16;
/// Frames handed to the kernel with one call.
const BATCH: usize = 64;
const SYN: u8 = 2;

/// SYNs under way from random addresses and ports.
#[derive(Debug)]
pub struct Flood {
    sent: Arc<AtomicU64>,
    sender: JoinHandle<()>,
}

impl Flood {
    /// Begins to send by `device` of `namespace` to the neighbor with that MAC address, for so long and no more than
    /// `most` frames. The same seed gives the same frames.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn start(
        (namespace, device): (&Namespace, &str),
        [to, from]: [[u8; 6]; 2],
        target: SocketAddrV4,
        (longest, most): (Duration, u64),
        seed: u64,
    ) -> Result<Self> {
        let settings = Settings { qdisc_bypass: true, ..Settings::default() };
        let mut port =
            namespace.inside(|| -> Result<_> { Ok(AfPacket::open(index_of(device)?, &settings)?) })?;
        let frames = frames([to, from], target, seed);
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let sender = thread::spawn(move || {
            let (mut pool, mut batch) = (Pool::new(BATCH), Vec::with_capacity(BATCH));
            let mut next = frames.iter().cycle();
            let deadline = Instant::now() + longest;
            while Instant::now() < deadline && count.load(Ordering::Relaxed) < most {
                while let Some(mut frame) = pool.take() {
                    frame.copy_from(next.next().expect("a cycle does not end"));
                    batch.push(frame);
                }
                count.fetch_add(batch.len() as u64, Ordering::Relaxed);
                port.send(&mut pool, &mut batch);
            }
        });
        Ok(Self { sent, sender })
    }

    /// Whether it is still going on.
    pub fn goes_on(&self) -> bool {
        !self.sender.is_finished()
    }

    /// Waits for its end and says how many were handed to the device.
    pub fn finish(self) -> u64 {
        self.sender.join().expect("a flood does not panic");
        self.sent.load(Ordering::Relaxed)
    }
}

fn frames([to, from]: [[u8; 6]; 2], target: SocketAddrV4, seed: u64) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let link = Link { destination: to, source: from, tags: Vec::new(), trailer: Vec::new() };
    (0..FRAMES).map(|_| link.around(ETHERTYPE_IPV4, &syn(target, &mut random).bytes())).collect()
}

/// A SYN from anywhere but where something is special.
fn syn(target: SocketAddrV4, random: &mut fastrand::Rng) -> V4 {
    let segment = Tcp {
        source: random.u16(1024..),
        destination: target.port(),
        sequence: random.u32(..),
        acknowledgment: 0,
        header_words: None,
        flags: SYN,
        window: 64240,
        checksum: Checksum::Right,
        options: vec![2, 4, 5, 180],
        data: Vec::new(),
    };
    V4 {
        version: 4,
        header_words: None,
        tos: 0,
        total_length: None,
        id: random.u16(..),
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        offset: 0,
        ttl: 60,
        protocol: None,
        checksum: Checksum::Right,
        source: Ipv4Addr::new(random.u8(20..100), random.u8(..), random.u8(..), random.u8(1..255)),
        destination: *target.ip(),
        options: Vec::new(),
        payload: Payload::Tcp(segment),
    }
}
