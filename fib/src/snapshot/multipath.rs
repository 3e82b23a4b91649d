//! Which of several equal ways a packet takes: Linux's hash-threshold method, RFC 2992.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::{Depends, Query};
use crate::change::NamespaceSettings;

/// Key of the hash. Linux draws its own at boot, so the same flow may take another member there.
pub(crate) type HashKey = (u64, u64);

/// A 31-bit hash of what `fib_multipath_hash_policy` names (`fib_multipath_hash`, `rt6_multipath_hash`); which parts
/// of the query that is goes into `depends`. The IPv6 flow label is left out.
pub(super) fn hash(query: &Query, settings: &NamespaceSettings, key: &HashKey, depends: &mut Depends) -> i32 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    depends.source = true;
    let policy = match (query.source, query.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            hasher.write(&source.octets());
            hasher.write(&destination.octets());
            settings.multipath_hash_policy_v4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            hasher.write(&source.octets());
            hasher.write(&destination.octets());
            hasher.write_u8(query.protocol);
            depends.ports = true;
            settings.multipath_hash_policy_v6
        }
        _ => 0,
    };
    if policy != 0 {
        depends.ports = true;
        hasher.write_u8(query.protocol);
        hasher.write_u16(query.source_port);
        hasher.write_u16(query.destination_port);
    }
    (hasher.finish() >> 33) as i32
}
