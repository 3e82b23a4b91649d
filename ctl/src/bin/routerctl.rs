//! `routerctl`: asks and tells a running routerd.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use ctl::client::Client;
use ctl::command::{self, Invocation, Task};
use ctl::message::{Reply, Row};
use ctl::namespace;
use ctl::queue;
use ctl::render::{Form, Printer};

fn main() -> ExitCode {
    let mut invocation = command::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Err(error) = invocation.read_file() {
        eprintln!("routerctl: {error}");
        return ExitCode::FAILURE;
    }
    match run(invocation) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("routerctl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(invocation: Invocation) -> anyhow::Result<ExitCode> {
    if let Some(name) = &invocation.namespace {
        namespace::enter(name)?;
    }
    let request = match invocation.task {
        Task::Send(request) => request,
        Task::Watch(what) => {
            queue::watch(&invocation.control, &what, invocation.json, &mut io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut client = Client::connect(&invocation.control)?;
    let form = Form::of(&request, invocation.json);
    let mut printer = Printer::new(BufWriter::with_capacity(64 * 1024, io::stdout().lock()), form);
    let mut code = ExitCode::SUCCESS;
    for reply in client.send(request)? {
        let reply = reply?;
        if let Reply::Row(Row::Status(status)) = &reply
            && !status.forwarding
        {
            code = ExitCode::FAILURE;
        }
        printer.reply(reply)?;
    }
    printer.finish()?;
    Ok(code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
