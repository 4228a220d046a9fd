//! Drives the core with the runtime [smol](https://docs.rs/smol): lists several groups at the same time, with one session
//! for all of them. Any other runtime works, too.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example smol
//! ```
//!
//! It starts the emulator and lists from it as a service account. One task fetches a token, and the
//! others wait for it ([`Wait::on_change`](atlas_model_keys_core::Wait::on_change)).

mod support;

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atlas_model_keys_core::wire::{Decoder, Progress, encode};
use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Exchange, Failure, FailureKind, GroupId, Limits,
    ListRequest, Listing, Moment, Reply, Session, Step,
};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};
use http::{Request, Response};
use smol::channel::{self, Receiver, Sender};
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use smol::{Executor, Timer};
use support::{BoxError, moment};

/// The time limit for connecting, and again for the request with its response. After it, the session may try again.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), BoxError> {
    let server = Server::start(
        Emulator::new(Config::default().with_groups(6).with_keys_per_group(250)),
        Options::default(),
    )?;
    let account = server.with(|atlas| atlas.service_account().clone());
    // The account may not list the last group. Its error does not affect the other groups.
    let groups: Vec<GroupId> = server.with(|atlas| atlas.groups().collect());

    let credentials = Credentials::service_account(account.client_id, account.client_secret)?;
    let session = Session::new(BaseUrl::new(&server.base_url())?, credentials);
    let client = Client {
        address: server.address(),
        limits: session.limits().clone(),
        state: Mutex::new(State {
            session,
            change: channel::bounded(1),
        }),
    };
    let executor = Executor::new();
    smol::block_on(executor.run(async {
        let tasks: Vec<_> = groups
            .iter()
            .map(|group| (group, executor.spawn(client.count_unused(*group))))
            .collect();
        for (group, task) in tasks {
            match task.await {
                Ok(unused) => println!("{group}: {unused} keys were never used"),
                Err(error) => println!("{group}: {error}"),
            }
        }
    }));
    let tokens = server.with(|atlas| atlas.token_requests());
    println!("{} groups, {tokens} token", groups.len());
    Ok(())
}

/// The state that all tasks share.
struct Client {
    address: SocketAddr,
    limits: Limits,
    /// Locked for each call of the session, and never during I/O.
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// A channel that carries no messages. It is replaced when an exchange ends, which closes it and wakes all waiting
    /// tasks.
    change: (Sender<()>, Receiver<()>),
}

impl Client {
    async fn count_unused(&self, group: GroupId) -> Result<usize, BoxError> {
        let mut listing = Listing::new(ListRequest::new(group), &self.limits);
        let mut connection = None;
        let mut unused = 0;
        while let Some(request) = listing.request()? {
            let page = self.list(&request, &mut connection).await?.into_page()?;
            let keys = listing.accept(&page);
            unused += keys.filter(|key| key.last_used_at().is_none()).count();
        }
        Ok(unused)
    }

    /// Fetches one page: carries out each step of the session.
    async fn list(
        &self,
        request: &ListRequest,
        connection: &mut Option<TcpStream>,
    ) -> Result<Reply<Vec<u8>>, BoxError> {
        // Other tasks may wait for this exchange. It wakes them however it ends, even if it is dropped.
        let _wake = WakeOnDrop(self);
        let (mut step, mut change) = self.call(|session, at| session.start(request, at))?;
        loop {
            (step, change) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // It also wakes them after each request, because a new token is for all tasks.
                    let _wake = WakeOnDrop(self);
                    match self.exchange(&request, connection).await {
                        Ok(response) => self.call(|s, at| s.respond(pending, response, at))?,
                        Err(failure) => self.call(|s, at| s.fail(pending, failure, at))?,
                    }
                }
                Step::Wait(wait) => {
                    let over = async {
                        Timer::after(wait.delay()).await;
                    };
                    let changed = async {
                        // It returns an error when the channel is closed.
                        let _ = change.recv().await;
                    };
                    match wait.on_change() {
                        true => over.or(changed).await,
                        false => over.await,
                    }
                    self.call(|session, at| session.resume(wait, at))?
                }
            };
        }
    }

    /// Calls the session, and returns the step with the channel that the next change closes. Both are taken under one
    /// lock, so that no change between them is missed.
    fn call(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<(Step<Vec<u8>>, Receiver<()>), BoxError> {
        let at = moment()?;
        let mut state = self.lock();
        let step = call(&mut state.session, at)?;
        Ok((step, state.change.1.clone()))
    }

    /// Locks the state. A panic under the lock does not make the session unusable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request and reads its response. A failure says how far the request came: `NotSent` before there is a
    /// connection, `Lost` after that.
    async fn exchange(
        &self,
        request: &Request<Body>,
        kept: &mut Option<TcpStream>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let bytes = encode(request)?;
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let not_sent = |error| Failure::new(FailureKind::NotSent, error);
                let connect = async { TcpStream::connect(self.address).await.map_err(not_sent) };
                with_timeout(FailureKind::NotSent, connect).await?
            }
        };
        let message = with_timeout(FailureKind::Lost, async {
            stream.write_all(bytes.as_bytes()).await.map_err(lost)?;
            let mut decoder = Decoder::new(request.method(), &self.limits);
            let mut buffer = [0; 16 * 1024];
            loop {
                let n = stream.read(&mut buffer).await.map_err(lost)?;
                if n == 0 {
                    return Ok(decoder.close()?);
                }
                decoder = match decoder.push(&buffer[..n])? {
                    Progress::More(decoder) => decoder,
                    Progress::Done {
                        mut message,
                        leftover,
                    } => {
                        // Only one response was requested: with bytes after it, the connection is unreliable.
                        message.keep_alive &= leftover.is_empty();
                        return Ok(message);
                    }
                };
            }
        })
        .await?;
        if message.keep_alive {
            *kept = Some(stream);
        }
        Ok(message.response)
    }
}

fn lost(error: io::Error) -> Failure {
    Failure::new(FailureKind::Lost, error)
}

/// Waits for a future, which fails with this kind after the [`TIMEOUT`].
async fn with_timeout<T>(
    kind: FailureKind,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let timeout = async {
        Timer::after(TIMEOUT).await;
        Err(Failure::new(kind, io::Error::from(io::ErrorKind::TimedOut)))
    };
    future.or(timeout).await
}

/// Wakes all tasks that wait for a change of the session when it is dropped.
struct WakeOnDrop<'c>(&'c Client);

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().change = channel::bounded(1);
    }
}
