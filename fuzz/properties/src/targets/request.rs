//! Other parsers read a request back unchanged, and a request that cannot be sent is rejected for the right reason.
//!
//! **Input**: twelve bytes of a group's id; a byte of flags for what is set; two bytes of `itemsPerPage`, four of
//! `pageNum`; a short text for a base URL, and one for all parameters that are parsed; then a request to
//! encode: a byte for the method (from [`METHODS`]), a short text for the URI, a byte for the number of headers, a
//! short text each for names and values; the rest is the body.
//!
//! **Properties**
//!
//! - A listing's URI, parsed by `url` and by `http`, has the base URL's origin and prefix, the group's path, and exactly
//!   the parameters that were set.
//! - An accepted base URL, parsed by `url`, is `https` or loopback, has a host, and has no user, query or fragment; it is
//!   unchanged when it is parsed again. An error does not repeat a text that may contain a secret.
//! - A text is the id of a key exactly if it has the documented characters and is no secret; the path of a request then ends
//!   with the id, for `url` and for `http`.
//! - A proxy equals what `url` parses, shows no login, and is bypassed exactly for the hosts of `NO_PROXY`, which a second
//!   implementation matches.
//! - A parameter is accepted exactly if it has the documented form, and keeps its value.
//! - A request is encoded exactly if it can be expressed in HTTP/1.1; `ureq-proto`'s parser for servers then reads the
//!   same method, target, fields and body.
//!
//! **Known differences** of base URLs from `url`, which follows browsers (WHATWG URL §3.5) instead of RFC 3986: it
//! parses a host whose last label is a number as an IPv4 address, in one of many spellings, or rejects it; it validates
//! labels that begin with `xn--`; it normalises IPv6 addresses. `http` accepts UTF-8 in a URI, which RFC 3986 does not
//! allow: the core refuses to encode such a target.

mod proxy;

use std::net::Ipv6Addr;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::wire::{self, EncodeError};
use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Credentials, Failure, FailureKind, GroupId, InvalidValue,
    ItemsPerPage, KeyRequest, ListRequest, OrgId, OrgKeyRequest, PageNum, Session,
};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use url::Url;

use crate::generators::bytes as input;
use crate::oracles::shown;
use crate::oracles::unicode::is_unsafe;

/// Methods of requests.
pub const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
    Method::PUT,
    Method::PATCH,
];

#[derive(Debug)]
struct Input<'a> {
    group: GroupId,
    /// The flags: `itemsPerPage`, `pageNum`, `envelope` and its value, `pretty` and its value, a dated version.
    flags: u8,
    items: u16,
    page: u32,
    base: String,
    text: String,
    request: Option<Request<&'a [u8]>>,
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let id: [u8; 12] = u.arbitrary()?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            group: GroupId::new(&id).expect("24 hexadecimal digits"),
            flags: input::byte(u)?,
            items: u.arbitrary()?,
            page: u.arbitrary()?,
            base: input::text(input::short(u)?),
            text: input::text(input::short(u)?),
            request: read_request(u)?,
        })
    }
}

/// Reads a request, or `None` if its URI is not valid.
fn read_request<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<Option<Request<&'a [u8]>>> {
    let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
    let uri = Uri::try_from(input::short(u)?);
    let mut headers = HeaderMap::new();
    for _ in 0..input::byte(u)? % 6 {
        let name = HeaderName::from_bytes(input::short(u)?);
        let value = HeaderValue::from_bytes(input::short(u)?);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let mut request = Request::new(input::rest(u)?);
    let Ok(uri) = uri else { return Ok(None) };
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    *request.headers_mut() = headers;
    Ok(Some(request))
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let base = parse_base_url(&input.base);
    let base = base.unwrap_or_default();
    check_listing(&input, &base);
    check_key_id(&input, &base);
    proxy::check(&input.base, &input.text);
    check_parameters(&input.text, u32::from(input.items));
    check_credentials(&input.text);
    if let Some(request) = &input.request {
        check_encoding(request);
    }
}

fn check_listing(input: &Input<'_>, base: &BaseUrl) {
    let has = |bit: u8| input.flags & (1 << bit) != 0;
    let mut request = ListRequest::new(input.group);
    let mut expected = Vec::new();
    let items = ItemsPerPage::new(u32::from(input.items))
        .ok()
        .filter(|_| has(0));
    if let Some(items) = items {
        request = request.with_items_per_page(items);
        expected.push(("itemsPerPage".to_owned(), input.items.to_string()));
    }
    let page = PageNum::new(input.page).ok().filter(|_| has(1));
    if let Some(page) = page {
        request = request.with_page_num(page);
        expected.push(("pageNum".to_owned(), input.page.to_string()));
    }
    if has(2) {
        request = request.with_envelope(has(3));
        expected.push(("envelope".to_owned(), has(3).to_string()));
    }
    if has(4) {
        request = request.with_pretty(has(5));
        expected.push(("pretty".to_owned(), has(5).to_string()));
    }
    assert_eq!(request.group(), input.group);
    assert_eq!(request.page_num(), page.unwrap_or(PageNum::FIRST));
    assert_eq!(request.is_enveloped(), has(2) && has(3));
    let version = if has(6) {
        ApiVersion::V2025_03_12
    } else {
        ApiVersion::PREVIEW
    };

    let http = request.to_http(base, &version);
    assert_eq!(http.method(), Method::GET);
    assert_eq!(http.headers()["accept"], version.accept());
    assert_eq!(http.headers().len(), 2);
    let uri = http.uri();
    let text = uri.to_string();
    assert_eq!(text.parse::<Uri>().ok().as_ref(), Some(uri));
    let path = format!(
        "{}/api/atlas/v2/groups/{}/aiModelApiKeys",
        base.path_prefix(),
        input.group
    );
    assert_eq!(uri.path(), path);
    assert_eq!(
        uri.scheme_str().map(|scheme| scheme == "https"),
        Some(base.is_https())
    );
    let authority = uri.authority().expect("the URI is absolute").as_str();
    assert!(base.origin().ends_with(&format!("//{authority}")));
    let pairs = |query: &str| -> Vec<(String, String)> {
        url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    };
    assert_eq!(pairs(uri.query().unwrap_or_default()), expected);
    if let Ok(url) = Url::parse(&text) {
        assert_eq!(url.path(), path);
        assert_eq!(url.query_pairs().into_owned().collect::<Vec<_>>(), expected);
        assert!(url.fragment().is_none() && url.has_host());
    }

    // The request for the next page differs only in the page number.
    let next = request.next_page();
    assert_eq!(next.is_none(), request.page_num().get() == u32::MAX);
    if let Some(next) = next {
        assert_eq!(next.page_num().get(), request.page_num().get() + 1);
        assert_eq!(
            next.with_page_num(request.page_num()),
            request.with_page_num(request.page_num())
        );
    }
}

/// Checks a text as the id of a key, and the requests with it.
fn check_key_id(input: &Input<'_>, base: &BaseUrl) {
    let text = input.text.as_str();
    let is_documented = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
        && text != "."
        && text != "..";
    let id = match text.parse::<ApiKeyId>() {
        Ok(id) => id,
        Err(error) => {
            let is_secret = text.contains("mdb_sa_sk_") || text.starts_with("al-");
            assert!(!is_documented || is_secret);
            assert_rejection(&error, "apiKeyId");
            return;
        }
    };
    assert!(is_documented);
    assert_eq!(
        format!("{id} {id:?} {}", id.as_str()),
        format!("{text} ApiKeyId({text}) {text}")
    );
    let org = OrgId::new(input.group.as_str()).expect("24 hexadecimal digits");
    let version = ApiVersion::V2025_03_12;
    let of_group = KeyRequest::new(input.group, id).to_http(base, &version);
    let of_org = OrgKeyRequest::new(org, id).to_http(base, &version);
    for (request, kind) in [(of_group, "groups"), (of_org, "orgs")] {
        let path = format!(
            "{}/api/atlas/v2/{kind}/{org}/aiModelApiKeys/{text}",
            base.path_prefix()
        );
        let uri = request.uri();
        assert_eq!((uri.path(), uri.query()), (path.as_str(), None));
        if let Ok(url) = Url::parse(&uri.to_string()) {
            assert_eq!((url.path(), url.query()), (path.as_str(), None));
            assert!(url.fragment().is_none() && url.has_host());
        }
    }
}

/// Parses a base URL, and compares it with `url`.
fn parse_base_url(text: &str) -> Option<BaseUrl> {
    let plain = BaseUrl::allowing_plain_http(text);
    let base = match BaseUrl::new(text) {
        Ok(base) => base,
        Err(error) => {
            assert_rejection(&error, "base URL");
            if text.contains(['@', '?', '#', '%']) {
                assert_eq!(
                    error.to_string(),
                    format!("base URL is not valid: {}", error.rule())
                );
            }
            if let Ok(plain) = plain {
                assert!(!plain.is_https() && !plain.is_loopback());
            }
            return None;
        }
    };
    assert_eq!(plain.as_ref(), Ok(&base));
    assert_eq!(text.parse().as_ref(), Ok(&base));
    assert_eq!(BaseUrl::new(base.as_str()).as_ref(), Ok(&base));
    assert_eq!(base.to_string(), base.as_str());
    assert_eq!(format!("{base:?}"), format!("BaseUrl({base})"));
    assert_eq!(
        format!("{}{}", base.origin(), base.path_prefix()),
        base.as_str()
    );
    assert!(base.is_https() || base.is_loopback());
    assert!(!base.as_str().ends_with('/') && base.as_str().is_ascii());

    let host = base
        .origin()
        .split_once("//")
        .map(|(_, host)| host)
        .expect("an origin has a scheme");
    // The known differences are described above.
    let name = host
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches(':');
    let name = if name.is_empty() || !host[name.len()..].starts_with(':') {
        host
    } else {
        name
    };
    let last = name
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    let is_encoded = name.split('.').any(|label| label.starts_with("xn--"));
    if is_number || is_encoded {
        return Some(base);
    }
    let url = Url::parse(base.as_str()).unwrap_or_else(|error| panic!("{base}: {error}"));
    assert_eq!(url.scheme() == "https", base.is_https());
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(url.query().is_none() && url.fragment().is_none());
    assert_eq!(url.path().trim_end_matches('/'), base.path_prefix());
    match url.host().expect("a base URL has a host") {
        url::Host::Domain(domain) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), domain == "localhost");
        }
        url::Host::Ipv4(address) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
        url::Host::Ipv6(address) => {
            let (inside, _) = name
                .split_once(']')
                .expect("an IPv6 address is in brackets");
            assert_eq!(
                inside.trim_start_matches('[').parse::<Ipv6Addr>(),
                Ok(address)
            );
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
    }
    Some(base)
}

/// Asserts that an error names the parameter and the rule, and is safe to show.
fn assert_rejection(error: &InvalidValue, parameter: &str) {
    assert_eq!(error.parameter(), parameter);
    shown::assert_safe(error);
    let line = error.to_string();
    assert!(
        line.starts_with(parameter) && line.ends_with(error.rule()),
        "{line}"
    );
    assert!(line.len() < 400, "{line}");
    assert_eq!(format!("{error:?}"), format!("InvalidValue({line})"));
}

fn check_parameters(text: &str, number: u32) {
    let is_group = text.len() == 24 && text.chars().all(|c| "0123456789abcdef".contains(c));
    match GroupId::new(text) {
        Ok(group) => {
            assert!(is_group);
            assert_eq!(group.as_str(), text);
            assert_eq!(
                format!("{group} {group:?}"),
                format!("{text} GroupId({text})")
            );
            assert_eq!(text.parse(), Ok(group));
        }
        Err(error) => {
            assert!(!is_group);
            assert_rejection(&error, "groupId");
        }
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let written = text.parse::<u64>().ok().filter(|_| digits);
    match text.parse::<ItemsPerPage>() {
        Ok(items) => assert_eq!(Some(u64::from(items.get())), written),
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=500).contains(&n)));
            assert_rejection(&error, "itemsPerPage");
        }
    }
    match text.parse::<PageNum>() {
        Ok(page) => assert_eq!(Some(u64::from(page.get())), written),
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=u64::from(u32::MAX)).contains(&n)));
            assert_rejection(&error, "pageNum");
        }
    }
    match ItemsPerPage::new(number) {
        Ok(items) => {
            assert!(u32::from(items.get()) == number && items.to_string() == number.to_string())
        }
        Err(error) => {
            assert!(number == 0 || number > 500);
            assert_rejection(&error, "itemsPerPage");
        }
    }
    match PageNum::new(number) {
        Ok(page) => assert!(page.get() == number && page.to_string() == number.to_string()),
        Err(error) => {
            assert_eq!(number, 0);
            assert_rejection(&error, "pageNum");
        }
    }
    let session = || {
        Session::new(
            BaseUrl::default(),
            Credentials::bearer("t").expect("a valid token"),
        )
    };
    let visible = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    match session().with_user_agent(text) {
        Ok(mut session) => {
            assert!(visible);
            let list = ListRequest::new(
                GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits"),
            );
            let at = atlas_model_keys_core::Moment::new(std::time::Duration::ZERO, [0; 16]);
            let Ok(atlas_model_keys_core::Step::Send(exchange)) =
                session.start::<Vec<u8>>(&list, at)
            else {
                panic!("a session with a bearer token sends at once");
            };
            assert_eq!(exchange.request.headers()["user-agent"], text);
        }
        Err(error) => {
            assert!(!visible);
            assert_rejection(&error, "User-Agent");
        }
    }
}

/// Checks a text as each part of a credential: it is accepted exactly if it can be sent and is not a likely mistake,
/// and no error shows a possible secret.
fn check_credentials(text: &str) {
    let is_graphic = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let is_printable = !text.is_empty() && !text.contains(char::is_control);
    let is_token = {
        let bare = text.trim_end_matches('=');
        !bare.is_empty()
            && bare
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
    };
    // The core rejects likely mistakes: the name of a variable, quotes or spaces around a value, and another
    // credential. Whether such a text is accepted is not checked here.
    let is_stray = |c: char| {
        c.is_whitespace()
            || is_unsafe(c)
            || "\"'`´«»\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}".contains(c)
    };
    let is_paste_error = text.starts_with(['$', '%'])
        || text.starts_with(is_stray)
        || text.ends_with(is_stray)
        || ["eyJ", "al-", "mdb_sa_id_"]
            .iter()
            .any(|form| text.starts_with(form))
        || text.contains("mdb_sa_sk_")
        || text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase());
    let is_likely_mistake =
        is_paste_error || text.contains(':') || text.contains("mdb_sa_") || text.contains('-');
    let cases = [
        (
            "access token",
            Credentials::bearer(text),
            (!is_paste_error).then_some(is_token),
        ),
        (
            "client secret",
            Credentials::service_account("mdb_sa_id_1", text),
            (!is_paste_error && !text.contains('-')).then_some(is_graphic),
        ),
        (
            "private key",
            Credentials::api_key("abcdefgh", text),
            (!is_paste_error).then_some(is_printable),
        ),
        (
            "client id",
            Credentials::service_account(text, "x"),
            (!is_likely_mistake).then_some(is_graphic),
        ),
        (
            "public key",
            Credentials::api_key(text, "x"),
            (!is_likely_mistake).then_some(is_printable),
        ),
    ];
    for (parameter, credentials, expected) in cases {
        if let Some(expected) = expected {
            assert_eq!(credentials.is_ok(), expected, "{parameter}");
        }
        let shown = match &credentials {
            Ok(credentials) => format!("{credentials:?}"),
            Err(error) => {
                assert_rejection(error, parameter);
                error.to_string()
            }
        };
        // A service account's secret, in the wrong place or pasted with the id, is not shown.
        if let Some((_, secret)) = text.split_once("mdb_sa_sk_")
            && !secret.is_empty()
        {
            assert!(!shown.contains(&format!("mdb_sa_sk_{secret}")), "{shown}");
        }
        // An API key's private key, next to its public key or in its place, is not shown.
        let mut words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        // The rule contains this example.
        let example = "01234567-89ab-cdef-0123-456789abcdef";
        let is_private =
            |word: &&str| word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && *word != example;
        if let Some(private) = words.find(is_private) {
            assert!(!shown.contains(private), "{shown}");
        }
        // Only a client id and the name of a variable are repeated.
        if let Err(error) = credentials
            && !text.starts_with("mdb_sa_id_")
            && !text.starts_with(['$', '%'])
        {
            assert_eq!(shown, format!("{parameter} is not valid: {}", error.rule()));
        }
    }
}

/// Returns the reasons why a request cannot be encoded, determined without the core.
fn reasons_not_to_encode(request: &Request<&[u8]>) -> Vec<EncodeError> {
    let (method, headers, uri) = (request.method(), request.headers(), request.uri());
    let mut reasons = Vec::new();
    let mut push = |applies: bool, error| {
        if applies {
            reasons.push(error);
        }
    };
    push(method == Method::CONNECT, EncodeError::Connect);
    push(
        method == Method::TRACE && !request.body().is_empty(),
        EncodeError::Trace,
    );
    push(
        headers.contains_key(TRANSFER_ENCODING),
        EncodeError::TransferEncoding,
    );
    let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let length = request.body().len().to_string();
    push(
        !(lengths.is_empty() || lengths == [&length]),
        EncodeError::ContentLength,
    );
    let hosts = headers.get_all(HOST).iter().count();
    push(hosts > 1, EncodeError::ManyHosts);
    let has_authority = uri
        .authority()
        .is_some_and(|authority| !authority.host().is_empty());
    push(hosts == 0 && !has_authority, EncodeError::NoHost);
    let target = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let is_valid = target.is_some_and(|target| {
        let star = target == "*" && method == Method::OPTIONS;
        let path = target.is_empty() || target.starts_with(['/', '?']);
        (star || path) && target.bytes().all(|b| b.is_ascii_graphic())
    });
    push(!is_valid, EncodeError::Target);
    reasons
}

fn check_encoding(request: &Request<&[u8]>) {
    let reasons = reasons_not_to_encode(request);
    let encoded = match wire::encode(request) {
        Ok(encoded) => encoded,
        Err(error) => {
            assert!(reasons.contains(&error), "{error:?}, but {reasons:?}");
            let shown = error.to_string();
            assert!(shown.starts_with("the request cannot be encoded: "));
            assert_eq!(Failure::from(error).kind(), FailureKind::Permanent);
            return;
        }
    };
    assert!(reasons.is_empty(), "{reasons:?}");
    let bytes = encoded.as_bytes();
    assert_eq!(encoded.as_ref(), bytes);
    assert_eq!(
        format!("{encoded:?}"),
        format!("Encoded({} bytes)", bytes.len())
    );

    let (length, read) = ureq_proto::parser::try_parse_request::<16>(bytes)
        .unwrap_or_else(|error| panic!("{error} in {}", bytes.escape_ascii()))
        .expect("the request is complete");
    assert_eq!(bytes.get(length..), Some(*request.body()));
    assert_eq!(read.method(), request.method());
    let target = request
        .uri()
        .path_and_query()
        .expect("an encoded request has a target")
        .as_str();
    let slash = if target.starts_with(['/', '*']) {
        ""
    } else {
        "/"
    };
    assert_eq!(read.uri().to_string(), format!("{slash}{target}"));
    let mut expected = HeaderMap::new();
    if !request.headers().contains_key(HOST) {
        let authority = request
            .uri()
            .authority()
            .expect("an encoded request has a host")
            .as_str();
        let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        expected.insert(HOST, HeaderValue::from_str(host).expect("a host is ASCII"));
    }
    for (name, value) in request.headers() {
        // RFC 9110 §5.5: white space around a value is not part of it.
        let value = HeaderValue::from_bytes(value.as_bytes().trim_ascii())
            .expect("a trimmed header value is valid");
        expected.append(name, value);
    }
    if !request.body().is_empty() && !expected.contains_key(CONTENT_LENGTH) {
        expected.insert(CONTENT_LENGTH, HeaderValue::from(request.body().len()));
    }
    assert_eq!(*read.headers(), expected);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The core accepts these base URLs unchanged, and `url` behaves as described at the top.
    #[test]
    fn known_differences_match_the_description() {
        for (text, theirs) in [
            ("https://127.1", Some("https://127.0.0.1/")),
            ("https://0x7f", Some("https://0.0.0.127/")),
            ("https://1.2.3.256", None),
            ("https://xn--a.example", None),
            ("https://[fd00:0::1]", Some("https://[fd00::1]/")),
        ] {
            assert_eq!(
                BaseUrl::new(text).map(|url| url.to_string()).as_deref(),
                Ok(text)
            );
            assert_eq!(
                Url::parse(text).ok().as_ref().map(Url::as_str),
                theirs,
                "{text}"
            );
        }
    }
}
