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
//! - A text is a base URL exactly if a second implementation of the rules accepts it. Parsed by `url`, it is `https` or
//!   loopback, has a host, and has no user, query or fragment; it is unchanged when it is parsed again. An error does not
//!   repeat a text that may contain a secret.
//! - A text is a part of a credential, and looks like a credential, exactly if a second implementation of the rules says so. An
//!   error has the right reason, and repeats no possible secret.
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

mod base_url;
mod credentials;
mod encoding;
mod parameters;
mod proxy;

use std::fmt::Write as _;

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, InvalidValue, ItemsPerPage, KeyRequest, ListRequest, OrgId,
    OrgKeyRequest, PageNum,
};
use http::{Method, Uri};
use url::Url;

pub use crate::generators::request::METHODS;

use crate::generators::bytes as input;
use crate::generators::request::Input;
use crate::oracles::{shown, unicode};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let plain = BaseUrl::allowing_plain_http(&input.base).ok();
    let base = base_url::parse(&input.base, plain.as_ref());
    let base = base.unwrap_or_default();
    check_listing(&input, &base);
    check_key_id(&input, &base);
    proxy::check(&input, plain.as_ref());
    parameters::check(&input.text, u32::from(input.items));
    credentials::check(&input.text);
    if let Some(request) = &input.request {
        encoding::check(request);
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
    assert_eq!(request.is_pretty(), has(4) && has(5));
    if expected.is_empty() {
        assert_eq!(request, ListRequest::from(input.group));
    }
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
        assert_eq!((url.path(), url.query()), (path.as_str(), uri.query()));
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
    let (of_group, of_org) = (
        KeyRequest::new(input.group, id),
        OrgKeyRequest::new(org, id),
    );
    assert_eq!((of_group.key(), of_org.key()), (id, id));
    let of_group = of_group.to_http(base, &version);
    let of_org = of_org.to_http(base, &version);
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

/// Asserts that an error names the parameter and the rule, and is safe to show.
fn assert_rejection(error: &InvalidValue, parameter: &str) {
    assert_eq!(error.parameter(), parameter);
    // Most inputs lead to several errors, so their texts are written without growing.
    let mut line = String::with_capacity(400);
    let _ = write!(line, "{error}");
    // All parameters have the same `Debug`, and nearly every text is no id of a group.
    if parameter == "groupId" {
        assert_eq!(format!("{error:?}"), format!("InvalidValue({line})"));
    }
    assert!(!unicode::has_unsafe(&line), "{line:?}");
    assert!(
        line.starts_with(parameter) && line.ends_with(error.rule()),
        "{line}"
    );
    assert!(line.len() < 400, "{line}");
}

/// Asserts that an error is the parameter and the rule only, and does not repeat the value.
fn assert_no_value(error: &InvalidValue) {
    let line = [error.parameter(), " is not valid: ", error.rule()].concat();
    assert!(shown::is(error, &line), "{error} instead of {line}");
}
