//! `[last-hop]`: which flows are answered where they came from.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use fib::adjacency::{Mac, PortId};
use serde::Deserialize;
use toml::Spanned;

use super::OnOff;
use super::file::bounded;
use crate::last_hop::{GROUP_MEMBERS_MAX, GROUPS_MAX, Group, IDLE, Kind, MarkMatch, Settings};

/// The section as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    #[serde(rename = "reply-mark")]
    reply_mark: Option<Spanned<String>>,
    #[serde(rename = "original-mark")]
    original_mark: Option<Spanned<String>>,
    everywhere: Option<OnOff>,
    ports: Vec<Spanned<String>>,
    #[serde(deserialize_with = "bounded::<_, _, 0, 86_400>")]
    idle_s: Option<u64>,
    group: Vec<GroupSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSection {
    name: Spanned<String>,
    port: Spanned<String>,
    macs: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    addresses: Vec<Spanned<IpAddr>>,
}

type Wrong = (Range<usize>, String);

impl Section {
    /// Puts the section in words of the datapath. `names` are those of all ports, in the order of their ids.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn check<'a>(self, names: impl Iterator<Item = &'a str> + Clone) -> Result<Settings, Wrong> {
        let port = |name: &Spanned<String>| {
            let place = names.clone().position(|known| known == name.get_ref());
            let place = place.and_then(|place| u16::try_from(place).ok());
            place.map(PortId).ok_or_else(|| (name.span(), format!("{} is no port here", name.get_ref())))
        };
        let ports = self.ports.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        let mut groups: Vec<Group> = Vec::new();
        let mut taken = BTreeSet::new();
        for section in self.group {
            let wrong = |what| Err((section.name.span(), what));
            let name = section.name.get_ref();
            if groups.len() == GROUPS_MAX {
                return wrong(format!("more than {GROUPS_MAX} groups of gateways"));
            }
            if name.is_empty() || name.len() > NAME_MAX {
                return wrong(format!("the name of a group has 1 to {NAME_MAX} bytes"));
            }
            if groups.iter().any(|group| group.name == *name) {
                return wrong(format!("there is a group named {name} already"));
            }
            let port = port(&section.port)?;
            let macs = macs(&section.macs)?;
            for (mac, text) in macs.iter().zip(section.macs.get_ref()) {
                if !taken.insert((port, mac.0)) {
                    return Err((text.span(), format!("{mac} is named twice")));
                }
            }
            if section.addresses.len() > GROUP_MEMBERS_MAX {
                return wrong(format!("more than {GROUP_MEMBERS_MAX} addresses of a group"));
            }
            for address in &section.addresses {
                if address.get_ref().is_multicast() || address.get_ref().is_unspecified() {
                    return Err((address.span(), format!("{} is no gateway's address", address.get_ref())));
                }
            }
            let addresses = section.addresses.iter().map(|address| *address.get_ref()).collect();
            groups.push(Group { name: name.clone(), port, macs, addresses });
        }
        Ok(Settings {
            reply_mark: self.reply_mark.as_ref().map(mark).transpose()?,
            original_mark: self.original_mark.as_ref().map(mark).transpose()?,
            everywhere: self.everywhere == Some(OnOff::On),
            ports,
            groups,
            idle: self.idle_s.map_or(IDLE, Duration::from_secs),
        })
    }
}

/// Bytes of a group's name at most.
const NAME_MAX: usize = 64;

fn mark(text: &Spanned<String>) -> Result<MarkMatch, Wrong> {
    text.get_ref().parse().map_err(|error: crate::last_hop::MarkError| (text.span(), error.to_string()))
}

fn macs(texts: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Mac>, Wrong> {
    let count = texts.get_ref().len();
    if !(1..=GROUP_MEMBERS_MAX).contains(&count) {
        let what = format!("a group has 1 to {GROUP_MEMBERS_MAX} Ethernet addresses, this one {count}");
        return Err((texts.span(), what));
    }
    let read = |text: &Spanned<String>| {
        let mac: ctl::message::Mac = text
            .get_ref()
            .parse()
            .map_err(|error: ctl::message::MacError| (text.span(), error.to_string()))?;
        let mac = Mac(mac.0);
        let is_host = mac != Mac::default() && Kind::of(mac) != Kind::Group;
        is_host.then_some(mac).ok_or_else(|| (text.span(), format!("{mac} is no host's address")))
    };
    texts.get_ref().iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings, String> {
        let section: Section = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        section.check(["r0", "r1", "br0"].into_iter()).map_err(|(_, what)| what)
    }

    #[test]
    fn nothing_said_means_nothing_done() {
        assert_eq!(check(""), Ok(Settings::default()));
    }

    #[test]
    fn what_is_said_is_in_force() {
        let text = r#"
            reply-mark = "0x1/0x1"
            original-mark = "0x2/0x2"
            everywhere = "off"
            ports = ["br0"]
            idle_s = 5
            [[group]]
            name = "upstream"
            port = "r1"
            macs = ["02:00:00:00:03:01", "00:00:5e:00:01:33"]
            addresses = ["10.0.1.254", "fd01::254"]
        "#;
        let group = Group {
            name: "upstream".into(),
            port: PortId(1),
            macs: vec![Mac([2, 0, 0, 0, 3, 1]), Mac([0, 0, 0x5e, 0, 1, 0x33])],
            addresses: vec!["10.0.1.254".parse().unwrap(), "fd01::254".parse().unwrap()],
        };
        let expected = Settings {
            reply_mark: MarkMatch::new(1, 1).ok(),
            original_mark: MarkMatch::new(2, 2).ok(),
            everywhere: false,
            ports: vec![PortId(2)],
            groups: vec![group],
            idle: Duration::from_secs(5),
        };
        assert_eq!(check(text), Ok(expected));
        assert!(check("everywhere = \"on\"").unwrap().everywhere);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let group = |name: &str, port: &str, macs: &str, more: &str| {
            format!("[[group]]\nname = {name:?}\nport = {port:?}\nmacs = [{macs}]\n{more}\n")
        };
        let one = "\"02:00:00:00:03:01\"";
        let many = [one; GROUP_MEMBERS_MAX + 1].join(",");
        let cases = [
            ("ports = [\"r7\"]".into(), "r7 is no port here"),
            ("reply-mark = \"0x3/0x1\"".into(), "bits outside the mask"),
            ("original-mark = \"red\"".into(), "no mark"),
            ("idle_s = 86401".into(), "out of range"),
            ("replymark = \"1\"".into(), "unknown field"),
            (group("a", "r7", one, ""), "r7 is no port here"),
            (group("", "r1", one, ""), "1 to 64 bytes"),
            (group("a", "r1", "", ""), "this one 0"),
            (group("a", "r1", &many, ""), "this one 17"),
            (group("a", "r1", "\"02:00\"", ""), "not an Ethernet address"),
            (group("a", "r1", "\"01:00:5e:00:00:12\"", ""), "no host's address"),
            (group("a", "r1", &[one; 2].join(","), ""), "named twice"),
            (group("a", "r1", one, "") + &group("a", "r0", one, ""), "already"),
            (group("a", "r1", one, "") + &group("b", "r1", one, ""), "named twice"),
            (group("a", "r1", one, "addresses = [\"224.0.0.1\"]"), "no gateway's address"),
        ];
        for (text, part) in cases {
            let error = check(&text).expect_err(&text);
            assert!(error.contains(part), "{text}: {error:?} does not say {part:?}");
        }
    }
}
