//! `emulate`: serves the emulator on this machine until a signal or for a given time.

mod catalogue;
mod data;
mod introduction;

use std::io::{self, Write as _};
use std::sync::mpsc;

use atlas_model_keys_emulator::server::{self, Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Names};

use crate::args::{EmulateArgs, Rate};
use crate::failure::CommandError;
use crate::signals::on_signal;

use catalogue::catalogue;
use introduction::introduction;

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
            .with_include_secrets(args.with_secrets),
    );
    for fault in &args.faults {
        emulator.inject(*fault, None);
    }
    let options = Options::default()
        .with_port(args.port.unwrap_or(0))
        .with_latency(args.latency.unwrap_or_default())
        .with_clock(clock);
    let server = Server::start(emulator, options).map_err(|error| {
        let failure = CommandError::local("cannot serve on 127.0.0.1", &error);
        match args.port {
            Some(_) => failure.hint("without --port, a free one is taken"),
            None => failure,
        }
    })?;

    let base = server.base_url();
    print(&server.with(|emulator| introduction(&base, emulator, &args.faults)))?;

    // The result does not matter: a signal or the end of the time stops the server.
    match args.duration {
        Some(duration) => drop(stopped.recv_timeout(duration)),
        None => drop(stopped.recv()),
    }
    server.shutdown();
    Ok(())
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
