//! A transport over the emulator in memory, for tests.

mod connection;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Failure, FailureKind, InvalidValue, ListRequest,
};
use atlas_model_keys_emulator::{Config, CredentialKind, Emulator};
use http::{Request, Response};

use crate::asynchronous;
use crate::blocking;
use crate::clock::{Clock as _, JumpingClock};
use crate::driver::timed_out;
use crate::settings::ClientSettings;
use crate::transport::{AsyncTransport, SendContext, Transport};
use crate::watched::lock;

/// An emulated Atlas in memory, for tests of programs that use a client. There are no sockets, and no wait takes real time.
///
/// It is a transport for both clients, and makes clients that use it. Clones share the emulator and the clock.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_core::{Error, ListRequest};
/// use atlas_model_keys_transport::emulator::{Config, CredentialKind, Fault};
/// use atlas_model_keys_transport::{Clock as _, InMemoryAtlas, blocking};
///
/// // The code to test.
/// fn count_keys(client: &blocking::Client, request: &ListRequest) -> Result<usize, Error> {
///     Ok(client.list_all(request)?.len())
/// }
///
/// let atlas = InMemoryAtlas::new(Config::default().with_keys_per_group(1234));
/// let client = atlas.blocking_client(CredentialKind::ServiceAccount)?;
/// // The first two requests get 429.
/// atlas.with(|emulator| emulator.inject(Fault::RETRY_AFTER_DATE.times(2)));
/// assert_eq!(count_keys(&client, &atlas.list_request())?, 1234);
/// // The test took milliseconds, but the client has waited.
/// assert!(atlas.clock().elapsed() > Duration::from_secs(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The async client needs no particular runtime:
///
/// ```
/// # use std::time::Duration;
/// # use atlas_model_keys_core::{Error, ListRequest};
/// # use atlas_model_keys_transport::emulator::{Config, CredentialKind};
/// # use atlas_model_keys_transport::{InMemoryAtlas, asynchronous};
/// // The code to test.
/// async fn count_keys(client: &asynchronous::Client, request: &ListRequest) -> Result<usize, Error> {
///     Ok(client.list_all(request).await?.len())
/// }
///
/// let atlas = InMemoryAtlas::new(Config::default());
/// let client = atlas.async_client(CredentialKind::ServiceAccount)?;
/// let list = atlas.list_request();
/// assert_eq!(smol::block_on(count_keys(&client, &list))?, 42);
/// // The client fetches a new token after an hour.
/// atlas.clock().advance(Duration::from_secs(3600));
/// assert_eq!(smol::block_on(count_keys(&client, &list))?, 42);
/// assert_eq!(atlas.with(|emulator| emulator.token_requests()), 2);
/// # Ok::<(), Error>(())
/// ```
///
/// # Faults
///
/// All [faults](atlas_model_keys_emulator::Fault) of the emulator work. Those of the connection are simulated: a response
/// that is reset, cut or malformed is [`Lost`](FailureKind::Lost), and pauses move the clock. There is no read timeout. A
/// connection that stalls is lost after 30 seconds of the clock, or the call times out earlier at its deadline.
/// [`refuse_connections`](InMemoryAtlas::refuse_connections) makes requests fail with [`NotSent`](FailureKind::NotSent).
///
/// Responses are not compressed, and the faults that compress them all the same need the
/// [server](atlas_model_keys_emulator::server): nothing is decompressed here.
///
/// # Concurrency
///
/// In async code, each request lets other futures run before it reaches the emulator, and is not sent if it is dropped
/// then. Tasks cannot be [spawned](AsyncTransport::spawn). So a call that waits for another call's token request waits
/// until that future is polled again or dropped, or until the clock is moved by 60 to 90 seconds.
#[derive(Clone)]
pub struct InMemoryAtlas {
    state: Arc<Mutex<State>>,
    clock: JumpingClock,
}

struct State {
    emulator: Emulator,
    /// The number of requests that are refused next.
    refused: u32,
}

impl InMemoryAtlas {
    /// Makes an emulator with this configuration, and a clock.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let emulator = Emulator::new(config);
        Self {
            state: Arc::new(Mutex::new(State {
                emulator,
                refused: 0,
            })),
            clock: JumpingClock::default(),
        }
    }

    /// Calls a function with the emulator: to count requests, to change keys, to inject faults. All requests wait until it
    /// returns, so it must not use a client.
    pub fn with<R>(&self, look: impl FnOnce(&mut Emulator) -> R) -> R {
        look(&mut lock(&self.state).emulator)
    }

    /// Refuses the next connections, so that as many requests fail with [`NotSent`](FailureKind::NotSent). They do not
    /// reach the emulator.
    pub fn refuse_connections(&self, times: u32) {
        lock(&self.state).refused = times;
    }

    /// Returns the clock, which is that of the emulator and of the clients.
    #[must_use]
    pub fn clock(&self) -> &JumpingClock {
        &self.clock
    }

    /// Returns the request for the keys of the emulator's first group.
    pub fn list_request(&self) -> ListRequest {
        ListRequest::new(self.with(|emulator| emulator.first_group()))
    }

    /// Returns credentials that the emulator accepts.
    ///
    /// # Errors
    /// [`InvalidValue`] never occurs, because the emulator makes valid credentials.
    pub fn credentials(&self, kind: CredentialKind) -> Result<Credentials, InvalidValue> {
        self.with(|emulator| match kind {
            CredentialKind::ApiKey => {
                let key = emulator.api_key();
                Credentials::api_key(&key.public_key, key.private_key.as_str())
            }
            CredentialKind::ServiceAccount => {
                let account = emulator.service_account();
                Credentials::service_account(&account.client_id, account.client_secret.as_str())
            }
            _ => Credentials::bearer(emulator.access_token()),
        })
    }

    /// Returns the settings of a client with these credentials and the [clock](InMemoryAtlas::clock). Give them to
    /// [`blocking::Client::new`] or [`asynchronous::Client::new`] with a clone of this.
    ///
    /// # Errors
    /// See [`credentials`](InMemoryAtlas::credentials).
    pub fn settings(&self, kind: CredentialKind) -> Result<ClientSettings, InvalidValue> {
        let credentials = self.credentials(kind)?;
        Ok(ClientSettings::new(BaseUrl::default(), credentials).clock(self.clock.clone()))
    }

    /// Returns a blocking client with the default settings.
    ///
    /// # Errors
    /// See [`credentials`](InMemoryAtlas::credentials).
    pub fn blocking_client(&self, kind: CredentialKind) -> Result<blocking::Client, Error> {
        blocking::Client::new(self.settings(kind)?, self.clone())
    }

    /// Returns an async client with the default settings.
    ///
    /// # Errors
    /// See [`credentials`](InMemoryAtlas::credentials).
    pub fn async_client(&self, kind: CredentialKind) -> Result<asynchronous::Client, Error> {
        asynchronous::Client::new(self.settings(kind)?, self.clone())
    }

    fn exchange(
        &self,
        request: &Request<Body>,
        context: &SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if context.remaining().is_zero() {
            return Err(timed_out());
        }
        let mut state = lock(&self.state);
        if let Some(left) = state.refused.checked_sub(1) {
            state.refused = left;
            let error = io::Error::from(io::ErrorKind::ConnectionRefused);
            return Err(Failure::new(FailureKind::NotSent, error));
        }
        let now = self.clock.unix_time().to_duration().unwrap_or_default();
        let response = state.emulator.handle(request, now);
        drop(state);
        connection::receive(request.method(), response, context, &self.clock)
    }
}

impl Transport for InMemoryAtlas {
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        self.exchange(&request, &context)
    }
}

impl AsyncTransport for InMemoryAtlas {
    async fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut has_waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.exchange(&request, &context)
    }

    /// Waits until the clock has moved by this time. Only waits for other calls come here: retry waits move the clock.
    async fn sleep(&self, delay: Duration) {
        self.clock.sleep(delay).await;
    }
}

impl fmt::Debug for InMemoryAtlas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryAtlas")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
