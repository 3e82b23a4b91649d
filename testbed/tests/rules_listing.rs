//! Rules as routerd lists them are what `nft list ruleset` prints of the same file, byte by byte.

use std::process::Command;

use conntrack::Instant;
use router::rules::check::{Environment, Helper};
use router::rules::json;
use router::rules::list::{Options, list};
use router::rules::model::Ruleset;
use router::rules::syntax::nothing;
use router::rules::{LoadError, load};
use serde_json::Value as Json;
use testbed::rulesets::{RuleFile, corpus, corpus_of_owned};

/// Loads a file into the kernel, in a network namespace that lasts as long, and prints with `arguments`.
fn nft(file: &RuleFile, arguments: &str) -> Result<String, String> {
    let path = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(path.path(), file.text).map_err(|error| error.to_string())?;
    let script = format!(
        "ip link set lo up; ip link add r0 type veth peer name r1; ip link add r2 type veth peer name r3; \
         nft -f {} && nft {arguments}",
        path.path().display()
    );
    let output = Command::new("unshare")
        .args(["-n", "sh", "-c", &script])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn environment() -> Environment {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let interfaces =
        ["lo", "r0", "r1", "r2"].iter().zip(1..).map(|(name, index)| (index, (*name).to_owned()));
    let ftp = Helper { name: "ftp".to_owned(), protocol: 6 };
    Environment {
        interfaces: interfaces.collect(),
        helpers: vec![ftp],
        realms: vec![(0, "cosmos".to_owned())],
        kernel_is_host: true,
        ..Environment::of_texts(&read("/etc/services"), &read("/etc/protocols"))
    }
}

fn ours(text: &str, environment: &Environment) -> Result<Ruleset, LoadError> {
    let loaded = load(&Ruleset::default(), "rules.nft", text, &mut nothing, environment)?;
    Ok(loaded.commit(Instant::ZERO))
}

/// A listing without how long elements still live, which passes while it is made.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(' ') {
        if words.last() == Some(&"expires") {
            words.pop();
            words.push(if word.contains(',') { "expires," } else { "expires" });
            words.extend(word.split_once('\n').map(|(_, rest)| rest));
            continue;
        }
        words.push(word);
    }
    words.join(" ")
}

/// Lines that nft itself lists wrongly (it could not load them again) are taken from the other listing.
fn without_nfts_mistakes(theirs: &str, ours: &str) -> String {
    let is_lost = |line: &str, ours: &str| {
        // It forgets matches of labels in sets altogether, and knows no type for ids of a tuple.
        line.contains("[invalid type]")
            || ours.replace("ct label { 3, 5 } ", "") == line && ours.contains("ct label {")
    };
    let ours = ours.lines().chain(std::iter::repeat(""));
    let lines = theirs.lines().zip(ours).map(|(line, ours)| if is_lost(line, ours) { ours } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn nft_is_here() -> bool {
    let is_here = Command::new("unshare").args(["-n", "nft", "list", "ruleset"]).output();
    let is_here = is_here.is_ok_and(|output| output.status.success());
    if !is_here {
        eprintln!("SKIPPED: this test needs root and nft");
    }
    is_here
}

/// What differs between two texts, line by line.
fn difference(ours: &str, theirs: &str) -> String {
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    let at = ours
        .iter()
        .zip(&theirs)
        .position(|(one, other)| one != other)
        .unwrap_or(ours.len().min(theirs.len()));
    let line = |lines: &[&str]| lines.get(at).map_or("(nothing)".to_owned(), |line| (*line).to_owned());
    format!("line {}\n  ours: {}\n  nft's: {}", at + 1, line(&ours), line(&theirs))
}

/// Where the listing of a file differs from nft's.
fn listed_otherwise(file: &RuleFile, environment: &Environment) -> Option<String> {
    let theirs = match nft(file, "-a list ruleset") {
        Ok(theirs) => timeless(&theirs),
        Err(error) => return Some(format!("the kernel refuses it: {error}")),
    };
    match ours(file.text, environment) {
        Ok(ruleset) => {
            let options = Options { handles: true, ..Options::new(environment) };
            let listed = timeless(&list(&ruleset, &options));
            let theirs = without_nfts_mistakes(&theirs, &listed);
            (listed != theirs).then(|| difference(&listed, &theirs))
        }
        Err(error) => Some(format!("refused: {error}")),
    }
}

fn all_listed_right<'a>(files: impl IntoIterator<Item = &'a RuleFile>, environment: &Environment) {
    let wrong: String = files
        .into_iter()
        .filter_map(|file| Some(format!("\n{}: {}", file.name, listed_otherwise(file, environment)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_listing_is_what_nft_prints_of_the_same_file() {
    if !nft_is_here() {
        return;
    }
    let files = corpus().unwrap();
    let listed_right: Vec<&RuleFile> = files.iter().filter(|file| file.is_listed_right()).collect();
    assert!(listed_right.len() >= 100);
    all_listed_right(listed_right, &environment());
}

#[test]
fn rules_for_frames_and_for_the_host_itself_are_listed_as_nft_lists_them() {
    if !nft_is_here() {
        return;
    }
    let environment = Environment { kernel_is_host: false, ..environment() };
    all_listed_right(&corpus_of_owned().unwrap(), &environment);
}

#[test]
fn in_json_they_are_listed_alike_too() {
    if !nft_is_here() {
        return;
    }
    let environment = Environment { kernel_is_host: false, ..environment() };
    for file in corpus_of_owned().unwrap() {
        let theirs: Json = serde_json::from_str(&nft(&file, "-j list ruleset").unwrap()).unwrap();
        let ruleset = ours(file.text, &environment).unwrap();
        let ours = json::list(&ruleset, &Options::new(&environment));
        let theirs = theirs["nftables"].as_array().unwrap();
        // The first row tells of the program.
        assert_eq!(ours.len(), theirs.len(), "{}", file.name);
        for (one, other) in ours.iter().zip(theirs).skip(1) {
            assert_eq!(one, other, "{}", file.name);
        }
    }
}

#[test]
fn what_is_listed_loads_again_and_is_listed_alike() {
    let kernel_is_host = environment();
    let owned = Environment { kernel_is_host: false, ..environment() };
    let (usual, of_owned) = (corpus().unwrap(), corpus_of_owned().unwrap());
    let files = usual.iter().map(|file| (file, &kernel_is_host));
    for (file, environment) in files.chain(of_owned.iter().map(|file| (file, &owned))) {
        let first = ours(file.text, environment).unwrap_or_else(|error| panic!("{}: {error}", file.name));
        let text = list(&first, &Options::new(environment));
        let again = ours(&text, environment).unwrap_or_else(|error| panic!("{} listed: {error}", file.name));
        assert_eq!(list(&again, &Options::new(environment)), text, "{}", file.name);
    }
}
