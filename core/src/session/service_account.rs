//! A service account, and its access token (OAuth 2.0 client credentials), which all exchanges of a session share.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::bearer::{Bearer, sensitive};
use super::period::Period;
use super::ticket::{History, Stage};
use super::token_response::{TokenResponse, is_token};
use super::verdict::{Preparation, Unauthorized};
use crate::limits::{
    MAX_TOKEN_LIFE, RECENT_TOKENS, REPLACED_TOKENS, TOKEN_FETCH_TIMEOUT, TOKEN_MARGIN,
    TOKEN_RENEWAL_INTERVAL,
};
use crate::redaction::KnownSecrets;
use crate::{BaseUrl, Error, Limits, Refused, Secret};

/// A service account and the state of its token.
pub(super) struct ServiceAccount {
    id: String,
    /// The value `Basic base64(id:secret)` (RFC 6749 §2.3.1). The pair is not percent-encoded, because Atlas does not
    /// decode it.
    basic: Secret,
    secret: Secret,
    state: State,
    /// The latest tokens, newest first: a late response may still repeat an old one.
    recent: VecDeque<Secret>,
    /// Tokens that this session fetched, and replaced after a 401. They may still be valid, and then count towards the 100
    /// tokens that a service account may have.
    replaced: VecDeque<Secret>,
    /// The token that was last given out for its revocation, whose response may repeat it.
    last_revoked: Option<Secret>,
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
    bearer: Bearer,
    text: Secret,
    fresh_until: Duration,
    /// Whether this session fetched it.
    is_fetched: bool,
}

impl ServiceAccount {
    pub(super) fn new(id: &str, secret: Secret) -> Self {
        let pair = Zeroizing::new(format!("{id}:{}", secret.expose()));
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        Self {
            id: id.into(),
            basic: Secret::new(format!("Basic {}", *encoded)),
            secret,
            state: State::Absent,
            recent: VecDeque::new(),
            replaced: VecDeque::new(),
            last_revoked: None,
            generation: 0,
            fetch_number: 0,
            failed_fetch: None,
            renewed_at: None,
        }
    }

    /// Decides how an exchange at this stage gets a token.
    #[inline]
    pub(super) fn prepare(&mut self, stage: &Stage, now: Duration) -> Preparation {
        let is_fetcher = matches!(stage, Stage::Requesting { fetched: Some(fetched) } if *fetched == self.generation);
        match &self.state {
            State::Present(token) if is_fetcher || now < token.fresh_until => {
                return Preparation::Header(token.bearer.header());
            }
            State::Fetching { fetch, period }
                if fetch.strong_count() > 0 && period.contains(now) =>
            {
                return Preparation::Follow(self.fetch_number);
            }
            _ => {}
        }
        if let Some((failed, error)) = &self.failed_fetch
            && matches!(stage, Stage::FollowingFetch { number } if number == failed)
        {
            return Preparation::Failed(error.clone());
        }
        let fetch = Arc::new(());
        self.state = State::Fetching {
            fetch: Arc::downgrade(&fetch),
            period: Period::new(now, TOKEN_FETCH_TIMEOUT),
        };
        self.fetch_number += 1;
        self.failed_fetch = None;
        Preparation::FetchToken(fetch)
    }

    /// Returns the number of the current token.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the `Authorization` of a token request.
    pub(super) fn basic(&self) -> HeaderValue {
        sensitive(self.basic.expose())
    }

    /// Stores a fetched token, and returns its generation.
    pub(super) fn fetch_succeeded(&mut self, response: TokenResponse, now: Duration) -> u64 {
        let life = response.life.min(MAX_TOKEN_LIFE);
        let margin = TOKEN_MARGIN.min(life / 4);
        self.store(response.token, now.saturating_add(life - margin), true);
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
    pub(super) fn fetch_failed(&mut self, own: &Arc<()>, error: &Error) {
        // If it took too long, another exchange has taken over, and no exchange waits for this token request any more.
        if self.is_current_fetch(own) {
            self.state = State::Absent;
            self.failed_fetch = Some((self.fetch_number, error.clone()));
        }
    }

    /// Decides about a 401 for the token of this generation. An exchange renews a token once.
    pub(super) fn on_unauthorized(
        &mut self,
        generation: u64,
        history: &mut History,
        now: Duration,
    ) -> Unauthorized {
        let may_renew = !core::mem::replace(&mut history.token_renewed, true)
            && self.token_refused(generation, now);
        match may_renew {
            true => Unauthorized::Renew,
            false => Unauthorized::Final(Refused::Token),
        }
    }

    /// Records a 401 for the token of this generation. Returns whether a newer token exists or may be fetched.
    fn token_refused(&mut self, generation: u64, now: Duration) -> bool {
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
        if let State::Present(token) = core::mem::replace(&mut self.state, State::Absent)
            && token.is_fetched
            && now < token.fresh_until
        {
            self.replaced.truncate(REPLACED_TOKENS - 1);
            self.replaced.push_front(token.text);
        }
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
        self.store(Secret::new(token), now.saturating_add(life), false);
        Ok(())
    }

    /// Removes the token, or one that was replaced, and returns it for revocation.
    pub(super) fn take(&mut self) -> Option<Secret> {
        let token = match core::mem::replace(&mut self.state, State::Absent) {
            State::Present(token) => Some(token.text),
            other => {
                self.state = other;
                self.replaced.pop_front()
            }
        }?;
        self.last_revoked = Some(token.clone());
        Some(token)
    }

    /// Returns the token.
    pub(super) fn token(&self) -> Option<Secret> {
        match &self.state {
            State::Present(token) => Some(token.text.clone()),
            State::Absent | State::Fetching { .. } => None,
        }
    }

    /// Stops using this token, which is going to be revoked, and redacts it in errors.
    pub(super) fn forget(&mut self, revoked: &Secret) {
        if matches!(&self.state, State::Present(token) if token.text.expose() == revoked.expose()) {
            self.state = State::Absent;
        }
        self.redact(revoked.clone());
    }

    fn redact(&mut self, token: Secret) {
        self.recent.truncate(RECENT_TOKENS - 1);
        self.recent.push_front(token);
    }

    fn store(&mut self, token: Secret, fresh_until: Duration, is_fetched: bool) {
        self.redact(token.clone());
        self.generation += 1;
        self.state = State::Present(Token {
            bearer: Bearer::new(&token),
            text: token,
            fresh_until,
            is_fetched,
        });
    }

    /// Returns every secret that must not appear in an error.
    pub(super) fn secrets(&self) -> KnownSecrets {
        let basic = self.basic.expose();
        let pair = Secret::new(basic.strip_prefix("Basic ").unwrap_or(basic));
        let own = [self.secret.clone(), pair];
        let tokens = self.recent.iter().chain(&self.replaced);
        let tokens = tokens.chain(&self.last_revoked).cloned();
        KnownSecrets::new(own.into_iter().chain(tokens))
    }
}

/// Returns whether both belong to the same token request.
fn is_same(fetch: &Weak<()>, own: &Arc<()>) -> bool {
    core::ptr::eq(fetch.as_ptr(), Arc::as_ptr(own))
}

/// The first line of an exported token: its name, and the version of the format.
const EXPORT_HEADER: &str = "atlas-model-keys token 1";

const NOT_EXPORTED: &str = "it must be a text that export_token returned";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_with_a_huge_lifetime_does_not_overflow() {
        for life in ["18446744073709551615", "1e18"] {
            let mut tokens = ServiceAccount::new("id", Secret::new("s"));
            let response = TokenResponse::parse(
                format!(r#"{{"access_token":"t","expires_in":{life}}}"#).as_bytes(),
                &Limits::default(),
            )
            .unwrap();
            tokens.fetch_succeeded(response, Duration::MAX);
            let State::Present(token) = &tokens.state else {
                panic!("no token")
            };
            assert_eq!(token.fresh_until, Duration::MAX);
        }
    }

    #[test]
    fn late_failure_of_a_token_request_that_was_taken_over_fails_no_other_exchange() {
        let mut account = ServiceAccount::new("id", Secret::new("s"));
        let now = Duration::from_secs(1000);
        let Preparation::FetchToken(first) = account.prepare(&Stage::START, now) else {
            panic!("there is no token")
        };
        let now = now + TOKEN_FETCH_TIMEOUT;
        let Preparation::FetchToken(_second) = account.prepare(&Stage::START, now) else {
            panic!("the first token request took too long")
        };
        let follower = Stage::FollowingFetch { number: 2 };
        let (token, life) = (Secret::new("t"), Duration::from_secs(3600));
        let generation = account.fetch_succeeded(TokenResponse { token, life }, now);
        let error = Error::Limit {
            what: "bytes of a token response",
            limit: 1,
        };
        account.fetch_failed(&first, &error);
        let refused = account.on_unauthorized(generation, &mut History::default(), now);
        assert!(matches!(refused, Unauthorized::Renew));
        assert!(matches!(
            account.prepare(&follower, now),
            Preparation::FetchToken(_)
        ));
    }

    #[test]
    fn exported_token_can_be_restored() {
        let base = BaseUrl::default();
        let mut tokens = ServiceAccount::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_000_900);
        let life = Duration::from_secs(4);
        let token = Secret::new("t");
        // The token is fresh until 1003.9 s, and the text holds whole seconds.
        tokens.fetch_succeeded(TokenResponse { token, life }, now);
        let exported = |now| tokens.export(&base, Duration::from_millis(now));
        assert!(exported(1_003_000).is_none());
        let text = exported(1_002_999).unwrap();
        let mut other = ServiceAccount::new("id", Secret::new("s"));
        let now = Duration::from_millis(1_002_999);
        let restored = other.restore(&text, &base, now, &Limits::default());
        assert_eq!(restored, Ok(()));
    }

    #[test]
    fn token_that_expires_now_is_not_restored() {
        let (base, limits) = (BaseUrl::default(), Limits::default());
        let mut account = ServiceAccount::new("id", Secret::new("s"));
        let text = format!("{EXPORT_HEADER}\n{base}\nid\n1003\nt\n");
        let mut restore = |milliseconds| {
            let now = Duration::from_millis(milliseconds);
            account.restore(&Secret::new(text.as_str()), &base, now, &limits)
        };
        assert_eq!(restore(1_002_999), Ok(()));
        let error = restore(1_003_000).unwrap_err();
        assert!(error.starts_with("the token has expired"), "{error}");
    }

    #[test]
    fn token_is_renewed_before_it_expires() {
        let mut tokens = ServiceAccount::new("id", Secret::new("s"));
        let now = Duration::from_secs(1000);
        let response = |life| TokenResponse {
            token: Secret::new("t"),
            life: Duration::from_secs(life),
        };
        for (life, fresh_for) in [(3600, 3570), (40, 30), (4, 3)] {
            tokens.fetch_succeeded(response(life), now);
            let last = now + Duration::from_secs(fresh_for) - Duration::from_nanos(1);
            assert!(matches!(
                tokens.prepare(&Stage::START, last),
                Preparation::Header(_)
            ));
            assert!(matches!(
                tokens.prepare(&Stage::START, now + Duration::from_secs(fresh_for)),
                Preparation::FetchToken(_)
            ));
        }
    }
}
