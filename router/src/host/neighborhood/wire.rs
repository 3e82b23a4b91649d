//! ARP and neighbor discovery messages: frames read into what they say, and frames made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::adjacency::Mac;
use smoltcp::wire::{
    ArpHardware, ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags,
    NdiscOption, NdiscOptionRepr, NdiscOptionType, NdiscRepr,
};

use crate::packet::ethernet::{self, Cast};
use crate::packet::parse;
use crate::port::Framing;

/// To everybody on a link.
pub(super) const BROADCAST: Mac = Mac([0xff; 6]);
/// All nodes of a link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Neighbor discovery messages have come over no router (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;
const ICMPV6: u8 = 58;
/// The nonce option (RFC 3971 section 5.3.2, RFC 7527).
const NONCE: u8 = 14;
/// Bytes of an option's unit of length.
const UNIT: usize = 8;

/// What tells a question of ours from another's when it comes back to us.
pub(super) type Nonce = [u8; 6];

/// A message as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Whose link address it is from.
    pub(super) link_source: Mac,
    /// Whether it was for this port alone, and not for many.
    pub(super) to_port: bool,
    /// What it says.
    pub(super) message: Message,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// An ARP request or reply.
    Arp(Arp),
    /// A neighbor solicitation.
    Solicitation {
        /// From whom; unspecified while that one tries its address.
        source: Ipv6Addr,
        /// Whether it was for many.
        to_group: bool,
        /// Who is meant.
        target: Ipv6Addr,
        /// The link address of `source`.
        link_address: Option<Mac>,
        /// Its nonce.
        nonce: Option<Nonce>,
    },
    /// A neighbor advertisement.
    Advertisement(Advertisement),
    /// A router solicitation.
    RouterSolicitation {
        /// From whom.
        source: Ipv6Addr,
        /// Its link address.
        link_address: Option<Mac>,
    },
    /// A router advertisement.
    RouterAdvertisement {
        /// From whom.
        source: Ipv6Addr,
        /// Its link address.
        link_address: Option<Mac>,
    },
    /// A redirect, which routers do not heed.
    Redirect,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arp {
    /// A question, not an answer.
    pub(super) request: bool,
    /// The sender's link address.
    pub(super) sender_mac: Mac,
    /// The sender.
    pub(super) sender: Ipv4Addr,
    /// The target's link address; zero in questions.
    pub(super) target_mac: Mac,
    /// Who is meant.
    pub(super) target: Ipv4Addr,
}

/// A neighbor advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advertisement {
    /// Whom it is about.
    pub(super) target: Ipv6Addr,
    /// The target's link address.
    pub(super) link_address: Option<Mac>,
    /// The target is a router.
    pub(super) router: bool,
    /// It answers a question.
    pub(super) solicited: bool,
    /// Its address takes the place of another.
    pub(super) replaces: bool,
}

/// Why a frame says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is neither ARP for IPv4 nor neighbor discovery.
    #[error("neither ARP nor neighbor discovery")]
    Other,
    /// It breaks a rule of RFC 826, or of RFC 4861 sections 6.1 and 7.1.
    #[error("malformed")]
    Malformed,
}

/// Reads a frame as a port with this link address has received it.
pub(super) fn read(frame: &[u8], own: Mac) -> Result<Received, Unreadable> {
    let link = ethernet::Header::read(frame).ok_or(Unreadable::Malformed)?;
    if link.vlan.is_some() {
        return Err(Unreadable::Other);
    }
    let message = match link.ether_type {
        ethernet::ARP => Message::Arp(read_arp(&frame[link.len..])?),
        ethernet::IPV6 => read_discovery(frame)?,
        _ => return Err(Unreadable::Other),
    };
    Ok(Received { link_source: link.source, to_port: link.cast(own) == Cast::Host, message })
}

fn read_arp(packet: &[u8]) -> Result<Arp, Unreadable> {
    /// Hardware type of IEEE 802 networks, which Linux takes for Ethernet's.
    const IEEE_802: u16 = 6;
    let packet = ArpPacket::new_checked(packet).map_err(|_| Unreadable::Malformed)?;
    let ethernet = matches!(packet.hardware_type(), ArpHardware::Ethernet | ArpHardware::Unknown(IEEE_802));
    if !ethernet || packet.protocol_type() != EthernetProtocol::Ipv4 {
        return Err(Unreadable::Other);
    }
    let mac = |bytes: &[u8]| bytes.try_into().map(Mac).map_err(|_| Unreadable::Malformed);
    let address =
        |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map_err(|_| Unreadable::Malformed);
    let request = match packet.operation() {
        ArpOperation::Request => true,
        ArpOperation::Reply => false,
        ArpOperation::Unknown(_) => return Err(Unreadable::Other),
    };
    let arp = Arp {
        request,
        sender_mac: mac(packet.source_hardware_addr())?,
        sender: address(packet.source_protocol_addr())?,
        target_mac: mac(packet.target_hardware_addr())?,
        target: address(packet.target_protocol_addr())?,
    };
    let is_sound = is_host_mac(arp.sender_mac) && !arp.target.is_multicast() && !arp.target.is_loopback();
    if is_sound { Ok(arp) } else { Err(Unreadable::Malformed) }
}

/// Reads a neighbor discovery message, and checks what RFC 4861 sections 6.1 and 7.1 ask for.
fn read_discovery(frame: &[u8]) -> Result<Message, Unreadable> {
    let parsed = parse::parse(frame, Framing::Ethernet).map_err(|_| Unreadable::Malformed)?;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (parsed.ip.source, parsed.ip.destination) else {
        return Err(Unreadable::Other);
    };
    if parsed.ip.protocol != ICMPV6 {
        return Err(Unreadable::Other);
    }
    if parsed.ip.fragment.is_some() {
        // RFC 6980.
        return Err(Unreadable::Malformed);
    }
    let bytes = &frame[parsed.network..][parsed.ip.transport..parsed.ip.len];
    let packet = Icmpv6Packet::new_checked(bytes).map_err(|_| Unreadable::Malformed)?;
    if !packet.msg_type().is_ndisc() {
        return Err(Unreadable::Other);
    }
    let is_sound =
        parsed.ip.ttl == HOP_LIMIT && packet.msg_code() == 0 && packet.verify_checksum(&source, &destination);
    let options = Options::read(packet.payload()).filter(|_| is_sound).ok_or(Unreadable::Malformed)?;
    let sound = |holds: bool, message| if holds { Ok(message) } else { Err(Unreadable::Malformed) };
    match packet.msg_type() {
        Icmpv6Message::NeighborSolicit => {
            let target = packet.target_addr();
            let link_address = options.source;
            let tries_ok =
                !source.is_unspecified() || link_address.is_none() && destination == solicited_node(target);
            sound(
                !target.is_multicast() && tries_ok,
                Message::Solicitation {
                    source,
                    to_group: destination.is_multicast(),
                    target,
                    link_address,
                    nonce: options.nonce,
                },
            )
        }
        Icmpv6Message::NeighborAdvert => {
            let flags = packet.neighbor_flags();
            let target = packet.target_addr();
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            sound(
                !(target.is_multicast() || solicited && destination.is_multicast()),
                Message::Advertisement(Advertisement {
                    target,
                    link_address: options.target,
                    router: flags.contains(NdiscNeighborFlags::ROUTER),
                    solicited,
                    replaces: flags.contains(NdiscNeighborFlags::OVERRIDE),
                }),
            )
        }
        Icmpv6Message::RouterSolicit => sound(
            !source.is_unspecified() || options.source.is_none(),
            Message::RouterSolicitation { source, link_address: options.source },
        ),
        Icmpv6Message::RouterAdvert => sound(
            source.is_unicast_link_local(),
            Message::RouterAdvertisement { source, link_address: options.source },
        ),
        _ => sound(source.is_unicast_link_local(), Message::Redirect),
    }
}

/// The options that are heeded.
#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
    nonce: Option<Nonce>,
}

impl Options {
    /// `None` if one has no length, ends behind the message, or has a link address of the wrong size.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut read = Self::default();
        while !bytes.is_empty() {
            let option = NdiscOption::new_checked(bytes).ok()?;
            let len = usize::from(option.data_len()) * UNIT;
            if len == 0 || len > bytes.len() {
                return None;
            }
            let value: Option<[u8; 6]> = bytes[2..len].try_into().ok();
            match option.option_type() {
                NdiscOptionType::SourceLinkLayerAddr => read.source = Some(link_address(value)?),
                NdiscOptionType::TargetLinkLayerAddr => read.target = Some(link_address(value)?),
                NdiscOptionType::Unknown(NONCE) => read.nonce = value,
                _ => {}
            }
            bytes = &bytes[len..];
        }
        Some(read)
    }
}

fn link_address(value: Option<[u8; 6]>) -> Option<Mac> {
    value.map(Mac).filter(|mac| is_host_mac(*mac))
}

/// Whether a host may have this link address. Groups are let pass, as clusters use them (RFC 1812 section 3.3.2 would
/// not, Linux does).
fn is_host_mac(mac: Mac) -> bool {
    mac != Mac::default() && mac != BROADCAST
}

/// An ARP frame.
pub(super) fn arp(arp: &Arp, destination: Mac) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: if arp.request { ArpOperation::Request } else { ArpOperation::Reply },
        source_hardware_addr: EthernetAddress(arp.sender_mac.0),
        source_protocol_addr: arp.sender,
        target_hardware_addr: EthernetAddress(arp.target_mac.0),
        target_protocol_addr: arp.target,
    };
    let ends = Ends { from: arp.sender_mac, to: destination };
    let mut frame = ends.frame(EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[ethernet::HEADER_LEN..]));
    frame
}

/// An ARP request: from a port's link address and one of the router's addresses, to everybody or to one.
pub(super) fn arp_request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr, destination: Mac) -> Vec<u8> {
    arp(&Arp { request: true, sender_mac, sender, target_mac: Mac::default(), target }, destination)
}

/// A neighbor solicitation: to the target's group, or to its link address where that is given.
pub(super) fn solicitation(
    mac: Mac,
    source: Ipv6Addr,
    target: Ipv6Addr,
    to: Option<Mac>,
    nonce: Option<Nonce>,
) -> Vec<u8> {
    let destination = if to.is_some() { target } else { solicited_node(target) };
    let lladdr = (!source.is_unspecified()).then(|| EthernetAddress(mac.0).into());
    let repr = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
    let nonce = nonce.map(|nonce| nonce_option(&nonce));
    let options = nonce.iter().map(Vec::as_slice);
    let ends = Ends { from: mac, to: to.unwrap_or_else(|| group_mac(destination)) };
    ends.icmpv6(source, destination, discovery(&repr, options))
}

/// A neighbor advertisement from `source` to `destination`, at link address `to`.
pub(super) fn advertisement(
    mac: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    to: Mac,
    advertisement: &Advertisement,
) -> Vec<u8> {
    let mut flags = NdiscNeighborFlags::empty();
    flags.set(NdiscNeighborFlags::ROUTER, advertisement.router);
    flags.set(NdiscNeighborFlags::SOLICITED, advertisement.solicited);
    flags.set(NdiscNeighborFlags::OVERRIDE, advertisement.replaces);
    let lladdr = advertisement.link_address.map(|mac| EthernetAddress(mac.0).into());
    let repr = NdiscRepr::NeighborAdvert { flags, target_addr: advertisement.target, lladdr };
    Ends { from: mac, to }.icmpv6(source, destination, discovery(&repr, []))
}

/// A router advertisement to all nodes, with options of any kind behind those that `repr` has, and with more flags than
/// the library knows.
pub(super) fn router_advertisement<'a>(
    mac: Mac,
    source: Ipv6Addr,
    repr: &NdiscRepr<'_>,
    more_flags: u8,
    options: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    const FLAGS: usize = 5;
    let mut message = discovery(repr, options);
    message[FLAGS] |= more_flags;
    Ends { from: mac, to: group_mac(ALL_NODES) }.icmpv6(source, ALL_NODES, message)
}

/// An option's bytes.
pub(super) fn option(option: &NdiscOptionRepr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; option.buffer_len()];
    option.emit(&mut NdiscOption::new_unchecked(&mut bytes));
    bytes
}

fn nonce_option(nonce: &Nonce) -> Vec<u8> {
    option(&NdiscOptionRepr::Unknown { type_: NONCE, length: 1, data: nonce })
}

/// The group of all nodes whose address ends like this one (RFC 4291 section 2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., x, y, z] = address.octets();
    let [high, low] = [u16::from_be_bytes([0xff, x]), u16::from_be_bytes([y, z])];
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low)
}

/// The link address of an IPv6 group (RFC 2464 section 7).
pub(super) fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Link addresses of a frame.
struct Ends {
    from: Mac,
    to: Mac,
}

impl Ends {
    /// An Ethernet header, and room for `len` bytes.
    fn frame(&self, ethertype: EthernetProtocol, len: usize) -> Vec<u8> {
        let repr = EthernetRepr {
            src_addr: EthernetAddress(self.from.0),
            dst_addr: EthernetAddress(self.to.0),
            ethertype,
        };
        let mut frame = vec![0; ethernet::HEADER_LEN + len];
        repr.emit(&mut EthernetFrame::new_unchecked(&mut frame));
        frame
    }

    /// An ICMPv6 message, its checksum filled in.
    fn icmpv6(&self, source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
        Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &destination);
        let ip = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.len(),
            hop_limit: HOP_LIMIT,
        };
        let mut frame = self.frame(EthernetProtocol::Ipv6, ip.buffer_len() + message.len());
        let packet = &mut frame[ethernet::HEADER_LEN..];
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut *packet));
        packet[ip.buffer_len()..].copy_from_slice(&message);
        frame
    }
}

/// A message with options behind those that `repr` has, its checksum still missing.
fn discovery<'a>(repr: &NdiscRepr<'_>, options: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(&mut Icmpv6Packet::new_unchecked(&mut message[..]));
    options.into_iter().for_each(|option| message.extend_from_slice(option));
    message
}
