//! The complete picture: every table asked for in turn, translated and handed on in batches.

use std::io;

use super::socket::{Messages, Socket, request};
use super::translate::{RTM_GETNEXTHOP, RTM_NEWNEXTHOP};

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `RTEXT_FILTER_SKIP_STATS` (include/uapi/linux/rtnetlink.h): counters of links are of no use here.
const SKIP_STATISTICS: u32 = 1 << 3;
/// `IFLA_EXT_MASK`.
const IFLA_EXT_MASK: u16 = 29;

/// One table of the kernel and how to ask for it.
pub(super) struct Table {
    /// What people call it.
    pub(super) name: &'static str,
    get: u16,
    /// The type its entries come as.
    pub(super) entry: u16,
    family: u8,
    /// Bytes of the family header, which strict checking wants whole.
    header_size: usize,
    /// A kernel built without it answers with an error that then means "empty".
    optional: bool,
}

/// In the order in which later entries refer to earlier ones: links, what is on them, what routes refer to, routes.
pub(super) const TABLES: [Table; 10] = [
    Table {
        name: "links",
        get: libc::RTM_GETLINK,
        entry: libc::RTM_NEWLINK,
        family: AF_UNSPEC,
        header_size: 16,
        optional: false,
    },
    Table {
        name: "IPv4 addresses",
        get: libc::RTM_GETADDR,
        entry: libc::RTM_NEWADDR,
        family: AF_INET,
        header_size: 8,
        optional: false,
    },
    Table {
        name: "IPv6 addresses",
        get: libc::RTM_GETADDR,
        entry: libc::RTM_NEWADDR,
        family: AF_INET6,
        header_size: 8,
        optional: true,
    },
    Table {
        name: "nexthop objects",
        get: RTM_GETNEXTHOP,
        entry: RTM_NEWNEXTHOP,
        family: AF_UNSPEC,
        header_size: 8,
        optional: true,
    },
    Table {
        name: "IPv4 policy rules",
        get: libc::RTM_GETRULE,
        entry: libc::RTM_NEWRULE,
        family: AF_INET,
        header_size: 12,
        optional: true,
    },
    Table {
        name: "IPv6 policy rules",
        get: libc::RTM_GETRULE,
        entry: libc::RTM_NEWRULE,
        family: AF_INET6,
        header_size: 12,
        optional: true,
    },
    Table {
        name: "IPv4 routes",
        get: libc::RTM_GETROUTE,
        entry: libc::RTM_NEWROUTE,
        family: AF_INET,
        header_size: 12,
        optional: false,
    },
    Table {
        name: "IPv6 routes",
        get: libc::RTM_GETROUTE,
        entry: libc::RTM_NEWROUTE,
        family: AF_INET6,
        header_size: 12,
        optional: true,
    },
    Table {
        name: "IPv4 neighbors",
        get: libc::RTM_GETNEIGH,
        entry: libc::RTM_NEWNEIGH,
        family: AF_INET,
        header_size: 12,
        optional: false,
    },
    Table {
        name: "IPv6 neighbors",
        get: libc::RTM_GETNEIGH,
        entry: libc::RTM_NEWNEIGH,
        family: AF_INET6,
        header_size: 12,
        optional: true,
    },
];

/// How the dump of one table went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dumped {
    /// All entries, as they were at one time.
    Whole,
    /// The kernel says the table changed underneath (`NLM_F_DUMP_INTR`): entries may be missing.
    Interrupted,
}

/// A dump that failed.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's {table} cannot be read: {error}")]
pub struct DumpError {
    /// Which table.
    pub table: &'static str,
    /// What the kernel said.
    #[source]
    pub error: io::Error,
}

/// One table being dumped: a request was sent, datagrams come in until the end.
pub(super) struct Dump<'a> {
    table: &'a Table,
    sequence: u32,
    interrupted: bool,
}

impl<'a> Dump<'a> {
    /// Asks for a table.
    pub(super) fn begin(table: &'a Table, socket: &Socket, sequence: u32) -> Result<Self, DumpError> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let flags = u16::try_from(flags).expect("message flags have 16 bits");
        socket
            .send(&request(table.get, flags, sequence, &table.body()))
            .map_err(|error| DumpError { table: table.name, error })?;
        Ok(Self { table, sequence, interrupted: false })
    }

    /// Takes one datagram, giving each entry to `entry`; says how it went at the end of the table.
    pub(super) fn take(
        &mut self,
        messages: Messages<'_>,
        mut entry: impl FnMut(u16, &[u8]),
    ) -> Result<Option<Dumped>, DumpError> {
        for message in messages.filter(|message| message.sequence == self.sequence) {
            self.interrupted |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
            match i32::from(message.kind) {
                libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                    return match message.outcome() {
                        Ok(()) if self.interrupted => Ok(Some(Dumped::Interrupted)),
                        Ok(()) => Ok(Some(Dumped::Whole)),
                        Err(error) if self.table.optional && is_unsupported(&error) => {
                            Ok(Some(Dumped::Whole))
                        }
                        Err(error) => Err(DumpError { table: self.table.name, error }),
                    };
                }
                _ if message.kind == self.table.entry => entry(message.kind, message.payload),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Table {
    /// The family header with nothing asked for, and for links the wish for no statistics.
    fn body(&self) -> Vec<u8> {
        let mut body = vec![0; self.header_size];
        body[0] = self.family;
        if self.get == libc::RTM_GETLINK {
            body.extend_from_slice(&8_u16.to_ne_bytes());
            body.extend_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
            body.extend_from_slice(&SKIP_STATISTICS.to_ne_bytes());
        }
        body
    }
}

/// What a kernel answers that was built without IPv6, policy routing or nexthop objects.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EINVAL))
}
