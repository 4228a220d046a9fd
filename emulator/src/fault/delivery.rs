//! Instructions for sending a response in an unusual way, for example only half of it.

use std::time::Duration;

/// Instructions for sending a response, which a fault adds to its
/// [`extensions`](http::Response::extensions).
///
/// The [`server`](crate::server) follows them. A caller of [`Emulator::handle`](crate::Emulator::handle)
/// may ignore them and use the whole response, or simulate these steps.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_emulator::{Config, Delivery, DeliveryStep, Emulator, Fault};
///
/// let mut emulator = Emulator::new(Config::default());
/// emulator.inject(Fault::RESET_IN_BODY);
/// let request = http::Request::get(format!(
///         "/api/atlas/v2/groups/{}/aiModelApiKeys",
///         emulator.first_group(),
///     ))
///     .header("Accept", "application/vnd.atlas.preview+json")
///     .header("Authorization", format!("Bearer {}", emulator.access_token()))
///     .body("")?;
/// let response = emulator.handle(&request, Duration::ZERO);
/// let delivery = response.extensions().get::<Delivery>();
/// assert_eq!(
///     delivery.map(|delivery| delivery.steps.as_slice()),
///     Some(&[DeliveryStep::Head, DeliveryStep::HalfBody, DeliveryStep::Reset][..])
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The steps in their order. After the last one the connection continues as usual, unless a step
    /// ended it.
    pub steps: Vec<DeliveryStep>,
}

impl Delivery {
    pub(super) fn new(steps: impl Into<Vec<DeliveryStep>>) -> Self {
        Self {
            steps: steps.into(),
        }
    }

    /// Returns whether a complete head is sent.
    pub(crate) fn sends_head(&self) -> bool {
        use DeliveryStep::{FoldedHead, Head, HeadWithoutLength, Http10Head};
        let is_head = |step| matches!(step, &Head | &FoldedHead | &HeadWithoutLength | &Http10Head);
        self.steps.iter().any(is_head)
    }
}

/// A step of a [`Delivery`]. The response to a `HEAD` has no body in any step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryStep {
    /// Sends the head.
    Head,
    /// Sends the head without `Content-Length` and `Transfer-Encoding`, so that the body ends with the
    /// connection.
    HeadWithoutLength,
    /// Sends the head in HTTP/1.0, without `Content-Length` and `Transfer-Encoding`.
    Http10Head,
    /// Sends the head, with each challenge in it folded over two lines (RFC 9112 §5.2).
    FoldedHead,
    /// Sends the first half of the head.
    HalfHead,
    /// Sends the body.
    Body,
    /// Sends the first half of the body.
    HalfBody,
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends these bytes repeatedly for 30 seconds or 4 GiB, then closes the connection.
    RepeatBytes(Vec<u8>),
    /// Sends what follows in pieces of this size in bytes, with this pause between two pieces. After
    /// 30 seconds the connection is closed, and the rest is not sent.
    Throttle(usize, Duration),
    /// Sends nothing for this time.
    Pause(Duration),
    /// Sends nothing until the client closes the connection, or 30 seconds have passed. Then closes the
    /// connection.
    Stall,
    /// Closes the connection normally (FIN).
    Close,
    /// Resets the connection (RST).
    Reset,
}
