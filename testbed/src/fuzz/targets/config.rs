//! What routerd is told: a file and a command line become a configuration, or an error that names a place.

use std::path::Path;

use clap::Parser;
use router::config::{Arguments, ConfigError, ValidConfig};

use crate::fuzz::seeds;

/// A command line, its words between blanks, and behind the first line end the file.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (line, file) = text.split_once('\n').unwrap_or((&text, ""));
    let words = ["routerd"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{line} is refused without a word");
            Arguments::default()
        }
    };
    match ValidConfig::parse(file, Path::new("routerd.toml"), &arguments) {
        Ok(config) => {
            assert!(config.port_names().next().is_some(), "a router has ports");
            assert_eq!(config.needs_restart(&config), None);
        }
        Err(error) => check(&error, file),
    }
}

/// An error is one line that names a place in the file.
fn check(error: &ConfigError, file: &str) {
    let said = error.to_string();
    assert!(!said.contains('\n'), "more than a line: {said}");
    if let ConfigError::File { line, column, .. } = error {
        assert!(*line >= 1 && *line <= file.split('\n').count(), "{said}");
        let width = file.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
        assert!(*column >= 1 && *column <= width + 1, "{said}");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let file = seeds::configuration();
    let lines =
        ["", "--ports eth0,tun:vpn0 --workers 2 --control @r --flow-cache off --log router=debug --check"];
    let mut seeds: Vec<_> = lines.iter().map(|line| format!("{line}\n{file}").into_bytes()).collect();
    let sections = file.split("\n\n").map(|section| format!("--ports eth0\n{section}\n").into_bytes());
    seeds.extend(sections);
    seeds
}
