//! Failures after the deadline of a call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas_model_keys_transport::{
    BaseUrl, Body, ClientSettings, Credentials, Error, Event, Failure, FailureKind, JumpingClock,
    ListRequest, SendContext, Transport, blocking, http,
};
use http::{Request, Response};

/// Takes five minutes for each request, and then reports this failure, or a token.
struct Slow(JumpingClock, Option<FailureKind>);

impl Transport for Slow {
    fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if request.uri().path() == "/api/oauth/token" {
            let token = r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#;
            return Ok(Response::new(token.into()));
        }
        self.0.advance(Duration::from_secs(300));
        match self.1 {
            Some(kind) => Err(Failure::new(kind, "slow")),
            None => Ok(Response::new(br#"{"results":[]}"#.to_vec())),
        }
    }
}

fn kind_of(error: &Error) -> FailureKind {
    let Error::Transport { kind, .. } = error else {
        panic!("{error:?}")
    };
    *kind
}

#[test]
fn failure_after_the_deadline_is_reported_as_timed_out() {
    for (kind, reported) in [
        (FailureKind::NotSent, FailureKind::TimedOut),
        (FailureKind::Lost, FailureKind::TimedOut),
        (FailureKind::TimedOut, FailureKind::TimedOut),
        (FailureKind::Permanent, FailureKind::Permanent),
    ] {
        let clock = JumpingClock::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::clone(&seen);
        let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap();
        let settings = ClientSettings::new(BaseUrl::default(), credentials)
            .clock(clock.clone())
            .on_event(move |event| {
                if let Event::Failed { kind, .. } = event {
                    events.lock().unwrap().push(*kind);
                }
            });
        let client = blocking::Client::new(settings, Slow(clock, Some(kind))).unwrap();
        let list = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
        assert_eq!(kind_of(&client.list(&list).unwrap_err()), reported);
        // The token of the first call is revoked.
        assert_eq!(kind_of(&client.revoke_token().unwrap_err()), reported);
        assert_eq!(*seen.lock().unwrap(), [reported; 2], "{kind:?}");
    }
}

#[test]
fn response_after_the_deadline_still_counts() {
    let clock = JumpingClock::default();
    let credentials = Credentials::bearer("token").unwrap();
    let settings = ClientSettings::new(BaseUrl::default(), credentials).clock(clock.clone());
    let client = blocking::Client::new(settings, Slow(clock, None)).unwrap();
    let list = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
    assert_eq!(client.list(&list).unwrap().len(), 0);
}
