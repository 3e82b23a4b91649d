//! Programs judge packets that rules queue: the one of the documentation, as it stands there, and others that do worse.

use std::io::Read;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ctl::address::Address;
use ctl::queue::message::MESSAGE_BYTES_MAX;
use ctl::queue::{Bind, Judged, Queue, Verdict, address_of};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use testbed::lab::{self, Lab, Process, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{Download, ping};
use testbed::scenario::server::{Server, content};
use testbed::scenario::{self, THREE_SUBNETS_PORTS};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/queue_thirds.py");

/// Rules with one statement for what is forwarded from h1's subnet.
fn rules(statement: &str) -> String {
    format!(
        "flush ruleset\n\
         table ip t {{ chain c {{ type filter hook forward priority 0; iifname r0 {statement}\n}}\n}}\n"
    )
}

/// Runs `scene` in a lab of three subnets whose router, where packets wait a second, has these rules.
fn ruled(statement: &str, scene: impl FnOnce(&Lab, &Running<'_>)) {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&scenario::three_subnets()).unwrap();
    let router = Router::routerd(&[]).unwrap().configured("[queue]\nanswer_s = 1\n");
    let router = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    router.load_rules(&rules(statement)).unwrap();
    scene(&lab, &router);
}

/// The program of the documentation, when it has the queue.
fn program(lab: &Lab) -> Process {
    let mut program = Process::start(lab.at("r1"), &["python3", PROGRAM]).unwrap();
    program.wait_line("\"bound\":3", SECONDS_5).unwrap();
    program
}

fn queue(lab: &Lab, number: u16) -> Queue {
    lab.at("r1").inside(|| Queue::bind(&Address::default(), number)).unwrap()
}

/// A counter of a queue's row, and what else is in the row.
fn row(router: &Running<'_>, number: u16) -> serde_json::Value {
    let rows = router.ask("show queues").unwrap();
    let mut rows = rows.as_array().unwrap().iter();
    rows.find(|row| row["queue"] == number).cloned().unwrap_or_default()
}

/// Which of `count` pings are answered, by their numbers.
fn answered(lab: &Lab, count: u32) -> Vec<u32> {
    let line = format!("ping -n -c {count} -i 0.05 -W 1 10.0.2.2");
    let said = lab.run("h1", &line, Duration::from_secs(20)).unwrap().output;
    let number = |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok();
    said.lines().filter(|line| line.contains("bytes from")).filter_map(number).collect()
}

/// Sends a datagram from h1 to h2; what comes.
fn carried(lab: &Lab, payload: &[u8]) -> Vec<u8> {
    let server = lab.at("h2").inside(|| UdpSocket::bind(("10.0.2.2", 0))).unwrap();
    let client = lab.at("h1").inside(|| UdpSocket::bind(("10.0.1.2", 0))).unwrap();
    server.set_read_timeout(Some(SECONDS_5)).unwrap();
    client.send_to(payload, server.local_addr().unwrap()).unwrap();
    let mut bytes = [0; 2000];
    let (len, _) = server.recv_from(&mut bytes).unwrap();
    bytes[..len].to_vec()
}

#[test]
fn the_program_of_the_documentation_drops_every_third_ping_and_rewrites_a_payload() {
    ruled("queue num 3", |lab, router| {
        assert!(answered(lab, 3).is_empty(), "nobody listens");
        let program = program(lab);
        assert_eq!(answered(lab, 9), [1, 2, 4, 5, 7, 8]);
        assert_eq!(carried(lab, b"the purple sky"), b"the blue sky");
        assert_eq!(carried(lab, &[b'x'; 1400]), [b'x'; 1400]);
        let row = row(router, 3);
        assert_eq!((&row["pid"], &row["program"]), (&program.pid().into(), &"python3".into()));
        let counters = &row["counters"];
        assert_eq!(
            (&counters["accepted"], &counters["dropped"], &counters["changed"]),
            (&8.into(), &3.into(), &1.into())
        );
        assert_eq!((&counters["unbound"], &row["waiting"]), (&3.into(), &0.into()));
        let drops = router.ask("show drops").unwrap();
        assert_eq!((&drops["queue_verdict"], &drops["queue_without_listener"]), (&3.into(), &3.into()));
    });
}

#[test]
fn a_program_that_dies_takes_its_packets_with_it_and_another_may_follow() {
    for (statement, without_program) in
        [("queue num 3", &[][..]), ("queue flags bypass to 3", &[1, 2, 3, 4, 5, 6])]
    {
        ruled(statement, |lab, router| {
            for _ in 0..2 {
                let mut program = program(lab);
                assert_eq!(answered(lab, 3), [1, 2], "{statement}");
                // It dies with packets that it has not looked at.
                program.signal(Signal::SIGSTOP).unwrap();
                let pings = Process::start(
                    lab.at("h1"),
                    &["ping", "-n", "-c", "3", "-i", "0.01", "-W", "1", "10.0.2.2"],
                );
                let waiting = || (row(router, 3)["waiting"] == 3).then_some(());
                wait_until("packets to wait", SECONDS_5, waiting).unwrap();
                program.stop(Signal::SIGKILL).unwrap();
                wait_until("the queue to be free", SECONDS_5, || {
                    row(router, 3)["pid"].is_null().then_some(())
                })
                .unwrap();
                let said = pings.unwrap().finish(SECONDS_5).unwrap().output;
                assert!(said.contains(" 0 received"), "{said}");
                assert_eq!(answered(lab, 6), without_program, "{statement}");
            }
            assert_eq!(router.ask("show drops").unwrap()["queue_program_gone"], 6);
        });
    }
}

#[test]
fn a_program_that_hangs_holds_up_its_own_packets_only_and_those_not_for_long() {
    ruled("icmp type echo-request queue num 3", |lab, router| {
        let mut program = program(lab);
        program.signal(Signal::SIGSTOP).unwrap();
        assert!(answered(lab, 5).is_empty());
        assert_eq!(carried(lab, b"the purple sky"), b"the purple sky", "this is not queued");
        assert_eq!(ping(lab, "h2", "10.0.1.2", 3).unwrap(), 3, "nor is this");
        let given_up = || (row(router, 3)["counters"]["timed_out"] == 5).then_some(());
        wait_until("packets to be given up", SECONDS_5, given_up).unwrap();
        assert_eq!(router.ask("show drops").unwrap()["queue_unanswered"], 5);
        program.signal(Signal::SIGCONT).unwrap();
        let is_idle = || (row(router, 3)["counters"]["given"] == 5).then_some(());
        wait_until("the program to go on", SECONDS_5, is_idle).unwrap();
        // It has seen five pings; the sixth is the next third.
        assert_eq!(answered(lab, 4), [2, 3]);
        let counters = row(router, 3)["counters"].clone();
        assert_eq!((&counters["refused"], &counters["dropped"]), (&0.into(), &2.into()), "{counters}");
    });
}

#[test]
fn garbage_lies_and_silence_are_borne_while_others_are_served() {
    ruled("queue num 3", |lab, router| {
        let mut queue = queue(lab, 3);
        let raw = || {
            let socket = lab.at("r1").inside(|| {
                let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
                socket.connect(&address_of(&Address::default()).to_socket_address()?)?;
                std::io::Result::Ok(socket)
            });
            let socket = socket.unwrap();
            socket.set_read_timeout(Some(SECONDS_5)).unwrap();
            socket
        };
        let mut replies = vec![0; MESSAGE_BYTES_MAX];
        let (mut liar, mut babbler, _silent) = (raw(), raw(), raw());
        for number in 0..20 {
            liar.send(format!("{{\"packet\":{number},\"verdict\":\"accept\"}}").as_bytes()).unwrap();
            let len = liar.read(&mut replies).unwrap();
            assert!(String::from_utf8_lossy(&replies[..len]).contains("does not wait for your answer"));
        }
        let garbage: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let mut told = 0;
        while babbler.send(&garbage).is_ok() && babbler.read(&mut replies).is_ok_and(|len| len > 0) {
            told += 1;
        }
        assert_eq!(told, 64, "then it is sent away");
        let judge = thread::spawn(move || {
            for _ in 0..3 {
                let packet = queue.receive().unwrap().unwrap();
                queue.judge(&packet, Verdict::Accept).unwrap();
            }
        });
        assert_eq!(answered(lab, 3), [1, 2, 3]);
        judge.join().unwrap();
        assert_eq!(router.ask("status").unwrap()["forwarding"], true);
    });
}

#[test]
fn packets_are_repeated_handed_on_marked_and_meet_rules_that_are_new() {
    ruled("meta mark != 7 queue num 3", |lab, router| {
        let (mut first, mut second) = (queue(lab, 3), queue(lab, 4));
        let pings =
            || Process::start(lab.at("h1"), &["ping", "-n", "-c", "1", "-W", "5", "10.0.2.2"]).unwrap();
        let is_answered = |pings: Process| pings.finish(SECONDS_5).unwrap().output.contains(" 1 received");

        // To the other queue, from there to the hook again, which queues it again.
        let pinging = pings();
        let packet = first.receive().unwrap().unwrap();
        let to_second = Judged { to: Some(4), ..Judged::new(packet.head.packet, Verdict::Queue) };
        first.answer(&to_second, None).unwrap();
        let packet = second.receive().unwrap().unwrap();
        second.judge(&packet, Verdict::Repeat).unwrap();
        let packet = first.receive().unwrap().unwrap();
        // With its mark the hook lets it pass.
        let marked = Judged { mark: Some(7), ..Judged::new(packet.head.packet, Verdict::Repeat) };
        first.answer(&marked, None).unwrap();
        assert!(is_answered(pinging));

        // The rules are others when it comes back: it goes on behind their chain's place.
        let pinging = pings();
        let packet = first.receive().unwrap().unwrap();
        let later = "table ip later { chain c { type filter hook forward priority 10; counter drop\n}\n}\n";
        router.load_rules(&format!("flush ruleset\n{later}")).unwrap();
        first.judge(&packet, Verdict::Accept).unwrap();
        assert!(!pinging.finish(Duration::from_secs(10)).unwrap().output.contains(" 1 received"));
        let listed = router.tell("show rules").unwrap();
        assert!(listed.contains("counter packets 1 "), "{listed}");
    });
}

#[test]
fn a_full_queue_drops_or_lets_pass_as_its_program_wants() {
    ruled("icmp type echo-request queue num 3", |lab, router| {
        for (fail_open, passed) in [(false, &[][..]), (true, &[4, 5])] {
            let mut queue = lab.at("r1").inside(|| Queue::connect(&Address::default())).unwrap();
            queue.take(&Bind { packets_max: 3, fail_open, ..Bind::new(3) }).unwrap();
            let before = row(router, 3)["counters"]["full"].as_u64().unwrap();
            let line = "ping -n -c 5 -i 0.002 -W 1 10.0.2.2";
            let said = lab.run("h1", line, SECONDS_5).unwrap().output;
            let came = |number: &u32| said.contains(&format!("icmp_seq={number} "));
            assert!(passed.iter().all(came), "fail_open {fail_open}: {said}");
            assert_eq!(row(router, 3)["counters"]["full"].as_u64().unwrap() - before, 2);
            drop(queue);
            wait_until("the queue to be free", SECONDS_5, || row(router, 3)["pid"].is_null().then_some(()))
                .unwrap();
        }
    });
}

#[test]
fn a_download_with_default_offloads_passes_through_a_program_byte_by_byte() {
    ruled("queue flags bypass to 3", |lab, router| {
        // Both ways: the super-packets come from the server.
        let both = "flush ruleset\n\
                    table ip t { chain c { type filter hook forward priority 0; tcp dport 8080 queue num 3\n\
                    tcp sport 8080 queue num 3\n}\n}\n";
        router.load_rules(both).unwrap();
        let mut queue = lab.at("r1").inside(|| Queue::connect(&Address::default())).unwrap();
        queue.take(&Bind { packets_max: 60_000, ..Bind::new(3) }).unwrap();
        let judge = thread::spawn(move || {
            let mut largest = 0;
            while let Some(packet) = queue.receive().unwrap() {
                largest = largest.max(packet.head.length);
                queue.judge(&packet, Verdict::Accept).unwrap();
            }
            largest
        });
        let content = Arc::new(content(5 << 20));
        let _server = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
        let came = Download::start(lab, "h1", "10.0.2.2", "1000M").unwrap().finish().unwrap();
        assert!(came == *content, "{} of {} bytes", came.len(), content.len());
        let cut = router.ask("show counters").unwrap()["packets_segmented"].as_u64().unwrap();
        assert!(cut > 0, "no super-packet has come");
        assert_eq!(router.ask("show drops").unwrap()["queue_full"], 0);
        drop(judge);
    });
}

#[test]
fn a_queue_is_watched_from_the_command_line() {
    ruled("queue flags bypass to 3", |lab, router| {
        let mut watching = router.watch("queue watch 3 --count 2").unwrap();
        wait_until("the queue to be bound", SECONDS_5, || row(router, 3)["pid"].is_number().then_some(()))
            .unwrap();
        assert_eq!(answered(lab, 3), [1, 2, 3]);
        let line = watching.wait_line("ipv4 forward r0 > r1", SECONDS_5).unwrap();
        assert!(line.contains("ct new 10.0.1.2 > 10.0.2.2 icmp"), "{line}");
        assert_eq!(watching.finish(SECONDS_5).unwrap().ok().unwrap().lines().count(), 2);
        let table = router.tell("show queues").unwrap();
        assert!(table.contains("nobody"), "{table}");
    });
}
