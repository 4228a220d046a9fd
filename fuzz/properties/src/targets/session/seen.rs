//! What the session did, in the terms of the model.

use atlas_model_keys_core::{Endpoint, Error, FailureKind, Refused, Step};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method};

use super::operations::{AnyRequest, StepResult, versions};
use super::world::World;
use crate::oracles::session_model::{self as model, Authorization, Cause, Kind};
use crate::targets::challenge;

pub(super) fn kind(kind: FailureKind) -> Kind {
    match kind {
        FailureKind::NotSent => Kind::NotSent,
        FailureKind::Lost => Kind::Lost,
        FailureKind::TimedOut => Kind::TimedOut,
        FailureKind::Permanent => Kind::Permanent,
    }
}

pub(super) fn failure(error: &Error) -> model::Failure {
    match error {
        Error::Api(response) => model::Failure::Api {
            status: response.status.as_u16(),
            is_token: response.endpoint == Endpoint::Token,
        },
        Error::Authentication { refused, response } => model::Failure::Authentication {
            refused: match refused {
                Refused::ServiceAccount => model::Refused::ServiceAccount,
                Refused::Token => model::Refused::Token,
                Refused::ApiKey => model::Refused::ApiKey,
                Refused::Challenge => model::Refused::Challenge,
                Refused::Nonce => model::Refused::Nonce,
                Refused::NotAllowed => model::Refused::NotAllowed,
                other => panic!("an unknown refusal: {other:?}"),
            },
            status: response.status.as_u16(),
        },
        Error::RateLimited {
            response,
            attempts,
            wait,
        } => {
            assert_eq!(response.status, 429);
            model::Failure::RateLimited {
                attempts: *attempts,
                wait: *wait,
            }
        }
        Error::GaveUp {
            response,
            attempts,
            wait,
        } => model::Failure::GaveUp {
            status: response.status.as_u16(),
            attempts: *attempts,
            wait: *wait,
        },
        Error::Transport {
            kind: failed,
            attempts,
            ..
        } => model::Failure::Transport {
            kind: kind(*failed),
            attempts: *attempts,
        },
        Error::InvalidResponse(_) => model::Failure::InvalidResponse,
        Error::Limit { limit, .. } => {
            model::Failure::Limit(usize::try_from(*limit).expect("a limit of 64 bits"))
        }
        other => panic!("an unexpected error: {other:?}"),
    }
}

pub(super) fn step(world: &World, request: &AnyRequest, next: &StepResult) -> model::Step {
    let step = match next {
        Ok(step) => step,
        Err(error) => return model::Step::Fail(failure(error)),
    };
    match step {
        Step::Send(exchange) if exchange.request.method() == Method::POST => {
            let attempt = exchange.pending.attempt();
            model::Step::FetchToken { attempt }
        }
        Step::Send(exchange) => {
            let headers = exchange.request.headers();
            let versions = versions(request.operation(), &world.pinned_version);
            let version = versions
                .iter()
                .position(|version| version.accept() == headers[ACCEPT]);
            model::Step::Send {
                version: version.expect("a version of the operation"),
                authorization: authorization(world, headers.get(AUTHORIZATION)),
                attempt: exchange.pending.attempt(),
            }
        }
        Step::Wait(wait) if wait.on_change() => {
            assert!(wait.api_error().is_none() && wait.failure().is_none());
            model::Step::Follow {
                delay: wait.delay(),
            }
        }
        Step::Wait(wait) => model::Step::Wait {
            delay: wait.delay(),
            cause: match (wait.api_error(), wait.failure()) {
                (Some(response), None) => Cause::Status(response.status.as_u16()),
                (None, Some((failed, _))) => Cause::Failure(kind(failed)),
                both => panic!("not one cause: {both:?}"),
            },
        },
        Step::Done(reply) => model::Step::Done {
            attempts: reply.attempts(),
        },
    }
}

fn authorization(world: &World, value: Option<&HeaderValue>) -> Authorization {
    let Some(value) = value else {
        return Authorization::Unsigned;
    };
    if world.credential == model::Credential::ApiKey {
        let parameters = challenge::parameters(value.as_bytes());
        let get = |name: &str| {
            let named = parameters.iter().find(|(known, _)| known == name);
            &named.unwrap_or_else(|| panic!("{name} is missing")).1
        };
        let count = std::str::from_utf8(get("nc")).expect("digits are ASCII");
        return Authorization::Digest {
            nonce: get("nonce").clone(),
            count: u32::from_str_radix(count, 16).expect("a count in hexadecimal"),
        };
    }
    let text = value.to_str().expect("a token is ASCII");
    let token = text.strip_prefix("Bearer ").expect("a bearer token");
    match world.credential {
        model::Credential::Bearer if token == crate::generators::session::BEARER => {
            Authorization::Caller
        }
        _ => Authorization::Token(token.to_owned()),
    }
}
