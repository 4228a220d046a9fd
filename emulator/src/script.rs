//! The script: responses that a test queued for certain requests.

use std::collections::VecDeque;

use http::Response;

use crate::route::Route;

/// The queued responses, in the order in which they were queued.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(VecDeque<Scripted>);

#[derive(Clone, Debug)]
struct Scripted {
    route: Route,
    checkpoint: Checkpoint,
    response: Response<Vec<u8>>,
}

/// The point in the handling of a request at which a scripted response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// Before any check.
    Arrived,
    /// After the check of the credential.
    Authenticated,
}

impl Script {
    pub(crate) fn push(
        &mut self,
        route: Route,
        checkpoint: Checkpoint,
        response: Response<Vec<u8>>,
    ) {
        self.0.push_back(Scripted {
            route,
            checkpoint,
            response,
        });
    }

    /// Removes and returns the next response for the route, if it belongs to this checkpoint.
    ///
    /// The order is strict: a response for an authenticated request holds back those behind it.
    pub(crate) fn take(
        &mut self,
        route: Route,
        checkpoint: Checkpoint,
    ) -> Option<Response<Vec<u8>>> {
        let index = self.0.iter().position(|s| s.route == route)?;
        let is_due = self.0.get(index)?.checkpoint == checkpoint;
        is_due
            .then(|| self.0.remove(index))
            .flatten()
            .map(|s| s.response)
    }
}
