//! OAuth 2.0: access tokens, and the two endpoints that give and take them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::credentials::{Credential, ServiceAccount};
use crate::prng::{self, Prng};
use crate::query;

/// How many live tokens a service account may have.
const MAX_LIVE_TOKENS: usize = 100;

/// The tokens that were handed out.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    ttl: Duration,
    prng: Prng,
    live: Vec<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    holder: Credential,
    /// `None`: never.
    expires: Option<Duration>,
}

impl Token {
    fn is_live(&self, now: Duration) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Tokens {
    /// With one token handed out beforehand, which does not expire.
    pub(crate) fn new(seed: u64, ttl: Duration) -> (Self, String) {
        let mut tokens = Self {
            ttl,
            prng: Prng::stream(seed, "tokens"),
            live: Vec::new(),
        };
        let text = tokens.hand_out(Credential::AccessToken, None);
        (tokens, text)
    }

    /// Whose token this is, if it is one and lives.
    pub(crate) fn holder(&self, text: &str, now: Duration) -> Option<Credential> {
        self.live
            .iter()
            .find(|token| token.text == text && token.is_live(now))
            .map(|token| token.holder)
    }

    pub(crate) fn revoke(&mut self, text: &str) {
        self.live.retain(|token| token.text != text);
    }

    pub(crate) fn revoke_all(&mut self) {
        self.live.clear();
    }

    /// `None` where the service account has as many as it may have.
    fn issue(&mut self, now: Duration) -> Option<String> {
        self.live.retain(|token| token.is_live(now));
        let of_account = self
            .live
            .iter()
            .filter(|token| token.holder == Credential::ServiceAccount);
        (of_account.count() < MAX_LIVE_TOKENS).then(|| {
            let expires = now.saturating_add(self.ttl);
            self.hand_out(Credential::ServiceAccount, Some(expires))
        })
    }

    /// Looks like a JWT, as Atlas's do; clients have no business in looking into it.
    fn hand_out(&mut self, holder: Credential, expires: Option<Duration>) -> String {
        let mut part = |length| self.prng.text(prng::BASE64_URL, length);
        let text = format!("eyJ{}.eyJ{}.{}", part(33), part(157), part(86));
        self.live.push(Token {
            text: text.clone(),
            holder,
            expires,
        });
        text
    }
}

/// `POST /api/oauth/token`.
pub(crate) fn token(
    tokens: &mut Tokens,
    account: &ServiceAccount,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Response<Vec<u8>> {
    let form = match admitted(account, headers, body) {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    match query::value(&form, "grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            return Refusal {
                status: StatusCode::BAD_REQUEST,
                error: "unsupported_grant_type",
                description: "The only supported grant type is client_credentials.",
            }
            .into_response();
        }
        None => return Refusal::invalid_request("grant_type is required.").into_response(),
    }
    let Some(access_token) = tokens.issue(now) else {
        return Refusal {
            status: StatusCode::FORBIDDEN,
            error: "access_denied",
            description: "The service account has reached its limit of 100 active tokens.",
        }
        .into_response();
    };
    json(
        StatusCode::OK,
        &Granted {
            access_token: &access_token,
            expires_in: tokens.ttl.as_secs(),
            token_type: "Bearer",
        },
    )
}

/// `POST /api/oauth/revoke`. An unknown token is no error (RFC 7009 §2.2).
pub(crate) fn revoke(
    tokens: &mut Tokens,
    account: &ServiceAccount,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Vec<u8>> {
    let form = match admitted(account, headers, body) {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(token) = query::value(&form, "token") else {
        return Refusal::invalid_request("token is required.").into_response();
    };
    tokens.revoke(&token);
    Response::new(Vec::new())
}

/// The form, if the service account itself sends one.
fn admitted(account: &ServiceAccount, headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    let pair = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Basic"))
        .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
    let expected = format!("{}:{}", account.client_id, account.client_secret);
    // Compared as it is: whoever percent-encodes the pair first is refused, as by Atlas.
    if pair.as_deref() != Some(expected.as_bytes()) {
        return Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: "Invalid credentials provided.",
        });
    }
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| {
            media_type
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    if !is_form {
        return Err(Refusal::invalid_request(
            "The content type must be application/x-www-form-urlencoded.",
        ));
    }
    Ok(String::from_utf8_lossy(body).into_owned())
}

#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    expires_in: u64,
    token_type: &'static str,
}

/// An error of RFC 6749 §5.2: its `error` is a text, where the rest of Atlas has a number.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct RefusalBody {
    error: &'static str,
    error_description: &'static str,
}

impl Refusal {
    fn invalid_request(description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            description,
        }
    }

    fn into_response(self) -> Response<Vec<u8>> {
        json(
            self.status,
            &RefusalBody {
                error: self.error,
                error_description: self.description,
            },
        )
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Vec<u8>> {
    // These structs always serialise.
    let mut response = Response::new(serde_json::to_vec(body).unwrap_or_default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    // RFC 6749 §5.1.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
