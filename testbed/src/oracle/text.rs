//! Sequences as text that a person reads and writes: a line for each step.
//!
//! ```text
//! sequence: a connection is opened and reset
//! > tcp S seq 0 win 64240 mss 1460 scale 7 sackok
//! < tcp SA seq 0 ack 1 win 65160 scale 7
//! wait 3000
//! > tcp R seq 1
//! < icmp 3/1 from right-router quoting 28 { > udp len 4 }
//! ```

use std::fmt::{self, Display, Formatter};
use std::str::SplitWhitespace;

use anyhow::{Context, Result, bail, ensure};

use super::sequence::{
    Body, Chunk, Host, Options, Packet, STEPS_MAX, Segment, Sequence, Side, Step, Treatment,
};

/// All sequences of a text. Empty lines and those that begin with `#` mean nothing.
///
/// # Errors
/// A line that cannot be read, with its number.
pub fn parse(text: &str) -> Result<Vec<Sequence>> {
    let mut sequences: Vec<Sequence> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        read_line(&mut sequences, line).with_context(|| format!("line {}: `{line}`", number + 1))?;
    }
    Ok(sequences)
}

fn read_line(sequences: &mut Vec<Sequence>, line: &str) -> Result<()> {
    if let Some(name) = line.strip_prefix("sequence:") {
        sequences.push(Sequence::new(name.trim().to_owned(), Vec::new()));
        return Ok(());
    }
    let sequence = sequences.last_mut().context("a line `sequence: NAME` comes first")?;
    if let Some(reason) = line.strip_prefix("differs:") {
        sequence.deviation = Some(reason.trim().to_owned());
    } else if let Some(mode) = line.strip_prefix("mode:") {
        sequence.mode = Some(mode.trim().to_owned());
    } else if line == "ipv6" {
        sequence.ipv6 = true;
    } else if let Some(starts) = line.strip_prefix("starts ") {
        let mut words = Words(starts.split_whitespace().peekable());
        sequence.starts = [words.value("a number")?, words.value("a number")?];
    } else if let Some(milliseconds) = line.strip_prefix("wait ") {
        sequence.steps.push(Step::Wait(milliseconds.trim().parse()?));
    } else {
        let mut words = Words(line.split_whitespace().peekable());
        let packet = words.packet()?;
        ensure!(words.0.peek().is_none(), "`{}` is one word too many", words.next("")?);
        sequence.steps.push(Step::Send(packet));
    }
    ensure!(sequence.steps.len() <= STEPS_MAX, "a sequence has at most {STEPS_MAX} steps");
    Ok(())
}

/// The words of a line that are still to be read.
struct Words<'a>(std::iter::Peekable<SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn next(&mut self, expected: &str) -> Result<&'a str> {
        self.0.next().with_context(|| format!("the line ends where {expected} is expected"))
    }

    fn value<T: std::str::FromStr>(&mut self, expected: &str) -> Result<T> {
        let word = self.next(expected)?;
        word.parse().ok().with_context(|| format!("`{word}` is not {expected}"))
    }

    /// A number that may have a sign: it wraps.
    fn relative(&mut self) -> Result<u32> {
        relative(self.next("a number")?)
    }

    fn packet(&mut self) -> Result<Packet> {
        let side = match self.next("> or <")? {
            ">" => Side::Left,
            "<" => Side::Right,
            word => bail!("`{word}` is neither > nor <"),
        };
        let body = match self.next("a protocol")? {
            "tcp" => Body::Tcp(Segment { flags: flags(self.next("flags")?)?, ..Segment::default() }),
            "udp" => Body::Udp { length: 0, claims: None },
            "udplite" => Body::UdpLite { length: 0, coverage: 0 },
            "icmp" => {
                let (kind, code) = self.next("type/code")?.split_once('/').context("type/code")?;
                Body::Icmp { kind: kind.parse()?, code: code.parse()?, length: 0 }
            }
            "sctp" => Body::Sctp { tag: 0, chunks: Vec::new() },
            "gre" => Body::Gre { version: 0, key: None },
            "protocol" => Body::Other { protocol: self.value("a protocol number")?, length: 0 },
            word => bail!("`{word}` is no protocol"),
        };
        let mut packet = Packet::new(side, body);
        while let Some(word) = self.0.next_if(|word| *word != "}") {
            self.field(&mut packet, word)?;
        }
        Ok(packet)
    }

    fn field(&mut self, packet: &mut Packet, word: &str) -> Result<()> {
        match word {
            "from" => packet.from = Some(host(self.next("a host")?)?),
            "to" => packet.to = Some(host(self.next("a host")?)?),
            "flow" => packet.flow = self.value("a number below 256")?,
            "zone" => {
                let zone = self.value("a zone")?;
                ensure!((1..=7).contains(&zone), "zones are 1 to 7");
                packet.treatment = Treatment::Zone(zone);
            }
            "notrack" => packet.treatment = Treatment::NoTrack,
            "lost" => packet.treatment = Treatment::Lost,
            "badsum" => packet.bad_checksum = true,
            "nosum" => packet.no_checksum = true,
            "pieces" => packet.pieces = Some(self.value("a number of bytes")?),
            "cut" => packet.cut = Some(self.value("a number of bytes")?),
            _ => return self.body_field(&mut packet.body, word),
        }
        Ok(())
    }

    fn body_field(&mut self, body: &mut Body, word: &str) -> Result<()> {
        match (&mut *body, word) {
            (Body::Tcp(segment), _) => return self.segment_field(segment, word),
            (
                Body::Udp { length, .. }
                | Body::UdpLite { length, .. }
                | Body::Icmp { length, .. }
                | Body::Other { length, .. },
                "len",
            ) => *length = self.value("a length")?,
            (Body::Udp { claims, .. }, "claims") => *claims = Some(self.value("a length")?),
            (Body::UdpLite { coverage, .. }, "coverage") => *coverage = self.value("a length")?,
            (Body::Icmp { kind, code, .. }, "quoting") => {
                let (kind, code) = (*kind, *code);
                let quoted_bytes = self.value("a number of bytes")?;
                ensure!(self.next("{")? == "{", "a quoted packet stands in braces");
                let quoted = Box::new(self.packet()?);
                ensure!(self.next("}")? == "}", "a quoted packet stands in braces");
                *body = Body::Error { kind, code, quoted, quoted_bytes };
            }
            (Body::Sctp { tag, .. }, "tag") => *tag = self.value("a tag")?,
            (Body::Sctp { chunks, .. }, "chunk") => chunks.push(self.chunk()?),
            (Body::Gre { version, .. }, "version") => *version = self.value("a version")?,
            (Body::Gre { key, .. }, "key") => *key = Some(self.value("a key")?),
            _ => bail!("`{word}` means nothing here"),
        }
        Ok(())
    }

    /// `NAME[/FLAGS][=VALUE][!LENGTH]`
    fn chunk(&mut self) -> Result<Chunk> {
        let word = self.next("a chunk")?;
        let (word, claims) = match word.split_once('!') {
            Some((word, length)) => (word, Some(length.parse()?)),
            None => (word, None),
        };
        let (word, value) = match word.split_once('=') {
            Some((word, value)) => (word, value.parse()?),
            None => (word, 0),
        };
        let (name, flags) = match word.split_once('/') {
            Some((name, flags)) => (name, flags.parse()?),
            None => (word, 0),
        };
        let known = CHUNKS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
        let kind = known.or(name.parse().ok()).with_context(|| format!("`{name}` is no chunk"))?;
        Ok(Chunk { kind, flags, value, claims })
    }

    fn segment_field(&mut self, segment: &mut Segment, word: &str) -> Result<()> {
        let options = &mut segment.options;
        match word {
            "seq" => segment.sequence = self.relative()?,
            "ack" => segment.acknowledgment = self.relative()?,
            "win" => segment.window = self.value("a window")?,
            "len" => segment.length = self.value("a length")?,
            "words" => segment.header_words = Some(self.value("a number of words")?),
            "mss" => options.mss = Some(self.value("a size")?),
            "scale" => options.scale = Some(self.value("a shift")?),
            "sackok" => options.sack_permitted = true,
            "timestamp" => options.timestamp = true,
            "sack" => {
                let (left, right) =
                    self.next("two edges")?.split_once("..").context("edges are written 10..20")?;
                options.sacks.push((relative(left)?, relative(right)?));
            }
            "options" => options.raw = bytes(self.next("bytes")?)?,
            _ => bail!("`{word}` means nothing here"),
        }
        Ok(())
    }
}

fn relative(word: &str) -> Result<u32> {
    let number: i64 = word.parse().ok().with_context(|| format!("`{word}` is no number"))?;
    ensure!((i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&number), "`{word}` does not fit 32 bits");
    Ok(number as u32)
}

fn host(word: &str) -> Result<Host> {
    let known = Host::ALL.iter().find(|(_, name)| *name == word);
    known.map(|(host, _)| *host).with_context(|| format!("`{word}` is no host"))
}

const FLAGS: &str = "FSRPAUEC";

fn flags(word: &str) -> Result<u8> {
    if word == "-" {
        return Ok(0);
    }
    word.chars().try_fold(0, |flags, letter| {
        let bit = FLAGS.find(letter).with_context(|| format!("`{letter}` is none of {FLAGS}"))?;
        Ok(flags | 1 << bit)
    })
}

fn bytes(word: &str) -> Result<Vec<u8>> {
    ensure!(word.len().is_multiple_of(2) && word.is_ascii(), "`{word}` is not bytes in hexadecimal");
    (0..word.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&word[at..at + 2], 16).with_context(|| format!("`{word}`")))
        .collect()
}

/// Types of SCTP chunks (RFC 9260 section 3.2).
const CHUNKS: [(u8, &str); 14] = [
    (0, "data"),
    (1, "init"),
    (2, "init-ack"),
    (3, "sack"),
    (4, "heartbeat"),
    (5, "heartbeat-ack"),
    (6, "abort"),
    (7, "shutdown"),
    (8, "shutdown-ack"),
    (9, "error"),
    (10, "cookie-echo"),
    (11, "cookie-ack"),
    (14, "shutdown-complete"),
    (193, "asconf"),
];

impl Display for Sequence {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "sequence: {}", self.name)?;
        if let Some(reason) = &self.deviation {
            writeln!(formatter, "differs: {reason}")?;
        }
        if let Some(mode) = &self.mode {
            writeln!(formatter, "mode: {mode}")?;
        }
        if self.ipv6 {
            writeln!(formatter, "ipv6")?;
        }
        let usual = Self::new(String::new(), Vec::new()).starts;
        if self.starts != usual {
            writeln!(formatter, "starts {} {}", self.starts[0], self.starts[1])?;
        }
        self.steps.iter().try_for_each(|step| writeln!(formatter, "{step}"))
    }
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(packet) => packet.fmt(formatter),
            Self::Wait(milliseconds) => write!(formatter, "wait {milliseconds}"),
        }
    }
}

impl Display for Packet {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.side == Side::Left { "> " } else { "< " })?;
        self.body.fmt(formatter)?;
        for (word, host) in [("from", self.from), ("to", self.to)] {
            if let Some((_, name)) = Host::ALL.iter().find(|(known, _)| Some(*known) == host) {
                write!(formatter, " {word} {name}")?;
            }
        }
        if self.flow != 0 {
            write!(formatter, " flow {}", self.flow)?;
        }
        match self.treatment {
            Treatment::Usual => {}
            Treatment::Zone(zone) => write!(formatter, " zone {zone}")?,
            Treatment::NoTrack => write!(formatter, " notrack")?,
            Treatment::Lost => write!(formatter, " lost")?,
        }
        if self.bad_checksum {
            write!(formatter, " badsum")?;
        }
        if self.no_checksum {
            write!(formatter, " nosum")?;
        }
        for (word, value) in [("pieces", self.pieces), ("cut", self.cut)] {
            if let Some(value) = value {
                write!(formatter, " {word} {value}")?;
            }
        }
        Ok(())
    }
}

impl Display for Body {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(segment) => segment.fmt(formatter),
            Self::Udp { length, claims } => {
                write!(formatter, "udp len {length}")?;
                claims.map_or(Ok(()), |claims| write!(formatter, " claims {claims}"))
            }
            Self::UdpLite { length, coverage } => {
                write!(formatter, "udplite len {length} coverage {coverage}")
            }
            Self::Icmp { kind, code, length } => write!(formatter, "icmp {kind}/{code} len {length}"),
            Self::Error { kind, code, quoted, quoted_bytes } => {
                write!(formatter, "icmp {kind}/{code} quoting {quoted_bytes} {{ {quoted} }}")
            }
            Self::Sctp { tag, chunks } => {
                write!(formatter, "sctp tag {tag}")?;
                chunks.iter().try_for_each(|chunk| write!(formatter, " chunk {chunk}"))
            }
            Self::Gre { version, key } => {
                write!(formatter, "gre version {version}")?;
                key.map_or(Ok(()), |key| write!(formatter, " key {key}"))
            }
            Self::Other { protocol, length } => write!(formatter, "protocol {protocol} len {length}"),
        }
    }
}

impl Display for Chunk {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match CHUNKS.iter().find(|(kind, _)| *kind == self.kind) {
            Some((_, name)) => formatter.write_str(name)?,
            None => write!(formatter, "{}", self.kind)?,
        }
        if self.flags != 0 {
            write!(formatter, "/{}", self.flags)?;
        }
        if self.value != 0 {
            write!(formatter, "={}", self.value)?;
        }
        self.claims.map_or(Ok(()), |claims| write!(formatter, "!{claims}"))
    }
}

impl Display for Segment {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let letters = FLAGS.chars().enumerate().filter(|(bit, _)| self.flags & 1 << bit != 0);
        let letters: String = letters.map(|(_, letter)| letter).collect();
        let letters = if letters.is_empty() { "-" } else { &letters };
        write!(formatter, "tcp {letters} seq {}", self.sequence.cast_signed())?;
        if self.acknowledgment != 0 {
            write!(formatter, " ack {}", self.acknowledgment.cast_signed())?;
        }
        write!(formatter, " win {}", self.window)?;
        if self.length != 0 {
            write!(formatter, " len {}", self.length)?;
        }
        if let Some(words) = self.header_words {
            write!(formatter, " words {words}")?;
        }
        self.options.fmt(formatter)
    }
}

impl Display for Options {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(mss) = self.mss {
            write!(formatter, " mss {mss}")?;
        }
        if let Some(scale) = self.scale {
            write!(formatter, " scale {scale}")?;
        }
        if self.sack_permitted {
            write!(formatter, " sackok")?;
        }
        if self.timestamp {
            write!(formatter, " timestamp")?;
        }
        for (left, right) in &self.sacks {
            write!(formatter, " sack {}..{}", left.cast_signed(), right.cast_signed())?;
        }
        if !self.raw.is_empty() {
            write!(formatter, " options ")?;
            self.raw.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const TEXT: &str = "sequence: all there is
differs: for a reason
mode: liberal
ipv6
starts 1 2
> tcp SA seq -1 ack 5 win 64240 len 3 words 4 mss 1460 scale 7 sackok timestamp sack 1..2 sack -3..4 options 0102
wait 3000
< icmp 3/1 quoting 28 { > udp len 4 claims 9 flow 2 } from right-router badsum
> udplite len 4 coverage 8 zone 2
> sctp tag 5 chunk init/1=77 chunk data=10!3 chunk 44 lost
> gre version 1 key 9 notrack nosum
> protocol 89 len 100 to left-router pieces 16 cut 90
> icmp 8/0 len 1
";

    #[test]
    fn what_is_written_is_read_again() {
        let sequences = parse(TEXT).unwrap();
        assert_eq!(sequences.len(), 1);
        assert_eq!(sequences[0].to_string(), TEXT);
    }

    #[test]
    fn the_sequence_that_the_documentation_shows_can_be_read() {
        let page = include_str!("../../../docs/trackers.md");
        let (_, rest) = page.split_once("```text\nsequence:").expect("the page shows one");
        let (text, _) = rest.split_once("```").expect("a block ends");
        let sequences = parse(&format!("sequence:{text}")).unwrap();
        assert_eq!(sequences[0].steps.len(), 6);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (line, said) in [
            ("= tcp S", "neither"),
            ("> tcp X", "none of FSRPAUEC"),
            ("> tcp S seq", "ends where"),
            ("> udp len x", "not a length"),
            ("> udp seq 4", "means nothing here"),
            ("> icmp 3/1 quoting 28 { > udp", "ends where"),
            ("> udp len 4 }", "one word too many"),
            ("> udp len 4 zone 9", "zones are 1 to 7"),
            ("> sctp chunk nonsense", "no chunk"),
        ] {
            let error = format!("{:#}", parse(&format!("sequence: x\n{line}\n")).unwrap_err());
            assert!(error.contains("line 2") && error.contains(said), "{error}");
        }
        assert!(parse("> udp").is_err(), "a sequence needs a name");
    }
}
