//! What of a packet is looked at: a word for the header or the like, and a word for its field.

use winnow::Parser;
use winnow::combinator::{cut_err, opt, preceded};
use winnow::error::ErrMode;

use super::expression::{self, Role};
use super::primitive::{
    behind, keyword, nested, next, next_word, number, number_from, second_word, skip, token, took_word, word,
};
use super::{Failure, Input, Parsed};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::tree::{
    AhField, ArpField, CompField, CtDirection, CtKey, DccpField, EspField, EtherField, ExtensionField,
    ExtensionHeader, Family, FibKey, FibResult, Field, FingerprintTtl, FragmentField, GeneveField, GreField,
    IcmpField, Icmpv6Field, IgmpField, InnerTunnel, IpOption, IpOptionField, IpsecDirection, IpsecKey,
    Ipv4Field, Ipv6Field, MetaKey, MobilityField, NumberMode, OptionsField, RawBase, RawPayload, RouteKey,
    RoutingField, SctpChunk, SctpChunkField, SctpField, SegmentsField, Selector, SocketKey, TcpField,
    TcpOption, TcpOptionField, TcpOptionName, TransportField, TunnelKey, UdpField, UdpLiteField, VlanField,
    VxlanField,
};

/// Longest raw payload, in bits (`NFT_MAX_EXPR_LEN_BITS`).
const RAW_BITS_MAX: u64 = 520;

/// Words that begin what is looked at, without those of `meta` that stand alone.
pub(super) const BEGINNINGS: &[&str] = &[
    "meta", "ct", "ether", "vlan", "arp", "ip", "ip6", "icmp", "icmpv6", "igmp", "tcp", "udp", "udplite",
    "sctp", "dccp", "th", "esp", "ah", "comp", "gre", "gretap", "vxlan", "geneve", "exthdr", "hbh", "dst",
    "rt", "rt0", "rt2", "srh", "frag", "mh", "fib", "socket", "osf", "ipsec", "tunnel", "numgen", "jhash",
    "symhash",
];

/// What is looked at, if the next word begins such.
pub(super) fn selector(input: &mut Input<'_>) -> Parsed<Option<Selector>> {
    let first = next_word(input);
    // `ipsec in reqid` is another thing than `meta ipsec`.
    if first == "ipsec" && matches!(second_word(input), "in" | "out") {
        return cut_err(ipsec).parse_next(input).map(Some);
    }
    if let Some(key) = MetaKey::from_word(first).filter(|key| key.stands_alone() && first != "secpath") {
        skip(input);
        return Ok(Some(Selector::Meta(key)));
    }
    if !BEGINNINGS.contains(&first) {
        return Ok(None);
    }
    cut_err(begun).parse_next(input).map(Some)
}

/// What is looked at, its first word being one of [`BEGINNINGS`].
fn begun(input: &mut Input<'_>) -> Parsed<Selector> {
    let first = next_word(input);
    skip(input);
    match first {
        "meta" => meta_key(input).map(Selector::Meta),
        "ct" => ct(input),
        "exthdr" => keyword!(ExtensionHeader, "an extension header")
            .map(|header| Selector::ExtensionHeader(header.value))
            .parse_next(input),
        "fib" => fib(input),
        "rt" => route(input),
        "hbh" | "dst" | "rt0" | "rt2" | "srh" | "frag" | "mh" => {
            extension_field(input, first).map(Selector::ExtensionField)
        }
        "socket" => socket(input),
        "osf" => fingerprint(input),
        "tunnel" => {
            keyword!(TunnelKey, "what of the tunnel").map(|key| Selector::Tunnel(key.value)).parse_next(input)
        }
        "numgen" => number_generator(input),
        "jhash" => jenkins_hash(input),
        "symhash" => {
            word!("mod").parse_next(input)?;
            let modulus = number_from(1).parse_next(input)?.value;
            Ok(Selector::SymmetricHash { modulus, offset: offset(input)? })
        }
        "tcp" if next_word(input) == "option" => tcp_option(input),
        "ip" if next_word(input) == "option" => ip_option(input),
        "dccp" if took_word(input, "option") => {
            number(input).map(|option| Selector::DccpOption(option.value))
        }
        "sctp" if took_word(input, "chunk") => sctp_chunk(input),
        "vxlan" | "geneve" | "gre" | "gretap" => tunneled(input, first),
        _ => field(input, first).map(Selector::Field),
    }
}

/// A field of the header that the word before it names.
fn field(input: &mut Input<'_>, header: &str) -> Parsed<Field> {
    match header {
        "ether" => keyword!(EtherField, "a field of `ether`")
            .map(|field| Field::Ether(field.value))
            .parse_next(input),
        "vlan" => {
            keyword!(VlanField, "a field of `vlan`").map(|field| Field::Vlan(field.value)).parse_next(input)
        }
        "arp" => arp(input).map(Field::Arp),
        "ip" => {
            keyword!(Ipv4Field, "a field of `ip`").map(|field| Field::Ipv4(field.value)).parse_next(input)
        }
        "ip6" => {
            keyword!(Ipv6Field, "a field of `ip6`").map(|field| Field::Ipv6(field.value)).parse_next(input)
        }
        "icmp" => {
            keyword!(IcmpField, "a field of `icmp`").map(|field| Field::Icmp(field.value)).parse_next(input)
        }
        "icmpv6" => keyword!(Icmpv6Field, "a field of `icmpv6`")
            .map(|field| Field::Icmpv6(field.value))
            .parse_next(input),
        "igmp" => {
            keyword!(IgmpField, "a field of `igmp`").map(|field| Field::Igmp(field.value)).parse_next(input)
        }
        "tcp" => {
            keyword!(TcpField, "a field of `tcp`").map(|field| Field::Tcp(field.value)).parse_next(input)
        }
        "udp" => {
            keyword!(UdpField, "a field of `udp`").map(|field| Field::Udp(field.value)).parse_next(input)
        }
        "udplite" => keyword!(UdpLiteField, "a field of `udplite`")
            .map(|field| Field::UdpLite(field.value))
            .parse_next(input),
        "sctp" => {
            keyword!(SctpField, "a field of `sctp`").map(|field| Field::Sctp(field.value)).parse_next(input)
        }
        "dccp" => {
            keyword!(DccpField, "a field of `dccp`").map(|field| Field::Dccp(field.value)).parse_next(input)
        }
        "th" => keyword!(TransportField, "a field of `th`")
            .map(|field| Field::Transport(field.value))
            .parse_next(input),
        "esp" => {
            keyword!(EspField, "a field of `esp`").map(|field| Field::Esp(field.value)).parse_next(input)
        }
        "ah" => keyword!(AhField, "a field of `ah`").map(|field| Field::Ah(field.value)).parse_next(input),
        "comp" => {
            keyword!(CompField, "a field of `comp`").map(|field| Field::Comp(field.value)).parse_next(input)
        }
        "gre" => {
            keyword!(GreField, "a field of `gre`").map(|field| Field::Gre(field.value)).parse_next(input)
        }
        "vxlan" => keyword!(VxlanField, "a field of `vxlan`")
            .map(|field| Field::Vxlan(field.value))
            .parse_next(input),
        "geneve" => keyword!(GeneveField, "a field of `geneve`")
            .map(|field| Field::Geneve(field.value))
            .parse_next(input),
        _ => Err(Failure::words(input, "the name of a header", BEGINNINGS)),
    }
}

/// `saddr ether` and the like are two words.
fn arp(input: &mut Input<'_>) -> Parsed<ArpField> {
    let pair = match (next_word(input), second_word(input)) {
        ("saddr", "ether") => ArpField::SaddrEther,
        ("daddr", "ether") => ArpField::DaddrEther,
        ("saddr", "ip") => ArpField::SaddrIp,
        ("daddr", "ip") => ArpField::DaddrIp,
        _ => return keyword!(ArpField, "a field of `arp`").map(|field| field.value).parse_next(input),
    };
    skip(input);
    skip(input);
    Ok(pair)
}

/// The key behind `meta`.
pub(super) fn meta_key(input: &mut Input<'_>) -> Parsed<MetaKey> {
    keyword!(MetaKey, "a key of `meta`").map(|key| key.value).parse_next(input)
}

/// What stands behind `ct`.
pub(super) fn ct(input: &mut Input<'_>) -> Parsed<Selector> {
    let direction =
        opt(keyword!(CtDirection, "a direction")).parse_next(input)?.map(|direction| direction.value);
    let pair = match (direction, next_word(input), second_word(input)) {
        (Some(_), "ip", "saddr") => Some(CtKey::SaddrIpv4),
        (Some(_), "ip", "daddr") => Some(CtKey::DaddrIpv4),
        (Some(_), "ip6", "saddr") => Some(CtKey::SaddrIpv6),
        (Some(_), "ip6", "daddr") => Some(CtKey::DaddrIpv6),
        _ => None,
    };
    if let Some(key) = pair {
        skip(input);
        skip(input);
        return Ok(Selector::Ct { direction, key });
    }
    let known: fn(&str) -> Option<CtKey> = match direction {
        Some(_) => |word| CtKey::from_word(word).filter(|key| key.has_directions()),
        None => |word| CtKey::from_word(word).filter(|_| !word.contains(' ')),
    };
    let key = super::primitive::one_of("a key of `ct`", CtKey::WORDS, known).parse_next(input)?;
    Ok(Selector::Ct { direction, key: key.value })
}

/// What stands behind `fib`.
fn fib(input: &mut Input<'_>) -> Parsed<Selector> {
    let start = next(input).span();
    let mut keys = Vec::new();
    loop {
        let key = keyword!(FibKey, "what to ask with").parse_next(input)?;
        if keys.contains(&key.value) {
            return Err(Failure::mistake(key.span, Mistake::Twice(key.value.word())));
        }
        keys.push(key.value);
        if !super::primitive::took(input, Kind::Dot) {
            break;
        }
    }
    let has = |key: FibKey| keys.contains(&key);
    let span = super::primitive::since(input, start);
    let mistake = match () {
        () if has(FibKey::Saddr) == has(FibKey::Daddr) => {
            Some("`fib` asks with one of `saddr` and `daddr`, and not with both")
        }
        () if has(FibKey::Iif) && has(FibKey::Oif) => Some("`fib` cannot ask with both `iif` and `oif`"),
        () => None,
    };
    if let Some(what) = mistake {
        return Err(Failure::mistake(span, Mistake::Wrong(what)));
    }
    let result = keyword!(FibResult, "what to ask for").parse_next(input)?.value;
    Ok(Selector::Fib { keys, result })
}

/// What stands behind `rt`: a field of the routing header, or of the route.
fn route(input: &mut Input<'_>) -> Parsed<Selector> {
    if let Some(field) = RoutingField::from_word(next_word(input)) {
        skip(input);
        return Ok(Selector::ExtensionField(ExtensionField::Routing(field)));
    }
    let family = family(input);
    let key = keyword!(RouteKey, "what of the route").parse_next(input)?.value;
    Ok(Selector::Route { family, key })
}

/// `ip` or `ip6`, if one stands there.
pub(super) fn family(input: &mut Input<'_>) -> Option<Family> {
    if took_word(input, "ip") {
        Some(Family::Ip)
    } else if took_word(input, "ip6") {
        Some(Family::Ip6)
    } else {
        None
    }
}

fn extension_field(input: &mut Input<'_>, header: &str) -> Parsed<ExtensionField> {
    match header {
        "hbh" => keyword!(OptionsField, "a field of `hbh`")
            .map(|field| ExtensionField::HopByHop(field.value))
            .parse_next(input),
        "dst" => keyword!(OptionsField, "a field of `dst`")
            .map(|field| ExtensionField::Destination(field.value))
            .parse_next(input),
        "frag" => keyword!(FragmentField, "a field of `frag`")
            .map(|field| ExtensionField::Fragment(field.value))
            .parse_next(input),
        "mh" => keyword!(MobilityField, "a field of `mh`")
            .map(|field| ExtensionField::Mobility(field.value))
            .parse_next(input),
        "rt0" => preceded(word!("addr"), index).map(ExtensionField::Routing0Address).parse_next(input),
        "rt2" => word!("addr").value(ExtensionField::Routing2Address).parse_next(input),
        _ if took_word(input, "sid") => index(input).map(ExtensionField::SegmentId),
        _ => keyword!(SegmentsField, "a field of `srh`")
            .map(|field| ExtensionField::Segments(field.value))
            .parse_next(input),
    }
}

/// `[N]`, from 1.
fn index(input: &mut Input<'_>) -> Parsed<u8> {
    token(Kind::LeftBracket).parse_next(input)?;
    let index = number_from(1).parse_next(input)?.value;
    token(Kind::RightBracket).parse_next(input)?;
    Ok(index)
}

fn socket(input: &mut Input<'_>) -> Parsed<Selector> {
    if took_word(input, "cgroupv2") {
        word!("level").parse_next(input)?;
        return number(input).map(|level| Selector::SocketCgroup { level: level.value });
    }
    keyword!(SocketKey, "what of the socket").map(|key| Selector::Socket(key.value)).parse_next(input)
}

fn fingerprint(input: &mut Input<'_>) -> Parsed<Selector> {
    let ttl = if took_word(input, "ttl") {
        Some(keyword!(FingerprintTtl, "how to compare").parse_next(input)?.value)
    } else {
        None
    };
    let version = took_word(input, "version");
    if !version {
        winnow::combinator::alt((word!("name"), word!("version"))).parse_next(input)?;
    }
    Ok(Selector::Fingerprint { ttl, version })
}

fn ipsec(input: &mut Input<'_>) -> Parsed<Selector> {
    skip(input);
    let direction = keyword!(IpsecDirection, "a direction").parse_next(input)?.value;
    let number = if took_word(input, "spnum") { number(input)?.value } else { 0 };
    let family = family(input);
    let key = keyword!(IpsecKey, "what of it").parse_next(input)?;
    let is_address = matches!(key.value, IpsecKey::Saddr | IpsecKey::Daddr);
    if is_address != family.is_some() {
        return Err(Failure::mistake(key.span, Mistake::Missing("`ip` or `ip6` before `saddr` or `daddr`")));
    }
    Ok(Selector::Ipsec { direction, number, family, key: key.value })
}

fn number_generator(input: &mut Input<'_>) -> Parsed<Selector> {
    let mode = keyword!(NumberMode, "how to count").parse_next(input)?.value;
    word!("mod").parse_next(input)?;
    let modulus = number_from(1).parse_next(input)?.value;
    Ok(Selector::NumberGenerator { mode, modulus, offset: offset(input)? })
}

fn jenkins_hash(input: &mut Input<'_>) -> Parsed<Selector> {
    let expression = nested(input, |input| expression::concatenation(input, Role::Left))?;
    word!("mod").parse_next(input)?;
    let modulus = number_from(1).parse_next(input)?.value;
    let seed = if took_word(input, "seed") { Some(number(input)?.value) } else { None };
    Ok(Selector::JenkinsHash { expression: Box::new(expression), modulus, seed, offset: offset(input)? })
}

fn offset(input: &mut Input<'_>) -> Parsed<u32> {
    if took_word(input, "offset") { Ok(number(input)?.value) } else { Ok(0) }
}

fn tunneled(input: &mut Input<'_>, tunnel: &str) -> Parsed<Selector> {
    let own = match tunnel {
        "vxlan" => VxlanField::from_word(next_word(input)).map(Field::Vxlan),
        "geneve" => GeneveField::from_word(next_word(input)).map(Field::Geneve),
        "gre" => GreField::from_word(next_word(input)).map(Field::Gre),
        _ => None,
    };
    if let Some(field) = own {
        skip(input);
        return Ok(Selector::Field(field));
    }
    const INSIDE: &[&str] = &[
        "ether", "vlan", "arp", "ip", "icmp", "igmp", "ip6", "icmpv6", "ah", "esp", "comp", "udp", "udplite",
        "tcp", "dccp", "sctp", "th",
    ];
    let inside = next_word(input);
    let frames = tunnel != "gre" || !matches!(inside, "ether" | "vlan" | "arp");
    if !INSIDE.contains(&inside) || !frames {
        return Err(Failure::words(input, "a header inside", INSIDE));
    }
    let tunnel = InnerTunnel::from_word(tunnel).expect("one of these called");
    Ok(Selector::Inner { tunnel, selector: Box::new(begun(input)?) })
}

/// `option KIND [FIELD]` behind `tcp`, or `option @KIND,OFFSET,LENGTH`.
fn tcp_option(input: &mut Input<'_>) -> Parsed<Selector> {
    word!("option").parse_next(input)?;
    if super::primitive::took(input, Kind::At) {
        let option = tcp_option_kind(input)?;
        token(Kind::Comma).parse_next(input)?;
        let offset_bits = number(input)?.value;
        token(Kind::Comma).parse_next(input)?;
        return Ok(Selector::TcpOptionRaw { option, offset_bits, length_bits: raw_length(input)? });
    }
    let option = tcp_option_kind(input)?;
    let field = TcpOptionField::from_word(next_word(input)).filter(|field| belongs(option, *field));
    if field.is_some() {
        skip(input);
    }
    Ok(Selector::TcpOption { option, field })
}

/// A TCP option by name or by number.
pub(super) fn tcp_option_kind(input: &mut Input<'_>) -> Parsed<TcpOption> {
    if next(input).kind == Kind::Number {
        return number(input).map(|kind| TcpOption::Kind(kind.value));
    }
    keyword!(TcpOptionName, "a TCP option").map(|option| TcpOption::Named(option.value)).parse_next(input)
}

fn belongs(option: TcpOption, field: TcpOptionField) -> bool {
    use TcpOptionName as Name;
    let TcpOption::Named(name) = option else { return field == TcpOptionField::Length };
    match field {
        TcpOptionField::Length => true,
        TcpOptionField::Size => name == Name::Maxseg,
        TcpOptionField::Count => name == Name::Window,
        TcpOptionField::Left | TcpOptionField::Right => {
            matches!(name, Name::Sack | Name::Sack1 | Name::Sack2 | Name::Sack3)
        }
        TcpOptionField::Tsval | TcpOptionField::Tsecr => name == Name::Timestamp,
        TcpOptionField::Subtype => name == Name::Mptcp,
    }
}

/// `option KIND [FIELD]` behind `ip`.
fn ip_option(input: &mut Input<'_>) -> Parsed<Selector> {
    word!("option").parse_next(input)?;
    let option = keyword!(IpOption, "an IP option").parse_next(input)?.value;
    let field = opt(keyword!(IpOptionField, "a field of an IP option")).parse_next(input)?;
    Ok(Selector::IpOption { option, field: field.map(|field| field.value) })
}

/// `KIND [FIELD]` behind `sctp chunk`.
fn sctp_chunk(input: &mut Input<'_>) -> Parsed<Selector> {
    use SctpChunk as Chunk;
    use SctpChunkField as Of;
    let chunk = keyword!(SctpChunk, "an SCTP chunk").parse_next(input)?.value;
    let belongs = |field: &Of| match field {
        Of::Type | Of::Flags | Of::Length => true,
        Of::Tsn | Of::Stream | Of::Ssn | Of::Ppid => chunk == Chunk::Data,
        Of::InitTag | Of::NumOutboundStreams | Of::NumInboundStreams | Of::InitialTsn => {
            matches!(chunk, Chunk::Init | Chunk::InitAck)
        }
        Of::ARwnd => matches!(chunk, Chunk::Init | Chunk::InitAck | Chunk::Sack),
        Of::NumGapAckBlocks | Of::NumDupTsns => chunk == Chunk::Sack,
        Of::CumTsnAck => matches!(chunk, Chunk::Sack | Chunk::Shutdown),
        Of::LowestTsn => matches!(chunk, Chunk::Ecne | Chunk::Cwr),
        Of::Seqno => matches!(chunk, Chunk::Asconf | Chunk::AsconfAck),
        Of::NewCumTsn => chunk == Chunk::ForwardTsn,
    };
    let field = SctpChunkField::from_word(next_word(input)).filter(belongs);
    if field.is_some() {
        skip(input);
    }
    Ok(Selector::SctpChunk { chunk, field })
}

/// `BASE,OFFSET,LENGTH` behind `@`.
pub(super) fn raw(input: &mut Input<'_>) -> Parsed<RawPayload> {
    let base = keyword!(RawBase, "where to begin").parse_next(input)?.value;
    token(Kind::Comma).parse_next(input)?;
    let offset_bits = number(input)?.value;
    token(Kind::Comma).parse_next(input)?;
    Ok(RawPayload { base, offset_bits, length_bits: raw_length(input)? })
}

fn raw_length(input: &mut Input<'_>) -> Result<u32, ErrMode<Failure>> {
    let length = number_from::<u32>(1).parse_next(input)?;
    if u64::from(length.value) > RAW_BITS_MAX {
        let mistake = Mistake::OutOfBounds { number: length.value.into(), least: 1, most: RAW_BITS_MAX };
        return Err(Failure::mistake(behind(input), mistake));
    }
    Ok(length.value)
}
