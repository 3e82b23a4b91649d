//! Options of TCP and IPv4 headers, and IPv6 extension headers (`tcpopt.c`, `ipopt.c`, `exthdr.c` of nftables).

use crate::rules::model::{ExtensionField, OptionField, Type};
use crate::rules::syntax::tree;

/// The kind of a TCP option, and the word it is listed by (a number's is its own).
#[must_use]
pub const fn tcp_kind(option: tree::TcpOption) -> (u8, &'static str) {
    use tree::TcpOptionName as N;
    match option {
        tree::TcpOption::Kind(kind) => match tcp_named(kind) {
            Some(word) => (kind, word),
            None => (kind, ""),
        },
        tree::TcpOption::Named(name) => match name {
            N::Eol => (0, "eol"),
            N::Nop => (1, "nop"),
            N::Maxseg => (2, "maxseg"),
            N::Window => (3, "window"),
            N::SackPerm => (4, "sack-perm"),
            N::Sack => (5, "sack"),
            N::Sack1 => (5, "sack1"),
            N::Sack2 => (5, "sack2"),
            N::Sack3 => (5, "sack3"),
            N::Echo => (6, "echo"),
            N::Timestamp => (8, "timestamp"),
            N::Md5sig => (19, "md5sig"),
            N::Mptcp => (30, "mptcp"),
            N::Fastopen => (34, "fastopen"),
        },
    }
}

const fn tcp_named(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "eol",
        1 => "nop",
        2 => "maxseg",
        3 => "window",
        4 => "sack-perm",
        5 => "sack",
        6 => "echo",
        8 => "timestamp",
        19 => "md5sig",
        30 => "mptcp",
        34 => "fastopen",
        _ => return None,
    })
}

/// Where a field of a TCP option is; `None` where the option has none of that name.
#[must_use]
pub fn tcp(option: tree::TcpOption, field: Option<tree::TcpOptionField>) -> Option<OptionField> {
    use tree::TcpOptionField as F;
    let (kind, word) = tcp_kind(option);
    let block = match word {
        "sack1" => 64,
        "sack2" => 128,
        "sack3" => 192,
        _ => 0,
    };
    let (offset, length) = match (kind, field) {
        (_, None) => (0, 0),
        (2..=255, Some(F::Length)) => (8, 8),
        (2, Some(F::Size)) => (16, 16),
        (3, Some(F::Count)) => (16, 8),
        (5, Some(F::Left)) => (16 + block, 32),
        (5, Some(F::Right)) => (48 + block, 32),
        (8, Some(F::Tsval)) => (16, 32),
        (8, Some(F::Tsecr)) => (48, 32),
        (30, Some(F::Subtype)) => (16, 4),
        _ => return None,
    };
    let names = (word, field.map(tree::TcpOptionField::word));
    Some(OptionField { of_tcp: true, option: kind, names, offset, length, kind: Type::Integer(length) })
}

/// Where a field of an IPv4 option is; `None` where the option has none of that name.
#[must_use]
pub fn ipv4(option: tree::IpOption, field: Option<tree::IpOptionField>) -> Option<OptionField> {
    use tree::IpOptionField as F;
    let kind = match option {
        tree::IpOption::Rr => 7,
        tree::IpOption::Lsrr => 131,
        tree::IpOption::Ssrr => 137,
        tree::IpOption::Ra => 148,
    };
    let (offset, length) = match (option, field) {
        (_, None) => (0, 0),
        (_, Some(F::Type)) => (0, 8),
        (_, Some(F::Length)) => (8, 8),
        (tree::IpOption::Ra, Some(F::Value)) => (16, 16),
        (tree::IpOption::Ra, _) | (_, Some(F::Value)) => return None,
        (_, Some(F::Ptr)) => (16, 8),
        (_, Some(F::Addr)) => (24, 32),
    };
    let names = (option.word(), field.map(tree::IpOptionField::word));
    Some(OptionField { of_tcp: false, option: kind, names, offset, length, kind: Type::Integer(length) })
}

/// An extension header, asked for as a whole.
#[must_use]
pub const fn extension(header: tree::ExtensionHeader) -> ExtensionField {
    use tree::ExtensionHeader as H;
    let number = match header {
        H::HopByHop => 0,
        H::Routing => 43,
        H::Fragment => 44,
        H::Destination => 60,
        H::Mobility => 135,
    };
    ExtensionField { header: number, names: (header.word(), None), offset: 0, length: 0, kind: Type::Boolean }
}

/// Where a field of an extension header is; `None` for one that is not read.
#[must_use]
pub const fn extension_field(field: tree::ExtensionField) -> Option<ExtensionField> {
    use tree::{
        ExtensionField as E, FragmentField as F, MobilityField as M, OptionsField as O, RoutingField as R,
        SegmentsField as S,
    };
    let (header, name, word, offset, length, kind) = match field {
        E::HopByHop(O::Nexthdr) => (0, "hbh", "nexthdr", 0, 8, Type::Protocol),
        E::HopByHop(O::Hdrlength) => (0, "hbh", "hdrlength", 8, 8, Type::Integer(8)),
        E::Destination(O::Nexthdr) => (60, "dst", "nexthdr", 0, 8, Type::Protocol),
        E::Destination(O::Hdrlength) => (60, "dst", "hdrlength", 8, 8, Type::Integer(8)),
        E::Routing(R::Nexthdr) => (43, "rt", "nexthdr", 0, 8, Type::Protocol),
        E::Routing(R::Hdrlength) => (43, "rt", "hdrlength", 8, 8, Type::Integer(8)),
        E::Routing(R::Type) => (43, "rt", "type", 16, 8, Type::Integer(8)),
        E::Routing(R::SegLeft) => (43, "rt", "seg-left", 24, 8, Type::Integer(8)),
        E::Segments(S::LastEntry) => (43, "srh", "last-entry", 32, 8, Type::Integer(8)),
        E::Segments(S::Flags) => (43, "srh", "flags", 40, 8, Type::Integer(8)),
        E::Segments(S::Tag) => (43, "srh", "tag", 48, 16, Type::Integer(16)),
        E::Fragment(F::Nexthdr) => (44, "frag", "nexthdr", 0, 8, Type::Protocol),
        E::Fragment(F::Reserved) => (44, "frag", "reserved", 8, 8, Type::Integer(8)),
        E::Fragment(F::FragOff) => (44, "frag", "frag-off", 16, 13, Type::Integer(13)),
        E::Fragment(F::Reserved2) => (44, "frag", "reserved2", 29, 2, Type::Integer(2)),
        E::Fragment(F::MoreFragments) => (44, "frag", "more-fragments", 31, 1, Type::Integer(1)),
        E::Fragment(F::Id) => (44, "frag", "id", 32, 32, Type::Integer(32)),
        E::Mobility(M::Nexthdr) => (135, "mh", "nexthdr", 0, 8, Type::Protocol),
        E::Mobility(M::Hdrlength) => (135, "mh", "hdrlength", 8, 8, Type::Integer(8)),
        E::Mobility(M::Type) => (135, "mh", "type", 16, 8, Type::Integer(8)),
        E::Mobility(M::Reserved) => (135, "mh", "reserved", 24, 8, Type::Integer(8)),
        E::Mobility(M::Checksum) => (135, "mh", "checksum", 32, 16, Type::Integer(16)),
        E::Routing0Address(_) | E::Routing2Address | E::SegmentId(_) => return None,
    };
    Some(ExtensionField { header, names: (name, Some(word)), offset, length, kind })
}
