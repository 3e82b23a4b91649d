//! What the scenes share: the lab with its boxes, and everything that may pass a cable.

use std::sync::Arc;

use serde_json::Value;
use testbed::frames::Link;
use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running, routerctl};
use testbed::scenario::cable::{BEYOND, BOX_PORTS, BOXES, RULES, configuration};
use testbed::scenario::capture::{Capture, Way, hex};
use testbed::scenario::clients::{Download, SECONDS_20, ping};
use testbed::scenario::server::{self, Server};
use testbed::scenario::vpn::DEVICE;
use testbed::scenario::vrrp::{BETWEEN_PAIRS_PORTS, CLIENT, SERVER};
use testbed::wire::Wire;

/// The world between the pairs: the kernel forwards there.
pub fn world(lab: &Lab) -> Running<'_> {
    Router::Kernel { tracking: false }.start(lab, "r1", &BETWEEN_PAIRS_PORTS).unwrap()
}

/// The boxes at work: routerd in each, with the same rules.
pub fn boxes(lab: &Lab) -> [Running<'_>; 2] {
    [0, 1].map(|place| {
        let router = Router::routerd(&[]).unwrap().owned("tun").configured(&configuration(place));
        let ports = [BOX_PORTS[0], BOX_PORTS[1], DEVICE];
        let running = router.start(lab, BOXES[place], &ports).unwrap();
        running.load_rules(RULES).unwrap();
        running
    })
}

/// What the box of a host sends and receives for itself (pcap-filter(7)): frames that bear its bridge's link address.
pub fn of_box(lab: &Lab, host: &str) -> String {
    let station = BOXES[usize::from(host != "c")];
    let rows = routerctl(lab.at(station), "-j show ports").unwrap().ok().unwrap();
    let rows: Value = serde_json::from_str(&rows).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "br0");
    format!("ether host {}", row.unwrap_or_else(|| panic!("no br0 in {rows}"))["mac"].as_str().unwrap())
}

/// Captures on both sides of a host's box, each way.
pub struct BothSides<'lab> {
    lab: &'lab Lab,
    /// The host's end of its cable, and the other one: where they are.
    ends: [(&'static str, &'static str); 2],
    /// What goes in at either end, and what came out of it at the other.
    ways: [[Capture; 2]; 2],
}

impl<'lab> BothSides<'lab> {
    /// Begins to capture what passes the box of the host `c` or `s`; `but` (pcap-filter(7)) is left out.
    pub fn start(lab: &'lab Lab, host: &'static str, but: &str) -> Self {
        let ends = [(host, "eth0"), ("sw", BEYOND[usize::from(host != "c")])];
        let filter = if but.is_empty() { String::new() } else { format!("not ( {but} )") };
        let start = |(station, device), way| Capture::start(lab, station, device, way, &filter).unwrap();
        let ways = [[0, 1], [1, 0]].map(|[from, to]| [start(ends[from], Way::Out), start(ends[to], Way::In)]);
        let sides = Self { lab, ends, ways };
        sides.mark(b"begin");
        sides
    }

    /// Sends a frame either way by which what came before it can be told from what came after.
    fn mark(&self, text: &[u8]) {
        let [broadcast, source] = [[0xff; 6], [2, 0, 0, 0, 88, 1]];
        let frame = Link { destination: broadcast, source, tags: Vec::new(), trailer: Vec::new() };
        let frame = frame.around(MARK, &[text, &[0; 46]].concat());
        for ((station, device), [before, behind]) in self.ends.into_iter().zip(&self.ways) {
            Wire::open(self.lab.at(station), device).unwrap().send(&frame.clone().into()).unwrap();
            for capture in [before, behind] {
                wait_until("the mark to pass", SECONDS_5, || {
                    capture.frames().unwrap().contains(&frame).then_some(())
                })
                .unwrap();
            }
        }
    }

    /// What went in on one side came out on the other, byte by byte. In which order is not asked: the kernel's own devices
    /// deliver what two processors have sent in either. Returns how many frames there were from the host and towards it.
    #[track_caller]
    pub fn alike(self) -> [usize; 2] {
        self.mark(b"end");
        self.ways.map(|captures| {
            let [before, behind] = captures.map(|capture| {
                let mut frames = between_marks(capture.finish().unwrap());
                frames.sort_unstable();
                frames
            });
            let differs = before.iter().zip(&behind).position(|(before, behind)| before != behind);
            if let Some(place) = differs {
                let [before, behind] = [before, behind].map(|frames| hex(&frames[place]));
                panic!("frame {place} {:?} is changed:\n{before}\nbecame\n{behind}", self.ends);
            }
            assert_eq!(before.len(), behind.len(), "as many frames came out as went in at {:?}", self.ends);
            behind.len()
        })
    }
}

/// The EtherType of marks: the second one for experiments (RFC 9542).
const MARK: u16 = 0x88b6;

fn between_marks(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let is_mark = |frame: &Vec<u8>| frame[12..14] == MARK.to_be_bytes();
    let inner = frames.into_iter().skip_while(|frame| !is_mark(frame)).skip(1);
    inner.take_while(|frame| !is_mark(frame)).collect()
}

/// Downloads from the server and pings of all sizes, of both families and either way, and a port that is closed.
pub fn send_all_sorts(lab: &Lab) {
    let content = Arc::new(server::content(3_000_000));
    let _servers = ["s", "c"].map(|station| Server::start(lab.at(station), Arc::clone(&content)).unwrap());
    for (from, addresses) in [("c", SERVER), ("s", CLIENT)] {
        for address in addresses {
            assert_eq!(ping(lab, from, address, 5).unwrap(), 5, "{address}");
            let large = format!("ping -n -c 2 -i 0.05 -W 2 -s 9000 {address}");
            lab.run(from, &large, SECONDS_5).unwrap().ok().unwrap();
            let fetched = Download::start(lab, from, address, "1G").unwrap().finish().unwrap();
            assert!(fetched == *content, "{address}: the download is not what was sent");
        }
    }
    let line = format!("nmap -n -Pn -sU -p 5000 --max-retries 0 --host-timeout 2 {}", SERVER[0]);
    lab.run("c", &line, SECONDS_20).unwrap().ok().unwrap();
}
