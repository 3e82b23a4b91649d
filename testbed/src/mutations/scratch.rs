//! A copy of the sources beside the build, in which mistakes are made.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};

use super::{Mutation, Test};

/// What of the sources is copied.
const PARTS: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "README.md", "docs", "fib", "conntrack", "ctl", "router", "testbed"];
/// Crates that are built without optimization, since each is built for one test.
const CRATES: [&str; 4] = ["fib", "conntrack", "ctl", "router"];

/// The top of the sources.
pub(super) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace").to_owned()
}

/// The copy.
pub(super) struct Scratch {
    sources: PathBuf,
    build: PathBuf,
}

/// What became of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All passed.
    Passed,
    /// Some failed.
    Failed,
    /// The sources cannot be built, or there is no such test.
    Broken,
}

impl Scratch {
    /// A copy as of now. What has not changed since the last is left alone, so that it need not be built again.
    pub fn new(folder: &Path) -> Result<Self> {
        let sources = folder.join("sources");
        fs::create_dir_all(&sources).with_context(|| format!("{} cannot be made", sources.display()))?;
        for part in PARTS {
            let from = top().join(part);
            copy(&from, &sources.join(part))
                .with_context(|| format!("{} cannot be copied", from.display()))?;
        }
        Ok(Self { sources, build: folder.join("build") })
    }

    /// Runs the tests of a mistake while it is made; the copy is as it was afterwards.
    pub fn with(&self, mutation: &Mutation) -> Result<(Ending, String)> {
        let path = self.sources.join(mutation.file);
        let text = fs::read_to_string(&path).with_context(|| mutation.file)?;
        let Some(mutated) = mutation.apply(&text) else {
            return Ok((Ending::Broken, format!("{} is not what the mutation was made for", mutation.file)));
        };
        fs::write(&path, mutated)?;
        let ended = self.run(mutation.noticed_by.iter());
        fs::write(&path, text)?;
        ended
    }

    /// Runs tests, each crate's at once: one that fails is enough.
    pub fn run<'a>(&self, tests: impl Iterator<Item = &'a Test>) -> Result<(Ending, String)> {
        let mut by_package: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        tests.for_each(|test| by_package.entry(test.package).or_default().push(test.name));
        let mut all = String::new();
        let mut ending = Ending::Passed;
        for (package, names) in by_package {
            let output = self.cargo(package, &names)?;
            let parts = [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part));
            let ran = |name: &&str| parts[0].contains(&format!("{name} ... "));
            let all_ran = names.iter().all(ran);
            all.extend(parts.iter().map(|part| part.as_ref()));
            if !all_ran {
                return Ok((Ending::Broken, all));
            }
            if !output.status.success() {
                ending = Ending::Failed;
            }
        }
        Ok((ending, all))
    }

    fn cargo(&self, package: &str, names: &[&str]) -> io::Result<Output> {
        let mut command = Command::new("cargo");
        command.current_dir(&self.sources).env("CARGO_TARGET_DIR", &self.build);
        for part in CRATES {
            command.args(["--config", &format!("profile.dev.package.{part}.opt-level=0")]);
        }
        // Names stand behind their modules, which may move.
        command.args(["test", "--package", package, "--lib", "--"]).args(names).output()
    }
}

/// Makes `to` what `from` is, folders with all that is in them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let bytes = fs::read(from)?;
        let is_there = fs::read(to).is_ok_and(|there| there == bytes);
        return if is_there { Ok(()) } else { fs::write(to, bytes) };
    }
    fs::create_dir_all(to)?;
    for there in fs::read_dir(to)? {
        let path = there?.path();
        let is_gone = path.file_name().is_some_and(|name| !from.join(name).exists());
        match (is_gone, path.is_dir()) {
            (true, true) => fs::remove_dir_all(path)?,
            (true, false) => fs::remove_file(path)?,
            (false, _) => {}
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
