//! How a client is set up: the same settings, with the same names, for both.

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

/// How many pages are read ahead at most, whatever is asked for: each is a connection, with a thread in
/// the blocking client, and Atlas's buckets hold about a thousand requests a minute.
pub const MOST_READ_AHEAD: usize = 64;

/// Is told of each wait before a request is repeated.
pub type OnWait = Box<dyn Fn(&Wait) + Send + Sync>;

/// How long what may take, at most.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Timeouts {
    /// One page, with all its retries and waits. 240 s: more than all waits that
    /// [`RetryPolicy`](atlas_model_keys_core::RetryPolicy) allows.
    pub deadline: Duration,
    /// A connection, name resolution, proxy and TLS included. 10 s.
    pub connect: Duration,
    /// Silence of the network while something is expected. 30 s.
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

/// Connections that rest.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Connections {
    /// How many are kept. 64: as many pages as are read ahead at most.
    pub max_idle: usize,
    /// For how long. 30 s: balancers close after a minute or more, and whoever closes first does not
    /// lose a request.
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

/// All that both clients can be set up with. Wrong values are kept, and told by
/// [`resolve`](Settings::resolve).
pub struct Settings {
    session: Result<Session, InvalidValue>,
    client: &'static str,
    /// Bounds on what arrives.
    pub limits: Limits,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// Connections that rest.
    pub connections: Connections,
    roots: Result<Vec<CertificateDer<'static>>, &'static str>,
    proxy: Result<ProxyChoice, InvalidValue>,
    /// Is told of waits.
    pub on_wait: Option<OnWait>,
}

enum ProxyChoice {
    FromEnvironment,
    None,
    This(Proxy),
}

/// The settings, checked, with what they need of this machine.
#[allow(missing_debug_implementations)] // It holds a closure, and lives for a moment.
#[allow(clippy::exhaustive_structs)] // Between the crates of this workspace.
pub struct Resolved {
    /// With limits, version and `User-Agent`.
    pub session: Session,
    /// The session's.
    pub limits: Limits,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// Connections that rest.
    pub connections: Connections,
    /// Root certificates, where the base URL is `https` and the connections are not the caller's own.
    pub roots: Vec<CertificateDer<'static>>,
    /// The proxy to ask for a tunnel.
    pub proxy: Option<Proxy>,
    /// Is told of waits.
    pub on_wait: Option<OnWait>,
}

impl Settings {
    /// The defaults. `client` is the name and the version of the client for the `User-Agent`.
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

    /// Asks for this version and no other.
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

    /// Trusts these certificates, too.
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

    /// Goes through this proxy.
    pub fn set_proxy(&mut self, url: &str) {
        self.proxy = Proxy::new(url).map(ProxyChoice::This);
    }

    /// Goes through none.
    pub fn set_no_proxy(&mut self) {
        self.proxy = Ok(ProxyChoice::None);
    }

    /// Checks everything, and looks for root certificates and a proxy. With `own_connections` it does
    /// not: whoever makes the connections cares for both.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is none; [`Error::Transport`] where there is no usable root
    /// certificate, where a variable of the environment that is needed is not UTF-8, and where roots or a proxy
    /// are given that the caller's own connections would not heed.
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
            ProxyChoice::This(proxy) => Some(proxy),
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

/// Some of what adds a duration to the time overflows with one of many years: a year is as good as for
/// ever.
fn bounded(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(365 * 24 * 60 * 60))
}

/// The proxy that the environment names. A variable that cannot be read is an error: without it, a credential
/// could go around the proxy.
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

/// The methods that the builders of both clients have; for an `impl` of a type with `settings`, a
/// [`Settings`].
#[macro_export]
macro_rules! builder_methods {
    () => {
        /// How long one page may take, with all its retries and waits. 240 s.
        pub fn deadline(mut self, deadline: ::core::time::Duration) -> Self {
            self.settings.timeouts.deadline = deadline;
            self
        }

        /// How long a connection may take to come about, with name resolution, proxy and TLS. 10 s.
        pub fn connect_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.timeouts.connect = timeout;
            self
        }

        /// How long the network may be silent while something is expected. 30 s.
        pub fn read_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.timeouts.read = timeout;
            self
        }

        /// How many connections are kept for later while nothing is asked for. 64.
        pub fn max_idle_connections(mut self, max: usize) -> Self {
            self.settings.connections.max_idle = max;
            self
        }

        /// For how long a connection is kept that nothing is asked on. 30 s.
        pub fn idle_timeout(mut self, timeout: ::core::time::Duration) -> Self {
            self.settings.connections.idle_timeout = timeout;
            self
        }

        /// Bounds on what arrives, retries and waits among them.
        pub fn limits(mut self, limits: $crate::reexported::Limits) -> Self {
            self.settings.limits = limits;
            self
        }

        /// Asks for this version of the resource and no other.
        pub fn version(mut self, version: $crate::reexported::ApiVersion) -> Self {
            self.settings = self.settings.with_version(version);
            self
        }

        /// Puts the name of your program before this crate's in the `User-Agent`, as in `my-service/1.0`.
        pub fn user_agent(mut self, product: &str) -> Self {
            self.settings = self.settings.with_user_agent(product);
            self
        }

        /// Trusts these root certificates (X.509 in PEM, one or several) beside the platform's: those of a
        /// private authority, or of a proxy that looks into TLS.
        ///
        /// The variables `SSL_CERT_FILE` (a file in PEM) and `SSL_CERT_DIR` (folders of such files, separated as
        /// in `PATH`) of the environment *replace* the platform's certificates; an empty one counts as unset.
        /// `build` fails where that file cannot be used.
        pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
            self.settings.add_root_certificates(pem.as_ref());
            self
        }

        /// Goes through this proxy, whatever the environment says:
        /// `http://host:port` or `https://host:port`, with `user:password@` before the host if it wants a
        /// login. It is asked for a tunnel (`CONNECT`) and sees nothing of what goes through. A loopback
        /// base URL never goes through a proxy.
        pub fn proxy(mut self, url: &str) -> Self {
            self.settings.set_proxy(url);
            self
        }

        /// Goes through no proxy, whatever the environment says.
        pub fn no_proxy(mut self) -> Self {
            self.settings.set_no_proxy();
            self
        }

        /// Is told of each wait before a request is repeated, so that a person can be told, too: how long
        /// ([`Wait::delay`](atlas_model_keys_core::Wait::delay)), and which answer of Atlas made it necessary
        /// ([`Wait::api_error`](atlas_model_keys_core::Wait::api_error)). Waits for other exchanges of the same
        /// client are not told.
        ///
        /// The call goes on when `tell` has returned, and with it those that wait for the same token: it should
        /// not take its time.
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
    fn a_variable_that_is_not_utf8_is_an_error_that_names_it() {
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
        // What is not looked at does no harm.
        let loopback = session(BaseUrl::new("http://127.0.0.1:1").unwrap());
        assert!(matches!(
            proxy_from_environment(&loopback, |_| Some(broken())),
            Ok(None)
        ));
        let other = |name: &str| (name == "http_proxy").then(broken);
        assert!(matches!(proxy_from_environment(&atlas, other), Ok(None)));
    }
}
