//! The world around the session: its clock and settings, a server that issues tokens, and the texts that were shown.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Failure, FailureKind, Limits, Moment, Session,
};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Response, StatusCode};

use super::operations::AnyRequest;
use crate::generators::bytes as input;
use crate::generators::session::{
    BASES, BEARER, CLIENT_ID, CLIENT_SECRET, CREDENTIAL_TYPES, CredentialType, Head,
    NO_RETRY_STATUSES, PINNED_VERSION, PRIVATE_KEY, PUBLIC_KEY, SINGLE_ATTEMPT, SMALL_LIMITS,
    ServerResponse, TOKENS_PLACEHOLDER, WAITS_OUT_RATE_LIMITS, all_secrets, percent_encoded,
    secrets_of,
};
use crate::oracles::session_model::{At, Settings};
use crate::oracles::session_text::ShownTexts;
use crate::oracles::shown::{self, ErrorText};

/// The clock, the settings of the session, and the state of the server.
pub(super) struct World {
    pub(super) credential: CredentialType,
    pub(super) base: BaseUrl,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    /// The pinned version, for the operations that can be pinned.
    pub(super) pinned_version: Option<ApiVersion>,
    pub(super) now: Duration,
    /// The seed of the entropy of moments.
    seed: u64,
    /// The number of tokens that were issued or restored, and those that any text may contain.
    tokens: usize,
    pub(super) odd_tokens: Vec<String>,
    /// The latest tokens, which the session still redacts, newest first.
    recent_tokens: VecDeque<String>,
    pub(super) texts: ShownTexts,
}

static URLS: LazyLock<[BaseUrl; BASES.len()]> =
    LazyLock::new(|| BASES.map(|base| BaseUrl::new(base).expect("a valid base URL")));

impl World {
    pub(super) fn new(head: &Head) -> Self {
        let settings = settings(head);
        let base = BASES.iter().position(|base| *base == head.base);
        let mut texts = ShownTexts::default();
        for form in secret_forms(head.credential) {
            texts.hide(form);
        }
        Self {
            credential: head.credential,
            base: URLS[base.expect("a known base URL")].clone(),
            limits: limits(&settings, head),
            settings,
            pinned_version: (head.flags & PINNED_VERSION != 0)
                .then(|| ApiVersion::new("2026-01-01").expect("a valid version")),
            now: Duration::from_secs(1_790_000_000),
            seed: 0,
            tokens: 0,
            odd_tokens: Vec::new(),
            recent_tokens: VecDeque::new(),
            texts,
        }
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

    /// Returns the current time with fresh entropy, for the session and for the model.
    pub(super) fn moment(&mut self) -> (Moment, At) {
        // SplitMix64: equal inputs have equal entropy, and every bit of it changes.
        let mut entropy = [0; 16];
        for half in entropy.chunks_exact_mut(8) {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            half.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        let [.., a, b, c, d] = entropy;
        // Jitter is made from the last four bytes, the last one being the most significant.
        let random = u32::from_le_bytes([a, b, c, d]);
        let now = self.now;
        let moment = Moment::new(now, entropy);
        assert_eq!((moment.now(), moment.entropy()), (now, entropy));
        (moment, At { now, random })
    }

    /// Moves the clock forward, or back if `by` is negative.
    pub(super) fn move_clock(&mut self, by: i16, milliseconds: u64) {
        let length = Duration::from_millis(u64::from(by.unsigned_abs()) * milliseconds);
        self.now = match by < 0 {
            true => self.now.saturating_sub(length),
            false => self.now.saturating_add(length),
        };
    }

    /// Records a token that the session received. The session may forget an older one.
    pub(super) fn token_arrived(&mut self, token: &str) {
        if self.recent_tokens.len() > 3
            && let Some(forgotten) = self.recent_tokens.pop_back()
            && is_searched(&forgotten)
        {
            self.texts.forget(&forgotten);
            self.texts.forget(&percent_encoded(&forgotten));
        }
        self.recent_tokens.push_front(token.to_owned());
        self.tokens += 1;
        if !is_searched(token) {
            self.odd_tokens.push(token.to_owned());
        } else {
            self.texts.hide(token);
            self.texts.hide(&percent_encoded(token));
        }
    }

    /// Asserts that an error is one line, and collects its text. If a response repeated all secrets, their ends are not
    /// shown either.
    pub(super) fn assert_error(&mut self, error: &Error, repeats_secrets: bool) {
        shown::assert_one_line(error);
        let text = self.texts.add(format_args!("{}", ErrorText(error)));
        if repeats_secrets {
            for form in secret_forms(self.credential) {
                let (start, _) = form.char_indices().nth_back(5).expect("a long secret");
                let is_shown = text.contains(&form[start..]);
                assert!(!is_shown, "the end of a secret is in {text}");
            }
        }
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
        format!("zq7-{}-of-a-friend", self.tokens)
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
        let nonce = self.seed;
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

/// Returns the documented limits, with those that the flags and the input choose.
fn settings(head: &Head) -> Settings {
    let mut settings = Settings::default();
    if head.flags & SMALL_LIMITS != 0 {
        (settings.body_bytes, settings.error_body_bytes) = (400, 300);
        (settings.challenge_bytes, settings.challenges) = (200, 2);
        (settings.headers, settings.head_bytes) = (2, 300);
        (settings.token_bytes, settings.attempts) = (60, 3);
        settings.wait = Duration::from_secs(10);
        settings.total_wait = Duration::from_secs(15);
    }
    if head.flags & SINGLE_ATTEMPT != 0 {
        settings.attempts = 1;
    }
    if head.flags & NO_RETRY_STATUSES != 0 {
        settings.statuses.clear();
    }
    settings.waits_out_rate_limits = head.flags & WAITS_OUT_RATE_LIMITS != 0;
    for (name, value) in &head.limits {
        let (size, seconds) = (usize::from(*value), Duration::from_secs(u64::from(*value)));
        match *name {
            "attempts" => settings.attempts = u32::from(*value),
            // Without any jitter, rate limits that are waited out would never end.
            "base" => settings.base = seconds / 10 + Duration::from_millis(100),
            "cap" => settings.cap = seconds + Duration::from_secs(1),
            "wait" => settings.wait = seconds,
            "total_wait" => settings.total_wait = seconds,
            "challenges" => settings.challenges = size,
            "challenge_bytes" => settings.challenge_bytes = 2 * size,
            "token_bytes" => settings.token_bytes = size,
            "body_bytes" => settings.body_bytes = 4 * size,
            "error_body_bytes" => settings.error_body_bytes = 4 * size,
            "headers" => settings.headers = size,
            "head_bytes" => settings.head_bytes = 2 * size,
            name => assert_eq!(name, "detail_bytes"),
        }
    }
    settings
}

/// Returns the core's limits, in which only those that are not as documented are set.
fn limits(settings: &Settings, head: &Head) -> Limits {
    let documented = Settings::default();
    let mut limits = Limits::default();
    macro_rules! set {
        ($limits:expr, $($name:ident)*) => {
            $(if settings.$name != documented.$name {
                $limits.$name = settings.$name.clone();
            })*
        };
    }
    set!(limits, headers head_bytes body_bytes error_body_bytes token_bytes challenges challenge_bytes);
    set!(limits.retry, attempts base cap wait total_wait statuses waits_out_rate_limits);
    if head.flags & SMALL_LIMITS != 0 {
        (limits.detail_bytes, limits.nesting) = (40, 4);
    }
    for (name, value) in &head.limits {
        if *name == "detail_bytes" {
            // The codes that mean something are shorter.
            limits.detail_bytes = 40 + usize::from(*value);
        }
    }
    limits
}

/// Returns whether a token is searched in texts. Any text may contain a short token, or a restored one, which the input
/// chooses.
fn is_searched(token: &str) -> bool {
    token.len() > 8 && token.starts_with("zq7-")
}

/// Returns the secrets of a credential, plain and percent-encoded.
fn secret_forms(credential: CredentialType) -> &'static [String] {
    static FORMS: LazyLock<[Vec<String>; 3]> = LazyLock::new(|| {
        let mut forms = [const { Vec::new() }; 3];
        for credential in CREDENTIAL_TYPES {
            let plain = secrets_of(credential);
            let encoded = plain.iter().map(|secret| percent_encoded(secret));
            forms[credential as usize] = encoded.chain(plain.iter().cloned()).collect();
        }
        forms
    });
    &FORMS[credential as usize]
}

pub(super) fn credentials(credential: CredentialType) -> Credentials {
    static CREDENTIALS: LazyLock<[Credentials; 3]> = LazyLock::new(|| {
        [
            Credentials::bearer(BEARER),
            Credentials::service_account(CLIENT_ID, CLIENT_SECRET),
            Credentials::api_key(PUBLIC_KEY, PRIVATE_KEY),
        ]
        .map(|credentials| {
            let credentials = credentials.expect("the credentials are valid");
            shown::assert_debug_has_no_secret(&credentials, &all_secrets());
            credentials
        })
    });
    CREDENTIALS[credential as usize].clone()
}
