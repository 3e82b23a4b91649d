//! How replies look: as `ip` and `conntrack` print for people, as JSON for programs.

mod bridge;
mod expectation;
mod flow;
mod flow_cache;
mod host;
mod last_hop;
mod queue;
mod router;
mod routing;
mod rules;
mod table;

use std::io::{self, Write};

use crate::message::{
    Changed, Event, EventKind, Family, FlowsDeleted, FlowsInvalidated, FlowsTouched, HostEvent,
    NeighborsFlushed, Question, Reply, Request, Row, Subject, Topic,
};

/// What a printer prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Text,
    /// One array of all rows, valid also when there are none.
    JsonArray,
    /// One object for each row or event, each on a line.
    JsonLines,
    /// One object whose `nftables` is an array of all rows, as libnftables prints rules.
    Nftables,
}

impl Form {
    /// The form for the answer to `request`.
    #[must_use]
    pub const fn of(request: &Request, json: bool) -> Self {
        match request {
            _ if !json => Self::Text,
            Request::Ask(Question::Rules(_)) => Self::Nftables,
            Request::Ask(question) if question.is_list() => Self::JsonArray,
            Request::Ask(_) | Request::Do(_) | Request::Monitor(_) => Self::JsonLines,
        }
    }
}

/// Prints an answer as its messages come in. Tables whose columns are aligned are kept until the end; all of
/// those are short, or bounded.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    form: Form,
    rows: u64,
    kept: Vec<Row>,
    family: Option<Family>,
}

impl<W: Write> Printer<W> {
    /// Prints to `out`, which is flushed after each event and at the end.
    pub const fn new(out: W, form: Form) -> Self {
        Self { out, form, rows: 0, kept: Vec::new(), family: None }
    }

    /// Prints a message of an answer.
    ///
    /// # Errors
    /// Those of the output.
    pub fn reply(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Row(row) => self.row(row),
            Reply::Event(event) => {
                self.event(&event)?;
                self.out.flush()
            }
            Reply::Lost(count) => {
                match self.form {
                    Form::Text => {
                        writeln!(self.out, "{count} events lost: this reader is slower than they come")?
                    }
                    Form::JsonArray | Form::JsonLines | Form::Nftables => {
                        writeln!(self.out, r#"{{"event":"lost","count":{count}}}"#)?;
                    }
                }
                self.out.flush()
            }
            Reply::End | Reply::Failure(_) => Ok(()),
        }
    }

    /// Prints what is still to be printed after the last message.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<()> {
        match self.form {
            Form::Text => self.kept()?,
            Form::JsonArray => self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"]\n" })?,
            Form::JsonLines => {}
            Form::Nftables => {
                self.out.write_all(if self.rows == 0 { b"{\"nftables\": []}\n" } else { b"]}\n" })?;
            }
        }
        self.out.flush()
    }

    fn row(&mut self, row: Row) -> io::Result<()> {
        match self.form {
            Form::Text => self.text(row)?,
            Form::JsonArray => {
                self.out.write_all(if self.rows == 0 { b"[" } else { b",\n" })?;
                row.write_json(&mut self.out)?;
            }
            Form::JsonLines => {
                row.write_json(&mut self.out)?;
                self.out.write_all(b"\n")?;
            }
            Form::Nftables => {
                self.out.write_all(if self.rows == 0 { b"{\"nftables\": [" } else { b",\n" })?;
                row.write_json(&mut self.out)?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.form != Form::Text {
            serde_json::to_writer(&mut self.out, event)?;
            return self.out.write_all(b"\n");
        }
        if event.event == EventKind::Gone && !matches!(event.topic(), Topic::Flows | Topic::Expectations) {
            self.out.write_all(b"Deleted ")?;
        }
        match &event.subject {
            Subject::Flow(row) => flow::event(&mut self.out, event.event, row),
            Subject::Route(row) => routing::route(&mut self.out, row),
            Subject::Neighbor(row) => routing::neighbor(&mut self.out, row),
            Subject::Log(row) => rules::log(&mut self.out, row),
            Subject::Expectation(row) => expectation::event(&mut self.out, event.event, row),
            Subject::FlowCache(row) => flow_cache::event(&mut self.out, row),
            Subject::Host(row) => host::event(&mut self.out, row),
        }
    }

    fn text(&mut self, row: Row) -> io::Result<()> {
        let out = &mut self.out;
        match row {
            Row::Flow(flow) => flow::flow(out, &flow),
            Row::Expectation(row) => expectation::expectation(out, &row),
            Row::Route(route) => routing::route(out, &route),
            Row::Neighbor(neighbor) => routing::neighbor(out, &neighbor),
            Row::PolicyRule(rule) => {
                if self.family != Some(rule.family) {
                    self.family = Some(rule.family);
                    writeln!(out, "{}:", rule.family.name())?;
                }
                routing::policy_rule(out, &rule)
            }
            Row::RouteAnswer(answer) => routing::answer(out, &answer),
            Row::Status(status) => router::status(out, &status),
            Row::Counters(counters) => router::counters(out, &counters),
            Row::Drops(drops) => router::drops(out, &drops),
            Row::FlowCache(row) => flow_cache::flow_cache(out, &row),
            Row::Journal(row) => flow_cache::journal(out, &row),
            Row::RoutePolicy(row) => flow_cache::route_policy(out, &row),
            Row::RulesLoaded(row) => rules::loaded(out, &row),
            Row::RulesText(text) => out.write_all(text.as_bytes()),
            Row::RulesObject(object) => writeln!(out, "{object}"),
            Row::FlowsDeleted(FlowsDeleted { deleted }) => {
                writeln!(out, "{} deleted", counted(deleted, "flow"))
            }
            Row::FlowsTouched(FlowsTouched { touched }) => {
                writeln!(out, "{} touched", counted(touched, "flow"))
            }
            Row::FlowsInvalidated(FlowsInvalidated { invalidated }) => {
                writeln!(out, "{} will look up again", counted(invalidated, "flow"))
            }
            // As `ip`, which says nothing where all went well.
            Row::Changed(Changed { .. }) => Ok(()),
            Row::NeighborsFlushed(NeighborsFlushed { flushed }) => {
                writeln!(out, "{} forgotten", counted(flushed, "neighbor"))
            }
            Row::Address(_)
            | Row::Port(_)
            | Row::Hook(_)
            | Row::Tracker(_)
            | Row::Bridge(_)
            | Row::Mac(_)
            | Row::Queue(_)
            | Row::LastHop(_) => {
                self.kept.push(row);
                Ok(())
            }
        }
    }

    fn kept(&mut self) -> io::Result<()> {
        let (mut addresses, mut ports, mut hooks, mut trackers) = (vec![], vec![], vec![], vec![]);
        let (mut bridges, mut macs, mut queues, mut last_hops) = (vec![], vec![], vec![], vec![]);
        for row in std::mem::take(&mut self.kept) {
            match row {
                Row::Address(row) => addresses.push(*row),
                Row::Port(row) => ports.push(*row),
                Row::Hook(row) => hooks.push(row),
                Row::Tracker(row) => trackers.push(row),
                Row::Bridge(row) => bridges.push(*row),
                Row::Mac(row) => macs.push(row),
                Row::Queue(row) => queues.push(*row),
                Row::LastHop(row) => last_hops.push(*row),
                _ => unreachable!("only aligned rows are kept"),
            }
        }
        routing::addresses(&mut self.out, &addresses)?;
        router::ports(&mut self.out, &ports)?;
        router::hooks(&mut self.out, &hooks)?;
        router::trackers(&mut self.out, &trackers)?;
        bridge::bridges(&mut self.out, &bridges)?;
        bridge::macs(&mut self.out, &macs)?;
        queue::queues(&mut self.out, &queues)?;
        last_hop::last_hops(&mut self.out, &last_hops)
    }
}

/// The line of `monitor host` for what has happened, without its end.
#[must_use]
pub fn host_event(event: &HostEvent) -> String {
    let mut line = Vec::new();
    host::event(&mut line, event).expect("memory takes all that is written");
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// A number with the word for what it counts.
fn counted(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ if one.ends_with('s') => format!("{count} {one}es"),
        _ => format!("{count} {one}s"),
    }
}

/// What is written, as text.
#[cfg(test)]
fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::message::{
        Action, FlowCacheAction, FlowCacheEvent, FlowRow, HookRow, NeighborFlag, NeighborRow, Question,
        Topics,
    };
    use crate::samples;

    fn print(form: Form, replies: impl IntoIterator<Item = Reply>) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, form);
        replies.into_iter().for_each(|reply| printer.reply(reply).unwrap());
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn object(row: Row) -> Value {
        let text = print(Form::JsonLines, [Reply::Row(row)]);
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_list_is_one_array_whatever_its_length() {
        for length in 0..4 {
            let rows = (0..length).map(|_| Reply::Row(Row::Neighbor(samples::neighbor())));
            let value: Value = serde_json::from_str(&print(Form::JsonArray, rows)).unwrap();
            assert_eq!(value.as_array().unwrap().len(), length);
        }
    }

    #[test]
    fn rules_are_one_object_as_nft_prints_it() {
        for length in 0..3 {
            let object = json!({"table": {"family": "inet", "name": "t"}});
            let rows = (0..length).map(|_| Reply::Row(Row::RulesObject(Box::new(object.clone()))));
            let value: Value = serde_json::from_str(&print(Form::Nftables, rows)).unwrap();
            assert_eq!(value["nftables"].as_array().unwrap().len(), length);
        }
        assert_eq!(
            print(Form::Text, [Reply::Row(Row::RulesText("table ip t {\n}\n".into()))]),
            "table ip t {\n}\n"
        );
    }

    #[test]
    fn the_form_follows_the_request() {
        let list = Request::Ask(Question::Hooks);
        assert_eq!(Form::of(&list, true), Form::JsonArray);
        assert_eq!(Form::of(&list, false), Form::Text);
        assert_eq!(Form::of(&Request::Ask(Question::Rules(Default::default())), true), Form::Nftables);
        assert_eq!(Form::of(&Request::Ask(Question::Drops), true), Form::JsonLines);
        assert_eq!(Form::of(&Request::Monitor(Topics::ALL), true), Form::JsonLines);
        assert_eq!(
            Form::of(&Request::Do(Action::FlowCache(Box::new(FlowCacheAction::On.into()))), true),
            Form::JsonLines
        );
    }

    // The keys below are the contract of docs/control.md: they may grow, they never change.

    #[test]
    fn a_flow_has_the_keys_of_the_contract() {
        let expected = json!({
            "id": 1, "family": "ipv4", "protocol": "tcp", "protocol_number": 6, "state": "ESTABLISHED",
            "status": ["seen_reply", "assured", "confirmed"], "timeout_s": 431_999, "mark": 17, "zone": 0,
            "original": {
                "source": "127.0.0.1", "destination": "127.0.0.1", "source_port": 38986, "destination_port": 7777,
                "packets": 3, "bytes": 165,
                "route": {
                    "port": "r1", "next_hop": "10.0.12.2", "neighbor": "02:00:00:00:00:02", "prefix": "10.0.2.0/24",
                    "table": "main", "policy": "move", "generation": 42, "valid": true, "source": "fib", "hits": 2,
                    "renewals": 1, "last_renewal": "route_added"
                },
                "verdict": {"cached": true, "valid": true, "unfit": false, "outcome": "accept", "counters": 2}
            },
            "reply": {
                "source": "127.0.0.1", "destination": "127.0.0.1", "source_port": 7777, "destination_port": 38986,
                "packets": 2, "bytes": 112,
                "route": {
                    "port": null, "next_hop": null, "neighbor": null, "prefix": null, "table": null, "policy": null,
                    "generation": 0, "valid": false, "source": "none", "hits": 0, "renewals": 0, "last_renewal": null
                },
                "verdict": {"cached": false, "valid": false, "unfit": false, "outcome": null, "counters": 0}
            }
        });
        assert_eq!(object(Row::Flow(Box::new(samples::tcp()))), expected);
        let icmp = object(Row::Flow(Box::new(samples::icmpv6())));
        assert_eq!((&icmp["original"]["type"], &icmp["reply"]["type"]), (&json!(128), &json!(129)));
        assert_eq!((&icmp["original"]["code"], &icmp["original"]["id"]), (&json!(0), &json!(9161)));
        assert_eq!(icmp["original"].get("source_port"), None);
        assert_eq!(icmp["state"], Value::Null);
    }

    #[test]
    fn routing_rows_have_the_keys_of_the_contract() {
        assert_eq!(
            object(Row::Route(Box::new(samples::route()))),
            json!({
                "family": "ipv4", "table": "main", "prefix": "10.10.0.0/16", "type": "unicast", "protocol": "boot",
                "scope": "global", "metric": 0, "usable": true, "reason": null,
                "next_hops": [{"via": "10.9.0.5", "port": "v0", "weight": 1, "usable": true}]
            })
        );
        assert_eq!(
            object(Row::Neighbor(samples::neighbor())),
            json!({"address": "10.9.0.6", "port": "v0", "mac": "02:00:00:00:00:06", "state": "STALE"})
        );
        assert_eq!(
            object(Row::PolicyRule(Box::new(samples::policy_rule()))),
            json!({
                "family": "ipv4", "priority": 32766, "from": null, "to": null, "input_port": null,
                "action": "lookup", "table": "main"
            })
        );
    }

    #[test]
    fn rows_of_the_router_have_the_keys_of_the_contract() {
        assert_eq!(
            object(Row::Status(Box::new(samples::status()))),
            json!({
                "version": "0.1.0", "pid": 4242, "uptime_s": 3661, "host": "kernel", "forwarding": true,
                "host_device": null, "workers": 1, "ports": ["r0", "r1"], "generation": 42,
                "flow_cache": {"route": "on", "verdict": "on", "negative": "on", "untracked": "off"}, "flows": 10,
                "flows_max": 262_144, "rules": {"tables": 1, "chains": 3, "rules": 12, "sets": 0}, "handover": false, "guard": "on", "settings": {"icmp_ratelimit_ms": 1000}
            })
        );
        assert_eq!(
            object(Row::Port(Box::new(samples::port("r0")))),
            json!({
                "name": "r0", "index": 2, "kind": "af_packet", "mac": "02:00:00:00:00:01", "mtu": 1500,
                "state": "up", "reason": null, "settings": {},
                "counters": {"received_frames": 10, "received_bytes": 1000, "sent_frames": 9, "sent_bytes": 900}
            })
        );
        assert_eq!(
            object(Row::Tracker(samples::tracker())),
            json!({
                "layer": "transport", "name": "udp", "family": null, "protocol_number": 17,
                "timeouts_s": {"replied": 120, "unreplied": 30}
            })
        );
        let hook = HookRow { family: Family::Arp, point: "input".into(), priority: 0, name: "watch".into() };
        assert_eq!(
            object(Row::Hook(hook)),
            json!({"family": "arp", "point": "input", "priority": 0, "name": "watch"})
        );
        let counters = crate::message::Counters::from([("received".into(), u64::MAX)]);
        assert_eq!(object(Row::Counters(counters)), json!({"received": u64::MAX}));
        assert_eq!(object(Row::FlowsDeleted(FlowsDeleted { deleted: 3 })), json!({"deleted": 3}));
    }

    #[test]
    fn the_flow_cache_has_the_keys_of_the_contract() {
        assert_eq!(
            object(Row::FlowCache(Box::new(samples::flow_cache()))),
            json!({
                "route": "on", "verdict": "off", "negative": "on", "untracked": "on", "generation": 7,
                "fib_lookups": 2, "flow_cache_hits": 98, "flow_cache_revalidated": 3, "flow_cache_unaffected": 40,
                "flow_cache_kept_by_policy": 1,
                "kinds": {
                    "route": {
                        "hits": 98, "misses": 2, "hit_rate": 0.98, "entries": 12, "entries_max": 262_144,
                        "full": 0, "memory_bytes": 4096
                    },
                    "verdict": {
                        "hits": 2, "misses": 1, "hit_rate": 2.0 / 3.0, "entries": 3, "entries_max": 65_536,
                        "full": 1, "memory_bytes": 3_145_728
                    }
                },
                "renewals": {"port_down": 1, "route_added": 2},
                "journal": {"changes": 100_000, "depth": 65_536, "depth_max": 65_536, "overruns": 0}
            })
        );
        assert_eq!(
            object(Row::Journal(samples::journal())),
            json!({
                "generation": 42, "time_unix_ms": 1_766_000_000_123_u64, "change": "route_added",
                "family": "ipv4", "table": "main", "prefix": "10.0.2.0/24", "via": null, "port": null, "address": null,
                "moved": 17
            })
        );
        let policy = r#"{"prefix":"10.2.0.0/16","policy":"keep"}"#;
        let row = Row::RoutePolicy(serde_json::from_str(policy).unwrap());
        assert_eq!(print(Form::JsonLines, [Reply::Row(row.clone())]), format!("{policy}\n"));
        assert_eq!(print(Form::Text, [Reply::Row(row)]), "10.2.0.0/16 keep\n");
        let touched = Row::FlowsTouched(FlowsTouched { touched: 3 });
        assert_eq!(object(touched.clone()), json!({"touched": 3}));
        assert_eq!(print(Form::Text, [Reply::Row(touched)]), "3 flows touched\n");
        let invalidated = Row::FlowsInvalidated(FlowsInvalidated { invalidated: 1 });
        assert_eq!(object(invalidated.clone()), json!({"invalidated": 1}));
        assert_eq!(print(Form::Text, [Reply::Row(invalidated)]), "1 flow will look up again\n");
        let event = |row| {
            let event = Event { event: EventKind::Changed, subject: Subject::FlowCache(Box::new(row)) };
            let text = print(Form::JsonLines, [Reply::Event(Box::new(event))]);
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["event"], "changed");
            read["flow_cache"].clone()
        };
        assert_eq!(
            event(FlowCacheEvent::Modes(samples::flow_cache().modes)),
            json!({"what": "modes", "route": "on", "verdict": "off", "negative": "on", "untracked": "on"})
        );
        assert_eq!(
            event(FlowCacheEvent::Invalidated { flows: 3 }),
            json!({"what": "invalidated", "flows": 3})
        );
    }

    #[test]
    fn rows_of_an_owned_host_have_the_keys_of_the_contract() {
        assert_eq!(
            object(Row::Bridge(Box::new(samples::bridge()))),
            json!({
                "name": "br0", "mac": "02:00:00:00:00:01", "mtu": 1500, "state": "up",
                "ports": [
                    {"port": "r0", "state": "up", "reason": null, "macs": 1},
                    {"port": "r1", "state": "up", "reason": null, "macs": 2}
                ],
                "macs": 3, "macs_max": 4096, "ageing_s": 300,
                "counters": {"forwarded": 10, "flooded": 4, "moved": 0}
            })
        );
        assert_eq!(
            object(Row::Mac(samples::mac())),
            json!({"mac": "02:00:00:00:00:0a", "bridge": "br0", "port": "r1", "age_s": 12, "kind": "learned"})
        );
        assert_eq!(
            object(Row::Queue(Box::new(samples::queue()))),
            json!({
                "queue": 0, "pid": 4711, "program": "third.py", "waiting": 2, "waiting_max": 1024,
                "timeout_ms": 500, "counters": {"accepted": 20, "dropped": 10, "full": 0}
            })
        );
        assert_eq!(
            object(Row::LastHop(Box::new(samples::last_hop()))),
            json!({
                "number": 3, "port": "r0", "source_mac": "00:00:5e:00:01:07", "neighbor": "10.0.1.2",
                "answers_to": "00:00:5e:00:01:07", "destination_mac": "02:00:00:00:00:01", "kind": "vrrp", "virtual_id": 7,
                "flows": 17, "silent_s": 2, "is_newest": false, "alive": true, "reason": null
            })
        );
        let flow = FlowRow { last_hop: Some(samples::flow_last_hop()), ..samples::tcp() };
        assert_eq!(
            object(Row::Flow(Box::new(flow)))["last_hop"],
            json!({
                "port": "r0", "source_mac": "00:00:5e:00:01:07", "destination_mac": "02:00:00:00:00:01",
                "neighbor": "10.0.1.2", "answers_to": "00:00:5e:00:01:07", "used": true
            })
        );
        let flags = vec![NeighborFlag::Router, NeighborFlag::Static];
        let neighbor = object(Row::Neighbor(NeighborRow { flags, ..samples::neighbor() }));
        assert_eq!(neighbor["flags"], json!(["router", "static"]));
        let changed = Row::Changed(Changed { changed: 1 });
        assert_eq!(object(changed.clone()), json!({"changed": 1}));
        assert_eq!(print(Form::Text, [Reply::Row(changed)]), "", "as `ip`");
        let flushed = Row::NeighborsFlushed(NeighborsFlushed { flushed: 2 });
        assert_eq!(object(flushed.clone()), json!({"flushed": 2}));
        assert_eq!(print(Form::Text, [Reply::Row(flushed)]), "2 neighbors forgotten\n");
    }

    #[test]
    fn events_of_the_host_have_the_keys_of_the_contract() {
        let json_of = |event: &HostEvent| {
            let subject = Subject::Host(Box::new(event.clone()));
            let event = Event { event: EventKind::Changed, subject };
            let text = print(Form::JsonLines, [Reply::Event(Box::new(event.clone()))]);
            let back: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(back, event);
            let mut read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["event"], "changed");
            read["host"].take()
        };
        let told: Vec<Value> = samples::host_events().iter().map(json_of).collect();
        let names: Vec<&str> = told.iter().map(|event| event["what"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "address_ready",
                "duplicate_address",
                "address_conflict",
                "neighbor_moved",
                "neighbor_failed",
                "static_neighbor_claimed",
                "neighbors_full",
                "last_hop_dead",
                "last_hop_alive",
                "last_hop_followed",
                "last_hops_full",
                "queue_bound",
                "queue_gone",
                "queue_lost",
                "bridge_loop",
                "mac_moved",
                "macs_full",
                "device_ready",
                "device_lost"
            ]
        );
        assert_eq!(
            told[1],
            json!({"what": "duplicate_address", "port": "r0", "address": "10.0.1.1", "mac": "02:00:00:00:00:0a"})
        );
        assert_eq!(
            told[12],
            json!({"what": "queue_gone", "queue": 0, "pid": 4711, "reason": "hung_up", "waiting": 2})
        );
        assert_eq!(host_event(&samples::host_events()[0]), "address 10.0.1.1 dev r0 ready");
    }

    #[test]
    fn events_are_an_object_each() {
        let event = Event { event: EventKind::Gone, subject: Subject::Neighbor(samples::neighbor()) };
        let text = print(Form::JsonLines, [Reply::Event(Box::new(event)), Reply::Lost(7)]);
        let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values[0]["event"], "gone");
        assert_eq!(values[0]["neighbor"]["address"], "10.9.0.6");
        assert_eq!(values[1], json!({"event": "lost", "count": 7}));
    }

    #[test]
    fn events_read_as_ip_monitor_and_conntrack_print_them() {
        let route = Box::new(samples::route());
        let events = [
            Event { event: EventKind::New, subject: Subject::Route(route.clone()) },
            Event { event: EventKind::Gone, subject: Subject::Route(route) },
            Event { event: EventKind::Gone, subject: Subject::Neighbor(samples::neighbor()) },
            Event { event: EventKind::Gone, subject: Subject::Flow(Box::new(samples::generic(200))) },
        ];
        let replies = events.map(|event| Reply::Event(Box::new(event))).into_iter().chain([Reply::Lost(7)]);
        assert_eq!(
            print(Form::Text, replies),
            "10.10.0.0/16 via 10.9.0.5 dev v0\n\
             Deleted 10.10.0.0/16 via 10.9.0.5 dev v0\n\
             Deleted 10.9.0.6 dev v0 lladdr 02:00:00:00:00:06 STALE\n\
             [DESTROY] unknown  200 599 src=127.0.0.1 dst=127.0.0.1 packets=1 bytes=40 [UNREPLIED] src=127.0.0.1 \
             dst=127.0.0.1 packets=0 bytes=0\n\
             7 events lost: this reader is slower than they come\n"
        );
    }

    #[test]
    fn rules_of_each_family_stand_under_its_name() {
        let mut second = samples::policy_rule();
        second.family = Family::Ipv6;
        let rules = [samples::policy_rule(), second];
        assert_eq!(
            print(Form::Text, rules.map(|rule| Reply::Row(Row::PolicyRule(Box::new(rule))))),
            "ipv4:\n32766:\tfrom all lookup main\nipv6:\n32766:\tfrom all lookup main\n"
        );
    }
}
