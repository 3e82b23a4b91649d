//! A network namespace of our own: made, entered by threads and processes, and removed with all that runs in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

use super::guardian;

/// Where `ip netns` looks for names.
pub(super) const NAMES: &str = "/run/netns";

/// A network namespace with a name that `ip netns exec` understands. Dropping it ends every process in it and
/// removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes the namespace `name`, in which only a loopback device exists, up.
    ///
    /// # Errors
    /// The name is taken, or this process lacks CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub fn create(name: &str) -> Result<Self> {
        guardian::adopt(name, || run_ip(&["netns", "add", name]))?;
        let file = File::open(path_of(name)).with_context(|| format!("namespace {name}"))?;
        let namespace = Self { name: name.to_owned(), file };
        namespace.batch(&["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// The name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace as a file, for the kernel to know it by.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on a thread inside the namespace. Sockets and processes it makes stay there.
    ///
    /// # Panics
    /// When `work` does, or when the namespace cannot be entered, which a process that made it always can.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).expect("a namespace of our own can be entered");
                work()
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs lines of `ip` (without the word `ip`, but with `-6` in front where that is needed) in order.
    ///
    /// # Errors
    /// `ip` refused a line; the error has the line and what `ip` said.
    pub fn batch(&self, lines: &[String]) -> Result<()> {
        lines
            .chunk_by(|one, next| is_ipv6(one) == is_ipv6(next))
            .try_for_each(|lines| self.batch_of_family(lines))
    }

    /// Runs lines that all begin with `-6`, or none of them.
    fn batch_of_family(&self, lines: &[String]) -> Result<()> {
        let text: String = lines.iter().map(|line| format!("{}\n", line.trim_start_matches("-6 "))).collect();
        let words: &[&str] = if is_ipv6(&lines[0]) { &["-6", "-batch", "-"] } else { &["-batch", "-"] };
        let output = self.inside(|| feed("ip", words, &text))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let number =
                said.rsplit_once("failed -:").and_then(|(_, number)| number.trim().parse::<usize>().ok());
            let line = number.and_then(|number| lines.get(number - 1)).map_or("", String::as_str);
            bail!("{}: `ip {line}`: {}", self.name, said.trim());
        }
        Ok(())
    }

    /// Runs one line of `ip`, split at blanks.
    ///
    /// # Errors
    /// As [`Self::batch`].
    pub fn ip(&self, line: &str) -> Result<()> {
        self.batch(&[line.to_owned()])
    }

    /// Gives `text` to `nft -f -` in the namespace.
    ///
    /// # Errors
    /// What `nft` said.
    pub fn nft(&self, text: &str) -> Result<()> {
        let output = self.inside(|| feed("nft", &["-f", "-"], text))?;
        ensure!(
            output.status.success(),
            "{}: nft: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Runs a program in the namespace to its end; returns what it printed.
    ///
    /// # Errors
    /// It cannot be started or fails; what it said.
    pub fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let output = self.inside(|| feed(program, words, ""))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {program} {}: {}", self.name, words.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sets a sysctl, named with slashes below `/proc/sys/net`, such as `ipv4/ip_forward`.
    ///
    /// # Errors
    /// The kernel has no such setting or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.inside(|| fs::write(sysctl_path(key), value))
            .with_context(|| format!("{}: sysctl {key}={value}", self.name))
    }

    /// Reads a sysctl, named as for [`Self::sysctl`].
    ///
    /// # Errors
    /// The kernel has no such setting.
    pub fn read_sysctl(&self, key: &str) -> Result<String> {
        let value = self.inside(|| fs::read_to_string(sysctl_path(key)));
        Ok(value.with_context(|| format!("{}: sysctl {key}", self.name))?.trim().to_owned())
    }

    /// Ends what runs inside, waits for it, and removes the namespace.
    pub(super) fn destroy(name: &str) {
        end_processes_inside(name);
        // The name may be gone already when a person removed it; the kernel frees the rest.
        let _ = run_ip(&["netns", "delete", name]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Self::destroy(&self.name);
        guardian::release(&self.name);
    }
}

/// Whether a line of `ip` says that it is about IPv6.
fn is_ipv6(line: &str) -> bool {
    line.starts_with("-6 ")
}

fn sysctl_path(key: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(key)
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NAMES).join(name)
}

/// Kills, by pid, whatever lives in the namespace `name`, and waits until it is gone.
fn end_processes_inside(name: &str) {
    let gone = |pids: &[i32]| pids.iter().all(|pid| !is_alive(*pid));
    for _ in 0..3 {
        let pids = processes_inside(name);
        if pids.is_empty() {
            return;
        }
        for pid in &pids {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = super::wait_until("killed processes to end", super::SECONDS_5, || gone(&pids).then_some(()));
    }
}

fn is_alive(pid: i32) -> bool {
    // A zombie waits for its parent and holds no namespace any more.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// The pids of processes in the namespace `name`, but for this process, whose threads may be inside.
fn processes_inside(name: &str) -> Vec<i32> {
    use std::os::linux::fs::MetadataExt;
    let Ok(wanted) = fs::metadata(path_of(name)) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id() as i32;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|found| found.st_ino() == wanted.st_ino() && found.st_dev() == wanted.st_dev())
        })
        .collect()
}

/// Runs `ip` where this process is.
fn run_ip(words: &[&str]) -> Result<()> {
    let output =
        Command::new("ip").args(words).stdin(Stdio::null()).output().context("ip (package iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Runs a program with `input` on its standard input. The input must fit a pipe or be read before much is written.
fn feed(program: &str, words: &[&str], input: &str) -> Result<std::process::Output> {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started; is it installed?"))?;
    let mut pipe = child.stdin.take().expect("standard input was asked for");
    match pipe.write_all(input.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => drop(pipe),
    }
    Ok(child.wait_with_output()?)
}
