//! `routerctl queue watch`: takes a queue, prints its packets one a line, and gives all the same verdict.

use std::io::{self, Write};

use serde::Serialize;

use super::summary::summary;
use super::{Packet, PacketHead, Queue, QueueError, Verdict};
use crate::address::Address;

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Number of the queue.
    pub queue: u16,
    /// What becomes of its packets.
    pub verdict: Verdict,
    /// After how many packets it ends; `None`: never.
    pub count: Option<u64>,
}

/// A packet in JSON.
#[derive(Serialize)]
struct Line<'packet> {
    #[serde(flatten)]
    head: &'packet PacketHead,
    /// Its bytes in hexadecimal digits.
    bytes: String,
}

/// Watches a queue until it has seen enough, or routerd ends.
///
/// # Errors
/// [`QueueError`] within, or that `out` takes no more.
pub fn watch(control: &Address, watch: &Watch, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut queue = Queue::bind(control, watch.queue)?;
    let mut seen = 0;
    while watch.count.is_none_or(|count| seen < count) {
        let packet = match queue.receive() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // That is about a packet already told of, which is not waited for any more.
            Err(QueueError::Refused(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        seen += 1;
        let told = tell(&packet, json, out);
        queue.judge(&packet, watch.verdict)?;
        told?;
    }
    Ok(())
}

fn tell(packet: &Packet, json: bool, out: &mut impl Write) -> io::Result<()> {
    let head = &packet.head;
    if json {
        let bytes = packet.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serde_json::to_writer(&mut *out, &Line { head, bytes })?;
        writeln!(out)?;
        return out.flush();
    }
    let port = |port: &Option<String>| port.clone().unwrap_or_else(|| "-".to_owned());
    let ct = head.ct.as_ref().map_or("", |ct| ct.state.as_str());
    let has_link_header = matches!(head.family.as_str(), "arp" | "bridge");
    write!(
        out,
        "{} {} {} {} > {} mark 0x{:x} {} bytes",
        head.packet,
        head.family,
        head.hook,
        port(&head.input),
        port(&head.output),
        head.mark,
        head.length,
    )?;
    if !ct.is_empty() {
        write!(out, " ct {ct}")?;
    }
    writeln!(out, " {}", summary(&packet.bytes, has_link_header))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{head, hear, scripted, tell};
    use super::*;
    use crate::queue::message::{Bound, Ct, Told};

    #[test]
    fn packets_are_printed_one_a_line_and_judged_as_asked_until_it_is_enough() {
        for (json, expected) in [
            (
                false,
                "7 ipv4 forward r0 > r1 mark 0x0 3 bytes cut off\n\
                 8 ipv4 forward r0 > r1 mark 0x10 3 bytes ct new not IP\n",
            ),
            (
                true,
                concat!(
                    r#"{"packet":7,"queue":3,"family":"ipv4","hook":"forward","input":"r0","output":"r1","mark":0,"#,
                    r#""length":3,"bytes":"6f6e65"}"#,
                    "\n",
                    r#"{"packet":8,"queue":3,"family":"ipv4","hook":"forward","input":"r0","output":"r1","mark":16,"#,
                    r#""length":3,"ct":{"state":"new"},"bytes":"74776f"}"#,
                    "\n"
                ),
            ),
        ] {
            let (control, routerd) = scripted(|socket| {
                hear(&socket);
                tell(&socket, &Told::Bound(Bound { bound: 3 }));
                tell(&socket, &Told::Packet(head(7), b"one"));
                let ct = Some(Ct { state: "new".into(), id: None, direction: None, mark: None });
                tell(&socket, &Told::Packet(PacketHead { mark: 16, ct, ..head(8) }, b"two"));
                assert_eq!(hear(&socket), r#"{"packet":7,"verdict":"drop"}"#);
                assert_eq!(hear(&socket), r#"{"packet":8,"verdict":"drop"}"#);
            });
            let mut out = Vec::new();
            let what = Watch { queue: 3, verdict: Verdict::Drop, count: Some(2) };
            watch(&control, &what, json, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            routerd.join().unwrap();
        }
    }
}
