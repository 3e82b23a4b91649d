//! A real DNS server at a station, dnsmasq, and questions by dig.

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::lab::{Lab, Process, SECONDS_5};
use crate::programs;

/// The name it answers for.
pub const NAME: &str = "router.lab.test";
/// What it answers, either family.
pub const ADDRESSES: [&str; 2] = ["192.0.2.53", "2001:db8::53"];

/// dnsmasq at a station. Dropping it ends it.
#[derive(Debug)]
pub struct Dns(Process);

impl Dns {
    /// Whether dnsmasq and dig can run in the labs of this process. A test that needs them returns at once when not.
    ///
    /// # Panics
    /// When they cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&["dnsmasq", "dig"], None)
    }

    /// Starts dnsmasq at `station`, on all of its addresses, for [`NAME`] alone.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(lab: &Lab, station: &str) -> Result<Self> {
        let answers = ADDRESSES.map(|address| format!("--address=/{NAME}/{address}")).join(" ");
        let line = format!(
            "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file \
             --log-facility=- --log-queries {answers}"
        );
        let mut dnsmasq = lab.start(station, &line)?;
        dnsmasq.wait_line("started, version", SECONDS_5)?;
        Ok(Self(dnsmasq))
    }

    /// What `dig` at `from` hears of the server at `address` for a type of question, over UDP or TCP; what it complains
    /// of if it hears nothing.
    ///
    /// # Errors
    /// `dig` cannot be run.
    pub fn ask(&self, lab: &Lab, from: &str, address: &str, kind: &str, tcp: bool) -> Result<String> {
        let tcp = if tcp { "+tcp" } else { "+notcp" };
        let line = format!("dig +short +tries=1 +time=2 {tcp} @{address} {NAME} {kind}");
        let said = lab.run(from, &line, SECONDS_5)?;
        let heard = said.output.lines().find(|line| !line.starts_with(";;"));
        Ok(heard.unwrap_or("nothing").to_owned())
    }

    /// Ends it.
    ///
    /// # Errors
    /// It did not end well.
    pub fn stop(self) -> Result<()> {
        self.0.stop(Signal::SIGTERM).map(drop)
    }
}
