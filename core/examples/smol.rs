//! Drives the core under [smol](https://docs.rs/smol): several groups at the same time, with one session
//! for all of them. No runtime is assumed, so another one would do.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example smol
//! ```
//!
//! It starts the emulator and lists from it as a service account does. However many tasks there are, one
//! token is fetched: the others wait for it ([`Wait::on_change`](atlas_model_keys_core::Wait::on_change)).

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

/// For connecting, and again for the request with its answer. More is for the session to try again.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), BoxError> {
    let server = Server::start(
        Emulator::new(Config {
            groups: 6,
            keys_per_group: 250,
            ..Config::default()
        }),
        Options::default(),
    )?;
    let account = server.with(|atlas| atlas.service_account().clone());
    // The last of them may not be listed. That is its own error, and nobody else's.
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

/// What the tasks share.
struct Client {
    address: SocketAddr,
    limits: Limits,
    /// Locked for a call of the session, and never across I/O.
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// Nothing is ever sent: when an exchange ends, it is replaced, which closes it for all who wait.
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

    /// One page: does what each step says.
    async fn list(
        &self,
        request: &ListRequest,
        connection: &mut Option<TcpStream>,
    ) -> Result<Reply<Vec<u8>>, BoxError> {
        // However it ends, by being dropped too: others may wait for it.
        let _wake = WakeOnDrop(self);
        let (mut step, mut change) = self.call(|session, at| session.start(request, at))?;
        loop {
            (step, change) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // And after each exchange: a token that has come is for all.
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
                        // It fails, when it is closed.
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

    /// One call of the session, and what closes with the next change: taken under the same lock, so that
    /// no change is missed between the two.
    fn call(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<(Step<Vec<u8>>, Receiver<()>), BoxError> {
        let at = moment()?;
        let mut state = self.lock();
        let step = call(&mut state.session, at)?;
        Ok((step, state.change.1.clone()))
    }

    /// A panic under the lock leaves the session as usable as an error does.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request and its answer. A failure says how far it came: `NotSent` until there is a
    /// connection, `Lost` from the first byte on.
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
                in_time(FailureKind::NotSent, connect).await?
            }
        };
        let message = in_time(FailureKind::Lost, async {
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
                        // Bytes that nobody asked for are no basis to go on.
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

/// What is not done in time has failed, in that way.
async fn in_time<T>(
    kind: FailureKind,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = async {
        Timer::after(PATIENCE).await;
        Err(Failure::new(kind, io::Error::from(io::ErrorKind::TimedOut)))
    };
    future.or(late).await
}

/// Wakes all who wait for a change of the session when it is dropped.
struct WakeOnDrop<'c>(&'c Client);

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().change = channel::bounded(1);
    }
}
