//! The programs people use on networks, run in a lab, and what they say made comparable.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lab::{Lab, Process, SECONDS_5, wait_until};

/// Patience with a client that needs about a second.
pub const SECONDS_20: Duration = Duration::from_secs(20);
/// How long a download may take.
const DOWNLOAD: Duration = Duration::from_secs(60);

/// Sends echo requests, twenty a second, until `count` have been answered, three seconds longer than that should take,
/// or an error comes back. Says how many were answered, less those that a later answer shows to be lost.
///
/// # Errors
/// `ping` cannot be run.
pub fn ping(lab: &Lab, from: &str, to: &str, count: u32) -> Result<u32> {
    // Without a deadline ping leaves two round trips after its last request: too soon on a busy machine.
    let line = format!("ping -n -c {count} -i 0.05 -w {} {to}", count / 20 + 3);
    let said = lab.run(from, &line, SECONDS_20)?;
    ensure!(received(&said.output).is_some(), "`{line}` said {}{}", said.output, said.error);
    let answered = answered(&said.output);
    Ok((answered.len() as u32).saturating_sub(lost(&answered)))
}

/// The numbers of the requests that `ping` says were answered.
fn answered(output: &str) -> BTreeSet<u32> {
    let number = |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok();
    output.lines().filter(|line| line.contains(" bytes from ")).filter_map(number).collect()
}

/// How many requests before the last answered one were not.
fn lost(answered: &BTreeSet<u32>) -> u32 {
    answered.last().map_or(0, |last| last - answered.len() as u32)
}

/// How many answers `ping` says it received.
pub fn received(output: &str) -> Option<u32> {
    let (before, _) = output.split_once(" received")?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

/// Echo requests that go on, fifty a second, while other things happen.
#[derive(Debug)]
pub struct Pings(Process);

impl Pings {
    /// Begins to ask `to`, and waits for the first answer.
    ///
    /// # Errors
    /// `ping` cannot be started, or nobody answers within five seconds.
    pub fn start(lab: &Lab, from: &str, to: &str) -> Result<Self> {
        let mut ping = lab.start(from, &format!("ping -n -i 0.02 -W 5 {to}"))?;
        ping.wait_line("bytes from", SECONDS_5)?;
        Ok(Self(ping))
    }

    /// Waits for one more answer, ends it, and says how many requests were answered and how many before these were
    /// not.
    ///
    /// # Errors
    /// `ping` had ended before, or nobody answers any more.
    pub fn finish(self) -> Result<(u32, u32)> {
        let answers = || answered(&self.0.output()).len();
        let before = answers();
        wait_until("one more answer", SECONDS_5, || (answers() > before).then_some(()))?;
        let answered = answered(&self.0.stop(Signal::SIGINT)?.output);
        Ok((answered.len() as u32, lost(&answered)))
    }
}

/// Runs `iperf3` between two stations for a second with further options, and says the bits a second that arrived.
///
/// # Errors
/// `iperf3` failed on either side.
pub fn iperf3(lab: &Lab, from: &str, to_station: &str, to: &str, options: &str) -> Result<f64> {
    let mut server = lab.start(to_station, "iperf3 --server --one-off --forceflush")?;
    server.wait_line("listening", SECONDS_20)?;
    let line = format!("iperf3 --json --time 1 {options} --client {to}");
    let report = lab.run(from, &line, SECONDS_20)?.ok()?;
    let report: serde_json::Value = serde_json::from_str(&report).context("iperf3's report")?;
    let end = &report["end"];
    let sum = if end["sum_received"].is_object() { &end["sum_received"] } else { &end["sum"] };
    let rate = sum["bits_per_second"].as_f64();
    rate.with_context(|| format!("iperf3's report has no rate: {end}"))
}

/// A running download with `curl`.
#[derive(Debug)]
pub struct Download {
    curl: Process,
    file: PathBuf,
    _folder: TempDir,
}

impl Download {
    /// Begins to fetch what [`super::server::Server`] serves at `address`, at most `rate` bytes a second.
    ///
    /// # Errors
    /// `curl` cannot be started.
    pub fn start(lab: &Lab, from: &str, address: &str, rate: &str) -> Result<Self> {
        Self::start_at(lab, from, (address, super::server::PORT), rate)
    }

    /// The same of a server that is found at another port.
    ///
    /// # Errors
    /// `curl` cannot be started.
    pub fn start_at(lab: &Lab, from: &str, (address, port): (&str, u16), rate: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("download");
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let options = format!("--silent --show-error --fail --noproxy * --limit-rate {rate}");
        let line = format!("curl {options} --output {} http://{host}:{port}/", file.display());
        Ok(Self { curl: lab.start(from, &line)?, file, _folder: folder })
    }

    /// Waits until so many bytes have come.
    ///
    /// # Errors
    /// They did not within a minute, or `curl` ended before.
    pub fn wait_bytes(&mut self, bytes: u64) -> Result<()> {
        let (curl, file) = (&mut self.curl, &self.file);
        let came = wait_until(&format!("{bytes} bytes of a download"), DOWNLOAD, || {
            let length = std::fs::metadata(file).map_or(0, |data| data.len());
            (length >= bytes).then_some(true).or_else(|| curl.status().map(|_| false))
        })?;
        ensure!(came, "curl ended too soon: {}", self.curl.error_output());
        Ok(())
    }

    /// Bytes that have come so far.
    pub fn bytes(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |data| data.len())
    }

    /// Whether it is still going on.
    pub fn goes_on(&mut self) -> bool {
        self.curl.status().is_none()
    }

    /// Waits for its end and says what was fetched.
    ///
    /// # Errors
    /// `curl` failed or took more than a minute.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.curl.finish(DOWNLOAD)?.ok()?;
        Ok(std::fs::read(&self.file)?)
    }
}

/// Traces the route with `traceroute` and further options: the hops' addresses and annotations, without times.
///
/// # Errors
/// `traceroute` failed.
pub fn traceroute(lab: &Lab, from: &str, to: &str, options: &str) -> Result<String> {
    let line = format!("traceroute -n -w 2 -q 2 -N 1 {options} {to}");
    let output = lab.run(from, &line, SECONDS_20)?.ok()?;
    Ok(without_times(&output))
}

/// Traces the route and its MTU with `tracepath`, without times.
///
/// # Errors
/// `tracepath` failed.
pub fn tracepath(lab: &Lab, from: &str, to: &str) -> Result<String> {
    Ok(without_times(&lab.run(from, &format!("tracepath -n {to}"), SECONDS_20)?.ok()?))
}

/// The hops that `mtr` sees, with the losses in percent.
///
/// # Errors
/// `mtr` failed or its report is not understood.
pub fn mtr(lab: &Lab, from: &str, to: &str, options: &str) -> Result<Vec<(String, f64)>> {
    let line = format!("mtr --no-dns --json --report-cycles 2 --interval 0.2 --gracetime 1 {options} {to}");
    let report: serde_json::Value = serde_json::from_str(&lab.run(from, &line, SECONDS_20)?.ok()?)?;
    let hops = report["report"]["hubs"].as_array().context("mtr's report has no hubs")?;
    hops.iter()
        .map(|hop| {
            let host = hop["host"].as_str().context("a hop without a host")?;
            Ok((host.to_owned(), hop["Loss%"].as_f64().context("a hop without its loss")?))
        })
        .collect()
}

/// What `nmap` finds, without times.
///
/// # Errors
/// `nmap` failed.
pub fn nmap(lab: &Lab, from: &str, to: &str, options: &str) -> Result<String> {
    let output =
        lab.run(from, &format!("nmap -n -Pn --max-retries 2 -oG - {options} {to}"), SECONDS_20)?.ok()?;
    let findings = output.lines().filter(|line| line.starts_with("Host:"));
    Ok(findings.map(|line| line.to_owned() + "\n").collect())
}

/// The words of a report that are no times.
fn without_times(text: &str) -> String {
    let is_time =
        |word: &str| word == "ms" || word.trim_end_matches("ms").parse::<f64>().is_ok() && word.contains('.');
    let line =
        |line: &str| line.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ");
    text.lines().map(|text| line(text) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::{answered, lost, received, without_times};

    #[test]
    fn the_number_of_answers_is_read_from_what_ping_says() {
        let said = "3 packets transmitted, 2 received, 33.3% packet loss, time 402ms";
        assert_eq!(received(said), Some(2));
        assert_eq!(received("ping: connect: Network is unreachable"), None);
    }

    #[test]
    fn a_request_is_lost_when_a_later_one_is_answered_and_not_while_it_may_be_on_its_way() {
        let said = "64 bytes from fd00:3::2: icmp_seq=1 ttl=63 time=1.57 ms\n\
                    64 bytes from fd00:3::2: icmp_seq=1 ttl=63 time=1.58 ms (DUP!)\n\
                    From fd00:1::1: icmp_seq=2 Destination unreachable: No route\n\
                    64 bytes from fd00:3::2: icmp_seq=4 ttl=63 time=1.60 ms\n\n\
                    6 packets transmitted, 2 received, +1 duplicates";
        let answered = answered(said);
        assert_eq!(answered.iter().copied().collect::<Vec<_>>(), [1, 4]);
        assert_eq!(lost(&answered), 2);
        assert_eq!(lost(&super::answered("nothing")), 0);
    }

    #[test]
    fn times_go_and_addresses_and_numbers_stay() {
        assert_eq!(without_times(" 1  10.1.0.2  0.035 ms !H  0.011 ms"), "1 10.1.0.2 !H\n");
        assert_eq!(without_times(" 2:  10.1.1.2   0.062ms pmtu 1400"), "2: 10.1.1.2 pmtu 1400\n");
    }
}
