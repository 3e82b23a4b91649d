//! Entering another network namespace, as `ip -n NAME` does.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where `ip netns` keeps its namespaces.
const DIRECTORY: &str = "/run/netns";

/// Why a namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// There is none of that name.
    #[error("there is no network namespace {name:?} (looked for {}); `ip netns list` shows them", path.display())]
    Unknown {
        /// Name asked for.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kernel does not let us in.
    #[error("cannot enter network namespace {name:?}: {source}; this needs root")]
    Refused {
        /// Name asked for.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Moves the calling thread into the network namespace `name`: one that `ip netns add` has made, or the path of a
/// namespace file where there is a slash in it.
///
/// # Errors
/// [`NamespaceError`].
pub fn enter(name: &str) -> Result<(), NamespaceError> {
    let path = if name.contains('/') { PathBuf::from(name) } else { Path::new(DIRECTORY).join(name) };
    let refused = |source| NamespaceError::Refused { name: name.into(), source };
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NamespaceError::Unknown { name: name.into(), path },
        _ => refused(error),
    })?;
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).map_err(|error| refused(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let error = enter("no-such-namespace").unwrap_err().to_string();
        assert!(error.contains("\"no-such-namespace\" (looked for /run/netns/no-such-namespace)"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_namespace_is_refused() {
        let error = enter("/proc/self/status").unwrap_err();
        assert!(matches!(error, NamespaceError::Refused { .. }), "{error}");
    }
}
