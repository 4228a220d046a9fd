//! OAuth 2.0: access tokens, and the two endpoints that issue and revoke them.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::credentials::{CredentialId, CredentialKind, ServiceAccount};
use crate::prng::{self, Prng};
use crate::query;

/// The maximum number of live tokens of a service account.
const MAX_LIVE_TOKENS: usize = 100;

/// The live tokens, issued and existing from the start.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    ttl: Duration,
    prng: Prng,
    live: Vec<Token>,
}

#[derive(Clone)]
struct Token {
    text: String,
    holder: CredentialId,
    /// `None` means never.
    expires: Option<Duration>,
}

/// Does not show the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("holder", &self.holder)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Token {
    fn is_live(&self, now: Duration) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Tokens {
    pub(crate) fn new(seed: u64, ttl: Duration) -> Self {
        Self {
            ttl,
            prng: Prng::stream(seed, "tokens"),
            live: Vec::new(),
        }
    }

    /// Returns the credential that a live token belongs to, or `None` for any other text.
    pub(crate) fn holder(&self, text: &str, now: Duration) -> Option<CredentialId> {
        self.live
            .iter()
            .find(|token| token.text == text && token.is_live(now))
            .map(|token| token.holder)
    }

    /// Adds a token. `None` means that it does not expire.
    pub(crate) fn add(&mut self, text: String, holder: CredentialId, expires: Option<Duration>) {
        self.live.push(Token {
            text,
            holder,
            expires,
        });
    }

    /// Revokes a token of this holder.
    fn revoke(&mut self, text: &str, holder: CredentialId) {
        self.live
            .retain(|token| token.text != text || token.holder != holder);
    }

    /// Lets no token be older than this time, which is before the present one.
    pub(crate) fn begin_at(&mut self, time: Duration) {
        let latest = time.saturating_add(self.ttl);
        for expires in self
            .live
            .iter_mut()
            .filter_map(|token| token.expires.as_mut())
        {
            *expires = latest.min(*expires);
        }
    }

    /// Never issues a token that the other one has issued: a client may still have it.
    pub(crate) fn continue_after(&mut self, other: &Self) {
        self.prng = other.prng.clone();
    }

    pub(crate) fn revoke_all(&mut self) {
        self.live.clear();
    }

    /// Issues a token to a service account, or returns `None` if it has the maximum number.
    fn issue(&mut self, account: CredentialId, now: Duration) -> Option<String> {
        self.live.retain(|token| token.is_live(now));
        let of_account = self.live.iter().filter(|token| token.holder == account);
        (of_account.count() < MAX_LIVE_TOKENS).then(|| {
            let text = self.text();
            self.add(text.clone(), account, Some(now.saturating_add(self.ttl)));
            text
        })
    }

    /// Generates a token. It looks like a JWT, as Atlas's tokens do, but clients must treat it as opaque.
    pub(crate) fn text(&mut self) -> String {
        let mut part = |length| self.prng.text(prng::BASE64_URL, length);
        format!("eyJ{}.eyJ{}.{}", part(33), part(157), part(86))
    }
}

/// Handles `POST /api/oauth/token` for this account, which is that of [`account_of`].
pub(crate) fn token(
    tokens: &mut Tokens,
    account: Option<CredentialId>,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Response<Vec<u8>> {
    let (account, form) = match authenticated_form(account, headers, body) {
        Ok(authenticated) => authenticated,
        Err(error) => return error.into_response(),
    };
    match parameter(&form, "grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            return OAuthError {
                status: StatusCode::BAD_REQUEST,
                error: "unsupported_grant_type",
                description: "The only supported grant type is client_credentials.",
            }
            .into_response();
        }
        None => {
            return OAuthError::invalid_request("grant_type is required, once.").into_response();
        }
    }
    let Some(access_token) = tokens.issue(account, now) else {
        return OAuthError {
            status: StatusCode::FORBIDDEN,
            error: "access_denied",
            description: "The service account has reached its limit of 100 active tokens.",
        }
        .into_response();
    };
    json(
        StatusCode::OK,
        &TokenResponse {
            access_token: &access_token,
            expires_in: tokens.ttl.as_secs(),
            token_type: "Bearer",
        },
    )
}

/// Handles `POST /api/oauth/revoke` for this account. An unknown token is no error (RFC 7009 §2.2), and neither is a token of
/// another holder, which stays valid.
pub(crate) fn revoke(
    tokens: &mut Tokens,
    account: Option<CredentialId>,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Vec<u8>> {
    let (account, form) = match authenticated_form(account, headers, body) {
        Ok(authenticated) => authenticated,
        Err(error) => return error.into_response(),
    };
    let Some(token) = parameter(&form, "token") else {
        return OAuthError::invalid_request("token is required, once.").into_response();
    };
    tokens.revoke(&token, account);
    Response::new(Vec::new())
}

/// Returns the value of a parameter that must be given exactly once. An empty value counts as none (RFC 6749
/// §3.2).
fn parameter(form: &str, name: &str) -> Option<String> {
    let mut values = query::pairs(form).filter(|(n, value)| n == name && !value.is_empty());
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// Returns the service account whose credential the request has.
pub(crate) fn account_of(accounts: &[ServiceAccount], headers: &HeaderMap) -> Option<CredentialId> {
    let pair = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Basic"))
        .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
    // Like Atlas, this does not percent-decode the pair, so a pair that was encoded first is refused.
    let is_pair_of = |account: &ServiceAccount| {
        let secret = pair
            .as_deref()?
            .strip_prefix(account.client_id.as_bytes())?;
        Some(secret.strip_prefix(b":")? == account.client_secret.as_bytes())
    };
    let mut accounts = accounts.iter();
    let index = accounts.position(|account| is_pair_of(account) == Some(true))?;
    Some(CredentialId::new(CredentialKind::ServiceAccount, index))
}

/// Returns the service account and the form in the body, if the request has the credential of an account.
fn authenticated_form(
    account: Option<CredentialId>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(CredentialId, String), OAuthError> {
    let account = account.ok_or(OAuthError {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        description: "Invalid credentials provided.",
    })?;
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
        return Err(OAuthError::invalid_request(
            "The content type must be application/x-www-form-urlencoded.",
        ));
    }
    Ok((account, String::from_utf8_lossy(body).into_owned()))
}

#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    expires_in: u64,
    token_type: &'static str,
}

/// An error of RFC 6749 §5.2. Its `error` is a string; in Atlas's other errors it is a number.
struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct OAuthErrorBody {
    error: &'static str,
    error_description: &'static str,
}

impl OAuthError {
    fn invalid_request(description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            description,
        }
    }

    fn into_response(self) -> Response<Vec<u8>> {
        let body = OAuthErrorBody {
            error: self.error,
            error_description: self.description,
        };
        let mut response = json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"MMS Public API\""),
            );
        }
        response
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Vec<u8>> {
    // Serializing these structs cannot fail.
    let mut response = Response::new(serde_json::to_vec(body).unwrap_or_default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    // RFC 6749 §5.1.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
