//! Packets as Linux forwarded and answered them, against the parts that forwarding is made of here.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::icmp::{ANSWER4_MAX, ANSWER6_MAX, Answer4, Answer6, Error4, Error6, Sender4, Sender6};
use crate::packet::hop_by_hop::{self, Limits, Refused};
use crate::packet::options::{self, Options, Surroundings};
use crate::packet::parse::{Ip, parse_ip};
use crate::packet::{ipv4, ipv6};

const OWN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1)];
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

/// One packet and what Linux made of it.
#[derive(Debug, Default)]
struct Case {
    name: String,
    packet: Vec<u8>,
    time_of_day_ms: u32,
    outcome: Outcome,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Nothing,
    On(String),
    Back(String),
}

impl Surroundings for Case {
    fn receiving_address(&self) -> Ipv4Addr {
        OWN[0]
    }

    fn time_of_day_ms(&self) -> u32 {
        self.time_of_day_ms
    }

    fn is_foreign(&self, address: Ipv4Addr) -> bool {
        let is_broadcast = address.octets()[3] == 255;
        !OWN.contains(&address) && !is_broadcast && !address.is_multicast() && !address.is_unspecified()
    }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let last = cases.last_mut();
        match (line.split_once(' '), last) {
            (Some(("in", packet)), Some(case)) => case.packet = bytes(packet),
            (Some(("on", packet)), Some(case)) => case.outcome = Outcome::On(packet.to_owned()),
            (Some(("back", packet)), Some(case)) => case.outcome = Outcome::Back(packet.to_owned()),
            (Some(("time", ms)), Some(case)) => case.time_of_day_ms = ms.parse().unwrap(),
            _ => cases.push(Case { name: line.to_owned(), ..Case::default() }),
        }
    }
    cases
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What only chance or a secret decides: taken from what Linux sent.
fn chosen_by_linux(case: &Case) -> Vec<u8> {
    match &case.outcome {
        Outcome::Back(packet) => bytes(packet),
        _ => vec![0; 8],
    }
}

#[test]
fn ipv4_packets_fare_as_on_linux() {
    let cases = cases(include_str!("ipv4.txt"));
    assert!(cases.len() > 90, "only {} packets read", cases.len());
    for case in &cases {
        assert_eq!(forward4(case), case.outcome, "{}", case.name);
    }
}

#[test]
fn ipv6_packets_fare_as_on_linux() {
    let cases = cases(include_str!("ipv6.txt"));
    assert!(cases.len() > 70, "only {} packets read", cases.len());
    for case in &cases {
        assert_eq!(forward6(case), case.outcome, "{}", case.name);
    }
}

fn forward4(case: &Case) -> Outcome {
    let Ok(ip) = parse_ip(&case.packet) else { return Outcome::Nothing };
    let mut packet = case.packet[..ip.len].to_vec();
    let destination = ipv4::martian(ipv4::source(&packet), ipv4::destination(&packet), false);
    if destination != Ok(ipv4::Destination::Unicast) {
        return Outcome::Nothing;
    }
    let mut options = match options::compile(&mut packet, case) {
        Ok(options) => options,
        Err(malformed) => {
            let error = Error4::ParameterProblem { pointer: malformed.pointer };
            return answer4(case, error, &packet, &malformed.options);
        }
    };
    if options.has_source_route() {
        return Outcome::Nothing;
    }
    if ip.ttl <= 1 {
        return answer4(case, Error4::TimeExceeded, &packet, &options);
    }
    ipv4::decrease_ttl(&mut packet);
    options.finish(&mut packet, OWN[1]);
    Outcome::On(hex(&packet))
}

fn answer4(case: &Case, error: Error4, packet: &[u8], options: &Options) -> Outcome {
    let linux = chosen_by_linux(case);
    let sender = Sender4 {
        source: OWN[0],
        ttl: 64,
        identification: u16::from_be_bytes([linux[4], linux[5]]),
        mtu: 1500,
        time_of_day_ms: case.time_of_day_ms,
    };
    let mut out = [0xaa; ANSWER4_MAX];
    let answer = Answer4::to(error, packet, options, true, |address| case.is_foreign(address));
    match answer.and_then(|answer| answer.write(&sender, &mut out)) {
        Ok(len) => Outcome::Back(hex(&out[..len])),
        Err(_) => Outcome::Nothing,
    }
}

fn forward6(case: &Case) -> Outcome {
    let Ok(ip) = parse_ip(&case.packet) else { return Outcome::Nothing };
    let mut packet = case.packet[..ip.len].to_vec();
    match refusal6(&ip, &packet) {
        Some(Some(error)) => answer6(case, error, &packet),
        Some(None) => Outcome::Nothing,
        None => {
            ipv6::decrease_hop_limit(&mut packet);
            Outcome::On(hex(&packet))
        }
    }
}

/// Why a packet goes no further, if it does not, and with which error.
fn refusal6(ip: &Ip, packet: &[u8]) -> Option<Option<Error6>> {
    if ip.has_options {
        match hop_by_hop::check(packet, &Limits::default()) {
            Ok(_) => {}
            Err(Refused::Drop(_)) => return Some(None),
            Err(Refused::ParameterProblem { code, pointer }) => {
                return Some(Some(Error6::ParameterProblem { code, pointer }));
            }
        }
    }
    let destination = ipv6::destination(packet);
    if destination.is_multicast() {
        return Some(None);
    }
    if destination.segments()[..4] != [0x2001, 0xdb8, 2, 0] {
        return Some(Some(Error6::NO_ROUTE));
    }
    if ip.ttl <= 1 {
        return Some(Some(Error6::TimeExceeded));
    }
    match ipv6::sort_source(ipv6::source(packet)) {
        ipv6::Source::Global => None,
        ipv6::Source::Unspecified => Some(None),
        ipv6::Source::LinkLocal => Some(Some(Error6::BEYOND_SCOPE)),
    }
}

fn answer6(case: &Case, error: Error6, packet: &[u8]) -> Outcome {
    let linux = chosen_by_linux(case);
    let flow_label = u32::from_be_bytes([0, linux[1], linux[2], linux[3]]);
    let sender = Sender6 { source: OWN6, hop_limit: 64, flow_label };
    let mut out = [0xaa; ANSWER6_MAX];
    match Answer6::to(error, packet, true) {
        Ok(answer) => {
            let len = answer.write(&sender, &mut out);
            Outcome::Back(hex(&out[..len]))
        }
        Err(_) => Outcome::Nothing,
    }
}
