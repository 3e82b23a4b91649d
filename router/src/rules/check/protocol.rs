//! What is known of a packet's protocols in the course of a rule (`proto_ctx` of nftables).

use super::{Result, refuse};
use crate::rules::model::{Requires, TableFamily};
use crate::rules::syntax::source::Span;

/// Protocols that statements so far ask for.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    /// EtherType.
    pub network: Option<u16>,
    /// Transport protocol.
    pub transport: Option<u8>,
    /// One of several transport protocols, by a set.
    pub several: bool,
    /// VLAN tags of the frame that have been looked into.
    pub tags: u8,
    /// What was read last says that a tag follows.
    pub tag_follows: bool,
}

impl Protocols {
    /// What a table's family says.
    pub(super) const fn of(family: TableFamily) -> Self {
        let network = match family {
            TableFamily::Ip => Some(0x0800),
            TableFamily::Ip6 => Some(0x86dd),
            TableFamily::Arp => Some(0x0806),
            TableFamily::Inet | TableFamily::Bridge => None,
        };
        Self { network, transport: None, several: false, tags: 0, tag_follows: false }
    }

    /// Takes in what a field needs; refused where it cannot be there any more.
    pub(super) fn need(&mut self, requires: &Requires, span: Span) -> Result<()> {
        if let Some(network) = requires.network {
            self.network(network, span)?;
        }
        match requires.transport {
            [] => {}
            [one] => self.transport(*one, span)?,
            several => {
                if let Some(known) = self.transport
                    && !several.contains(&known)
                {
                    return refuse(span, conflict("transport", &transport_name(known), "this"));
                }
            }
        }
        Ok(())
    }

    /// Takes in an EtherType.
    pub(super) fn network(&mut self, network: u16, span: Span) -> Result<()> {
        match self.network {
            Some(known) if known != network => {
                refuse(span, conflict("network", network_name(known), network_name(network)))
            }
            _ => {
                self.network = Some(network);
                Ok(())
            }
        }
    }

    /// Takes in a transport protocol.
    pub(super) fn transport(&mut self, transport: u8, span: Span) -> Result<()> {
        match self.transport {
            Some(known) if known != transport => {
                refuse(span, conflict("transport", &transport_name(known), &transport_name(transport)))
            }
            _ => {
                self.transport = Some(transport);
                Ok(())
            }
        }
    }
}

fn conflict(layer: &str, known: &str, other: &str) -> String {
    format!("conflicting {layer} protocols: {known} and {other}, so no packet could match")
}

fn network_name(number: u16) -> &'static str {
    match number {
        0x0800 => "ip",
        0x86dd => "ip6",
        0x0806 => "arp",
        _ => "another",
    }
}

fn transport_name(number: u8) -> String {
    use crate::rules::catalog::symbols;
    symbols::name(symbols::PROTOCOL, number.into()).map_or_else(|| number.to_string(), str::to_owned)
}
