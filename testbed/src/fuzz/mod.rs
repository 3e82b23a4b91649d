//! Everything that reads bytes from outside, fed with bytes that nobody meant: nothing may panic, hang or leak.
//!
//! A [`Target`] is a function of bytes that panics when something is wrong. Two drivers call it: [`session`] changes
//! seeds at random for a given time, needs nothing but this crate and runs with the tests; libFuzzer (`testbed/fuzz`)
//! is led by coverage, and is for longer runs by hand. What either finds becomes a test beside the code that was wrong.

pub mod command;
mod input;
mod mutate;
mod seeds;
pub mod session;
mod targets;

/// Something that reads bytes from outside.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is fed.
    pub about: &'static str,
    /// Feeds it. Panics when it did what it must not.
    pub run: fn(&[u8]),
    /// Inputs that make sense, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub static TARGETS: [Target; 13] = [
    Target {
        name: "packet",
        about: "packets: headers, options, hop-by-hop options, ICMP errors about them, fragments of them",
        run: targets::packet::run,
        seeds: targets::packet::seeds,
    },
    Target {
        name: "offload",
        about: "vnet headers, and the checksums and segments they ask for",
        run: targets::offload::run,
        seeds: targets::offload::seeds,
    },
    Target {
        name: "tracking",
        about: "connection tracking and the gathering of fragments",
        run: targets::tracking::run,
        seeds: targets::tracking::seeds,
    },
    Target {
        name: "helper",
        about: "control connections that helpers read",
        run: targets::helper::run,
        seeds: targets::helper::seeds,
    },
    Target {
        name: "netlink",
        about: "rtnetlink messages, and the routing tables that follow them",
        run: targets::netlink::run,
        seeds: targets::netlink::seeds,
    },
    Target {
        name: "neighborhood",
        about: "ARP and neighbor discovery, while ports and addresses come and go and time passes",
        run: targets::neighborhood::run,
        seeds: targets::neighborhood::seeds,
    },
    Target {
        name: "capture",
        about: "capture files to be replayed",
        run: targets::capture::run,
        seeds: targets::capture::seeds,
    },
    Target {
        name: "control",
        about: "messages of the control socket, in both directions, and how routerctl prints them",
        run: targets::control::run,
        seeds: targets::control::seeds,
    },
    Target {
        name: "config",
        about: "routerd's configuration file and command line",
        run: targets::config::run,
        seeds: targets::config::seeds,
    },
    Target {
        name: "rules",
        about: "rules in nft's language",
        run: targets::rules::run,
        seeds: targets::rules::seeds,
    },
    Target {
        name: "command",
        about: "routerctl's command line",
        run: targets::command::run,
        seeds: targets::command::seeds,
    },
    Target {
        name: "queue",
        about: "messages of programs that judge packets, while packets come, time passes and programs come and go",
        run: targets::queue::run,
        seeds: targets::queue::seeds,
    },
    Target {
        name: "engine",
        about: "frames with any offload metadata on the ports of a whole router, while routes and neighbors change",
        run: targets::engine::run,
        seeds: targets::engine::seeds,
    },
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Feeds the target of this name, for libFuzzer.
///
/// # Panics
/// If there is no such target, or if it did what it must not.
pub fn feed(name: &str, input: &[u8]) {
    let target = find(name).expect("a target of libFuzzer's is one of ours");
    (target.run)(input);
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    #[test]
    fn no_target_minds_its_seeds() {
        for target in &TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            seeds.iter().for_each(|seed| (target.run)(seed));
            (target.run)(&[]);
        }
    }

    #[test]
    fn libfuzzer_has_every_target() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        for target in &TARGETS {
            let path = format!("path = \"fuzz_targets/{}.rs\"", target.name);
            assert!(manifest.contains(&path), "testbed/fuzz has no target {}", target.name);
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
