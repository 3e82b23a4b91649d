//! Words of `meta`, `ct`, `fib` and `rt` (`meta.c`, `ct.c`, `fib.c`, `rt.c` of nftables).

use crate::rules::model::{Ctype, Direction, FibResult, MetaKey};
use crate::rules::syntax::tree;

/// `meta` keys that rules can read, and whether nft lists them without `meta`.
const META: &[(tree::MetaKey, MetaKey)] = &[
    (tree::MetaKey::Length, MetaKey::Length),
    (tree::MetaKey::Protocol, MetaKey::Protocol),
    (tree::MetaKey::Nfproto, MetaKey::NetfilterProtocol),
    (tree::MetaKey::L4proto, MetaKey::TransportProtocol),
    (tree::MetaKey::Mark, MetaKey::Mark),
    (tree::MetaKey::Priority, MetaKey::Priority),
    (tree::MetaKey::Iif, MetaKey::InputIndex),
    (tree::MetaKey::Oif, MetaKey::OutputIndex),
    (tree::MetaKey::Iifname, MetaKey::InputName),
    (tree::MetaKey::Oifname, MetaKey::OutputName),
    (tree::MetaKey::Iiftype, MetaKey::InputType),
    (tree::MetaKey::Oiftype, MetaKey::OutputType),
    (tree::MetaKey::Iifkind, MetaKey::InputKind),
    (tree::MetaKey::Oifkind, MetaKey::OutputKind),
    (tree::MetaKey::Iifgroup, MetaKey::InputGroup),
    (tree::MetaKey::Oifgroup, MetaKey::OutputGroup),
    (tree::MetaKey::Pkttype, MetaKey::PacketType),
    (tree::MetaKey::Random, MetaKey::Random),
    (tree::MetaKey::Cpu, MetaKey::Cpu),
    (tree::MetaKey::Time, MetaKey::Time),
    (tree::MetaKey::Day, MetaKey::Day),
    (tree::MetaKey::Hour, MetaKey::Hour),
    (tree::MetaKey::Rtclassid, MetaKey::Realm),
    (tree::MetaKey::Ibrname, MetaKey::InputBridge),
    (tree::MetaKey::Obrname, MetaKey::OutputBridge),
    (tree::MetaKey::Ibrhwaddr, MetaKey::InputBridgeAddress),
];

/// The key of this word, if rules can read it.
#[must_use]
pub fn meta(word: tree::MetaKey) -> Option<MetaKey> {
    META.iter().find(|(key, _)| *key == word).map(|(_, key)| *key)
}

/// The word of a key.
#[must_use]
pub fn meta_word(key: MetaKey) -> &'static str {
    META.iter().find(|(_, other)| *other == key).map_or("", |(word, _)| word.word())
}

/// Whether nft lists a key without `meta` (`meta_key_is_unqualified`).
#[must_use]
pub const fn is_listed_alone(key: MetaKey) -> bool {
    matches!(
        key,
        MetaKey::InputIndex
            | MetaKey::OutputIndex
            | MetaKey::InputName
            | MetaKey::OutputName
            | MetaKey::InputGroup
            | MetaKey::OutputGroup
    )
}

/// `ct` keys that rules can read.
const CT: &[(tree::CtKey, Ctype)] = &[
    (tree::CtKey::State, Ctype::State),
    (tree::CtKey::Direction, Ctype::Direction),
    (tree::CtKey::Status, Ctype::Status),
    (tree::CtKey::Mark, Ctype::Mark),
    (tree::CtKey::Expiration, Ctype::Expiration),
    (tree::CtKey::Helper, Ctype::Helper),
    (tree::CtKey::Label, Ctype::Label),
    (tree::CtKey::Id, Ctype::Id),
    (tree::CtKey::L3proto, Ctype::NetworkProtocol),
    (tree::CtKey::Protocol, Ctype::Protocol),
    (tree::CtKey::Zone, Ctype::Zone),
    (tree::CtKey::SaddrIpv4, Ctype::SourceIpv4),
    (tree::CtKey::DaddrIpv4, Ctype::DestinationIpv4),
    (tree::CtKey::SaddrIpv6, Ctype::SourceIpv6),
    (tree::CtKey::DaddrIpv6, Ctype::DestinationIpv6),
    (tree::CtKey::ProtoSrc, Ctype::SourcePort),
    (tree::CtKey::ProtoDst, Ctype::DestinationPort),
    (tree::CtKey::Packets, Ctype::Packets),
    (tree::CtKey::Bytes, Ctype::Bytes),
    (tree::CtKey::Avgpkt, Ctype::AverageBytes),
];

/// The key of this word, if rules can read it.
#[must_use]
pub fn ct(word: tree::CtKey) -> Option<Ctype> {
    CT.iter().find(|(key, _)| *key == word).map(|(_, key)| *key)
}

/// The word of a key.
#[must_use]
pub fn ct_word(key: Ctype) -> &'static str {
    CT.iter().find(|(_, other)| *other == key).map_or("", |(word, _)| word.word())
}

/// The direction of this word.
#[must_use]
pub const fn direction(word: tree::CtDirection) -> Direction {
    match word {
        tree::CtDirection::Original => Direction::Original,
        tree::CtDirection::Reply => Direction::Reply,
    }
}

/// The word of a direction.
#[must_use]
pub const fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Original => "original",
        Direction::Reply => "reply",
    }
}

/// What is asked of `fib`.
#[must_use]
pub const fn fib_result(word: tree::FibResult) -> FibResult {
    match word {
        tree::FibResult::Oif => FibResult::Index,
        tree::FibResult::Oifname => FibResult::Name,
        tree::FibResult::Type => FibResult::AddressType,
        tree::FibResult::Check => FibResult::Present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_model_has_the_word_it_was_read_by() {
        for (word, key) in META {
            assert_eq!(meta_word(meta(*word).unwrap()), word.word());
            assert_eq!(meta(*word), Some(*key));
        }
        for (word, key) in CT {
            assert_eq!(ct_word(ct(*word).unwrap()), word.word());
            assert_eq!(ct(*word), Some(*key));
        }
    }
}
