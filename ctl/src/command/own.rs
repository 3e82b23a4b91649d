//! Changes of the router's own addresses and neighbors, in the words of `ip`; and queues.

use clap::{Args, Subcommand};

use super::words::{Once, Words, address, host_in_prefix, is_short_for};
use crate::message::{
    Action, AddDel, AddressChange, ChangeVerb, Mac, MacError, NeighborChange, NeighborFlush, Question,
    Request,
};
use crate::queue::{Verdict, Watch};

const ADDRESS_HELP: &str = "ADDRESS/LENGTH dev PORT [nodad]; with `nodad` nobody is asked whether he has it";

#[derive(Debug, Subcommand)]
pub(super) enum Address {
    /// Give a port an address: `10.0.1.1/24 dev r0`
    Add {
        #[arg(required = true, value_name = "ADDRESS/LENGTH", help = ADDRESS_HELP)]
        words: Vec<String>,
    },
    /// Take an address: `10.0.1.1/24 dev r0`
    #[command(alias = "delete")]
    Del {
        /// ADDRESS/LENGTH dev PORT
        #[arg(required = true, value_name = "ADDRESS/LENGTH")]
        words: Vec<String>,
    },
    /// List addresses, as `show addresses` does
    #[command(alias = "show")]
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Neighbor {
    /// Set a neighbor by hand: `10.0.1.2 lladdr 02:00:00:00:00:02 dev r0`
    Add {
        /// ADDRESS lladdr MAC dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// The same, in place of what is known of it
    #[command(alias = "change")]
    Replace {
        /// ADDRESS lladdr MAC dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// Forget a neighbor, set by hand or not: `10.0.1.2 dev r0`
    #[command(alias = "delete")]
    Del {
        /// ADDRESS dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// Forget all neighbors that are not set by hand, or those of one port
    Flush {
        /// dev PORT, for those on that port only
        #[arg(value_name = "dev PORT")]
        words: Vec<String>,
    },
    /// List neighbors, as `show neighbors` does
    #[command(alias = "show")]
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List queues, as `show queues` does
    #[command(alias = "show")]
    List,
    /// Bind a queue, print its packets one a line, and let them go on
    Watch(WatchOptions),
}

#[derive(Debug, Args)]
pub(super) struct WatchOptions {
    /// Number of the queue, that of `queue num N`
    #[arg(value_name = "N")]
    queue: u16,
    /// Let the packets go on; this is the default
    #[arg(long, conflicts_with = "drop")]
    accept: bool,
    /// Drop the packets
    #[arg(long)]
    drop: bool,
    /// End after so many packets
    #[arg(long, value_name = "K")]
    count: Option<u64>,
}

impl From<WatchOptions> for Watch {
    fn from(options: WatchOptions) -> Self {
        let verdict = if options.drop { Verdict::Drop } else { Verdict::Accept };
        Self { queue: options.queue, verdict, count: options.count }
    }
}

impl Address {
    pub(super) fn into_request(self) -> Result<Request, String> {
        let (verb, words) = match self {
            Self::Add { words } => (AddDel::Add, words),
            Self::Del { words } => (AddDel::Del, words),
            Self::List => return Ok(Request::Ask(Question::Addresses)),
        };
        Ok(Request::Do(Action::ChangeAddress(read_address(verb, &words)?)))
    }
}

impl Neighbor {
    pub(super) fn into_request(self) -> Result<Request, String> {
        let (verb, words) = match self {
            Self::Add { words } => (ChangeVerb::Add, words),
            Self::Replace { words } => (ChangeVerb::Replace, words),
            Self::Del { words } => (ChangeVerb::Del, words),
            Self::Flush { words } => return neighbor_flush(&words),
            Self::List => return Ok(Request::Ask(Question::Neighbors)),
        };
        Ok(Request::Do(Action::ChangeNeighbor(read_neighbor(verb, &words)?)))
    }
}

/// Reads an address in the words of `ip address add`.
pub(crate) fn read_address(verb: AddDel, words: &[String]) -> Result<AddressChange, String> {
    let mut words = Words::of(words);
    let address = host_in_prefix(words.next_behind("to")?)?;
    let (mut port, mut nodad) = (Once::new("dev"), false);
    while let Some(word) = words.next() {
        if is_short_for(word, "dev") {
            port.set(words.value(word)?.to_owned())?;
        } else if is_short_for(word, "nodad") {
            nodad = true;
        } else {
            return Err(format!("`{word}` is none of dev, nodad"));
        }
    }
    let change = AddressChange { verb, address, port: port.needed("PORT")?, nodad };
    change.check().map_err(|error| error.to_string())?;
    Ok(change)
}

/// Reads a neighbor in the words of `ip neighbor add`.
pub(crate) fn read_neighbor(verb: ChangeVerb, words: &[String]) -> Result<NeighborChange, String> {
    let mut words = Words::of(words);
    let address = address(words.next_behind("to")?)?;
    let (mut port, mut mac) = (Once::new("dev"), Once::new("lladdr"));
    while let Some(word) = words.next() {
        if is_short_for(word, "dev") {
            port.set(words.value(word)?.to_owned())?;
        } else if is_short_for(word, "lladdr") {
            mac.set(words.value(word)?.parse::<Mac>().map_err(|error: MacError| error.to_string())?)?;
        } else if is_short_for(word, "nud") {
            if !is_short_for(words.value(word)?, "permanent") {
                return Err("a neighbor that is set by hand is `nud permanent`, nothing else".into());
            }
        } else {
            return Err(format!("`{word}` is none of lladdr, dev, nud"));
        }
    }
    let change = NeighborChange { verb, address, mac: mac.value, port: port.needed("PORT")? };
    change.check().map_err(|error| error.to_string())?;
    Ok(change)
}

fn neighbor_flush(words: &[String]) -> Result<Request, String> {
    let mut words = Words::of(words);
    let mut port = Once::new("dev");
    while let Some(word) = words.next() {
        if is_short_for(word, "dev") {
            port.set(words.value(word)?.to_owned())?;
        } else if !is_short_for(word, "all") {
            return Err(format!("`{word}` is none of dev, all"));
        }
    }
    let flush = NeighborFlush { port: port.value };
    flush.check().map_err(|error| error.to_string())?;
    Ok(Request::Do(Action::FlushNeighbors(flush)))
}
