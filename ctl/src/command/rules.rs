//! Which rules a command line means, and files of rules.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::words::is_short_for;
use super::{Invocation, Task};
use crate::message::{Action, Question, Request, RulesFile, RulesFilter};

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// Carry out a file of rules, as `nft -f`: whole or not at all
    Load {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Say what loading a file would do, and change nothing, as `nft -c -f`
    Check {
        /// The file; `-` for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct RulesOptions {
    /// With the handles of everything
    #[arg(short = 'a', long)]
    handles: bool,

    /// Without counters and what else changes by itself
    #[arg(short, long)]
    stateless: bool,

    /// \[table \[FAMILY\] NAME\]
    #[arg(value_name = "SELECTOR")]
    words: Vec<String>,
}

impl Invocation {
    /// Reads the file that the request carries, if it carries one.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than [`RULES_BYTES_MAX`]; says which file.
    pub fn read_file(&mut self) -> Result<(), FileError> {
        let Task::Send(Request::Do(Action::LoadRules(file)) | Request::Ask(Question::CheckRules(file))) =
            &mut self.task
        else {
            return Ok(());
        };
        let wrong = |error| FileError { name: file.name.clone(), error };
        let directory = std::env::current_dir().map_err(wrong)?;
        let mut text = Vec::new();
        let source: &mut dyn Read = if file.name == "-" {
            &mut io::stdin().lock()
        } else {
            &mut File::open(&file.name).map_err(wrong)?
        };
        source.take(RULES_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
        if text.len() > RULES_BYTES_MAX {
            let what = format!("larger than {RULES_BYTES_MAX} bytes, the most that a file of rules may have");
            return Err(wrong(io::Error::other(what)));
        }
        let text = String::from_utf8(text).map_err(|error| wrong(io::Error::other(error.utf8_error())))?;
        (file.text, file.directory) = (text, directory.to_string_lossy().into_owned());
        Ok(())
    }
}

/// A file that the command line names and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub struct FileError {
    /// The file.
    name: String,
    /// Why.
    error: io::Error,
}

/// The largest file of rules, in bytes.
pub const RULES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A file still to be read.
pub(super) fn read_later(file: &Path) -> RulesFile {
    RulesFile { name: file.to_string_lossy().into_owned(), ..RulesFile::default() }
}

impl RulesOptions {
    pub(super) fn into_filter(self, json: bool) -> Result<RulesFilter, String> {
        let mut filter =
            RulesFilter { json, handles: self.handles, stateless: self.stateless, ..RulesFilter::default() };
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words[..] {
            [] => {}
            [table, name] if is_short_for(table, "table") => filter.table = Some(name.into()),
            [table, family, name] if is_short_for(table, "table") => {
                if !["ip", "ip6", "inet", "arp", "bridge"].contains(&family) {
                    return Err(format!("`{family}` is none of ip, ip6, inet, arp, bridge"));
                }
                (filter.family, filter.table) = (Some(family.into()), Some(name.into()));
            }
            _ => return Err("say `table [FAMILY] NAME`, or nothing for all rules".into()),
        }
        Ok(filter)
    }
}
