//! A stream that is split anywhere is decoded to the same response, or the same error, as the whole stream.
//!
//! **Input**: one byte for the method of the request, one for the limits, two that seed the random splits;
//! the rest is the stream, which is closed at its end.
//!
//! **Properties**
//!
//! - Whole, byte by byte and split at random (also into empty pieces), a stream gives the same head, body, persistence
//!   and count, or the same error at the same offset.
//! - The consumed bytes and the leftover make up the stream. The consumed part alone gives the same response; without
//!   its last byte it gives none, unless the end of the stream ends the response.
//! - A stream is a response exactly if a simple parser for the grammar of RFC 9112 (as strict as
//!   [`wire`](atlas_model_keys_core::wire) documents) finds one: with the same version, status, fields (in order, unfolded),
//!   body, end and persistence. Otherwise both find the same violation, and limits at the same byte. Only a 200 is
//!   rejected for the length of its body. Any other body is truncated after one byte more than
//!   [`Limits::error_body_bytes`], or after [`Limits::body_bytes`] if that is less, and the connection is not reused.
//! - This also holds with each limit set to exactly what the response needs, and to one less.
//! - A response is within the [`Limits`]; memory is bounded by the bytes that arrived, never by an announced length.
//! - A second implementation (`ureq-proto`, the protocol of the `ureq` client) decodes an accepted stream to the same
//!   response of the same length, and the core reuses no connection that `ureq-proto` closes. `ureq-proto` decodes at
//!   least as much of a truncated body.
//!
//! The known differences from `ureq-proto` are in `oracles/ureq_response.rs`.

use atlas_model_keys_core::wire::{Decoder, Message, Progress, WireError, WireErrorKind};
use atlas_model_keys_core::{Failure, FailureKind, Limits};
use http::{HeaderValue, Version};

pub use crate::generators::wire::METHODS;

use crate::allocations;
use crate::generators::bytes as input;
use crate::generators::wire::Input;
use crate::oracles::http_grammar::{self as grammar, GrammarResponse};
use crate::oracles::ureq_response::{self, DecodedResponse, UreqResponse};

/// The result of decoding a stream.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Response {
        response: DecodedResponse,
        keep_alive: bool,
        consumed: u64,
        /// Whether the end of the stream ended the response.
        ends_with_stream: bool,
    },
    Rejected(WireError),
}

fn whole(message: Message, ends_with_stream: bool) -> Outcome {
    // `Debug` shows sizes only.
    let shown = format!("{message:?}");
    assert!(shown.starts_with("Message { status: "), "{shown}");
    Outcome::Response {
        response: DecodedResponse::new(message.response),
        keep_alive: message.keep_alive,
        consumed: message.consumed,
        ends_with_stream,
    }
}

/// Decodes a stream in pieces, and closes it. Returns the outcome and the length of the leftover.
fn read<'s>(
    input: &Input<'_>,
    pieces: impl IntoIterator<Item = &'s [u8]>,
    length: usize,
) -> (Outcome, usize) {
    let mut decoder = Decoder::new(&input.method, &input.limits);
    let mut pushed = 0;
    for piece in pieces {
        pushed += piece.len();
        let progress = decoder.push(piece);
        if piece.len() == length
            && let Ok(progress) = &progress
        {
            assert_debug_shows_sizes(progress);
        }
        decoder = match progress {
            Ok(Progress::More(decoder)) => {
                if piece.len() == length {
                    assert_debug_hides_bytes(&decoder, piece);
                }
                decoder
            }
            Ok(Progress::Done { message, leftover }) => {
                assert!(piece.ends_with(leftover));
                return (whole(message, false), length - pushed + leftover.len());
            }
            Err(error) => return (Outcome::Rejected(error), 0),
        };
    }
    assert_eq!(pushed, length);
    let outcome = match decoder.close() {
        Ok(message) => whole(message, true),
        Err(error) => Outcome::Rejected(error),
    };
    (outcome, 0)
}

/// Asserts that `Debug` of a progress shows what is left over only by its size.
fn assert_debug_shows_sizes(progress: &Progress<'_>) {
    let shown = format!("{progress:?}");
    match progress {
        Progress::More(decoder) => assert_eq!(shown, format!("More({decoder:?})")),
        Progress::Done { message, leftover } => {
            let bytes = leftover.len();
            assert_eq!(
                shown,
                format!("Done {{ message: {message:?}, leftover_bytes: {bytes} }}")
            );
        }
    }
}

/// Asserts that `Debug` of a decoder shows its progress and none of the bytes.
fn assert_debug_hides_bytes(decoder: &Decoder, taken: &[u8]) {
    let shown = format!("{decoder:?}");
    let end = format!(", consumed: {}, .. }}", taken.len());
    assert!(
        shown.starts_with("Decoder { phase: ") && shown.ends_with(&end),
        "{shown}"
    );
    assert!(shown.len() < 90, "{shown}");
}

/// Splits a stream into pieces of up to twenty bytes, some of them empty.
fn pieces(stream: &[u8], seed: u16) -> Vec<&[u8]> {
    let mut state = u32::from(seed) | 1 << 16;
    let mut rest = stream;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (state >> 24) as usize % 21;
        let (piece, left) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let stream = *input.stream;
    let ((outcome, leftover), memory) =
        allocations::measure(|| read(&input, [stream], stream.len()));
    // The bound covers the decoder, slots for parsing fields, a map of them, and the bytes that arrived: at most twice
    // (while a buffer grows) in the head and once more in the values, or in the body. `whole` formats the message.
    let head = 4 * stream.len().min(input.limits.head_bytes);
    let body = 3 * stream.len().min(input.limits.body_bytes);
    let fields = 300 * (input.limits.headers.min(stream.len() / 3) + 1);
    let most = 4096 + head + body + fields;
    assert!(
        memory <= most as u64,
        "{memory} bytes for a stream of {}",
        stream.len()
    );

    for pieces in [stream.chunks(1).collect(), pieces(stream, input.split_seed)] {
        assert_eq!(
            read(&input, pieces, stream.len()),
            (outcome.clone(), leftover)
        );
    }

    let grammar = grammar::read(&input.method, &input.limits, stream);
    compare_with_grammar(&outcome, &grammar, stream.len());
    if let Ok(grammar) = &grammar {
        assert_limits_are_exact(&input, grammar);
    }
    let is_truncated = grammar.is_ok_and(|grammar| grammar.is_truncated);
    let other = ureq_response::decode(&input.method, stream);
    match &outcome {
        Outcome::Rejected(error) => check_error(&input, *error, other.as_ref()),
        Outcome::Response {
            response,
            keep_alive,
            consumed,
            ends_with_stream,
        } => {
            let consumed = usize::try_from(*consumed).expect("no more than the stream");
            assert_eq!(consumed + leftover, stream.len());
            assert_within(&input.limits, response);
            assert!(!(*keep_alive && *ends_with_stream));
            if *ends_with_stream {
                assert_eq!(leftover, 0);
            } else {
                let (taken, _) = stream.split_at(consumed);
                let (again, left) = read(&input, [taken], consumed);
                assert!(again == outcome && left == 0);
                match read(&input, [&taken[..consumed - 1]], consumed - 1).0 {
                    Outcome::Rejected(error) => {
                        assert_eq!(error.kind(), WireErrorKind::Truncated);
                        assert_eq!(error.offset(), consumed as u64 - 1);
                    }
                    // A truncated body that the end of the stream would end is one byte shorter.
                    Outcome::Response {
                        response: shorter,
                        ends_with_stream,
                        ..
                    } => {
                        assert!(is_truncated && ends_with_stream);
                        let (_, body) = response
                            .body
                            .split_last()
                            .expect("a truncated body is not empty");
                        assert_eq!(shorter.body, body);
                    }
                }
            }
            if is_truncated {
                // The stream may be invalid after the truncated body.
                assert!(
                    !*keep_alive,
                    "the connection is reused, although the body was truncated"
                );
                if let Ok(other) = other {
                    assert_eq!(other.response.status, response.status);
                    assert_eq!(other.response.headers, response.headers);
                    assert!(other.response.body.starts_with(&response.body));
                    assert!(other.consumed >= consumed);
                }
                return;
            }
            match other {
                Ok(other) => {
                    assert_eq!(other.response, *response);
                    assert_eq!(other.consumed, consumed);
                    assert!(
                        !*keep_alive
                            || other.keep_alive
                            || ureq_response::may_ignore_keep_alive(response),
                        "only the core reuses the connection"
                    );
                }
                Err(why) => assert!(
                    ureq_response::is_more_lenient(&input, response),
                    "only the core accepts the stream: {why}"
                ),
            }
        }
    }
}

/// Compares the outcome with that of the simple parser.
fn compare_with_grammar(
    outcome: &Outcome,
    grammar: &Result<GrammarResponse, grammar::Violation>,
    length: usize,
) {
    match (outcome, grammar) {
        (Outcome::Rejected(error), Err((kind, at))) => {
            assert_eq!(error.kind(), *kind, "{error}");
            if let Some(at) = at {
                assert_eq!(error.offset(), *at as u64, "{error}");
            }
            // The other positions are where a byte is wrong.
            let most = length as u64 - u64::from(at.is_none());
            assert!(error.offset() <= most, "{error}");
        }
        (
            Outcome::Response {
                response,
                keep_alive,
                consumed,
                ends_with_stream,
            },
            Ok(grammar),
        ) => {
            assert_eq!(response.status.as_u16(), grammar.status);
            assert_eq!(response.version == Version::HTTP_11, grammar.minor == 1);
            assert_eq!(response.headers.len(), grammar.fields.len());
            for name in response.headers.keys() {
                let named = grammar
                    .fields
                    .iter()
                    .filter(|(known, _)| known == name.as_str());
                let values = response.headers.get_all(name).iter();
                assert!(
                    values
                        .map(HeaderValue::as_bytes)
                        .eq(named.map(|(_, value)| value))
                );
            }
            assert_eq!(response.body, grammar.body);
            assert_eq!(*consumed, grammar.end as u64);
            assert_eq!(*ends_with_stream, grammar.ends_with_stream);
            assert_eq!(*keep_alive, grammar.keep_alive);
        }
        (outcome, grammar) => panic!("{outcome:?}, but the simple parser found {grammar:?}"),
    }
}

/// Asserts that each limit that is exactly what a response needs changes nothing, and that one less has the effect that the
/// simple parser finds.
fn assert_limits_are_exact(input: &Input<'_>, grammar: &GrammarResponse) {
    let body = grammar.body.len();
    for less in [0, 1] {
        let (bytes, fields) = (
            grammar.head_bytes - less,
            grammar.head_fields.checked_sub(less),
        );
        let changes: [&dyn Fn(&mut Limits); 4] = [
            &|limits| limits.head_bytes = bytes,
            &|limits| limits.headers = fields.unwrap_or(limits.headers),
            &|limits| limits.body_bytes = body.saturating_sub(less),
            &|limits| limits.error_body_bytes = body.saturating_sub(less),
        ];
        for change in changes {
            let mut limits = input.limits.clone();
            change(&mut limits);
            let limited = Input {
                limits,
                ..input.clone()
            };
            let (outcome, _) = read(&limited, [*input.stream], input.stream.len());
            let grammar = grammar::read(&limited.method, &limited.limits, *limited.stream);
            compare_with_grammar(&outcome, &grammar, input.stream.len());
        }
    }
}

/// Asserts that a response is within the limits.
fn assert_within(limits: &Limits, response: &DecodedResponse) {
    let body = match response.status.as_u16() {
        200 => limits.body_bytes,
        _ => limits.body_bytes.min(limits.error_body_bytes + 1),
    };
    let head: usize = response
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    assert!(head <= limits.head_bytes);
    assert!(response.headers.len() <= limits.headers);
    assert!(response.body.len() <= body);
    assert!(!response.status.is_informational());
}

/// Asserts that an error has an offset in the stream, shows none of its bytes, and becomes the right `Failure`.
fn check_error(input: &Input<'_>, error: WireError, other: Result<&UreqResponse, &String>) {
    let length = input.stream.len() as u64;
    assert!(error.offset() <= length, "{error}");
    match error.kind() {
        WireErrorKind::Truncated => assert_eq!(error.offset(), length),
        // The offset may be that of an announced length beyond the stream.
        WireErrorKind::BodyTooLong | WireErrorKind::HeadTooLong => {}
        _ => assert!(error.offset() < length, "{error}"),
    }
    let shown = error.to_string();
    assert!(
        !shown.contains(char::is_control) && shown.len() < 130,
        "{shown}"
    );
    let failure = Failure::from(error);
    let kind = match error.is_limit() {
        true => FailureKind::Permanent,
        false => FailureKind::Lost,
    };
    assert_eq!(failure.kind(), kind);
    if let Ok(other) = other {
        assert!(
            ureq_response::is_stricter(input, error, other),
            "only ureq-proto accepts the stream: {error}, {other:?}"
        );
    }
}
