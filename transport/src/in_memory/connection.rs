//! A connection that exists only in memory: it delivers a response as the server of the emulator would.

use std::io;
use std::time::Duration;

use atlas_model_keys_core::wire::{Progress, WireErrorKind};
use atlas_model_keys_core::{Failure, FailureKind};
use atlas_model_keys_emulator::{Delivery, DeliveryStep};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Response};

use crate::clock::JumpingClock;
use crate::transport::SendContext;

/// The longest time of a delivery. The server of the emulator has the same.
const LONGEST: Duration = Duration::from_secs(30);

/// The largest number of bytes that are sent repeatedly, for limits that never end a response.
const MOST_REPEATED: usize = 1 << 30;

/// Returns the response as a client receives it. Most responses arrive unchanged. Only one that a fault has changed is
/// written to bytes and read again.
pub(super) fn receive(
    method: &Method,
    response: Response<Vec<u8>>,
    context: &SendContext<'_>,
    clock: &JumpingClock,
) -> Result<Response<Vec<u8>>, Failure> {
    let delivery = response.extensions().get::<Delivery>();
    let has = |name| response.headers().contains_key(name);
    let mut received = if delivery.is_some() || has(CONTENT_LENGTH) || has(TRANSFER_ENCODING) {
        let whole = [DeliveryStep::Head, DeliveryStep::Body];
        let steps = delivery.map_or(whole.as_slice(), |delivery| &delivery.steps);
        let connection = Connection {
            context,
            clock,
            left: LONGEST,
        };
        connection.receive(method, &response, steps)?
    } else {
        response
    };
    received
        .body_mut()
        .truncate(context.limits().body_bytes.saturating_add(1));
    Ok(received)
}

struct Connection<'c> {
    context: &'c SendContext<'c>,
    clock: &'c JumpingClock,
    /// The time that is left for the delivery.
    left: Duration,
}

impl Connection<'_> {
    fn receive(
        mut self,
        method: &Method,
        response: &Response<Vec<u8>>,
        steps: &[DeliveryStep],
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut decoder = self.context.decoder(method);
        let mut throttle = (usize::MAX, Duration::ZERO);
        for step in steps {
            let mut repetitions = 1;
            let bytes = match step {
                // Folding changes only the form of the head.
                DeliveryStep::Head | DeliveryStep::FoldedHead => head(response, "1.1", true),
                DeliveryStep::HeadWithoutLength => head(response, "1.1", false),
                DeliveryStep::Http10Head => head(response, "1.0", false),
                DeliveryStep::HalfHead => half(&head(response, "1.1", true)),
                DeliveryStep::Body => response.body().clone(),
                DeliveryStep::HalfBody => half(response.body()),
                DeliveryStep::Bytes(bytes) => bytes.clone(),
                DeliveryStep::RepeatBytes(bytes) => {
                    repetitions = MOST_REPEATED / bytes.len().max(1);
                    bytes.clone()
                }
                DeliveryStep::Throttle(size, pause) => {
                    throttle = ((*size).max(1), *pause);
                    continue;
                }
                DeliveryStep::Pause(time) => {
                    self.pause(*time)?;
                    continue;
                }
                DeliveryStep::Stall => {
                    self.pause(LONGEST)?;
                    break;
                }
                DeliveryStep::Reset => return Err(lost(io::ErrorKind::ConnectionReset.into())),
                DeliveryStep::Close => break,
                // A step that this version of the emulator does not have.
                other => return Err(lost(io::Error::other(format!("{other:?} needs a socket")))),
            };
            let (size, pause) = throttle;
            for _ in 0..repetitions {
                for (index, piece) in bytes.chunks(size).enumerate() {
                    if index > 0 {
                        self.pause(pause)?;
                    }
                    decoder = match decoder.push(piece) {
                        Ok(Progress::More(decoder)) => decoder,
                        Ok(Progress::Done { message, .. }) => return Ok(message.response),
                        // The client notices that the body is too long.
                        Err(error) if error.kind() == WireErrorKind::BodyTooLong => {
                            let limit = self.context.limits().body_bytes.saturating_add(1);
                            return Ok(Response::new(vec![b' '; limit]));
                        }
                        Err(error) => return Err(error.into()),
                    };
                }
            }
        }
        Ok(decoder.close()?.response)
    }

    /// Moves the clock. A pause ends at the deadline of the call, or at the end of the delivery.
    fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        let remaining = self.context.remaining();
        let pause = time.min(self.left).min(remaining);
        self.left = self.left.saturating_sub(pause);
        self.clock.advance(pause);
        if pause == remaining {
            return Err(Failure::new(
                FailureKind::TimedOut,
                io::Error::from(io::ErrorKind::TimedOut),
            ));
        }
        if self.left.is_zero() {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

fn head(response: &Response<Vec<u8>>, version: &str, has_length: bool) -> Vec<u8> {
    let is_framing = |name| [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
    let mut head = format!("HTTP/{version} {}\r\n", response.status()).into_bytes();
    if has_length && !response.headers().keys().any(is_framing) {
        let length = response.body().len();
        head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    for (name, value) in response.headers() {
        if has_length || !is_framing(name) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec()
}

fn lost(error: io::Error) -> Failure {
    Failure::new(FailureKind::Lost, error)
}
