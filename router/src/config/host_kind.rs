//! Who answers for the router's addresses, as written by people.

use std::fmt;
use std::str::FromStr;

use super::PortSpec;
use crate::engine::Host;

/// The TUN device's name where none is given.
const DEVICE: &str = "rtr0";

/// Who answers for the router's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostKind {
    /// The kernel of this namespace, on the ports themselves.
    #[default]
    Kernel,
    /// The router; local packets pass to and from the kernel's sockets through a TUN device of this name.
    Tun(String),
    /// The router alone, with built-in answers.
    None,
}

impl HostKind {
    /// The same in words of the datapath.
    #[must_use]
    pub const fn host(&self) -> Host {
        match self {
            Self::Kernel => Host::Kernel,
            Self::Tun(_) => Host::Owned { tun: true },
            Self::None => Host::Owned { tun: false },
        }
    }

    /// Name of the TUN device, where there is one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Tun(name) => Some(name),
            Self::Kernel | Self::None => None,
        }
    }
}

impl FromStr for HostKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = match text.split_once(':') {
            None if text == "kernel" => return Ok(Self::Kernel),
            None if text == "none" => return Ok(Self::None),
            None if text == "tun" => DEVICE,
            Some(("tun", name)) => name,
            _ => {
                return Err(format!(
                    "{text:?} is no host; expected \"kernel\", \"tun\", \"tun:NAME\" or \"none\""
                ));
            }
        };
        match name.parse() {
            Ok(PortSpec::Device(name)) => Ok(Self::Tun(name)),
            Ok(PortSpec::Tun(_)) => Err(format!("{text:?} is no host; expected \"tun:NAME\"")),
            Err(error) => Err(format!("{error}, as the host's TUN device")),
        }
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tun(name) => write!(formatter, "tun:{name}"),
            Self::Kernel | Self::None => formatter.write_str(self.host().word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_they_are_read() {
        for text in ["kernel", "none", "tun:x0"] {
            assert_eq!(text.parse::<HostKind>().unwrap().to_string(), text);
        }
        assert_eq!("tun".parse(), Ok(HostKind::Tun("rtr0".to_owned())));
        for text in ["", "tun:", "tun:a b", "tun:tun:a", "none:x", "kernel:", "Tun", "tun:sixteencharacter"] {
            assert!(text.parse::<HostKind>().is_err(), "{text:?}");
        }
    }
}
