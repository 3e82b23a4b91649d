//! A plan whose router is its own host: what the plan gives the kernel there (addresses, routes, rules, neighbors) becomes
//! routerd's configuration, and the kernel is left with bare devices.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Plan;

/// A plan, and what routerd has to be told of it.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The plan without what is routerd's now.
    pub plan: Plan,
    /// Section `[host]` of `routerd.toml`.
    pub config: String,
}

impl Plan {
    /// Hands a station's addresses, routes, policy rules and neighbors over to routerd. Nexthop objects become what the
    /// routes that name them lead to.
    ///
    /// # Panics
    /// A line of the station's is about something else that an own host cannot be told.
    pub fn own(mut self, station: &str) -> Owned {
        let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for end in self.ends_of_mut(station) {
            for address in std::mem::take(&mut end.addresses) {
                told.entry("addresses").or_default().push(format!("{address} dev {}", end.port));
            }
        }
        let mut nexthops = Nexthops::default();
        let lines = self.take_lines(station);
        for line in &lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["nexthop", "add" | "replace", "id", id, ref words @ ..] => nexthops.learn(id, words),
                _ => continue,
            }
        }
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["link", ..] => self = self.ip(station, &line),
                ["nexthop", ..] => {}
                ["route", "add", ref words @ ..] => {
                    told.entry("routes").or_default().push(nexthops.route(words));
                }
                ["rule", "add", ref words @ ..] => told.entry("rules").or_default().push(words.join(" ")),
                ["-6", "rule", "add", ref words @ ..] => {
                    told.entry("rules").or_default().push(format!("-6 {}", words.join(" ")));
                }
                ["neighbor", "add", ref words @ ..] => {
                    let words = words.strip_suffix(&["nud", "permanent"]).unwrap_or(words);
                    told.entry("neighbors").or_default().push(words.join(" "));
                }
                _ => panic!("`ip {line}` cannot be told to a router that is its own host"),
            }
        }
        let mut config = String::from("[host]\n");
        for (key, lines) in told {
            writeln!(config, "{key} = {lines:#?}").expect("a string takes what is written");
        }
        Owned { plan: self, config }
    }
}

/// Nexthop objects, by id: the words of single ones, the members of groups.
#[derive(Default)]
struct Nexthops {
    single: BTreeMap<String, String>,
    groups: BTreeMap<String, Vec<(String, u16)>>,
}

impl Nexthops {
    fn learn(&mut self, id: &str, words: &[&str]) {
        if let ["group", members] = words {
            let member = |text: &str| match text.split_once(',') {
                Some((id, weight)) => (id.to_owned(), weight.parse().expect("a weight")),
                None => (text.to_owned(), 1),
            };
            self.groups.insert(id.to_owned(), members.split('/').map(member).collect());
        } else {
            self.single.insert(id.to_owned(), words.join(" "));
        }
    }

    /// A route's words with its object written out. A blackhole in a group of several has no words, and is left out.
    fn route(&self, words: &[&str]) -> String {
        let [prefix, "nhid", id] = words else { return words.join(" ") };
        let members = self.groups.get(*id).cloned().unwrap_or_else(|| vec![((*id).to_owned(), 1)]);
        let ways: Vec<(&str, u16)> =
            members.iter().map(|(id, weight)| (&*self.single[id], *weight)).collect();
        match ways[..] {
            [("blackhole", _)] => format!("blackhole {prefix}"),
            [(words, _)] => format!("{prefix} {words}"),
            _ => ways
                .iter()
                .filter(|(words, _)| *words != "blackhole")
                .fold((*prefix).to_owned(), |route, (words, weight)| {
                    format!("{route} nexthop {words} weight {weight}")
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn what_the_kernel_was_told_is_told_to_routerd() {
        let plan = Plan::new()
            .station("h1", Role::Host)
            .station("r1", Role::Router)
            .link("h1:eth0 10.0.1.2/24", "r1:r0 10.0.1.1/24 fd00:1::1/64")
            .ip("h1", "route add default via 10.0.1.1")
            .ip("r1", "link set r0 mtu 1400")
            .ip("r1", "nexthop add id 1 via 10.0.1.2 dev r0")
            .ip("r1", "nexthop add id 2 via 10.0.1.3 dev r0")
            .ip("r1", "nexthop add id 9 group 1/2,200")
            .ip("r1", "route add 10.8.0.0/16 nhid 9")
            .ip("r1", "-6 rule add to fd18::/16 prohibit priority 9")
            .ip("r1", "neighbor add 10.0.1.2 lladdr 02:00:00:00:01:01 dev r0 nud permanent");
        let owned = plan.own("r1");
        assert!(owned.plan.addresses("r1", "r0").is_empty());
        assert_eq!(owned.plan.addresses("h1", "eth0").len(), 1);
        let lines: Vec<_> = owned.plan.lines().map(|(name, lines)| (name, lines.len())).collect();
        assert_eq!(lines, [("h1", 1), ("r1", 1)]);
        for told in [
            "addresses = [\n    \"10.0.1.1/24 dev r0\",\n    \"fd00:1::1/64 dev r0\",\n]",
            "\"10.8.0.0/16 nexthop via 10.0.1.2 dev r0 weight 1 nexthop via 10.0.1.3 dev r0 weight 200\"",
            "\"-6 to fd18::/16 prohibit priority 9\"",
            "\"10.0.1.2 lladdr 02:00:00:00:01:01 dev r0\"",
        ] {
            assert!(owned.config.contains(told), "{told} in {}", owned.config);
        }
    }
}
