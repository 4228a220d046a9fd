//! A blocking transport over [`attohttpc`], without its feature `compress`. It makes a new connection for each request.
//!
//! attohttpc refuses header lines beyond 16 KiB, takes an interim response (1xx) for the response, does not overwrite its
//! buffers, and cannot end a name resolution.

use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{SendContext, Transport, TwoLengths, io_failure_kind};
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
        let (head, body) = request.into_parts();
        let mut builder = RequestBuilder::try_new(head.method, head.uri.to_string())
            .map_err(failure)?
            .follow_redirects(false)
            .max_headers(context.limits().headers)
            .connect_timeout(context.timeout(Duration::from_secs(10)))
            .read_timeout(context.timeout(Duration::from_secs(30)))
            .timeout(context.timeout(Duration::MAX));
        *builder.headers_mut() = head.headers;
        let response = match body.is_empty() {
            true => builder.send(),
            false => builder.bytes(body).send(),
        };

        let (status, mut headers, body) = response.map_err(failure)?.split();
        TwoLengths::refuse(&headers)?;
        let length = headers.get(CONTENT_LENGTH).cloned();
        let mut reader = context.body_reader(status, &mut headers);
        let read = reader.read_from(body);
        read.map_err(|error| Failure::new(io_failure_kind(&error), error))?;
        let is_cut = reader.is_full();
        let mut response = Response::new(reader.finish()?);
        // attohttpc does not notice that a body is shorter than its `Content-Length`.
        let expected = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if !is_cut && expected.is_some_and(|length: usize| response.body().len() != length) {
            return Err(Failure::lost("the body is incomplete"));
        }
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
