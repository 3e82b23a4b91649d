//! `[[bridge]]`: ports that are joined to one.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use fib::adjacency::{Mac, PORTS_MAX, PortId};
use serde::Deserialize;
use toml::Spanned;

use super::file::bounded;
use super::{HostKind, PortSpec};
use crate::bridge::{BRIDGES_MAX, Description, PullUp, Reserved, is_station};

/// Marks by which one bridge pulls frames up, at most.
const PULL_UPS_MAX: usize = 16;

/// Hosts that are configured to be behind a bridge's ports, at most.
const FIXED_MAX: usize = 1024;

/// `[[bridge]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    name: Spanned<String>,
    ports: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    mac: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "bounded::<_, _, 1, 1_000_000>")]
    ageing_s: Option<u64>,
    #[serde(default, deserialize_with = "bounded::<_, _, 16, 1_048_576>")]
    macs_max: Option<usize>,
    #[serde(default)]
    stp: Option<PassOrDrop>,
    #[serde(default, rename = "link-local")]
    link_local: Option<PassOrDrop>,
    #[serde(default, rename = "pull-up")]
    pull_up: Vec<PullUpSection>,
    #[serde(default, rename = "static")]
    fixed: Vec<StaticSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PullUpSection {
    mark: Spanned<String>,
    #[serde(default)]
    port: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StaticSection {
    mac: Spanned<String>,
    port: Spanned<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PassOrDrop {
    Pass,
    Drop,
}

/// What is wrong, and where in the file.
pub(super) type Wrong = (Range<usize>, String);

/// Makes bridges of the sections. Their ports are numbered behind the configured ones.
pub(super) fn check(
    sections: Vec<Section>,
    ports: &[PortSpec],
    host: &HostKind,
) -> Result<Vec<Description>, Wrong> {
    let mut names: Vec<String> = ports.iter().map(|port| port.name().to_owned()).collect();
    for section in &sections {
        let wrong = |what: String| Err((section.name.span(), what));
        if !host.host().is_owned() {
            return wrong(
                "a bridge needs a router that is its own host, --host tun or --host none; with --host kernel the \
                 kernel's own bridge is the place (`ip link add type bridge`)"
                    .to_owned(),
            );
        }
        let name = section.name.get_ref();
        match name.parse() {
            Ok(PortSpec::Device(_)) => {}
            Ok(PortSpec::Tun(_)) => return wrong(format!("{name:?} is no name of a bridge")),
            Err(error) => return wrong(error.to_string()),
        }
        if host.device() == Some(name) {
            return wrong(format!("{name} cannot be both a bridge and the device of the host"));
        }
        if names.contains(name) {
            return wrong(format!("there is a port or bridge named {name} already"));
        }
        if names.len() == PORTS_MAX {
            return wrong(format!("more than {PORTS_MAX} ports and bridges, the most there can be"));
        }
        if names.len() - ports.len() == BRIDGES_MAX {
            return wrong(format!("more than {BRIDGES_MAX} bridges, the most there can be"));
        }
        names.push(name.clone());
    }
    let mut taken = HashSet::new();
    let describe = |(number, section)| section_to_description(section, number, ports, &names, &mut taken);
    (ports.len()..).zip(sections).map(describe).collect()
}

fn section_to_description(
    section: Section,
    number: usize,
    ports: &[PortSpec],
    names: &[String],
    taken: &mut HashSet<PortId>,
) -> Result<Description, Wrong> {
    let members = members(&section.ports, ports, names, taken)?;
    let place = |name: &Spanned<String>| place_of(name, names);
    let mut description = Description::plain(section.name.get_ref(), id(number), &members);
    description.mac = section.mac.as_ref().map(station).transpose()?;
    if let Some(ageing_s) = section.ageing_s {
        description.ageing = Duration::from_secs(ageing_s);
    }
    description.macs_max = section.macs_max.unwrap_or(description.macs_max);
    description.stp = section.stp.map_or(description.stp, Into::into);
    description.link_local = section.link_local.map_or(description.link_local, Into::into);
    for entry in section.pull_up {
        let wrong = |what| (entry.mark.span(), what);
        let (mark, mask) = mark(entry.mark.get_ref()).map_err(wrong)?;
        if description.pull_up.len() == PULL_UPS_MAX {
            return Err(wrong(format!("more than {PULL_UPS_MAX} marks that pull frames up")));
        }
        let port = entry.port.as_ref().map(place).transpose()?;
        if let (Some(id), Some(name)) = (port, &entry.port)
            && (id == description.port || description.members.contains(&id))
        {
            let what =
                format!("frames of {} cannot be pulled up to {} again", description.name, name.get_ref());
            return Err((name.span(), what));
        }
        description.pull_up.push(PullUp { mark, mask, port });
    }
    for entry in section.fixed {
        let port = place(&entry.port)?;
        if !description.members.contains(&port) {
            let what = format!("{} is no port of bridge {}", entry.port.get_ref(), description.name);
            return Err((entry.port.span(), what));
        }
        if description.fixed.len() == FIXED_MAX || 2 * description.fixed.len() >= description.macs_max {
            let what = "more static entries than half of macs_max, or than 1024".to_owned();
            return Err((entry.mac.span(), what));
        }
        description.fixed.push((station(&entry.mac)?, port));
    }
    Ok(description)
}

/// The ports that a bridge joins.
fn members(
    written: &Spanned<Vec<Spanned<String>>>,
    ports: &[PortSpec],
    names: &[String],
    taken: &mut HashSet<PortId>,
) -> Result<Vec<PortId>, Wrong> {
    let mut members = Vec::new();
    for name in written.get_ref() {
        let wrong = |what| Err((name.span(), what));
        let port = place_of(name, names)?;
        match ports.get(usize::from(port.0)) {
            Some(PortSpec::Device(_)) => {}
            Some(PortSpec::Tun(name)) => {
                return wrong(format!(
                    "{name} is a TUN device, whose packets have no link addresses: it cannot be bridged"
                ));
            }
            None => {
                return wrong(format!("{} is a bridge itself and cannot be a port of one", name.get_ref()));
            }
        }
        if !taken.insert(port) {
            return wrong(format!("port {} is in a bridge already", name.get_ref()));
        }
        members.push(port);
    }
    if members.len() < 2 {
        return Err((written.span(), "a bridge joins at least two ports".to_owned()));
    }
    Ok(members)
}

fn place_of(name: &Spanned<String>, names: &[String]) -> Result<PortId, Wrong> {
    let found = names.iter().position(|known| known == name.get_ref());
    found.map(id).ok_or_else(|| (name.span(), format!("there is no port named {}", name.get_ref())))
}

fn id(number: usize) -> PortId {
    PortId(u16::try_from(number).expect("bounded by PORTS_MAX"))
}

fn station(text: &Spanned<String>) -> Result<Mac, Wrong> {
    let wrong = |what: String| (text.span(), what);
    let mac: ctl::message::Mac = text.get_ref().parse().map_err(|error| wrong(format!("{error}")))?;
    Some(Mac(mac.0)).filter(|mac| is_station(*mac)).ok_or_else(|| {
        wrong(format!("{} is no link address of one station: it is all zero or a group's", text.get_ref()))
    })
}

/// A mark and the bits of it that count, as in `0x10/0xf0` or `16`.
fn mark(text: &str) -> Result<(u32, u32), String> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => part.parse(),
    };
    let (mark, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    match (number(mark), number(mask)) {
        (Ok(mark), Ok(mask)) if mark & !mask == 0 => Ok((mark, mask)),
        (Ok(_), Ok(_)) => Err(format!("{text:?} asks for bits that its mask leaves out")),
        _ => Err(format!("{text:?} is no mark; expected MARK or MARK/MASK, as in \"0x10/0xf0\"")),
    }
}

impl From<PassOrDrop> for Reserved {
    fn from(word: PassOrDrop) -> Self {
        match word {
            PassOrDrop::Pass => Self::Pass,
            PassOrDrop::Drop => Self::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::config::{Arguments, ValidConfig};

    const HEAD: &str = "ports = [\"a0\", \"a1\", \"a2\", \"a3\", \"tun:vpn0\"]\nhost = \"none\"\n";

    fn parse(text: &str) -> Result<Vec<Description>, String> {
        let arguments = Arguments::try_parse_from(["routerd"]).unwrap();
        let config = ValidConfig::parse(text, Path::new("r.toml"), &arguments);
        config.map(|config| config.bridges).map_err(|error| error.to_string())
    }

    /// The example of the documentation.
    fn example() -> &'static str {
        let page = include_str!("../../../docs/bridge.md");
        let (_, rest) = page.split_once("```toml\n").expect("the page has an example");
        rest.split_once("```").expect("the example ends").0
    }

    #[test]
    fn the_documented_example_is_taken_and_names_every_key() {
        let bridges = parse(example()).unwrap();
        let Section { name: _, ports: _, mac, ageing_s, macs_max, stp, link_local, pull_up, fixed } =
            toml::from_str::<super::super::file::File>(example()).unwrap().bridge.remove(0);
        assert!(
            mac.is_some()
                && ageing_s.is_some()
                && macs_max.is_some()
                && stp.is_some()
                && link_local.is_some()
                && pull_up.iter().any(|entry| entry.port.is_some())
                && !fixed.is_empty()
        );
        let plain = Description::plain(&bridges[0].name, bridges[0].port, &bridges[0].members);
        let usual = Description { mac: None, pull_up: vec![], fixed: vec![], ..bridges[0].clone() };
        assert_eq!(usual, plain, "the values are the defaults");
    }

    #[test]
    fn bridges_are_numbered_behind_the_ports() {
        let text = format!(
            "{HEAD}[[bridge]]\nname = \"br0\"\nports = [\"a2\", \"a0\"]\nmac = \"02:00:00:00:00:07\"\nageing_s = 5\n\
             macs_max = 16\nstp = \"drop\"\nlink-local = \"pass\"\n\
             pull-up = [{{ mark = \"0x10/0x30\", port = \"vpn0\" }}, {{ mark = \"7\" }}]\n\
             static = [{{ mac = \"02:00:00:00:00:08\", port = \"a2\" }}]\n\
             [[bridge]]\nname = \"br1\"\nports = [\"a1\", \"a3\"]\n"
        );
        let expected = Description {
            mac: Some(Mac([2, 0, 0, 0, 0, 7])),
            ageing: Duration::from_secs(5),
            macs_max: 16,
            stp: Reserved::Drop,
            link_local: Reserved::Pass,
            pull_up: vec![
                PullUp { mark: 0x10, mask: 0x30, port: Some(PortId(4)) },
                PullUp { mark: 7, mask: u32::MAX, port: None },
            ],
            fixed: vec![(Mac([2, 0, 0, 0, 0, 8]), PortId(2))],
            ..Description::plain("br0", PortId(5), &[PortId(2), PortId(0)])
        };
        let other = Description::plain("br1", PortId(6), &[PortId(1), PortId(3)]);
        assert_eq!(parse(&text).unwrap(), [expected, other]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let two = "[[bridge]]\nname = \"br0\"\nports = [\"a0\", \"a1\"]\n";
        let br0 = "[[bridge]]\nname = \"br0\"\n";
        for (body, place, part) in [
            (format!("{br0}ports = [\"a0\"]"), "r.toml:5:9: ", "at least two"),
            (format!("{br0}ports = [\"a0\", \"nix\"]"), "r.toml:5:16: ", "no port named nix"),
            (format!("{br0}ports = [\"a0\", \"a0\"]"), "r.toml:5:16: ", "in a bridge already"),
            (format!("{br0}ports = [\"a0\", \"vpn0\"]"), "r.toml:5:16: ", "TUN"),
            (format!("{br0}ports = [\"a0\", \"br0\"]"), "r.toml:5:16: ", "bridge itself"),
            (
                format!("{two}[[bridge]]\nname = \"b\"\nports = [\"a2\", \"a1\"]"),
                "r.toml:8:16: ",
                "in a bridge already",
            ),
            (format!("{two}[[bridge]]\nname = \"br0\"\nports = [\"a2\", \"a3\"]"), "r.toml:7:8: ", "already"),
            ("[[bridge]]\nname = \"a3\"\nports = [\"a0\", \"a1\"]".into(), "r.toml:4:8: ", "already"),
            ("[[bridge]]\nname = \"a b\"\nports = [\"a0\", \"a1\"]".into(), "r.toml:4:8: ", "blanks"),
            (format!("{two}mac = \"01:00:00:00:00:01\""), "r.toml:6:7: ", "group"),
            (format!("{two}mac = \"wrong\""), "r.toml:6:7: ", "wrong"),
            (format!("{two}ageing_s = 0"), "r.toml:6:12: ", "1 to"),
            (format!("{two}macs_max = 3"), "r.toml:6:12: ", "16 to"),
            (format!("{two}stp = \"learn\""), "r.toml:6:7: ", "pass"),
            (format!("{two}colour = \"red\""), "r.toml:6:1: ", "colour"),
            (format!("{two}pull-up = [{{ mark = \"x\" }}]"), "r.toml:6:21: ", "no mark"),
            (format!("{two}pull-up = [{{ mark = \"3/1\" }}]"), "r.toml:6:21: ", "leaves out"),
            (format!("{two}pull-up = [{{ mark = \"1\", port = \"a1\" }}]"), "r.toml:6:33: ", "again"),
            (format!("{two}pull-up = [{{ mark = \"1\", port = \"nix\" }}]"), "r.toml:6:33: ", "nix"),
            (
                format!("{two}static = [{{ mac = \"02:00:00:00:00:01\", port = \"a2\" }}]"),
                "r.toml:6:47: ",
                "no port of",
            ),
        ] {
            let error = parse(&format!("{HEAD}{body}\n")).expect_err(&body);
            assert!(error.starts_with(place) && error.contains(part), "{body}\n{error}");
            assert!(!error.contains('\n'), "{error:?} is more than a line");
        }
        let error = parse(&format!("{}{two}", HEAD.replace("none", "kernel"))).unwrap_err();
        assert!(error.starts_with("r.toml:4:8: ") && error.contains("--host tun"), "{error}");
    }
}
