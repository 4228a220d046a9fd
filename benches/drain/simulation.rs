//! An emulated Atlas in memory, in simulated time: the time moves on only when every future waits.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use atlas_model_keys_emulator::Emulator;
use atlas_model_keys_hyper::protocol::{Body, Failure, Limits};
use atlas_model_keys_hyper::transport::{
    AsyncTransport, ClientSettings, Clock, SendContext, UnixTime,
};
use atlas_model_keys_hyper::{BaseUrl, Credentials, Error, asynchronous};
use http::{Request, Response, StatusCode};

/// The time of day at which a simulation begins.
const START: Duration = Duration::from_secs(1_790_000_000);

/// The transport and the clock of its clients.
#[derive(Clone)]
pub(crate) struct Simulation(Arc<Mutex<State>>);

struct State {
    emulator: Emulator,
    latency: Duration,
    now: Duration,
    /// Who waits until when. The number tells timers with the same end apart.
    timers: BTreeMap<(Duration, u64), Waker>,
    timer_count: u64,
    refused: usize,
}

impl Simulation {
    pub(crate) fn new(emulator: Emulator, latency: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            emulator,
            latency,
            now: Duration::ZERO,
            timers: BTreeMap::new(),
            timer_count: 0,
            refused: 0,
        })))
    }

    /// Returns a client with an access token.
    pub(crate) fn client(&self, limits: Limits) -> Result<asynchronous::Client, Error> {
        let credentials = Credentials::bearer(self.token())?;
        let settings = ClientSettings::new(BaseUrl::default(), credentials)
            .limits(limits)
            .clock(self.clone());
        asynchronous::Client::new(settings, self.clone())
    }

    pub(crate) fn token(&self) -> String {
        self.0.lock().unwrap().emulator.access_token().to_owned()
    }

    /// Returns the number of responses with status 429.
    pub(crate) fn refused(&self) -> usize {
        self.0.lock().unwrap().refused
    }

    /// Sends a request, and waits for the response.
    pub(crate) async fn exchange<B: AsRef<[u8]>>(&self, request: &Request<B>) -> Response<Vec<u8>> {
        let latency = self.0.lock().unwrap().latency;
        self.timer(latency).await;
        let mut state = self.0.lock().unwrap();
        let now = START + state.now;
        let response = state.emulator.handle(request, now);
        state.refused += usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
        response
    }

    pub(crate) fn timer(&self, delay: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.0.lock().unwrap();
        state.timer_count += 1;
        Timer {
            simulation: self.clone(),
            end: (state.now + delay, state.timer_count),
        }
    }

    /// Runs the future to its end, and returns its output and the simulated time that it took.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> (T, Duration) {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let flag = Arc::new(Flag(true.into()));
        let waker = Waker::from(Arc::clone(&flag));
        let begun = self.elapsed();
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::SeqCst) {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = polled {
                    return (output, self.elapsed() - begun);
                }
            }
            let mut state = self.0.lock().unwrap();
            let ((end, _), waker) = state
                .timers
                .pop_first()
                .expect("a future waits for a timer");
            state.now = state.now.max(end);
            drop(state);
            waker.wake();
        }
    }
}

impl Clock for Simulation {
    fn unix_time(&self) -> UnixTime {
        UnixTime::from_duration(START + self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().now
    }
}

impl AsyncTransport for Simulation {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        Ok(self.exchange(&request).await)
    }

    async fn sleep(&self, delay: Duration) {
        self.timer(delay).await;
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

struct Timer {
    simulation: Simulation,
    end: (Duration, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.simulation.0.lock().unwrap();
        if state.now >= self.end.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.end, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.simulation.0.lock().unwrap().timers.remove(&self.end);
    }
}
