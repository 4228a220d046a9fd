//! An async transport over the TCP streams of smol: plain HTTP/1.1, and a new connection for each request.

use std::io;
use std::time::Duration;

use atlas_model_keys_core::wire::{Progress, encode};
use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{AsyncTransport, SendContext, Task};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use smol::Timer;
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use zeroize::Zeroizing;

pub(crate) struct SmolTransport;

impl AsyncTransport for SmolTransport {
    async fn send(
        &self,
        mut request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let bytes = encode(&request)?;

        let uri = request.uri();
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Failure::new(FailureKind::Permanent, "there is no TLS here"));
        };
        let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let connect = TcpStream::connect(address).or(timeout(10));
        let mut stream = connect.await.map_err(Failure::not_sent)?;

        stream
            .write_all(bytes.as_bytes())
            .await
            .map_err(Failure::lost)?;
        let mut decoder = context.decoder(request.method());
        let mut buffer = Zeroizing::new([0; 16 * 1024]);
        loop {
            let read = stream.read(&mut *buffer).or(timeout(30));
            let n = read.await.map_err(Failure::lost)?;
            if n == 0 {
                return Ok(decoder.close()?.response);
            }
            match decoder.push(&buffer[..n])? {
                Progress::More(more) => decoder = more,
                Progress::Done { message, .. } => return Ok(message.response),
            }
        }
    }

    async fn sleep(&self, delay: Duration) {
        Timer::after(delay).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        smol::spawn(task).detach();
        Ok(())
    }
}

/// Fails after this time.
async fn timeout<T>(seconds: u64) -> io::Result<T> {
    Timer::after(Duration::from_secs(seconds)).await;
    Err(io::ErrorKind::TimedOut.into())
}
