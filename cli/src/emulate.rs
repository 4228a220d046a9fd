//! `emulate`: serves the emulator on this machine until a signal or for a given time.

mod catalogue;
mod data;
mod request_log;

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use atlas_model_keys_emulator::server::{self, Options, Server, Tls};
use atlas_model_keys_emulator::{Config, Data, Emulator, EnvironmentFormat, Names};

use crate::args::{EmulateArgs, Rate};
use crate::failure::CommandError;
use crate::signals::on_first_signal;

use catalogue::catalogue;
use request_log::{Output, RequestLog};

pub(crate) fn run(args: &EmulateArgs) -> Result<(), CommandError> {
    if args.list_faults {
        return print(&catalogue());
    }
    let file = |path: &Option<PathBuf>| path.as_ref()?.canonicalize().ok();
    if file(&args.data).is_some_and(|data| Some(data) == file(&args.log)) {
        let what = "--log would replace the file of --data";
        return Err(CommandError::usage(what).hint("choose another file for --log"));
    }
    // Read before the handler is set, so that Ctrl-C ends a read of stdin.
    let data = read_data(args)?;
    // Set before anything is printed, because the reader of the output may send a signal at once.
    let (stop, stopped) = mpsc::channel();
    on_first_signal(move || {
        // This fails if the end has already begun.
        let _ = stop.send(());
    })
    .map_err(|error| CommandError::local("cannot wait for signals", &error))?;

    let clock = match args.now {
        Some(start) => server::clock_from(start),
        None => Options::default().clock,
    };
    // The argument, and not the clock that already runs: equal arguments give equal keys.
    let emulator = emulator(args, data, args.now.unwrap_or_else(|| clock()));
    let mut options = Options::default()
        .with_address(args.bind)
        .with_port(args.port)
        .with_latency(args.latency.unwrap_or_default())
        .with_clock(clock);
    for name in &args.allowed_hosts {
        options = options.with_allowed_host(name);
    }
    let tls = args.ca_file().map(|path| Ok((path, tls(args)?)));
    let tls = tls.transpose()?;
    if let Some((_, tls)) = &tls {
        options = options.with_tls(tls.clone());
    }
    let log = args.log.as_deref().map(|path| (path, RequestLog::new()));
    if let Some((_, log)) = log.clone() {
        options = options.with_log(move |seen| log.add(seen));
    }
    let server = Server::start(emulator, options).map_err(|error| cannot_serve(args, &error))?;
    // Files are changed only now: they may belong to another emulator, which has the port.
    let log = log.map(|(path, log)| Ok((log, Output::open(path)?)));
    let log = log.transpose()?;
    if let Some((path, tls)) = &tls {
        std::fs::write(path, tls.ca_pem()).map_err(|error| cannot_write(path, &error))?;
    }
    if let Some((_, output)) = &log {
        output.clear();
    }

    print(&introduction(args, &server))?;
    let log = log.map(|(log, output)| log.begin(output).map(|()| log));
    let log = log.transpose()?;
    if !args.bind.is_loopback() {
        say(&format!(
            "warning: listening on {}: anyone who can reach it can list these fake keys; it is meant for containers",
            server.address()
        ));
    }
    say(&format!(
        "note: ready at {} (Ctrl-C ends it)",
        server.base_url()
    ));

    // The result does not matter: a signal or the end of the time stops the server.
    match args.duration {
        Some(duration) => drop(stopped.recv_timeout(duration)),
        None => drop(stopped.recv()),
    }
    server.shutdown();
    log.map_or(Ok(()), |log| log.end())
}

fn read_data(args: &EmulateArgs) -> Result<Option<Data>, CommandError> {
    let data = args.data.as_deref().map(data::read).transpose()?;
    match (&data, args.about_generated()) {
        (Some(data), Some(option)) if !data.has_only_credentials() => {
            let what = format!(
                "{option} is about generated keys and projects, and the file of --data has its own"
            );
            let way_out = format!("remove {option}, or use a file that has credentials only");
            Err(CommandError::usage(what).hint(way_out))
        }
        _ => Ok(data),
    }
}

/// Returns the emulator that the arguments ask for. The dates of its keys are relative to `present`.
fn emulator(args: &EmulateArgs, data: Option<Data>, present: Duration) -> Emulator {
    let Rate(rate_limit) = args.rate_limit;
    let mut config = Config::default()
        .with_seed(args.seed)
        .with_names(match args.hostile_names {
            true => Names::Hostile,
            false => Names::Plausible,
        })
        .with_present(present)
        .with_data(data)
        .with_token_ttl(args.token_ttl)
        .with_nonce_ttl(args.nonce_ttl)
        .with_rate_limit(rate_limit)
        .with_shared_rate_limit(args.shared_rate_limit)
        .with_include_secrets(args.with_secrets)
        .with_control(args.control);
    for (number, setting) in [
        (args.groups, &mut config.groups),
        (args.organizations, &mut config.organizations),
        (args.keys, &mut config.keys_per_group),
    ] {
        if let Some(number) = number {
            *setting = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    let mut emulator = Emulator::new(config);
    for fault in &args.faults {
        emulator.inject(*fault);
    }
    emulator
}

/// Returns what is printed at the start.
fn introduction(args: &EmulateArgs, server: &Server) -> String {
    let base = client_base(args, server);
    let mut environment = server.with(|emulator| emulator.environment(&base));
    environment.ca_file = args.ca_file().map(|path| {
        // Other programs may be in another folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.to_string_lossy().into_owned()
    });
    let mut text = environment.to_text(args.print);
    if args.print == EnvironmentFormat::Shell {
        for fault in &args.faults {
            text += &format!("# Fault: {fault}: {}\n", fault.fault().description());
        }
    }
    text
}

/// Returns the base URL that is printed. On all addresses of the machine, clients are probably other containers, which
/// use the first allowed host.
fn client_base(args: &EmulateArgs, server: &Server) -> String {
    let base = server.base_url();
    let host = args.allowed_hosts.first();
    match (
        host.filter(|_| args.bind.is_unspecified()),
        base.split_once("://"),
    ) {
        (Some(host), Some((scheme, _))) => {
            let port = server.address().port();
            match host.parse() {
                Ok(address) => format!("{scheme}://{}", SocketAddr::new(address, port)),
                Err(_) => format!("{scheme}://{host}:{port}"),
            }
        }
        _ => base,
    }
}

/// Makes the certificate.
fn tls(args: &EmulateArgs) -> Result<Tls, CommandError> {
    let bind = Some(args.bind.to_string()).filter(|_| !args.bind.is_unspecified());
    // The real time, also with --now: clients have the real time.
    let now = (Options::default().clock)();
    Tls::generate(bind.iter().chain(&args.allowed_hosts), now)
        .map_err(|error| CommandError::local("cannot make a certificate", &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::local(format!("cannot write {}", data::shown_path(path)), error)
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

/// Writes a line to stderr. If this fails, there is no other place to report it.
fn say(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::stdout(&error))
}
