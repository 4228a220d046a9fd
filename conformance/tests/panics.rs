//! A panic of a transport reaches the caller. A listing has ended then, also if the panic is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use atlas_model_keys_conformance::fixtures::{request, token};
use atlas_model_keys_conformance::loopback::page_num_of;
use atlas_model_keys_core::{BaseUrl, Body, Failure};
use atlas_model_keys_transport::{
    AsyncTransport, ClientSettings, SendContext, Task, Transport, asynchronous, blocking,
};
use http::{Request, Response};
use tokio::runtime::Runtime;

/// Panics instead of a response for page 2. There are four pages with one key each.
struct PanicsOnPage2 {
    spawns: bool,
}

fn answer(request: &Request<Body>) -> Response<Vec<u8>> {
    let page = page_num_of(&request.uri().to_string());
    assert_ne!(page, 2, "on page 2");
    let next = match page < 4 {
        true => r#"{"rel":"next","href":"x"}"#,
        false => "",
    };
    let body = format!(r#"{{"links":[{next}],"results":[{{"apiKeyId":"{page}"}}]}}"#);
    Response::new(body.into_bytes())
}

impl Transport for PanicsOnPage2 {
    fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        Ok(answer(&request))
    }
}

impl AsyncTransport for PanicsOnPage2 {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        tokio::task::yield_now().await;
        Ok(answer(&request))
    }

    async fn sleep(&self, delay: std::time::Duration) {
        tokio::time::sleep(delay).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        if self.spawns {
            tokio::spawn(task);
            return Ok(());
        }
        Err(task)
    }
}

fn settings() -> ClientSettings {
    ClientSettings::new(BaseUrl::default(), token())
}

/// Returns what a listing gives before, at and after the panic: the ids of keys, and "panic".
fn items(mut next: impl FnMut() -> Option<String>) -> Vec<String> {
    let mut next = || match catch_unwind(AssertUnwindSafe(&mut next)) {
        Ok(item) => item,
        Err(_) => Some("panic".to_owned()),
    };
    (0..9).map_while(|_| next()).collect()
}

#[test]
fn listing_has_ended_after_a_panic() {
    for ahead in [1, 3] {
        let client = blocking::Client::new(settings(), PanicsOnPage2 { spawns: false }).unwrap();
        let mut keys = client.keys(&request()).read_ahead(ahead);
        let next = || {
            let key = keys.next()?.unwrap();
            Some(key.api_key_id().unwrap().to_owned())
        };
        assert_eq!(items(next), ["1", "panic"], "blocking, {ahead}");

        for spawns in [true, false] {
            let runtime = Runtime::new().unwrap();
            let client = asynchronous::Client::new(settings(), PanicsOnPage2 { spawns }).unwrap();
            let mut keys = client.keys(&request()).read_ahead(ahead);
            let next = || {
                let key = runtime.block_on(keys.next())?.unwrap();
                Some(key.api_key_id().unwrap().to_owned())
            };
            assert_eq!(items(next), ["1", "panic"], "async, {ahead}, {spawns}");
        }
    }
}
