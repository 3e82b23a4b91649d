//! The name of a port, as written by people.

use std::fmt;
use std::str::FromStr;

/// Longest device name, bytes (`IFNAMSIZ` less the zero).
const NAME_BYTES_MAX: usize = 15;

/// A port to be: which device, and how it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSpec {
    /// A network device of this name, read through a packet socket.
    Device(String),
    /// A TUN device of this name (`tun:NAME`), made if it does not exist.
    Tun(String),
}

/// Why a text names no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortSpecError {
    /// Nothing.
    #[error("a port without a name; expected a device such as eth0, or tun:NAME")]
    Empty,
    /// Too long for a device.
    #[error("port name {0:?} is too long: a device's name has at most {NAME_BYTES_MAX} bytes")]
    TooLong(String),
    /// Characters no device can have, or that `nft` would take for something else.
    #[error("{0:?} is no device's name; blanks, '/', ':', quotes, '\\', '*' cannot be in it")]
    Characters(String),
}

impl PortSpec {
    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Device(name) | Self::Tun(name) => name,
        }
    }
}

impl FromStr for PortSpec {
    type Err = PortSpecError;

    fn from_str(text: &str) -> Result<Self, PortSpecError> {
        let (tun, name) = text.strip_prefix("tun:").map_or((false, text), |name| (true, name));
        // What the kernel forbids (dev_valid_name), and what has a meaning in an nft script.
        let forbidden = |character: char| {
            character.is_whitespace() || character.is_control() || "/:\"'\\*".contains(character)
        };
        if name.is_empty() {
            return Err(PortSpecError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(PortSpecError::TooLong(name.to_owned()));
        }
        if name == "." || name == ".." || name.contains(forbidden) {
            return Err(PortSpecError::Characters(name.to_owned()));
        }
        Ok(if tun { Self::Tun(name.to_owned()) } else { Self::Device(name.to_owned()) })
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(name) => formatter.write_str(name),
            Self::Tun(name) => write!(formatter, "tun:{name}"),
        }
    }
}
