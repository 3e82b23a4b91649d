//! Rules on the control thread: files are read, checked and put in force whole, and told as text and JSON.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use conntrack::Instant;
use ctl::message::{
    Event, EventKind, Failure, FailureKind, LogRow, Row, RulesCount, RulesFile, RulesFilter, RulesLoaded,
    Subject, Topic,
};
use fib::adjacency::Ports;

use super::Core;
use crate::chain::{HOOKS_MAX, Point};
use crate::clock;
use crate::control::{Events, Pages};
use crate::engine::{Host, Shared};
use crate::rules::check::{self, Environment, Helper, Summary};
use crate::rules::install::RuleHooks;
use crate::rules::journal::{Entry, Reason};
use crate::rules::model::{ChainKind, Ruleset, Table, TableFamily};
use crate::rules::run::World;
use crate::rules::{self, json, list};

/// Bytes of a listing that are told in one row.
const TEXT_BYTES: usize = 64 * 1024;
/// Seats at a point that are kept for what is not rules.
const SEATS_KEPT: usize = 32;
/// Elements of live sets that are looked at for having ended, each time.
const EXPIRY_BUDGET: usize = 4096;
/// Logged packets that are told each time at most.
const LOGGED_MAX: usize = 1024;

/// The rules in force.
pub struct Rules {
    hooks: RuleHooks,
    ruleset: RefCell<Ruleset>,
    tracked: bool,
}

impl Rules {
    /// No rules yet. Without `tracked` connections there is no translation.
    #[must_use]
    pub fn new(shared: &Shared, seed: u64, tracked: bool) -> Self {
        let world =
            World::new(shared.flows.clone(), shared.ports.clone(), seed).with_bridges(&shared.bridges);
        Self { hooks: RuleHooks::new(Arc::new(world)), ruleset: RefCell::default(), tracked }
    }

    /// How many there are.
    pub(super) fn count(&self) -> RulesCount {
        let ruleset = self.ruleset.borrow();
        let sum = |of: fn(&Table) -> usize| ruleset.tables.iter().map(|table| of(table) as u64).sum();
        RulesCount {
            tables: ruleset.tables.len() as u64,
            chains: sum(|table| table.chains.len()),
            rules: sum(|table| table.chains.iter().map(|chain| chain.rules.len()).sum()),
            sets: sum(|table| table.sets.iter().filter(|set| !set.anonymous).count()),
        }
    }

    /// What rules look at besides packets.
    #[must_use]
    pub const fn world(&self) -> &Arc<World> {
        self.hooks.world()
    }
}

/// How a file of rules is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// As `nft -f`: its commands change the rules there are.
    Commands,
    /// In place of all rules there are.
    Whole,
}

impl Core {
    /// Carries out a file of rules: all of it is in force when this returns, or nothing has changed.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn take_rules(&self, file: &RulesFile, take: Take) -> Result<RulesLoaded, Failure> {
        let environment = self.environment();
        let loaded = self.judge(file, take, &environment)?;
        let translates = translates(&loaded.ruleset);
        if translates {
            // Flows that are translated outlive their rules, so it stays on.
            self.set_handover(true).map_err(|error| failed(&error))?;
        }
        let told = told(&loaded.summary, true);
        self.shared.hooks.fold();
        let ruleset = loaded.commit(self.now());
        self.rules.world().set_wall_time(self.now(), clock::since_1970_ns());
        self.rules.hooks.install(&self.shared.hooks, &ruleset).map_err(|error| failed(&error))?;
        self.rules.ruleset.replace(ruleset);
        Ok(told)
    }

    /// Says what a file of rules would do.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(super) fn check_rules_file(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        let loaded = self.judge(file, Take::Commands, &self.environment())?;
        Ok(told(&loaded.summary, false))
    }

    /// Reads a file of rules anew, in place of all rules there are.
    ///
    /// # Errors
    /// It cannot be read, or what is wrong with it and where.
    pub fn take_rules_at(&self, path: &Path) -> anyhow::Result<RulesLoaded> {
        let text =
            fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        let directory = std::env::current_dir()?.display().to_string();
        let file = RulesFile { name: path.display().to_string(), directory, text };
        Ok(self.take_rules(&file, Take::Whole)?)
    }

    fn judge(
        &self,
        file: &RulesFile,
        take: Take,
        environment: &Environment,
    ) -> Result<check::Loaded, Failure> {
        let current = self.rules.ruleset.borrow();
        let nothing = Ruleset { next_handle: current.next_handle, ..Ruleset::default() };
        let current = if take == Take::Whole { &nothing } else { &*current };
        let loaded = judge(current, file, environment)?;
        fits(&loaded.ruleset)?;
        if !self.rules.tracked && translates(&loaded.ruleset) {
            let message = "nothing is translated without connection tracking: set `enabled = true` under [conntrack], \
                           or leave chains of type nat out";
            return Err(Failure::new(FailureKind::Failed, message));
        }
        Ok(loaded)
    }

    /// The rules, in pages.
    pub(super) fn rule_rows(&self, filter: &RulesFilter) -> Result<Pages<'_, Row>, Failure> {
        self.shared.hooks.fold();
        let ruleset = self.rules.ruleset.borrow();
        let table = filter.table.as_deref().map(|name| table_named(&ruleset, filter, name)).transpose()?;
        let environment = self.environment();
        let (handles, stateless) = (filter.handles, filter.stateless);
        let options = list::Options { handles, stateless, table, environment: &environment, now: self.now() };
        if filter.json {
            let objects = json::list(&ruleset, &options);
            return Ok(Pages::of(objects).filter_map(|object| Some(Row::RulesObject(Box::new(object)))));
        }
        let text = list::list(&ruleset, &options);
        Ok(Pages::of(pieces(&text, TEXT_BYTES)).filter_map(|piece| Some(Row::RulesText(piece))))
    }

    /// What time brings for rules: elements end, and what was logged is told.
    pub(super) fn tend_rules(&self, now: Instant, events: &Events) {
        self.rules.world().set_wall_time(now, clock::since_1970_ns());
        for set in self.rules.ruleset.borrow().tables.iter().flat_map(|table| &table.sets) {
            if let Some(live) = &set.live {
                live.expire(now, EXPIRY_BUDGET);
            }
        }
        for entry in self.rules.world().journal.take(LOGGED_MAX) {
            self.tell_logged(&entry, events);
        }
    }

    fn tell_logged(&self, entry: &Entry, events: &Events) {
        let row = logged(entry, &self.shared.ports);
        tracing::info!(target: "rules", level = %row.level, "{}{}", row.prefix, row.packet);
        if events.wanted(Topic::Log) {
            events.tell(Event { event: EventKind::New, subject: Subject::Log(Box::new(row)) });
        }
    }

    /// What names in rules stand for here and now.
    fn environment(&self) -> Environment {
        let writer = self.writer.borrow();
        let links = writer.links().map(|row| (row.link.index.0, row.link.name.clone()));
        Environment { now: self.now(), ..environment(self.shared.host, links.collect()) }
    }
}

/// Checks a file against rules.
///
/// # Errors
/// What is wrong with it, and where.
pub fn judge(
    current: &Ruleset,
    file: &RulesFile,
    environment: &Environment,
) -> Result<check::Loaded, Failure> {
    let mut read = |path: &str| read_included(path, &file.directory);
    rules::load(current, &file.name, &file.text, &mut read, environment).map_err(|error| failed(&error))
}

/// Reads what is included: absolute paths and those beginning with `./` or `../` as they are, seen from `directory`; all
/// others in `/etc`, as nft does, and then in `directory`.
fn read_included(pattern: &str, directory: &str) -> io::Result<Vec<(String, String)>> {
    let here = Path::new(directory);
    let stays = pattern.starts_with('/') || pattern.starts_with("./") || pattern.starts_with("../");
    let places: &[PathBuf] =
        if stays { &[here.join(pattern)] } else { &[Path::new("/etc").join(pattern), here.join(pattern)] };
    let is_pattern = pattern.contains(['*', '?', '[']);
    let mut absent = io::Error::from(io::ErrorKind::NotFound);
    for place in places {
        let files = files_of(place, is_pattern)?;
        if files.is_empty() {
            continue;
        }
        match files.iter().map(|path| Ok((path.display().to_string(), fs::read_to_string(path)?))).collect() {
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => absent = error,
            read => return read,
        }
    }
    if is_pattern { Ok(Vec::new()) } else { Err(absent) }
}

/// The files that a path or pattern names, in order of their names.
fn files_of(place: &Path, is_pattern: bool) -> io::Result<Vec<PathBuf>> {
    if !is_pattern {
        return Ok(vec![place.to_owned()]);
    }
    let pattern = place.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
    let paths = glob::glob(pattern).map_err(io::Error::other)?;
    let mut files: Vec<PathBuf> = paths.filter_map(Result::ok).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// What names stand for on this machine, with this host and these interfaces.
fn environment(host: Host, interfaces: Vec<(u32, String)>) -> Environment {
    let text = |path: &str, without: &str| fs::read_to_string(path).unwrap_or_else(|_| without.to_owned());
    let services = text("/etc/services", SERVICES);
    let protocols = text("/etc/protocols", PROTOCOLS);
    Environment {
        interfaces,
        helpers: vec![Helper { name: "ftp".to_owned(), protocol: conntrack::protocol::TCP }],
        kernel_is_host: !host.is_owned(),
        utc_offset_s: clock::utc_offset_s(),
        ..Environment::of_texts(&services, &protocols)
    }
}

/// What rules name most, for machines without `/etc/services`.
const SERVICES: &str = "ftp-data 20/tcp\nftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\ndomain 53/udp\n\
    bootps 67/udp\nbootpc 68/udp\ntftp 69/udp\nhttp 80/tcp www\nkerberos 88/tcp\npop3 110/tcp\nsunrpc 111/tcp\n\
    ntp 123/udp\nimap2 143/tcp imap\nsnmp 161/udp\nbgp 179/tcp\nldap 389/tcp\nhttps 443/tcp\nisakmp 500/udp\n\
    syslog 514/udp\nsubmission 587/tcp\nldaps 636/tcp\nimaps 993/tcp\npop3s 995/tcp\nopenvpn 1194/udp\n\
    nfs 2049/tcp\nmysql 3306/tcp\nsip 5060/udp\nmdns 5353/udp\npostgresql 5432/tcp\nhttp-alt 8080/tcp\n";

/// The same for `/etc/protocols`.
const PROTOCOLS: &str = "ip 0\nicmp 1\nigmp 2\ntcp 6\nudp 17\ndccp 33\nipv6 41\nipv6-route 43\nipv6-frag 44\n\
    gre 47\nesp 50\nah 51\nipv6-icmp 58\nipv6-nonxt 59\nipv6-opts 60\nospf 89\npim 103\nvrrp 112\nl2tp 115\n\
    sctp 132\nudplite 136\n";

/// Whether a chain of these rules may translate addresses.
fn translates(ruleset: &Ruleset) -> bool {
    let chains = ruleset.tables.iter().filter(|table| !table.dormant).flat_map(|table| &table.chains);
    chains.filter_map(|chain| chain.base).any(|base| base.kind == ChainKind::Nat)
}

/// Whether there is a seat for every base chain.
fn fits(ruleset: &Ruleset) -> Result<(), Failure> {
    for point in Point::ALL {
        let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
        let count = chains.filter_map(|chain| chain.base).filter(|base| base.point == point).count();
        let most = HOOKS_MAX - SEATS_KEPT;
        if count > most {
            let message =
                format!("{count} base chains at {}: at most {most} find a place there", point.name());
            return Err(Failure::new(FailureKind::Failed, message));
        }
    }
    Ok(())
}

fn told(summary: &Summary, loaded: bool) -> RulesLoaded {
    let wide = |count: usize| count as u64;
    RulesLoaded {
        loaded,
        tables: wide(summary.tables.total),
        chains: wide(summary.chains.total),
        rules: wide(summary.rules.total),
        sets: wide(summary.sets.total),
        elements: wide(summary.elements),
        rules_added: wide(summary.rules.added),
        rules_removed: wide(summary.rules.removed),
        chains_added: wide(summary.chains.added),
        chains_removed: wide(summary.chains.removed),
        sets_added: wide(summary.sets.added),
        sets_removed: wide(summary.sets.removed),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Failed, error.to_string())
}

/// The family and name of a table that is asked for; without a family it is `ip`, as nft has it.
fn table_named<'a>(
    ruleset: &Ruleset,
    filter: &RulesFilter,
    name: &'a str,
) -> Result<(TableFamily, &'a str), Failure> {
    let word = filter.family.as_deref().unwrap_or(TableFamily::Ip.name());
    let family = TableFamily::by_name(word).filter(|family| ruleset.table(*family, name).is_some());
    let message = || format!("there is no table {word} {name}; `show rules` lists all there are");
    Ok((family.ok_or_else(|| Failure::new(FailureKind::NotFound, message()))?, name))
}

/// An entry of the journal as it is told.
fn logged(entry: &Entry, ports: &Ports) -> LogRow {
    let row = |prefix: String, group, level: &str, flags| LogRow {
        prefix,
        group,
        level: level.to_owned(),
        packet: entry.record.line(ports, flags),
    };
    match &entry.reason {
        Reason::Log { prefix, level, flags, group } => {
            row(prefix.to_string(), *group, list::level_word(*level), *flags)
        }
        Reason::Trace { rule } => {
            row(format!("trace: rule {rule}: "), None, list::level_word(TRACE_LEVEL), 0)
        }
    }
}

/// Traced packets are told at this level: debug.
const TRACE_LEVEL: u8 = 7;

/// A text cut at ends of lines into pieces of about so many bytes.
fn pieces(text: &str, bytes: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if pieces.last().is_some_and(|piece| piece.len() + line.len() > bytes) {
            pieces.push(String::new());
        }
        pieces.last_mut().expect("there is always one").push_str(line);
    }
    pieces
}

/// Checks a file of rules before a router with this host runs: `routerd --check`. Interfaces are those of this network
/// namespace.
///
/// # Errors
/// It cannot be read, or what is wrong with it and where.
pub fn check_file(path: &Path, host: Host) -> anyhow::Result<RulesLoaded> {
    let text = fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let directory = std::env::current_dir()?.display().to_string();
    let file = RulesFile { name: path.display().to_string(), directory, text };
    let loaded = judge(&Ruleset::default(), &file, &environment(host, interfaces_here()))?;
    fits(&loaded.ruleset)?;
    Ok(told(&loaded.summary, false))
}

/// Indices and names of the devices of this network namespace.
fn interfaces_here() -> Vec<(u32, String)> {
    let devices = fs::read_dir("/sys/class/net").into_iter().flatten().filter_map(Result::ok);
    devices
        .filter_map(|device| {
            let index = fs::read_to_string(device.path().join("ifindex")).ok()?;
            Some((index.trim().parse().ok()?, device.file_name().into_string().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_cut_at_ends_of_lines_and_nothing_is_lost() {
        let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        let cut = pieces(&text, 100);
        assert!(cut.len() > 50);
        assert!(cut.iter().all(|piece| piece.len() <= 100 && piece.ends_with('\n')));
        assert_eq!(cut.concat(), text);
    }

    #[test]
    fn files_are_included_from_where_the_user_stands() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().to_str().unwrap();
        fs::create_dir(directory.path().join("rules.d")).unwrap();
        for name in ["b.nft", "a.nft", "c.txt"] {
            fs::write(directory.path().join("rules.d").join(name), format!("# {name}\n")).unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let read = read_included(pattern, here).unwrap();
            read.into_iter().map(|(name, _)| name.rsplit('/').next().unwrap().to_owned()).collect()
        };
        assert_eq!(names("./rules.d/*.nft"), ["a.nft", "b.nft"]);
        assert_eq!(names("rules.d/a.nft"), ["a.nft"]);
        assert!(names("rules.d/*.none").is_empty(), "a pattern may match nothing");
        assert!(read_included("./missing.nft", here).is_err());
        assert!(read_included("./rules.d", here).is_err(), "a directory is no text");
    }

    #[test]
    fn a_file_is_checked_without_a_router() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.nft");
        fs::write(
            &path,
            "table inet t { chain c { type filter hook forward priority 0; tcp dport ssh accept; }; }",
        )
        .unwrap();
        let told = check_file(&path, Host::Kernel).unwrap();
        assert_eq!((told.loaded, told.tables, told.chains, told.rules), (false, 1, 1, 1));
        fs::write(&path, "table inet t { chain c {\n tcp dport shh accept; }; }").unwrap();
        let error = check_file(&path, Host::Kernel).unwrap_err().to_string();
        assert!(error.contains("rules.nft:2:12"), "{error}");
    }

    #[test]
    fn more_base_chains_than_there_are_seats_are_refused() {
        let chain = |number| format!("add chain ip t c{number} {{ type filter hook forward priority 0; }}\n");
        let text: String =
            std::iter::once("add table ip t\n".to_owned()).chain((0..300).map(chain)).collect();
        let file = RulesFile { name: "many.nft".into(), directory: "/".into(), text };
        let loaded = judge(&Ruleset::default(), &file, &environment(Host::Kernel, Vec::new())).unwrap();
        let error = fits(&loaded.ruleset).unwrap_err();
        assert!(error.message.contains("300 base chains at forward"), "{error}");
    }
}
