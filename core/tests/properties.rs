//! Tests properties that hold for any input. proptest keeps inputs that failed in
//! `properties.proptest-regressions` and tries them first.

use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Failure, FailureKind, GroupId, ItemsPerPage, KeyField,
    Limits, ListRequest, Listing, ModelKey, Moment, PageNum, Reply, Session, Step, Timestamp,
};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

// Requests

fn group() -> impl Strategy<Value = GroupId> {
    "[0-9a-f]{24}".prop_map(|text| GroupId::new(&text).unwrap())
}

proptest! {
    /// A URI parser finds the parameters of a request unchanged.
    #[test]
    fn parameters_of_a_request_survive_a_uri_parser(
        group in group(),
        items in option::of(1u32..=500),
        page in option::of(1u32..),
        envelope in option::of(any::<bool>()),
        pretty in option::of(any::<bool>()),
        base in "https://[a-z][a-z0-9-]{0,20}(\\.[a-z]{2,8}){0,2}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{3,9}){0,3}/?",
    ) {
        let base = BaseUrl::new(&base).unwrap();
        let mut request = ListRequest::new(group);
        if let Some(items) = items {
            request = request.with_items_per_page(ItemsPerPage::new(items).unwrap());
        }
        if let Some(page) = page {
            request = request.with_page_num(PageNum::new(page).unwrap());
        }
        if let Some(envelope) = envelope {
            request = request.with_envelope(envelope);
        }
        if let Some(pretty) = pretty {
            request = request.with_pretty(pretty);
        }
        let text = request.to_http(&base, &ApiVersion::PREVIEW).uri().to_string();

        let uri: Uri = text.parse().unwrap();
        let origin = format!("{}://{}", uri.scheme_str().unwrap(), uri.authority().unwrap());
        prop_assert_eq!(origin, base.origin());
        let path = format!("{}/api/atlas/v2/groups/{group}/aiModelApiKeys", base.path_prefix());
        prop_assert_eq!(uri.path(), path);
        let expected: Vec<String> = [
            items.map(|n| format!("itemsPerPage={n}")),
            page.map(|n| format!("pageNum={n}")),
            envelope.map(|b| format!("envelope={b}")),
            pretty.map(|b| format!("pretty={b}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let query: Vec<&str> = uri.query().map(|q| q.split('&').collect()).unwrap_or_default();
        prop_assert_eq!(query, expected);
        prop_assert_eq!(BaseUrl::new(base.as_str()).unwrap(), base);
    }

    /// No text makes a parser panic, and an accepted value equals the text.
    #[test]
    fn parameters_hold_the_value_they_were_given(text in ".{0,40}") {
        if let Ok(group) = GroupId::new(&text) {
            prop_assert_eq!(group.as_str(), &text);
        }
        if let Ok(items) = text.parse::<ItemsPerPage>() {
            prop_assert_eq!(u64::from(items.get()), text.parse::<u64>().unwrap());
        }
        if let Ok(page) = text.parse::<PageNum>() {
            prop_assert_eq!(u64::from(page.get()), text.parse::<u64>().unwrap());
        }
        if let Ok(version) = ApiVersion::new(&text) {
            prop_assert_eq!(version.to_string(), &*text);
        }
        let _ = Timestamp::new(&text).parse();
        let _ = BaseUrl::new(&text);
    }

    /// Timestamps agree with another implementation of the calendar, which counts month by month.
    #[test]
    fn timestamps_agree_with_a_counting_calendar(days in 0i64..100_000, second in 0u32..86_400) {
        let (mut year, mut month, mut left) = (1970, 1, days);
        let is_leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        let length = |y: i64, m: i64| match m {
            2 => 28 + i64::from(is_leap(y)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        while left >= length(year, month) {
            left -= length(year, month);
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        let text = format!(
            "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
            left + 1, second / 3600, second / 60 % 60, second % 60
        );
        let parsed = Timestamp::new(&text).parse().unwrap();
        prop_assert_eq!(parsed.seconds(), days * 86_400 + i64::from(second));
        prop_assert_eq!(parsed.to_string(), text);
    }
}

// Pages

const FIELDS: [&str; 12] = [
    "apiKeyId",
    "cloud",
    "createdAt",
    "createdBy",
    "endpoint",
    "geography",
    "groupId",
    "lastUsedAt",
    "maskedSecret",
    "name",
    "secret",
    "status",
];

/// A key: each documented field (absent, null or a text), and unknown fields.
type Key = (Vec<Option<Option<String>>>, Vec<(String, Json)>);

/// A JSON value with its own serializer, which is independent of the core.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Float(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Writes JSON in one of many equivalent ways: with random spaces and escapes.
struct Writer {
    out: String,
    dice: u64,
}

impl Writer {
    fn dice(&mut self, sides: usize) -> usize {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.dice >> 33).unwrap() % sides
    }

    fn space(&mut self) {
        for _ in 0..self.dice(3) {
            let space = [' ', '\n', '\t', '\r'][self.dice(4)];
            self.out.push(space);
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            let must = c < ' ' || c == '"' || c == '\\';
            match c {
                '"' | '\\' if self.dice(2) == 0 => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '\n' if self.dice(2) == 0 => self.out.push_str("\\n"),
                _ if must || self.dice(8) == 0 => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn array(&mut self, items: usize, mut item: impl FnMut(&mut Self, usize)) {
        self.out.push('[');
        for n in 0..items {
            if n > 0 {
                self.out.push(',');
            }
            self.space();
            item(self, n);
            self.space();
        }
        self.out.push(']');
    }

    fn object(&mut self, entries: &[(String, Json)]) {
        self.out.push('{');
        for (n, (name, value)) in entries.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.space();
            self.text(name);
            self.space();
            self.out.push(':');
            self.space();
            self.value(value);
            self.space();
        }
        self.out.push('}');
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(b) => self.out.push_str(&b.to_string()),
            Json::Number(n) => self.out.push_str(&n.to_string()),
            Json::Float(f) => self.out.push_str(&format!("{f:e}")),
            Json::Text(text) => self.text(text),
            Json::Array(items) => self.array(items.len(), |writer, n| writer.value(&items[n])),
            Json::Object(entries) => self.object(entries),
        }
    }
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Number),
        (-1e300f64..1e300).prop_map(Json::Float),
        ".{0,12}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((".{0,6}", inner), 0..4).prop_map(Json::Object),
        ]
    })
}

fn key() -> impl Strategy<Value = Key> {
    let unknown = ("[A-Z].{0,6}", json());
    (
        vec(option::of(option::of("(?s).{0,20}")), FIELDS.len()),
        vec(unknown, 0..3),
    )
}

proptest! {
    /// The fields of a page are read unchanged from every equivalent JSON text.
    #[test]
    fn page_is_read_from_any_equivalent_json(
        keys in vec(key(), 0..6),
        count in option::of(any::<u32>()),
        has_next in any::<bool>(),
        dice in any::<u64>(),
    ) {
        let objects: Vec<Json> = keys
            .iter()
            .map(|(fields, unknown)| {
                let mut entries: Vec<(String, Json)> = FIELDS
                    .iter()
                    .zip(fields)
                    .filter_map(|(name, value)| {
                        let value = value.as_ref()?.clone().map_or(Json::Null, Json::Text);
                        Some(((*name).to_owned(), value))
                    })
                    .collect();
                entries.extend(unknown.iter().cloned());
                let turn = entries.len().min(3);
                entries.rotate_left(turn);
                Json::Object(entries)
            })
            .collect();
        let rel = if has_next { "next" } else { "self" };
        let link = Json::Object(vec![("rel".into(), Json::Text(rel.into()))]);
        let mut page = vec![
            ("results".to_owned(), Json::Array(objects)),
            ("links".to_owned(), Json::Array(vec![link])),
        ];
        if let Some(count) = count {
            page.insert(0, ("totalCount".to_owned(), Json::Number(i64::from(count))));
        }
        let mut writer = Writer { out: String::new(), dice };
        writer.value(&Json::Object(page));
        let body = writer.out;

        let reply = Reply::from_response(Response::new(body.as_bytes())).unwrap();
        let read = reply.into_page().unwrap();
        prop_assert_eq!(read.total_count(), count.map(u64::from));
        prop_assert_eq!(read.has_next(), has_next);
        prop_assert_eq!(read.len(), keys.len());
        for (key, (fields, _)) in read.keys().zip(&keys) {
            let owned = key.to_owned_key();
            let all = |key: ModelKey<'_>| [
                key.api_key_id().map(String::from), key.cloud().map(String::from),
                key.created_at().map(|time| time.as_str().to_owned()), key.created_by().map(String::from),
                key.endpoint().map(String::from), key.geography().map(String::from),
                key.group_id().map(String::from), key.last_used_at().map(|time| time.as_str().to_owned()),
                key.masked_secret().map(String::from), key.name().map(String::from),
                key.secret().map(|secret| secret.expose().to_owned()), key.status().map(String::from),
            ];
            let (borrowed, copied) = (all(key), all(owned.as_key()));
            for field in KeyField::ALL {
                prop_assert_eq!(owned.field(*field), key.field(*field));
            }
            prop_assert!(owned.as_key() == key && key.field(KeyField::Secret).is_none());
            let written: Vec<Option<String>> =
                fields.iter().map(|field| field.as_ref()?.clone()).collect();
            prop_assert_eq!(&borrowed[..], &written[..]);
            prop_assert_eq!(copied, borrowed);
        }
    }

    /// Any body is a page or an error with a text of one line.
    #[test]
    fn any_body_is_a_page_or_an_error(body in vec(any::<u8>(), 0..200), status in 100u16..1000) {
        let response = Response::builder().status(status).body(body).unwrap();
        if let Err(error) = Reply::from_response(response).and_then(Reply::into_page) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}

// Sessions

const SECRETS: [&str; 3] = [
    "token-hunter2-abcdefgh",
    "secret-hunter3-abcdefgh",
    "private-hunter4-abcdefgh",
];

/// What may happen to an exchange.
#[derive(Clone, Debug)]
enum Event {
    Response {
        status: u16,
        headers: Vec<(usize, String)>,
        body: Vec<u8>,
    },
    Fails(u8),
    Dropped,
}

fn event() -> impl Strategy<Value = Event> {
    let header = prop_oneof![
        (
            Just(0usize),
            "[0-9]{0,21}|-1|soon|Mon, [0-9]{1,2} Aug 20[0-9]{2} 00:00:00 GMT"
        ),
        (
            Just(1usize),
            "Digest realm=\"r\", nonce=\"[a-c]\", qop=\"auth\", stale=(true|false)|Basic realm=\"x\"|Digest .{0,20}"
        ),
        (Just(2usize), "[01]"),
        (
            Just(3usize),
            "application/vnd.atlas.(preview|2025-03-12)\\+json|text/html"
        ),
        (Just(4usize), "https://evil\\.example/"),
    ];
    let text = |text: &str| text.as_bytes().to_vec();
    let echo = format!(
        r#"{{"errorCode":"X","detail":"{} {} {}","error":400}}"#,
        SECRETS[0], SECRETS[1], SECRETS[2]
    );
    let body = prop_oneof![
        Just(text(
            r#"{"results":[{"apiKeyId":"k"}],"links":[{"rel":"next","href":"https://evil.example"}]}"#
        )),
        Just(text(
            r#"{"access_token":"issued-hunter5-abcdefgh","expires_in":3600,"token_type":"Bearer"}"#
        )),
        Just(text(
            r#"{"access_token":"issued-hunter5-abcdefgh","expires_in":1}"#
        )),
        Just(text(r#"{"status":429}"#)),
        Just(echo.into_bytes()),
        vec(any::<u8>(), 0..60),
    ];
    let status = prop_oneof![
        Just(200u16),
        Just(200),
        Just(401),
        Just(401),
        Just(406),
        Just(410),
        Just(429),
        Just(503),
        100u16..700,
    ];
    prop_oneof![
        8 => (status, vec(header, 0..3), body)
            .prop_map(|(status, headers, body)| Event::Response { status, headers, body }),
        1 => (0u8..3).prop_map(Event::Fails),
        1 => Just(Event::Dropped),
    ]
}

const HEADERS: [&str; 5] = [
    "retry-after",
    "www-authenticate",
    "ratelimit-remaining",
    "content-type",
    "location",
];

fn response(status: u16, headers: &[(usize, String)], body: &[u8]) -> Response<Vec<u8>> {
    let mut response = Response::new(body.to_vec());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            let name = HeaderName::from_static(HEADERS[*name]);
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn session(kind: u8) -> Session {
    let credentials = match kind {
        0 => Credentials::bearer(SECRETS[0]),
        1 => Credentials::service_account("mdb_sa_id_1", SECRETS[1]),
        _ => Credentials::api_key("abcdefgh", SECRETS[2]),
    };
    Session::new(
        BaseUrl::new("https://atlas.example/prefix").unwrap(),
        credentials.unwrap(),
    )
}

/// Returns whether a request goes to the base URL.
fn goes_to_the_base_url(uri: &Uri) -> bool {
    uri.to_string()
        .starts_with("https://atlas.example/prefix/api/")
}

/// Returns whether a text has a secret that a session of this kind knows.
fn shows_a_secret(kind: u8, text: &str) -> bool {
    text.contains(SECRETS[usize::from(kind)])
}

proptest! {
    /// Whatever a server sends, an exchange ends within its limits, every request goes to the base
    /// URL, and no text shows a secret.
    #[test]
    fn exchange_ends_and_shows_no_secret(
        kind in 0u8..3,
        enveloped in any::<bool>(),
        events in vec(event(), 1..12),
        entropy in any::<[u8; 16]>(),
        jumps in vec(-100_000i64..100_000, 4),
    ) {
        let mut session = session(kind);
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let request = ListRequest::new(group).with_envelope(enveloped);
        let mut listing = Listing::new(request, session.limits());
        let mut now = Duration::from_secs(1_790_000_000);
        // Several exchanges follow each other, because each leaves its state to the next.
        'rounds: for round in 0..3 {
            let Ok(Some(request)) = listing.request() else { break };
            let (mut sent, mut waited) = (0u32, Duration::ZERO);
            let at = |now| Moment::new(now, entropy);
            let mut step = session.start(&request, at(now));
            let result = loop {
                let current = match step {
                    Ok(Step::Done(reply)) => break Ok(reply),
                    Err(error) => break Err(error),
                    Ok(current) => current,
                };
                let shown = format!("{current:?} {session:?}");
                prop_assert!(!shows_a_secret(kind, &shown));
                step = match current {
                    Step::Send(exchange) => {
                        prop_assert!(goes_to_the_base_url(exchange.request.uri()), "{:?}", exchange.request.uri());
                        sent += 1;
                        prop_assert!(sent < 64, "it does not end");
                        let event = &events[(round + sent as usize) % events.len()];
                        match event {
                            Event::Response { status, headers, body } => {
                                let response = response(*status, headers, body);
                                session.respond(exchange.pending, response, at(now))
                            }
                            Event::Fails(kind) => {
                                let kind = [FailureKind::NotSent, FailureKind::Lost, FailureKind::Permanent][usize::from(*kind)];
                                session.fail(exchange.pending, Failure::new(kind, "cable pulled"), at(now))
                            }
                            // The exchange is cancelled, and the session must stay usable.
                            Event::Dropped => continue 'rounds,
                        }
                    }
                    Step::Wait(wait) => {
                        prop_assert!(wait.delay() <= session.limits().retry.wait);
                        waited += wait.delay();
                        now += wait.delay();
                        session.resume(wait, at(now))
                    }
                    Step::Done(_) => unreachable!("taken above"),
                };
            };
            prop_assert!(waited <= Limits::default().retry.total_wait);
            let page = match result.and_then(Reply::into_page) {
                Ok(page) => page,
                Err(error) => {
                    let mut shown = format!("{error} {error:?}");
                    if let Error::Transport { source, .. } = &error {
                        shown += &source.to_string();
                    }
                    prop_assert!(!shows_a_secret(kind, &shown), "{shown}");
                    prop_assert!(!error.to_string().contains('\n'));
                    let jump = jumps[round];
                    let length = Duration::from_secs(jump.unsigned_abs());
                    now = if jump < 0 { now.saturating_sub(length) } else { now + length };
                    continue;
                }
            };
            listing.advance(&page);
            if let Ok(Some(next)) = listing.request() {
                prop_assert_eq!(Some(next), request.next_page());
            }
        }
    }
}
