//! `emulate`: serves the emulator on this machine until a signal or for a given time.

mod catalogue;
mod data;
mod introduction;
mod request_log;

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use atlas_model_keys_emulator::server::{self, Options, Server, Tls};
use atlas_model_keys_emulator::{Config, Emulator, Names};

use crate::args::{EmulateArgs, PrintFormat, Rate};
use crate::failure::CommandError;
use crate::signals::on_signal;

use catalogue::catalogue;
use introduction::introduction;
use request_log::RequestLog;

pub(crate) fn run(args: &EmulateArgs) -> Result<(), CommandError> {
    if args.list_faults {
        return print(&catalogue());
    }
    // Read before the handler is set, so that Ctrl-C ends a read of stdin.
    let data = args.data.as_deref().map(data::read).transpose()?;
    // Set before anything is printed, because the reader of the output may send a signal at once.
    let (stop, stopped) = mpsc::channel();
    on_signal(move || {
        // This fails for a second signal during the shutdown, which is ignored.
        let _ = stop.send(());
    })
    .map_err(|error| CommandError::local("cannot wait for signals", &error))?;

    let clock = match args.now {
        Some(start) => server::clock_from(start),
        None => Options::default().clock,
    };
    let Rate(rate_limit) = args.rate_limit;
    let mut emulator = Emulator::new(
        Config::default()
            .with_seed(args.seed)
            .with_groups(to_usize(args.groups))
            .with_organizations(to_usize(args.organizations))
            .with_keys_per_group(to_usize(args.keys))
            .with_names(match args.hostile_names {
                true => Names::Hostile,
                false => Names::Plausible,
            })
            // The argument, and not the clock that already runs: equal arguments give equal keys.
            .with_present(args.now.unwrap_or_else(|| clock()))
            .with_data(data)
            .with_token_ttl(args.token_ttl)
            .with_nonce_ttl(args.nonce_ttl)
            .with_rate_limit(rate_limit)
            .with_shared_rate_limit(args.shared_rate_limit)
            .with_include_secrets(args.with_secrets)
            .with_control(args.control),
    );
    for fault in &args.faults {
        emulator.inject(*fault);
    }
    let mut options = Options::default()
        .with_address(args.bind)
        .with_port(args.port)
        .with_latency(args.latency.unwrap_or_default())
        .with_clock(clock);
    for name in &args.allowed_hosts {
        options = options.with_allowed_host(name);
    }
    if let Some(path) = args.ca_file() {
        options = options.with_tls(tls(args, path)?);
    }
    let log = args.log.as_deref().map(RequestLog::open).transpose()?;
    if let Some(log) = log.clone() {
        options = options.with_log(move |seen| log.add(seen));
    }
    let server = Server::start(emulator, options).map_err(|error| cannot_serve(args, &error))?;

    let base = server.base_url();
    print(&server.with(|emulator| match args.print {
        PrintFormat::Shell => introduction(&base, emulator, args),
        PrintFormat::Dotenv => emulator.environment(&base).to_dotenv(),
        PrintFormat::Json => emulator.environment(&base).to_json() + "\n",
    }))?;
    if let Some(log) = &log {
        log.begin();
    }
    if !args.bind.is_loopback() {
        note(&format!(
            "listening on {}: anyone who can reach it can list these fake keys; it is meant for containers",
            server.address()
        ));
    }
    note(&format!("ready at {base} (Ctrl-C ends it)"));

    // The result does not matter: a signal or the end of the time stops the server.
    match args.duration {
        Some(duration) => drop(stopped.recv_timeout(duration)),
        None => drop(stopped.recv()),
    }
    server.shutdown();
    log.map_or(Ok(()), |log| log.end())
}

/// Makes the certificate, and writes that of its authority to the file.
fn tls(args: &EmulateArgs, path: &Path) -> Result<Tls, CommandError> {
    let bind = Some(args.bind.to_string()).filter(|_| !args.bind.is_unspecified());
    // The real time, also with --now: clients have the real time.
    let now = (Options::default().clock)();
    let tls = Tls::generate(bind.iter().chain(&args.allowed_hosts), now)
        .map_err(|error| CommandError::local("cannot make a certificate", &error))?;
    std::fs::write(path, tls.ca_pem()).map_err(|error| {
        CommandError::local(format!("cannot write {}", data::shown_path(path)), &error)
    })?;
    Ok(tls)
}

fn cannot_serve(args: &EmulateArgs, error: &io::Error) -> CommandError {
    let place = match args.port {
        0 => args.bind.to_string(),
        port => SocketAddr::new(args.bind, port).to_string(),
    };
    let failure = CommandError::local(format!("cannot serve on {place}"), error);
    match (error.kind(), args.port) {
        (ErrorKind::AddrNotAvailable, _) => {
            failure.hint("--bind needs an address of this machine; 0.0.0.0 and :: are all of them")
        }
        (_, 0) => failure,
        _ => failure.hint("without --port, a free one is taken"),
    }
}

/// Writes a note to stderr. If this fails, there is no other place to report it.
fn note(text: &str) {
    let _ = io::stderr().write_all(format!("note: {text}\n").as_bytes());
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::stdout(&error))
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
