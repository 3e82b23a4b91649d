//! `routerd`: the router.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use router::config::{Arguments, ValidConfig};
use router::daemon;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match routerd(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("routerd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn routerd(arguments: &Arguments) -> anyhow::Result<()> {
    let config = ValidConfig::load(arguments)?;
    if config.check {
        if let Some(path) = &config.rules {
            let told = daemon::check_file(path, config.host.host())?;
            println!("routerd: {} is right (chains {}, rules {})", path.display(), told.chains, told.rules);
        }
        println!("routerd: arguments and configuration are right");
        return Ok(());
    }
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log).context("--log")?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the control thread cannot be set up")?;
    runtime.block_on(async {
        let daemon = daemon::start(config).await?;
        announce(&daemon);
        daemon::run(daemon, || Ok(ValidConfig::load(arguments)?)).await
    })
}

/// Says that packets are forwarded: one line for people, a notice for a service manager that asked for one.
fn announce(daemon: &daemon::Daemon) {
    println!("{}", daemon.ready());
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}
