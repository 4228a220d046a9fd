//! A blocking transport over [`attohttpc`], without its feature `compress`. It makes a new connection for each request.
//!
//! attohttpc refuses header lines beyond 16 KiB, takes an interim response (1xx) for the response, does not overwrite its
//! buffers, and cannot end a name resolution.

use std::io::Read as _;
use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{SendContext, Transport, io_failure_kind};
use attohttpc::{Error, ErrorKind, RequestBuilder};
use http::header::CONTENT_LENGTH;
use http::{Request, Response};

pub(crate) struct AttohttpcTransport;

impl Transport for AttohttpcTransport {
    fn send(
        &self,
        request: Request<Body>,
        mut context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let remaining = context.remaining();
        let (head, body) = request.into_parts();
        let mut builder = RequestBuilder::try_new(head.method, head.uri.to_string())
            .map_err(failure)?
            .follow_redirects(false)
            .max_headers(context.limits().headers)
            .connect_timeout(remaining.min(Duration::from_secs(10)))
            .read_timeout(remaining.min(Duration::from_secs(30)))
            .timeout(remaining);
        *builder.headers_mut() = head.headers;
        let response = match body.is_empty() {
            true => builder.send(),
            false => builder.bytes(body).send(),
        };

        let (status, headers, body) = response.map_err(failure)?.split();
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let most = u64::try_from(context.body_limit(status, length)).unwrap_or(u64::MAX);
        let mut bytes = context.take_buffer();
        bytes.clear();
        let read = body.take(most).read_to_end(&mut bytes);
        read.map_err(|error| Failure::new(io_failure_kind(&error), error))?;
        // attohttpc does not notice that a body is shorter than its `Content-Length`.
        if length.is_some_and(|length| bytes.len() as u64 != length.min(most)) {
            return Err(Failure::new(FailureKind::Lost, "the body is incomplete"));
        }
        let mut response = Response::new(bytes);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}

fn failure(error: Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Io(error) => io_failure_kind(error),
        ErrorKind::ConnectError { .. } => FailureKind::NotSent,
        ErrorKind::Http(_) | ErrorKind::InvalidResponse(_) => FailureKind::Lost,
        // The URL or the certificate.
        _ => FailureKind::Permanent,
    };
    Failure::new(kind, error)
}
