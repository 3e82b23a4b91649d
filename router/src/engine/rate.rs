//! How often ICMP errors and redirects may be sent: a bucket for each target and one for all, as the kernel has them.
//!
//! A target's bucket is shared by everything that is said to it, exactly as the fields of `struct inet_peer` are:
//! an error for want of a route pays twice (`ip_error` and `icmp_send`), an IPv4 redirect moves the same clock.
//! Time is milliseconds since any fixed moment.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;

use super::icmp::Error4;

/// Errors that may be sent at once to a target that was silent (`XRLIM_BURST_FACTOR`).
const BURST_FACTOR: u64 = 6;
/// What a target that was never heard of has saved up, in milliseconds (`inet_getpeer`).
const NEWCOMER_MS: u64 = 60_000;
/// The bucket for all is filled in steps of at least this (`HZ / 50`).
const REFILL_MS: u64 = 20;
/// ... and at most this (`HZ`).
const REFILL_MAX_MS: u64 = 1000;
/// Between two IPv6 redirects to one host, or about one destination (`ip6_forward`, `ndisc_send_redirect`).
const REDIRECT6_MS: u64 = 1000;
/// The highest ICMPv4 type that `icmp_ratemask` can name.
const RATEMASK_TYPE_MAX: u8 = 18;
/// Places a target may have in the table.
const WAYS: usize = 8;

/// What is in force; the defaults are those of Linux 6.18.44.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `net.ipv4.icmp_ratelimit`: milliseconds an ICMPv4 error costs.
    pub icmp_ratelimit_ms: u64,
    /// `net.ipv4.icmp_ratemask`: bit for each ICMPv4 type that is limited.
    pub icmp_ratemask: u32,
    /// `net.ipv4.icmp_msgs_per_sec`: errors of both families per second.
    pub messages_per_second: u64,
    /// `net.ipv4.icmp_msgs_burst`: errors of both families at once.
    pub messages_burst: i64,
    /// `net.ipv4.route.error_cost`, in milliseconds.
    pub error_cost_ms: u64,
    /// `net.ipv4.route.error_burst`, in milliseconds.
    pub error_burst_ms: u64,
    /// `net.ipv4.route.redirect_number`: redirects until a host is taken for deaf.
    pub redirect_number: u32,
    /// `net.ipv4.route.redirect_load`, in milliseconds: doubled with each redirect.
    pub redirect_load_ms: u64,
    /// `net.ipv4.route.redirect_silence`, in milliseconds: after so long all is forgotten.
    pub redirect_silence_ms: u64,
    /// `net.ipv6.icmp.ratelimit`: milliseconds an ICMPv6 error costs.
    pub icmpv6_ratelimit_ms: u64,
    /// `net.ipv6.icmp.ratemask`: bit for each ICMPv6 type that is limited.
    pub icmpv6_ratemask: [u64; 4],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            icmp_ratelimit_ms: 1000,
            icmp_ratemask: 6168,
            messages_per_second: 1000,
            messages_burst: 50,
            error_cost_ms: 1000,
            error_burst_ms: 5000,
            redirect_number: 9,
            redirect_load_ms: 20,
            redirect_silence_ms: 20_480,
            icmpv6_ratelimit_ms: 100,
            icmpv6_ratemask: [!(1 << 2), !0, 0, 0],
        }
    }
}

/// What one host has been told lately.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: IpAddr,
    /// Saved up, in milliseconds.
    tokens: u64,
    last_ms: u64,
    redirects: u32,
}

impl Peer {
    /// `inet_peer_xrlim_allow` (`net/ipv4/inetpeer.c`).
    fn allow(&mut self, now_ms: u64, cost_ms: u64) -> bool {
        self.save(now_ms, BURST_FACTOR * cost_ms);
        self.pay(cost_ms)
    }

    fn save(&mut self, now_ms: u64, tokens_max: u64) {
        self.tokens = (self.tokens + now_ms.saturating_sub(self.last_ms)).min(tokens_max);
        self.last_ms = now_ms;
    }

    fn pay(&mut self, cost_ms: u64) -> bool {
        match self.tokens.checked_sub(cost_ms) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }
}

/// All buckets of a router. Of bounded size: a new target takes the place of the one that was told something
/// longest ago among `WAYS`, and a target that was displaced counts as new when it comes back.
#[derive(Debug)]
pub struct Limiter {
    settings: Settings,
    peers: Box<[Option<Peer>]>,
    hash: SipHasher13,
    /// For all targets; may be below 0 (`icmp_global_consume`).
    credit: i64,
    filled_ms: Option<u64>,
    random: u64,
    displaced: u64,
}

impl Limiter {
    /// Buckets for `peers_max` targets (rounded up to a multiple of eight times a power of two), placed by a hash
    /// keyed with `seed`.
    #[must_use]
    pub fn new(settings: Settings, peers_max: usize, seed: [u64; 2]) -> Self {
        let sets = peers_max.div_ceil(WAYS).next_power_of_two();
        Self {
            settings,
            peers: vec![None; sets * WAYS].into_boxed_slice(),
            hash: SipHasher13::new_with_keys(seed[0], seed[1]),
            credit: 0,
            filled_ms: None,
            random: seed[0] ^ seed[1] | 1,
            displaced: 0,
        }
    }

    /// Puts other settings in force; what targets have saved up stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Whether a packet without a route is worth an error at all: what `ip_error` asks before `icmp_send` asks
    /// [`Self::allow_error4`]. `source` is the packet's.
    pub fn allow_route_error4(&mut self, now_ms: u64, source: Ipv4Addr) -> bool {
        let Settings { error_cost_ms, error_burst_ms, .. } = self.settings;
        let peer = self.peer(now_ms, source.into());
        peer.save(now_ms, error_burst_ms);
        peer.pay(error_cost_ms)
    }

    /// Whether this error may be sent to `target` now (`icmpv4_global_allow`, then `icmpv4_xrlim_allow`).
    pub fn allow_error4(&mut self, now_ms: u64, target: Ipv4Addr, error: Error4) -> bool {
        let limited = error.kind() <= RATEMASK_TYPE_MAX
            && !matches!(error, Error4::FragmentationNeeded { .. })
            && self.settings.icmp_ratemask >> error.kind() & 1 == 1;
        !limited || self.allow(now_ms, target.into(), self.settings.icmp_ratelimit_ms)
    }

    /// Whether an ICMPv6 error of this type may be sent to `target` now (`icmpv6_global_allow`, then
    /// `icmpv6_xrlim_allow`). Older kernels said more to hosts behind wider prefixes.
    pub fn allow_error6(&mut self, now_ms: u64, target: Ipv6Addr, kind: u8) -> bool {
        let word = self.settings.icmpv6_ratemask[usize::from(kind / 64)];
        let limited = word >> (kind % 64) & 1 == 1;
        !limited || self.allow(now_ms, target.into(), self.settings.icmpv6_ratelimit_ms)
    }

    /// Whether to redirect the IPv4 host now (`ip_rt_send_redirect`): the first redirects with growing pauses, then
    /// none until it has been quiet for a while. Asked for each packet that would deserve one.
    pub fn allow_redirect4(&mut self, now_ms: u64, host: Ipv4Addr) -> bool {
        let Settings { redirect_number, redirect_load_ms, redirect_silence_ms, .. } = self.settings;
        let peer = self.peer(now_ms, host.into());
        if now_ms > peer.last_ms + redirect_silence_ms {
            peer.tokens = 0;
            peer.redirects = 0;
        }
        if peer.redirects >= redirect_number {
            peer.last_ms = now_ms;
            return false;
        }
        let pause_ms = redirect_load_ms << peer.redirects.min(32);
        if peer.redirects != 0 && now_ms <= peer.last_ms + pause_ms {
            return false;
        }
        peer.last_ms = now_ms;
        peer.redirects += 1;
        true
    }

    /// Whether any IPv6 host may be redirected now about this destination (`ip6_forward`).
    pub fn allow_redirect6_about(&mut self, now_ms: u64, destination: Ipv6Addr) -> bool {
        self.peer(now_ms, destination.into()).allow(now_ms, REDIRECT6_MS)
    }

    /// Whether this IPv6 host may be redirected now (`ndisc_send_redirect`, once all else speaks for it).
    pub fn allow_redirect6_to(&mut self, now_ms: u64, host: Ipv6Addr) -> bool {
        self.peer(now_ms, host.into()).allow(now_ms, REDIRECT6_MS)
    }

    /// Targets that had to give way to others so far.
    #[must_use]
    pub const fn displaced(&self) -> u64 {
        self.displaced
    }

    fn allow(&mut self, now_ms: u64, target: IpAddr, cost_ms: u64) -> bool {
        let allowed = self.has_credit(now_ms) && self.peer(now_ms, target).allow(now_ms, cost_ms);
        if allowed {
            self.credit -= self.zero_to_two();
        }
        allowed
    }

    /// `icmp_global_allow` (`net/ipv4/icmp.c`).
    fn has_credit(&mut self, now_ms: u64) -> bool {
        if self.credit > 0 {
            return true;
        }
        let waited_ms =
            self.filled_ms.map_or(REFILL_MAX_MS, |filled| now_ms.saturating_sub(filled)).min(REFILL_MAX_MS);
        if waited_ms < REFILL_MS {
            return false;
        }
        let refill = self.settings.messages_per_second * waited_ms / 1000;
        if refill == 0 {
            return false;
        }
        self.filled_ms = Some(now_ms);
        let refill = i64::try_from(refill).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(refill).min(self.settings.messages_burst);
        true
    }

    /// One on average, and not to be foreseen: counting errors must not tell of packets to others (CVE-2020-25705).
    fn zero_to_two(&mut self) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        i64::from((self.random >> 32) as u32 % 3)
    }

    fn peer(&mut self, now_ms: u64, address: IpAddr) -> &mut Peer {
        let set = self.hash_of(address) as usize & (self.peers.len() / WAYS - 1);
        let ways = &mut self.peers[set * WAYS..][..WAYS];
        let known = ways.iter().position(|way| way.as_ref().is_some_and(|peer| peer.address == address));
        let way = known.unwrap_or_else(|| {
            let oldest = (0..WAYS).min_by_key(|way| ways[*way].as_ref().map(|peer| peer.last_ms));
            oldest.expect("a set has places")
        });
        if known.is_none() {
            self.displaced += u64::from(ways[way].is_some());
            ways[way] = None;
        }
        ways[way].get_or_insert(Peer { address, tokens: NEWCOMER_MS, last_ms: now_ms, redirects: 0 })
    }

    fn hash_of(&self, address: IpAddr) -> u64 {
        let mut hasher = self.hash;
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
    const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
    const START_MS: u64 = 1_000_000;

    fn limiter() -> Limiter {
        Limiter::new(Settings::default(), 64, [1, 2])
    }

    /// Moments at which `ask` was told yes, in milliseconds from the start, when asked `count` times.
    fn answered(count: u64, every_ms: u64, mut ask: impl FnMut(u64) -> bool) -> Vec<u64> {
        (0..count).map(|n| n * every_ms).filter(|ms| ask(START_MS + ms)).collect()
    }

    #[test]
    fn time_exceeded_comes_in_a_burst_of_six_and_then_once_a_second() {
        let mut limiter = limiter();
        let moments = answered(400, 10, |now| limiter.allow_error4(now, HOST, Error4::TimeExceeded));
        assert_eq!(moments, [0, 10, 20, 30, 40, 50, 1000, 2000, 3000]);
    }

    #[test]
    fn an_error_for_want_of_a_route_pays_twice() {
        let ask = |limiter: &mut Limiter, now| {
            limiter.allow_route_error4(now, HOST) && limiter.allow_error4(now, HOST, Error4::NETWORK)
        };
        let mut twice_a_second = limiter();
        assert_eq!(answered(40, 500, |now| ask(&mut twice_a_second, now)), [0, 500, 1000]);
        let mut seldom = limiter();
        assert_eq!(answered(40, 2200, |now| ask(&mut seldom, now)).len(), 40);
    }

    #[test]
    fn what_the_masks_leave_out_is_not_limited() {
        let mut limiter = limiter();
        let too_big = Error4::FragmentationNeeded { mtu: 1280 };
        assert_eq!(answered(500, 1, |now| limiter.allow_error4(now, HOST, too_big)).len(), 500);
        let redirect = Error4::Redirect { gateway: HOST };
        assert_eq!(answered(500, 1, |now| limiter.allow_error4(now, HOST, redirect)).len(), 500);
        assert_eq!(answered(500, 1, |now| limiter.allow_error6(now, HOST6, 2)).len(), 500);
        limiter.set(Settings { icmp_ratemask: 0, ..Settings::default() });
        assert_eq!(answered(500, 1, |now| limiter.allow_error4(now, HOST, Error4::TimeExceeded)).len(), 500);
    }

    #[test]
    fn ipv6_errors_come_every_tenth_of_a_second() {
        let mut limiter = limiter();
        let moments = answered(100, 10, |now| limiter.allow_error6(now, HOST6, 3));
        assert_eq!(moments, [0, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn redirects_come_ever_more_seldom_until_the_host_is_taken_for_deaf() {
        let mut limiter = limiter();
        let moments = answered(2000, 10, |now| limiter.allow_redirect4(now, HOST));
        assert_eq!(moments, [0, 50, 140, 310, 640, 1290, 2580, 5150, 10_280]);
        let deaf_since = START_MS + 19_990;
        assert!(!limiter.allow_redirect4(deaf_since + 20_480, HOST));
        assert!(limiter.allow_redirect4(deaf_since + 2 * 20_480 + 1, HOST));
    }

    #[test]
    fn ipv6_redirects_are_limited_by_host_and_by_destination() {
        let mut limiter = limiter();
        let destination = |n| Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, n);
        let ask = |limiter: &mut Limiter, now, n| {
            limiter.allow_redirect6_about(now, destination(n)) && limiter.allow_redirect6_to(now, HOST6)
        };
        let moments = answered(300, 10, |now| ask(&mut limiter, now, 1));
        assert_eq!(moments, [0, 10, 20, 30, 40, 50, 1000, 2000]);
        assert!(!ask(&mut limiter, START_MS + 2990, 2));
    }

    #[test]
    fn all_targets_together_get_a_thousand_a_second() {
        let mut limiter = limiter();
        let mut host = 0_u32;
        let sent = answered(10_000, 1, |now| {
            host += 1;
            limiter.allow_error4(now, Ipv4Addr::from(host), Error4::TimeExceeded)
        });
        let at_first = sent.iter().filter(|ms| **ms < 20).count();
        assert_eq!(at_first, 20, "one a millisecond is within the burst of fifty");
        assert!((9_000..=10_000).contains(&sent.len()), "{} in ten seconds", sent.len());
        let at_once = (0..1000).filter(|n| {
            limiter.allow_error4(START_MS + 60_000, Ipv4Addr::from(0x0b00_0000 + n), Error4::TimeExceeded)
        });
        let at_once = at_once.count();
        assert!((26..=150).contains(&at_once), "{at_once} at once, where fifty is the burst on average");
    }

    #[test]
    fn the_table_is_bounded_and_counts_who_had_to_go() {
        let mut limiter =
            Limiter::new(Settings { icmp_ratemask: 1 << 11, ..Settings::default() }, 16, [3, 4]);
        for host in 0..1000_u32 {
            let _ = limiter.allow_route_error4(START_MS + u64::from(host), Ipv4Addr::from(host));
        }
        assert_eq!(limiter.peers.len(), 16);
        assert_eq!(limiter.displaced(), 1000 - 16);
    }

    proptest! {
        #[test]
        fn a_target_never_gets_more_than_its_burst_and_its_rate(pauses in proptest::collection::vec(0u64..3000, 1..300)) {
            let mut limiter = limiter();
            let mut now = START_MS;
            let mut sent = 0;
            for pause in pauses {
                now += pause;
                sent += u64::from(limiter.allow_error4(now, HOST, Error4::TimeExceeded));
            }
            prop_assert!(sent <= BURST_FACTOR + (now - START_MS) / 1000 + 1);
        }
    }
}
