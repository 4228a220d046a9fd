//! A blocking transport over [`TcpStream`]: plain HTTP/1.1, and a new connection for each request.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use atlas_model_keys_core::wire::{Progress, encode};
use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{SendContext, Transport};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use zeroize::Zeroizing;

pub(crate) struct TcpTransport;

impl Transport for TcpTransport {
    fn send(
        &self,
        mut request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let at_most = |seconds| context.timeout(Duration::from_secs(seconds));
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let bytes = encode(&request)?;

        let uri = request.uri();
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Failure::new(FailureKind::Permanent, "there is no TLS here"));
        };
        // The deadline cannot end the name resolution of the standard library.
        let addresses = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let mut connected = Err(io::Error::from(io::ErrorKind::NotFound));
        for address in addresses.to_socket_addrs().map_err(Failure::not_sent)? {
            connected = connected.or_else(|_| TcpStream::connect_timeout(&address, at_most(10)));
        }
        let mut stream = connected.map_err(Failure::not_sent)?;

        stream
            .set_write_timeout(Some(at_most(30)))
            .map_err(Failure::lost)?;
        stream.write_all(bytes.as_bytes()).map_err(Failure::lost)?;
        let mut decoder = context.decoder(request.method());
        let mut buffer = Zeroizing::new([0; 16 * 1024]);
        while !context.remaining().is_zero() {
            stream
                .set_read_timeout(Some(at_most(30)))
                .map_err(Failure::lost)?;
            let n = stream.read(&mut *buffer).map_err(Failure::lost)?;
            if n == 0 {
                return Ok(decoder.close()?.response);
            }
            match decoder.push(&buffer[..n])? {
                Progress::More(more) => decoder = more,
                Progress::Done { message, .. } => return Ok(message.response),
            }
        }
        Err(Failure::lost("the deadline has passed"))
    }
}
