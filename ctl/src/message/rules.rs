//! Rules in nft's language: what is loaded, what became of it, and what is listed.

use serde::{Deserialize, Serialize};

/// A file of rules on its way to routerd, which parses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesFile {
    /// Its name, as errors give it; `-` for standard input.
    pub name: String,
    /// Where relative paths of `include` lead from: the directory the user stands in.
    pub directory: String,
    /// Its text.
    pub text: String,
}

/// What of the rules is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesFilter {
    /// As objects of libnftables' JSON schema instead of text.
    #[serde(default)]
    pub json: bool,
    /// With the handles of everything.
    #[serde(default)]
    pub handles: bool,
    /// Without counters and what else changes by itself.
    #[serde(default)]
    pub stateless: bool,
    /// Tables of this family only: ip, ip6, inet, arp, bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The table of this name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// What became of a file of rules: what is there now, and what has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesLoaded {
    /// In force; false when the file was only checked.
    pub loaded: bool,
    /// Tables there are now.
    pub tables: u64,
    /// Chains there are now.
    pub chains: u64,
    /// Rules there are now.
    pub rules: u64,
    /// Named sets and maps there are now.
    pub sets: u64,
    /// Elements in them.
    pub elements: u64,
    /// Rules that are new.
    pub rules_added: u64,
    /// Rules that are gone.
    pub rules_removed: u64,
    /// Chains that are new.
    pub chains_added: u64,
    /// Chains that are gone.
    pub chains_removed: u64,
    /// Named sets and maps that are new.
    pub sets_added: u64,
    /// Named sets and maps that are gone.
    pub sets_removed: u64,
}

/// What a rule's `log` statement says of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// `prefix` of the statement.
    pub prefix: String,
    /// `group` of the statement, if it has one.
    pub group: Option<u16>,
    /// `level` of the statement, such as `warn`.
    pub level: String,
    /// The packet, as the kernel's log prints it: `IN=r0 OUT=r1 SRC=…`.
    pub packet: String,
}
