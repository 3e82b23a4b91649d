//! SYNs of random sources, as fast as they go, against a table of 2000 flows.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use testbed::lab::{SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::Download;
use testbed::scenario::flood::Flood;
use testbed::scenario::nat::{FORWARDED_PORT, HOME_ROUTER, OUTSIDE, OUTSIDE_MACS, SERVER, tcp_contact};
use testbed::scenario::server::{Server, content};

use crate::{behind, with_port};

/// The size of the transfer that goes on, in bytes.
const LENGTH: usize = 40 << 20;
/// How long the flood is, and how many frames at most.
const FLOOD: (Duration, u64) = (Duration::from_secs(4), 4_000_000);
/// Flows that the table holds.
const FLOWS_MAX: u64 = 2000;
/// KiB by which routerd may grow.
const GROWTH_KIB: u64 = 32 << 10;

#[test]
fn a_flood_ends_no_transfer_fills_no_memory_and_locks_nobody_out() {
    let router = Router::routerd(&[]).unwrap().configured(&format!("[conntrack]\nflows_max = {FLOWS_MAX}\n"));
    behind(&router, HOME_ROUTER, |lab, running| {
        let content = Arc::new(content(LENGTH));
        let _servers =
            ["s", "c1"].map(|station| Server::start(lab.at(station), Arc::clone(&content)).unwrap());
        let mut transfers = [
            Download::start(lab, "c2", SERVER[0], "4M").unwrap(),
            Download::start(lab, "c2", SERVER[1], "4M").unwrap(),
            Download::start_at(lab, "s", (OUTSIDE[0], FORWARDED_PORT), "4M").unwrap(),
        ];
        for transfer in &mut transfers {
            transfer.wait_bytes(LENGTH as u64 / 20).unwrap();
        }
        let memory_before = memory_kib(running, "VmRSS");
        let before = transfers.each_ref().map(Download::bytes);

        let target = format!("{}:{FORWARDED_PORT}", OUTSIDE[0]).parse().unwrap();
        let [router_mac, own_mac] = OUTSIDE_MACS;
        let flood = Flood::start((lab.at("x"), "left"), [router_mac, own_mac], target, FLOOD, 1).unwrap();
        let mut flows_most = 0;
        wait_until("the end of the flood", 10 * SECONDS_5, || {
            flows_most = flows_most.max(counter(running, "flows"));
            (!flood.goes_on()).then_some(())
        })
        .unwrap();
        let sent = flood.finish();
        let came = transfers.each_ref().map(Download::bytes);

        // Whoever is new gets in within seconds, both ways.
        let server = with_port(SERVER[0], 7777);
        wait_until("a new connection", SECONDS_5, || tcp_contact(lab, "c1", &server, "s", &server).ok())
            .unwrap();
        let mut another = Download::start_at(lab, "s", (OUTSIDE[0], FORWARDED_PORT), "20M").unwrap();
        another.wait_bytes(1).unwrap();
        drop(another);

        for transfer in transfers {
            let came = transfer.finish().unwrap();
            assert!(came == *content, "{} of {LENGTH} bytes", came.len());
        }
        let memory_most = memory_kib(running, "VmHWM");
        let early_drops = counter(running, "conntrack_early_drop");
        let told = running.tell("show drops").unwrap();
        let figures = format!(
            "{sent} SYNs sent, {flows_most} flows at most, {early_drops} gave way, {memory_before} to {memory_most} KiB, \
             transfers at {before:?} before and {came:?} after\n{told}"
        );
        eprintln!("{figures}");
        assert!(
            came.iter().zip(&before).all(|(came, before)| came > before),
            "a transfer stood still: {figures}"
        );
        assert!(sent > 100_000, "{figures}");
        // One more is the flow that another is just giving way to.
        assert!(flows_most <= FLOWS_MAX + 1, "{figures}");
        assert!(early_drops > 10_000, "{figures}");
        assert!(memory_most < memory_before + GROWTH_KIB, "{figures}");
    });
}

fn counter(running: &Running<'_>, name: &str) -> u64 {
    running.ask("show counters").unwrap()[name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
}

/// A figure of routerd's memory from `/proc/PID/status`, in KiB.
fn memory_kib(running: &mut Running<'_>, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.process().unwrap().pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
