//! The flows of a session against the emulator, a file for each. A dialogue of one exchange at a time is a transcript instead
//! (`../transcripts/`).

mod digest;
mod limits;
mod rate_limits;
mod redaction;
mod replies;
mod retries;
mod service_account;
mod single_flight;
mod tickets;

use crate::dialogue::{CredentialKind, World};
use atlas_model_keys_emulator::Config;
use http::{HeaderValue, Response, StatusCode};

fn world(kind: CredentialKind) -> World {
    World::new(Config::default(), kind)
}

fn response(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response
            .headers_mut()
            .append(*name, HeaderValue::from_static(value));
    }
    response
}
