//! A web service around the client, with [axum](https://docs.rs/axum): `GET /groups/{id}/unused-keys`
//! answers with the keys of a project that nobody has ever used.
//!
//! ```sh
//! cargo run -p atlas-model-keys-hyper --example axum               # asks itself, and ends
//! cargo run -p atlas-model-keys-hyper --example axum -- --serve    # goes on until Ctrl-C
//! ```
//!
//! It lists from the emulator, which it starts; with credentials in the environment and a group's id as
//! an argument, from Atlas.
//!
//! Whoever goes away before the answer cancels the listing: axum drops the handler, that drops the
//! stream, and that ends the requests to Atlas that are on their way. The client is as usable as before.

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

/// How long this service's callers wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

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
        // A request that is answered, and one that cannot be.
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

/// What this service tells of a key: never its `secret`, should Atlas ever list one.
#[derive(Serialize)]
struct UnusedKey {
    id: Option<String>,
    name: Option<String>,
    created_by: Option<String>,
}

async fn unused_keys(
    State(client): State<Client>,
    Path(id): Path<String>,
) -> Result<Json<Vec<UnusedKey>>, Failure> {
    let group: GroupId = id.parse().map_err(Error::from)?;
    // The client's deadline is for each page, this one for all of them. A listing may be dropped at any
    // time, and so it is when the time is up.
    Ok(Json(timeout(PATIENCE, collect(&client, group)).await??))
}

/// Collected, not streamed: a status cannot be taken back when a later page fails.
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

/// Why there is no list, as this service says it.
struct Failure {
    status: StatusCode,
    retry_after: Option<Duration>,
    reason: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::Api(answer) if answer.status == StatusCode::NOT_FOUND => StatusCode::NOT_FOUND,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            // Atlas or the network had a bad moment, for all the attempts that the client made.
            Error::GaveUp { .. } | Error::Transport { .. } => StatusCode::SERVICE_UNAVAILABLE,
            // 401 and 403 among them: the credential is this service's, not its caller's, who can do
            // nothing about it.
            _ => StatusCode::BAD_GATEWAY,
        };
        Self {
            status,
            retry_after: error.retry_after(),
            // It holds neither a secret nor a body, so it may be shown.
            reason: error.to_string(),
        }
    }
}

impl From<Elapsed> for Failure {
    fn from(elapsed: Elapsed) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            retry_after: None,
            reason: elapsed.to_string(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // Rounded up: who comes back too early is turned away again.
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

/// One request, as curl would make it.
async fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
