//! `token`: prints an access token of a service account, or revokes one.

use std::io::Write as _;

use atlas_model_keys_core::{Credentials, PageNum, Secret};

use crate::args::TokenArgs;
use crate::credentials;
use crate::environment::{ACCESS_TOKEN, Environment};
use crate::failure::{CommandError, Subject};
use crate::output::Stdout;
use crate::progress::{Place, Progress};
use crate::service::Service;
use crate::signals::Signals;

pub(crate) fn run(args: &TokenArgs, environment: &Environment) -> Result<(), CommandError> {
    let revoked = args.revoke.then(|| token(environment)).transpose()?;
    let credentials = credentials::service_account(environment)?;
    let stdout = Stdout::new(environment)?;
    let mut out = &stdout;
    let progress = Progress::new(Place::of_stderr(environment, false));
    let signals = Signals::catch()?;
    let subject = match revoked {
        Some(_) => Subject::Revocation,
        None => Subject::Token,
    };
    let service = Service::atlas(
        &args.connection,
        subject,
        credentials,
        environment,
        &signals,
        &progress,
    )?;
    if let Some(token) = revoked {
        return service.call(PageNum::FIRST, &progress, |client| client.revoke(&token));
    }
    let printed = service
        .call(PageNum::FIRST, &progress, |client| client.access_token())
        .and_then(|token| {
            if service.is_interrupted() {
                return Err(CommandError::interrupted_before(subject));
            }
            let mut line = token.expose().as_bytes().to_vec();
            line.push(b'\n');
            let written = out.write_all(&line).and_then(|()| out.flush());
            written.map_err(|error| CommandError::stdout(&error))
        });
    if printed.is_err() {
        // The token was not printed, so nobody can use it.
        service.revoke_token(&progress);
    }
    printed
}

/// Returns the token that is to be revoked. It is never an argument, because all users can read those.
fn token(environment: &Environment) -> Result<Secret, CommandError> {
    let Some(token) = environment.get(ACCESS_TOKEN)? else {
        return Err(CommandError::usage("there is no access token to revoke")
            .hint(format!("set {ACCESS_TOKEN} to the token")));
    };
    match Credentials::bearer(token) {
        Ok(_) => Ok(Secret::new(token)),
        Err(invalid) => {
            Err(CommandError::usage(invalid.to_string()).hint(format!("look at {ACCESS_TOKEN}")))
        }
    }
}
