//! What gives the kernel its own packets back when routerd is killed: a process that waits for the end of a pipe, which
//! comes with the end of routerd however that comes about.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::TABLE;

/// The waiting process. Dropping it ends it, and nothing is given back.
#[derive(Debug)]
pub(super) struct Watch(Child);

impl Watch {
    /// Waits to empty the chains that hand over, `ports` of them for what goes out.
    ///
    /// # Errors
    /// There is no shell, or no room for a process.
    pub(super) fn over(nft: &Path, ports: usize) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", "cat > /dev/null; exec \"$0\" \"$1\""])
            .arg(nft)
            .arg(giving_back(ports))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended already needs no more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Commands after which the kernel takes what is its own, and sends it itself. Transit is still kept from it.
fn giving_back(ports: usize) -> String {
    let chains = std::iter::once("own".to_owned()).chain((0..ports).map(|number| format!("egress{number}")));
    chains.map(|chain| format!("flush chain netdev {TABLE} {chain};")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_that_takes_from_the_kernel_is_emptied() {
        assert_eq!(
            giving_back(2),
            "flush chain netdev routerd-guard own;flush chain netdev routerd-guard egress0;\
             flush chain netdev routerd-guard egress1;"
        );
    }

    #[test]
    fn it_ends_with_its_owner_or_before() {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("told");
        let program = directory.path().join("nft");
        std::fs::write(&program, format!("#!/bin/sh\necho \"$1\" > {}\n", told.display())).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();

        drop(Watch::over(&program, 1).unwrap());
        assert!(!told.exists(), "one that is dropped gives nothing back");

        let mut watch = Watch::over(&program, 1).unwrap();
        drop(watch.0.stdin.take());
        watch.0.wait().unwrap();
        assert_eq!(std::fs::read_to_string(&told).unwrap().trim(), giving_back(1));
    }
}
