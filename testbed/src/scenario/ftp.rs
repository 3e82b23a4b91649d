//! FTP in a lab: vsftpd, which serves two files, and curl, which fetches them in each of the protocol's ways.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::lab::{Lab, Process, SECONDS_5, wait_until};
use crate::programs;

/// Bytes of each file.
const LENGTH: usize = 3 << 20;
/// The files' names.
const FILES: [&str; 2] = ["one", "two"];

/// Who calls whom for the data, and with which words that is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The client calls, after `EPSV`.
    ExtendedPassive,
    /// The client calls, after `PASV`. IPv4 only.
    Passive,
    /// The server calls, after `EPRT`.
    ExtendedActive,
    /// The server calls, after `PORT`. IPv4 only.
    Active,
}

impl Way {
    /// The ways that a family has.
    pub const fn of(is_ipv6: bool) -> &'static [Self] {
        if is_ipv6 {
            &[Self::ExtendedPassive, Self::ExtendedActive]
        } else {
            &[Self::ExtendedPassive, Self::Passive, Self::ExtendedActive, Self::Active]
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::ExtendedPassive => &[],
            Self::Passive => &["--disable-epsv"],
            Self::ExtendedActive => &["--ftp-port", "-"],
            Self::Active => &["--ftp-port", "-", "--disable-eprt"],
        }
    }
}

/// An FTP server that lets everybody read its files. Dropping it ends it.
#[derive(Debug)]
pub struct FtpServer {
    _vsftpd: Process,
    _folder: TempDir,
    contents: Vec<Vec<u8>>,
}

impl FtpServer {
    /// Whether it can run here. A test that needs it returns at once when not.
    ///
    /// # Panics
    /// When it cannot and the environment has `CI=true`.
    pub fn can_run() -> bool {
        programs::can_run(&["vsftpd", "curl"], Some("ftp"))
    }

    /// Starts it at `station`, on both families, and waits until it listens.
    ///
    /// # Errors
    /// It does not within five seconds.
    pub fn start(lab: &Lab, station: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-ftp-").tempdir()?;
        let make = |name: &str, mode: u32| -> Result<_> {
            let path = folder.path().join(name);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
            Ok(path)
        };
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        // What people see must not be writable, and the other folder must be empty.
        let (files, empty) = (make("files", 0o555)?, make("empty", 0o555)?);
        let random = super::server::content(FILES.len() * LENGTH);
        let contents: Vec<Vec<u8>> = random.chunks(LENGTH).map(<[u8]>::to_vec).collect();
        for (name, content) in FILES.iter().zip(&contents) {
            fs::write(files.join(name), content)?;
            fs::set_permissions(files.join(name), Permissions::from_mode(0o444))?;
        }
        let configuration = folder.path().join("vsftpd.conf");
        fs::write(&configuration, configured(&files, &empty))?;
        let mut vsftpd = lab.start(station, &format!("vsftpd {}", configuration.display()))?;
        wait_until("vsftpd to listen", SECONDS_5, || {
            let listens = lab.at(station).inside(|| TcpStream::connect(("127.0.0.1", 21)).is_ok());
            (listens || vsftpd.status().is_some()).then_some(())
        })?;
        ensure!(vsftpd.status().is_none(), "vsftpd has ended: {}{}", vsftpd.output(), vsftpd.error_output());
        Ok(Self { _vsftpd: vsftpd, _folder: folder, contents })
    }

    /// Has a client at `from` fetch both files over one control connection to `address`, which is to be this server.
    ///
    /// # Errors
    /// What `curl` says, or that a file came otherwise than it is.
    pub fn fetch(&self, lab: &Lab, from: &str, address: &str, way: Way) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let mut words: Vec<String> =
            ["curl", "--silent", "--show-error", "--verbose", "--noproxy", "*", "--max-time", "10"]
                .map(str::to_owned)
                .into();
        words.extend(way.options().iter().map(|option| (*option).to_owned()));
        for name in FILES {
            let path = folder.path().join(name).display().to_string();
            words.extend(["--output".to_owned(), path, format!("ftp://{host}/{name}")]);
        }
        let curl = Process::start(lab.at(from), &words)?.finish(2 * super::clients::SECONDS_20)?;
        curl.ok().with_context(|| format!("{way:?} from {from} at {address}"))?;
        for (name, content) in FILES.iter().zip(&self.contents) {
            let came = fs::read(folder.path().join(name))?;
            ensure!(
                came == *content,
                "{way:?} from {address}: {} bytes came, and not the file's",
                came.len()
            );
        }
        Ok(())
    }
}

fn configured(files: &Path, empty: &Path) -> String {
    let (files, empty) = (files.display(), empty.display());
    format!(
        "background=NO\nlisten=NO\nlisten_ipv6=YES\nanonymous_enable=YES\nno_anon_password=YES\nanon_root={files}\n\
         secure_chroot_dir={empty}\nseccomp_sandbox=NO\nxferlog_enable=NO\nconnect_from_port_20=YES\nport_enable=YES\n\
         pasv_enable=YES\nconnect_timeout=3\naccept_timeout=3\n"
    )
}
