//! A model of the emulated Atlas: the response that a request must get by the documentation of the emulator (its README and
//! the front page of its rustdoc), and by RFC 6749, 6750, 7009 and 7616.
//!
//! It knows what is served ([`Facts`]), but none of the emulator's code. Nonces and access tokens are random, so it learns
//! their texts from the responses.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use atlas_model_keys_core::ApiVersion;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName};
use http::{Method, Request, Uri};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::digest_answer;
use crate::generators::emulator::Setup;
use crate::generators::world::{Account, Facts, GroupFacts};

const PREVIEW: &str = "preview";
const DATED: &str = "2025-03-12";
const FIRST_OF_GROUPS: &str = "2023-01-01";

/// The most live tokens of a service account.
const MAX_TOKENS: usize = 100;

/// The response that must come.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) challenge: Challenge,
    /// The value of `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    /// The capacity of the token bucket, and what remains of it.
    pub(crate) rate_limit: Option<[u64; 2]>,
    /// The accepted credential: its kind, and its name unless it is an access token.
    pub(crate) credential: Option<(&'static str, Option<String>)>,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// An error with this code. The JSON has the status once more in an envelope.
    Error {
        code: Option<&'static str>,
        has_envelope: bool,
    },
    /// An error of RFC 6749.
    OauthError(&'static str),
    /// A new token, and its lifetime in seconds.
    Token(u64),
    Empty,
    Json {
        version: &'static str,
        value: Value,
        is_pretty: bool,
    },
}

#[derive(Debug, PartialEq)]
pub(crate) enum Challenge {
    None,
    Basic,
    InvalidToken,
    Digest { stale: bool },
}

/// A kind of credential, and its index among these.
type Holder = (Kind, usize);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ApiKey,
    ServiceAccount,
    AccessToken,
}

struct Nonce {
    issued: Duration,
    last_count: u32,
}

struct Token {
    text: String,
    holder: Holder,
    expires: Option<Duration>,
}

struct Bucket {
    /// The tokens, multiplied by the seconds in which the bucket is refilled.
    level: u64,
    at: u64,
}

/// The state that responses depend on.
pub(crate) struct Model {
    setup: Setup,
    facts: Rc<Facts>,
    nonces: HashMap<String, Nonce>,
    tokens: Vec<Token>,
    buckets: HashMap<String, Bucket>,
    /// The account of the token that the response must have.
    issued_to: Option<usize>,
}

/// The parameters of a query that all operations share.
struct View {
    envelope: bool,
    pretty: bool,
}

enum Route<'p> {
    Token,
    Revoke,
    Groups,
    Keys {
        is_group: bool,
        owner: &'p str,
        key: Option<&'p str>,
    },
}

/// The requested page, and whether the total number is wanted.
struct Paging {
    per_page: usize,
    number: usize,
    has_count: bool,
}

impl Model {
    pub(crate) fn new(setup: Setup, facts: Rc<Facts>) -> Self {
        let tokens = facts.access_tokens.iter().enumerate();
        Self {
            tokens: tokens
                .map(|(index, account)| Token {
                    text: account.name.clone(),
                    holder: (Kind::AccessToken, index),
                    expires: None,
                })
                .collect(),
            setup,
            facts,
            nonces: HashMap::new(),
            buckets: HashMap::new(),
            issued_to: None,
        }
    }

    /// Returns the response that the request must get, or `None` if no document says what the request means.
    pub(crate) fn expect(&mut self, request: &Request<Vec<u8>>, now: Duration) -> Option<Expected> {
        self.issued_to = None;
        let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let query: Vec<(String, String)> = query.into_owned().collect();
        let is_true =
            |name| value(&query, name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let view = View {
            envelope: is_true("envelope"),
            pretty: is_true("pretty"),
        };
        let path = decode_unreserved(request.uri().path());
        let Some(route) = route(&path) else {
            return Some(error(404, "RESOURCE_NOT_FOUND", &view));
        };
        let is_oauth = matches!(route, Route::Token | Route::Revoke);
        let allowed: &[Method] = match is_oauth {
            true => &[Method::POST],
            false => &[Method::GET, Method::HEAD],
        };
        if !allowed.contains(request.method()) {
            return Some(error(405, "METHOD_NOT_ALLOWED", &view));
        }
        if is_oauth {
            return self.oauth(request, matches!(route, Route::Revoke), now);
        }
        let holder = match self.authenticate(request, now) {
            Ok(holder) => holder,
            Err(challenge) => return Some(unauthenticated(challenge)),
        };
        let asked = asked_versions(request.headers())?;
        let result = self.serve(
            request.uri(),
            request.headers(),
            &query,
            &view,
            route,
            holder,
            &asked,
            now,
        );
        let mut expected = result.unwrap_or_else(|error| *error);
        expected.credential = Some(self.name(holder));
        Some(expected)
    }

    /// Learns nonces and tokens from a response.
    pub(crate) fn observe(&mut self, nonce: Option<&str>, token: Option<&str>, now: Duration) {
        if let Some(nonce) = nonce {
            let issued = Nonce {
                issued: now,
                last_count: 0,
            };
            let known = self.nonces.insert(nonce.to_owned(), issued);
            assert!(known.is_none(), "a nonce was issued twice");
        }
        if let (Some(token), Some(account)) = (token, self.issued_to) {
            assert!(self.tokens.iter().all(|known| known.text != token));
            self.tokens.push(Token {
                text: token.to_owned(),
                holder: (Kind::ServiceAccount, account),
                expires: Some(now.saturating_add(self.setup.token_ttl())),
            });
        }
    }

    fn account(&self, (kind, index): Holder) -> &Account {
        match kind {
            Kind::ApiKey => &self.facts.api_keys[index],
            Kind::ServiceAccount => &self.facts.service_accounts[index],
            Kind::AccessToken => &self.facts.access_tokens[index],
        }
    }

    fn name(&self, holder: Holder) -> (&'static str, Option<String>) {
        let name = || Some(self.account(holder).name.clone());
        match holder.0 {
            Kind::ApiKey => ("apiKey", name()),
            Kind::ServiceAccount => ("serviceAccount", name()),
            Kind::AccessToken => ("accessToken", None),
        }
    }

    fn oauth(
        &mut self,
        request: &Request<Vec<u8>>,
        is_revocation: bool,
        now: Duration,
    ) -> Option<Expected> {
        let headers = request.headers();
        // Which of several values counts is not documented.
        let one = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            let first = values
                .next()
                .map(|value| value.to_str().unwrap_or_default());
            values.next().is_none().then_some(first.unwrap_or_default())
        };
        let refused = |status, code| expected(status, Content::OauthError(code));
        let Some(account) = self.basic(one(AUTHORIZATION)?) else {
            one(CONTENT_TYPE)?;
            return Some(Expected {
                challenge: Challenge::Basic,
                ..refused(401, "invalid_client")
            });
        };
        let media_type = one(CONTENT_TYPE)?.split(';').next().unwrap_or_default();
        let is_form = media_type
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let form: Vec<_> = form_urlencoded::parse(request.body()).collect();
        // RFC 6749 §3.2: an empty value counts as none, and a parameter must not be repeated.
        let only = |name| {
            let mut values = form
                .iter()
                .filter(|(n, value)| n == name && !value.is_empty());
            let (_, value) = values.next()?;
            values.next().is_none().then_some(&**value)
        };
        let mut response = match (is_form, is_revocation) {
            (false, _) => refused(400, "invalid_request"),
            (true, true) => match only("token") {
                None => refused(400, "invalid_request"),
                Some(token) => {
                    // A token of another holder stays valid.
                    let holder = (Kind::ServiceAccount, account);
                    self.tokens
                        .retain(|known| known.text != token || known.holder != holder);
                    expected(200, Content::Empty)
                }
            },
            (true, false) => match only("grant_type") {
                None => refused(400, "invalid_request"),
                Some("client_credentials") => self.issue(account, now),
                Some(_) => refused(400, "unsupported_grant_type"),
            },
        };
        response.credential = Some(self.name((Kind::ServiceAccount, account)));
        Some(response)
    }

    fn issue(&mut self, account: usize, now: Duration) -> Expected {
        self.tokens
            .retain(|token| token.expires.is_none_or(|expires| now < expires));
        let holder = (Kind::ServiceAccount, account);
        let live = self
            .tokens
            .iter()
            .filter(|token| token.holder == holder)
            .count();
        if live >= MAX_TOKENS {
            return expected(403, Content::OauthError("access_denied"));
        }
        self.issued_to = Some(account);
        expected(200, Content::Token(self.setup.token_ttl().as_secs()))
    }

    /// Returns the index of the service account that a value of `Authorization` belongs to.
    fn basic(&self, authorization: &str) -> Option<usize> {
        let (scheme, pair) = authorization.split_once(' ')?;
        let pair = BASE64_STANDARD.decode(pair.trim()).ok()?;
        let accounts = &self.facts.service_accounts;
        accounts.iter().position(|Account { name, secret, .. }| {
            scheme.eq_ignore_ascii_case("Basic") && format!("{name}:{secret}").as_bytes() == pair
        })
    }

    fn authenticate(
        &mut self,
        request: &Request<Vec<u8>>,
        now: Duration,
    ) -> Result<Holder, Challenge> {
        const ASKED: Challenge = Challenge::Digest { stale: false };
        let mut values = request.headers().get_all(AUTHORIZATION).iter();
        let value = values.next().map(|value| value.as_bytes()).ok_or(ASKED)?;
        let space = value.iter().position(|byte| *byte == b' ').ok_or(ASKED)?;
        let (scheme, rest) = (&value[..space], &value[space + 1..]);
        if values.next().is_some() {
            return Err(ASKED);
        }
        if scheme.eq_ignore_ascii_case(b"Bearer") {
            let text = std::str::from_utf8(rest).unwrap_or_default().trim();
            let is_live = |token: &&Token| {
                token.text == text && token.expires.is_none_or(|expires| now < expires)
            };
            let token = self.tokens.iter().find(is_live);
            return token
                .map(|token| token.holder)
                .ok_or(Challenge::InvalidToken);
        }
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return Err(ASKED);
        }
        let answer = std::str::from_utf8(rest)
            .ok()
            .and_then(digest_answer::Answer::parse)
            .ok_or(ASKED)?;
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let keys = &self.facts.api_keys;
        let index = keys
            .iter()
            .position(|key| answer.is_of(&key.name))
            .ok_or(ASKED)?;
        let is_offered = self.setup.digest().contains(&answer.algorithm);
        let key = &keys[index];
        if answer.realm != "MMS Public API"
            || answer.uri != target
            || !is_offered
            || answer.response
                != answer.right_response(&key.name, &key.secret, request.method().as_str())
        {
            return Err(ASKED);
        }
        // RFC 7616 §3.3: the password is right, so the challenge is stale.
        let ttl = self.setup.nonce_ttl();
        let nonce = self.nonces.get_mut(&answer.nonce);
        let nonce = nonce.filter(|nonce| {
            now.saturating_sub(nonce.issued) < ttl && answer.count > nonce.last_count
        });
        let nonce = nonce.ok_or(Challenge::Digest { stale: true })?;
        nonce.last_count = answer.count;
        Ok((Kind::ApiKey, index))
    }

    #[expect(clippy::too_many_arguments, reason = "all parts of a request")]
    fn serve(
        &mut self,
        uri: &Uri,
        headers: &HeaderMap,
        query: &[(String, String)],
        view: &View,
        route: Route<'_>,
        holder: Holder,
        asked: &[String],
        now: Duration,
    ) -> Result<Expected, Box<Expected>> {
        let facts = Rc::clone(&self.facts);
        let roles = self.account(holder).roles.clone();
        let (version, bucket, value) = match route {
            Route::Groups => {
                let is_served =
                    |version: &&String| version.as_str() >= FIRST_OF_GROUPS && *version != PREVIEW;
                if !asked.iter().any(|version| is_served(&version)) {
                    return Err(error(406, "INVALID_VERSION_DATE", view).into());
                }
                let paging =
                    Paging::parse(query, true).ok_or(error(400, "VALIDATION_ERROR", view))?;
                let groups = facts
                    .groups
                    .iter()
                    .filter(|group| sees_group(roles.as_deref(), group));
                let value = self.page(
                    groups.collect(),
                    |group| group_value(group),
                    &paging,
                    view,
                    uri,
                    headers,
                );
                (FIRST_OF_GROUPS, "groups", value)
            }
            Route::Keys {
                is_group,
                owner,
                key,
            } => {
                let version = self.key_version(asked, view)?;
                let is_id = owner.len() == 24
                    && owner
                        .bytes()
                        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let owned = |group: &&GroupFacts| {
                    is_group && group.id == owner || !is_group && group.org == owner
                };
                let groups: Vec<_> = facts.groups.iter().filter(owned).collect();
                let allowed = match (is_group, groups.first()) {
                    (true, Some(group)) => lists_group(&facts, roles.as_deref(), group),
                    (true, None) if is_id => return Err(error(404, "GROUP_NOT_FOUND", view).into()),
                    (false, _) if facts.orgs.iter().any(|org| org == owner) => {
                        lists_org(roles.as_deref(), owner)
                    }
                    _ => return Err(error(404, "RESOURCE_NOT_FOUND", view).into()),
                };
                if !allowed {
                    return Err(error(401, "USER_UNAUTHORIZED", view).into());
                }
                let keys = groups.iter().flat_map(|group| &group.keys);
                let show = |key: &Map<String, Value>| {
                    key_value(key, version == DATED, self.setup.has_secrets())
                };
                let value = match key {
                    Some(key) => {
                        let mut keys = keys.filter(|fields| fields["apiKeyId"] == key);
                        let key = keys.next().ok_or(error(404, "RESOURCE_NOT_FOUND", view))?;
                        flags(query).ok_or(error(400, "VALIDATION_ERROR", view))?;
                        match view.envelope {
                            true => json!({ "content": show(key), "status": 200 }),
                            false => show(key),
                        }
                    }
                    None => {
                        let paging = Paging::parse(query, false).ok_or(error(
                            400,
                            "VALIDATION_ERROR",
                            view,
                        ))?;
                        self.page(keys.collect(), |key| show(key), &paging, view, uri, headers)
                    }
                };
                let bucket = match is_group && self.setup.has_shared_limit() {
                    true => "all groups",
                    false => owner,
                };
                (version, bucket, value)
            }
            Route::Token | Route::Revoke => {
                return Err(error(404, "RESOURCE_NOT_FOUND", view).into());
            }
        };
        let remaining = self
            .take(bucket, now.as_secs())
            .map_err(|[capacity, seconds]| Expected {
                retry_after: Some(seconds),
                rate_limit: Some([capacity, 0]),
                ..error(429, "RATE_LIMITED", view)
            })?;
        Ok(Expected {
            rate_limit: remaining,
            ..expected(
                200,
                Content::Json {
                    version,
                    value,
                    is_pretty: view.pretty,
                },
            )
        })
    }

    /// Returns the version in which a request gets its keys.
    fn key_version(&self, asked: &[String], view: &View) -> Result<&'static str, Box<Expected>> {
        let is_gone = |version: &str| version == PREVIEW && self.setup.is_preview_withdrawn();
        let served = asked.iter().find_map(|version| {
            let served = [PREVIEW, DATED]
                .into_iter()
                .find(|served| served == version)?;
            (!is_gone(served)).then_some(served)
        });
        served.ok_or_else(|| match asked.iter().any(|version| is_gone(version)) {
            true => error(410, "VERSION_GONE", view).into(),
            false => error(406, "INVALID_VERSION_DATE", view).into(),
        })
    }

    /// Takes a token from a bucket. Returns the capacity and the rest, or else the capacity and the seconds until there is one.
    fn take(&mut self, bucket: &str, now: u64) -> Result<Option<[u64; 2]>, [u64; 2]> {
        let Some([capacity, refill, seconds]) =
            self.setup.rate_limit().map(|limit| limit.map(u64::from))
        else {
            return Ok(None);
        };
        let full = capacity * seconds;
        let bucket = self.buckets.entry(bucket.to_owned()).or_insert(Bucket {
            level: full,
            at: now,
        });
        // If the clock goes back, the bucket is refilled from then on.
        bucket.level = full.min(bucket.level + now.saturating_sub(bucket.at) * refill);
        bucket.at = now;
        match bucket.level.checked_sub(seconds) {
            Some(rest) => {
                bucket.level = rest;
                Ok(Some([capacity, rest / seconds]))
            }
            None => Err([capacity, (seconds - bucket.level).div_ceil(refill)]),
        }
    }

    fn page<T>(
        &self,
        items: Vec<T>,
        show: impl Fn(&T) -> Value,
        paging: &Paging,
        view: &View,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Value {
        let total = items.len();
        let mut pages = items.chunks(paging.per_page);
        let number_of_pages = pages.len();
        let results = pages.nth(paging.number - 1).unwrap_or_default();
        let results: Value = results.iter().map(show).collect();
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let base = match self.setup.link_base() {
            Some(base) => base.to_owned(),
            None => format!(
                "{}://{}",
                uri.scheme_str().unwrap_or("http"),
                authority.or(host).unwrap_or_default()
            ),
        };
        let resource = format!("{base}{}", uri.path());
        // The other parameters follow as they were sent.
        let others = uri.query().unwrap_or_default().split('&').filter(|pair| {
            let mut decoded = form_urlencoded::parse(pair.as_bytes());
            decoded
                .next()
                .is_some_and(|(name, _)| name != "itemsPerPage" && name != "pageNum")
        });
        let others: String = others.map(|pair| format!("&{pair}")).collect();
        let (per_page, number) = (paging.per_page, paging.number);
        let neighbour = |rel: &str, number: usize| {
            let href = format!("{resource}?itemsPerPage={per_page}&pageNum={number}{others}");
            json!({ "rel": rel, "href": href })
        };
        let mut links = Vec::new();
        if number > 1 {
            links.push(neighbour("previous", number - 1));
        }
        let href = format!("{resource}?pageNum={number}&itemsPerPage={per_page}{others}");
        links.push(json!({ "rel": "self", "href": href }));
        if number < number_of_pages {
            links.push(neighbour("next", number + 1));
        }
        // The macro would copy them.
        let mut page = Map::new();
        page.insert("links".to_owned(), Value::Array(links));
        page.insert("results".to_owned(), results);
        if view.envelope {
            page.insert("status".to_owned(), json!(200));
        }
        let count = self
            .setup
            .total_count()
            .unwrap_or(u64::try_from(total).ok());
        if let Some(count) = count.filter(|_| paging.has_count) {
            page.insert("totalCount".to_owned(), json!(count));
        }
        page.into()
    }
}

impl Paging {
    /// Returns `None` if a parameter is not valid.
    fn parse(query: &[(String, String)], is_of_groups: bool) -> Option<Self> {
        let number = |name, default, max| {
            let Some(text) = value(query, name) else {
                return Some(default);
            };
            let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            // More digits than those of a `u128` are too many in any case, unless they are zeros.
            let number = text
                .trim_start_matches('0')
                .parse::<u128>()
                .ok()
                .filter(|_| is_number)?;
            usize::try_from(number)
                .ok()
                .filter(|number| (1..=max).contains(number))
        };
        flags(query)?;
        Some(Self {
            per_page: number("itemsPerPage", 100, 500)?,
            number: number("pageNum", 1, 2_147_483_647)?,
            has_count: !is_of_groups || flag(query, "includeCount")?.unwrap_or(true),
        })
    }
}

/// Returns the first value of a parameter.
fn value<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    query
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
}

/// Returns the value of a parameter that is true or false, or `None` if it is neither.
fn flag(query: &[(String, String)], name: &str) -> Option<Option<bool>> {
    match value(query, name).map(str::to_ascii_lowercase).as_deref() {
        None => Some(None),
        Some("true") => Some(Some(true)),
        Some("false") => Some(Some(false)),
        Some(_) => None,
    }
}

/// Returns `None` if one of the parameters of the view is neither true nor false.
fn flags(query: &[(String, String)]) -> Option<()> {
    flag(query, "envelope")?;
    flag(query, "pretty")?;
    Some(())
}

fn expected(status: u16, content: Content) -> Expected {
    Expected {
        status,
        content,
        challenge: Challenge::None,
        retry_after: None,
        rate_limit: None,
        credential: None,
    }
}

fn error(status: u16, code: &'static str, view: &View) -> Expected {
    let content = Content::Error {
        code: Some(code),
        has_envelope: view.envelope,
    };
    expected(status, content)
}

fn unauthenticated(challenge: Challenge) -> Expected {
    let content = Content::Error {
        code: None,
        has_envelope: false,
    };
    Expected {
        challenge,
        ..expected(401, content)
    }
}

/// Returns the versions of `Accept`, the one with the highest weight first, or `None` if a weight is not valid.
fn asked_versions(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut asked = Vec::new();
    let values = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let version = media_type.strip_prefix("application/vnd.atlas.");
        let Some(version) = version.and_then(|version| version.strip_suffix("+json")) else {
            continue;
        };
        if ApiVersion::new(version).is_err() {
            continue;
        }
        let weight = match (parts.next(), parts.next()) {
            (None, _) => 1000,
            (Some(weight), None) => weight_of(weight.strip_prefix("q=")?)?,
            _ => return None,
        };
        if weight > 0 {
            asked.push((1000 - weight, version.to_owned()));
        }
    }
    asked.sort_by_key(|(rank, _)| *rank);
    Some(asked.into_iter().map(|(_, version)| version).collect())
}

/// Returns a weight in thousandths (RFC 9110 §12.4.2).
fn weight_of(text: &str) -> Option<u32> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = ["0", "1"].contains(&whole)
        && digits.len() <= 3
        && digits.bytes().all(|b| b.is_ascii_digit());
    let weight = format!("{whole}{digits:0<3}").parse().ok()?;
    (is_valid && weight <= 1000).then_some(weight)
}

/// Decodes the percent-encoded characters that need no encoding (RFC 3986 §6.2.2.2).
pub(crate) fn decode_unreserved(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let digits = rest
            .get(at + 1..at + 3)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte
            .map(char::from)
            .filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c))
        {
            Some(c) => {
                decoded.push(c);
                rest = &rest[at + 3..];
            }
            None => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

fn route(path: &str) -> Option<Route<'_>> {
    let segments: Vec<&str> = path.split('/').collect();
    let route = match segments.as_slice() {
        ["", "api", "oauth", "token"] => Route::Token,
        ["", "api", "oauth", "revoke"] => Route::Revoke,
        ["", "api", "atlas", "v2", "groups"] => Route::Groups,
        [
            "",
            "api",
            "atlas",
            "v2",
            kind @ ("groups" | "orgs"),
            owner,
            "aiModelApiKeys",
            key @ ..,
        ] => {
            let is_valid = !owner.is_empty() && key.len() <= 1 && !key.contains(&"");
            is_valid.then_some(Route::Keys {
                is_group: *kind == "groups",
                owner,
                key: key.first().copied(),
            })?
        }
        _ => return None,
    };
    Some(route)
}

type RolesOf<'r> = Option<&'r [(&'static str, String)]>;

fn has_role(roles: &[(&'static str, String)], names: &[&str], id: &str) -> bool {
    roles
        .iter()
        .any(|(name, of)| names.contains(name) && of == id)
}

const IN_GROUP: [&str; 3] = ["GROUP_OWNER", "GROUP_MODEL_OWNER", "GROUP_READ_ONLY"];

fn lists_group(facts: &Facts, roles: RolesOf<'_>, group: &GroupFacts) -> bool {
    match roles {
        None => facts.forbidden_group.as_ref() != Some(&group.id),
        Some(roles) => {
            has_role(roles, &IN_GROUP, &group.id) || has_role(roles, &["ORG_OWNER"], &group.org)
        }
    }
}

fn lists_org(roles: RolesOf<'_>, org: &str) -> bool {
    roles.is_none_or(|roles| has_role(roles, &["ORG_OWNER", "ORG_READ_ONLY"], org))
}

fn sees_group(roles: RolesOf<'_>, group: &GroupFacts) -> bool {
    lists_org(roles, &group.org) || roles.is_some_and(|roles| has_role(roles, &IN_GROUP, &group.id))
}

fn group_value(group: &GroupFacts) -> Value {
    json!({
        "clusterCount": 1,
        "created": group.created,
        "id": group.id,
        "name": group.name,
        "orgId": group.org,
    })
}

fn key_value(fields: &Map<String, Value>, is_dated: bool, has_secrets: bool) -> Value {
    let is_shown = |name: &str| match name {
        "secret" => has_secrets,
        "cloud" | "endpoint" | "geography" => is_dated,
        _ => true,
    };
    let shown = fields.iter().filter(|(name, _)| is_shown(name));
    let mut key: Map<String, Value> = shown
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if is_dated {
        for name in ["lastUsedAt", "secret"] {
            key.entry(name).or_insert(Value::Null);
        }
    }
    key.into()
}
