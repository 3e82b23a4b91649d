//! A program running inside a lab: its output is gathered, waiting for it is bounded, and it never outlives its handle.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Namespace, SECONDS_5, wait_until};

/// The most that is kept of a process's output, in bytes; the rest is read and thrown away.
const OUTPUT_MAX: usize = 4 << 20;

/// A running program. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    standard: Gathered,
    error: Gathered,
}

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// The command line.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
}

impl Finished {
    /// Its standard output, if it ended well.
    ///
    /// # Errors
    /// It did not; the error has the status and both outputs.
    pub fn ok(self) -> Result<String> {
        ensure!(
            self.status.success(),
            "`{}` ended with {}\n{}{}",
            self.name,
            self.status,
            self.output,
            self.error
        );
        Ok(self.output)
    }
}

impl Process {
    /// Starts `words` (program and arguments) inside `namespace`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start<W: AsRef<OsStr> + Sync>(namespace: &Namespace, words: &[W]) -> Result<Self> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        Self::start_command(namespace, command)
    }

    /// Starts `command` inside `namespace`; standard input is empty, the outputs are gathered.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_command(namespace: &Namespace, mut command: Command) -> Result<Self> {
        let name = describe(&command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = namespace
            .inside(|| command.spawn())
            .with_context(|| format!("`{name}` cannot be started in {}", namespace.name()))?;
        let standard = Gathered::from(child.stdout.take().expect("standard output was asked for"));
        let error = Gathered::from(child.stderr.take().expect("standard error was asked for"));
        Ok(Self { name, child, standard, error })
    }

    /// Waits for its end, at most `patience`; it is killed when that is over.
    ///
    /// # Errors
    /// It took longer.
    pub fn finish(mut self, patience: Duration) -> Result<Finished> {
        let status = wait_until(&format!("`{}` to end", self.name), patience, || self.status());
        let Ok(status) = status else {
            self.kill();
            bail!("`{}` did not end within {patience:?}\n{}", self.name, self.said());
        };
        self.standard.join();
        self.error.join();
        Ok(Finished { name: self.name.clone(), status, output: self.output(), error: self.error_output() })
    }

    /// Waits until a line of either output contains `text`.
    ///
    /// # Errors
    /// It ended or `patience` was over before.
    pub fn wait_line(&mut self, text: &str, patience: Duration) -> Result<String> {
        let what = format!("`{}` to print {text:?}", self.name);
        let found = wait_until(&what, patience, || {
            let ended = self.status();
            let said = self.said();
            let line = said.lines().find(|line| line.contains(text)).map(str::to_owned);
            line.map(Ok).or_else(|| ended.map(Err))
        });
        match found {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => {
                bail!("`{}` ended with {status} before it printed {text:?}\n{}", self.name, self.said())
            }
            Err(error) => bail!("{error}\n{}", self.said()),
        }
    }

    /// Waits for the first line on standard output.
    ///
    /// # Errors
    /// It ended or `patience` was over before; the error has what it said.
    pub fn wait_output(&mut self, patience: Duration) -> Result<String> {
        let what = format!("`{}` to print a line", self.name);
        let found = wait_until(&what, patience, || {
            let ended = self.status();
            let line = self.output().lines().next().map(str::to_owned);
            line.map(Ok).or_else(|| ended.map(Err))
        });
        match found {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => bail!("`{}` ended with {status}\n{}", self.name, self.said()),
            Err(error) => bail!("{error}\n{}", self.said()),
        }
    }

    /// Asks it to end with `signal` and waits for that; kills it after five seconds.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(mut self, signal: Signal) -> Result<Finished> {
        self.signal(signal)?;
        wait_until("it to end", SECONDS_5, || self.status())
            .with_context(|| format!("`{}` was sent {signal}", self.name))?;
        self.finish(SECONDS_5)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.status().is_none(), "`{}` has ended\n{}", self.name, self.said());
        kill(Pid::from_raw(self.pid() as i32), signal).with_context(|| format!("{signal} to `{}`", self.name))
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn output(&self) -> String {
        self.standard.text()
    }

    /// What it has written to standard error so far.
    pub fn error_output(&self) -> String {
        self.error.text()
    }

    fn said(&self) -> String {
        self.output() + &self.error_output()
    }

    fn kill(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Text that a thread reads from a pipe until its end.
#[derive(Debug)]
struct Gathered {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Gathered {
    fn from(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
                if text.len() < OUTPUT_MAX {
                    text.push_str(&String::from_utf8_lossy(&line));
                }
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A grandchild may hold the pipe open: what came until then is enough.
            let _ = wait_until("the end of output", Duration::from_secs(1), || {
                reader.is_finished().then_some(())
            });
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
