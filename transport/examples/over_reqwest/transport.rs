//! An async transport over [`reqwest`].
//!
//! reqwest has its own limits for heads (100 fields, about 400 KiB) and does not overwrite its buffers. If a broken server
//! sends a response without a request, reqwest may return it for the next request, unless `pool_max_idle_per_host` is 0.

use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind};
use atlas_model_keys_transport::{AsyncTransport, SendContext, Task, TwoLengths, failure_kind};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::{Request, Response};
use reqwest::{Client, ClientBuilder, Error, redirect, retry};
use tokio::task::unconstrained;

pub(crate) struct ReqwestTransport(Client);

impl ReqwestTransport {
    pub(crate) fn new(builder: ClientBuilder) -> Result<Self, Error> {
        let builder = builder.no_gzip().no_brotli().no_zstd().no_deflate();
        let builder = builder
            .redirect(redirect::Policy::none())
            .retry(retry::never());
        builder.build().map(Self)
    }
}

impl AsyncTransport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<Body>,
        mut context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(Bytes::from);
        if !context.may_hold_token() {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert(ACCEPT_ENCODING, gzip);
        }
        let request = request.try_into().map_err(failure)?;
        let mut response = self.0.execute(request).await.map_err(failure)?;
        TwoLengths::refuse(response.headers())?;
        let status = response.status();
        let mut reader = context.body_reader(status, response.headers_mut());
        while !reader.is_full() {
            match response.chunk().await {
                Ok(Some(part)) => reader.push(&part)?,
                Ok(None) => break,
                // The status of an error is useful without its body.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(failure(error)),
            }
        }
        let (head, _) = Response::<reqwest::Body>::from(response).into_parts();
        Ok(Response::from_parts(head, reader.finish()?))
    }

    async fn sleep(&self, delay: Duration) {
        unconstrained(tokio::time::sleep(delay)).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        tokio::spawn(task);
        Ok(())
    }
}

fn failure(error: Error) -> Failure {
    match failure_kind(&error) {
        FailureKind::Lost if error.is_connect() => Failure::not_sent(error),
        kind => Failure::new(kind, error),
    }
}
