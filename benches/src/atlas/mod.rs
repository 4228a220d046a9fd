//! A server in a separate process that sends the emulator's pages over loopback.
//!
//! It renders each page only once. So the work of the server hardly affects the measurements of a client,
//! even if both share few cores.

mod plain;
#[cfg(feature = "benches")]
mod secure;

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fmt, fs};

use atlas_model_keys_emulator::{Config, Data, Emulator, Fault, TokenBucket};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION};
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a server sends, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The number of groups.
    pub groups: usize,
    /// The number of keys in each group.
    pub keys: usize,
    /// The time from a request to its response.
    pub latency: Duration,
    /// The encoding of the bodies. Over TLS it is always [`BodyEncoding::Length`].
    pub encoding: BodyEncoding,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
}

impl Settings {
    /// Returns the settings of a server with one group, without latency, that speaks HTTP/1.1 without TLS.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self {
            groups: 1,
            keys,
            latency: Duration::ZERO,
            encoding: BodyEncoding::Length,
            tls: None,
        }
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Sets the time from a request to its response.
    #[must_use]
    pub fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Sets the encoding of the bodies.
    #[must_use]
    pub fn with_encoding(self, encoding: BodyEncoding) -> Self {
        Self { encoding, ..self }
    }

    /// Speaks TLS. The certificate of the authority is in the file [`Atlas::authority`].
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let tls = Some(tls);
        Self { tls, ..self }
    }
}

/// The connections of a server that speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Tls {
    /// HTTP/1.1 on connections that are kept.
    Http1,
    /// HTTP/2, or HTTP/1.1 if a client does not offer it.
    Http2,
    /// HTTP/1.1 with a new connection for each request. Clients can resume their TLS sessions.
    Resumed,
    /// HTTP/1.1 with a new connection for each request. No TLS session can be resumed.
    NotResumed,
}

/// The encoding of response bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BodyEncoding {
    /// The plain body with `Content-Length`.
    Length,
    /// Chunks of 8 KiB, as from most servers that do not know the length in advance.
    Chunks,
    /// Chunks of 1 to 1024 bytes, as the emulator's fault `chunked` sends them: the worst case.
    SmallChunks,
    /// The body compressed with gzip, with `Content-Length`.
    Gzip,
}

impl BodyEncoding {
    /// All encodings.
    pub const ALL: [Self; 4] = [Self::Length, Self::Chunks, Self::SmallChunks, Self::Gzip];
}

impl fmt::Display for BodyEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Length => "content-length",
            Self::Chunks => "chunked",
            Self::SmallChunks => "small chunks",
            Self::Gzip => "gzip",
        })
    }
}

/// A server in a separate process. The process ends when this is dropped, or when its parent ends.
#[derive(Debug)]
#[non_exhaustive]
pub struct Atlas {
    process: Child,
    output: BufReader<ChildStdout>,
    /// The base URL.
    pub base: String,
    /// The ids of the groups.
    pub groups: Vec<String>,
    /// An access token with a long lifetime.
    pub token: String,
    /// The file with the certificate of the server's authority, if the server speaks TLS.
    pub authority: Option<String>,
}

impl Atlas {
    /// Starts this executable again with the argument `serve`. Its `main` must pass the arguments after
    /// `serve` to [`serve`].
    ///
    /// # Panics
    /// Panics if the process cannot be started.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["serve", &serde_json::to_string(settings).unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let Started {
            base,
            groups,
            token,
            authority,
        } = serde_json::from_str(&line).unwrap();
        Self {
            process,
            output,
            base,
            groups,
            token,
            authority,
        }
    }

    /// Ends the server, and returns the connections over TLS that it had.
    ///
    /// # Panics
    /// Panics if the server has ended before.
    #[must_use]
    pub fn end(mut self) -> TlsConnections {
        drop(self.process.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// The number of connections over TLS that a server had. It shows that clients did what is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TlsConnections {
    /// All connections.
    pub all: usize,
    /// Those that resumed a session.
    pub resumed: usize,
    /// Those with HTTP/2.
    pub http2: usize,
}

/// What the process prints when it listens.
#[derive(Serialize, Deserialize)]
struct Started {
    base: String,
    groups: Vec<String>,
    token: String,
    authority: Option<String>,
}

impl Drop for Atlas {
    fn drop(&mut self) {
        // The process ends at the end of its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        if let Some(file) = &self.authority {
            let _ = fs::remove_file(file);
        }
    }
}

/// Runs the process that [`Atlas::start`] starts.
///
/// # Panics
/// Panics if the argument is not [`Settings`], or no port is free.
pub fn serve(arguments: &[&str]) {
    let [settings] = arguments else {
        panic!("{arguments:?}");
    };
    let settings: Settings = serde_json::from_str(settings).unwrap();
    let mut emulator = emulator(settings.groups, settings.keys, None);
    if settings.encoding == BodyEncoding::SmallChunks {
        emulator.inject(Fault::CHUNKED);
    }
    let groups = emulator.groups().map(|id| id.to_string()).collect();
    let token = emulator.access_token().to_owned();
    let tls = settings.tls;
    let pages = Arc::new(Pages {
        settings,
        emulator: Mutex::new(emulator),
    });
    let connections = Arc::new(Mutex::new(TlsConnections::default()));
    let (base, authority) = match tls {
        None => (plain::listen(pages), None),
        #[cfg(feature = "benches")]
        Some(tls) => secure::listen(pages, tls, Arc::clone(&connections)),
        #[cfg(not(feature = "benches"))]
        Some(_) => panic!("TLS needs the feature `benches`"),
    };
    let started = Started {
        base,
        groups,
        token,
        authority,
    };
    println!("{}", serde_json::to_string(&started).unwrap());
    // The input ends when the parent ends.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    // The parent may not read it.
    let connections = serde_json::to_string(&*connections.lock().unwrap()).unwrap();
    let _ = writeln!(io::stdout(), "{connections}");
}

/// Returns an emulator whose groups have this number of keys each. They share the rate limit, if there is one.
#[must_use]
pub fn emulator(groups: usize, keys: usize, rate_limit: Option<TokenBucket>) -> Emulator {
    let config = Config::default()
        .with_groups(1)
        .with_keys_per_group(keys)
        .with_token_ttl(Duration::from_secs(24 * 3600))
        .with_rate_limit(rate_limit)
        .with_shared_rate_limit(true);
    if groups == 1 {
        return Emulator::new(config);
    }
    let data = equal_groups(groups, &Emulator::new(config.clone()));
    Emulator::new(config.with_data(data))
}

/// Returns groups that have the keys of a group of `of` each: generated groups have different numbers of keys.
fn equal_groups(groups: usize, of: &Emulator) -> Data {
    let keys = of.keys(of.first_group());
    let json: Vec<Value> = (0..groups)
        .flat_map(|group| keys.iter().map(move |key| (group, key)))
        .map(|(group, key)| {
            let id = key.api_key_id.as_deref().unwrap();
            // Ids are unique.
            let id = format!("{group:05}{}", id.get(5..).unwrap());
            json!({
                "apiKeyId": id,
                "createdAt": key.created_at,
                "createdBy": key.created_by,
                "groupId": format!("{group:024x}"),
                "lastUsedAt": key.last_used_at,
                "maskedSecret": key.masked_secret,
                "name": key.name,
                "status": key.status,
            })
        })
        .collect();
    Data::from_json(&serde_json::to_vec(&json).unwrap()).unwrap()
}

/// The responses of an emulator. Each is rendered once.
struct Pages {
    settings: Settings,
    emulator: Mutex<Emulator>,
}

impl Pages {
    /// Returns the response to a request that `rendered` does not have yet, or the one that it has.
    fn response<B: AsRef<[u8]>, R>(
        &self,
        rendered: &Rendered<R>,
        mut request: Request<B>,
        render: impl FnOnce(Response<Vec<u8>>) -> R,
    ) -> Arc<R> {
        if self.settings.encoding != BodyEncoding::Gzip {
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        let header = |name| request.headers().get(name);
        let key = format!(
            "{} {:?} {:?} {:?}",
            request.uri(),
            header(ACCEPT),
            header(ACCEPT_ENCODING),
            header(AUTHORIZATION)
        );
        if let Some(response) = rendered.lock().unwrap().get(&key) {
            return Arc::clone(response);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let response = self.emulator.lock().unwrap().handle(&request, now);
        let response = Arc::new(render(response));
        let mut rendered = rendered.lock().unwrap();
        rendered.insert(key, Arc::clone(&response));
        response
    }
}

/// Rendered responses, by the parts of the request that they depend on.
type Rendered<R> = Mutex<HashMap<String, Arc<R>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_groups_have_the_same_number_of_keys() {
        let emulator = emulator(5, 7, None);
        let keys: Vec<usize> = emulator
            .groups()
            .map(|group| emulator.keys(group).len())
            .collect();
        assert_eq!(keys, [7; 5]);
        assert_eq!(emulator.forbidden_group(), None);
    }
}
