//! The files of rules that are tried: one for each match and statement, and whole ones as they are used.

use anyhow::{Context, Result};
use include_dir::{Dir, include_dir};

use super::script::Script;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/rulesets");

/// A file of rules, and how it is tried.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// Its name, without the ending.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// How it is tried.
    pub(super) script: Script,
}

impl RuleFile {
    /// A file; the comments at its head say how it is tried.
    ///
    /// # Errors
    /// A comment that begins with `#:` cannot be understood.
    pub fn new(name: &'static str, text: &'static str) -> Result<Self> {
        let script = Script::read(text).with_context(|| name.to_owned())?;
        Ok(Self { name, text, script })
    }

    /// Whether nft lists these rules as they are; where it does not, the file says so.
    #[must_use]
    pub const fn is_listed_right(&self) -> bool {
        !self.script.counted_only
    }
}

/// All files in `testbed/rulesets`, by name.
///
/// # Errors
/// As [`RuleFile::new`].
pub fn corpus() -> Result<Vec<RuleFile>> {
    files_in(&FILES)
}

/// The files in `testbed/rulesets/owned`, by name: rules for what reaches a router that is its own host, packets to and from
/// itself and frames.
///
/// # Errors
/// As [`RuleFile::new`].
pub fn corpus_of_owned() -> Result<Vec<RuleFile>> {
    files_in(FILES.get_dir("owned").context("the files are there")?)
}

/// The files in `testbed/rulesets/local`, by name: rules at input and output, and what is sent to the router itself.
///
/// # Errors
/// As [`RuleFile::new`].
pub fn corpus_of_local() -> Result<Vec<RuleFile>> {
    files_in(FILES.get_dir("local").context("the files are there")?)
}

/// The files in `testbed/rulesets/bridged`, by name: rules of bridges. All of them accept markers (EtherType 0x88b5) first.
///
/// # Errors
/// As [`RuleFile::new`].
pub fn corpus_of_bridges() -> Result<Vec<RuleFile>> {
    files_in(FILES.get_dir("bridged").context("the files are there")?)
}

fn files_in(directory: &'static Dir<'static>) -> Result<Vec<RuleFile>> {
    let mut files: Vec<RuleFile> = directory
        .files()
        .filter(|file| file.path().extension().is_some_and(|ending| ending == "nft"))
        .map(|file| {
            let name = file.path().file_stem().and_then(|name| name.to_str()).context("names are UTF-8")?;
            RuleFile::new(name, file.contents_utf8().with_context(|| format!("{name} is UTF-8"))?)
        })
        .collect::<Result<_>>()?;
    files.sort_by_key(|file| file.name);
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_says_how_it_is_tried() {
        assert!(!super::corpus().unwrap().is_empty());
    }
}
