//! A real OpenVPN between two stations of a lab, point to point, each end known to the other by its certificate.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::lab::{Lab, Process};
use crate::programs;

/// Where Debian's package `openvpn` puts it.
const PROGRAM: &str = "/usr/sbin/openvpn";
/// The device of either end.
pub const DEVICE: &str = "ovpn0";
/// The UDP port of either end.
pub const PORT: u16 = 1194;
/// How long the ends may take to find each other: some attempts, a second each.
const AGREE: Duration = Duration::from_secs(30);
/// What an end says when packets pass.
const READY: &str = "Initialization Sequence Completed";

/// What passes between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IP packets.
    Tun,
    /// Ethernet frames.
    Tap,
}

impl Kind {
    /// The word for it, of `ip tuntap` and of OpenVPN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::Tap => "tap",
        }
    }

    /// A line of `ip` that makes the device [`DEVICE`], which is there before OpenVPN and after it.
    pub fn device_line(self) -> String {
        format!("tuntap add {DEVICE} mode {}", self.name())
    }
}

/// Keys and certificates of the two ends, made anew.
#[derive(Debug)]
pub struct Keys {
    folder: TempDir,
    fingerprints: [String; 2],
}

impl Keys {
    /// Has `openssl` make them.
    ///
    /// # Errors
    /// `openssl` cannot be run.
    pub fn make() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-vpn-").tempdir()?;
        let fingerprints = [make_certificate(folder.path(), 0)?, make_certificate(folder.path(), 1)?];
        Ok(Self { folder, fingerprints })
    }

    fn file(&self, end: usize, kind: &str) -> String {
        file(self.folder.path(), end, kind)
    }
}

fn file(folder: &Path, end: usize, kind: &str) -> String {
    folder.join(format!("{end}.{kind}")).display().to_string()
}

/// A key and a certificate by itself; returns the fingerprint.
fn make_certificate(folder: &Path, end: usize) -> Result<String> {
    let (key, certificate) = (file(folder, end, "key"), file(folder, end, "crt"));
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(request.split(' ').chain([
        "-subj",
        &format!("/CN=end{end}"),
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]))?;
    let said = openssl(["x509", "-noout", "-fingerprint", "-sha256", "-in", &certificate])?;
    let (_, fingerprint) = said.trim().split_once('=').context("openssl said no fingerprint")?;
    Ok(fingerprint.to_owned())
}

fn openssl<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let output = Command::new("openssl").args(words).output().context("openssl cannot be started")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// OpenVPN at two stations. Dropping it ends both.
#[derive(Debug)]
pub struct OpenVpn {
    ends: [Process; 2],
    _keys: Keys,
}

impl OpenVpn {
    /// Whether OpenVPN can run in the labs of this process. A test that needs it returns at once when not.
    ///
    /// # Panics
    /// When it cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&[PROGRAM, "openssl"], None)
    }

    /// Starts it at both stations, whose devices [`DEVICE`] of this kind exist. The first end calls the second one at
    /// `address`, by whatever way its station sends; the second one answers whoever has the first one's key. Neither
    /// sets an address or a route.
    ///
    /// # Errors
    /// An end cannot be started.
    pub fn start(lab: &Lab, stations: [&str; 2], address: &str, kind: Kind) -> Result<Self> {
        let keys = Keys::make()?;
        let start = |end: usize| {
            let common = format!(
                "{PROGRAM} --dev {DEVICE} --dev-type {} --proto udp --port {PORT} --ifconfig-noexec --route-noexec \
                 --auth-nocache --tls-timeout 1 --hand-window 20 --explicit-exit-notify 1 --verb 3",
                kind.name()
            );
            let own = format!(
                "--cert {} --key {} --peer-fingerprint {}",
                keys.file(end, "crt"),
                keys.file(end, "key"),
                keys.fingerprints[1 - end]
            );
            let role = match end {
                0 => format!("--tls-client --remote {address} --connect-retry 1 1"),
                _ => "--tls-server --dh none --float".to_owned(),
            };
            lab.start(stations[end], &format!("{common} {own} {role}"))
        };
        Ok(Self { ends: [start(0)?, start(1)?], _keys: keys })
    }

    /// Waits until packets pass.
    ///
    /// # Errors
    /// The ends do not find each other within half a minute; the error has what they said.
    pub fn wait(&mut self) -> Result<()> {
        for place in [0, 1] {
            let ready = self.ends[place].wait_line(READY, AGREE).map(drop);
            ready.with_context(|| format!("the other end:\n{}", self.ends[1 - place].output()))?;
        }
        Ok(())
    }
}
