//! What names in rules stand for where the router runs.

use std::collections::HashMap;

use conntrack::Instant;

/// A conntrack helper that the router has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Name, such as `ftp`.
    pub name: String,
    /// Transport protocol number.
    pub protocol: u8,
}

/// Names that the outside gives meaning to. Read by the caller; the checker itself opens no file.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Indices and names of interfaces.
    pub interfaces: Vec<(u32, String)>,
    /// Names of services and their port numbers (`/etc/services`).
    pub services: HashMap<String, u16>,
    /// Numbers and names of transport protocols (`/etc/protocols`), the name that is listed first.
    pub protocols: Vec<(u8, String)>,
    /// Numbers and names of device groups (`/etc/iproute2/group`).
    pub groups: Vec<(u32, String)>,
    /// Numbers and names of realms (`/etc/iproute2/rt_realms`).
    pub realms: Vec<(u32, String)>,
    /// Numbers and names of marks (`/etc/iproute2/rt_marks`).
    pub marks: Vec<(u32, String)>,
    /// Conntrack helpers there are.
    pub helpers: Vec<Helper>,
    /// The kernel is the host: packets to and from the router itself pass it, not the rules.
    pub kernel_is_host: bool,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset_s: i32,
    /// The moment by the router's clock: which elements have ended, and since when `last used` counts.
    pub now: Instant,
}

impl Environment {
    /// An environment in which services and protocols have the names of these texts (`/etc/services`,
    /// `/etc/protocols`), and device groups the one that all systems have.
    #[must_use]
    pub fn of_texts(services: &str, protocols: &str) -> Self {
        let mut environment = Self { groups: vec![(0, "default".to_owned())], ..Self::default() };
        for (words, value) in rows(services) {
            let Some((port, _)) = value.split_once('/') else { continue };
            let Ok(port) = port.parse() else { continue };
            for word in words {
                environment.services.entry(word.to_owned()).or_insert(port);
            }
        }
        for (words, value) in rows(protocols) {
            let Ok(number) = value.parse() else { continue };
            environment.protocols.extend(words.into_iter().map(|word| (number, word.to_owned())));
        }
        environment
    }

    /// The index of the interface of this name.
    #[must_use]
    pub fn interface_index(&self, name: &str) -> Option<u32> {
        number(&self.interfaces, name)
    }

    /// The name of the interface of this index.
    #[must_use]
    pub fn interface_name(&self, index: u32) -> Option<&str> {
        name(&self.interfaces, index)
    }

    /// The port number of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<u16> {
        self.services.get(name).copied()
    }

    /// The number of a transport protocol.
    #[must_use]
    pub fn protocol(&self, word: &str) -> Option<u8> {
        number(&self.protocols, word)
    }

    /// The name of a transport protocol.
    #[must_use]
    pub fn protocol_name(&self, number: u8) -> Option<&str> {
        name(&self.protocols, number)
    }

    /// The number of a device group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        number(&self.groups, name)
    }

    /// The name of a device group.
    #[must_use]
    pub fn group_name(&self, group: u32) -> Option<&str> {
        name(&self.groups, group)
    }

    /// The number of a realm.
    #[must_use]
    pub fn realm(&self, name: &str) -> Option<u32> {
        number(&self.realms, name)
    }

    /// The name of a realm.
    #[must_use]
    pub fn realm_name(&self, realm: u32) -> Option<&str> {
        name(&self.realms, realm)
    }

    /// The mark of this name.
    #[must_use]
    pub fn mark(&self, name: &str) -> Option<u32> {
        number(&self.marks, name)
    }

    /// Whether there is a helper of this name for this protocol.
    #[must_use]
    pub fn has_helper(&self, name: &str, protocol: u8) -> bool {
        self.helpers.iter().any(|helper| helper.name == name && helper.protocol == protocol)
    }
}

fn number<N: Copy>(rows: &[(N, String)], name: &str) -> Option<N> {
    rows.iter().find(|(_, word)| word == name).map(|(number, _)| *number)
}

fn name<N: Copy + PartialEq>(rows: &[(N, String)], number: N) -> Option<&str> {
    rows.iter().find(|(other, _)| *other == number).map(|(_, name)| name.as_str())
}

/// Rows of `name value alias…`, without comments: the names, and the value.
fn rows(text: &str) -> impl Iterator<Item = (Vec<&str>, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (name, value) = (words.next()?, words.next()?);
        Some((std::iter::once(name).chain(words).collect(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn services_and_protocols_have_their_names_and_aliases() {
        let environment = Environment::of_texts(
            "# all\nssh 22/tcp # shell\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp www\nbad\n",
            "ip 0 IP\ntcp 6 TCP # control\n",
        );
        assert_eq!(environment.service("www"), Some(80));
        assert_eq!(environment.service("domain"), Some(53));
        assert_eq!(environment.service("bad"), None);
        assert_eq!(environment.protocol("TCP"), Some(6));
        assert_eq!(environment.protocol_name(6), Some("tcp"));
    }
}
