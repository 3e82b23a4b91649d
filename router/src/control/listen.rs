//! Taking the control address: one routerd holds it, a second one is told who does, and a dead one's is taken over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;

use ctl::address::Address;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, Socket, Type};
use tokio::net::UnixListener;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 128;

/// Why the control address cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another routerd holds it.
    #[error(
        "another routerd{} already answers at {address} in this network namespace; \
         stop it, or give this one another address with --control",
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Taken {
        /// The address.
        address: Address,
        /// Process that holds it, where the kernel tells.
        pid: Option<i32>,
    },
    /// Something else than a socket is there.
    #[error(
        "control socket {0}: a file of that name is there and is no socket; remove it or choose another --control"
    )]
    NotASocket(Address),
    /// The kernel refuses.
    #[error("control socket {address}: {source}")]
    Refused {
        /// The address.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The control socket, listening.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    _file: SocketFile,
}

impl Listener {
    /// Takes `address`. Must be called within a tokio runtime.
    pub(super) fn bind(address: &Address) -> Result<Self, BindError> {
        let refused = |source| BindError::Refused { address: address.clone(), source };
        let Claim { socket, file } = Claim::new(address, Type::STREAM)?;
        let socket = UnixListener::from_std(StdListener::from(OwnedFd::from(socket))).map_err(refused)?;
        Ok(Self { socket, _file: file })
    }
}

/// A unix address that is taken, by a socket that listens there and never blocks.
#[derive(Debug)]
pub(crate) struct Claim {
    socket: Socket,
    file: SocketFile,
}

impl Claim {
    /// Takes `address` for sockets of this type.
    ///
    /// # Errors
    /// [`BindError`], which names the process that holds the address.
    pub(crate) fn new(address: &Address, kind: Type) -> Result<Self, BindError> {
        let socket = match listen(address, kind) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                make_room(address, kind)?;
                listen(address, kind)
            }
            other => other,
        };
        let socket = socket.map_err(|source| BindError::Refused { address: address.clone(), source })?;
        let path = match address {
            Address::Path(path) => Some(path.clone()),
            Address::Abstract(_) => None,
        };
        Ok(Self { socket, file: SocketFile(path) })
    }

    /// The socket.
    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// The file to remove when nobody listens any more.
#[derive(Debug)]
struct SocketFile(Option<PathBuf>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Gone already is as good.
            drop(std::fs::remove_file(path));
        }
    }
}

fn listen(address: &Address, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.to_socket_address()?)?;
    if let Address::Path(path) = address {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Removes the socket file of a routerd that has died; anything alive, or no socket at all, is an error.
fn make_room(address: &Address, kind: Type) -> Result<(), BindError> {
    let refused = |source| BindError::Refused { address: address.clone(), source };
    if let Address::Path(path) = address
        && !std::fs::symlink_metadata(path).map_err(refused)?.file_type().is_socket()
    {
        return Err(BindError::NotASocket(address.clone()));
    }
    match (holder(address, kind), address) {
        (Err(error), Address::Path(path)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(refused)
        }
        (holder, _) => Err(BindError::Taken { address: address.clone(), pid: holder.ok().flatten() }),
    }
}

/// Process that listens at `address`. An error of kind `ConnectionRefused` means that nobody does.
fn holder(address: &Address, kind: Type) -> io::Result<Option<i32>> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address.to_socket_address()?)?;
    // A process outside our pid namespace has number 0 here.
    Ok(Some(getsockopt(&socket, PeerCredentials)?.pid()).filter(|pid| *pid != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> Option<i32> {
        i32::try_from(std::process::id()).ok()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_second_routerd_is_told_who_holds_the_address() {
        let directory = tempfile::tempdir().unwrap();
        let unique = format!("control-listen-test-{}", std::process::id());
        for address in [Address::Abstract(unique), Address::Path(directory.path().join("socket"))] {
            let first = Listener::bind(&address).unwrap();
            let error = Listener::bind(&address).unwrap_err();
            assert!(matches!(error, BindError::Taken { pid, .. } if pid == own_pid()), "{error}");
            let expected =
                format!("another routerd (pid {}) already answers at {address}", std::process::id());
            assert!(error.to_string().starts_with(&expected), "{error}");
            drop(first);
            Listener::bind(&address).unwrap();
        }
        assert!(!directory.path().join("socket").exists(), "the socket file stays behind");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_socket_file_of_a_dead_routerd_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Path(directory.path().join("socket"));
        drop(listen(&address, Type::STREAM).unwrap());
        assert!(directory.path().join("socket").exists(), "there is nothing to take over");
        let listener = Listener::bind(&address).unwrap();
        let mode = std::fs::metadata(directory.path().join("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        let error = Listener::bind(&Address::Path(path.clone())).unwrap_err();
        assert!(matches!(error, BindError::NotASocket(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }
}
