//! What rules of bridges imply of a frame: its EtherType and its VLAN tags (`payload_gen_dependency` of nftables).
//!
//! In tables of IP the family says what a packet is. In a bridge nft puts a match before the first field of a protocol; so
//! does this, with the same match, as they differ for frames with a tag.

use super::expression::Scope;
use super::{Result, refuse};
use crate::rules::catalog::fields;
use crate::rules::model::{
    Comparison, Expression, Field, Match, MetaKey, Right, Selector, Statement, TableFamily,
};
use crate::rules::syntax::source::Span;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
const TAG: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
const SERVICE_TAG: u16 = 0x88a8;

/// What tells the network protocol of a frame without a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// `meta protocol`: what follows the outermost tag, if there is one.
    Meta,
    /// `ether type`: what follows the addresses.
    Link,
}

impl Scope<'_> {
    /// Takes in what a field needs, and puts the matches that nft implies before it.
    pub(super) fn need_headers(&mut self, field: &'static Field, span: Span) -> Result<()> {
        let network = match field.header {
            // Of a transport protocol that is known nothing more is asked.
            "icmp" | "igmp" | "icmpv6" if self.protocols.transport.is_some() => None,
            "icmp" | "igmp" => Some((IPV4, Tells::Link)),
            "icmpv6" => Some((IPV6, Tells::Link)),
            "ip" | "ip6" => field.requires.network.map(|network| (network, Tells::Meta)),
            _ => field.requires.network.map(|network| (network, Tells::Link)),
        };
        if self.family() == TableFamily::Bridge
            && let Some((network, tells)) = network
        {
            self.need_network(network, tells, span)?;
        }
        self.protocols.need(&field.requires, span)
    }

    /// Takes in a network protocol.
    pub(super) fn need_network(&mut self, network: u16, tells: Tells, span: Span) -> Result<()> {
        if self.family() == TableFamily::Bridge && self.protocols.network.is_none() {
            // A tag that was only announced is one too.
            self.protocols.tags += u8::from(std::mem::take(&mut self.protocols.tag_follows));
            let left = match (self.protocols.tags, tells) {
                (0, Tells::Meta) => Selector::Meta(MetaKey::Protocol),
                (0, Tells::Link) => Selector::Field(ether_type()),
                (tags, _) => match fields::of_tag(tags, "type") {
                    Some(field) => Selector::Field(field),
                    None => return refuse(span, TOO_MANY_TAGS),
                },
            };
            self.imply(left, network);
        }
        self.protocols.network(network, span)
    }

    /// A field of the tag that a frame has at this place of a rule.
    pub(super) fn field_of_tag(&mut self, name: &'static str, span: Span) -> Result<&'static Field> {
        if self.family() != TableFamily::Bridge {
            return refuse(
                span,
                "tagged frames do not come to this router's IP rules: match tags in a table of family bridge",
            );
        }
        let protocols = &mut self.protocols;
        if protocols.network.is_some() {
            return refuse(span, "the rule says already that no tag follows: match `vlan` first");
        }
        let is_announced = std::mem::take(&mut protocols.tag_follows);
        let is_first = protocols.tags == 0;
        protocols.tags += u8::from(is_announced || is_first);
        let tags = protocols.tags;
        if is_first && !is_announced {
            self.imply(Selector::Field(ether_type()), TAG);
        }
        match fields::of_tag(tags, name) {
            Some(field) => Ok(field),
            None => refuse(span, TOO_MANY_TAGS),
        }
    }

    /// Takes in what a match of an EtherType says of what follows.
    pub(super) fn learn_ether_type(&mut self, ether_type: u16, span: Span) -> Result<()> {
        if self.family() == TableFamily::Bridge && matches!(ether_type, TAG | SERVICE_TAG) {
            self.protocols.tag_follows = true;
            return Ok(());
        }
        self.protocols.network(ether_type, span)
    }

    fn imply(&mut self, left: Selector, ether_type: u16) {
        self.implied.push(Statement::Match(Match {
            left: Expression::Select(left),
            comparison: Comparison::Equal,
            right: Right::Value(ether_type.to_be_bytes().as_slice().into()),
        }));
    }
}

const TOO_MANY_TAGS: &str = "this router reads two tags of a frame";

fn ether_type() -> &'static Field {
    fields::named("ether", "type").expect("a frame has an EtherType")
}
