//! How an answer goes onto a wire, where it does not simply do so.

use std::time::Duration;

/// How a response is to be delivered: among its [`extensions`](http::Response::extensions), for
/// whoever puts it onto a wire. The [`server`](crate::server) obeys it. In memory there is no wire,
/// and the response can be taken for what it says; or these steps for what became of it.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_emulator::{Config, Delivery, Emulator, Step};
///
/// let mut emulator = Emulator::new(Config::default());
/// emulator.inject("reset-in-body".parse()?, Some(1));
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
///     Some(&[Step::Head, Step::HalfBody, Step::Reset][..])
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// What is done, one after the other. After the last one the connection goes on as usual,
    /// unless a step ended it.
    pub steps: Vec<Step>,
}

impl Delivery {
    pub(super) fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self {
            steps: steps.into(),
        }
    }
}

/// A step of a [`Delivery`]. The answer to a `HEAD` has no body in any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The head is sent.
    Head,
    /// The head is sent, but for what would tell where the body ends: the end of the connection
    /// does.
    HeadWithoutLength,
    /// The same, in HTTP/1.0.
    OldHead,
    /// The head is sent, with each challenge in it folded over two lines (RFC 9112 §5.2).
    FoldedHead,
    /// The first half of the head is sent.
    HalfHead,
    /// The body is sent.
    Body,
    /// The first half of the body is sent.
    HalfBody,
    /// These bytes are sent.
    Bytes(Vec<u8>),
    /// These bytes are sent again and again, for 30 seconds or 4 GiB; then the connection is
    /// closed.
    Endlessly(Vec<u8>),
    /// What follows is sent in pieces of this size, with this long between two of them. What is
    /// not sent after 30 seconds never is: the connection is closed.
    Pace(usize, Duration),
    /// Nothing is sent for this long.
    Pause(Duration),
    /// Nothing is sent any more, and the connection not closed: until the client leaves, or 30
    /// seconds have passed.
    Stall,
    /// The connection is closed in order (FIN).
    Close,
    /// The connection is reset (RST).
    Reset,
}
