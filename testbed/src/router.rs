//! The router of a lab: the Linux kernel, or routerd in its place.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

use crate::lab::{Finished, Lab, Namespace, Owned, Plan, Process, SECONDS_5};
use crate::programs;

/// How long routerd may take to say that it forwards.
const READY: Duration = Duration::from_secs(10);

/// Who forwards at a station of a lab.
#[derive(Clone, Debug)]
pub enum Router {
    /// The kernel, with forwarding switched on.
    Kernel {
        /// Whether its connection tracking is at work.
        tracking: bool,
    },
    /// routerd in the kernel's place.
    Routerd {
        /// The program.
        program: PathBuf,
        /// Arguments besides `--ports` and `--config`.
        arguments: Vec<String>,
        /// What its configuration file says; without one if that is nothing.
        config: String,
        /// Whether the kernel's forwarding is left on, for routerd's guard to stop.
        guarded: bool,
        /// Whether routerd is its own host, and so has to be told what the kernel of its station would be.
        owned: bool,
    },
}

/// Makes the kernel track connections without changing what it forwards: a table called `tracking`.
pub(crate) const TRACKING: &str = "
table inet tracking {
    chain forward {
        type filter hook forward priority filter
        ct state invalid counter
    }
}
";

impl Router {
    /// routerd as built beside this program.
    ///
    /// # Errors
    /// It is not there and cannot be built.
    pub fn routerd(arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let program = programs::program("routerd")?;
        Ok(Self::Routerd { program, arguments, config: String::new(), guarded: false, owned: false })
    }

    /// The same router, tracking connections or not.
    #[must_use]
    pub fn tracking(self, on: bool) -> Self {
        match self {
            Self::Kernel { .. } => Self::Kernel { tracking: on },
            Self::Routerd { program, arguments, guarded, owned, .. } => {
                let config = if on { "" } else { "[conntrack]\nenabled = false\n" }.to_owned();
                Self::Routerd { program, arguments, config, guarded, owned }
            }
        }
    }

    /// The same router; if it is routerd, with these lines of configuration.
    #[must_use]
    pub fn configured(self, lines: &str) -> Self {
        match self {
            Self::Routerd { program, arguments, config, guarded, owned } => {
                Self::Routerd { program, arguments, config: config + lines, guarded, owned }
            }
            kernel @ Self::Kernel { .. } => kernel,
        }
    }

    /// The same router; if it is routerd, the kernel's forwarding is left on.
    #[must_use]
    pub fn guarded(self) -> Self {
        match self {
            Self::Routerd { program, arguments, config, owned, .. } => {
                Self::Routerd { program, arguments, config, guarded: true, owned }
            }
            kernel @ Self::Kernel { .. } => kernel,
        }
    }

    /// The same router; if it is routerd, as its own host (`--host none`, `--host tun`). [`Self::settle`] tells it what it
    /// owns.
    #[must_use]
    pub fn owned(self, host: &str) -> Self {
        match self {
            Self::Routerd { program, mut arguments, config, guarded, .. } => {
                arguments.extend(["--host".to_owned(), host.to_owned()]);
                Self::Routerd { program, arguments, config, guarded, owned: true }
            }
            kernel @ Self::Kernel { .. } => kernel,
        }
    }

    /// Whether it is routerd as its own host.
    #[must_use]
    pub const fn is_owned(&self) -> bool {
        matches!(self, Self::Routerd { owned: true, .. })
    }

    /// The plan to build for this router at `station`, and the router as it is to be started there: one that is its own
    /// host is told what the plan would tell the kernel.
    #[must_use]
    pub fn settle(self, plan: Plan, station: &str) -> (Plan, Self) {
        if !matches!(self, Self::Routerd { owned: true, .. }) {
            return (plan, self);
        }
        let Owned { plan, config } = plan.own(station);
        (plan, self.configured(&config))
    }

    /// Whether this is a router that may do otherwise than the kernel; some things only while a kernel is the host that does
    /// not forward (`without_kernel`).
    #[must_use]
    pub const fn deviates(&self, without_kernel: bool) -> bool {
        matches!(self, Self::Routerd { .. })
            && !(without_kernel && (self.kernel_forwards() || self.is_owned()))
    }

    /// Whether the kernel's forwarding is on while this router runs: then hosts take it for a router too.
    #[must_use]
    pub const fn kernel_forwards(&self) -> bool {
        matches!(self, Self::Kernel { .. } | Self::Routerd { guarded: true, .. })
    }

    /// Lets the router forward between `ports` of `station`.
    ///
    /// # Errors
    /// The kernel refuses a setting; routerd does not start or does not say within ten seconds that it forwards.
    pub fn start<'lab>(&self, lab: &'lab Lab, station: &str, ports: &[&str]) -> Result<Running<'lab>> {
        let namespace = lab.at(station);
        forward(namespace, self.kernel_forwards())?;
        let mut running = Running { namespace, process: None, _config: None };
        match self {
            Self::Kernel { tracking: true } => namespace.nft(TRACKING)?,
            Self::Kernel { tracking: false } => {}
            Self::Routerd { program, arguments, config, .. } => {
                let mut arguments = arguments.clone();
                if !config.is_empty() {
                    let mut file = NamedTempFile::with_suffix(".toml")?;
                    file.write_all(config.as_bytes())?;
                    arguments.extend(["--config".to_owned(), file.path().display().to_string()]);
                    running._config = Some(file);
                }
                running.process = Some(start_routerd(namespace, program, ports, &arguments)?);
            }
        }
        Ok(running)
    }

    /// What to call it in a report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Routerd { .. } => "routerd",
        }
    }
}

/// Switches the kernel's forwarding, both families. Per-port settings come later than this: Linux resets some of them.
fn forward(namespace: &Namespace, on: bool) -> Result<()> {
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        namespace.sysctl(key, if on { "1" } else { "0" })?;
    }
    Ok(())
}

/// Starts routerd and waits for the line that says it forwards.
///
/// # Errors
/// It ended, or took longer than ten seconds.
pub fn start_routerd(
    namespace: &Namespace,
    program: &std::path::Path,
    ports: &[&str],
    arguments: &[String],
) -> Result<Process> {
    let mut command = Command::new(program);
    command.arg("--ports").arg(ports.join(",")).args(arguments);
    let mut process = Process::start_command(namespace, command)?;
    process.wait_output(READY).context("routerd did not become ready")?;
    Ok(process)
}

/// Runs `routerctl` with the words of `line` in a namespace.
///
/// # Errors
/// It cannot be started or takes more than five seconds.
pub fn routerctl(namespace: &Namespace, line: &str) -> Result<Finished> {
    Process::start(namespace, &routerctl_words(line)?)?.finish(SECONDS_5)
}

fn routerctl_words(line: &str) -> Result<Vec<OsString>> {
    let program = programs::program("routerctl")?.into_os_string();
    Ok(std::iter::once(program).chain(line.split_whitespace().map(OsString::from)).collect())
}

/// A router at work. Dropping it ends routerd.
#[derive(Debug)]
pub struct Running<'lab> {
    namespace: &'lab Namespace,
    process: Option<Process>,
    /// Read again on SIGHUP, and so kept.
    _config: Option<NamedTempFile>,
}

impl Running<'_> {
    /// Ends routerd as a service manager would, and expects it to end well. The kernel is told to forward no more.
    ///
    /// # Errors
    /// routerd did not end within five seconds, or not with success.
    pub fn stop(mut self) -> Result<()> {
        match self.process.take() {
            None => forward(self.namespace, false),
            Some(process) => process.stop(Signal::SIGTERM)?.ok().map(drop),
        }
    }

    /// Ends routerd without a word of warning.
    ///
    /// # Errors
    /// The kernel is the router.
    pub fn kill(mut self) -> Result<()> {
        let process = self.process.take().context("the kernel cannot be killed")?;
        process.stop(Signal::SIGKILL).map(drop)
    }

    /// Asks routerd: `routerctl -j` and the words of `line`.
    ///
    /// # Errors
    /// routerctl failed, or its reply is no JSON.
    pub fn ask(&self, line: &str) -> Result<serde_json::Value> {
        let reply = routerctl(self.namespace, &format!("-j {line}"))?.ok()?;
        serde_json::from_str(&reply).with_context(|| format!("routerctl -j {line} replied {reply:?}"))
    }

    /// Has the router carry out rules: the kernel by `nft`, routerd by `routerctl rules load`.
    ///
    /// # Errors
    /// What the router says against them.
    pub fn load_rules(&self, text: &str) -> Result<String> {
        if self.process.is_none() {
            return self.namespace.nft(text).map(|()| String::new());
        }
        let mut file = NamedTempFile::with_suffix(".nft")?;
        file.write_all(text.as_bytes())?;
        self.tell(&format!("rules load {}", file.path().display()))
    }

    /// What `routerctl` prints for a person.
    ///
    /// # Errors
    /// routerctl failed.
    pub fn tell(&self, line: &str) -> Result<String> {
        routerctl(self.namespace, line)?.ok()
    }

    /// Starts `routerctl` with the words of `line`, to be watched.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn watch(&self, line: &str) -> Result<Process> {
        Process::start(self.namespace, &routerctl_words(line)?)
    }

    /// routerd's process, unless the kernel is the router.
    ///
    /// # Errors
    /// The kernel is the router, or routerd has ended.
    pub fn process(&mut self) -> Result<&mut Process> {
        let process = self.process.as_mut().context("the kernel is the router")?;
        ensure!(process.status().is_none(), "routerd has ended: {}", process.error_output());
        Ok(process)
    }
}
