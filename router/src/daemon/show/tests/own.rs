//! Changes of the own tables, where they are the kernel's; and what befalls the host.

use ctl::message::{Action, HostEvent, Question, Topic, Topics};

use super::*;
use fib::adjacency::PortId;

use crate::control::Events;
use crate::host::neighborhood::Interface;

fn refusal(core: &Core, action: &str) -> String {
    let action: Action = serde_json::from_str(action).unwrap();
    act(&action, core).err().expect("the tables are the kernel's").message
}

#[test]
fn changes_of_the_kernels_tables_are_refused_with_the_words_to_type() {
    let core = core(table());
    for (action, said) in [
        (
            r#"{"change_address":{"verb":"add","address":"10.0.0.9/24","port":"r0","nodad":true}}"#,
            "addresses are the kernel's here (--host kernel): use `ip address add 10.0.0.9/24 dev r0 nodad`",
        ),
        (
            r#"{"change_route":{"verb":"replace","prefix":"0.0.0.0/0","next_hops":[{"via":"10.0.0.2","port":"r0"}]}}"#,
            "routes are the kernel's here (--host kernel): use `ip route replace default via 10.0.0.2 dev r0`",
        ),
        (
            r#"{"change_neighbor":{"verb":"del","address":"fd00::2","port":"r0"}}"#,
            "neighbors are the kernel's here (--host kernel): use `ip neighbor del fd00::2 dev r0`",
        ),
        (
            r#"{"change_policy_rule":{"verb":"add","family":"ipv6","from":"fd00::/16","action":{"lookup":100}}}"#,
            "policy rules are the kernel's here (--host kernel): use `ip -6 rule add from fd00::/16 lookup 100`",
        ),
        (
            r#"{"flush_neighbors":{}}"#,
            "neighbors are the kernel's here (--host kernel): use `ip neighbor flush all`",
        ),
    ] {
        assert_eq!(refusal(&core, action), said);
    }
}

#[test]
fn a_bridge_that_is_not_there_is_named() {
    let core = core(table());
    let error = answer(&serde_json::from_str(r#"{"macs":{"bridge":"br9"}}"#).unwrap(), &core).err().unwrap();
    assert_eq!(error.message, "no bridge named br9 in this router");
    assert_eq!(ask(&core, &Question::Bridges), json!([]));
}

#[test]
fn what_befalls_the_host_is_told_to_those_who_watch() {
    let core = core(table());
    let events = Events::default();
    let event = HostEvent::AddressReady { port: "r0".into(), address: "10.0.0.1".parse().unwrap() };
    core.news.note(event.clone());
    core.tell_news(&events);
    let mut watch = events.watch(Topics::from(Topic::Host));
    core.tell_news(&events);
    assert_eq!(watch.try_next(), None, "what was before nobody watched is not told later");
    core.news.note(event);
    core.tell_news(&events);
    let told = format!("{:?}", watch.try_next());
    assert!(told.contains("Message"), "{told}");
    assert_eq!(watch.try_next(), None);
}

#[test]
fn own_addresses_and_neighbors_say_what_the_router_knows_of_them() {
    let mut table = Tabletop::owned(&["r0", "r1"], false);
    table.address(0, "10.0.0.1/24");
    table.address(0, "10.0.0.9/24");
    table.address(1, "fd00::1/64");
    let core = core(table);
    let now = core.now();
    {
        let mut neighborhood = core.neighborhood.borrow_mut();
        for number in 0..2 {
            let mac = fib::adjacency::Mac([2, 0, 0, 0, 0, number as u8]);
            let interface = Interface { link: LinkIndex(number + 1), mac, mtu: 1500, up: true };
            neighborhood.set_interface(PortId(number as u16), interface, now);
        }
        neighborhood.add_address(PortId(0), "10.0.0.1/24".parse().unwrap(), false, now);
        neighborhood.add_address(PortId(0), "10.0.0.9/24".parse().unwrap(), true, now);
        neighborhood.set_static(PortId(0), "10.0.0.2".parse().unwrap(), fib::adjacency::Mac(SERVER));
    }
    core.follow_neighborhood(&Events::default());
    let addresses = ask(&core, &Question::Addresses);
    let dad: Vec<&Value> = addresses.as_array().unwrap().iter().map(|row| &row["dad"]).collect();
    assert_eq!(dad, [&json!("ready"), &json!("tentative"), &Value::Null], "{addresses}");
    let expected = json!([{
        "address": "10.0.0.2", "port": "r0", "mac": "02:00:00:00:02:02", "state": "PERMANENT", "flags": ["static"]
    }]);
    assert_eq!(ask(&core, &Question::Neighbors), expected);
}
