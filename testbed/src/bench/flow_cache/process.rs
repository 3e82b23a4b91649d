//! What this process takes of the machine.

use std::io;

/// Bytes of memory that this process has in use, everything counted.
///
/// # Errors
/// `/proc` is not there.
pub fn resident_bytes() -> io::Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let kibibytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/smaps_rollup tells no Rss"))
}

/// How often this thread has given the processor away before its time was over: it slept, or waited for something.
///
/// # Errors
/// `/proc` is not there.
pub fn times_waited() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let count =
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok());
    count.ok_or_else(|| io::Error::other("/proc/thread-self/status tells no switches"))
}
