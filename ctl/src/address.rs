//! Where a routerd listens: an abstract socket that belongs to the network namespace, or a path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address routerd listens on unless told otherwise.
pub const DEFAULT: &str = "@routerd";

/// The longest name or path: `sun_path` less the byte that marks the form (unix(7)).
const BYTES_MAX: usize = 107;

/// Address of a control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An abstract socket, written `@NAME`. Each network namespace has its own names.
    Abstract(String),
    /// A socket in the file system.
    Path(PathBuf),
}

/// Why an address cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing, or nothing after the `@`.
    #[error("a control address is @NAME or a path, not {0:?}")]
    Empty(String),
    /// Longer than a socket address holds.
    #[error("control address is {0} bytes long, a unix socket allows {BYTES_MAX}")]
    TooLong(usize),
    /// A zero byte inside.
    #[error("control address contains a zero byte")]
    ZeroByte,
}

impl Address {
    /// The address of this name and `ending`.
    #[must_use]
    pub fn beside(&self, ending: &str) -> Self {
        match self {
            Self::Abstract(name) => Self::Abstract(format!("{name}{ending}")),
            Self::Path(path) => {
                let mut path = path.clone().into_os_string();
                path.push(ending);
                Self::Path(path.into())
            }
        }
    }

    /// The form `connect(2)` and `bind(2)` want.
    ///
    /// # Errors
    /// Never for an address that came from [`Address::from_str`].
    pub fn to_socket_address(&self) -> std::io::Result<socket2::SockAddr> {
        match self {
            Self::Abstract(name) => socket2::SockAddr::unix(format!("\0{name}")),
            Self::Path(path) => socket2::SockAddr::unix(path),
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Abstract("routerd".into())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let name = text.strip_prefix('@');
        if name.unwrap_or(text).is_empty() {
            return Err(AddressError::Empty(text.into()));
        }
        if text.len() > BYTES_MAX {
            return Err(AddressError::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(AddressError::ZeroByte);
        }
        Ok(name.map_or_else(|| Self::Path(text.into()), |name| Self::Abstract(name.into())))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract(name) => write!(formatter, "@{name}"),
            Self::Path(path) => write!(formatter, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_was_written() {
        for text in ["@routerd", "/run/routerd.sock", "relative.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!(DEFAULT.parse::<Address>().unwrap(), Address::default());
    }

    #[test]
    fn an_address_that_no_socket_can_have_is_refused() {
        assert_eq!("".parse::<Address>(), Err(AddressError::Empty(String::new())));
        assert_eq!("@".parse::<Address>(), Err(AddressError::Empty("@".into())));
        assert_eq!("a\0b".parse::<Address>(), Err(AddressError::ZeroByte));
        assert_eq!("x".repeat(108).parse::<Address>(), Err(AddressError::TooLong(108)));
        let longest = format!("@{}", "x".repeat(106)).parse::<Address>().unwrap();
        longest.to_socket_address().unwrap();
        "x".repeat(107).parse::<Address>().unwrap().to_socket_address().unwrap();
    }
}
