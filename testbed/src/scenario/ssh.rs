//! A real sshd at a station, and sessions to it.

use std::fs;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::lab::{Finished, Lab, Process, SECONDS_5};
use crate::programs;

use super::server::content;

/// sshd at a station. Dropping it ends it.
#[derive(Debug)]
pub struct Ssh {
    _sshd: Process,
    folder: TempDir,
    length: usize,
}

impl Ssh {
    /// Whether ssh can run in the labs of this process. A test that needs it returns at once when not.
    ///
    /// # Panics
    /// When it cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&["sshd", "ssh", "ssh-keygen"], Some("sshd"))
    }

    /// Starts sshd at `station` with keys of its own, and has `length` bytes to be fetched from it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(lab: &Lab, station: &str, length: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-ssh-").tempdir()?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let make_key = format!("ssh-keygen -q -t ed25519 -N  -f {}", file("key"));
        Process::start(lab.at(station), &make_key.split(' ').collect::<Vec<_>>())?.finish(SECONDS_5)?.ok()?;
        fs::copy(file("key.pub"), file("authorized"))?;
        fs::write(file("data"), content(length))?;
        fs::create_dir_all("/run/sshd")?;
        let configuration = format!(
            "Port 22\nHostKey {0}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {1}\nPasswordAuthentication no\n",
            file("key"),
            file("authorized")
        );
        fs::write(file("sshd_config"), configuration)?;
        let mut sshd = lab.start(station, &format!("/usr/sbin/sshd -D -e -f {}", file("sshd_config")))?;
        sshd.wait_line("Server listening", SECONDS_5)?;
        Ok(Self { _sshd: sshd, folder, length })
    }

    /// Begins a session from `from` to the server at `to` in which all its bytes are fetched.
    ///
    /// # Errors
    /// `ssh` cannot be started.
    pub fn fetch(&self, lab: &Lab, from: &str, to: &str) -> Result<Process> {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=3"]);
        command.args(["-i", &self.file("key"), &format!("root@{to}"), "cat", &self.file("data")]);
        command.args([">", &self.file("copy"), "&&", "echo", "copied"]);
        Process::start_command(lab.at(from), command)
    }

    /// Whether a session that [`Self::fetch`] began has fetched all, every byte right.
    ///
    /// # Errors
    /// What it fetched cannot be read, though it says that it has.
    pub fn has_fetched(&self, session: &Finished) -> Result<bool> {
        if !session.output.contains("copied") {
            return Ok(false);
        }
        let copy = fs::read(self.file("copy"))?;
        fs::remove_file(self.file("copy"))?;
        Ok(copy == content(self.length))
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
