//! The server with TLS: HTTP/1.1 and HTTP/2 by hyper, on one thread.

use std::convert::Infallible;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use super::{Pages, Rendered, Tls, TlsConnections};
use crate::results;

/// Listens on a free port, and returns the base URL and the file of the authority's certificate.
pub(super) fn listen(
    pages: Arc<Pages>,
    tls: Tls,
    connections: Arc<Mutex<TlsConnections>>,
) -> (String, Option<String>) {
    let (config, authority) = config(tls);
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("https://{address}");
    let server = Arc::new(Server {
        pages,
        base: base.clone(),
        tls,
        connections,
        rendered: Rendered::default(),
    });
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (server, acceptor) = (Arc::clone(&server), acceptor.clone());
                // An error is ignored: the client has closed the connection.
                tokio::spawn(async move { drop(server.serve_connection(stream, acceptor).await) });
            }
        });
    });
    let file = format!("measured/authority-{}.pem", address.port());
    let file = results::target().join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, authority).unwrap();
    (base, Some(file.into_os_string().into_string().unwrap()))
}

/// Makes a certificate and its authority, and returns the settings of TLS and the authority's certificate.
fn config(tls: Tls) -> (ServerConfig, String) {
    // OpenSSL takes a certificate for its own issuer if both have the same name.
    let named = |name: &str, hosts: &[String]| {
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let mut authority = named("benchmark authority", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = named("benchmark server", &[Ipv4Addr::LOCALHOST.to_string()]);
    let issuer = Issuer::new(authority, authority_key);
    let certificate = certificate.signed_by(&key, &issuer).unwrap();

    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = match tls {
        Tls::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Tls::Http1 | Tls::Resumed | Tls::NotResumed => vec![b"http/1.1".to_vec()],
    };
    if tls == Tls::NotResumed {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    (config, pem)
}

struct Server {
    pages: Arc<Pages>,
    base: String,
    tls: Tls,
    connections: Arc<Mutex<TlsConnections>>,
    rendered: Rendered<Response<Bytes>>,
}

impl Server {
    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        self.count(stream.get_ref().1);
        let stream = TokioIo::new(stream);
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { server.respond(request).await }
        });
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await
    }

    fn count(&self, connection: &ServerConnection) {
        let mut connections = self.connections.lock().unwrap();
        connections.all += 1;
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            connections.resumed += 1;
        }
        if connection.alpn_protocol() == Some(b"h2") {
            connections.http2 += 1;
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut request = request.map(|_| "");
        // The links of a page begin with the scheme and the host of its request, which HTTP/1.1 leaves out of the URI.
        let path = request.uri().path_and_query();
        let uri = format!("{}{}", self.base, path.map_or("/", PathAndQuery::as_str));
        *request.uri_mut() = uri.parse().unwrap();
        let render = |response| self.render(response);
        let response = self.pages.response(&self.rendered, request, render);
        let latency = self.pages.settings.latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        Ok(Response::clone(&response).map(Full::new))
    }

    fn render(&self, mut response: Response<Vec<u8>>) -> Response<Bytes> {
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        if matches!(self.tls, Tls::Resumed | Tls::NotResumed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response.map(Bytes::from)
    }
}
