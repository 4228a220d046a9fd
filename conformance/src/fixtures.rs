//! Requests, clients and checks that many tests need.

use std::fs;

use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, GroupId, ListRequest};

use crate::client::{Setup, TestClient};

/// Returns an access token that no emulator issued.
///
/// # Panics
/// Never: the token is valid.
#[must_use]
pub fn token() -> Credentials {
    Credentials::bearer("token").unwrap()
}

/// Returns a request for the first page of a group that no emulator has.
///
/// # Panics
/// Never: the group's id is valid.
pub fn request() -> ListRequest {
    ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap())
}

/// Returns a client for any server, with [`token`].
///
/// # Panics
/// If the URL or the setup is invalid. Plain HTTP is allowed.
#[must_use]
pub fn client_for<C: TestClient>(base: &str, setup: Setup) -> C {
    C::new(BaseUrl::allowing_plain_http(base).unwrap(), token(), setup).unwrap()
}

/// Returns the ids of all keys, read with `ahead` pages in flight.
///
/// # Panics
/// If the listing fails, or if a key has no id.
pub fn ids<C: TestClient>(client: &C, request: &ListRequest, ahead: usize) -> Vec<String> {
    let keys = client.keys(request, ahead);
    keys.map(|key| key.unwrap().api_key_id().unwrap().to_owned())
        .collect()
}

/// Returns the kind of a transport's failure, and the number of attempts.
///
/// # Panics
/// If another error is given.
#[must_use]
pub fn failure(error: &Error) -> (FailureKind, u32) {
    match error {
        Error::Transport { kind, attempts, .. } => (*kind, *attempts),
        other => panic!("not a transport's error: {other:?}"),
    }
}

/// Returns the largest amount of memory that this process has used, in bytes, or 0 if the system does not report it.
///
/// # Panics
/// Never: Linux reports a number.
#[must_use]
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kibibytes.map_or(0, |n| n.parse::<u64>().unwrap() * 1024)
}
