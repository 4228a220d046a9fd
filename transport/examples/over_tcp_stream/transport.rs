//! A blocking transport over [`TcpStream`]: plain HTTP/1.1, and a new connection for each request.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use atlas_model_keys_core::wire::{Decoder, Progress, encode};
use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{SendContext, Transport};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use zeroize::Zeroizing;

pub(crate) struct TcpTransport;

impl Transport for TcpTransport {
    fn send(
        &self,
        mut request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        // A timeout of zero is an error, so nothing waits after the deadline. The client then reports `TimedOut`.
        let at_most = |seconds| context.remaining().min(Duration::from_secs(seconds));
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let bytes = encode(&request)?;
        let mut limits = context.limits().clone();
        limits.body_bytes = context.body_limit(StatusCode::OK, None);

        let uri = request.uri();
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Failure::new(FailureKind::Permanent, "there is no TLS here"));
        };
        let not_sent = |error| Failure::new(FailureKind::NotSent, error);
        // The deadline cannot end the name resolution of the standard library.
        let addresses = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let mut connected = Err(io::Error::from(io::ErrorKind::NotFound));
        for address in addresses.to_socket_addrs().map_err(not_sent)? {
            connected = connected.or_else(|_| TcpStream::connect_timeout(&address, at_most(10)));
        }
        let mut stream = connected.map_err(not_sent)?;

        let lost = |error| Failure::new(FailureKind::Lost, error);
        stream.set_write_timeout(Some(at_most(30))).map_err(lost)?;
        stream.write_all(bytes.as_bytes()).map_err(lost)?;
        let mut decoder = Decoder::new(request.method(), &limits);
        let mut buffer = Zeroizing::new([0; 16 * 1024]);
        loop {
            stream.set_read_timeout(Some(at_most(30))).map_err(lost)?;
            let n = stream.read(&mut *buffer).map_err(lost)?;
            if n == 0 {
                return Ok(decoder.close()?.response);
            }
            match decoder.push(&buffer[..n])? {
                Progress::More(more) => decoder = more,
                Progress::Done { message, .. } => return Ok(message.response),
            }
        }
    }
}
