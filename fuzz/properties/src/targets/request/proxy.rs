//! Checks proxy URLs and the exceptions of `NO_PROXY`.

use std::sync::LazyLock;

use atlas_model_keys_core::{BaseUrl, InvalidValue, Proxy};
use url::Url;

use super::assert_no_value;
use crate::generators::request::Input;
use crate::oracles::no_proxy::is_excluded;
use crate::oracles::shown;

/// Base URLs of targets.
static TARGETS: LazyLock<[BaseUrl; 4]> = LazyLock::new(|| {
    [
        "https://cloud.mongodb.com",
        "https://10.1.2.3:8443",
        "https://[fd00::1]",
        "https://localhost",
    ]
    .map(|url| BaseUrl::new(url).expect("a valid base URL"))
});

/// A proxy, as it is written and parsed.
const VALID: &str = "proxy.example:3128";
static VALID_PROXY: LazyLock<Result<Proxy, InvalidValue>> = LazyLock::new(|| Proxy::new(VALID));

/// Checks the text of a base URL as a proxy's URL; `plain` is the base URL if it is one. The other text is the value of
/// `NO_PROXY`.
pub(super) fn check(input: &Input<'_>, plain: Option<&BaseUrl>) {
    let (text, exceptions) = (input.base.as_str(), input.text.as_str());
    let target = TARGETS.get(usize::from(input.selector % 5)).or(plain);
    let proxy = Proxy::new(text);
    if let Some(target) = target {
        // An environment variable may have spaces around it.
        let trimmed = (text.trim() != text).then(|| Proxy::new(text.trim()));
        let parsed = trimmed.as_ref().unwrap_or(&proxy);
        check_environment(target, text, parsed, exceptions);
        // With a valid proxy, only the exceptions decide.
        check_environment(target, VALID, &VALID_PROXY, exceptions);
    }
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(error) => {
            // The message does not repeat the text, which may contain a password.
            assert_eq!(error.parameter(), "proxy");
            assert_no_value(&error);
            return;
        }
    };
    assert_eq!(
        text.parse::<Proxy>().map(|proxy| proxy.to_string()),
        Ok(proxy.to_string())
    );
    let shown = proxy.to_string();
    assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
    assert!(!shown.contains('@') && proxy.uri().path() == "/");
    assert_eq!(proxy.uri().to_string(), format!("{shown}/"));
    assert_eq!(proxy.login().is_some(), proxy.authorization().is_some());
    assert!(
        proxy
            .authorization()
            .is_none_or(|value| value.is_sensitive())
    );

    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    // `url` parses some hosts as browsers do; see the known differences of `request`. It also ends the host at any
    // slash or question mark, while the core allows them in a login.
    let login = with_scheme.rsplit_once('@').map_or("", |(login, _)| login);
    let login = login.split_once("://").map_or("", |(_, login)| login);
    let Ok(url) = Url::parse(&with_scheme) else {
        return;
    };
    if login.contains(['/', '?', '#', '\\', '@']) || login.contains(char::is_whitespace) {
        return;
    }
    assert_eq!(
        url.scheme(),
        proxy.uri().scheme_str().expect("a proxy has a scheme")
    );
    assert_eq!(
        url.port_or_known_default(),
        proxy.uri().port_u16().or(match url.scheme() {
            "https" => Some(443),
            _ => Some(80),
        })
    );
    if let Some(url::Host::Domain(host)) = url.host() {
        let ours = proxy.uri().host().expect("a proxy has a host");
        assert!(ours.eq_ignore_ascii_case(host), "{ours} instead of {host}");
    }
    let decoded = |text: &str| {
        // In a login, `+` does not stand for a space.
        let pair = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    if let Some((user, password)) = proxy.login() {
        assert_eq!(decoded(url.username()).as_deref(), Some(user));
        assert_eq!(
            decoded(url.password().unwrap_or_default()).as_deref(),
            Some(password.expose())
        );
        // `Display` does not show the login: it equals that of a proxy without one.
        let (scheme, rest) = with_scheme
            .split_once("://")
            .expect("the text has a scheme");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let without = Proxy::new(&format!("{scheme}://{host}")).expect("a proxy without a login");
        assert_eq!(without.to_string(), shown);
    } else {
        assert!(url.username().is_empty() && url.password().is_none());
    }
}

/// Checks the proxy and the exceptions as environment variables. `parsed` is the proxy without spaces around it.
fn check_environment(
    base: &BaseUrl,
    proxy: &str,
    parsed: &Result<Proxy, InvalidValue>,
    exceptions: &str,
) {
    let result = Proxy::from_variables(base, |name| match name {
        "https_proxy" | "http_proxy" => Some(" ".into()),
        "all_proxy" => Some(proxy.into()),
        "no_proxy" => Some(String::new()),
        "NO_PROXY" => Some(exceptions.into()),
        _ => None,
    });
    match result {
        Err(error) => {
            assert!(parsed.is_err() && !base.is_loopback());
            // A proxy that is not used does not have to be valid.
            assert!(!is_excluded(base, exceptions));
            assert_eq!(error.parameter(), "all_proxy");
            assert_no_value(&error);
        }
        Ok(Some(found)) => {
            let expected = parsed.as_ref().expect("it was accepted");
            assert!(shown::is(&found, &expected.to_string()));
            assert!(!base.is_loopback());
            assert!(
                !is_excluded(base, exceptions),
                "{base} matches {exceptions:?}"
            );
        }
        Ok(None) => {
            let unset = proxy.trim().is_empty();
            assert!(
                unset || base.is_loopback() || is_excluded(base, exceptions),
                "{base} does not match {exceptions:?}"
            );
        }
    }
}
