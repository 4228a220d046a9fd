//! Opens a tunnel through a proxy (RFC 9110 §9.3.6). Errors name the proxy.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas_model_keys_core::{Limits, Proxy};
use atlas_model_keys_transport::{NotTls, ProxyFailure, TunnelError, TunnelOpening};
use http::Uri;
use hyper::rt::{Read, ReadBuf, Write};
use tower_service::Service;

use crate::failure::BoxError;

/// The name and the version of this client in the `User-Agent`.
pub(crate) const USER_AGENT: &str = concat!("atlas-model-keys-hyper/", env!("CARGO_PKG_VERSION"));

/// Makes connections through a proxy, with a connector `C` for the connections to the proxy.
#[derive(Clone)]
pub(crate) struct TunnelConnector<C> {
    pub(crate) to_proxy: C,
    pub(crate) proxy: Proxy,
    pub(crate) limits: Limits,
}

impl<C> Service<Uri> for TunnelConnector<C>
where
    C: Service<Uri>,
    C::Response: Read + Write + Send + Unpin,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = ProxyFailure;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, ProxyFailure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyFailure>> {
        let proxy = &self.proxy;
        self.to_proxy
            .poll_ready(cx)
            .map_err(|error| ProxyFailure::new(proxy, false, error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (proxy, limits) = (self.proxy.clone(), self.limits.clone());
        let connecting = self.to_proxy.call(proxy.uri().clone());
        Box::pin(async move {
            let mut stream = connecting
                .await
                .map_err(|error| ProxyFailure::new(&proxy, false, NotTls::or(error.into())))?;
            let (request, opening) = TunnelOpening::new(&uri, &proxy, USER_AGENT, &limits);
            match open(&mut stream, &request, opening).await {
                Ok(()) => Ok(stream),
                Err(error) => {
                    let refusal = error.downcast_ref::<TunnelError>();
                    let wants_login = refusal.is_some_and(|refusal| refusal.wants_login());
                    Err(ProxyFailure::new(&proxy, wants_login, error))
                }
            }
        })
    }
}

/// Sends the request for a tunnel, and reads the response.
async fn open(
    stream: &mut (impl Read + Write + Unpin),
    request: &[u8],
    mut opening: TunnelOpening,
) -> Result<(), BoxError> {
    let mut left = request;
    while !left.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, left)).await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        left = left.get(written..).unwrap_or_default();
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;

    let mut bytes = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
        if opening.push(buffer.filled())? {
            return Ok(());
        }
    }
}
