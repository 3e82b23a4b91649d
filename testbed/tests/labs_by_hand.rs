//! The labs to follow by hand do what they say: each command of their pages is run, and prints what the page shows.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use testbed::lab;
use testbed::programs;
use testbed::scenario::vpn::OpenVpn;
use testbed::scenario::vrrp::Keepalived;

/// A lab as its page tells it.
#[derive(Debug, Default)]
struct ByHand {
    /// Names and texts of the files that the reader writes.
    files: Vec<(String, String)>,
    /// Commands and what they print.
    steps: Vec<(String, Vec<String>)>,
}

impl ByHand {
    /// Reads a page: a file is a block below its name, a command a line that begins with `$ `.
    fn read(page: &str) -> Self {
        let mut lab = Self::default();
        let mut named = None;
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if line == "```console" {
                lab.console(lines.by_ref().take_while(|line| *line != "```"));
            } else if line.starts_with("```") {
                let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                if let Some(name) = named.take() {
                    lab.files.push((name, text.join("\n") + "\n"));
                }
            } else if !line.is_empty() {
                named = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")).map(str::to_owned);
            }
        }
        lab
    }

    fn console<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            match line.strip_prefix("$ ") {
                Some(command) => self.steps.push((command.to_owned(), Vec::new())),
                None => self.steps.last_mut().expect("a command comes first").1.push(line.to_owned()),
            }
        }
    }

    /// All commands in one shell, each announced by a line.
    fn script(&self) -> String {
        let mut script = "exec 2>&1\n".to_owned();
        for (number, (command, _)) in self.steps.iter().enumerate() {
            writeln!(script, "printf '\\n{MARK}%d\\n' {number}\n{command}").unwrap();
        }
        script
    }
}

/// What announces a command in the output.
const MARK: &str = "@@ step ";

/// Runs a script where it disturbs nobody: what it starts and makes goes when it ends. In a minute and a half it has
/// to be through.
fn run(folder: &Path, script: &str) -> String {
    let path = folder.join("script");
    std::fs::write(&path, script).unwrap();
    let routerd = programs::program("routerd").unwrap();
    let programs = routerd.parent().unwrap().display().to_string();
    let output = Command::new("timeout")
        .args([
            "--signal=KILL",
            "90",
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-c",
        ])
        .arg("mount -t tmpfs tmpfs /run && ip link set lo up && bash script")
        .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
        .env("LC_ALL", "C")
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A line without what differs from run to run: numbers, Ethernet addresses, how columns are filled.
fn plain(line: &str) -> String {
    let mut plain: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let (name, value) = word.split_once('=').map_or(("", word), |(name, value)| (name, value));
        let is_link_address = value.split(':').count() >= 6 && value.split(':').all(|byte| byte.len() == 2);
        let digits = |text: &str| {
            let mut number = false;
            text.chars()
                .filter_map(|character| {
                    let again = number && (character.is_ascii_digit() || character == '.');
                    number = character.is_ascii_digit() || again;
                    if again { None } else { Some(if number { '0' } else { character }) }
                })
                .collect::<String>()
        };
        // Whether routing has changed since, and how often, is a matter of moments.
        let word = if word == "stale" { "valid" } else { word };
        if word == "(generation)" {
            continue;
        }
        plain.push(if is_link_address { format!("{name}=link") } else { digits(word) });
    }
    plain.join(" ")
}

#[track_caller]
fn does_what_it_says(page: &str) {
    if !lab::labs_can_run() {
        return;
    }
    let lab = ByHand::read(page);
    assert!(lab.steps.len() > 20 && !lab.files.is_empty(), "this is no lab: {lab:?}");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &lab.files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = run(folder.path(), &lab.script());
    let mut said: Vec<Vec<String>> = Vec::new();
    for line in output.lines() {
        if line.starts_with(MARK) {
            said.push(Vec::new());
        } else if let Some(step) = said.last_mut()
            && !line.trim().is_empty()
        {
            step.push(plain(line));
        }
    }
    assert_eq!(said.len(), lab.steps.len(), "not every command was run:\n{output}");
    for ((command, shown), said) in lab.steps.iter().zip(said) {
        let shown: Vec<String> =
            shown.iter().map(|line| plain(line)).filter(|line| !line.is_empty()).collect();
        assert_eq!(
            said, shown,
            "`{command}` prints something else than the page shows; all of it:\n{output}"
        );
    }
}

#[test]
fn the_firewall_lab_does_what_it_says() {
    does_what_it_says(include_str!("../../docs/lab-firewall.md"));
}

#[test]
fn the_home_router_lab_does_what_it_says() {
    does_what_it_says(include_str!("../../docs/lab-nat.md"));
}

#[test]
fn the_failover_lab_does_what_it_says() {
    if Keepalived::can_run() {
        does_what_it_says(include_str!("../../docs/lab-failover.md"));
    }
}

#[test]
fn the_cable_lab_does_what_it_says() {
    if Keepalived::can_run() && OpenVpn::can_run() {
        does_what_it_says(include_str!("../../docs/lab-cable.md"));
    }
}

#[test]
fn a_page_is_read_as_files_and_commands() {
    let lab = ByHand::read(
        "text\n\n`a.txt`:\n\n```nft\none\n\ntwo\n```\n\n```console\n$ ls\na.txt\n\n$ true\n```\n",
    );
    assert_eq!(lab.files, [("a.txt".to_owned(), "one\n\ntwo\n".to_owned())]);
    assert_eq!(lab.steps[0], ("ls".to_owned(), vec!["a.txt".to_owned(), String::new()]));
    assert_eq!(lab.steps[1].0, "true");
    assert_eq!(plain("r0  up MAC=aa:bb:cc:dd:ee:01:08:00 0.31 ms 10.0.1.2"), "r0 up MAC=link 0 ms 0");
}
