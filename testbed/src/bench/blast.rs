//! Floods of small packets from one host of a bench lab to the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use router::frame::Pool;
use router::packet::checksum::checksum;
use router::port::Port;
use router::port::af_packet::{AfPacket, Settings, index_of};

use crate::lab::{Lab, SECONDS_5};

const BATCH: usize = 64;

/// Sends 64-byte UDP packets of `flows` flows from `h1` to `h2`, as many as it can for `duration`. Returns how many
/// arrive, in thousands a second.
///
/// # Errors
/// The host's device cannot be opened or counted.
pub fn flood(lab: &Lab, flows: u16, duration: Duration) -> Result<f64> {
    let mut port = lab.at("h1").inside(|| -> Result<_> {
        let settings = Settings { qdisc_bypass: true, ..Settings::default() };
        Ok(AfPacket::open(index_of("eth0")?, &settings)?)
    })?;
    let mut pool = Pool::new(BATCH);
    let mut batch = Vec::with_capacity(BATCH);
    let before = arrived(lab)?;
    let began = Instant::now();
    let mut flow = 0;
    while began.elapsed() < duration {
        while let Some(mut frame) = pool.take() {
            frame.copy_from(&packet(flow));
            batch.push(frame);
            flow = (flow + 1) % flows;
        }
        port.send(&mut pool, &mut batch);
    }
    let elapsed = began.elapsed();
    Ok((arrived(lab)? - before) as f64 / elapsed.as_secs_f64() / 1000.0)
}

/// A frame of 60 bytes (64 with the checksum that Ethernet adds) from h1 to h2 by way of r1; the flow's number is in
/// the source port.
fn packet(flow: u16) -> [u8; 60] {
    let mut bytes = [0; 60];
    bytes[..6].copy_from_slice(&[2, 0, 0, 0, 1, 2]);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 1, 1]);
    bytes[12..34]
        .copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2]);
    let header = checksum(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&header.to_be_bytes());
    bytes[34..42].copy_from_slice(&[0, 0, 0, 9, 0, 26, 0, 0]);
    let source_port = 10_000 + flow;
    bytes[34..36].copy_from_slice(&source_port.to_be_bytes());
    bytes
}

fn arrived(lab: &Lab) -> Result<u64> {
    let said = lab.run("h2", "ip -s -j link show dev eth0", SECONDS_5)?.ok()?;
    let links: serde_json::Value = serde_json::from_str(&said)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().context("ip told no packet count")
}
