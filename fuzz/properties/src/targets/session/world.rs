//! The world around the session: its clock and settings, and a server that issues tokens and remembers what it received.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Failure, FailureKind, Limits, Moment, RetryPolicy, Session,
};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Response, StatusCode};

use super::operations::AnyRequest;
use crate::generators::bytes as input;
use crate::generators::session::{
    BEARER, CLIENT_ID, CLIENT_SECRET, CredentialType, NO_RETRY_STATUSES, PINNED_VERSION,
    PRIVATE_KEY, PUBLIC_KEY, SINGLE_ATTEMPT, SMALL_LIMITS, ServerResponse, TOKENS_PLACEHOLDER,
    WAITS_OUT_RATE_LIMITS, all_secrets, percent_encoded, secrets_of,
};
use crate::oracles::shown;

/// The clock, the settings of the session, and the state of the server.
pub(super) struct World {
    pub(super) credential: CredentialType,
    pub(super) base: BaseUrl,
    pub(super) limits: Limits,
    /// The pinned version, for the operations that can be pinned.
    pub(super) pinned_version: Option<ApiVersion>,
    pub(super) now: Duration,
    /// Whether the clock was ever set back. Then the session may end some waits earlier than the rules expect.
    pub(super) clock_was_set_back: bool,
    /// The seed of the entropy of moments.
    entropy: u8,
    /// All tokens that were issued or restored.
    tokens: BTreeSet<String>,
    /// The latest tokens, which the session still redacts, newest first.
    recent_tokens: VecDeque<String>,
    /// The beginnings of all secrets that must not be shown.
    secrets: Vec<String>,
    /// The nonces that were received, and all pairs of nonce and count.
    nonces: BTreeSet<Vec<u8>>,
    counts: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl World {
    pub(super) fn new(credential: CredentialType, base: &str, flags: u8) -> Self {
        let mut limits = Limits::default();
        if flags & SMALL_LIMITS != 0 {
            (limits.body_bytes, limits.error_body_bytes) = (400, 300);
            (limits.detail_bytes, limits.token_bytes) = (40, 60);
            (limits.challenge_bytes, limits.challenges) = (200, 2);
            (limits.headers, limits.head_bytes, limits.nesting) = (2, 300, 4);
            limits.retry.attempts = 3;
            limits.retry.wait = Duration::from_secs(10);
            limits.retry.total_wait = Duration::from_secs(15);
        }
        if flags & SINGLE_ATTEMPT != 0 {
            limits.retry.attempts = RetryPolicy::never().attempts;
        }
        if flags & NO_RETRY_STATUSES != 0 {
            limits.retry.statuses.clear();
        }
        limits.retry.waits_out_rate_limits = flags & WAITS_OUT_RATE_LIMITS != 0;
        let pinned_version = (flags & PINNED_VERSION != 0)
            .then(|| ApiVersion::new("2026-01-01").expect("a valid version"));
        let mut world = Self {
            credential,
            base: BaseUrl::new(base).expect("a valid base URL"),
            limits,
            pinned_version,
            now: Duration::from_secs(1_790_000_000),
            clock_was_set_back: false,
            entropy: 0,
            tokens: BTreeSet::new(),
            recent_tokens: VecDeque::new(),
            secrets: Vec::new(),
            nonces: BTreeSet::new(),
            counts: BTreeSet::new(),
        };
        world.collect_secrets();
        world
    }

    /// Creates the session under test.
    pub(super) fn session(&self) -> Session {
        let mut session = Session::new(self.base.clone(), credentials(self.credential))
            .with_limits(self.limits.clone())
            .with_user_agent("fuzz/1.0")
            .expect("a visible user agent");
        if let Some(version) = self.pinned_version {
            session = session.with_version(version);
        }
        assert_eq!(*session.limits(), self.limits);
        assert_eq!(*session.base(), self.base);
        session
    }

    /// Returns the current time with fresh entropy.
    pub(super) fn moment(&mut self) -> Moment {
        self.entropy = self.entropy.wrapping_mul(29).wrapping_add(7);
        let moment = Moment::new(self.now, [self.entropy; 16]);
        assert_eq!(moment.now(), self.now);
        // Nonces are made from the entropy, so it is not shown.
        assert_eq!(
            format!("{moment:?}"),
            format!("Moment {{ now: {:?}, .. }}", self.now)
        );
        moment
    }

    /// Moves the clock forward, or back if `by` is negative.
    pub(super) fn move_clock(&mut self, by: i16, milliseconds: u64) {
        let length = Duration::from_millis(u64::from(by.unsigned_abs()) * milliseconds);
        self.now = match by < 0 {
            true => self.now.saturating_sub(length),
            false => self.now.saturating_add(length),
        };
        self.clock_was_set_back |= by < 0;
    }

    /// Returns the beginnings of all secrets that must not be shown.
    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Records a token that the session received. The session may forget an older one.
    pub(super) fn token_arrived(&mut self, token: String) {
        self.tokens.insert(token.clone());
        self.recent_tokens.truncate(3);
        self.recent_tokens.push_front(token);
        self.collect_secrets();
    }

    pub(super) fn newest_token(&self) -> Option<&str> {
        self.recent_tokens.front().map(String::as_str)
    }

    pub(super) fn has_issued(&self, token: &str) -> bool {
        self.tokens.contains(token)
    }

    fn collect_secrets(&mut self) {
        // Any text may contain a short token, or a restored one, which the input chooses.
        let is_searched = |token: &&String| token.len() > 8 && token.starts_with("zq7-");
        let mut secrets = secrets_of(self.credential);
        secrets.extend(self.recent_tokens.iter().filter(is_searched).cloned());
        let encoded: Vec<_> = secrets.iter().map(|s| percent_encoded(s)).collect();
        let beginnings = secrets.iter().chain(&encoded).map(|s| shown::beginning(s));
        self.secrets = beginnings.collect();
        self.secrets.sort();
        self.secrets.dedup();
    }

    /// Records a digest with a nonce and its count. Returns whether it is the first one.
    pub(super) fn digest_arrived(&mut self, nonce: Vec<u8>, count: Vec<u8>) -> bool {
        self.nonces.insert(nonce.clone());
        self.counts.insert((nonce, count))
    }

    pub(super) fn nonces_received(&self) -> usize {
        self.nonces.len()
    }

    /// Returns a transport's failure, whose text repeats all secrets of the session.
    pub(super) fn failure(&self, kind: FailureKind) -> Failure {
        let secrets = secrets_of(self.credential).join(" ");
        let tokens: Vec<&str> = self.recent_tokens.iter().map(String::as_str).collect();
        let text = format!("cable pulled by {secrets} {}", tokens.join(" "));
        let failure = Failure::new(kind, std::io::Error::other(text));
        assert_eq!(failure.kind(), kind);
        failure
    }

    /// Returns a response of the input. If it repeats all secrets, it also repeats the latest tokens.
    pub(super) fn response(&self, response: ServerResponse) -> Response<Vec<u8>> {
        let mut sent = response.response;
        if response.repeats_secrets {
            let tokens = self.recent_tokens.iter();
            let tokens: String = tokens
                .map(|token| format!("<{token}|{}>", percent_encoded(token)))
                .collect();
            let tokens = serde_json::to_string(&tokens).expect("a text can be serialized");
            let body = input::text(sent.body());
            let body = body.replace(TOKENS_PLACEHOLDER, tokens.trim_matches('"'));
            *sent.body_mut() = body.into();
        }
        sent
    }

    /// Returns a token that was not issued before.
    pub(super) fn fresh_token(&self) -> String {
        format!("zq7-{}-of-a-friend", self.tokens.len())
    }

    /// Returns the response of Atlas: a token, a challenge, or a result.
    pub(super) fn atlas_response(
        &self,
        request: &AnyRequest,
        is_token: bool,
        is_signed: bool,
    ) -> Response<Vec<u8>> {
        if is_token {
            return Response::new(format!(r#"{{"access_token":"{}"}}"#, self.fresh_token()).into());
        }
        if is_signed {
            return Response::new(request.usual_body().to_vec());
        }
        let nonce = self.nonces.len();
        challenge(
            401,
            &format!(r#"Digest realm="r", nonce="n{nonce}", qop="auth""#),
        )
    }
}

/// Returns an empty response with a challenge.
pub(super) fn challenge(status: u16, challenge: &str) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::from_u16(status).expect("a valid status");
    let challenge = HeaderValue::from_str(challenge).expect("a challenge is ASCII");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

pub(super) fn credentials(credential: CredentialType) -> Credentials {
    let credentials = match credential {
        CredentialType::Bearer => Credentials::bearer(BEARER),
        CredentialType::ServiceAccount => Credentials::service_account(CLIENT_ID, CLIENT_SECRET),
        CredentialType::ApiKey => Credentials::api_key(PUBLIC_KEY, PRIVATE_KEY),
    };
    let credentials = credentials.expect("the credentials are valid");
    shown::assert_debug_has_no_secret(&credentials, &all_secrets());
    credentials
}
