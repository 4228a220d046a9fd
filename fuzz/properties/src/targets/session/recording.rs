//! A recording of the calls of a session, and their replay in another session.

use std::time::Duration;

use atlas_model_keys_core::{
    Body, Error, Exchange, Failure, FailureKind, Moment, Pending, RecordedResponse, RequestOutline,
    Secret, Session, Step, Wait,
};
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::operations::AnyRequest;
use super::seen;
use crate::oracles::session_model as model;
use crate::oracles::shown::ErrorText;

/// A call of a session, with all that it is given.
#[derive(Deserialize, Serialize)]
pub(super) enum Call {
    Start {
        slot: usize,
        flags: u8,
        at: Moment,
    },
    Respond {
        slot: usize,
        response: RecordedResponse,
        at: Moment,
    },
    Fail {
        slot: usize,
        kind: FailureKind,
        at: Moment,
    },
    Resume {
        slot: usize,
        at: Moment,
    },
    /// Drops the ticket in a slot.
    Drop {
        slot: usize,
    },
    GiveUp {
        slot: usize,
    },
    Restore {
        token: String,
        at: Moment,
    },
    RevokeToken,
}

/// What a call returned.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Sends {
        outline: RequestOutline,
        /// The values of the headers, in their order.
        values: Vec<Vec<u8>>,
        body: Vec<u8>,
    },
    Waits(Duration),
    Ends(Vec<u8>),
    /// The failure and, unless it came from a transport, its text.
    Fails(model::Failure, Option<String>),
    Restored(bool),
    Revokes(bool),
}

impl Outcome {
    pub(super) fn of_step<B: AsRef<[u8]>>(next: &Result<Step<B>, Error>) -> Self {
        match next {
            Ok(Step::Send(exchange)) => Self::of_request(&exchange.request),
            Ok(Step::Wait(wait)) => Self::Waits(wait.delay()),
            Ok(Step::Done(reply)) => Self::Ends(reply.body().as_ref().to_vec()),
            Err(error) => Self::of_error(error),
        }
    }

    fn of_request(request: &Request<Body>) -> Self {
        let values = request.headers().values();
        Self::Sends {
            outline: RequestOutline::from(request),
            values: values.map(|value| value.as_bytes().to_vec()).collect(),
            body: request.body().as_bytes().to_vec(),
        }
    }

    pub(super) fn of_error(error: &Error) -> Self {
        // The texts of a transport's errors are not recorded.
        let text = match error {
            Error::Transport { .. } => None,
            error => Some(ErrorText(error).to_string()),
        };
        Self::Fails(seen::failure(error), text)
    }
}

/// The calls of a session and their outcomes.
#[derive(Default)]
pub(super) struct Recording {
    calls: Vec<Call>,
    outcomes: Vec<Outcome>,
}

impl Recording {
    pub(super) fn call(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn outcome(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Stores the calls as JSON, repeats them in a new session, and asserts that all outcomes are the same.
    pub(super) fn replay(self, session: Session) {
        let json = serde_json::to_string(&self.calls).expect("calls can be serialized");
        let calls: Vec<Call> = serde_json::from_str(&json).expect("calls are read back");
        let mut replay = Replay {
            session,
            slots: [const { None }; 4],
        };
        let outcomes: Vec<_> = calls
            .into_iter()
            .filter_map(|call| replay.repeat(call))
            .collect();
        assert_eq!(
            outcomes, self.outcomes,
            "left: the replay, right: the recording"
        );
    }
}

enum Ticket {
    Pending(Pending),
    Wait(Wait),
}

/// A session that repeats calls.
struct Replay {
    session: Session,
    slots: [Option<Ticket>; 4],
}

impl Replay {
    /// Repeats a call, and returns its outcome if it has one.
    fn repeat(&mut self, call: Call) -> Option<Outcome> {
        Some(match call {
            Call::Start { slot, flags, at } => {
                let next = AnyRequest::new(flags).start(&mut self.session, at);
                self.keep(slot, next)
            }
            Call::Respond { slot, response, at } => {
                let pending = self.take_pending(slot);
                let response: Response<Vec<u8>> =
                    response.try_into().expect("the response was one before");
                let next = self.session.respond(pending, response, at);
                // The outcome does not depend on the type of the body.
                self.keep(slot, next.map(|step| step.map_body(Vec::into_boxed_slice)))
            }
            Call::Fail { slot, kind, at } => {
                let pending = self.take_pending(slot);
                let next = self.session.fail::<Vec<u8>>(pending, failure(kind), at);
                self.keep(slot, next)
            }
            Call::Resume { slot, at } => {
                let Some(Ticket::Wait(wait)) = self.slots[slot].take() else {
                    panic!("the exchange waited before");
                };
                let next = self.session.resume::<Vec<u8>>(wait, at);
                self.keep(slot, next)
            }
            Call::Drop { slot } => {
                self.slots[slot] = None;
                return None;
            }
            Call::GiveUp { slot } => Outcome::of_error(&match self.slots[slot].take() {
                Some(Ticket::Wait(wait)) => wait.give_up(),
                Some(Ticket::Pending(pending)) => {
                    self.session.give_up(pending, failure(FailureKind::Lost))
                }
                None => panic!("the exchange was in progress before"),
            }),
            Call::Restore { token, at } => {
                let restored = self.session.restore_token(&Secret::from(token), at);
                Outcome::Restored(restored.is_ok())
            }
            Call::RevokeToken => Outcome::Revokes(self.session.revoke_token().is_some()),
        })
    }

    fn keep<B: AsRef<[u8]>>(&mut self, slot: usize, next: Result<Step<B>, Error>) -> Outcome {
        let outcome = Outcome::of_step(&next);
        self.slots[slot] = match next {
            Ok(Step::Send(Exchange { pending, .. })) => Some(Ticket::Pending(pending)),
            Ok(Step::Wait(wait)) => Some(Ticket::Wait(wait)),
            Ok(Step::Done(_)) | Err(_) => None,
        };
        outcome
    }

    fn take_pending(&mut self, slot: usize) -> Pending {
        match self.slots[slot].take() {
            Some(Ticket::Pending(pending)) => pending,
            _ => panic!("the request was in flight before"),
        }
    }
}

/// Returns a failure of a kind, with another error than the recorded one.
fn failure(kind: FailureKind) -> Failure {
    let source = "replayed";
    match kind {
        FailureKind::NotSent => Failure::not_sent(source),
        FailureKind::Lost => Failure::lost(source),
        kind => Failure::lost(source).with_kind(kind),
    }
}
