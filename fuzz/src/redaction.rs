//! Whatever a server, a proxy or another library says: no error shows a run of a secret, in whichever encoding, and a
//! text without one is shown as it is.
//!
//! **Input**: a byte for the kind of credential; one for [`SMALL`] and, in its other bits, the status of answers, of
//! [`STATUSES`]; a short text that makes the secret; then pieces of
//! a text until the end of the input, each a byte (see [`Code`]) and what it needs.
//!
//! The secret is of visible ASCII characters, 1 to 64 of them, and of those that an access token may have where the
//! credential is one. The text reaches errors in every way that there is: as the error of a transport, with the pieces in
//! a chain of sources, and in each field of an error that Atlas or the token endpoint answers, with any status, in an
//! envelope, in a 200 and in a header; as a body that is no JSON; and as what makes a page or a token invalid.
//!
//! **Properties**
//!
//! - A text that is shown has no run of 12 characters of any secret that the session knows (of a shorter secret: no
//!   whole one), neither as it is nor after up to three of the decodings below. Nor has all that an error shows:
//!   `Display`, `Debug`, and those of all its sources (where the secret has no backslash, which `Debug` doubles).
//! - A run of a secret is replaced, with what stands behind it up to the next space or quote, before the text is escaped
//!   and cut, and nothing else is (where it is clear what belongs to a run).
//! - A text that has no such run, after up to four decodings, is shown as it is, but escaped and cut.
//! - Every text is bounded, and has nothing that a terminal would act on.
//!
//! **Decoding**, written apart from the core's. Once over a text, from its beginning, each of these becomes what it stands
//! for:
//!
//! | written | stands for |
//! |---|---|
//! | `%41`, `%6a`, `%6A` | the byte |
//! | `\u0041`, `\ud83d\ude00`, `\u{41}`, `\x41` | the character |
//! | `\"`, `\'`, `\\`, `\/` | the second character |
//! | `\n`, `\r`, `\t`, `\b`, `\f` | the control character |
//! | `&#65;`, `&#x41;`, `&#X41;`, with or without semicolon | the character |
//! | `&amp;` and [others](NAMED), with or without semicolon | the character |
//! | a line feed or carriage return, and the white space behind it | nothing |

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{
    ApiError, BaseUrl, Credentials, Error, Exchange, Failure, FailureKind, GroupId, InvalidValue,
    Limits, ListRequest, Moment, Pending, Reply, RetryPolicy, Session, Step, is_unsafe_to_show,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::input;

/// Texts are cut after a few bytes.
pub const SMALL: u8 = 1;

/// What a piece's byte means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Code {
    /// A short text.
    Text,
    /// A run of a secret: which secret, where it begins, how long it is, what stands behind it (0 for nothing), and a
    /// short list of [`Encoding`]s for its characters, which begins again at its end.
    Run,
    /// What follows is the text of the next source.
    Source,
}

/// The codes in their order.
pub const CODES: [Code; 3] = [Code::Text, Code::Run, Code::Source];

/// How a character of a secret is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// `%2F`.
    Percent,
    /// `%2f`.
    PercentLower,
    /// `%252f`.
    PercentTwice,
    /// `\u002f`.
    Json,
    /// `\\u002F`.
    JsonTwice,
    /// `\"`, `\\`, `\/`, of these three characters.
    JsonShort,
    /// `&#47;`.
    Decimal,
    /// `&#x2f;`.
    Hexadecimal,
    /// `&sol;`, where there is such a name.
    Named,
    /// A line feed behind it.
    Line,
    /// A carriage return, a line feed and spaces behind it.
    Indented,
    /// A line feed as JSON has it.
    JsonLine,
}

/// The encodings in their order.
pub const ENCODINGS: [Encoding; 13] = [
    Encoding::Plain,
    Encoding::Percent,
    Encoding::PercentLower,
    Encoding::PercentTwice,
    Encoding::Json,
    Encoding::JsonTwice,
    Encoding::JsonShort,
    Encoding::Decimal,
    Encoding::Hexadecimal,
    Encoding::Named,
    Encoding::Line,
    Encoding::Indented,
    Encoding::JsonLine,
];

impl Encoding {
    fn of(self, c: char) -> String {
        let code = u32::from(c);
        match self {
            Self::Plain => c.to_string(),
            Self::Percent => format!("%{code:02X}"),
            Self::PercentLower => format!("%{code:02x}"),
            Self::PercentTwice => format!("%25{code:02x}"),
            Self::Json => format!("\\u{code:04x}"),
            Self::JsonTwice => format!("\\\\u{code:04X}"),
            Self::JsonShort if "\"\\/".contains(c) => format!("\\{c}"),
            Self::JsonShort => c.to_string(),
            Self::Decimal => format!("&#{code};"),
            Self::Hexadecimal => format!("&#x{code:x};"),
            Self::Named => match NAMED.iter().find(|(_, known)| *known == c) {
                Some((name, _)) => format!("&{name};"),
                None => c.to_string(),
            },
            Self::Line => format!("{c}\n"),
            Self::Indented => format!("{c}\r\n  "),
            Self::JsonLine => format!("{c}\\n"),
        }
    }

    fn breaks(self) -> bool {
        matches!(self, Self::Line | Self::Indented | Self::JsonLine)
    }
}

/// The visible characters that have a name in HTML, by their first name, and two that are often written for `-` and
/// `~`.
pub const NAMED: [(&str, char); 36] = [
    ("excl", '!'),
    ("quot", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("hyphen", '-'),
    ("dash", '-'),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("Tilde", '~'),
];

/// A part of the text.
#[derive(Debug)]
enum Piece {
    Text(String),
    Run {
        which: u8,
        from: u8,
        length: u8,
        behind: u8,
        encodings: Vec<Encoding>,
    },
    Source,
}

#[derive(Debug)]
struct Input {
    kind: u8,
    flags: u8,
    secret: String,
    pieces: Vec<Piece>,
}

/// What a bearer token may have (RFC 6750 §2.1).
const TOKEN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = input::byte(u)? % 4;
        let flags = input::byte(u)?;
        let visible = |byte: &u8| match byte {
            b'!'..=b'~' if kind != 0 || TOKEN.contains(byte) => char::from(*byte),
            byte if kind == 0 => char::from(TOKEN[usize::from(*byte) % TOKEN.len()]),
            byte => char::from(b'!' + byte % (b'~' - b'!' + 1)),
        };
        let secret: String = input::short(u)?.iter().take(64).map(visible).collect();
        let mut pieces = Vec::new();
        while !u.is_empty() && pieces.len() < 32 {
            pieces.push(match input::pick(u, &CODES)? {
                Code::Text => Piece::Text(input::text(input::short(u)?)),
                Code::Run => Piece::Run {
                    which: input::byte(u)?,
                    from: input::byte(u)?,
                    length: input::byte(u)?,
                    behind: input::byte(u)?,
                    encodings: {
                        let list = input::short(u)?.iter();
                        let pick = |byte: &u8| ENCODINGS[usize::from(*byte) % ENCODINGS.len()];
                        list.map(pick).collect()
                    },
                },
                Code::Source => Piece::Source,
            });
        }
        Ok(Self {
            kind,
            flags,
            secret: if secret.is_empty() {
                "x".into()
            } else {
                secret
            },
            pieces,
        })
    }
}

/// So many characters of a secret are recognised; of a shorter one, all of it.
const RUN: usize = 12;

/// Stands behind a run of a secret, without a space or a quote between.
const BEHIND: &str = "(behind-a-secret)";

/// The text, part by part, for each source of an error.
fn texts(pieces: &[Piece], secrets: &[String]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for piece in pieces {
        let text = texts.last_mut().expect("there is one");
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Source => texts.push(String::new()),
            Piece::Run {
                which,
                from,
                length,
                behind,
                encodings,
            } => {
                let secret = &secrets[usize::from(*which) % secrets.len()];
                let least = RUN.min(secret.len());
                let from = usize::from(*from) % (secret.len() - least + 1);
                let longer = usize::from(*length) % (secret.len() - from - least + 1);
                let run = &secret[from..from + least + longer];
                if *behind > 0 {
                    // Else what stands before it may be half of an escape, whose other half it becomes.
                    text.push('<');
                }
                let mut encodings = encodings.iter().cycle();
                for (n, c) in run.chars().enumerate() {
                    let encoding = *encodings.next().unwrap_or(&Encoding::Plain);
                    // At its end, a line break would be the end of what belongs to it.
                    let is_last = n + 1 == run.len();
                    match encoding.breaks() && is_last {
                        true => text.push(c),
                        false => text.push_str(&encoding.of(c)),
                    }
                }
                if *behind > 0 {
                    text.push_str(BEHIND);
                }
            }
        }
    }
    texts
}

/// How a text of these pieces is shown, but for escapes and a cut: each run is replaced to the end of its word. `None`
/// where that is not so clear: a secret looks encoded, or the word ends with the run. There may be other runs.
fn redacted(pieces: &[Piece], secrets: &[String]) -> Option<String> {
    let mut shown = String::new();
    let mut is_hidden = false;
    for piece in pieces {
        match piece {
            Piece::Text(part) => {
                let is_end = |c: char| c.is_whitespace() || "\"'`".contains(c);
                let hidden = match is_hidden {
                    true => part.find(is_end),
                    false => Some(0),
                };
                is_hidden = hidden.is_none();
                shown.push_str(&part[hidden.unwrap_or(part.len())..]);
            }
            Piece::Source => {}
            Piece::Run { which, behind, .. } => {
                let secret = &secrets[usize::from(*which) % secrets.len()];
                let is_unclear = |c: char| "%&\\\"'`<(".contains(c);
                if *behind == 0 || secret.contains(is_unclear) {
                    return None;
                }
                if !is_hidden {
                    shown.push_str("<[redacted]");
                }
                is_hidden = true;
            }
        }
    }
    Some(shown)
}

/// What a text begins with that stands for something else: for which bytes, and in how many it is written.
fn decoded(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let number = |digits: &[u8], radix: u32| -> Option<u32> {
        let is_number =
            !digits.is_empty() && digits.iter().all(|byte| char::from(*byte).is_digit(radix));
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
        u32::from_str_radix(digits, radix).ok()
    };
    let character = |code: u32| Some(char::from_u32(code)?.to_string().into_bytes());
    match text[0] {
        b'\n' | b'\r' => {
            let rest = text[1..].iter();
            let spaces = rest.take_while(|byte| byte.is_ascii_whitespace()).count();
            Some((Vec::new(), 1 + spaces))
        }
        b'%' => {
            let byte = number(text.get(1..3)?, 16)?;
            Some((vec![u8::try_from(byte).ok()?], 3))
        }
        b'\\' => match *text.get(1)? {
            b'u' if text.get(2) == Some(&b'{') => {
                let end = text.iter().position(|byte| *byte == b'}')?;
                let code = number(text.get(3..end)?, 16).filter(|_| end <= 9)?;
                Some((character(code)?, end + 1))
            }
            b'u' => {
                let unit = |at: usize| number(text.get(at..at + 4)?, 16);
                let first = unit(2)?;
                let second = match text.get(6..8) {
                    Some(b"\\u") => unit(8),
                    _ => None,
                };
                let pair = [Some(first), second].into_iter().flatten();
                let pair: Vec<u16> = pair.map(|unit| unit as u16).collect();
                match char::decode_utf16(pair).next()? {
                    Ok(c) => Some((c.to_string().into_bytes(), 6 * c.len_utf16())),
                    Err(_) => None,
                }
            }
            b'x' => Some((character(number(text.get(2..4)?, 16)?)?, 4)),
            b'n' => Some((b"\n".into(), 2)),
            b'r' => Some((b"\r".into(), 2)),
            b't' => Some((b"\t".into(), 2)),
            b'b' => Some((b"\x08".into(), 2)),
            b'f' => Some((b"\x0c".into(), 2)),
            c @ (b'"' | b'\'' | b'\\' | b'/') => Some((vec![c], 2)),
            _ => None,
        },
        b'&' => {
            let (value, length) = if text.get(1) == Some(&b'#') {
                let (radix, from) = match text.get(2)? {
                    b'x' | b'X' => (16, 3),
                    _ => (10, 2),
                };
                let digits = text[from..].iter();
                let digits = digits.take_while(|byte| char::from(**byte).is_digit(radix));
                let end = from + digits.count();
                (character(number(&text[from..end], radix)?)?, end)
            } else {
                let is_named = |(name, _): &&(&str, char)| text[1..].starts_with(name.as_bytes());
                // One is the beginning of another.
                let named = NAMED.iter().filter(is_named);
                let (name, c) = named.max_by_key(|(name, _)| name.len())?;
                (c.to_string().into_bytes(), 1 + name.len())
            };
            Some((value, length + usize::from(text.get(length) == Some(&b';'))))
        }
        _ => None,
    }
}

/// A text as it is, and after each decoding up to so many.
fn layers(text: &[u8], decodings: usize) -> Vec<Vec<u8>> {
    let mut layers = vec![text.to_vec()];
    for n in 0..decodings {
        let (mut next, mut rest) = (Vec::new(), layers[n].as_slice());
        while !rest.is_empty() {
            let (bytes, length) = decoded(rest).unwrap_or_else(|| (vec![rest[0]], 1));
            next.extend(bytes);
            rest = &rest[length..];
        }
        if next == layers[n] {
            // And so will it be.
            break;
        }
        layers.push(next);
    }
    layers
}

/// Whether a text has a run of a secret, or all of it if it is shorter.
fn has_run(text: &[u8], secret: &[u8]) -> bool {
    let length = RUN.min(secret.len());
    if length == 0 {
        return false;
    }
    // Most places are told by their first two bytes.
    let runs: Vec<&[u8]> = secret.windows(length).collect();
    let pair = |run: &[u8]| usize::from(run[0]) * 256 + usize::from(*run.get(1).unwrap_or(&0));
    let mut begins = vec![false; 1 << 16];
    runs.iter().for_each(|run| begins[pair(run)] = true);
    let mut parts = text.windows(length).filter(|part| begins[pair(part)]);
    parts.any(|part| runs.contains(&part))
}

/// Whether anything in the text may be taken for a secret: a secret may itself look as if it were encoded.
fn may_have_run(text: &str, secrets: &[String]) -> bool {
    let layers = layers(text.as_bytes(), 4);
    let mut needles = secrets
        .iter()
        .flat_map(|secret| self::layers(secret.as_bytes(), 4));
    needles.any(|needle| layers.iter().any(|layer| has_run(layer, &needle)))
}

/// Whether what is shown of a text has a run of a secret, as it is or decoded.
fn shows_run(shown: &str, secret: &str) -> bool {
    // What core puts in: a word for a secret, and escapes.
    let shown = unescaped(&shown.replace("[redacted]", "\0"));
    let mut layers = layers(shown.as_bytes(), 3).into_iter();
    layers.any(|layer| has_run(&layer, secret.as_bytes()))
}

/// A text with the characters that were escaped because they must not be shown.
fn unescaped(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once("\\u{") {
        text.push_str(before);
        let escape = after.split_once('}').and_then(|(digits, after)| {
            let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            is_unsafe_to_show(c).then_some((c, after))
        });
        match escape {
            Some((c, after)) => {
                text.push(c);
                rest = after;
            }
            None => {
                text.push_str("\\u{");
                rest = after;
            }
        }
    }
    text + rest
}

/// A text as it is shown if it has no secret.
fn escaped(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= limit {
            return shown + "…";
        }
        match is_unsafe_to_show(c) {
            true => shown += &format!("\\u{{{:x}}}", u32::from(c)),
            false => shown.push(c),
        }
    }
    shown
}

/// An error of another library.
#[derive(Debug)]
struct Foreign {
    text: String,
    source: Option<Box<Foreign>>,
}

impl Foreign {
    fn new(texts: &[String]) -> Self {
        let (text, rest) = texts.split_first().expect("there is one");
        Self {
            text: text.clone(),
            source: (!rest.is_empty()).then(|| Box::new(Self::new(rest))),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Foreign {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_deref()?)
    }
}

/// What an error shows: all of it, and its texts from outside with what they were.
struct Shown {
    /// Which the session knew.
    secrets: Vec<String>,
    all: Vec<String>,
    texts: Vec<(String, String)>,
}

/// A session, and what it is told.
/// Credentials with the secret, but for the last kind, whose secret is an issued token.
fn credentials(kind: u8, secret: &str) -> Result<Credentials, InvalidValue> {
    match kind {
        0 => Credentials::bearer(secret),
        1 => Credentials::service_account(CLIENT_ID, secret),
        2 => Credentials::api_key("abcdefgh", secret),
        _ => Credentials::service_account(CLIENT_ID, CLIENT_SECRET),
    }
}

struct World<'a> {
    kind: u8,
    secret: &'a str,
    status: u16,
    limits: Limits,
    texts: &'a [String],
    shown: Vec<Shown>,
}

const CLIENT_ID: &str = "mdb_sa_id_1";
const CLIENT_SECRET: &str = "mdb_sa_sk_0123456789abcdef";
const ISSUED: &str = "an-issued-token-0123456789";

/// The secrets that a session knows.
fn secrets(kind: u8, secret: &str) -> Vec<String> {
    let account = |client_secret: &str| {
        let pair = BASE64_STANDARD.encode(format!("{CLIENT_ID}:{client_secret}"));
        vec![client_secret.to_owned(), pair]
    };
    match kind {
        0 | 2 => vec![secret.into()],
        1 => account(secret),
        _ => [vec![secret.into()], account(CLIENT_SECRET)].concat(),
    }
}

fn moment() -> Moment {
    Moment::new(Duration::from_secs(1_790_000_000), [7; 16])
}

fn response(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("it is one");
    response
}

/// Statuses of answers, of each kind that has an outcome of its own.
pub const STATUSES: [u16; 11] = [206, 302, 400, 401, 403, 404, 406, 429, 500, 503, 600];

impl World<'_> {
    fn session(&self) -> Session {
        let credentials = credentials(self.kind, self.secret).expect("they are in order");
        Session::new(BaseUrl::default(), credentials).with_limits(self.limits.clone())
    }

    fn list(is_enveloped: bool) -> ListRequest {
        let group = GroupId::new("0123456789abcdef01234567").expect("it is one");
        ListRequest::new(group).with_envelope(is_enveloped)
    }

    /// A session with its first request, which may be one for a token.
    fn started(&self, is_enveloped: bool) -> (Session, Pending) {
        let mut session = self.session();
        let step = session.start::<Vec<u8>>(&Self::list(is_enveloped), moment());
        (session, sent(step))
    }

    /// A session that has sent a request for a page. It has a token, if it needs one, and has answered a challenge.
    fn asked(&self, is_enveloped: bool) -> (Session, Pending) {
        let (mut session, mut pending) = self.started(is_enveloped);
        if pending.is_for_token() {
            let token = if self.kind == 3 { self.secret } else { ISSUED };
            let body = json!({ "access_token": token }).to_string();
            pending = sent(session.respond(pending, response(200, body), moment()));
        }
        if self.kind == 2 {
            let mut challenge = response(401, "");
            let digest = HeaderValue::from_static(r#"Digest realm="r", nonce="n", qop="auth""#);
            challenge.headers_mut().insert(WWW_AUTHENTICATE, digest);
            pending = sent(session.respond(pending, challenge, moment()));
        }
        (session, pending)
    }

    fn text(&self) -> String {
        self.texts.concat()
    }

    /// The text of an error and its sources: what is already there is not added again.
    fn chain(&self) -> String {
        let (first, rest) = self.texts.split_first().expect("there is one");
        let mut all = first.clone();
        for text in rest.iter().take(16) {
            if !all.contains(text.as_str()) {
                all = format!("{all}: {text}");
            }
        }
        all
    }

    /// Keeps what an error shows, of a session that has got as far as the list or not.
    fn error(&mut self, error: &Error, is_asked: bool, texts: Vec<(String, String)>) {
        let mut all = vec![error.to_string(), format!("{error:?}")];
        let mut next = error.source();
        while let Some(source) = next {
            all.extend([source.to_string(), format!("{source:?}")]);
            next = source.source();
        }
        let mut secrets = secrets(self.kind, self.secret);
        match self.kind {
            1 if is_asked => secrets.push(ISSUED.into()),
            3 if !is_asked => _ = secrets.remove(0),
            _ => {}
        }
        self.shown.push(Shown {
            all,
            texts,
            secrets,
        });
    }

    /// The transport's error, given to everything that takes one.
    fn transports(&mut self) {
        for kind in [
            FailureKind::NotSent,
            FailureKind::Lost,
            FailureKind::TimedOut,
            FailureKind::Permanent,
        ] {
            let failure = || failure(kind, self.texts);
            let (session, pending) = self.started(false);
            let error = session.transport_error(failure(), 0);
            self.transport(&error, false);
            let error = session.give_up(pending, failure());
            self.transport(&error, false);
            let (mut session, pending) = self.asked(false);
            let error = match session.fail::<Vec<u8>>(pending, failure(), moment()) {
                Err(error) => error,
                Ok(Step::Wait(wait)) => {
                    let (_, source) = wait.failure().expect("it is why it waits");
                    let text = source.to_string();
                    let error = wait.give_up();
                    assert_eq!(error.source().map(ToString::to_string), Some(text));
                    error
                }
                Ok(other) => panic!("{other:?}"),
            };
            self.transport(&error, true);
        }
    }

    fn transport(&mut self, error: &Error, is_asked: bool) {
        let Error::Transport { source, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.expose().to_string(), self.texts[0]);
        let texts = vec![(source.to_string(), self.chain())];
        self.error(error, is_asked, texts);
    }

    /// Error objects with the text in each field; each with what is in the header `X-Error-Code`.
    fn objects(&self) -> Vec<(String, Option<HeaderValue>)> {
        let text = self.text();
        let object = json!({
            "error": 400, "errorCode": text, "reason": text, "detail": text,
            "parameters": [text, 7, text],
            "badRequestDetail": {"fields": [{"field": text, "description": text}, {"field": text}]},
        });
        let header = HeaderValue::from_str(&text)
            .ok()
            .filter(|value| value.to_str().is_ok());
        vec![
            (object.to_string(), None),
            (json!({"status": 404, "content": object}).to_string(), None),
            (
                json!({"error": text, "error_description": text}).to_string(),
                None,
            ),
            (json!({"status": 404, "detail": text}).to_string(), header),
            // As it stands: what is escaped in it becomes what it stands for.
            (format!(r#"{{"error":404,"detail":"{text}"}}"#), None),
            (text, None),
        ]
    }

    /// Which texts an answer has, by what it was made of.
    fn answer(
        &self,
        answer: &ApiError,
        body: &str,
        header: Option<&HeaderValue>,
    ) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        let mut same = |shown: &Option<String>, raw: Option<&str>| {
            assert_eq!(shown.is_some(), raw.is_some(), "{shown:?} of {raw:?}");
            texts.extend(shown.clone().zip(raw.map(str::to_owned)));
        };
        let header = header.and_then(|value| value.to_str().ok());
        let top = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
        let is_read = body.len() <= self.limits.error_body_bytes && top.is_object();
        let object = match (is_read, top.get("content")) {
            (false, _) => json!({}),
            (true, Some(content)) if content.is_object() => content.clone(),
            (true, _) => top,
        };
        let text = |name: &str| object[name].as_str();
        same(
            &answer.error_code,
            text("errorCode").or(text("error")).or(header),
        );
        same(&answer.reason, text("reason"));
        same(&answer.detail, text("detail").or(text("error_description")));
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        for (shown, raw) in answer.parameters.iter().zip(list(&object["parameters"])) {
            let raw = raw.as_str().map_or(raw.to_string(), str::to_owned);
            same(&Some(shown.clone()), Some(&raw));
        }
        let fields = list(&object["badRequestDetail"]["fields"]);
        for (shown, raw) in answer.fields.iter().zip(fields) {
            same(&shown.field, raw["field"].as_str());
            same(&shown.description, raw["description"].as_str());
        }
        texts
    }

    /// What came of an answer.
    fn came_of(
        &mut self,
        next: Result<Step<Vec<u8>>, Error>,
        is_asked: bool,
        body: &str,
        header: Option<&HeaderValue>,
    ) {
        let (error, answer) = match next {
            Err(error) => {
                let answer = error
                    .api_error()
                    .map(|answer| self.answer(answer, body, header));
                (error, answer)
            }
            Ok(Step::Wait(wait)) => {
                let answer = wait
                    .api_error()
                    .map(|answer| self.answer(answer, body, header));
                (wait.give_up(), answer)
            }
            Ok(Step::Done(reply)) => return self.page(reply, body, header),
            // Another version, or another token.
            Ok(Step::Send(_)) => return,
        };
        self.error(&error, is_asked, answer.unwrap_or_default());
    }

    fn page(&mut self, reply: Reply<Vec<u8>>, body: &str, header: Option<&HeaderValue>) {
        if let Err(error) = reply.into_page() {
            let answer = error
                .api_error()
                .map(|answer| self.answer(answer, body, header));
            self.error(&error, true, answer.unwrap_or_default());
        }
    }

    /// The text in answers to everything that is asked.
    fn answers(&mut self) {
        for (body, header) in self.objects() {
            let respond = |status: u16| {
                let mut response = response(status, body.clone());
                if let Some(header) = &header {
                    let name = HeaderName::from_static("x-error-code");
                    response.headers_mut().insert(name, header.clone());
                }
                response
            };
            let status = self.status;
            let (mut session, pending) = self.asked(false);
            let next = session.respond(pending, respond(status), moment());
            self.came_of(next, true, &body, header.as_ref());
            let (mut session, pending) = self.started(false);
            if pending.is_for_token() {
                let next = session.respond(pending, respond(status), moment());
                self.came_of(next, false, &body, header.as_ref());
            }
            if let Err(error) = session.revoked(&respond(status), moment()) {
                let answer = error.api_error().expect("it is one");
                let texts = self.answer(answer, &body, header.as_ref());
                self.error(&error, false, texts);
            }
            for is_enveloped in [false, true] {
                let (mut session, pending) = self.asked(is_enveloped);
                let next = session.respond(pending, respond(200), moment());
                self.came_of(next, true, &body, header.as_ref());
            }
            // A token that is none.
            let (mut session, pending) = self.started(false);
            if pending.is_for_token()
                && let Err(error) = session.respond(pending, respond(200), moment())
            {
                self.error(&error, false, Vec::new());
            }
        }
        // What a page or a token must not have, with the text as its name and its value.
        let text = self.text();
        for body in [
            json!({ "results": [{"name": [text]}] }),
            json!({ "results": text }),
            json!({ &text: 1, "links": [{"rel": {&text: text}}] }),
            json!({ "access_token": {&text: text} }),
            json!({ "access_token": format!("\n{text}") }),
            json!({ "access_token": "t", "token_type": text }),
        ] {
            let body = body.to_string();
            let (mut session, pending) = self.asked(false);
            if let Ok(Step::Done(reply)) =
                session.respond(pending, response(200, body.clone()), moment())
                && let Err(error) = reply.into_page()
            {
                self.error(&error, true, Vec::new());
            }
            let (mut session, pending) = self.started(false);
            if pending.is_for_token()
                && let Err(error) = session.respond(pending, response(200, body), moment())
            {
                self.error(&error, false, Vec::new());
            }
        }
    }
}

fn failure(kind: FailureKind, texts: &[String]) -> Failure {
    let failure = Failure::new(kind, Foreign::new(texts));
    let shown = format!("{failure:?}");
    assert_eq!(shown, format!("Failure {{ kind: {kind:?}, .. }}"));
    failure
}

fn sent(step: Result<Step<Vec<u8>>, Error>) -> Pending {
    match step {
        Ok(Step::Send(Exchange { pending, .. })) => pending,
        other => panic!("{other:?}"),
    }
}

/// Everything that is shown of these texts.
fn shown(input: &Input, limits: &Limits, texts: &[String]) -> Vec<Shown> {
    let mut world = World {
        kind: input.kind,
        secret: &input.secret,
        status: STATUSES[usize::from(input.flags >> 1) % STATUSES.len()],
        limits: limits.clone(),
        texts,
        shown: Vec::new(),
    };
    world.transports();
    world.answers();
    world.shown
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(mut input) = input::read::<Input>(bytes) else {
        return;
    };
    if credentials(input.kind, &input.secret).is_err() {
        // What looks like a slip, such as a quotation mark at the end, is refused there. A server may issue it.
        input.kind = 3;
    }
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::default();
    if input.flags & SMALL != 0 {
        limits.detail_bytes = 40;
    }
    let secrets = secrets(input.kind, &input.secret);
    let texts = texts(&input.pieces, &secrets);
    let text = texts.concat();
    let redacted = redacted(&input.pieces, &secrets);
    // Most are shown more than once.
    let mut distinct = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
    for one in shown(&input, &limits, &texts) {
        let (all, texts) = distinct.entry(one.secrets).or_default();
        all.extend(one.all);
        texts.extend(one.texts);
    }
    for (secrets, (all, texts)) in distinct {
        for (shown, raw) in texts {
            // What crosses the limit is written to its end, and an ellipsis after it.
            let most = limits.detail_bytes + 10 + '…'.len_utf8();
            assert!(shown.len() <= most, "{shown}");
            assert!(!shown.chars().any(is_unsafe_to_show), "{shown:?}");
            for secret in &secrets {
                let is_shown = shows_run(&shown, secret);
                assert!(!is_shown, "{secret:?} is in {shown:?}, of {raw:?}");
            }
            // A token is not known before it has come.
            let is_known = secrets.contains(&input.secret);
            let is_text = is_known && raw == text;
            if let Some(redacted) = redacted.as_ref().filter(|_| is_text)
                && !may_have_run(redacted, &secrets)
            {
                assert_eq!(shown, escaped(redacted, limits.detail_bytes), "{raw:?}");
            }
            if !may_have_run(&raw, &secrets) {
                assert_eq!(shown, escaped(&raw, limits.detail_bytes), "{secrets:?}");
            }
        }
        for shown in all {
            assert!(shown.len() < 40 * (1024 + 16), "{} bytes", shown.len());
            assert!(!shown.chars().any(is_unsafe_to_show), "{shown:?}");
            let layers = layers(shown.replace("[redacted]", "\0").as_bytes(), 1);
            // Short ones are in any text, and what is escaped may look like a part of one that has escapes itself.
            let has_escapes = |secret: &str| secret.contains('\\') || secret.contains("u{");
            let is_telling = |secret: &&String| secret.len() >= RUN && !has_escapes(secret);
            for secret in secrets.iter().filter(is_telling) {
                let is_shown = layers.iter().any(|layer| has_run(layer, secret.as_bytes()));
                let is_leak = is_shown && !is_word(&input, &limits, secret);
                assert!(!is_leak, "{secret:?} is in {shown}");
            }
        }
    }
}

/// Whether the secret is a word that errors have anyway.
fn is_word(input: &Input, limits: &Limits, secret: &str) -> bool {
    let mut shown = shown(input, limits, &["-".to_owned()]).into_iter();
    shown.any(|Shown { all, .. }| {
        all.iter()
            .any(|shown| has_run(shown.as_bytes(), secret.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_of_a_secret_is_decoded_to_it() {
        let secret: String = ('!'..='~').collect();
        for encoding in ENCODINGS {
            let text: String = secret.chars().map(|c| encoding.of(c)).collect();
            let layers = layers(text.as_bytes(), 3);
            let is_found = layers.iter().any(|layer| has_run(layer, secret.as_bytes()));
            assert!(is_found, "{encoding:?}: {text}");
        }
    }

    #[test]
    fn decoding_is_as_the_table_says() {
        for (text, expected) in [
            (r"%41%6a%6A%zz%4", "Ajj%zz%4"),
            (
                r"\u0041\ud83d\ude00\u{41}\x41\ud800\u{}",
                r"A😀AA\ud800\u{}",
            ),
            (r#"\"\'\\\/\q"#, r#""'\/\q"#),
            ("\\n\\r\\t\\b\\f", "\n\r\t\u{8}\u{c}"),
            ("&#65;&#x41;&#X41&#65&#;&#x;", "AAAA&#;&#x;"),
            ("&amp;&ampx&unknown;", "&&x&unknown;"),
            ("a\r\n \tb\nc d", "abc d"),
            ("%2541", "%41"),
        ] {
            assert_eq!(
                String::from_utf8(layers(text.as_bytes(), 1).remove(1)),
                Ok(expected.into())
            );
        }
        assert_eq!(unescaped(r"a\u{1b}b\u{41}c\u{"), "a\u{1b}b\\u{41}c\\u{");
    }
}
