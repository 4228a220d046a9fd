//! OAuth 2.0 client credentials: one token for all exchanges of a session.

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

use super::pace::Period;
use super::ticket::Ticket;
use crate::decode::numbers;
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::limits::{
    RECENT_TOKENS, TOKEN_LEAD, TOKEN_LIFE_MAX, TOKEN_LIFE_UNKNOWN, TOKEN_MARGIN,
    TOKEN_RENEWAL_PAUSE,
};
use crate::secret::KnownSecrets;
use crate::{BaseUrl, Endpoint, Error, Limits, Secret};

/// A service account and its token: absent, being fetched, or there.
pub(super) struct Tokens {
    id: String,
    /// `Basic base64(id:secret)` (RFC 6749 §2.3.1). Atlas takes the pair as it is, without
    /// percent-encoding.
    basic: Secret,
    secret: Secret,
    state: State,
    /// The last tokens, the newest first: a late answer may still repeat one.
    recent: VecDeque<Secret>,
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
    /// The one who fetches holds the `Arc`; if that ticket is dropped, or not heard of for too long, the flight
    /// is free.
    Fetching {
        lead: Weak<()>,
        period: Period,
    },
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
            recent: VecDeque::new(),
            generation: 0,
            flight: 0,
            failed: None,
            renewed_at: None,
        }
    }

    pub(super) fn turn(&mut self, ticket: &Ticket, now: Duration) -> Turn {
        match &self.state {
            // Who has just fetched it uses it, even if it is hardly worth it: else a token that lives for
            // no time would be fetched for ever.
            State::Present(token)
                if now < token.fresh_until || ticket.fetched == Some(self.generation) =>
            {
                return Turn::Use {
                    header: token.header.clone(),
                    generation: self.generation,
                };
            }
            State::Fetching { lead, period } if lead.strong_count() > 0 && period.holds(now) => {
                return Turn::Follow {
                    flight: self.flight,
                };
            }
            _ => {}
        }
        if let Some((flight, error)) = &self.failed
            && ticket.following == Some(*flight)
        {
            return Turn::Failed(error.clone());
        }
        let lead = Arc::new(());
        self.state = State::Fetching {
            lead: Arc::downgrade(&lead),
            period: Period::new(now, TOKEN_LEAD),
        };
        self.flight += 1;
        self.failed = None;
        Turn::Lead(lead)
    }

    /// The `Authorization` of a token request.
    pub(super) fn basic(&self) -> HeaderValue {
        sensitive(self.basic.expose())
    }

    /// The fetch succeeded. The token's generation.
    pub(super) fn arrived(&mut self, grant: Grant, now: Duration) -> u64 {
        let life = grant.life.min(TOKEN_LIFE_MAX);
        let margin = TOKEN_MARGIN.min(life / 4);
        self.keep(grant.token, now.saturating_add(life - margin));
        self.generation
    }

    /// Whether the flight is still this one's.
    pub(super) fn leads(&self, by: &Arc<()>) -> bool {
        matches!(&self.state, State::Fetching { lead, .. } if is_same(lead, by))
    }

    /// The one who fetches is still there, and goes on after this delay.
    pub(super) fn is_led_by(&mut self, by: &Arc<()>, now: Duration, delay: Duration) {
        if let State::Fetching { lead, period } = &mut self.state
            && is_same(lead, by)
        {
            *period = Period::new(now, delay.saturating_add(TOKEN_LEAD));
        }
    }

    /// The fetch failed for good: those who wait for it get the same error.
    pub(super) fn failed(&mut self, by: Option<&Arc<()>>, error: &Error) {
        match &self.state {
            // Another one has taken over.
            State::Fetching { lead, .. } if !by.is_some_and(|by| is_same(lead, by)) => return,
            State::Fetching { .. } => self.state = State::Absent,
            // A token that was restored meanwhile stays.
            State::Absent | State::Present(_) => {}
        }
        self.failed = Some((self.flight, error.clone()));
    }

    /// A token of this generation got a 401. Whether there is, or may be, a newer one.
    pub(super) fn refused(&mut self, generation: u64, now: Duration) -> bool {
        if generation != self.generation {
            return true;
        }
        match &self.state {
            State::Fetching { .. } => return true,
            // It was due to be renewed anyway.
            State::Present(token) if now >= token.fresh_until => {}
            // A clock that was set back does not forbid it for longer.
            State::Present(_) | State::Absent => {
                let soon = self
                    .renewed_at
                    .is_some_and(|at| at <= now && now < at.saturating_add(TOKEN_RENEWAL_PAUSE));
                if soon {
                    return false;
                }
                self.renewed_at = Some(now);
            }
        }
        self.state = State::Absent;
        true
    }

    /// The token as text, bound to where it is of use.
    pub(super) fn export(&self, base: &BaseUrl, now: Duration) -> Option<Secret> {
        let State::Present(token) = &self.state else {
            return None;
        };
        // In whole seconds, as `restore` will read it.
        let until = token.fresh_until.as_secs();
        (now < Duration::from_secs(until)).then(|| {
            // None of the parts can hold a line end.
            Secret::new(format!(
                "{EXPORT}\n{base}\n{}\n{until}\n{}\n",
                self.id,
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
        self.recent.truncate(RECENT_TOKENS - 1);
        self.recent.push_front(token.clone());
        self.generation += 1;
        self.state = State::Present(Token {
            header: bearer(&token),
            text: token,
            fresh_until,
        });
    }

    /// Everything that must not turn up in an error.
    pub(super) fn secrets(&self) -> KnownSecrets {
        let basic = self.basic.expose();
        let pair = Secret::new(basic.strip_prefix("Basic ").unwrap_or(basic));
        let own = [self.secret.clone(), pair];
        KnownSecrets::new(own.into_iter().chain(self.recent.iter().cloned()))
    }
}

/// Whether the flight is this one's.
fn is_same(lead: &Weak<()>, by: &Arc<()>) -> bool {
    core::ptr::eq(lead.as_ptr(), Arc::as_ptr(by))
}

/// The `Authorization` that a token makes (RFC 6750 §2.1).
pub(super) fn bearer(token: &Secret) -> HeaderValue {
    sensitive(&Zeroizing::new(format!("Bearer {}", token.expose())))
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
            expires_in: Option<Value>,
        }

        let refuse = |kind, problem, path: &str| {
            Error::InvalidResponse(InvalidResponse {
                endpoint: Endpoint::Token,
                kind,
                place: None,
                path: path.into(),
                problem,
            })
        };
        let shape = |problem, path| refuse(InvalidResponseKind::Shape, problem, path);
        if body.len() > limits.error_body_bytes {
            return Err(Error::Limit {
                what: "bytes of a token answer",
                limit: u64::try_from(limits.error_body_bytes).unwrap_or(u64::MAX),
            });
        }
        // A derived struct would take an array, too.
        if !body.trim_ascii_start().starts_with(b"{") && numbers::parse::<IgnoredAny>(body).is_ok()
        {
            return Err(shape("it is not an object", ""));
        }
        // The parser's message could repeat the token, so it is not looked at.
        let wire: Wire = numbers::parse(body).map_err(|error| {
            if error.is_data() {
                shape("a value is not of the documented type", "")
            } else {
                refuse(InvalidResponseKind::Json, "it is not valid JSON", "")
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
            life: life(wire.expires_in.as_ref()),
        })
    }
}

/// `expires_in`: a positive number of seconds, whole or not; anything else tells nothing.
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = expires_in.and_then(|value| {
        let whole = value.as_u64().map(Duration::from_secs);
        whole.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok())
    });
    seconds
        .filter(|life| !life.is_zero())
        .unwrap_or(TOKEN_LIFE_UNKNOWN)
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
    use crate::{ApiVersion, GroupId, ListRequest};

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
            "1e400", "0", "-1", "-0.5", "0.0", "\"3600\"", "null", "true", "{}", "[1]", "1e300",
            "-1e300",
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
            r#"["hunter2","bearer",3600]"#,
            r#"{"access_token":"a","access_token":"hunter2"}"#,
        ] {
            let error = read(body).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(
                matches!(error, Error::InvalidResponse(_)),
                "{body}: {shown}"
            );
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
    fn what_is_exported_can_be_restored() {
        let base = BaseUrl::default();
        let mut tokens = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_000_900);
        let life = Duration::from_secs(4);
        let token = Secret::new("t");
        // Fresh until 1003.9 s, of which a text has whole seconds.
        tokens.arrived(Grant { token, life }, now);
        let exported = |now| tokens.export(&base, Duration::from_millis(now));
        assert!(exported(1_003_000).is_none());
        let text = exported(1_002_999).unwrap();
        let mut other = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_002_999);
        let restored = other.restore(&text, &base, now, &Limits::default());
        assert_eq!(restored, Ok(()));
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let list = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
        let ticket = Ticket::new(&Arc::default(), &list, ApiVersion::PREVIEW);
        let mut tokens = Tokens::new("id", Secret::new("s"));
        let now = Duration::from_secs(1000);
        let grant = |life| Grant {
            token: Secret::new("t"),
            life: Duration::from_secs(life),
        };
        for (life, fresh_for) in [(3600, 3570), (40, 30), (4, 3)] {
            tokens.arrived(grant(life), now);
            let last = now + Duration::from_secs(fresh_for) - Duration::from_nanos(1);
            assert!(matches!(tokens.turn(&ticket, last), Turn::Use { .. }));
            assert!(matches!(
                tokens.turn(&ticket, now + Duration::from_secs(fresh_for)),
                Turn::Lead(_)
            ));
        }
    }
}
