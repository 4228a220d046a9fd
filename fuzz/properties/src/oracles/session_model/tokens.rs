//! The access token that the exchanges of a service account share.

use std::time::Duration;

use super::{
    At, Attempts, Auth, Cause, Exchange, Failure, MINUTE, Model, Period, Refused, Response, Stage,
    Step,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A token is renewed this long before its end, or a quarter of its life before it if that is less.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
const REPLACED_TOKENS: usize = 100;

#[derive(Debug)]
pub(super) enum Token {
    None,
    /// The token request with this number is in flight, and nobody else requests a token within the period.
    Fetching(u64, Period),
    Present {
        text: String,
        fresh_until: Duration,
        is_fetched: bool,
    },
}

impl Model {
    /// Returns the number of tokens that were issued or restored.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the text of the token, and until when it is fresh.
    pub(crate) fn token(&self) -> Option<(&str, Duration)> {
        match &self.token {
            Token::Present {
                text, fresh_until, ..
            } => Some((text, *fresh_until)),
            _ => None,
        }
    }

    /// Takes over a token of another session.
    pub(crate) fn restore(&mut self, text: String, until: Duration, now: Duration) {
        let life = until.saturating_sub(now).min(DAY);
        self.store(text, now.saturating_add(life), false);
    }

    /// Takes the token that is revoked next: the current one, or else one that was replaced.
    pub(crate) fn revoke(&mut self) -> Option<String> {
        if let Token::Present { text, .. } = &self.token {
            let text = text.clone();
            self.token = Token::None;
            return Some(text);
        }
        self.replaced.pop_front()
    }

    /// Returns the step of an exchange that has no token yet. Otherwise it notes the token that the exchange uses.
    pub(super) fn need_token(&mut self, exchange: &mut Exchange, at: At) -> Option<Step> {
        match &self.token {
            Token::Present { fresh_until, .. } => {
                let own = exchange.stage == Stage::Requesting(Some(self.tokens));
                if own || at.now < *fresh_until {
                    exchange.auth = Auth::Token(self.tokens);
                    if let Stage::Following(_) = exchange.stage {
                        exchange.stage = Stage::Requesting(None);
                    }
                    return None;
                }
            }
            Token::Fetching(number, period) => {
                let number = *number;
                let mut others = self.exchanges.values();
                let is_alive = others.any(|other| other.stage == Stage::Fetching(number));
                if is_alive && period.left(at.now).is_some() {
                    exchange.stage = Stage::Following(number);
                    return Some(self.follow(exchange, at));
                }
            }
            Token::None => {}
        }
        if let Some((failed, failure)) = &self.failed_fetch
            && exchange.stage == Stage::Following(*failed)
        {
            return Some(Step::Fail(failure.clone()));
        }
        self.fetches += 1;
        self.failed_fetch = None;
        self.token = Token::Fetching(self.fetches, Period::new(at.now, MINUTE));
        exchange.stage = Stage::Fetching(self.fetches);
        Some(self.fetch_token(exchange, at))
    }

    pub(super) fn fetch_token(&mut self, exchange: &mut Exchange, at: At) -> Step {
        exchange.auth = Auth::None;
        self.extend_fetch(exchange, at, Duration::ZERO);
        let attempt = exchange.token.failed + 1;
        Step::FetchToken { attempt }
    }

    pub(super) fn token_response(
        &mut self,
        exchange: &mut Exchange,
        response: &Response,
        at: At,
    ) -> Step {
        let status = response.status;
        let retry = &self.settings;
        if status == 200 {
            let failure = match &response.token {
                _ if response.body_bytes > retry.error_body_bytes => {
                    Failure::Limit(retry.error_body_bytes)
                }
                Some((text, _)) if text.len() > retry.token_bytes => {
                    Failure::Limit(retry.token_bytes)
                }
                Some((text, life))
                    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) =>
                {
                    let life = (*life).min(DAY);
                    let fresh = life - TOKEN_MARGIN.min(life / 4);
                    self.store(text.clone(), at.now.saturating_add(fresh), true);
                    exchange.stage = Stage::Requesting(Some(self.tokens));
                    exchange.token = Attempts::default();
                    return self.advance(exchange, at);
                }
                _ => Failure::InvalidResponse,
            };
            return self.fail_for_all(exchange, failure);
        }
        if status == 429 || status >= 500 {
            let cause = Cause::Status(status);
            let asked = response.retry_after.unwrap_or_default();
            // A token may have been issued after any status but these two.
            let may_retry = matches!(status, 429 | 503)
                || !std::mem::replace(&mut exchange.may_have_lost_token, true);
            if may_retry && self.is_retried(status) {
                return self.retry(exchange, cause, asked, at);
            }
            exchange.token.failed += 1;
            return self.end_with(exchange, cause, asked);
        }
        let failure = match status == 401 || response.is_invalid_client {
            true => Failure::Authentication {
                refused: Refused::ServiceAccount,
                status,
            },
            false => Failure::Api {
                status,
                is_token: true,
            },
        };
        self.fail_for_all(exchange, failure)
    }

    /// Returns whether there is a newer token than the refused one, or may be one. Only the current token is removed.
    pub(super) fn token_refused(&mut self, number: u64, now: Duration) -> bool {
        if number != self.tokens {
            return true;
        }
        let is_fresh = match &self.token {
            Token::Fetching(..) => return true,
            Token::Present { fresh_until, .. } => now < *fresh_until,
            Token::None => true,
        };
        if is_fresh {
            if self
                .renewed
                .is_some_and(|period| period.left(now).is_some())
            {
                return false;
            }
            self.renewed = Some(Period::new(now, MINUTE));
        }
        if let Token::Present {
            text,
            is_fetched: true,
            ..
        } = &self.token
            && is_fresh
        {
            // It may still be valid, so it has to be revoked.
            self.replaced.truncate(REPLACED_TOKENS - 1);
            self.replaced.push_front(text.clone());
        }
        self.token = Token::None;
        true
    }

    fn store(&mut self, text: String, fresh_until: Duration, is_fetched: bool) {
        self.tokens += 1;
        self.token = Token::Present {
            text,
            fresh_until,
            is_fetched,
        };
    }

    pub(super) fn is_current_fetch(&self, own: u64) -> bool {
        matches!(self.token, Token::Fetching(number, _) if number == own)
    }

    /// The others keep waiting for a token request whose exchange continues after a delay.
    pub(super) fn extend_fetch(&mut self, exchange: &Exchange, at: At, delay: Duration) {
        if let (Stage::Fetching(own), Token::Fetching(number, period)) =
            (exchange.stage, &mut self.token)
            && own == *number
        {
            *period = Period::new(at.now, delay.saturating_add(MINUTE));
        }
    }

    /// Ends an exchange with an error. If it was fetching the token, those that wait for it get the same error.
    pub(super) fn fail_for_all(&mut self, exchange: &Exchange, failure: Failure) -> Step {
        if let Stage::Fetching(own) = exchange.stage
            && self.is_current_fetch(own)
        {
            self.token = Token::None;
            self.failed_fetch = Some((own, failure.clone()));
        }
        Step::Fail(failure)
    }
}
