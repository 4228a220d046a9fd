//! The lines of `--log`: one for each request, wait and retry. They have no header and no body.
//!
//! ```text
//! log: GET /api/atlas/v2/groups/69681d39c9e8cfd375386316/aiModelApiKeys?pageNum=2 200 attempt=1 132ms
//! log: POST /api/oauth/token failed: Lost attempt=1 30000ms
//! log: waiting 1200ms: 429
//! ```

use std::time::Duration;

use atlas_model_keys_ureq::transport::SentRequest;
use atlas_model_keys_ureq::{Event, WaitReason};

/// Returns the line of an event without its label, or `None` if the event is only the beginning of another one.
pub(crate) fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Answered {
            request,
            status,
            duration,
            ..
        } => ended(request, status.as_str(), *duration),
        Event::Failed {
            request,
            kind,
            duration,
            ..
        } => ended(request, &format!("failed: {kind:?}"), *duration),
        Event::Waiting { delay, reason, .. } => {
            let cause = match reason {
                WaitReason::Response(api_error) => api_error.status.as_str().to_owned(),
                WaitReason::Failure { kind, .. } => format!("{kind:?}"),
                _ => "another request".to_owned(),
            };
            format!("waiting {}: {cause}", Milliseconds(*delay))
        }
        _ => return None,
    })
}

fn ended(request: &SentRequest<'_>, outcome: &str, duration: Duration) -> String {
    let SentRequest {
        method,
        path,
        query,
        attempt,
        ..
    } = request;
    let (mark, query) = match query {
        Some(query) => ("?", *query),
        None => ("", ""),
    };
    let duration = Milliseconds(duration);
    format!("{method} {path}{mark}{query} {outcome} attempt={attempt} {duration}")
}

/// A duration in whole milliseconds, so that programs need to know one unit only.
struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}
