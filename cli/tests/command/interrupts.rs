//! SIGINT and SIGTERM.

use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::{Config, Fault, Route};

use crate::scripted::{GROUP, Scripted, page};
use crate::support::{Atlas, Login, command, finish, send};

/// Waits until a condition holds.
fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
}

fn revocations(atlas: &Atlas) -> u64 {
    atlas
        .server
        .with(|emulator| emulator.requests_for(Route::Revoke))
}

#[test]
fn signal_ends_a_waiting_listing_at_once_with_130_and_whole_rows() {
    let mut shortest = Duration::MAX;
    for signal in ["INT", "TERM"] {
        for (format, written) in [
            ("ndjson", true),
            ("csv", true),
            ("json", true),
            ("table", false),
        ] {
            let (silent, answers) = Scripted::new();
            answers.send(page(&["a"], true, 2)).unwrap();
            let arguments = ["list", "-o", format];
            let child = command(&arguments, &silent.environment()).spawn().unwrap();
            until(|| silent.heads().len() == 2);
            let begun = Instant::now();
            send(signal, &child);
            let outcome = finish(child);
            let elapsed = begun.elapsed();
            assert!(elapsed < Duration::from_secs(20), "{format}: {elapsed:?}");
            shortest = shortest.min(elapsed);
            assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
            let told = if written {
                assert!(outcome.stdout.contains('a'), "{}", outcome.stdout);
                format!("error: interrupted: 1 of about 2 keys of project {GROUP} were written\n")
            } else {
                assert_eq!(outcome.stdout, "");
                format!(
                    "error: interrupted: nothing was written: a table is written when it is complete, \
                     and 1 of about 2 keys of project {GROUP} had arrived\n"
                )
            };
            assert_eq!(outcome.stderr, told);
            if format != "json" {
                assert!(outcome.stdout.is_empty() || outcome.stdout.ends_with('\n'));
            }
        }
    }
    // A busy machine may delay some of them.
    assert!(shortest < Duration::from_secs(2), "{shortest:?}");
}

#[test]
fn signal_during_a_retry_wait_ends_it_at_once() {
    let atlas = Atlas::new(Config::default());
    let wait = http::HeaderValue::from_static("60");
    let wait = http::HeaderMap::from_iter([(http::header::RETRY_AFTER, wait)]);
    atlas.server.with(|emulator| {
        let status = http::StatusCode::TOO_MANY_REQUESTS;
        emulator.fail_next(1, Route::ListGroupKeys, status, &wait);
    });
    let mut child = command(&["list"], &atlas.environment(Login::ServiceAccount))
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert!(told.contains("trying again in"), "{told}");
    let begun = Instant::now();
    send("INT", &child);
    assert_eq!(finish(child).code, Some(130));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(revocations(&atlas), 1);
}

#[test]
fn token_that_is_being_issued_is_awaited_and_revoked() {
    for command_name in ["list", "token"] {
        let atlas = Atlas::new(Config::default());
        let slow = Fault::TOKEN_SLOW.with_delay(Duration::from_millis(500));
        atlas.server.with(|emulator| emulator.inject(slow.unwrap()));
        let environment = atlas.environment(Login::ServiceAccount);
        let child = command(&[command_name], &environment).spawn().unwrap();
        until(|| atlas.server.with(|emulator| emulator.token_requests()) == 1);
        send("INT", &child);
        let outcome = finish(child);
        assert_eq!(outcome.stdout, "");
        assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
        assert_eq!(revocations(&atlas), 1, "{command_name}: {}", outcome.stderr);
    }
}

#[test]
fn second_signal_ends_the_command_at_once() {
    let atlas = Atlas::new(Config::default());
    let slow = Fault::TOKEN_SLOW.with_delay(Duration::from_secs(20));
    atlas.server.with(|emulator| emulator.inject(slow.unwrap()));
    let environment = atlas.environment(Login::ServiceAccount);
    let mut child = command(&["list"], &environment).spawn().unwrap();
    until(|| atlas.server.with(|emulator| emulator.token_requests()) == 1);
    let begun = Instant::now();
    // Signals that follow the first one at once count as one with it.
    while child.try_wait().unwrap().is_none() {
        send("TERM", &child);
        thread::sleep(Duration::from_millis(20));
    }
    let elapsed = begun.elapsed();
    let outcome = finish(child);
    // A single signal would let it wait for the token for two seconds, and say that it was interrupted.
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(130), ""));
    assert!(elapsed >= Duration::from_millis(200), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn signal_ends_a_command_whose_output_is_not_read_and_revokes_its_token() {
    let atlas = Atlas::new(Config::default().with_keys_per_group(3000));
    let environment = atlas.environment(Login::ServiceAccount);
    let mut child = command(&["list", "-o", "ndjson"], &environment)
        .spawn()
        .unwrap();
    // The pipe is full when no more requests arrive.
    let mut requests = 0;
    until(|| {
        thread::sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut requests, atlas.server.with(|e| e.requests()));
        before > 2 && before == requests
    });
    send("TERM", &child);
    let begun = Instant::now();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(revocations(&atlas), 1);
}

#[test]
fn signal_that_is_ignored_by_the_parent_stays_ignored() {
    let (silent, answers) = Scripted::new();
    answers.send(page(&["a"], true, 2)).unwrap();
    let script = "trap '' HUP; exec \"$0\" list -o ndjson";
    let child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_atlas-model-keys")])
        .env_clear()
        .envs(silent.environment())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until(|| silent.heads().len() == 2);
    send("HUP", &child);
    answers.send(page(&["b"], false, 2)).unwrap();
    assert_eq!(finish(child).stdout().lines().count(), 2);
}
