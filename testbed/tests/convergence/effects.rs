//! What else a flow's way rests on, changed under it one by one: TOS, mark, port of entry, MTU, addresses, the port.

use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::Running;
use testbed::scenario::clients::SECONDS_20;
use testbed::scenario::steady::{Download, Ends};

use crate::ground::{Family, WAY_PORTS, answers_go_the_second_way, asked, download, flow, with_routerd};
use crate::watched::{Watched, in_mid_stream};

/// The other way stands in a table of its own, which rules of policy may choose.
fn other_way_in_table_100(lab: &Lab, family: &Family) {
    lab.at("r1").ip(&format!("route add {} via {} table 100", family.prefix, family.via[1])).unwrap();
}

fn rule(watched: &Watched<'_>, family: &Family, words: &str) {
    watched.lab.at("r1").ip(&format!("{}rule {words} lookup 100", family.option)).unwrap();
}

#[test]
fn packets_of_one_stream_go_by_their_tos_while_a_rule_asks_for_it() {
    in_mid_stream(other_way_in_table_100, |watched, routerd, family| {
        let kept = asked(&flow(routerd, &watched.download));
        watched.moves("a TOS that nobody asks for", 0, |stream| stream.download.set_tos(0x10).unwrap());
        assert_eq!(asked(&flow(routerd, &watched.download)), kept);
        watched.moves("a rule that asks for it", 1, |stream| rule(stream, family, "add tos 0x10"));
        watched.moves("no TOS", 0, |stream| stream.download.set_tos(0).unwrap());
        watched.moves("that TOS again", 1, |stream| stream.download.set_tos(0x10).unwrap());
        watched.moves("no rule", 0, |stream| rule(stream, family, "del tos 0x10"));
    });
}

#[test]
fn a_stream_goes_by_the_mark_that_rules_give_it() {
    let marks = |mark: u32| {
        format!(
            "flush ruleset\ntable inet marks {{\n chain by_entry {{\n type filter hook prerouting priority mangle;\n \
             iifname \"r0\" meta mark set {mark}\n }}\n}}\n"
        )
    };
    in_mid_stream(other_way_in_table_100, |watched, routerd, family| {
        rule(watched, family, "add fwmark 7");
        let load = |text: &str| drop(routerd.load_rules(text).unwrap());
        watched.moves("a mark", 1, |_| load(&marks(7)));
        watched.moves("another mark", 0, |_| load(&marks(6)));
        watched.moves("the mark again", 1, |_| load(&marks(7)));
        watched.moves("no marks", 0, |_| load("flush ruleset\n"));
        rule(watched, family, "del fwmark 7");
    });
}

#[test]
fn a_stream_goes_by_its_port_of_entry_while_a_rule_asks_for_that() {
    in_mid_stream(other_way_in_table_100, |watched, _, family| {
        watched.moves("a rule for another port", 0, |stream| rule(stream, family, "add iif r2"));
        watched.moves("a rule for its port", 1, |stream| rule(stream, family, "add iif r0"));
        watched.moves("no rule for it", 0, |stream| rule(stream, family, "del iif r0"));
        rule(watched, family, "del iif r2");
    });
}

/// A download of `h1` from an address of `h2`.
fn from_h2<'lab>(lab: &'lab Lab, at: &str) -> Ends<'lab> {
    Ends {
        server: lab.at("h2"),
        at: at.parse().unwrap(),
        client: lab.at("h1"),
        from: "10.0.1.2".parse().unwrap(),
    }
}

#[test]
fn a_smaller_mtu_reaches_a_stream_without_a_lookup() {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        let family = &crate::ground::FAMILIES[0];
        let download = download(lab, family);
        download.goes_on(50_000).unwrap();
        let kept = asked(&flow(routerd, &download));
        lab.at("r1").ip("link set r1 mtu 700").unwrap();
        // The server is told by the packets themselves.
        let told = || {
            let said =
                lab.run("h1", &format!("ip route get {}", family.client), SECONDS_5).unwrap().ok().unwrap();
            said.contains("mtu 700").then_some(())
        };
        wait_until("the server to know the MTU", SECONDS_5, told).unwrap();
        download.goes_on(100_000).unwrap();
        let row = flow(routerd, &download);
        assert_eq!(renewals(&row), kept.map(|(_, renewals)| renewals), "{row}");
        lab.at("r1").ip("link set r1 mtu 1500").unwrap();
        download.goes_on(100_000).unwrap();
        download.finish().unwrap();
    });
}

fn renewals(row: &serde_json::Value) -> [u64; 2] {
    asked(row).map(|(_, renewals)| renewals)
}

const MASQUERADE: &str = "flush ruleset
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname { \"r1\", \"r3\" } masquerade
    }
}
";

#[test]
fn flows_masqueraded_as_an_address_go_with_it_and_the_others_stay() {
    with_routerd("", |lab, routerd| {
        routerd.load_rules(MASQUERADE).unwrap();
        let [first, second] =
            crate::ground::FAMILIES[0].via.map(|at| Download::start(&from_h2(lab, at)).unwrap());
        for download in [&first, &second] {
            download.goes_on(50_000).unwrap();
        }
        let row = flow(routerd, &second);
        let (id, kept) = (row["id"].clone(), asked(&row));
        assert_eq!(flow(routerd, &first)["reply"]["destination"], "10.0.2.1");
        lab.at("r1").ip("address del 10.0.2.1/24 dev r1").unwrap();
        let gone = || {
            let rows = routerd.ask(&format!("show flows -p tcp --sport {} -d 10.0.2.2", first.client_port()));
            rows.unwrap().as_array().unwrap().is_empty().then_some(())
        };
        wait_until("the flow to go", SECONDS_5, gone)
            .unwrap_or_else(|error| panic!("{error}\n{}", routerd.tell("show flows").unwrap()));
        second.goes_on(100_000).unwrap();
        let row = flow(routerd, &second);
        assert_eq!((row["id"].clone(), asked(&row)), (id, kept), "the other flow was touched: {row}");
        second.finish().unwrap();
        first.abandon();
    });
}

#[test]
fn a_stream_outlives_the_port_it_leaves_by_when_another_takes_its_name() {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        let family = &crate::ground::FAMILIES[0];
        let download = download(lab, family);
        download.goes_on(50_000).unwrap();
        let index = |routerd: &Running<'_>| {
            let ports = routerd.ask("show ports").unwrap();
            let port = ports.as_array().unwrap().iter().find(|port| port["name"] == WAY_PORTS[0]).cloned();
            port.filter(|port| port["state"] == "up").and_then(|port| port["index"].as_u64())
        };
        let before = index(routerd).unwrap();
        let flow_before = flow(routerd, &download)["id"].clone();
        let (r1, h2) = (lab.at("r1"), lab.at("h2"));
        r1.ip("link del r1").unwrap();
        // Something else takes the number that was next.
        r1.ip("link add other type veth peer name another").unwrap();
        let again =
            format!("link add r1 address 02:00:00:00:02:09 type veth peer name eth0 netns {}", h2.name());
        for line in [&again, "address add 10.0.2.1/24 dev r1", "link set r1 up"] {
            r1.ip(line).unwrap();
        }
        for line in ["address add 10.0.2.2/24 dev eth0", "link set eth0 up"] {
            h2.ip(line).unwrap();
        }
        r1.ip(&format!("route add {} via {}", family.prefix, family.via[0])).unwrap();
        wait_until("the port under its new index", SECONDS_20, || {
            index(routerd).is_some_and(|index| index != before).then_some(())
        })
        .unwrap();
        download.goes_on(50_000).unwrap();
        let row = flow(routerd, &download);
        assert_eq!(row["id"], flow_before, "{row}");
        assert_eq!(
            (&row["reply"]["route"]["port"], &row["reply"]["route"]["valid"]),
            (&"r1".into(), &true.into())
        );
        download.finish().unwrap();
    });
}
