//! The settings of connections: timeouts, TLS and proxy, for the transports that make their own connections.

use std::cell::RefCell;
use std::ffi::OsString;
use std::time::Duration;
use std::{env, fmt};

use atlas_model_keys_core::{BaseUrl, Error, InvalidValue, Limits, Proxy, Session};
use rustls::pki_types::CertificateDer;

use crate::certificates::{not_utf8, parse_pem, with_platform_roots};
use crate::failure::permanent;
use crate::listing::MAX_READ_AHEAD;
use crate::settings::{ClientSettings, bounded};

/// The settings of a transport that makes its own connections. Invalid values are kept until
/// [`resolve`](ConnectionSettings::resolve) reports them.
#[must_use]
pub struct ConnectionSettings {
    connect_timeout: Duration,
    read_timeout: Duration,
    max_idle: usize,
    idle_timeout: Duration,
    roots: Result<Vec<CertificateDer<'static>>, &'static str>,
    proxy: Result<ProxyChoice, InvalidValue>,
}

enum ProxyChoice {
    FromEnvironment,
    None,
    Explicit(Proxy),
}

/// Checked settings, with the root certificates and the proxy that were found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connections {
    /// The base URL of the client.
    pub base: BaseUrl,
    /// The limits of the client.
    pub limits: Limits,
    /// The time to make a connection, including name resolution, proxy and TLS.
    pub connect_timeout: Duration,
    /// The longest time without a byte while a response is expected.
    pub read_timeout: Duration,
    /// The number of idle connections that are kept.
    pub max_idle: usize,
    /// The time for which they are kept.
    pub idle_timeout: Duration,
    /// The root certificates; empty if TLS is not needed or the caller makes the connections.
    pub roots: Vec<CertificateDer<'static>>,
    /// The proxy to ask for a tunnel.
    pub proxy: Option<Proxy>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            max_idle: MAX_READ_AHEAD,
            // Load balancers close idle connections after a minute or more, and a request on a connection that they
            // close at that moment is lost.
            idle_timeout: Duration::from_secs(30),
            roots: Ok(Vec::new()),
            proxy: Ok(ProxyChoice::FromEnvironment),
        }
    }
}

impl ConnectionSettings {
    /// Sets the time to make a connection, including name resolution, proxy and TLS. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the longest time without a byte while a response is expected. Default: 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the number of idle connections that are kept. Default: 64, the largest number of pages that are read ahead.
    pub fn max_idle_connections(mut self, max: usize) -> Self {
        self.max_idle = max;
        self
    }

    /// Sets the time for which an idle connection is kept. Default: 30 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Trusts these root certificates (X.509 in PEM, one or several) in addition to the platform's.
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        self.roots = self.roots.and_then(|mut roots| match parse_pem(pem) {
            Some(mut read) => {
                roots.append(&mut read);
                Ok(roots)
            }
            None => Err(
                "the root certificates given are not X.509 certificates in PEM (-----BEGIN CERTIFICATE-----)",
            ),
        });
        self
    }

    /// Uses this proxy instead of the one that the environment names.
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Proxy::new(url).map(ProxyChoice::Explicit);
        self
    }

    /// Uses no proxy, even if the environment names one.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Ok(ProxyChoice::None);
        self
    }

    /// Checks the settings, and looks for root certificates and a proxy. With `caller_connects`
    /// the caller makes the connections, and both are the caller's responsibility.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid value. [`Error::Transport`] if there is no usable root certificate, if a needed
    /// environment variable is not UTF-8, or if root certificates or a proxy are set that the caller's own connections
    /// would ignore.
    pub fn resolve(
        self,
        client: &ClientSettings,
        caller_connects: bool,
    ) -> Result<Connections, Error> {
        let session = client.session();
        let base = session.base();
        let extra = self.roots.map_err(|problem| permanent(session, problem))?;
        let choice = self.proxy?;
        if caller_connects && !(extra.is_empty() && matches!(choice, ProxyChoice::FromEnvironment))
        {
            return Err(permanent(
                session,
                "root certificates or a proxy are set, but your own agent or connector makes the \
                 connections: set them there",
            ));
        }
        let proxy = match choice {
            _ if caller_connects || base.is_loopback() => None,
            ProxyChoice::None => None,
            ProxyChoice::Explicit(proxy) => Some(proxy),
            ProxyChoice::FromEnvironment => {
                proxy_from_environment(session, |name| env::var_os(name))?
            }
        };
        let needs_tls = base.is_https()
            || proxy
                .as_ref()
                .is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        let roots = if needs_tls && !caller_connects {
            with_platform_roots(extra, |name| env::var_os(name))
                .map_err(|problem| permanent(session, problem))?
        } else {
            Vec::new()
        };
        Ok(Connections {
            base: base.clone(),
            limits: client.limits.clone(),
            connect_timeout: bounded(self.connect_timeout),
            read_timeout: bounded(self.read_timeout),
            max_idle: self.max_idle,
            idle_timeout: bounded(self.idle_timeout),
            roots,
            proxy,
        })
    }
}

/// Returns the proxy that the environment names. A variable that cannot be read is an error: if it were ignored, requests
/// could bypass the proxy.
fn proxy_from_environment(
    session: &Session,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, Error> {
    let unreadable = RefCell::new(None);
    let proxy = Proxy::from_variables(session.base(), |name| {
        let value = variable(name)?.into_string().ok();
        if value.is_none() {
            unreadable.replace(Some(not_utf8(name)));
        }
        value
    });
    match unreadable.into_inner() {
        Some(problem) => Err(permanent(session, problem)),
        None => Ok(proxy?),
    }
}

/// Leaves out the proxy, because its URL may hold a login.
impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("max_idle", &self.max_idle)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// Defines the methods that the builders of all clients have, within an `impl` of a type with the fields `settings` of type
/// [`ClientSettings`] and `connections` of type [`ConnectionSettings`].
#[macro_export]
macro_rules! builder_methods {
    () => {
        /// Sets the time for one page with all retries and waits. Default: 240 s. See also
        /// [`Client::with_deadline`], which changes it for some calls.
        pub fn deadline(mut self, deadline: ::core::time::Duration) -> Self {
            self.settings = self.settings.deadline(deadline);
            self
        }

        /// Sets the time to make a connection, including name resolution, proxy and TLS. Default: 10 s.
        pub fn connect_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.connections = self.connections.connect_timeout(timeout);
            self
        }

        /// Sets the longest time without a byte while a response is expected. Default: 30 s.
        pub fn read_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.connections = self.connections.read_timeout(timeout);
            self
        }

        /// Sets the number of idle connections that are kept. Default: 64.
        pub fn max_idle_connections(mut self, max: usize) -> Self {
            self.connections = self.connections.max_idle_connections(max);
            self
        }

        /// Sets the time for which an idle connection is kept. Default: 30 s.
        pub fn idle_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.connections = self.connections.idle_timeout(timeout);
            self
        }

        /// Sets the limits of responses, retries and waits.
        pub fn limits(mut self, limits: $crate::Limits) -> Self {
            self.settings = self.settings.limits(limits);
            self
        }

        /// Pins the API version of [`ListRequest`](crate::ListRequest). Other operations are not affected.
        pub fn version(mut self, version: $crate::ApiVersion) -> Self {
            self.settings = self.settings.version(version);
            self
        }

        /// Puts the name of your program before this crate's in the `User-Agent`, as in `my-service/1.0`.
        pub fn user_agent(mut self, product: &str) -> Self {
            self.settings = self.settings.user_agent(product);
            self
        }

        /// Trusts these root certificates (X.509 in PEM, one or several) in addition to the platform's: those of a
        /// private authority, or of a proxy that intercepts TLS.
        ///
        /// The variables `SSL_CERT_FILE` (a file in PEM) and `SSL_CERT_DIR` (folders of such files, separated as
        /// in `PATH`) of the environment *replace* the platform's certificates; an empty one counts as unset.
        /// `build` fails if that file cannot be used.
        pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
            self.connections = self.connections.root_certificates(pem.as_ref());
            self
        }

        /// Uses this proxy instead of the one that the environment names: `http://host:port` or `https://host:port`,
        /// with `user:password@` before the host if the proxy wants a login. The client asks it for a tunnel
        /// (`CONNECT`), so the proxy cannot read `https` requests. Requests to a loopback base URL never use a proxy.
        pub fn proxy(mut self, url: &str) -> Self {
            self.connections = self.connections.proxy(url);
            self
        }

        /// Uses no proxy, even if the environment names one.
        pub fn no_proxy(mut self) -> Self {
            self.connections = self.connections.no_proxy();
            self
        }

        /// Sets a function that is called with each [`Event`](crate::Event): for logs, for metrics, or to tell a user why a
        /// call waits.
        ///
        /// The function should return quickly: this call, and others that wait for the same token, continue only
        /// afterwards. It may be called by several threads at the same time.
        pub fn on_event(
            mut self,
            on_event: impl Fn(&$crate::Event<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.settings = self.settings.on_event(on_event);
            self
        }

        /// Sets the clock, for tests. Default: the time of the system.
        pub fn clock(mut self, clock: impl $crate::Clock) -> Self {
            self.settings = self.settings.clock(clock);
            self
        }
    };
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use atlas_model_keys_core::Credentials;
    use std::error::Error as _;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn variable_that_is_not_utf8_is_an_error_that_names_it() {
        let session = |base| Session::new(base, Credentials::bearer("token").unwrap());
        let atlas = session(BaseUrl::default());
        let plain = session(BaseUrl::allowing_plain_http("http://atlas.example").unwrap());
        let broken = || OsString::from_vec(b"http://me:hunter2\xff@proxy.example".to_vec());
        for (session, name, is_exception) in [
            (&plain, "http_proxy", false),
            (&atlas, "https_proxy", false),
            (&atlas, "HTTPS_PROXY", false),
            (&atlas, "ALL_PROXY", false),
            (&atlas, "no_proxy", true),
            (&atlas, "NO_PROXY", true),
        ] {
            let error = proxy_from_environment(session, |asked| match asked {
                _ if asked == name => Some(broken()),
                "https_proxy" if is_exception => Some("proxy.example".into()),
                _ => None,
            });
            let error = error.unwrap_err();
            let text = error.source().unwrap().to_string();
            assert!(text.contains(name) && text.contains("not UTF-8"), "{text}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        // Variables that are not needed are not read.
        let loopback = session(BaseUrl::new("http://127.0.0.1:1").unwrap());
        assert!(matches!(
            proxy_from_environment(&loopback, |_| Some(broken())),
            Ok(None)
        ));
        let other = |name: &str| (name == "http_proxy").then(broken);
        assert!(matches!(proxy_from_environment(&atlas, other), Ok(None)));
    }
}
