//! Has the flows of frames that are about to be processed on their way into the caches, all at once.

use conntrack::{Datagram, Family, Foreseen};

use super::Engine;
use crate::frame::Frame;
use crate::packet::ethernet;
use crate::port::Framing;
use crate::port::sys::prefetch::prefetch;
use crate::worker::{FRAMES_AHEAD, Outputs};

impl Engine {
    /// Looks ahead to the flows of a few frames: first where each will be searched for, then, when that has arrived, the
    /// flows themselves. What is not found this way is found by tracking.
    pub(super) fn look_ahead(&self, frames: &[Frame], out: &Outputs) {
        let flows = &self.shared.flows;
        if frames.len() < 2 || !flows.is_worth_foreseeing() {
            return;
        }
        let mut foreseen = [None::<Foreseen>; FRAMES_AHEAD];
        for (place, frame) in foreseen.iter_mut().zip(frames) {
            if self.shared.bridges.of_member(frame.input).is_some() {
                continue;
            }
            let framing = out.framing(frame.input).unwrap_or(Framing::Ethernet);
            *place = datagram(frame, framing).and_then(|datagram| flows.foresee(&datagram, prefetch));
        }
        for foreseen in foreseen.into_iter().flatten() {
            flows.approach(foreseen, prefetch);
        }
    }
}

/// What a frame most likely carries. Zones are set by rules, which are still to come.
fn datagram(frame: &Frame, framing: Framing) -> Option<Datagram<'_>> {
    let bytes = match framing {
        Framing::Ethernet => {
            let link = ethernet::Header::read(frame.bytes())?;
            matches!(link.ether_type, ethernet::IPV4 | ethernet::IPV6).then(|| &frame.bytes()[link.len..])?
        }
        Framing::Network => frame.bytes(),
    };
    let family = if bytes.first()? >> 4 == 6 { Family::Ipv6 } else { Family::Ipv4 };
    Some(Datagram::new(family, bytes))
}

#[cfg(test)]
mod tests {
    use conntrack::{Confirmed, Flow, Tracked};

    use super::*;
    use crate::tabletop::Tabletop;
    use crate::tabletop::frames::{Ends, HOST};

    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame::empty();
        frame.copy_from(bytes);
        frame
    }

    #[test]
    fn only_what_may_carry_ip_is_looked_at() {
        let udp = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000").udp(b"x");
        let udp6 = Ends::to_port(0, "[fd00::2]:1000", "[fd01::2]:2000").udp(b"x");
        for (bytes, family) in [(&udp, Family::Ipv4), (&udp6, Family::Ipv6)] {
            for (frame, framing) in
                [(frame(bytes), Framing::Ethernet), (frame(&bytes[14..]), Framing::Network)]
            {
                let datagram = datagram(&frame, framing).unwrap();
                assert_eq!((datagram.bytes, datagram.family), (&bytes[14..], family));
            }
        }
        let mut arp = udp.clone();
        arp[12..14].copy_from_slice(&[8, 6]);
        for bytes in [&arp[..], &arp[..10], &[]] {
            assert!(datagram(&frame(bytes), Framing::Ethernet).is_none());
        }
    }

    #[test]
    fn packets_whose_flows_were_foreseen_are_forwarded_and_counted_as_all_are() {
        let mut table = Tabletop::new(&["r0", "r1"]);
        table.address(0, "10.0.0.1/24");
        table.address(1, "10.0.1.1/24");
        table.neighbor(0, "10.0.0.2", Some(HOST.0));
        table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
        let ends = |port: usize| Ends::to_port(0, &format!("10.0.0.2:{port}"), "10.0.1.2:53");
        let flows = &table.shared().flows;
        let mut ports = 1..65_536;
        while !flows.is_worth_foreseeing() {
            let bytes = ends(ports.next().expect("fewer flows than ports will do")).udp(b"x");
            let datagram = Datagram::new(Family::Ipv4, &bytes[14..]);
            let Tracked::Flow { flow: Flow::Tentative(flow), .. } = flows.track(&datagram, table.now())
            else {
                panic!("a new flow")
            };
            assert!(matches!(flows.confirm(flow, table.now()), Confirmed::Inserted(_)));
        }
        let before = flows.stats();
        // More than are looked at together, the last of a flow that is not there yet.
        let known = FRAMES_AHEAD + 4;
        for port in (1..=known).chain([65_535]) {
            table.send(0, &ends(port).udp(b"again")[..]);
        }
        table.pass(0, &ends(1).udp(b"again")[..]);
        assert_eq!(table.take(1).len(), known + 2);
        let after = table.shared().flows.stats();
        assert_eq!((after.found - before.found, after.new - before.new), (known as u64 + 1, 1));
    }
}
