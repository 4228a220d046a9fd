//! What the emulator tells about the requests that it received: `--log` and `--control`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout};

use serde_json::Value;

use crate::support::{command, run};
#[cfg(unix)]
use crate::support::{finish, send};

/// An emulator that printed its environment as one line of JSON.
struct Emulator {
    child: Child,
    stdout: BufReader<ChildStdout>,
    environment: Value,
}

impl Emulator {
    fn start(arguments: &[&str]) -> Self {
        Self::start_for("60s", arguments)
    }

    fn start_for(duration: &str, arguments: &[&str]) -> Self {
        let always = ["emulate", "--print", "json", "--for", duration];
        let mut child = command(&[&always, arguments].concat(), &[])
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self {
            child,
            stdout,
            environment: serde_json::from_str(&line).unwrap(),
        }
    }

    fn get(&self, name: &str) -> String {
        self.environment[name].as_str().unwrap().to_owned()
    }

    /// Lists the first project with the service account.
    fn list(&self) {
        let variables = [
            ("MONGODB_ATLAS_BASE_URL", self.get("baseUrl")),
            ("MONGODB_ATLAS_PROJECT_ID", self.get("projectId")),
            ("MONGODB_ATLAS_CLIENT_ID", self.get("clientId")),
            ("MONGODB_ATLAS_CLIENT_SECRET", self.get("clientSecret")),
        ];
        run(&["list"], &variables).stdout();
    }

    /// Sends a request and returns the status and the body.
    fn ask(&self, request: &str) -> (String, String) {
        let base = self.get("baseUrl");
        let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
        let request = format!("{request} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Checks the log of one listing with the service account.
fn assert_is_log_of_a_listing(lines: &[String], emulator: &Emulator) {
    let seen: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let routes: Vec<&Value> = seen.iter().map(|seen| &seen["route"]).collect();
    assert_eq!(routes, ["token", "listGroupKeys", "revoke"]);
    for seen in &seen {
        assert_eq!(seen["credential"], "serviceAccount");
        assert_eq!(seen["principal"], emulator.get("clientId"));
        assert_eq!(seen["status"], 200);
    }
    assert_eq!(seen[0]["grantType"], "client_credentials");
    assert_eq!(seen[0]["headers"]["authorization"], "Basic [redacted]");
    assert_eq!(seen[1]["headers"]["authorization"], "Bearer [redacted]");
    let text = lines.concat();
    for secret in ["clientSecret", "privateKey", "accessToken"] {
        assert!(!text.contains(&emulator.get(secret)));
    }
    assert!(!text.contains("eyJ"));
}

#[test]
fn log_has_a_line_for_each_request_at_once_and_no_secret() {
    let path = std::env::temp_dir().join(format!("requests-{}.ndjson", std::process::id()));
    fs::write(&path, "from an earlier run\n").unwrap();
    let emulator = Emulator::start(&["--log", path.to_str().unwrap()]);
    emulator.list();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_is_log_of_a_listing(&lines, &emulator);
    emulator.stop();
    fs::remove_file(&path).unwrap();
}

#[test]
fn log_on_stdout_follows_the_variables() {
    let mut emulator = Emulator::start(&["--log", "-"]);
    emulator.list();
    let mut lines = vec![String::new(); 3];
    for line in &mut lines {
        emulator.stdout.read_line(line).unwrap();
    }
    assert_is_log_of_a_listing(&lines, &emulator);
    emulator.stop();
}

#[test]
fn log_in_the_file_of_the_data_is_2() {
    let path = std::env::temp_dir().join(format!("data-{}.ndjson", std::process::id()));
    let data = "{\"name\":\"only\"}\n";
    fs::write(&path, data).unwrap();
    let name = path.to_str().unwrap();
    let error = run(&["emulate", "--data", name, "--log", name], &[]).failure(2);
    assert!(
        error.contains("--log would replace the file of --data"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), data);
    fs::remove_file(&path).unwrap();
}

#[test]
fn log_that_cannot_be_created_is_1() {
    let error = run(&["emulate", "--log", "no/such/folder/log"], &[]).failure(1);
    let start = "error: cannot write no/such/folder/log\n";
    assert!(error.starts_with(start), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn failed_write_to_the_log_is_reported_once_and_the_exit_code_is_1() {
    let emulator = Emulator::start_for("3s", &["--log", "/dev/full"]);
    emulator.list();
    emulator.list();
    let outcome = finish(emulator.child);
    assert_eq!(outcome.code, Some(1));
    let notes: Vec<&str> = outcome.stderr.lines().collect();
    assert!(
        matches!(notes[..], [ready, failed] if ready.contains("ready at")
            && failed.starts_with("note: cannot write the log: No space left")),
        "{notes:?}"
    );
}

#[cfg(unix)]
#[test]
fn reader_that_stops_reading_the_log_stops_neither_requests_nor_the_end() {
    let emulator = Emulator::start(&["--log", "-", "--rate-limit", "none"]);
    // More than fits into a pipe.
    for _ in 0..400 {
        assert_eq!(emulator.ask("GET /unknown").0, "404");
    }
    send("TERM", &emulator.child);
    // Stdout stays open, and nothing reads it.
    let Emulator {
        mut child, stdout, ..
    } = emulator;
    let code = child.wait().unwrap().code();
    drop(stdout);
    assert_eq!(code, Some(1));
    let mut stderr = String::new();
    child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    assert!(
        stderr.contains("cannot write the log: nothing reads it"),
        "{stderr}"
    );
}

#[test]
fn control_interface_needs_its_option() {
    let emulator = Emulator::start(&["--control", "--fault", "total-zero"]);
    let ask = |request| emulator.ask(request);
    assert_eq!(
        ask("GET /_emulator/faults"),
        ("200".into(), "[\"total-zero\"]\n".into())
    );
    assert_eq!(ask("DELETE /_emulator/faults").0, "204");
    assert_eq!(ask("POST /_emulator/reset").0, "204");
    // The state before the first request has the fault of the option.
    assert_eq!(ask("GET /_emulator/faults").1, "[\"total-zero\"]\n");
    let (status, body) = ask("GET /_emulator/environment");
    let environment: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_str(), &environment["clientSecret"]),
        ("200", &emulator.environment["clientSecret"])
    );
    assert_eq!(environment["baseUrl"], "http://localhost");
    emulator.list();
    let (_, body) = ask("GET /_emulator/requests?route=token");
    assert!(
        body.contains("\"grantType\":\"client_credentials\""),
        "{body}"
    );
    emulator.stop();

    let emulator = Emulator::start(&[]);
    assert_eq!(emulator.ask("GET /_emulator/requests").0, "404");
    emulator.stop();
}
