//! OAuth 2.0 client credentials: one token for all exchanges of a session.

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use zeroize::Zeroizing;

use crate::error::{AnswerError, AnswerErrorKind};
use crate::limits::{TOKEN_LIFE_MAX, TOKEN_LIFE_UNKNOWN, TOKEN_MARGIN, TOKEN_RENEWAL_PAUSE};
use crate::{BaseUrl, Endpoint, Error, Limits, Secret};

/// A service account and its token: absent, being fetched, or there.
pub(super) struct Tokens {
    id: String,
    /// `Basic base64(id:secret)` (RFC 6749 §2.3.1). Atlas takes the pair as it is, without
    /// percent-encoding.
    basic: Secret,
    secret: Secret,
    state: State,
    /// The token before, which a late answer may still repeat in an error.
    previous: Option<Secret>,
    /// Counts tokens, so that a late 401 does not evict a newer one.
    generation: u64,
    /// Counts fetches, so that those who waited for one learn how that one ended.
    flight: u64,
    failed: Option<(u64, Error)>,
    /// When a 401 last made a token be fetched.
    renewed_at: Option<Duration>,
}

enum State {
    Absent,
    /// The one who fetches holds the `Arc`; if that ticket is dropped, the flight is free.
    Fetching(Weak<()>),
    Present(Token),
}

struct Token {
    header: HeaderValue,
    text: Secret,
    fresh_until: Duration,
}

/// What an exchange that needs a token is to do.
pub(super) enum Turn {
    /// Use this one.
    Use {
        header: HeaderValue,
        generation: u64,
    },
    /// Fetch one; the others follow for as long as the `Arc` lives.
    Lead(Arc<()>),
    /// Wait for the exchange that fetches one.
    Follow { flight: u64 },
    /// The fetch that it waited for failed.
    Failed(Error),
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
            previous: None,
            generation: 0,
            flight: 0,
            failed: None,
            renewed_at: None,
        }
    }

    pub(super) fn turn(&mut self, following: Option<u64>, now: Duration) -> Turn {
        match &self.state {
            State::Present(token) if now < token.fresh_until => {
                return Turn::Use {
                    header: token.header.clone(),
                    generation: self.generation,
                };
            }
            State::Fetching(lead) if lead.strong_count() > 0 => {
                return Turn::Follow {
                    flight: self.flight,
                };
            }
            _ => {}
        }
        if let (Some(mine), Some((flight, error))) = (following, &self.failed)
            && *flight >= mine
        {
            return Turn::Failed(error.clone());
        }
        let lead = Arc::new(());
        self.state = State::Fetching(Arc::downgrade(&lead));
        self.flight += 1;
        self.failed = None;
        Turn::Lead(lead)
    }

    /// The `Authorization` of a token request.
    pub(super) fn basic(&self) -> HeaderValue {
        sensitive(self.basic.expose())
    }

    /// The fetch succeeded.
    pub(super) fn arrived(&mut self, grant: Grant, now: Duration) {
        let life = grant.life.min(TOKEN_LIFE_MAX);
        let margin = TOKEN_MARGIN.min(life / 4);
        self.keep(grant.token, now.saturating_add(life - margin));
    }

    /// The fetch failed for good: those who wait for it get the same error.
    pub(super) fn failed(&mut self, error: &Error) {
        self.state = State::Absent;
        self.failed = Some((self.flight, error.clone()));
    }

    /// A token of this generation got a 401. Whether there is, or may be, a newer one.
    pub(super) fn refused(&mut self, generation: u64, now: Duration) -> bool {
        if generation != self.generation || !matches!(self.state, State::Present(_)) {
            return true;
        }
        // A clock that was set back does not forbid it for longer.
        let soon = self
            .renewed_at
            .is_some_and(|at| at <= now && now < at.saturating_add(TOKEN_RENEWAL_PAUSE));
        if soon {
            return false;
        }
        self.renewed_at = Some(now);
        self.previous = self.take();
        true
    }

    /// The token as text, bound to where it is of use.
    pub(super) fn export(&self, base: &BaseUrl, now: Duration) -> Option<Secret> {
        let State::Present(token) = &self.state else {
            return None;
        };
        (now < token.fresh_until).then(|| {
            // None of the parts can hold a line end.
            Secret::new(format!(
                "{EXPORT}\n{base}\n{}\n{}\n{}\n",
                self.id,
                token.fresh_until.as_secs(),
                token.text.expose()
            ))
        })
    }

    /// Takes an exported token over. The error is the rule that it breaks.
    pub(super) fn restore(
        &mut self,
        exported: &Secret,
        base: &BaseUrl,
        now: Duration,
        limits: &Limits,
    ) -> Result<(), &'static str> {
        let mut lines = exported.expose().lines();
        let mut line = || lines.next().unwrap_or_default();
        if line() != EXPORT {
            return Err("it is a text that a session has exported");
        }
        if line() != base.as_str() {
            return Err("it is a token for another base URL");
        }
        if line() != self.id {
            return Err("it is a token of another service account");
        }
        let fresh_until = line().parse().map_or(Duration::ZERO, Duration::from_secs);
        let token = line();
        if token.len() > limits.token_bytes || !is_token(token) || lines.next().is_some() {
            return Err("it is a text that a session has exported");
        }
        if fresh_until <= now {
            return Err("it has expired");
        }
        let life = (fresh_until - now).min(TOKEN_LIFE_MAX);
        self.keep(Secret::new(token), now.saturating_add(life));
        Ok(())
    }

    /// Forgets the token, and gives it to be revoked.
    pub(super) fn take(&mut self) -> Option<Secret> {
        match core::mem::replace(&mut self.state, State::Absent) {
            State::Present(token) => Some(token.text),
            other => {
                self.state = other;
                None
            }
        }
    }

    fn keep(&mut self, token: Secret, fresh_until: Duration) {
        if let Some(previous) = self.take() {
            self.previous = Some(previous);
        }
        self.generation += 1;
        self.state = State::Present(Token {
            header: sensitive(&Zeroizing::new(format!("Bearer {}", token.expose()))),
            text: token,
            fresh_until,
        });
    }

    /// Everything that must not turn up in an error.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let token = match &self.state {
            State::Present(token) => Some(token.text.expose()),
            _ => None,
        };
        let basic = self.basic.expose();
        [
            Some(self.secret.expose()),
            Some(basic.strip_prefix("Basic ").unwrap_or(basic)),
            token,
            self.previous.as_ref().map(Secret::expose),
        ]
        .into_iter()
        .flatten()
    }
}

/// What a header can carry.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The first line of an exported token: what it is, and the version of its form.
const EXPORT: &str = "atlas-model-keys token 1";

/// Only visible ASCII gets here: ids, secrets and tokens are checked where they come in.
fn sensitive(text: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
    value.set_sensitive(true);
    value
}

/// What a token request was answered with (RFC 6749 §5.1).
pub(super) struct Grant {
    token: Secret,
    life: Duration,
}

impl Grant {
    pub(super) fn read(body: &[u8], limits: &Limits) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: Option<TokenText>,
            token_type: Option<String>,
            #[serde(default)]
            expires_in: Seconds,
        }

        let refuse = |kind, problem, path: &str| {
            Error::Answer(AnswerError {
                endpoint: Endpoint::Token,
                kind,
                place: None,
                path: path.into(),
                problem,
            })
        };
        let shape = |problem, path| refuse(AnswerErrorKind::Shape, problem, path);
        if body.len() > limits.error_body_bytes {
            return Err(Error::Limit {
                what: "bytes of a token answer",
                limit: u64::try_from(limits.error_body_bytes).unwrap_or(u64::MAX),
            });
        }
        // serde_json's message could repeat the token, so it is not looked at.
        let wire: Wire = serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                shape("a value is not of the documented type", "")
            } else {
                refuse(AnswerErrorKind::Json, "it is not valid JSON", "")
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
            let problem = "the token has characters that no header can carry";
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
            life: wire.expires_in.0,
        })
    }
}

/// `expires_in`: a positive number of seconds, whole or not; anything else tells nothing.
struct Seconds(Duration);

impl Default for Seconds {
    fn default() -> Self {
        Self(TOKEN_LIFE_UNKNOWN)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Lenient;
        impl<'de> Visitor<'de> for Lenient {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_u64<E>(self, seconds: u64) -> Result<Seconds, E> {
                Ok(match seconds {
                    0 => Seconds::default(),
                    _ => Seconds(Duration::from_secs(seconds)),
                })
            }
            fn visit_f64<E>(self, seconds: f64) -> Result<Seconds, E> {
                let life = Duration::try_from_secs_f64(seconds).ok();
                Ok(life
                    .filter(|life| !life.is_zero())
                    .map_or_else(Seconds::default, Seconds))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Seconds, E> {
                Ok(Seconds::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Seconds, E> {
                Ok(Seconds::default())
            }
            fn visit_unit<E>(self) -> Result<Seconds, E> {
                Ok(Seconds::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Seconds, E> {
                Ok(Seconds::default())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Seconds, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Seconds::default())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Seconds, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Seconds::default())
            }
        }
        input.deserialize_any(Lenient)
    }
}

/// [`Secret`] itself is not to be deserialized by just anybody.
struct TokenText(Secret);

impl<'de> Deserialize<'de> for TokenText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(|text| Self(Secret::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Grant, Error> {
        Grant::read(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn the_documented_answer_is_read() {
        let grant = read(r#"{"access_token":"eyJ.a-b_c","expires_in":3600,"token_type":"Bearer"}"#)
            .unwrap();
        assert_eq!(grant.token.expose(), "eyJ.a-b_c");
        assert_eq!(grant.life, Duration::from_secs(3600));
    }

    #[test]
    fn a_life_that_makes_no_sense_is_taken_to_be_short() {
        for life in [
            "0", "-1", "-0.5", "0.0", "\"3600\"", "null", "true", "{}", "[1]", "1e300", "-1e300",
        ] {
            let grant = read(&format!(r#"{{"access_token":"t","expires_in":{life}}}"#)).unwrap();
            assert_eq!(grant.life, TOKEN_LIFE_UNKNOWN, "{life}");
        }
        for life in ["18446744073709551615", "1e18"] {
            let mut tokens = Tokens::new("id", Secret::new("s"));
            let grant = read(&format!(r#"{{"access_token":"t","expires_in":{life}}}"#)).unwrap();
            tokens.arrived(grant, Duration::MAX);
            let State::Present(token) = &tokens.state else {
                panic!("no token")
            };
            assert_eq!(token.fresh_until, Duration::MAX);
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_refused_without_repeating_it() {
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
            r#"{"access_token":"a","access_token":"hunter2"}"#,
        ] {
            let error = read(body).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, Error::Answer(_)), "{body}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(8193));
        assert!(matches!(read(&long), Err(Error::Limit { limit: 8192, .. })));
        let longer = format!(r#"{{"access_token":"x","y":"{}"}}"#, "x".repeat(65_536));
        assert!(matches!(
            read(&longer),
            Err(Error::Limit { limit: 65_536, .. })
        ));
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let mut tokens = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_secs(1000);
        let grant = |life| Grant {
            token: Secret::new("t"),
            life: Duration::from_secs(life),
        };
        for (life, fresh_for) in [(3600, 3570), (40, 30), (4, 3)] {
            tokens.arrived(grant(life), now);
            let last = now + Duration::from_secs(fresh_for) - Duration::from_nanos(1);
            assert!(matches!(tokens.turn(None, last), Turn::Use { .. }));
            assert!(matches!(
                tokens.turn(None, now + Duration::from_secs(fresh_for)),
                Turn::Lead(_)
            ));
        }
    }
}
