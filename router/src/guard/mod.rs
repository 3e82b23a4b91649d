//! The guard: keeps the kernel from forwarding what routerd forwards, by dropping transit right behind the packet tap.
//!
//! It is a table of nftables' netdev family with an ingress chain on the ports. Packet sockets see every frame before
//! that hook, so routerd does; what is for the router itself, ARP, neighbor discovery and multicast pass on to the
//! kernel. Dropping there also spares the kernel a routing lookup for each frame it would not forward anyhow.
//!
//! Where the router is its own host, the guard keeps everything from the kernel ([`Guard::set_whole`]): what comes to the
//! ports, and what the kernel would send there. The rest of this page is about a host of the kernel's.
//!
//! In hand-over mode ([`Handover`]) it also keeps from the kernel what is for the router itself and may have been
//! translated, and takes what programs send from the ports: both pass routerd first, by a device of its own.
//!
//! The rule goes by `fib daddr type`. For IPv4 the kernel answers `unicast` to every address that is not its own, a
//! broadcast or multicast one (inet_dev_addr_type asks the local table alone). For IPv6 it asks all routes
//! (nft_fib6_eval_type) and calls a destination it would refuse by the refusal's name: these are dropped as well, or
//! the kernel would send an error beside routerd's.
//!
//! The other rules are for transit that does not look like it: `::` and IPv4 addresses in IPv6 are no unicast to
//! `fib`, a source route leads on from the router's own address, and of two priority tags one hides what is behind.

mod script;
mod watch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sysctl::KernelForwarding;
pub use script::{Handover, is_taken};
use script::{removal, script, whole_script};
use watch::Watch;

/// The table's name; it belongs to routerd, which replaces it on start and removes it on exit.
pub const TABLE: &str = "routerd-guard";

/// Where `nft` is looked for after the search path, which of an ordinary user has none of these.
const PLACES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// The guard as it stands. Dropping it removes the table.
#[derive(Debug)]
pub struct Guard {
    /// `None` when it stands idle.
    nft: Option<PathBuf>,
    /// Why there is none, for people.
    reason: Option<String>,
    /// It keeps everything from the kernel, not what is forwarded alone.
    whole: bool,
    /// Gives the kernel its own packets back if this process is killed while they are handed over.
    watch: Option<Watch>,
}

/// Why there is no guard where one is needed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel forwards as well, and nothing keeps it from that.
    #[error(
        "the kernel forwards {families} here too, so every packet would be sent twice, and {reason}: \
         turn forwarding off ({remedy}; a port may have it on by itself, by net.ipv4.conf.PORT.forwarding or \
         net.ipv6.conf.PORT.force_forwarding), or install nftables"
    )]
    Forwarding {
        /// Which families the kernel forwards.
        families: &'static str,
        /// Why no guard could be set.
        reason: String,
        /// The command that turns forwarding off.
        remedy: &'static str,
    },
    /// The router is to be its own host, and the kernel would answer beside it.
    #[error(
        "the kernel would answer for itself on the ports, and {0}: install nftables, or leave the router's addresses to \
         the kernel (--host kernel)"
    )]
    Loud(String),
    /// Only a guard can hand over.
    #[error("what is for the router itself can only be kept from the kernel by nftables, and {0}")]
    Absent(String),
    /// The guard stood and could not be set anew.
    #[error("the guard cannot be set anew: {0}")]
    Rearm(String),
}

impl Guard {
    /// Sets the guard on `ports` (devices that exist), replacing what an earlier routerd left behind. Without `nft`,
    /// or when it refuses, goes on without a guard if `forwarding` is off for these ports.
    ///
    /// # Errors
    /// No guard can be set, and the kernel forwards.
    pub fn set<'a>(
        ports: impl IntoIterator<Item = &'a str>,
        forwarding: KernelForwarding,
    ) -> Result<Self, GuardError> {
        Self::set_with(find_nft(), ports, forwarding)
    }

    /// As [`Self::set`], with the given `nft` program.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_with<'a>(
        nft: Option<PathBuf>,
        ports: impl IntoIterator<Item = &'a str>,
        forwarding: KernelForwarding,
    ) -> Result<Self, GuardError> {
        let reason = match nft {
            None => "nft is not installed".to_owned(),
            Some(nft) => match run(&nft, &script(ports, None)) {
                Ok(()) => return Ok(Self { nft: Some(nft), reason: None, whole: false, watch: None }),
                Err(why) => why,
            },
        };
        let (families, remedy) = match forwarding {
            KernelForwarding { ipv4: false, ipv6: false } => {
                return Ok(Self { nft: None, reason: Some(reason), whole: false, watch: None });
            }
            KernelForwarding { ipv4: true, ipv6: false } => ("IPv4", "sysctl -w net.ipv4.ip_forward=0"),
            KernelForwarding { ipv4: false, ipv6: true } => {
                ("IPv6", "sysctl -w net.ipv6.conf.all.forwarding=0")
            }
            KernelForwarding { ipv4: true, ipv6: true } => {
                ("IPv4 and IPv6", "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
            }
        };
        Err(GuardError::Forwarding { families, reason, remedy })
    }

    /// Sets a guard that keeps the kernel quiet on `ports`: it hears nothing there and sends nothing. If routerd is killed it
    /// stays so until it is started again, or the table is deleted.
    ///
    /// # Errors
    /// No guard can be set.
    pub fn set_whole<'a>(ports: impl IntoIterator<Item = &'a str>) -> Result<Self, GuardError> {
        let nft = find_nft().ok_or_else(|| GuardError::Loud("nft is not installed".to_owned()))?;
        run(&nft, &whole_script(ports)).map_err(GuardError::Loud)?;
        Ok(Self { nft: Some(nft), reason: None, whole: true, watch: None })
    }

    /// Sets the guard anew on `ports`, at once and without a gap: to be called when a port was made, renamed or has
    /// vanished. (The kernel takes a vanished device off the chain by itself; Linux 6.18 also puts one made anew under
    /// its name back, older ones do not.)
    ///
    /// # Errors
    /// `nft` refused; the guard stands as it stood before.
    pub fn rearm<'a>(&mut self, ports: impl IntoIterator<Item = &'a str>) -> Result<(), GuardError> {
        if let Some(nft) = &self.nft {
            let script = if self.whole { whole_script(ports) } else { script(ports, None) };
            run(nft, &script).map_err(GuardError::Rearm)?;
            self.watch = None;
        }
        Ok(())
    }

    /// As [`Self::rearm`], and hands over.
    ///
    /// # Errors
    /// There is no guard to be set, or `nft` refused; then the guard stands as it stood before.
    pub fn rearm_handing_over<'a>(
        &mut self,
        ports: impl IntoIterator<Item = &'a str>,
        handover: &Handover<'_>,
    ) -> Result<(), GuardError> {
        let Some(nft) = &self.nft else {
            let reason = self.reason.clone().unwrap_or_else(|| "there is no guard".to_owned());
            return Err(GuardError::Absent(reason));
        };
        let watch = Watch::over(nft, handover.ports.len());
        let watch = watch.map_err(|error| GuardError::Rearm(format!("nobody can watch over it: {error}")))?;
        run(nft, &script(ports, Some(handover))).map_err(GuardError::Rearm)?;
        self.watch = Some(watch);
        Ok(())
    }

    /// Whether the guard stands.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.nft.is_some()
    }

    /// Why there is no guard; `None` when there is one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch = None;
        if let Some(nft) = &self.nft
            && let Err(error) = run(nft, &removal())
        {
            tracing::error!("the guard could not be removed, use `nft delete table netdev {TABLE}`: {error}");
        }
    }
}

/// The `nft` program, on the search path or where administrators' programs are kept.
#[must_use]
pub fn find_nft() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(PLACES.map(PathBuf::from))
        .map(|directory| directory.join("nft"))
        .find(|file| file.is_file())
}

/// Gives a script to `nft`; what it says against it, in one line.
fn run(nft: &Path, script: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", nft.display());
    let mut child = Command::new(nft)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // The end of the input is what nft waits for. What it refuses to read, it says below.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(script.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return written.map_err(failed);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nft failed without a word");
    Err(format!("nft refused the guard ({})", line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: KernelForwarding = KernelForwarding { ipv4: true, ipv6: true };

    #[test]
    fn without_nft_and_with_forwarding_both_remedies_are_named() {
        let cases = [
            (BOTH, "net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0", "IPv4 and IPv6"),
            (KernelForwarding { ipv6: false, ..BOTH }, "net.ipv4.ip_forward=0", "IPv4"),
            (KernelForwarding { ipv4: false, ..BOTH }, "net.ipv6.conf.all.forwarding=0", "IPv6"),
        ];
        for (forwarding, remedy, families) in cases {
            let error = Guard::set_with(None, ["r0"], forwarding).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
            assert!(error.contains(families), "{error}");
            assert!(error.contains("install nftables"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn without_nft_and_without_forwarding_it_goes_on_and_says_why() {
        let guard = Guard::set_with(None, ["r0"], KernelForwarding::default()).unwrap();
        assert!(!guard.is_set());
        assert_eq!(guard.reason(), Some("nft is not installed"));
    }

    #[test]
    fn a_program_that_refuses_is_quoted() {
        let error = Guard::set_with(Some(PathBuf::from("/bin/false")), ["r0"], BOTH).unwrap_err();
        assert!(error.to_string().contains("nft refused the guard"), "{error}");
        let error = Guard::set_with(Some(PathBuf::from("/nowhere/nft")), ["r0"], BOTH).unwrap_err();
        assert!(error.to_string().contains("/nowhere/nft"), "{error}");
    }
}
