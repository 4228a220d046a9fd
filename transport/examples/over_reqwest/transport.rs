//! An async transport over [`reqwest`].
//!
//! reqwest has its own limits for heads (100 fields, about 400 KiB) and does not overwrite its buffers. If a broken server
//! sends a response without a request, reqwest may return it for the next request, unless `pool_max_idle_per_host` is 0.

use std::error::Error as _;
use std::time::Duration;
use std::{io, iter};

use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{AsyncTransport, SendContext, Task, io_failure_kind};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::{Request, Response};
use reqwest::{Client, ClientBuilder, Error, redirect, retry};

pub(crate) struct ReqwestTransport(Client);

impl ReqwestTransport {
    pub(crate) fn new(builder: ClientBuilder) -> Result<Self, Error> {
        let builder = builder.redirect(redirect::Policy::none()).gzip(true);
        builder.retry(retry::never()).build().map(Self)
    }
}

impl AsyncTransport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<Body>,
        mut context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(Bytes::from);
        if context.holds_token() {
            let identity = HeaderValue::from_static("identity");
            request.headers_mut().insert(ACCEPT_ENCODING, identity);
        }
        let request = request.try_into().map_err(failure)?;
        let mut response = self.0.execute(request).await.map_err(failure)?;
        let most = context.body_limit(response.status(), response.content_length());
        let mut body = context.take_buffer();
        body.clear();
        while body.len() < most {
            match response.chunk().await {
                Ok(Some(part)) => body.extend(part.iter().take(most - body.len())),
                Ok(None) => break,
                // The status of an error is useful without its body.
                Err(_) if !response.status().is_success() => break,
                Err(error) => return Err(failure(error)),
            }
        }
        let (head, _) = Response::<reqwest::Body>::from(response).into_parts();
        Ok(Response::from_parts(head, body))
    }

    async fn sleep(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        tokio::spawn(task);
        Ok(())
    }
}

fn failure(error: Error) -> Failure {
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    let io_error = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    let kind = match io_error.map_or(FailureKind::Lost, io_failure_kind) {
        FailureKind::Lost if error.is_connect() => FailureKind::NotSent,
        kind => kind,
    };
    Failure::new(kind, error)
}
