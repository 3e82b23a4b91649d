//! Known mistakes, made again on purpose: each is a small change of the sources that some test has to notice.
//!
//! They are the mistakes that other caches of routes and verdicts were found to have. [`list::MUTATIONS`] says where each
//! would be made here and which test notices; `testbed mutations` makes them one by one in a copy of the sources and runs
//! the tests. That every change still fits the sources is itself tested.

pub mod command;
pub mod list;
mod scratch;

/// A mistake, and who notices.
#[derive(Debug)]
pub struct Mutation {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong then.
    pub mistake: &'static str,
    /// The file, from the top of the sources.
    pub file: &'static str,
    /// What stands there, exactly once.
    pub from: &'static str,
    /// What is put in its place.
    pub to: &'static str,
    /// Tests that have to fail.
    pub noticed_by: &'static [Test],
}

/// A test beside the code, by its crate and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// The crate.
    pub package: &'static str,
    /// Its name, without modules.
    pub name: &'static str,
}

impl Mutation {
    /// The text of its file with the mistake in it; `None` if the sources are not what the mutation was made for.
    #[must_use]
    pub fn apply(&self, text: &str) -> Option<String> {
        (text.matches(self.from).count() == 1).then(|| text.replacen(self.from, self.to, 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::list::MUTATIONS;
    use super::scratch::top;

    fn texts(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                texts(&path, into);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                into.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_mutation_fits_the_sources_and_names_tests_there_are() {
        let mut names = HashSet::new();
        for mutation in MUTATIONS {
            assert!(names.insert(mutation.name), "{} is there twice", mutation.name);
            let text = fs::read_to_string(top().join(mutation.file)).expect(mutation.file);
            assert!(
                mutation.apply(&text).is_some(),
                "{}: {} has changed; the mutation has to follow",
                mutation.name,
                mutation.file
            );
            assert!(!mutation.noticed_by.is_empty(), "{} is noticed by nobody", mutation.name);
            for test in mutation.noticed_by {
                let mut tests = String::new();
                texts(&top().join(test.package).join("src"), &mut tests);
                let signature = format!("fn {}(", test.name);
                assert!(tests.contains(&signature), "{}: there is no test {}", mutation.name, test.name);
            }
        }
    }
}
