//! The settings of both clients, and their checks.

use std::cell::RefCell;
use std::ffi::OsString;
use std::time::Duration;
use std::{env, fmt};

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, InvalidValue, Limits, Proxy, Session, Wait,
};
use rustls::pki_types::CertificateDer;

use crate::certificates::{not_utf8, parse_pem, with_platform_roots};
use crate::failure::permanent;

/// The largest number of pages that are read ahead. Each takes a connection, and a thread in the blocking client, and
/// Atlas allows about a thousand requests a minute.
pub const MOST_READ_AHEAD: usize = 64;

/// A function that is called before each retry wait.
pub type OnWait = Box<dyn Fn(&Wait) + Send + Sync>;

/// The timeouts of a client.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Timeouts {
    /// The time for one page with all retries and waits. Default: 240 s, which is more than all waits that the default
    /// [`RetryPolicy`](atlas_model_keys_core::RetryPolicy) allows.
    pub deadline: Duration,
    /// The time to make a connection, including name resolution, proxy and TLS. Default: 10 s.
    pub connect: Duration,
    /// The longest time without a byte while a response is expected. Default: 30 s.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(240),
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
        }
    }
}

/// The bounds on idle connections.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Connections {
    /// The number of idle connections that are kept. Default: 64, the largest number of pages that are read ahead.
    pub max_idle: usize,
    /// The time for which they are kept. Default: 30 s. Load balancers close idle connections after a minute or more,
    /// and a request on a connection that they close at that moment is lost.
    pub idle_timeout: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_idle: MOST_READ_AHEAD,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// The settings of a client. Invalid values are kept until [`resolve`](Settings::resolve) reports them.
pub struct Settings {
    session: Result<Session, InvalidValue>,
    client: &'static str,
    /// The limits of the session.
    pub limits: Limits,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The bounds on idle connections.
    pub connections: Connections,
    roots: Result<Vec<CertificateDer<'static>>, &'static str>,
    proxy: Result<ProxyChoice, InvalidValue>,
    /// Called before each retry wait.
    pub on_wait: Option<OnWait>,
}

enum ProxyChoice {
    FromEnvironment,
    None,
    Explicit(Proxy),
}

/// Checked settings, with the root certificates and the proxy that were found.
#[allow(missing_debug_implementations)] // It holds a closure, and lives for a moment.
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Resolved {
    /// The session with its limits, version and `User-Agent`.
    pub session: Session,
    /// The limits of the session.
    pub limits: Limits,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The bounds on idle connections.
    pub connections: Connections,
    /// The root certificates; empty if TLS is not needed or the caller makes the connections.
    pub roots: Vec<CertificateDer<'static>>,
    /// The proxy to ask for a tunnel.
    pub proxy: Option<Proxy>,
    /// Called before each retry wait.
    pub on_wait: Option<OnWait>,
}

impl Settings {
    /// Makes the default settings. `client` is the name and the version of the client for the `User-Agent`.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Credentials, client: &'static str) -> Self {
        Self {
            session: Session::new(base, credentials).with_user_agent(client),
            client,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            connections: Connections::default(),
            roots: Ok(Vec::new()),
            proxy: Ok(ProxyChoice::FromEnvironment),
            on_wait: None,
        }
    }

    /// Requests this version and no other.
    #[must_use]
    pub fn with_version(mut self, version: ApiVersion) -> Self {
        self.session = self.session.map(|session| session.with_version(version));
        self
    }

    /// Puts a product before this client's name.
    #[must_use]
    pub fn with_user_agent(mut self, product: &str) -> Self {
        let text = format!("{product} {}", self.client);
        self.session = self
            .session
            .and_then(|session| session.with_user_agent(&text));
        self
    }

    /// Trusts these certificates in addition to the platform's.
    pub fn add_root_certificates(&mut self, pem: &[u8]) {
        let Ok(roots) = &mut self.roots else {
            return;
        };
        match parse_pem(pem) {
            Some(mut read) => roots.append(&mut read),
            None => {
                self.roots = Err(
                    "the root certificates given are not X.509 certificates in PEM \
                                  (-----BEGIN CERTIFICATE-----)",
                );
            }
        }
    }

    /// Uses this proxy.
    pub fn set_proxy(&mut self, url: &str) {
        self.proxy = Proxy::new(url).map(ProxyChoice::Explicit);
    }

    /// Uses no proxy.
    pub fn set_no_proxy(&mut self) {
        self.proxy = Ok(ProxyChoice::None);
    }

    /// Checks all settings, and looks for root certificates and a proxy. With `own_connections` the caller makes the
    /// connections, and both are the caller's responsibility.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid value. [`Error::Transport`] if there is no usable root certificate, if a needed
    /// environment variable is not UTF-8, or if root certificates or a proxy are set that the caller's own connections
    /// would ignore.
    pub fn resolve(self, own_connections: bool) -> Result<Resolved, Error> {
        let session = self.session?.with_limits(self.limits.clone());
        let base = session.base();
        let extra = self.roots.map_err(|problem| permanent(&session, problem))?;
        let choice = self.proxy?;
        if own_connections && !(extra.is_empty() && matches!(choice, ProxyChoice::FromEnvironment))
        {
            return Err(permanent(
                &session,
                "root certificates and a proxy are the business of the connections, and these are your \
                 own: set them there",
            ));
        }
        let proxy = match choice {
            _ if own_connections || base.is_loopback() => None,
            ProxyChoice::None => None,
            ProxyChoice::Explicit(proxy) => Some(proxy),
            ProxyChoice::FromEnvironment => {
                proxy_from_environment(&session, |name| env::var_os(name))?
            }
        };
        let needs_tls = base.is_https()
            || proxy
                .as_ref()
                .is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        let roots = if needs_tls && !own_connections {
            with_platform_roots(extra, |name| env::var_os(name))
                .map_err(|problem| permanent(&session, problem))?
        } else {
            Vec::new()
        };
        Ok(Resolved {
            limits: self.limits,
            timeouts: Timeouts {
                deadline: bounded(self.timeouts.deadline),
                connect: bounded(self.timeouts.connect),
                read: bounded(self.timeouts.read),
            },
            connections: Connections {
                idle_timeout: bounded(self.connections.idle_timeout),
                ..self.connections
            },
            roots,
            proxy,
            on_wait: self.on_wait,
            session,
        })
    }
}

/// Limits a duration to a year, because other crates add it to the current time without a check for overflow.
fn bounded(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(365 * 24 * 60 * 60))
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

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("session", &self.session)
            .field("timeouts", &self.timeouts)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// Defines the methods of both builders, within an `impl` of a type with a field `settings` of type [`Settings`].
#[macro_export]
macro_rules! builder_methods {
    () => {
        /// Sets the time for one page with all retries and waits. Default: 240 s.
        pub fn deadline(mut self, deadline: ::core::time::Duration) -> Self {
            self.settings.timeouts.deadline = deadline;
            self
        }

        /// Sets the time to make a connection, including name resolution, proxy and TLS. Default: 10 s.
        pub fn connect_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.timeouts.connect = timeout;
            self
        }

        /// Sets the longest time without a byte while a response is expected. Default: 30 s.
        pub fn read_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.timeouts.read = timeout;
            self
        }

        /// Sets the number of idle connections that are kept. Default: 64.
        pub fn max_idle_connections(mut self, max: usize) -> Self {
            self.settings.connections.max_idle = max;
            self
        }

        /// Sets the time for which an idle connection is kept. Default: 30 s.
        pub fn idle_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.connections.idle_timeout = timeout;
            self
        }

        /// Sets the limits of responses, retries and waits.
        pub fn limits(mut self, limits: $crate::reexported::Limits) -> Self {
            self.settings.limits = limits;
            self
        }

        /// Pins the API version of [`ListRequest`](crate::ListRequest). Other operations are not affected.
        pub fn version(mut self, version: $crate::reexported::ApiVersion) -> Self {
            self.settings = self.settings.with_version(version);
            self
        }

        /// Puts the name of your program before this crate's in the `User-Agent`, as in `my-service/1.0`.
        pub fn user_agent(mut self, product: &str) -> Self {
            self.settings = self.settings.with_user_agent(product);
            self
        }

        /// Trusts these root certificates (X.509 in PEM, one or several) in addition to the platform's: those of a
        /// private authority, or of a proxy that intercepts TLS.
        ///
        /// The variables `SSL_CERT_FILE` (a file in PEM) and `SSL_CERT_DIR` (folders of such files, separated as
        /// in `PATH`) of the environment *replace* the platform's certificates; an empty one counts as unset.
        /// `build` fails if that file cannot be used.
        pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
            self.settings.add_root_certificates(pem.as_ref());
            self
        }

        /// Uses this proxy instead of the one that the environment names: `http://host:port` or `https://host:port`,
        /// with `user:password@` before the host if the proxy wants a login. The client asks it for a tunnel
        /// (`CONNECT`), so the proxy cannot read `https` requests. Requests to a loopback base URL never use a proxy.
        pub fn proxy(mut self, url: &str) -> Self {
            self.settings.set_proxy(url);
            self
        }

        /// Uses no proxy, even if the environment names one.
        pub fn no_proxy(mut self) -> Self {
            self.settings.set_no_proxy();
            self
        }

        /// Sets a function that is called before each retry wait, for example to inform a user. The wait has a delay
        /// ([`Wait::delay`](atlas_model_keys_core::Wait::delay)) and the error of Atlas that caused it
        /// ([`Wait::api_error`](atlas_model_keys_core::Wait::api_error)). The function is not called for waits for other
        /// exchanges of the same client.
        ///
        /// The function should return quickly: this call, and others that wait for the same token, continue only
        /// afterwards.
        pub fn on_wait(
            mut self,
            tell: impl Fn(&$crate::reexported::Wait) + Send + Sync + 'static,
        ) -> Self {
            self.settings.on_wait = Some(Box::new(tell));
            self
        }
    };
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
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
