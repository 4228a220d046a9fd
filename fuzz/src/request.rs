//! What goes into a request comes out of other people's parsers, and what cannot be sent is refused for a reason.
//!
//! **Input**: twelve bytes of a group's id; a byte that says what else is set; two bytes of `itemsPerPage`, four of
//! `pageNum`; a short text for a base URL, and one for every parameter that is parsed; then a request for the
//! wire: a byte for the method, of [`METHODS`], a short text for the URI, a byte for the number of headers, a
//! short text each for names and values; the rest is the body.
//!
//! **Properties**
//!
//! - A listing's URI has, by `url` and by `http`, the base URL's origin and prefix, the group's path, and exactly the
//!   parameters that were set.
//! - A base URL that is accepted is, by `url`, `https` or of this machine, has a host, and neither user nor query nor
//!   fragment; it stays what it is when read again. What may hold a secret is not repeated in an error.
//! - A proxy is what `url` reads of it, shows no login, and is gone around exactly for the hosts of `NO_PROXY`, matched
//!   a second way.
//! - A parameter is accepted exactly if it is of the documented form, and is then what was given.
//! - A request is encoded exactly if HTTP/1.1 has a form for it; `ureq-proto`'s parser for servers then reads the
//!   same method, target, fields and body.
//!
//! **Known disagreements** of base URLs with `url`, which reads them as browsers do (WHATWG URL §3.5) and not by RFC 3986:
//! a host whose last label is a number is an IPv4 address there, in one of many spellings, or nothing; labels that begin
//! with `xn--` have to be right; an IPv6 address is written anew. `http` in turn lets UTF-8 pass in a URI, which RFC 3986
//! does not: such a target is refused.

mod proxy;

use std::net::Ipv6Addr;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::wire::{self, EncodeError};
use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Failure, FailureKind, GroupId, InvalidValue, ItemsPerPage,
    ListRequest, PageNum, Session,
};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use url::Url;

use crate::{input, shown};

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
    /// What is set: `itemsPerPage`, `pageNum`, `envelope` and its value, `pretty` and its value, a dated version.
    set: u8,
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
            group: GroupId::new(&id).expect("24 digits"),
            set: input::byte(u)?,
            items: u.arbitrary()?,
            page: u.arbitrary()?,
            base: input::text(input::short(u)?),
            text: input::text(input::short(u)?),
            request: request(u)?,
        })
    }
}

/// A request, if the URI is one.
fn request<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<Option<Request<&'a [u8]>>> {
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
    let base = base_url(&input.base);
    listing(&input, &base.unwrap_or_default());
    proxy::check(&input.base, &input.text);
    parameters(&input.text, u32::from(input.items));
    credentials(&input.text);
    if let Some(request) = &input.request {
        encoded(request);
    }
}

fn listing(input: &Input<'_>, base: &BaseUrl) {
    let has = |bit: u8| input.set & (1 << bit) != 0;
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
    let authority = uri.authority().expect("it is absolute").as_str();
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

    // Its next page is the same request but for the number.
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

/// Reads a base URL, and checks it with `url`.
fn base_url(text: &str) -> Option<BaseUrl> {
    let plain = BaseUrl::allowing_plain_http(text);
    let base = match BaseUrl::new(text) {
        Ok(base) => base,
        Err(error) => {
            refused(&error, "base URL");
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
        .expect("it has a scheme");
    // Known disagreements; see above.
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
    match url.host().expect("it has one") {
        url::Host::Domain(domain) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), domain == "localhost");
        }
        url::Host::Ipv4(address) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
        url::Host::Ipv6(address) => {
            let (inside, _) = name.split_once(']').expect("it is in brackets");
            assert_eq!(
                inside.trim_start_matches('[').parse::<Ipv6Addr>(),
                Ok(address)
            );
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
    }
    Some(base)
}

/// An error names the parameter and the rule, fit to be shown.
fn refused(error: &InvalidValue, parameter: &str) {
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

fn parameters(text: &str, number: u32) {
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
            refused(&error, "groupId");
        }
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let written = text.parse::<u64>().ok().filter(|_| digits);
    match text.parse::<ItemsPerPage>() {
        Ok(items) => assert_eq!(Some(u64::from(items.get())), written),
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=500).contains(&n)));
            refused(&error, "itemsPerPage");
        }
    }
    match text.parse::<PageNum>() {
        Ok(page) => assert_eq!(Some(u64::from(page.get())), written),
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=u64::from(u32::MAX)).contains(&n)));
            refused(&error, "pageNum");
        }
    }
    match ItemsPerPage::new(number) {
        Ok(items) => {
            assert!(u32::from(items.get()) == number && items.to_string() == number.to_string())
        }
        Err(error) => {
            assert!(number == 0 || number > 500);
            refused(&error, "itemsPerPage");
        }
    }
    match PageNum::new(number) {
        Ok(page) => assert!(page.get() == number && page.to_string() == number.to_string()),
        Err(error) => {
            assert_eq!(number, 0);
            refused(&error, "pageNum");
        }
    }
    let session = || {
        Session::new(
            BaseUrl::default(),
            Credentials::bearer("t").expect("it is one"),
        )
    };
    let visible = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    match session().with_user_agent(text) {
        Ok(mut session) => {
            assert!(visible);
            let list =
                ListRequest::new(GroupId::new("0123456789abcdef01234567").expect("it is one"));
            let at = atlas_model_keys_core::Moment::new(std::time::Duration::ZERO, [0; 16]);
            let Ok(atlas_model_keys_core::Step::Send(exchange)) =
                session.start::<Vec<u8>>(&list, at)
            else {
                panic!("it has all that it needs");
            };
            assert_eq!(exchange.request.headers()["user-agent"], text);
        }
        Err(error) => {
            assert!(!visible);
            refused(&error, "User-Agent");
        }
    }
}

/// A text in the place of each part of a credential. It is accepted where it can be sent; and no error shows
/// what may be a secret.
fn credentials(text: &str) {
    let is_graphic = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let is_printable = !text.is_empty() && !text.contains(char::is_control);
    let is_token = {
        let bare = text.trim_end_matches('=');
        !bare.is_empty()
            && bare
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
    };
    // Slips are named, and the others are not accepted by accident: a variable, what stands around a value,
    // and another credential.
    let is_stray = |c: char| {
        c.is_whitespace()
            || atlas_model_keys_core::is_unsafe_to_show(c)
            || "\"'`´«»\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}".contains(c)
    };
    let is_paste = text.starts_with(['$', '%'])
        || text.starts_with(is_stray)
        || text.ends_with(is_stray)
        || ["eyJ", "al-", "mdb_sa_id_"]
            .iter()
            .any(|form| text.starts_with(form))
        || text.contains("mdb_sa_sk_")
        || text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase());
    let is_slip = is_paste || text.contains(':') || text.contains("mdb_sa_") || text.contains('-');
    let cases = [
        (
            "access token",
            Credentials::bearer(text),
            (!is_paste).then_some(is_token),
        ),
        (
            "client secret",
            Credentials::service_account("mdb_sa_id_1", text),
            (!is_paste && !text.contains('-')).then_some(is_graphic),
        ),
        (
            "private key",
            Credentials::api_key("abcdefgh", text),
            (!is_paste).then_some(is_printable),
        ),
        (
            "client id",
            Credentials::service_account(text, "x"),
            (!is_slip).then_some(is_graphic),
        ),
        (
            "public key",
            Credentials::api_key(text, "x"),
            (!is_slip).then_some(is_printable),
        ),
    ];
    for (parameter, credentials, expected) in cases {
        if let Some(expected) = expected {
            assert_eq!(credentials.is_ok(), expected, "{parameter}");
        }
        let shown = match &credentials {
            Ok(credentials) => format!("{credentials:?}"),
            Err(error) => {
                refused(error, parameter);
                error.to_string()
            }
        };
        // A service account's secret, in the wrong place or together with the id.
        if let Some((_, secret)) = text.split_once("mdb_sa_sk_")
            && !secret.is_empty()
        {
            assert!(!shown.contains(&format!("mdb_sa_sk_{secret}")), "{shown}");
        }
        // An API key's private key beside its public one, or in its place.
        let mut words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        // (The rule has one for an example.)
        let example = "01234567-89ab-cdef-0123-456789abcdef";
        let is_private =
            |word: &&str| word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && *word != example;
        if let Some(private) = words.find(is_private) {
            assert!(!shown.contains(private), "{shown}");
        }
        // Nothing is repeated but a client id, and the name of a variable.
        if let Err(error) = credentials
            && !text.starts_with("mdb_sa_id_")
            && !text.starts_with(['$', '%'])
        {
            assert_eq!(shown, format!("{parameter} is not valid: {}", error.rule()));
        }
    }
}

/// Why a request has no form in HTTP/1.1, told without the core.
fn has_no_form(request: &Request<&[u8]>) -> Vec<EncodeError> {
    let (method, headers, uri) = (request.method(), request.headers(), request.uri());
    let mut why = Vec::new();
    let mut push = |is_so: bool, error| {
        if is_so {
            why.push(error);
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
    let fits = target.is_some_and(|target| {
        let star = target == "*" && method == Method::OPTIONS;
        let path = target.is_empty() || target.starts_with(['/', '?']);
        (star || path) && target.bytes().all(|b| b.is_ascii_graphic())
    });
    push(!fits, EncodeError::Target);
    why
}

fn encoded(request: &Request<&[u8]>) {
    let why = has_no_form(request);
    let encoded = match wire::encode(request) {
        Ok(encoded) => encoded,
        Err(error) => {
            assert!(why.contains(&error), "{error:?}, but {why:?}");
            let shown = error.to_string();
            assert!(shown.starts_with("the request cannot be encoded: "));
            assert_eq!(Failure::from(error).kind(), FailureKind::Permanent);
            return;
        }
    };
    assert!(why.is_empty(), "{why:?}");
    let bytes = encoded.as_bytes();
    assert_eq!(encoded.as_ref(), bytes);
    assert_eq!(
        format!("{encoded:?}"),
        format!("Encoded({} bytes)", bytes.len())
    );

    let (length, read) = ureq_proto::parser::try_parse_request::<16>(bytes)
        .unwrap_or_else(|error| panic!("{error} in {}", bytes.escape_ascii()))
        .expect("it is whole");
    assert_eq!(bytes.get(length..), Some(*request.body()));
    assert_eq!(read.method(), request.method());
    let target = request.uri().path_and_query().expect("it has one").as_str();
    let slash = if target.starts_with(['/', '*']) {
        ""
    } else {
        "/"
    };
    assert_eq!(read.uri().to_string(), format!("{slash}{target}"));
    let mut expected = HeaderMap::new();
    if !request.headers().contains_key(HOST) {
        let authority = request.uri().authority().expect("it has one").as_str();
        let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        expected.insert(HOST, HeaderValue::from_str(host).expect("it is ASCII"));
    }
    for (name, value) in request.headers() {
        // RFC 9110 §5.5: white space around a value is not part of it.
        let value = HeaderValue::from_bytes(value.as_bytes().trim_ascii()).expect("it was one");
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

    /// What `url` makes of base URLs that the core takes as they are.
    #[test]
    fn the_known_disagreements_are_as_they_say() {
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
