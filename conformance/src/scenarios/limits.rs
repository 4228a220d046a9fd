//! Limits on the bytes of a response.

use std::io::Write as _;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{Error, FailureKind, ItemsPerPage, Limits};
use atlas_model_keys_transport::TooLarge;

use crate::client::{Setup, TestClient, no_retries};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::{client_for, failure, request};
use crate::loopback::{LoopbackServer, read_head};

/// Starts a server that responds with `start` and then repeats `part` until the client stops reading.
fn serve_endlessly(start: &'static str, part: &str) -> LoopbackServer {
    let parts = part.repeat((64 << 10) / part.len() + 1);
    LoopbackServer::start(move |_, mut stream| {
        read_head(&mut stream)?;
        stream.write_all(start.as_bytes())?;
        loop {
            stream.write_all(parts.as_bytes())?;
        }
    })
}

/// Returns the limit because of which the transport refused a response, if there is one.
fn too_large(error: &Error) -> Option<TooLarge> {
    let Error::Transport { source, .. } = error else {
        return None;
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.expose());
    while let Some(error) = cause {
        if let Some(too_large) = error.downcast_ref() {
            return Some(*too_large);
        }
        cause = error.source();
    }
    None
}

/// Checks that a request fails permanently, after one connection and before its deadline. Returns the limit that the
/// response exceeded.
fn exceeded_limit<C: TestClient>(server: &LoopbackServer) -> TooLarge {
    let deadline = Duration::from_secs(10);
    let setup = Setup {
        deadline: Some(deadline),
        ..Setup::default()
    };
    let client: C = client_for(&server.base(), setup);
    let begun = Instant::now();
    let error = client.list(&request()).unwrap_err();
    assert!(begun.elapsed() < deadline, "{:?}", begun.elapsed());
    assert_eq!(failure(&error).0, FailureKind::Permanent, "{error:?}");
    assert_eq!(server.connections(), 1);
    too_large(&error).unwrap_or_else(|| panic!("{error:?}"))
}

scenarios!(limits, {
    fn body_limit_holds_after_decompression<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(500);
        let request = atlas.request().with_items_per_page(ItemsPerPage::MAX);
        let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
        let reply = client.reply(&request).unwrap();
        // The body came compressed. The fields that no longer apply are removed.
        assert!(reply.headers().get("content-encoding").is_none());
        assert!(reply.headers().get("content-length").is_none());
        let size = reply.body().len();
        for (limit, fits) in [(size, true), (size - 1, false)] {
            let mut limits = no_retries();
            limits.body_bytes = limit;
            let client: C = atlas.client(CredentialKind::Bearer, Setup::with_limits(limits));
            match client.list(&request) {
                Ok(page) => assert!(fits && page.len() == 500),
                Err(error) => {
                    assert!(!fits);
                    assert!(matches!(error, Error::Limit { .. }), "{error}");
                }
            }
            // The client is still usable.
            let small = atlas.request().with_items_per_page(ItemsPerPage::MIN);
            assert_eq!(client.list(&small).unwrap().len(), 1);
        }
    }

    fn head_beyond_a_limit_is_permanent_and_names_the_limit<C: TestClient>() {
        if !C::CAPABILITIES.limits_heads {
            return;
        }
        let limits = Limits::default();
        let (bytes, fields) = (limits.head_bytes, limits.headers);
        let status = "HTTP/1.1 200 OK\r\n";
        let end = "content-length: 14\r\n\r\n{\"results\":[]}";
        let long = format!("{status}x: {}\r\n{end}", "y".repeat(1 << 20));
        let many = format!("{status}{}{end}", "x: y\r\n".repeat(fields + 72));
        for (server, expected) in [
            (LoopbackServer::with_bytes(long), TooLarge::HeadBytes(bytes)),
            (
                LoopbackServer::with_bytes(many),
                TooLarge::HeaderFields(fields),
            ),
        ] {
            assert_eq!(exceeded_limit::<C>(&server), expected);
        }
        // Beyond both limits: either may be reported.
        let many = format!("{status}{}{end}", "x: yyyyyyyy\r\n".repeat(10_000));
        for server in [
            LoopbackServer::with_bytes(many),
            serve_endlessly(status, "x: yyyyyyyy\r\n"),
        ] {
            let limit = exceeded_limit::<C>(&server);
            assert!(
                [TooLarge::HeadBytes(bytes), TooLarge::HeaderFields(fields)].contains(&limit),
                "{limit:?}"
            );
        }
    }
});
