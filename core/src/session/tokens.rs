//! The access token of a service account (OAuth 2.0 client credentials), shared by all exchanges of a session.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;
use zeroize::Zeroizing;

use super::rate_limiter::Period;
use super::ticket::Ticket;
use crate::decode::numbers;
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::limits::{
    DEFAULT_TOKEN_LIFE, MAX_TOKEN_LIFE, RECENT_TOKENS, TOKEN_FETCH_TIMEOUT, TOKEN_MARGIN,
    TOKEN_RENEWAL_INTERVAL,
};
use crate::secret::KnownSecrets;
use crate::{BaseUrl, Endpoint, Error, Limits, Secret};

/// A service account and the state of its token.
pub(super) struct Tokens {
    id: String,
    /// The value `Basic base64(id:secret)` (RFC 6749 §2.3.1). The pair is not percent-encoded, because Atlas does not
    /// decode it.
    basic: Secret,
    secret: Secret,
    state: State,
    /// The latest tokens, newest first: a late response may still repeat an old one.
    recent: VecDeque<Secret>,
    /// The number of the current token, so that a late 401 for an older one does not remove it.
    generation: u64,
    /// The number of the latest token request.
    fetch_number: u64,
    /// The number and the error of the latest token request that failed, for the exchanges that waited for it.
    failed_fetch: Option<(u64, Error)>,
    /// When a 401 last caused a token request.
    renewed_at: Option<Duration>,
}

enum State {
    Absent,
    /// A token request is in flight. Its ticket holds the `Arc`. If the ticket is dropped, or makes no progress
    /// within `period`, another exchange may fetch.
    Fetching {
        fetch: Weak<()>,
        period: Period,
    },
    Present(Token),
}

struct Token {
    header: HeaderValue,
    text: Secret,
    fresh_until: Duration,
}

/// What an exchange that needs a token must do.
pub(super) enum TokenAction {
    /// Use this token.
    Use {
        header: HeaderValue,
        generation: u64,
    },
    /// Fetch a token. Other exchanges wait for as long as the `Arc` lives.
    Fetch(Arc<()>),
    /// Wait for the token request with this number.
    Wait { fetch_number: u64 },
    /// Fail: the token request that the exchange waited for failed.
    Fail(Error),
}

impl Tokens {
    pub(super) fn new(id: &str, secret: Secret) -> Self {
        let pair = Zeroizing::new(format!("{id}:{}", secret.expose()));
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        Self {
            id: id.into(),
            basic: Secret::new(format!("Basic {}", *encoded)),
            secret,
            state: State::Absent,
            recent: VecDeque::new(),
            generation: 0,
            fetch_number: 0,
            failed_fetch: None,
            renewed_at: None,
        }
    }

    pub(super) fn next_action(&mut self, ticket: &Ticket, now: Duration) -> TokenAction {
        match &self.state {
            // The exchange that fetched the token uses it even if it has expired. Otherwise an exchange would
            // fetch tokens that expire at once for ever.
            State::Present(token)
                if now < token.fresh_until
                    || ticket.fetched_generation == Some(self.generation) =>
            {
                return TokenAction::Use {
                    header: token.header.clone(),
                    generation: self.generation,
                };
            }
            State::Fetching { fetch, period }
                if fetch.strong_count() > 0 && period.contains(now) =>
            {
                return TokenAction::Wait {
                    fetch_number: self.fetch_number,
                };
            }
            _ => {}
        }
        if let Some((fetch_number, error)) = &self.failed_fetch
            && ticket.awaited_fetch == Some(*fetch_number)
        {
            return TokenAction::Fail(error.clone());
        }
        let fetch = Arc::new(());
        self.state = State::Fetching {
            fetch: Arc::downgrade(&fetch),
            period: Period::new(now, TOKEN_FETCH_TIMEOUT),
        };
        self.fetch_number += 1;
        self.failed_fetch = None;
        TokenAction::Fetch(fetch)
    }

    /// Returns the `Authorization` of a token request.
    pub(super) fn basic(&self) -> HeaderValue {
        sensitive(self.basic.expose())
    }

    /// Stores a fetched token, and returns its generation.
    pub(super) fn fetch_succeeded(&mut self, response: TokenResponse, now: Duration) -> u64 {
        let life = response.life.min(MAX_TOKEN_LIFE);
        let margin = TOKEN_MARGIN.min(life / 4);
        self.store(response.token, now.saturating_add(life - margin));
        self.generation
    }

    /// Returns whether `own` is still the session's token request.
    pub(super) fn is_current_fetch(&self, own: &Arc<()>) -> bool {
        matches!(&self.state, State::Fetching { fetch, .. } if is_same(fetch, own))
    }

    /// Extends the time of this token request, whose exchange continues after `delay`.
    pub(super) fn extend_fetch(&mut self, own: &Arc<()>, now: Duration, delay: Duration) {
        if let State::Fetching { fetch, period } = &mut self.state
            && is_same(fetch, own)
        {
            *period = Period::new(now, delay.saturating_add(TOKEN_FETCH_TIMEOUT));
        }
    }

    /// Ends a token request that failed. The exchanges that wait for it get the same error.
    pub(super) fn fetch_failed(&mut self, own: Option<&Arc<()>>, error: &Error) {
        match &self.state {
            // Another exchange fetches a token now.
            State::Fetching { fetch, .. } if !own.is_some_and(|own| is_same(fetch, own)) => return,
            State::Fetching { .. } => self.state = State::Absent,
            // A token that was restored in the meantime stays.
            State::Absent | State::Present(_) => {}
        }
        self.failed_fetch = Some((self.fetch_number, error.clone()));
    }

    /// Records a 401 for the token of this generation. Returns whether a newer token exists or may be fetched.
    pub(super) fn token_refused(&mut self, generation: u64, now: Duration) -> bool {
        if generation != self.generation {
            return true;
        }
        match &self.state {
            State::Fetching { .. } => return true,
            // The token had to be renewed anyway.
            State::Present(token) if now >= token.fresh_until => {}
            // If the clock was set back, a renewal is allowed at once.
            State::Present(_) | State::Absent => {
                let is_too_soon = self
                    .renewed_at
                    .is_some_and(|at| at <= now && now < at.saturating_add(TOKEN_RENEWAL_INTERVAL));
                if is_too_soon {
                    return false;
                }
                self.renewed_at = Some(now);
            }
        }
        self.state = State::Absent;
        true
    }

    /// Returns the token as text, bound to the base URL and the service account.
    pub(super) fn export(&self, base: &BaseUrl, now: Duration) -> Option<Secret> {
        let State::Present(token) = &self.state else {
            return None;
        };
        // In whole seconds, as `restore` reads it.
        let until = token.fresh_until.as_secs();
        (now < Duration::from_secs(until)).then(|| {
            // No part can hold a line end.
            Secret::new(format!(
                "{EXPORT_HEADER}\n{base}\n{}\n{until}\n{}\n",
                self.id,
                token.text.expose()
            ))
        })
    }

    /// Takes over an exported token. The error is the rule that the text breaks.
    pub(super) fn restore(
        &mut self,
        exported: &Secret,
        base: &BaseUrl,
        now: Duration,
        limits: &Limits,
    ) -> Result<(), &'static str> {
        let mut lines = exported.expose().lines();
        let mut line = || lines.next().unwrap_or_default();
        if line() != EXPORT_HEADER {
            return Err(NOT_EXPORTED);
        }
        if line() != base.as_str() {
            return Err("the token is for another base URL; this session fetches its own");
        }
        if line() != self.id {
            return Err("the token is for another service account; this session fetches its own");
        }
        let fresh_until = line().parse().map_or(Duration::ZERO, Duration::from_secs);
        let token = line();
        if token.len() > limits.token_bytes || !is_token(token) || lines.next().is_some() {
            return Err(NOT_EXPORTED);
        }
        if fresh_until <= now {
            return Err("the token has expired; this session fetches a new one");
        }
        let life = (fresh_until - now).min(MAX_TOKEN_LIFE);
        self.store(Secret::new(token), now.saturating_add(life));
        Ok(())
    }

    /// Removes the token, and returns it for revocation.
    pub(super) fn take(&mut self) -> Option<Secret> {
        match core::mem::replace(&mut self.state, State::Absent) {
            State::Present(token) => Some(token.text),
            other => {
                self.state = other;
                None
            }
        }
    }

    fn store(&mut self, token: Secret, fresh_until: Duration) {
        self.recent.truncate(RECENT_TOKENS - 1);
        self.recent.push_front(token.clone());
        self.generation += 1;
        self.state = State::Present(Token {
            header: bearer(&token),
            text: token,
            fresh_until,
        });
    }

    /// Returns every secret that must not appear in an error.
    pub(super) fn secrets(&self) -> KnownSecrets {
        let basic = self.basic.expose();
        let pair = Secret::new(basic.strip_prefix("Basic ").unwrap_or(basic));
        let own = [self.secret.clone(), pair];
        KnownSecrets::new(own.into_iter().chain(self.recent.iter().cloned()))
    }
}

/// Returns whether both belong to the same token request.
fn is_same(fetch: &Weak<()>, own: &Arc<()>) -> bool {
    core::ptr::eq(fetch.as_ptr(), Arc::as_ptr(own))
}

/// Returns the `Authorization` of a bearer token (RFC 6750 §2.1).
pub(super) fn bearer(token: &Secret) -> HeaderValue {
    sensitive(&Zeroizing::new(format!("Bearer {}", token.expose())))
}

/// Returns whether a header can carry the token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The first line of an exported token: its name, and the version of the format.
const EXPORT_HEADER: &str = "atlas-model-keys token 1";

const NOT_EXPORTED: &str = "it must be a text that export_token returned";

/// Returns a header value that is marked as sensitive. The text is always visible ASCII, because ids, secrets and
/// tokens are checked when they are received.
fn sensitive(text: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
    value.set_sensitive(true);
    value
}

/// The response to a token request (RFC 6749 §5.1).
pub(super) struct TokenResponse {
    token: Secret,
    life: Duration,
}

impl TokenResponse {
    pub(super) fn parse(body: &[u8], limits: &Limits) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: Option<TokenText>,
            token_type: Option<String>,
            expires_in: Option<Value>,
        }

        let invalid = |kind, problem, path: &str| {
            Error::InvalidResponse(InvalidResponse {
                endpoint: Endpoint::Token,
                kind,
                place: None,
                path: path.into(),
                problem,
            })
        };
        let shape = |problem, path| invalid(InvalidResponseKind::Shape, problem, path);
        if body.len() > limits.error_body_bytes {
            return Err(Error::Limit {
                what: "bytes of a token response",
                limit: u64::try_from(limits.error_body_bytes).unwrap_or(u64::MAX),
            });
        }
        // A derived struct would accept an array, too.
        if !body.trim_ascii_start().starts_with(b"{") && numbers::parse::<IgnoredAny>(body).is_ok()
        {
            return Err(shape("it is not an object", ""));
        }
        // The parser's message could repeat the token, so it is not used.
        let wire: Wire = numbers::parse(body).map_err(|error| {
            if error.is_data() {
                shape("a value is not of the documented type", "")
            } else {
                invalid(InvalidResponseKind::Json, "it is not valid JSON", "")
            }
        })?;
        let token = wire
            .access_token
            .map(|TokenText(token)| token)
            .ok_or_else(|| shape("there is no token", "access_token"))?;
        if token.expose().len() > limits.token_bytes {
            return Err(Error::Limit {
                what: "bytes of an access token",
                limit: u64::try_from(limits.token_bytes).unwrap_or(u64::MAX),
            });
        }
        if !is_token(token.expose()) {
            let problem = "the token has characters that a header cannot carry";
            return Err(shape(problem, "access_token"));
        }
        if wire
            .token_type
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
        {
            return Err(shape("the token is not a bearer token", "token_type"));
        }
        Ok(Self {
            token,
            life: life(wire.expires_in.as_ref()),
        })
    }
}

/// Reads `expires_in`, a positive number of seconds that may have a fraction. Anything else gives
/// [`DEFAULT_TOKEN_LIFE`].
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = expires_in.and_then(|value| {
        let whole = value.as_u64().map(Duration::from_secs);
        whole.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok())
    });
    seconds
        .filter(|life| !life.is_zero())
        .unwrap_or(DEFAULT_TOKEN_LIFE)
}

/// A token in JSON. [`Secret`] itself does not implement `Deserialize`, so that users cannot deserialize one by
/// accident.
struct TokenText(Secret);

impl<'de> Deserialize<'de> for TokenText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(|text| Self(Secret::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiVersion, GroupId, ListRequest};

    fn parse(body: &str) -> Result<TokenResponse, Error> {
        TokenResponse::parse(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn documented_response_is_parsed() {
        let response =
            parse(r#"{"access_token":"eyJ.a-b_c","expires_in":3600,"token_type":"Bearer"}"#)
                .unwrap();
        assert_eq!(response.token.expose(), "eyJ.a-b_c");
        assert_eq!(response.life, Duration::from_secs(3600));
    }

    #[test]
    fn invalid_lifetime_becomes_the_default() {
        for life in [
            "1e400", "0", "-1", "-0.5", "0.0", "\"3600\"", "null", "true", "{}", "[1]", "1e300",
            "-1e300",
        ] {
            let response =
                parse(&format!(r#"{{"access_token":"t","expires_in":{life}}}"#)).unwrap();
            assert_eq!(response.life, DEFAULT_TOKEN_LIFE, "{life}");
        }
        for life in ["18446744073709551615", "1e18"] {
            let mut tokens = Tokens::new("id", Secret::new("s"));
            let response =
                parse(&format!(r#"{{"access_token":"t","expires_in":{life}}}"#)).unwrap();
            tokens.fetch_succeeded(response, Duration::MAX);
            let State::Present(token) = &tokens.state else {
                panic!("no token")
            };
            assert_eq!(token.fresh_until, Duration::MAX);
        }
    }

    #[test]
    fn response_without_a_usable_token_is_an_error_that_does_not_repeat_it() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"hunter2\u0000"}"#,
            r#"{"access_token":"hunter2 x"}"#,
            r#"{"access_token":["hunter2"]}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"{"access_token":"hunter2","token_type":5}"#,
            r#"["hunter2","bearer",3600]"#,
            r#"{"access_token":"a","access_token":"hunter2"}"#,
        ] {
            let error = parse(body).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(
                matches!(error, Error::InvalidResponse(_)),
                "{body}: {shown}"
            );
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(8193));
        assert!(matches!(
            parse(&long),
            Err(Error::Limit { limit: 8192, .. })
        ));
        let longer = format!(r#"{{"access_token":"x","y":"{}"}}"#, "x".repeat(65_536));
        assert!(matches!(
            parse(&longer),
            Err(Error::Limit { limit: 65_536, .. })
        ));
    }

    #[test]
    fn exported_token_can_be_restored() {
        let base = BaseUrl::default();
        let mut tokens = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_000_900);
        let life = Duration::from_secs(4);
        let token = Secret::new("t");
        // The token is fresh until 1003.9 s, and the text holds whole seconds.
        tokens.fetch_succeeded(TokenResponse { token, life }, now);
        let exported = |now| tokens.export(&base, Duration::from_millis(now));
        assert!(exported(1_003_000).is_none());
        let text = exported(1_002_999).unwrap();
        let mut other = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_002_999);
        let restored = other.restore(&text, &base, now, &Limits::default());
        assert_eq!(restored, Ok(()));
    }

    #[test]
    fn token_is_renewed_before_it_expires() {
        let list = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
        let ticket = Ticket::new(&Arc::default(), &list, ApiVersion::PREVIEW);
        let mut tokens = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_secs(1000);
        let response = |life| TokenResponse {
            token: Secret::new("t"),
            life: Duration::from_secs(life),
        };
        for (life, fresh_for) in [(3600, 3570), (40, 30), (4, 3)] {
            tokens.fetch_succeeded(response(life), now);
            let last = now + Duration::from_secs(fresh_for) - Duration::from_nanos(1);
            assert!(matches!(
                tokens.next_action(&ticket, last),
                TokenAction::Use { .. }
            ));
            assert!(matches!(
                tokens.next_action(&ticket, now + Duration::from_secs(fresh_for)),
                TokenAction::Fetch(_)
            ));
        }
    }
}
