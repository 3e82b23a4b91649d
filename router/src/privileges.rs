//! What the program may do: the two capabilities it needs, and no way back to any other.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use socket2::{Domain, Socket, Type};

/// What routerd needs: CAP_NET_ADMIN for TUN devices, forced socket buffers, neighbors and the guard, CAP_NET_RAW for
/// packet sockets.
const NEEDED: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// Privileges that are missing or cannot be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// A capability is missing.
    #[error(
        "missing {missing}: run routerd as root, give the program its capabilities \
         (setcap cap_net_admin,cap_net_raw+ep routerd), or try it in a namespace of your own (unshare -Urn)"
    )]
    Missing {
        /// Which, separated by commas.
        missing: String,
    },
    /// The capabilities are there, but the network namespace belongs to another user namespace.
    #[error(
        "this network namespace belongs to another user namespace, in which routerd has no privileges: \
         make both at once (unshare -Urn)"
    )]
    ForeignNamespace,
    /// Threads were started already; each has capabilities of its own.
    #[error("capabilities must be dropped before threads are started, and there are {0}")]
    Threads(usize),
    /// The kernel refused.
    #[error("capabilities cannot be {what}: {reason}")]
    Refused {
        /// Read, dropped …
        what: &'static str,
        /// What the kernel said.
        reason: String,
    },
}

/// Checks that the two capabilities are there, and good in this network namespace; makes them effective if they are
/// only permitted.
///
/// # Errors
/// What is missing, and what to do.
pub fn require() -> Result<(), PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(refused("read"))?;
    let missing: Vec<_> =
        NEEDED.iter().filter(|capability| !permitted.contains(capability)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        return Err(PrivilegeError::Missing { missing: missing.join(", ") });
    }
    for capability in NEEDED {
        caps::raise(None, CapSet::Effective, capability).map_err(refused("made effective"))?;
    }
    // Protocol 0 receives nothing: this socket only asks whether it may be.
    match Socket::new(Domain::PACKET, Type::RAW, None) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(PrivilegeError::ForeignNamespace)
        }
        _ => Ok(()),
    }
}

/// Drops every capability but the two, for good: from all sets, the bounding set included where that is allowed
/// (CAP_SETPCAP, which root has), with `no_new_privs`. Programs started later (`nft`) have the two as well, through
/// the ambient set. To be called after [`require`] and before any thread is started.
///
/// # Errors
/// There are threads, or the kernel refused.
pub fn drop_others() -> Result<(), PrivilegeError> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads > 1 {
        return Err(PrivilegeError::Threads(threads));
    }
    drop_others_of_this_thread()
}

fn drop_others_of_this_thread() -> Result<(), PrivilegeError> {
    let needed: CapsHashSet = NEEDED.into_iter().collect();
    let effective = caps::read(None, CapSet::Effective).map_err(refused("read"))?;
    if effective.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported().difference(&needed) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(refused("dropped"))?;
        }
    }
    caps::set(None, CapSet::Inheritable, &needed).map_err(refused("made inheritable"))?;
    caps::set(None, CapSet::Effective, &needed).map_err(refused("dropped"))?;
    caps::set(None, CapSet::Permitted, &needed).map_err(refused("dropped"))?;
    caps::set(None, CapSet::Ambient, &needed).map_err(refused("passed on to programs started"))?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| PrivilegeError::Refused { what: "fixed (no_new_privs)", reason: error.to_string() })
}

fn refused(what: &'static str) -> impl FnOnce(caps::errors::CapsError) -> PrivilegeError {
    move |error| PrivilegeError::Refused { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Bits 12 and 13.
    const TWO: &str = "0000000000003000";

    fn status(text: &str, name: &str) -> String {
        let line = text.lines().find(|line| line.starts_with(name)).expect("every kernel has these lines");
        line.split_whitespace().nth(1).expect("a value stands behind the name").to_owned()
    }

    /// Runs `test` on a thread with the two capabilities, as capabilities are a thread's own; not without them.
    fn with_privileges(test: impl FnOnce() + Send) {
        if require().is_err() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "this test needs root, and CI may skip nothing"
            );
            eprintln!("SKIPPED: needs root");
            return;
        }
        std::thread::scope(|scope| scope.spawn(test).join().expect("the test passes"));
    }

    #[test]
    fn only_the_two_are_left_in_every_set() {
        with_privileges(|| {
            drop_others_of_this_thread().unwrap();
            let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(status(&own, set), TWO, "{set}");
            }
            assert_eq!(status(&own, "NoNewPrivs:"), "1");
            require().unwrap();
        });
    }

    #[test]
    fn a_program_started_later_has_the_two_and_no_more() {
        with_privileges(|| {
            drop_others_of_this_thread().unwrap();
            let output = Command::new("cat").arg("/proc/self/status").output().unwrap();
            let child = String::from_utf8(output.stdout).unwrap();
            for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
                assert_eq!(status(&child, set), TWO, "{set}");
            }
        });
    }

    #[test]
    fn what_is_missing_is_named_with_three_remedies_in_one_line() {
        with_privileges(|| {
            caps::clear(None, CapSet::Effective).unwrap();
            caps::drop(None, CapSet::Permitted, Capability::CAP_NET_RAW).unwrap();
            let error = require().unwrap_err().to_string();
            assert!(error.starts_with("missing CAP_NET_RAW: "), "{error}");
            for remedy in ["as root", "setcap", "unshare -Urn"] {
                assert!(error.contains(remedy), "{error}");
            }
            assert!(!error.contains('\n'));
        });
    }

    #[test]
    fn capabilities_that_are_only_permitted_are_made_effective() {
        with_privileges(|| {
            caps::clear(None, CapSet::Effective).unwrap();
            require().unwrap();
            assert!(caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap());
        });
    }

    #[test]
    fn threads_that_would_keep_theirs_are_an_error() {
        with_privileges(|| assert!(matches!(drop_others(), Err(PrivilegeError::Threads(2..)))));
    }
}
