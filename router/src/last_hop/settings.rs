//! What the user has said of last hops: which packets tell them, which replies go back, and which gateways stand in for
//! each other.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use fib::adjacency::{Mac, PortId};

/// Most groups of gateways.
pub const GROUPS_MAX: usize = 16;
/// Most link addresses, and most protocol addresses, of a group.
pub const GROUP_MEMBERS_MAX: usize = 16;
/// How long a gateway of which no neighbor is known may be silent while it is sent to, unless the user says otherwise.
pub const IDLE: Duration = Duration::from_secs(30);

/// What is in force. By default nothing is learned and nothing used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Marks of replies that go back where their flow came from.
    pub reply_mark: Option<MarkMatch>,
    /// Marks of packets that tell where their flow comes from, and of a program's packets that go on to where such packets
    /// were going.
    pub original_mark: Option<MarkMatch>,
    /// All ports are as those of `ports`.
    pub everywhere: bool,
    /// Ports whose flows are all answered where they came from, whatever their marks.
    pub ports: Vec<PortId>,
    /// Gateways that stand in for each other; at most [`GROUPS_MAX`].
    pub groups: Vec<Group>,
    /// How long a gateway of which no neighbor is known may be silent while it is sent to; zero for as long as it likes.
    pub idle: Duration,
}

/// Gateways of one link that stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the user calls it.
    pub name: String,
    /// The port they are behind.
    pub port: PortId,
    /// Their link addresses; at most [`GROUP_MEMBERS_MAX`].
    pub macs: Vec<Mac>,
    /// Protocol addresses that the one in charge has; at most [`GROUP_MEMBERS_MAX`].
    pub addresses: Vec<IpAddr>,
}

/// Marks that agree in some bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMatch {
    value: u32,
    mask: u32,
}

/// A mark that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// Not a number, or two.
    #[error("{0:?} is no mark; expected VALUE or VALUE/MASK, as in \"0x1/0x1\"")]
    Form(String),
    /// No bit is compared.
    #[error("a mask of 0 compares nothing: every packet would be meant")]
    NoMask,
    /// A bit is asked for that is not compared.
    #[error("{value:#x} has bits outside the mask {mask:#x}: no packet would be meant")]
    Outside {
        /// The value.
        value: u32,
        /// The mask.
        mask: u32,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reply_mark: None,
            original_mark: None,
            everywhere: false,
            ports: Vec::new(),
            groups: Vec::new(),
            idle: IDLE,
        }
    }
}

impl Settings {
    /// Whether any packet can be meant.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.everywhere || !self.ports.is_empty() || self.original_mark.is_some()
    }

    /// Whether all flows that come by a port are meant.
    #[must_use]
    pub fn is_on_at(&self, port: PortId) -> bool {
        self.everywhere || self.ports.contains(&port)
    }

    /// Whether packets with this mark tell where they come from.
    #[must_use]
    pub fn is_original(&self, mark: u32) -> bool {
        self.original_mark.is_some_and(|wanted| wanted.matches(mark))
    }

    /// Whether replies with this mark go back.
    #[must_use]
    pub fn is_reply(&self, mark: u32) -> bool {
        self.reply_mark.is_some_and(|wanted| wanted.matches(mark))
    }

    /// The place of the group that a link address belongs to.
    #[must_use]
    pub fn group_of(&self, port: PortId, mac: Mac) -> Option<usize> {
        self.groups.iter().position(|group| group.port == port && group.macs.contains(&mac))
    }
}

impl MarkMatch {
    /// Marks that agree with `value` in the bits of `mask`.
    ///
    /// # Errors
    /// Every mark would be meant, or none.
    pub const fn new(value: u32, mask: u32) -> Result<Self, MarkError> {
        if mask == 0 {
            return Err(MarkError::NoMask);
        }
        if value & !mask != 0 {
            return Err(MarkError::Outside { value, mask });
        }
        Ok(Self { value, mask })
    }

    /// Whether a mark is meant.
    #[must_use]
    pub const fn matches(self, mark: u32) -> bool {
        mark & self.mask == self.value
    }
}

impl FromStr for MarkMatch {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let number = |text: &str| {
            let text = text.trim();
            let parsed = match text.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => text.parse(),
            };
            parsed.map_err(|_| MarkError::Form(text.to_owned()))
        };
        match text.split_once('/') {
            Some((value, mask)) => Self::new(number(value)?, number(mask)?),
            None => Self::new(number(text)?, u32::MAX),
        }
    }
}

impl std::fmt::Display for MarkMatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mask {
            u32::MAX => write!(formatter, "{:#x}", self.value),
            mask => write!(formatter, "{:#x}/{mask:#x}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_agree_in_the_bits_of_their_mask() {
        let mark: MarkMatch = "0x2/0x3".parse().unwrap();
        assert!(mark.matches(2) && mark.matches(0xff06) && !mark.matches(3) && !mark.matches(0));
        assert_eq!(mark.to_string(), "0x2/0x3");
        let whole: MarkMatch = "17".parse().unwrap();
        assert!(whole.matches(17) && !whole.matches(0x111));
        assert_eq!(whole.to_string(), "0x11");
    }

    #[test]
    fn marks_that_mean_everything_or_nothing_are_refused() {
        let wrong = |text: &str| text.parse::<MarkMatch>().unwrap_err();
        assert_eq!(wrong("0/0"), MarkError::NoMask);
        assert_eq!(wrong("0x4/0x3"), MarkError::Outside { value: 4, mask: 3 });
        assert_eq!(wrong("one"), MarkError::Form("one".into()));
        assert_eq!(wrong("1/2/3"), MarkError::Form("2/3".into()));
        assert_eq!(wrong("-1"), MarkError::Form("-1".into()));
    }

    #[test]
    fn nothing_is_meant_unless_somebody_says_so() {
        let settings = Settings::default();
        assert!(!settings.is_on() && !settings.is_on_at(PortId(0)));
        assert!(!settings.is_original(0) && !settings.is_reply(0));
        // Replies that go back to what nobody has learned go nowhere.
        let settings = Settings { reply_mark: "1".parse().ok(), ..settings };
        assert!(!settings.is_on());
        let settings = Settings { ports: vec![PortId(1)], ..settings };
        assert!(settings.is_on() && settings.is_on_at(PortId(1)) && !settings.is_on_at(PortId(0)));
    }
}
