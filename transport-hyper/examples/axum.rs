//! A web service around the client, with [axum](https://docs.rs/axum): `GET /groups/{id}/unused-keys`
//! answers with the keys of a project that were never used.
//!
//! ```sh
//! cargo run -p atlas-model-keys-hyper --example axum               # sends itself two requests, and ends
//! cargo run -p atlas-model-keys-hyper --example axum -- --serve    # serves until Ctrl-C
//! ```
//!
//! It starts the emulator and lists from it. With credentials in the environment and the id of a group as an argument, it
//! lists from Atlas.
//!
//! If a caller disconnects early, axum drops the handler and with it the stream, which cancels the requests to Atlas. The
//! client stays usable.

mod support;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use atlas_model_keys_hyper::{Client, Error, GroupId, ListRequest};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use support::Atlas;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// The deadline of a request to this service.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let atlas = Atlas::of_environment()?;
    let client = Client::builder(atlas.base, atlas.credentials)
        .user_agent("unused-keys/1.0")
        .build()?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let path = format!("/groups/{}/unused-keys", atlas.group);
    let served = axum::serve(listener, service(client)).into_future();
    if std::env::args().any(|argument| argument == "--serve") {
        println!("curl -i http://{address}{path}");
        return Ok(served.await?);
    }
    let asked = async {
        // A valid request and an invalid one.
        for path in [&path, "/groups/my-project/unused-keys"] {
            println!("{}\n", ask(address, path).await?);
        }
        Ok(())
    };
    Ok(tokio::select! {
        ended = served => ended,
        ended = asked => ended,
    }?)
}

/// The client is the state: cloned for each request, with one token and one rate limit for them all.
fn service(client: Client) -> Router {
    Router::new()
        .route("/groups/{id}/unused-keys", get(unused_keys))
        .with_state(client)
}

/// The public fields of a key, without its `secret`.
#[derive(Serialize)]
struct UnusedKey {
    id: Option<String>,
    name: Option<String>,
    created_by: Option<String>,
}

async fn unused_keys(
    State(client): State<Client>,
    Path(id): Path<String>,
) -> Result<Json<Vec<UnusedKey>>, ListError> {
    let group: GroupId = id.parse().map_err(Error::from)?;
    // The deadline of the client is for each page, this one is for all pages. A listing may be dropped at any time, as
    // here after the timeout.
    Ok(Json(timeout(DEADLINE, collect(&client, group)).await??))
}

/// Collects all keys before the response begins, because the status cannot change if a later page fails.
async fn collect(client: &Client, group: GroupId) -> Result<Vec<UnusedKey>, Error> {
    let mut keys = client.keys(&ListRequest::new(group)).read_ahead(4);
    let mut unused = Vec::new();
    while let Some(key) = keys.next().await {
        let key = key?;
        if key.last_used_at().is_none() {
            unused.push(UnusedKey {
                id: key.api_key_id().map(str::to_owned),
                name: key.name().map(str::to_owned),
                created_by: key.created_by().map(str::to_owned),
            });
        }
    }
    Ok(unused)
}

/// An error response of this service.
struct ListError {
    status: StatusCode,
    retry_after: Option<Duration>,
    reason: String,
}

impl From<Error> for ListError {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::Api(error) if error.status == StatusCode::NOT_FOUND => StatusCode::NOT_FOUND,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            // All attempts of the client failed because of Atlas or the network.
            Error::GaveUp { .. } | Error::Transport { .. } => StatusCode::SERVICE_UNAVAILABLE,
            // Also 401 and 403, because the credential belongs to this service and not to its caller.
            _ => StatusCode::BAD_GATEWAY,
        };
        Self {
            status,
            retry_after: error.retry_after(),
            // The text contains no secret and no body.
            reason: error.to_string(),
        }
    }
}

impl From<Elapsed> for ListError {
    fn from(elapsed: Elapsed) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            retry_after: None,
            reason: elapsed.to_string(),
        }
    }
}

impl IntoResponse for ListError {
    fn into_response(self) -> Response {
        // Rounded up, because a retry must not be too early.
        let seconds = |wait: Duration| {
            wait.as_secs()
                .saturating_add(u64::from(wait.subsec_nanos() > 0))
        };
        let retry_after = self
            .retry_after
            .map(|wait| [(header::RETRY_AFTER, seconds(wait).to_string())]);
        let body = Json(BTreeMap::from([("error", self.reason)]));
        (self.status, retry_after, body).into_response()
    }
}

/// Sends one request, like curl.
async fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    connection.read_to_string(&mut response).await?;
    Ok(response)
}
