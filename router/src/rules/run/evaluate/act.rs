//! What rules do besides comparing.

use std::net::IpAddr;
use std::time::Duration;

use conntrack::{Change, Direction, Tuple, Zone, ZoneScope};
use smallvec::SmallVec;

use super::read::TCP;
use super::{Found, Run, Step, goes_on};
use crate::chain::{Family, Verdict};
use crate::drops::DropReason;
use crate::engine::Refusal;
use crate::flow::{Flow, Track};
use crate::nat::{self, Manip, Range};
use crate::packet::ethernet;
use crate::rules::journal::Record;
use crate::rules::model::{Data, DynamicOperation, NatKind, Reject, Statement, Value};
use crate::rules::run::program::{
    Address, Dynamic, Fate, Ids, Nat, Number, Object, Operation, QueueRule, Target,
};
use crate::rules::run::tables::{Elements, address};
use crate::rules::state::{FlowCount, Touch, fresh};

/// Packet types that rules may tell one from another (`skb_pkt_type_ok`).
const PACKET_TYPE_MAX: u8 = 3;

const DROP: Verdict = Verdict::Drop(DropReason::Rule);

impl<'a> Run<'a, '_> {
    /// What is not decided on the spot; apart, so that the walk along a long chain stays small.
    #[inline(never)]
    pub(super) fn act(&mut self, operation: &'a Operation) -> Step {
        if self.recorded {
            self.note_act(operation);
        }
        match operation {
            Operation::State(statement) => goes_on(self.take(statement)),
            Operation::ObjectMap(found) => {
                let Some(Found::Object(place)) = self.look_up(&found.0) else { return Step::Break };
                match &self.code.objects[place as usize].object {
                    Object::State(statement) => goes_on(self.take(statement)),
                    Object::Helper { helper, protocol } => self.assign_helper(helper, *protocol),
                }
            }
            Operation::Helper(helper) => self.assign_helper(&helper.0, helper.1),
            Operation::Log(rule) => {
                let record = self.told();
                let record = record.cut_to(rule.kept_max);
                self.world.journal.log(record, &rule.prefix, rule.level, rule.flags, rule.group);
                Step::Next
            }
            Operation::Trace(handle) => {
                if self.packet.trace {
                    let record = self.told();
                    self.world.journal.trace(record, *handle);
                }
                Step::Next
            }
            Operation::Reject(reject) => self.reject(*reject),
            Operation::Notrack => {
                if matches!(self.packet.track, Track::Unseen) {
                    self.packet.track = Track::Untracked;
                    self.forget();
                }
                Step::Next
            }
            Operation::Set(set) => {
                let step = self.set(&set.0, &set.1);
                self.forget();
                step
            }
            Operation::SetLabel(value) => {
                let Some(labels) = self.number(value) else { return Step::Break };
                if let Track::Flow { flow, .. } = &self.packet.track
                    && flow.set_labels(labels, labels)
                {
                    self.world.flows.announce(flow, Change::Labels);
                }
                self.forget();
                Step::Next
            }
            Operation::ResetOption(option) => {
                let step = self.reset_option(option);
                self.forget();
                step
            }
            Operation::Nat(nat) => self.nat(nat),
            Operation::Dynamic(dynamic) => self.dynamic(dynamic),
            Operation::Queue(rule) => match self.queue(rule) {
                Some(number) => Step::Go(Fate::Queue { number, bypass: rule.bypass }),
                None => Step::Break,
            },
            _ => unreachable!("decided by `step`"),
        }
    }

    /// The packet as the journal keeps it.
    fn told(&self) -> Record {
        let (input, output) = (self.input(), self.output());
        Record::of(self.packet, self.stripped_tag(), input, output, self.point, self.context.now)
    }

    /// Counters, quotas, limits and their like; whether the rule goes on.
    pub(super) fn take(&mut self, statement: &Statement) -> bool {
        if self.recorded {
            self.note_state(statement);
        }
        let bytes = self.length() as u64;
        let now = self.context.now;
        match statement {
            Statement::Counter(counter) => {
                counter.count(bytes);
                true
            }
            Statement::Quota(quota) => quota.take(bytes),
            Statement::Limit(limit) => limit.take(bytes, now),
            Statement::Last(last) => {
                last.note(now.nanos());
                true
            }
            Statement::CtCount(count) => self.count_flow(count),
            _ => true,
        }
    }

    /// Counts the packet's flow, or the packet (`nft_connlimit_do_eval`). Another TCP connection that has been closed does
    /// not count (`already_closed`).
    fn count_flow(&self, count: &FlowCount) -> bool {
        let (flows, now) = (&self.world.flows, self.context.now);
        let is_alive = |own: Option<u64>, id: u64, tuple: &Tuple| {
            flows.get(tuple, now).is_some_and(|(conn, _)| {
                let is_closed = || matches!(flows.state_name(&conn), Some("TIME_WAIT" | "CLOSE"));
                conn.id() == id && (own == Some(id) || conn.protocol() != TCP || !is_closed())
            })
        };
        match &self.packet.track {
            Track::Flow { flow, .. } => {
                let own = flow.id();
                let tuple = flow.tuple(Direction::Original);
                count.take(own, &tuple, now, |id, tuple| is_alive(Some(own), id, tuple))
            }
            _ => count.take_stray(now, |id, tuple| is_alive(None, id, tuple)),
        }
    }

    /// Gives a flow that begins here a helper, if it is of the helper's protocol (`nft_ct_helper_obj_eval`).
    fn assign_helper(&mut self, helper: &str, protocol: u8) -> Step {
        if let Track::Flow { flow: Flow::Tentative(flow), .. } = &self.packet.track
            && flow.protocol() == protocol
            && let Some(helper) = self.world.helpers.find(helper, protocol)
        {
            flow.set_helper(helper.clone());
            self.forget();
        }
        Step::Next
    }

    fn reject(&mut self, reject: Reject) -> Step {
        const HOST: u8 = 1;
        const ADMINISTRATIVELY: u8 = 3;
        const PORT: u8 = 1;
        let is_ipv4 = match self.code.family {
            Family::Ipv4 => true,
            Family::Bridge => match self.packet.ether_type() {
                // One frame to many is not answered, and neither is what is not IP (`nft_reject_bridge_eval`).
                _ if self.packet.frame().bytes()[0] & 1 != 0 => return Step::Done(DROP),
                ethernet::IPV4 => true,
                ethernet::IPV6 => false,
                _ => return Step::Done(DROP),
            },
            _ => false,
        };
        let refusal = match (reject, is_ipv4) {
            (Reject::Icmp(code), true) | (Reject::Icmpv6(code), false) => Refusal::Unreachable(code),
            (Reject::Icmp(_), false) | (Reject::Icmpv6(_), true) => return Step::Break,
            // No route, port, host, administratively prohibited: `nft_reject_icmp_code`, `nft_reject_icmpv6_code`.
            (Reject::Icmpx(PORT), true) => Refusal::Unreachable(3),
            (Reject::Icmpx(2), true) => Refusal::Unreachable(HOST),
            (Reject::Icmpx(ADMINISTRATIVELY), true) => Refusal::Unreachable(13),
            (Reject::Icmpx(PORT), false) => Refusal::Unreachable(4),
            (Reject::Icmpx(2), false) => Refusal::Unreachable(3),
            (Reject::Icmpx(ADMINISTRATIVELY), false) => Refusal::Unreachable(1),
            (Reject::Icmpx(_), _) => Refusal::Unreachable(0),
            (Reject::TcpReset, _) if self.packet.header.protocol != TCP => return Step::Break,
            (Reject::TcpReset, _) => Refusal::Reset,
        };
        self.packet.reject = Some(refusal);
        Step::Done(DROP)
    }

    /// The queue that a packet goes to. Both directions of a flow go to the same of several (`nfqueue_hash`); so they do
    /// with `fanout`, which in the kernel spreads by processors.
    fn queue(&mut self, rule: &QueueRule) -> Option<u16> {
        if let Some(choose) = &rule.choose {
            return Some(self.number(choose)? as u16);
        }
        let spread = (u64::from(self.hash_of_addresses()) * u64::from(rule.count)) >> 32;
        Some(rule.first.wrapping_add(spread as u16))
    }

    fn set(&mut self, target: &Target, value: &Number) -> Step {
        let Some(value) = self.number(value) else { return Step::Break };
        match target {
            Target::Payload { payload, sums } => {
                return goes_on(self.write_payload(*payload, *sums, value).is_some());
            }
            Target::Option(option) => return self.write_option(option, value),
            Target::MetaMark => {
                self.packet.mark = value as u32;
                if self.recorded {
                    self.context.recording.give_mark(value as u32);
                }
            }
            Target::MetaPriority => {
                self.packet.priority = value as u32;
                if self.recorded {
                    self.context.recording.give_priority(value as u32);
                }
            }
            Target::MetaPacketType => {
                if let Ok(kind @ ..=PACKET_TYPE_MAX) = u8::try_from(value)
                    && self.packet_type() <= PACKET_TYPE_MAX
                {
                    self.packet.packet_type = Some(kind);
                }
            }
            Target::MetaBroute => self.packet.pull_up = value != 0,
            Target::MetaTrace => self.packet.trace = value != 0,
            Target::CtMark => {
                if self.recorded {
                    self.note_flow_mark(value as u32);
                }
                if let Track::Flow { flow, .. } = &self.packet.track
                    && flow.set_mark(value as u32)
                {
                    self.world.flows.announce(flow, Change::Mark);
                }
            }
            Target::CtZone(direction) => {
                if matches!(self.packet.track, Track::Unseen) {
                    let scope = match direction {
                        None => ZoneScope::Both,
                        Some(Direction::Original) => ZoneScope::Original,
                        Some(Direction::Reply) => ZoneScope::Reply,
                    };
                    self.packet.zone = Zone { id: value as u16, scope };
                }
            }
        }
        Step::Next
    }

    fn nat(&mut self, nat: &'a Nat) -> Step {
        if !matches!(self.packet.track, Track::Flow { .. }) {
            return Step::Break;
        }
        let mut range = Range { flags: nat.flags, ..Range::default() };
        match &nat.address {
            None => {}
            Some(Address::One(number)) => {
                let Some(value) = self.number(number) else { return Step::Break };
                let address = self.address(value);
                range.addresses = Some((address, address));
            }
            Some(Address::Range(first, last)) => range.addresses = Some((*first, *last)),
            Some(Address::Mapped { lookup, with_id }) => {
                let Some(found) = self.look_up(lookup) else { return Step::Break };
                let Some(mapped) = self.mapped(&found, *with_id) else { return Step::Break };
                range = Range { flags: nat.flags, ..mapped };
            }
        }
        match &nat.ids {
            None => {}
            Some(Ids::Fixed(first, last)) => range.ids = Some((*first, *last)),
            Some(Ids::Computed(number)) => {
                let Some(id) = self.number(number) else { return Step::Break };
                range.ids = Some((id as u16, id as u16));
            }
        }
        let table = &self.world.flows;
        let (packet, context) = (&mut *self.packet, &*self.context);
        Step::Done(match nat.kind {
            NatKind::Source => nat::setup(packet, context, table, &range, Manip::Source),
            NatKind::Destination => nat::setup(packet, context, table, &range, Manip::Destination),
            NatKind::Masquerade => nat::masquerade(packet, context, table, range.ids, nat.flags),
            NatKind::Redirect => nat::redirect(packet, context, table, self.point, range.ids, nat.flags),
        })
    }

    fn address(&self, value: u128) -> IpAddr {
        match self.code.family {
            Family::Ipv4 => IpAddr::V4((value as u32).into()),
            _ => IpAddr::V6(value.into()),
        }
    }

    /// The range that a map's data name.
    fn mapped(&self, found: &Found<'_>, with_id: bool) -> Option<Range> {
        let bytes = if self.code.family == Family::Ipv4 { 4 } else { 16 };
        let id = |data: &[u8]| Some(u16::from_be_bytes([*data.get(bytes)?, *data.get(bytes + 1)?]));
        let (from, to) = match *found {
            Found::Number(value) => return Some(Range::to(self.address(value))),
            Found::Bytes(data) => (data, data),
            Found::Range(from, to) => (from, to),
            Found::Fate(_) | Found::Object(_) => return None,
        };
        Some(Range {
            addresses: Some((address(from.get(..bytes)?)?, address(to.get(..bytes)?)?)),
            ids: if with_id { Some((id(from)?, id(to)?)) } else { None },
            ..Range::default()
        })
    }

    fn dynamic(&mut self, dynamic: &'a Dynamic) -> Step {
        let code = self.code;
        let lookup = &code.sets[dynamic.set as usize];
        let Elements::Live(live) = &lookup.elements else { return Step::Break };
        let Some(key) = self.key(&dynamic.key) else { return Step::Break };
        let now = self.context.now;
        if dynamic.operation == DynamicOperation::Delete {
            live.delete(key.bytes(), now);
            return Step::Next;
        }
        let data_key = match &dynamic.data {
            Some(parts) => {
                let Some(data) = self.key(parts) else { return Step::Break };
                Some(data)
            }
            None => None,
        };
        let data = || match &data_key {
            Some(data) => Some(Data::Value(Value::from_slice(data.bytes()))),
            None => dynamic.verdict.clone().map(Data::Verdict),
        };
        let timeout = dynamic.timeout.or(lookup.default_timeout_ms.map(Duration::from_millis));
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        let touch = Touch { operation: dynamic.operation, key: key.bytes(), timeout, now };
        let state = || -> SmallVec<[Statement; 1]> {
            let of_rule = !dynamic.state.is_empty();
            fresh(if of_rule { &dynamic.state } else { &lookup.element_state })
        };
        let passed = live.touch(
            &touch,
            || (data(), state()),
            |element| element.state.iter().all(|statement| self.take(statement)),
        );
        // A set without room for the element ends the rule, and so does a statement of the element's own.
        goes_on(passed == Some(true))
    }
}
