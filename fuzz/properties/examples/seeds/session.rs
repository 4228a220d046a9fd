//! Dialogues with a session: those of the transcripts, and the rules with both sides of each limit.

use std::time::Duration;

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::generators::session::{
    ACTION_CODES, ActionCode, BODY_TYPES, BodyType, CHOSEN_LIMITS, ENVELOPE, HEADERS, LIMITS,
    NO_RETRY_STATUSES, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP, PINNED_VERSION, RECORDED,
    SINGLE_ATTEMPT, STATUSES, WAITS_OUT_RATE_LIMITS,
};

use crate::transcripts::{Response, blocks, response};
use crate::{byte, index_of};

pub(crate) fn action(code: ActionCode) -> u8 {
    index_of(&ACTION_CODES, &code)
}

/// Converts a transcript to actions in the first slot, which are recorded.
pub(crate) fn session_input(transcript: &str) -> Vec<u8> {
    let lines: Vec<&str> = transcript.lines().collect();
    let setting = |name| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let kind = match setting("credentials").and_then(|value| value.split(' ').next()) {
        Some("bearer") => 0,
        Some("service") => 1,
        _ => 2,
    };
    let pinned = if setting("version").is_some() {
        PINNED_VERSION
    } else {
        0
    };
    let single = if setting("attempts") == Some("1") {
        SINGLE_ATTEMPT
    } else {
        0
    };
    let flags = pinned | single | RECORDED;
    let mut writer = Writer::default().byte(kind).byte(1).byte(flags);
    for block in blocks(&lines) {
        let (word, rest) = block[0].split_once(' ').unwrap_or((block[0], ""));
        let operation = OPERATIONS.iter().position(|name| *name == word);
        writer = if let Some(operation) = operation {
            let envelope = if rest.contains("envelope=true") {
                ENVELOPE
            } else {
                0
            };
            start(writer, 0, byte(operation) << OPERATION_SHIFT | envelope)
        } else if word == "<" {
            respond(
                writer.byte(action(ActionCode::Respond)).byte(0),
                &response(block),
            )
        } else if let Some(failure) = rest.split_once(": ").filter(|_| word == "!") {
            let failures = ["not sent", "lost", "permanent", "timed out"];
            let kind = index_of(&failures, &failure.0);
            writer.byte(action(ActionCode::Fail)).byte(0).byte(kind)
        } else if word == "wait" {
            let seconds = rest
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            let seconds = Duration::from_secs_f64(seconds.expect("seconds"))
                .as_millis()
                .div_ceil(1000);
            resume(
                clock(writer, u16::try_from(seconds).expect("a short wait"), 1),
                0,
            )
        } else if let Some(unit) = rest.strip_suffix(" later") {
            let (factor, unit) = match unit {
                "s" => (1, 1),
                "min" => (1, 2),
                _ => (60, 2),
            };
            clock(writer, factor * word.parse::<u16>().expect("a time"), unit)
        } else if word == "=" && (rest.starts_with("page") || rest.starts_with("key")) {
            writer
                .byte(action(ActionCode::Export))
                .byte(action(ActionCode::Restore))
                .byte(0)
                .short("x")
        } else {
            writer
        };
    }
    writer
        .byte(action(ActionCode::Revoke))
        .byte(0)
        .byte(0)
        .byte(2)
        .0
}

pub(crate) fn start(writer: Writer, slot: u8, flags: u8) -> Writer {
    writer
        .byte(action(ActionCode::Start))
        .byte(slot)
        .byte(flags)
}

pub(crate) fn resume(writer: Writer, slot: u8) -> Writer {
    writer.byte(action(ActionCode::Resume)).byte(slot)
}

/// Moves the clock by a number of units (see [`UNITS`](atlas_model_keys_properties::generators::session::UNITS)).
pub(crate) fn clock(writer: Writer, number: u16, unit: u8) -> Writer {
    writer
        .byte(action(ActionCode::Clock))
        .number(number)
        .byte(unit)
}

pub(crate) fn respond(writer: Writer, response: &Response) -> Writer {
    let headers: Vec<_> = response
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = HEADERS.iter().position(|(known, _)| known == name)?;
            let known = HEADERS[name].1.iter().position(|known| known == value);
            Some((u8::try_from(name).ok()?, known, value))
        })
        .take(3)
        .collect();
    let mut writer = writer
        .byte(index_of(&STATUSES, &response.status))
        .byte(byte(headers.len()));
    for (name, known, value) in headers {
        writer = match known {
            Some(known) => writer.byte(name).byte(byte(known)),
            None => writer.byte(name).byte(255).short(value),
        };
    }
    let body_type = |body: BodyType| index_of(&BODY_TYPES, &body);
    if response.body.contains("access_token") {
        return writer.byte(body_type(BodyType::Token)).short("a").byte(0);
    }
    writer.byte(body_type(BodyType::Raw)).long(&response.body)
}

/// Returns scenarios that no transcript has: refused credentials, several exchanges at the same time, and limits.
pub(crate) fn session_inputs() -> Vec<(&'static str, Vec<u8>)> {
    let start_of = start;
    let start = |writer, slot| start(writer, slot, 0);
    let friendly = |writer: Writer, slot| writer.byte(action(ActionCode::Friendly)).byte(slot);
    let with = |writer: Writer, slot, status, header: (&str, usize)| {
        let (name, value) = header;
        let response = Response {
            status,
            headers: HEADERS
                .iter()
                .filter(|(known, _)| *known == name)
                .map(|(known, values)| ((*known).to_owned(), values[value].to_owned()))
                .collect(),
            body: r#"{"results":[]}"#.to_owned(),
        };
        respond(
            writer.byte(action(ActionCode::Respond)).byte(slot),
            &response,
        )
    };
    let session = |kind: u8, flags: u8| Writer::default().byte(kind).byte(0).byte(flags);

    let mut refused = start(session(2, 0), 0);
    for _ in 0..2 {
        refused = with(refused, 0, 401, ("www-authenticate", 0));
    }
    // Exchanges in every slot, with each type of credential, which receive only refusals at the end.
    let under_way = |kind| (0..4).fold(session(kind, 0), start);
    let mut stale = start(session(2, 0), 0);
    for _ in 0..4 {
        stale = with(stale, 0, 401, ("www-authenticate", 1));
    }
    let left = with(start(session(0, 0), 0), 0, 200, ("ratelimit-remaining", 0));
    let left = friendly(resume(start(start(left, 0), 1), 1), 0);
    let held = with(
        start(start(session(0, 0), 0), 1),
        0,
        429,
        ("retry-after", 3),
    );
    let held = start(with(held, 1, 503, ("retry-after", 2)), 2)
        .byte(action(ActionCode::GiveUp))
        .byte(2);
    let set_back = with(start(session(0, 0), 0), 0, 429, ("retry-after", 3));
    let set_back = start(
        set_back
            .byte(action(ActionCode::Clock))
            .number((-3_i16).cast_unsigned())
            .byte(1),
        1,
    );
    let set_back = with(set_back, 1, 429, ("x-other", 0))
        .byte(action(ActionCode::Clock))
        .number(5)
        .byte(1);
    let set_back = start(set_back, 2);
    let followed = start(start(start(session(1, 0), 0), 1), 2);
    let followed = resume(
        friendly(friendly(followed, 0), 0)
            .byte(action(ActionCode::Drop))
            .byte(1),
        2,
    );
    let renewed = friendly(start(session(1, 0), 0), 0);
    let renewed = with(
        friendly(with(renewed, 0, 401, ("x-other", 0)), 0),
        0,
        401,
        ("x-other", 0),
    );
    // A response to a request with the first token repeats that token after a second one was issued.
    let echo = |writer: Writer, slot| {
        writer
            .byte(action(ActionCode::Respond))
            .byte(slot)
            .byte(index_of(&STATUSES, &400))
            .byte(0)
            .byte(index_of(&BODY_TYPES, &BodyType::AllSecrets))
    };
    let late = friendly(start(friendly(start(session(1, 0), 0), 0), 1), 2);
    let late = friendly(with(start(late, 2), 0, 401, ("x-other", 0)), 0);
    let late = echo(echo(late, 1), 2);
    let once = with(start(session(0, 4), 0), 0, 503, ("retry-after", 1));
    let unrepeated = with(start(session(0, 8), 0), 0, 429, ("retry-after", 1));
    let lost = |writer: Writer| writer.byte(action(ActionCode::Fail)).byte(0).byte(1);
    let lost = lost(resume(lost(start(session(1, 0), 0)), 0));
    let clock = |writer, seconds| clock(writer, seconds, 1);
    // An exchange that fetches a token is silent for more than a minute, then fails, resumes, or receives a token.
    let abandoned = start(clock(start(session(1, 0), 0), 61), 1);
    let late_failure = with(abandoned.clone(), 0, 503, ("x-other", 0));
    let late_failure = resume(clock(late_failure, 9), 0);
    let late_token = friendly(start(friendly(abandoned.clone(), 0), 2), 1);
    let late_wait = with(start(session(1, 0), 0), 0, 429, ("retry-after", 2));
    let late_wait = resume(friendly(start(clock(late_wait, 90), 1), 1), 0);
    // Two token requests may have issued a token.
    let issued = with(start(session(1, 0), 0), 0, 500, ("x-other", 0));
    let issued = with(resume(issued, 0), 0, 600, ("x-other", 0));
    // A request that is counted as in flight is silent for more than a minute.
    let place = with(start(session(0, 0), 0), 0, 200, ("ratelimit-remaining", 0));
    let place = start(clock(start(place, 0), 61), 1);
    let place = with(place, 1, 200, ("ratelimit-remaining", 0));
    let place = start(start(place, 2), 3);
    let fraction = with(start(session(0, 0), 0), 0, 503, ("retry-after", 8));
    let partial_page = with(start(session(0, 0), 0), 0, 206, ("x-other", 0));
    // A token in another success than 200 is not accepted.
    let partial_token = with(start(session(1, 0), 0), 0, 206, ("x-other", 0));
    let partial_token = start(partial_token, 1)
        .byte(action(ActionCode::Respond))
        .byte(1);
    let partial_token = partial_token
        .byte(index_of(&STATUSES, &206))
        .byte(0)
        .byte(index_of(&BODY_TYPES, &BodyType::Token))
        .short("a")
        .byte(0);
    // A body beyond the limit for errors, and one beyond the limit for pages.
    let raw = Response {
        status: 404,
        headers: Vec::new(),
        body: format!(r#"{{"detail":"{}"}}"#, "x".repeat(500)),
    };
    let large = respond(
        start(session(0, 2), 0)
            .byte(action(ActionCode::Respond))
            .byte(0),
        &raw,
    );
    let raw = Response { status: 200, ..raw };
    let large = respond(
        start(large, 0).byte(action(ActionCode::Respond)).byte(0),
        &raw,
    );
    let cable = start(session(2, 0), 0)
        .byte(action(ActionCode::Fail))
        .byte(0)
        .byte(0);
    let cable = resume(cable, 0).byte(action(ActionCode::GiveUp)).byte(0);
    let gone = with(start(session(0, 0), 0), 0, 406, ("x-other", 0));
    let gone = with(gone, 0, 410, ("x-other", 0));
    let token = index_of(&BODY_TYPES, &BodyType::Token);
    let long = start(session(1, 2), 0)
        .byte(action(ActionCode::Respond))
        .byte(0)
        .byte(0)
        .byte(0);
    let long = long.byte(token).short("x".repeat(70)).byte(0);
    let foreign = start(session(1, 2), 0)
        .byte(action(ActionCode::Foreign))
        .byte(0);
    let moved = with(start(session(0, 0), 0), 0, 410, ("x-other", 0));
    let moved = friendly(with(moved, 0, 429, ("retry-after", 1)), 0);
    let longer = with(start(session(0, 2), 0), 0, 429, ("retry-after", 2));
    let longer = with(
        resume(longer.byte(action(ActionCode::Clock)).number(9).byte(1), 0),
        0,
        429,
        ("retry-after", 2),
    );
    // The operations share a session, but their scopes and versions are their own.
    let every = |writer: Writer, slots: [u8; 4]| {
        (0..).zip(slots).fold(writer, |writer, (slot, operation)| {
            start_of(writer, slot, operation << OPERATION_SHIFT)
        })
    };
    let to_each = |writer, status, header| {
        (0..4).fold(writer, |writer, slot| with(writer, slot, status, header))
    };
    let scopes = to_each(every(session(0, 0), [0, 1, 3, 4]), 429, ("retry-after", 3));
    let scopes = every(scopes, [2, 3, 1, 4]);
    // Only one scope is paused, and then another one for longer.
    let paused = with(
        every(session(0, 0), [3, 0, 4, 2]),
        0,
        429,
        ("retry-after", 3),
    );
    let paused = every(with(paused, 2, 429, ("retry-after", 4)), [0, 2, 1, 3]);
    let unlike = to_each(
        every(session(1, 0), [2, 0, 4, 1]),
        200,
        ("ratelimit-remaining", 0),
    );
    let unlike = every(friendly(unlike, 0), [1, 3, 0, 4]);
    let versions = to_each(
        every(session(0, PINNED_VERSION), [0, 1, 2, 4]),
        410,
        ("x-other", 0),
    );
    let versions = to_each(versions, 406, ("x-other", 0));
    let moved_key = to_each(every(session(2, 0), [2, 3, 4, 0]), 406, ("x-other", 0));
    // More rate limits than attempts, before and after another token.
    let waited_out = |writer| {
        (0..6).fold(writer, |writer, _| {
            resume(clock(with(writer, 0, 429, ("retry-after", 0)), 41), 0)
        })
    };
    let waited = waited_out(start(session(0, WAITS_OUT_RATE_LIMITS), 0));
    let renewed_late = friendly(start(session(1, WAITS_OUT_RATE_LIMITS), 0), 0);
    let renewed_late = with(waited_out(renewed_late), 0, 401, ("x-other", 0));
    let renewed_late = waited_out(friendly(waited_out(renewed_late), 0));
    [
        ("scopes", scopes),
        ("paused", paused),
        ("unlike", unlike),
        ("versions", versions),
        ("moved-key", moved_key),
        ("waited-out", waited),
        ("renewed-late", renewed_late),
        ("cable", cable),
        ("fraction", fraction),
        ("issued", issued),
        ("late", late),
        ("late-failure", late_failure),
        ("late-token", late_token),
        ("late-wait", late_wait),
        ("long-token", long),
        ("longer", longer),
        ("lost", lost),
        ("partial", partial_page),
        ("partial-token", partial_token),
        ("large", large),
        ("place", place),
        ("refused", refused),
        ("set-back", set_back),
        ("stale", stale),
        ("under-way-0", under_way(0)),
        ("under-way-1", under_way(1)),
        ("under-way-2", under_way(2)),
        ("left", left),
        ("gone", gone),
        ("held", held),
        ("followed", followed),
        ("renewed", renewed),
        ("once", once),
        ("unrepeated", unrepeated),
        ("foreign", foreign),
        ("moved", moved),
    ]
    .map(|(name, writer)| (name, writer.0))
    .into()
}

/// The bytes of a dialogue with a session, for [`session_rules`].
#[derive(Clone)]
pub(crate) struct Scenario(pub(crate) Writer);

pub(crate) const BEARER: u8 = 0;

pub(crate) const SERVICE_ACCOUNT: u8 = 1;

pub(crate) const API_KEY: u8 = 2;

impl Scenario {
    fn new(credential: u8, flags: u8) -> Self {
        Self(Writer::default().byte(credential).byte(0).byte(flags))
    }

    /// A session with these limits. The units of their values are in `targets/session/world.rs`.
    fn limited(credential: u8, limits: &[(&str, usize)]) -> Self {
        let new = Self::new(credential, CHOSEN_LIMITS).bytes([byte(limits.len())]);
        limits.iter().fold(new, |scenario, (name, value)| {
            scenario.bytes([index_of(&LIMITS, name), byte(*value)])
        })
    }

    fn bytes<const N: usize>(self, bytes: [u8; N]) -> Self {
        Self(self.0.rest(bytes))
    }

    fn start(self, slot: u8) -> Self {
        self.start_with(slot, 0)
    }

    fn start_with(self, slot: u8, flags: u8) -> Self {
        self.bytes([action(ActionCode::Start), slot, flags])
    }

    fn friendly(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Friendly), slot])
    }

    fn resume(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Resume), slot])
    }

    fn fail(self, slot: u8, kind: u8) -> Self {
        self.bytes([action(ActionCode::Fail), slot, kind])
    }

    /// Ends the exchange in a slot.
    fn cancel(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Drop), slot])
    }

    fn clock(self, seconds: i16) -> Self {
        let by = seconds.cast_unsigned();
        Self(self.0.byte(action(ActionCode::Clock)).number(by).byte(1))
    }

    fn milliseconds(self, by: u16) -> Self {
        Self(self.0.byte(action(ActionCode::Clock)).number(by).byte(0))
    }

    fn export(self) -> Self {
        self.bytes([action(ActionCode::Export)])
    }

    /// Restores the first exported token.
    fn restore(self) -> Self {
        Self(self.0.byte(action(ActionCode::Restore)).byte(0).short(""))
    }

    fn revoke(self) -> Self {
        let status = index_of(&STATUSES, &200);
        self.bytes([action(ActionCode::Revoke), status, 0, 2])
    }

    /// Responds with a status, headers and an empty page.
    fn respond(self, slot: u8, status: u16, headers: &[(&str, &str)]) -> Self {
        let body = index_of(&BODY_TYPES, &BodyType::Empty);
        self.head(slot, status, headers).bytes([body])
    }

    fn head(self, slot: u8, status: u16, headers: &[(&str, &str)]) -> Self {
        let status = index_of(&STATUSES, &status);
        let head = [
            action(ActionCode::Respond),
            slot,
            status,
            byte(headers.len()),
        ];
        headers
            .iter()
            .fold(self.bytes(head), |scenario, (name, value)| {
                let known = HEADERS.iter().position(|(known, _)| known == name);
                let name = byte(known.expect("a known header"));
                Self(scenario.0.byte(name).byte(255).short(value))
            })
    }

    fn raw(self, slot: u8, status: u16, body: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Raw);
        Self(self.head(slot, status, &[]).0.byte(kind).long(body))
    }

    /// Responds with an error object that has a code.
    fn error(self, slot: u8, status: u16, code: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Error);
        Self(self.head(slot, status, &[]).0.byte(kind).short(code))
    }

    fn enveloped(self, slot: u8, status: u16) -> Self {
        let body = index_of(&BODY_TYPES, &BodyType::Envelope);
        self.head(slot, 200, &[])
            .bytes([body, index_of(&STATUSES, &status)])
    }

    /// Responds with a token of an hour.
    fn token(self, slot: u8, end: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Token);
        Self(self.head(slot, 200, &[]).0.byte(kind).short(end).byte(0))
    }
}

/// Returns scenarios for the rules of a session, with both sides of each limit.
pub(crate) fn session_rules() -> Vec<(String, Scenario)> {
    let mut all: Vec<(String, Scenario)> = Vec::new();
    let mut add = |name: &str, scenario: Scenario| all.push((name.to_owned(), scenario));
    let account = || Scenario::new(SERVICE_ACCOUNT, 0);
    let fetched = || account().start(0).friendly(0);
    let unavailable = |scenario: Scenario| scenario.respond(0, 503, &[]).resume(0);

    // Tokens. That of `friendly` is fresh for 45 s, that of `token` for 3570 s.
    let plus = account().start(0).token(0, "a+b/c==").friendly(0);
    add("revoked-plus", plus.revoke().start(1));
    for (name, seconds) in [("restored-fresh", 44), ("restored-at-its-end", 45)] {
        let exported = fetched().friendly(0).export().revoke();
        add(name, exported.clock(seconds).restore().start(1));
        add(
            &format!("{name}-used"),
            fetched().friendly(0).clock(seconds).export().start(1),
        );
    }
    let refused = |scenario: Scenario, slot| scenario.respond(slot, 401, &[]);
    let hour = || account().start(0).token(0, "a").start(1).start(2).start(3);
    let late = refused(refused(hour(), 0), 1).friendly(0).resume(1);
    add(
        "late-401-keeps-newer-token",
        refused(late, 2)
            .friendly(0)
            .friendly(1)
            .friendly(2)
            .revoke()
            .revoke()
            .revoke(),
    );
    let second = refused(refused(hour(), 0).friendly(0), 0).start(0);
    add("second-401", refused(second.clone(), 0));
    add(
        "second-401-after-a-minute",
        refused(second.clone().clock(60), 0),
    );
    add("second-401-before-a-minute", refused(second.clock(59), 0));
    let failed = account().start(0).start(1).start(2);
    add(
        "failed-fetch-fails-followers",
        failed
            .clone()
            .error(0, 400, "x")
            .resume(1)
            .resume(2)
            .start(0),
    );
    add(
        "lost-fetch-fails-followers",
        failed.clone().fail(0, 2).resume(1).resume(2),
    );
    add(
        "cancelled-fetch-is-continued",
        failed
            .clone()
            .cancel(0)
            .resume(1)
            .resume(2)
            .friendly(1)
            .resume(2),
    );
    for seconds in [59, 60] {
        let name = format!("silent-fetch-{seconds}");
        add(
            &name,
            failed
                .clone()
                .clock(seconds)
                .resume(1)
                .friendly(0)
                .friendly(1),
        );
        let waiting = account()
            .start(0)
            .respond(0, 429, &[("retry-after", "7")])
            .start(1);
        add(
            &format!("waiting-fetch-{seconds}"),
            waiting.clock(7).clock(seconds).resume(1).resume(0),
        );
    }
    for status in [500, 502, 503, 429] {
        add(
            &format!("token-{status}"),
            unavailable(unavailable(
                account().start(0).respond(0, status, &[]).resume(0),
            )),
        );
    }
    add(
        "token-lost-twice",
        account().start(0).fail(0, 1).resume(0).fail(0, 1).start(0),
    );
    add(
        "token-not-sent",
        account()
            .start(0)
            .fail(0, 0)
            .resume(0)
            .fail(0, 0)
            .resume(0)
            .friendly(0),
    );
    add(
        "token-expires-at-once",
        account()
            .start(0)
            .raw(0, 200, r#"{"access_token":"zq7-once","expires_in":1}"#)
            .start(1),
    );
    for (name, body) in [
        ("token-in-an-array", r#"[{"access_token":"zq7-array"}]"#),
        (
            "token-for-a-fraction",
            r#"{"access_token":"zq7-fraction","expires_in":46.5}"#,
        ),
        (
            "token-for-a-text",
            r#"{"access_token":"zq7-text","expires_in":"46.5"}"#,
        ),
    ] {
        let fetched = account().start(0).raw(0, 200, body).friendly(0);
        add(name, fetched.clock(1).start(1).friendly(1));
    }
    for code in ["invalid_client", "other"] {
        let body = format!(r#"{{"error":"{code}"}}"#);
        add(
            &format!("token-refused-{code}"),
            account().start(0).start(1).raw(0, 400, &body).resume(1),
        );
    }
    for flags in [0, NO_RETRY_STATUSES] {
        for credential in [BEARER, SERVICE_ACCOUNT, API_KEY] {
            let name = format!("statuses-{credential}-{flags}");
            let statuses = [500, 599, 999, 501, 404, 301, 206];
            let each =
                statuses
                    .into_iter()
                    .fold(Scenario::new(credential, flags), |scenario, status| {
                        let fetched = match credential {
                            SERVICE_ACCOUNT => scenario.start(0).friendly(0),
                            _ => scenario.start(0),
                        };
                        fetched
                            .respond(0, status, &[])
                            .resume(0)
                            .friendly(0)
                            .friendly(0)
                    });
            add(&name, each);
        }
    }

    // Statuses in envelopes.
    for credential in [BEARER, SERVICE_ACCOUNT, API_KEY] {
        for operation in [0, 2, 4] {
            let flags = operation << OPERATION_SHIFT | ENVELOPE;
            let each =
                STATUSES
                    .into_iter()
                    .fold(Scenario::new(credential, 0), |scenario, status| {
                        let started = scenario.start_with(0, flags).friendly(0);
                        started.start_with(0, flags).enveloped(0, status).clock(100)
                    });
            add(&format!("envelope-{credential}-{operation}"), each);
        }
    }

    // Nonces.
    let digest = |nonce: &str, stale: bool| {
        format!(r#"Digest realm="r", nonce="{nonce}", qop="auth", stale={stale}"#)
    };
    let key = || Scenario::new(API_KEY, 0).start(0);
    let answered = key().respond(0, 401, &[("www-authenticate", &digest("a", false))]);
    let accepted = answered.clone().friendly(0);
    add(
        "nonce-counts",
        accepted
            .clone()
            .start(0)
            .friendly(0)
            .start(1)
            .start(2)
            .friendly(1)
            .friendly(2),
    );
    add(
        "nonce-refused-when-idle",
        accepted
            .start(0)
            .respond(0, 401, &[("www-authenticate", &digest("b", false))])
            .friendly(0)
            .start(0),
    );
    add(
        "nonce-of-an-error",
        answered
            .clone()
            .respond(0, 404, &[])
            .start(0)
            .respond(0, 503, &[])
            .resume(0)
            .friendly(0)
            .start(0),
    );
    let stale =
        |scenario: Scenario| scenario.respond(0, 401, &[("www-authenticate", &digest("s", true))]);
    add("nonce-stale", stale(stale(stale(stale(key())))));
    add(
        "nonce-stale-after-retry",
        stale(unavailable(stale(stale(stale(key()))))),
    );
    add(
        "nonce-twice",
        answered
            .clone()
            .start(1)
            .respond(1, 401, &[("www-authenticate", &digest("a", false))])
            .friendly(0)
            .friendly(1)
            .start(0)
            .start(1),
    );
    add(
        "nonce-not-allowed",
        answered
            .clone()
            .error(0, 401, "USER_UNAUTHORIZED")
            .start(0)
            .error(0, 401, "USER_UNAUTHORIZED"),
    );
    add(
        "not-allowed",
        fetched()
            .error(0, 401, "IP_ADDRESS_NOT_ON_ACCESS_LIST")
            .start(0)
            .respond(0, 401, &[("x-error-code", "ORG_REQUIRES_ACCESS_LIST")]),
    );
    // Two challenges in an even number of bytes, which is the unit of the limit.
    let two = ["z", "zz"]
        .map(|nonce| format!(r#"Basic realm="x", {}"#, digest(nonce, false)))
        .into_iter()
        .find(|two| two.len() % 2 == 0)
        .expect("one of them has an even number of bytes");
    for (limit, exact) in [("challenges", 2), ("challenge_bytes", two.len() / 2)] {
        for value in [exact - 1, exact] {
            let scenario = Scenario::limited(API_KEY, &[(limit, value)]).start(0);
            add(
                &format!("{limit}-{value}"),
                scenario
                    .respond(0, 401, &[("www-authenticate", &two)])
                    .friendly(0),
            );
        }
    }

    // Rate limits.
    for remaining in ["0", "1", "2", "128"] {
        let scenario = Scenario::new(BEARER, 0).start(0).respond(
            0,
            200,
            &[("ratelimit-remaining", remaining)],
        );
        let scenario = (0..4).fold(scenario, |scenario, slot| scenario.start(slot));
        let other = scenario.start_with(3, OTHER_GROUP).friendly(0).resume(2);
        add(
            &format!("remaining-{remaining}"),
            other.clock(60).start(1).start(2),
        );
        let scenario = Scenario::new(BEARER, 0).start(0).start(1).start(2).respond(
            0,
            200,
            &[("ratelimit-remaining", remaining)],
        );
        add(
            &format!("remaining-{remaining}-before-a-minute"),
            scenario.start(0).start(3).clock(59).resume(3).start(1),
        );
    }
    for asked in ["7", "89", "90", "91", "299", "300", "301"] {
        let scenario =
            Scenario::new(BEARER, 0)
                .start(0)
                .start(3)
                .respond(0, 429, &[("retry-after", asked)]);
        let scenario = scenario
            .start(1)
            .start_with(2, OTHER_GROUP)
            .clock(asked.parse().expect("a number"));
        add(
            &format!("pause-{asked}"),
            scenario.clone().milliseconds(1001).resume(1).start(1),
        );
        add(
            &format!("pause-{asked}-set-back"),
            scenario
                .clock(-301)
                .start(1)
                .respond(3, 429, &[("retry-after", "1")])
                .start(1),
        );
    }
    add(
        "pause-of-a-signed-request",
        answered
            .start(1)
            .start(2)
            .respond(0, 429, &[("retry-after", "17")])
            .respond(1, 401, &[("www-authenticate", &digest("b", false))])
            .resume(2)
            .clock(17)
            .resume(2),
    );
    add(
        "pause-and-version",
        Scenario::new(BEARER, 0)
            .start(0)
            .start(1)
            .respond(0, 429, &[("retry-after", "17")])
            .respond(1, 406, &[]),
    );

    let left = Scenario::new(BEARER, 0)
        .start(0)
        .respond(0, 200, &[("ratelimit-remaining", "0")]);
    add(
        "place-is-free-during-a-wait",
        left.start(0)
            .respond(0, 503, &[])
            .start(1)
            .resume(0)
            .friendly(1)
            .resume(0),
    );

    // Versions.
    for flags in [0, PINNED_VERSION] {
        let both = Scenario::new(BEARER, flags)
            .start(0)
            .start(1)
            .respond(0, 406, &[])
            .respond(1, 410, &[]);
        add(
            &format!("version-{flags}"),
            both.friendly(0)
                .respond(1, 406, &[])
                .start(2)
                .start_with(3, 2 << OPERATION_SHIFT),
        );
    }

    // Attempts and waits. The limits of waits are seconds.
    for flags in [0, SINGLE_ATTEMPT, WAITS_OUT_RATE_LIMITS] {
        for status in [429, 503] {
            let failed = Scenario::new(BEARER, flags).start(0);
            let failed = (0..6).fold(failed, |scenario, _| {
                scenario.respond(0, status, &[]).clock(41).resume(0)
            });
            add(&format!("attempts-{flags}-{status}"), failed);
        }
    }
    // Rate limits that are waited out do not count, and other failures do.
    for credential in [BEARER, SERVICE_ACCOUNT] {
        let limited = Scenario::new(credential, WAITS_OUT_RATE_LIMITS).start(0);
        for (name, statuses) in [
            ("once", [429, 503, 503, 503, 503, 503, 503]),
            ("often", [429, 429, 429, 429, 429, 429, 503]),
        ] {
            let failed = statuses
                .into_iter()
                .fold(limited.clone(), |scenario, status| {
                    scenario.respond(0, status, &[]).clock(41).resume(0)
                });
            add(&format!("waited-out-{name}-{credential}"), failed);
        }
    }
    // A value of `false` requests no envelope.
    let plain = Scenario::new(BEARER, 0).start_with(0, OTHER_GROUP);
    add("no-envelope", plain.enveloped(0, 404));
    for attempts in 0..4 {
        let failed = Scenario::limited(BEARER, &[("attempts", attempts)]).start(0);
        add(
            &format!("attempts-{attempts}"),
            (0..4).fold(failed, |scenario, _| unavailable(scenario)),
        );
        let fetch = Scenario::limited(SERVICE_ACCOUNT, &[("attempts", attempts)]).start(0);
        add(
            &format!("attempts-of-fetch-{attempts}"),
            (0..4).fold(fetch, |scenario, _| unavailable(scenario)),
        );
    }
    for (limit, values) in [("wait", [6, 7, 8]), ("total_wait", [13, 14, 15])] {
        for value in values {
            let scenario = Scenario::limited(BEARER, &[(limit, value)]).start(0);
            let seven =
                |scenario: Scenario| scenario.respond(0, 503, &[("retry-after", "7")]).resume(0);
            add(&format!("{limit}-{value}"), seven(seven(scenario)));
            let fetch = Scenario::limited(SERVICE_ACCOUNT, &[(limit, value)])
                .start(0)
                .start(1);
            add(
                &format!("{limit}-of-fetch-{value}"),
                seven(seven(fetch)).resume(1),
            );
        }
    }
    let backoff = Scenario::limited(
        BEARER,
        &[
            ("base", 49),
            ("cap", 29),
            ("attempts", 9),
            ("total_wait", 255),
        ],
    )
    .start(0);
    add(
        "backoff",
        (0..8).fold(backoff, |scenario, _| unavailable(scenario)),
    );
    let follower = Scenario::limited(SERVICE_ACCOUNT, &[("total_wait", 31)])
        .start(0)
        .start(1);
    add(
        "follower-waits-too-long",
        (0..3).fold(follower, |scenario, _| scenario.clock(20).resume(1)),
    );

    let exact = Scenario::limited(SERVICE_ACCOUNT, &[("total_wait", 30)])
        .start(0)
        .start(1);
    add(
        "follower-waits-exactly-as-long",
        exact.clock(30).resume(1).milliseconds(1).resume(1),
    );
    let day = account()
        .start(0)
        .raw(0, 200, r#"{"access_token":"zq7-day","expires_in":999999}"#);
    let minutes = |scenario: Scenario, by| {
        Scenario(
            scenario
                .0
                .byte(action(ActionCode::Clock))
                .number(by)
                .byte(2),
        )
    };
    add(
        "token-of-a-day",
        minutes(minutes(day, 1439).start(1), 1).start(2),
    );

    // Sizes: as large as the limit, and a byte larger.
    for more in [0, 1] {
        let pad = " ".repeat(more);
        let body = format!(r#"{{"results":[],"links":[]}}   {pad}"#);
        let refusal = format!(r#"{{"errorCode":"USER_UNAUTHORIZED"}}   {pad}"#);
        let issued = format!(r#"{{"access_token":"zq7-ab"}}   {pad}"#);
        let limited =
            |credential, name, size| Scenario::limited(credential, &[(name, size)]).start(0);
        let mut size = |name: &str, scenario| add(&format!("{name}-and-{more}"), scenario);
        size(
            "body",
            limited(BEARER, "body_bytes", body.len() / 4)
                .raw(0, 200, &body)
                .start(0)
                .raw(0, 404, &body),
        );
        size(
            "error-body",
            limited(BEARER, "error_body_bytes", refusal.len() / 4).raw(0, 401, &refusal),
        );
        size(
            "token-body",
            limited(SERVICE_ACCOUNT, "error_body_bytes", issued.len() / 4).raw(0, 200, &issued),
        );
        size(
            "token-bytes",
            limited(SERVICE_ACCOUNT, "token_bytes", 6 - more).raw(0, 200, &issued),
        );
        let headers = [("x-other", "1234"), ("location", "123")];
        size(
            "headers",
            limited(BEARER, "headers", 2 - more).respond(0, 200, &headers),
        );
        let longer = format!("1234{}", "5".repeat(more));
        let headers = [("x-other", longer.as_str()), ("location", "123")];
        size(
            "head",
            limited(BEARER, "head_bytes", 11).respond(0, 200, &headers),
        );
    }
    all
}
