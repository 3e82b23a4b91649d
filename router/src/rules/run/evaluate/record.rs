//! What of all this is the same for a flow's next packet, told to the worker's recording ([`crate::verdict`]).
//!
//! These are lists of what may be remembered. What is not in them makes a packet's way through the rules its own.

use super::Run;
use super::read::{TCP, UDP};
use crate::chain::Family;
use crate::flow::{Flow, Track};
use crate::rules::model::{Base, Ctype, MetaKey, Statement};
use crate::rules::run::program::{Load, Operation, Payload, Target};
use crate::verdict::{Seen, Unfit, What};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

impl Run<'_, '_> {
    /// The packet's way through the rules is its own.
    pub(super) fn not_remembered(&mut self) {
        if self.recorded {
            self.context.recording.refuse(Unfit::Always);
        }
    }

    /// Notes what a value read rests on.
    pub(super) fn note(&mut self, load: &Load) {
        let what = match load {
            Load::Payload(payload) if self.is_of_tuple(*payload) => return,
            Load::InputBit => What::INPUT,
            Load::OutputBit => What::OUTPUT,
            Load::Meta(key) => match key {
                MetaKey::Protocol | MetaKey::NetfilterProtocol | MetaKey::TransportProtocol => return,
                MetaKey::InputName => What::INPUT,
                MetaKey::OutputName => What::OUTPUT,
                MetaKey::InputIndex => What::INPUT_LINK,
                MetaKey::OutputIndex => What::OUTPUT_LINK,
                MetaKey::Mark => What::MARK,
                MetaKey::Priority => What::PRIORITY,
                _ => return self.not_remembered(),
            },
            Load::Ct(key, _) => match key {
                Ctype::State => What::STATE,
                Ctype::Mark => What::FLOW_MARK,
                Ctype::Direction
                | Ctype::NetworkProtocol
                | Ctype::Protocol
                | Ctype::Zone
                | Ctype::Helper
                | Ctype::SourceIpv4
                | Ctype::DestinationIpv4
                | Ctype::SourceIpv6
                | Ctype::DestinationIpv6
                | Ctype::SourcePort
                | Ctype::DestinationPort => return,
                _ => return self.not_remembered(),
            },
            Load::Payload(_) | Load::Fib(..) | Load::Route(_) | Load::Extension(..) | Load::Option(..) => {
                return self.not_remembered();
            }
        };
        self.rests_on(what);
    }

    /// Notes what a statement besides comparisons does.
    pub(super) fn note_act(&mut self, operation: &Operation) {
        match operation {
            // Noted by what they come down to.
            Operation::State(_) | Operation::ObjectMap(_) | Operation::Reject(_) => {}
            // Rules tell nothing of packets that are not traced; one that is, is not remembered from the start.
            Operation::Trace(_) if !self.packet.trace => {}
            // Only flows that begin are given helpers.
            Operation::Helper(_) if matches!(self.packet.track, Track::Flow { flow: Flow::Conn(_), .. }) => {}
            Operation::Set(set)
                if matches!(set.0, Target::MetaMark | Target::MetaPriority | Target::CtMark) => {}
            _ => self.not_remembered(),
        }
    }

    /// Notes a counter, or what is no counter.
    pub(super) fn note_state(&mut self, statement: &Statement) {
        match statement {
            Statement::Counter(counter) => self.context.recording.count(counter),
            _ => self.not_remembered(),
        }
    }

    /// Notes that the flow is given a mark: remembered if it has it already.
    pub(super) fn note_flow_mark(&mut self, mark: u32) {
        match &self.packet.track {
            Track::Flow { flow, .. } if flow.mark() == mark => self.rests_on(What::FLOW_MARK),
            Track::Flow { .. } => self.context.recording.refuse(Unfit::Once),
            _ => {}
        }
    }

    fn rests_on(&mut self, what: What) {
        let what = self.context.recording.unseen(what);
        if !what.is_empty() {
            let seen = Seen::of(what, self.packet, self.context.routing, self.point);
            self.context.recording.saw(seen);
        }
    }

    /// Whether these bits are the same in all packets of a flow and direction: addresses, protocol, ports, type and
    /// code, number of an echo.
    fn is_of_tuple(&self, payload: Payload) -> bool {
        let first = u32::from(payload.offset);
        let behind = first + u32::from(payload.length);
        let within = |from: u32, to: u32| from <= first && behind <= to;
        match (payload.base, self.packet.header.protocol) {
            (Base::Network, _) if self.code.family == Family::Ipv4 => {
                within(0, 4) || within(72, 80) || within(96, 160)
            }
            (Base::Network, _) => within(0, 4) || within(64, 320),
            (Base::Transport, TCP | UDP | UDP_LITE | SCTP) => within(0, 32),
            (Base::Transport, ICMP | ICMPV6) => within(0, 16) || within(32, 48) && self.is_echo(),
            _ => false,
        }
    }

    fn is_echo(&self) -> bool {
        let kind = self.packet.ip().get(self.packet.header.transport);
        match self.code.family {
            Family::Ipv4 => matches!(kind, Some(0 | 8)),
            _ => matches!(kind, Some(128 | 129)),
        }
    }
}
