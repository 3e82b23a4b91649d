//! Changes of the own tables, where they are the kernel's; and what befalls the host.

use ctl::message::{Action, HostEvent, Question, Topic, Topics};

use super::*;
use crate::control::Events;

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
