//! The emulator as a service.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use atlas_model_keys_emulator::{Config, Emulator, Fault};

use crate::support::{Outcome, command, json, run};
#[cfg(unix)]
use crate::support::{finish, send};

/// Returns the variables that the exports set. All other lines must be comments.
fn exports<'t>(lines: impl IntoIterator<Item = &'t str>) -> BTreeMap<String, String> {
    lines
        .into_iter()
        .filter(|line| !line.starts_with("# "))
        .map(|line| {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap()
                .split_once('=')
                .unwrap();
            (name.to_owned(), value.trim_matches('\'').to_owned())
        })
        .collect()
}

const NAMES: [&str; 7] = [
    "MONGODB_ATLAS_BASE_URL",
    "MONGODB_ATLAS_CLIENT_ID",
    "MONGODB_ATLAS_CLIENT_SECRET",
    "MONGODB_ATLAS_ORG_ID",
    "MONGODB_ATLAS_PRIVATE_API_KEY",
    "MONGODB_ATLAS_PROJECT_ID",
    "MONGODB_ATLAS_PUBLIC_API_KEY",
];

/// Returns the stdout of an emulator that served without a problem: its stderr only says that it is ready.
#[track_caller]
fn printed(outcome: Outcome) -> String {
    let base = outcome.stderr.strip_prefix("note: ready at http");
    let base = base.and_then(|text| text.strip_suffix(" (Ctrl-C ends it)\n"));
    assert!(
        outcome.code == Some(0) && base.is_some_and(|base| !base.contains('\n')),
        "{outcome:?}"
    );
    outcome.stdout
}

#[test]
fn emulate_prints_exports_and_ends_in_time() {
    let text = printed(run(&["emulate", "--for", "1s"], &[]));
    let variables = exports(text.lines());
    let mut names = NAMES.to_vec();
    names.extend([
        "MONGODB_ATLAS_FORBIDDEN_PROJECT_ID",
        "MONGODB_ATLAS_PROJECT_IDS",
    ]);
    names.sort_unstable();
    assert_eq!(variables.keys().collect::<Vec<_>>(), names);
    assert!(variables["MONGODB_ATLAS_BASE_URL"].starts_with("http://127.0.0.1:"));
    assert!(
        text.contains("# ") && text.contains("curl --digest"),
        "{text}"
    );
    // Equal seeds give equal credentials, and different seeds different ones.
    let again = exports(printed(run(&["emulate", "--for", "1ms"], &[])).lines());
    let other = run(&["emulate", "--for", "1ms", "--seed", "7"], &[]);
    let other = exports(printed(other).lines());
    for name in &NAMES[1..] {
        assert_eq!(variables[*name], again[*name]);
        assert_ne!(variables[*name], other[*name]);
    }
}

#[test]
fn emulate_serves_list() {
    let arguments = [
        "emulate",
        "--for",
        "30s",
        "--keys",
        "321",
        "--rate-limit",
        "none",
        "--nonce-ttl",
        "50ms",
        "--latency",
        "1ms",
        "--groups",
        "1",
        "--with-secrets",
    ];
    let (child, lines) = started(&arguments);
    let variables = exports(lines.iter().map(String::as_str));
    let with = |names: &[&'static str]| {
        let pairs: Vec<_> = names
            .iter()
            .map(|name| (*name, variables[*name].clone()))
            .collect();
        run(&["list", "-o", "ndjson", "--items-per-page", "50"], &pairs).stdout()
    };
    let account = with(&NAMES);
    let api_key = with(&[NAMES[0], NAMES[4], NAMES[5], NAMES[6]]);
    assert_eq!(account.lines().count(), 321);
    assert_eq!(account.matches("[redacted]").count(), 321);
    assert_eq!(account, api_key);
    stop(child);
}

#[cfg(unix)]
#[test]
fn signals_end_emulate_with_0() {
    for signal in ["INT", "TERM"] {
        let (child, lines) = started(&["emulate"]);
        let base = exports(lines.iter().map(String::as_str))["MONGODB_ATLAS_BASE_URL"].clone();
        send(signal, &child);
        let outcome = finish(child);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (
                Some(0),
                &*format!("note: ready at {base} (Ctrl-C ends it)\n")
            ),
            "{signal}"
        );
    }
}

#[test]
fn address_that_cannot_be_used_is_1_and_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = run(&["emulate", "--port", &port, "--for", "1ms"], &[]).failure(1);
    let start = format!("error: cannot serve on 127.0.0.1:{port}\n");
    assert!(
        error.starts_with(&start) && error.contains("without --port"),
        "{error}"
    );
    // RFC 5737: an address for documentation.
    let error = run(&["emulate", "--bind", "192.0.2.1", "--for", "1ms"], &[]).failure(1);
    assert!(
        error.starts_with("error: cannot serve on 192.0.2.1\n") && error.contains("hint: --bind"),
        "{error}"
    );
}

#[test]
fn given_address_and_port_are_served() {
    let is_served = |arguments: &[&str], base: &str| {
        let (mut child, lines) = started(&[&["emulate", "--for", "30s"], arguments].concat());
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let variables = variables(&lines);
        let (_, served) = &variables[0];
        assert!(served.starts_with(base), "{served}");
        run(&["list"], &variables).stdout();
        stop(child);
        (served.clone(), stderr.next().unwrap().unwrap())
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let (base, _) = is_served(&["--port", &port], "http://127.0.0.1:");
    assert!(base.ends_with(&port));
    let (base, note) = is_served(&["--port", "0"], "http://127.0.0.1:");
    assert_ne!(base, "http://127.0.0.1:0");
    assert_eq!(note, format!("note: ready at {base} (Ctrl-C ends it)"));
    let (_, note) = is_served(&["--bind", "0.0.0.0"], "http://127.0.0.1:");
    assert!(
        note.starts_with("warning: listening on 0.0.0.0:")
            && note.contains("anyone who can reach it"),
        "{note}"
    );
    if TcpListener::bind("[::1]:0").is_ok() {
        let (base, note) = is_served(&["--bind", "::1"], "http://[::1]:");
        assert_eq!(note, format!("note: ready at {base} (Ctrl-C ends it)"));
    } else {
        println!("::1 is skipped, because this machine does not have it");
    }
}

#[test]
fn every_format_prints_the_same_values() {
    let arguments = |format| ["emulate", "--for", "1ms", "--port", "0", "--print", format];
    let variables = |text: &str| {
        let mut variables = exports(text.lines());
        assert!(variables.remove("MONGODB_ATLAS_BASE_URL").is_some());
        variables
    };
    let shell = variables(&printed(run(&arguments("shell"), &[])));
    let dotenv = printed(run(&arguments("dotenv"), &[]));
    let lines: Vec<_> = dotenv
        .lines()
        .map(|line| format!("export {line}"))
        .collect();
    assert_eq!(variables(&lines.join("\n")), shell);
    let text = printed(run(&arguments("json"), &[]));
    assert_eq!(text.lines().count(), 1);
    let document = json(&text);
    for (member, name) in [
        ("projectId", "MONGODB_ATLAS_PROJECT_ID"),
        ("orgId", "MONGODB_ATLAS_ORG_ID"),
        ("publicKey", "MONGODB_ATLAS_PUBLIC_API_KEY"),
        ("privateKey", "MONGODB_ATLAS_PRIVATE_API_KEY"),
        ("clientId", "MONGODB_ATLAS_CLIENT_ID"),
        ("clientSecret", "MONGODB_ATLAS_CLIENT_SECRET"),
    ] {
        assert_eq!(document[member], *shell[name], "{member}");
    }
    let projects = document["projects"].as_array().unwrap();
    let ids: Vec<_> = projects.iter().map(|p| p["id"].as_str().unwrap()).collect();
    assert_eq!(ids.join(","), shell["MONGODB_ATLAS_PROJECT_IDS"]);
    assert_eq!(ids[2], shell["MONGODB_ATLAS_FORBIDDEN_PROJECT_ID"]);
}

#[test]
fn variables_are_printed_before_the_ready_line() {
    let mut child = command(&["emulate", "--for", "30s"], &[]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let base = line.strip_prefix("note: ready at http://").unwrap();
    let address = base.split(' ').next().unwrap();
    TcpStream::connect(address).unwrap();
    let stdout = child.stdout.take().unwrap();
    stop(child);
    let text = std::io::read_to_string(stdout).unwrap();
    assert!(text.contains(address) && text.contains("--oauth2-bearer"));
}

#[test]
fn only_local_and_allowed_hosts_are_served() {
    let (child, lines) = started(&["emulate", "--for", "30s", "--allow-host", "Atlas"]);
    let (_, base) = &variables(&lines)[0];
    for (host, expected) in [
        ("atlas:8080", "HTTP/1.1 401 "),
        ("localhost", "HTTP/1.1 401 "),
        ("evil.example", "HTTP/1.1 421 "),
    ] {
        let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
        let request = format!(
            "GET /api/atlas/v2/groups HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with(expected), "{host}: {response}");
    }
    stop(child);
}

#[test]
fn list_trusts_https_with_the_certificate_of_its_authority_only() {
    let file = TemporaryFile::new("ca.pem", "the certificate of an earlier run");
    // Clients compare the certificate with their own clock, so --now does not matter.
    let arguments = [
        "emulate",
        "--for",
        "30s",
        "--tls",
        "--tls-ca",
        file.path(),
        "--now",
        "2001-02-03T04:05:06Z",
        "--allow-host",
        "atlas.test",
    ];
    let (child, lines) = started(&arguments);
    let pem = std::fs::read_to_string(file.path()).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE"));
    let mut variables = variables(&lines);
    assert!(variables[0].1.starts_with("https://127.0.0.1:"));
    let error = run(&["list"], &variables).failure(6);
    assert!(error.contains("certificate"), "{error}");
    variables.push(("SSL_CERT_FILE", file.path().to_owned()));
    let text = run(&["list", "-o", "ndjson"], &variables).stdout();
    assert_eq!(text.lines().count(), 42);
    let (child_2, _) = started(&["emulate", "--for", "30s", "--tls", "--tls-ca", file.path()]);
    let error = run(&["list"], &variables).failure(6);
    assert!(error.contains("certificate"), "{error}");
    stop(child);
    stop(child_2);
}

#[test]
fn certificate_that_cannot_be_written_is_1() {
    let error = run(
        &["emulate", "--tls", "--tls-ca", "no/such/folder/ca.pem"],
        &[],
    )
    .failure(1);
    let start = "error: cannot write no/such/folder/ca.pem\n";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn values_out_of_range_are_2() {
    for arguments in [
        ["--port", "-1"],
        ["--port", "65536"],
        ["--bind", "localhost"],
        ["--bind", "127.0.0.1:80"],
        ["--allow-host", "http://a"],
        ["--allow-host", "a:80"],
        ["--print", "xml"],
        ["--keys", "1000001"],
        ["--groups", "0"],
        ["--seed", "-1"],
        ["--token-ttl", "0s"],
        ["--token-ttl", "500ms"],
        ["--nonce-ttl", "0s"],
        ["--latency", "1h"],
        ["--for", "0ms"],
        ["--for", "5"],
        ["--for", "100y"],
        ["--rate-limit", "0/0/0"],
        ["--rate-limit", "fast"],
        ["--now", "yesterday"],
        ["--now", "1969-12-31T23:59:59Z"],
    ] {
        run(&[&["emulate"], &arguments[..]].concat(), &[]).failure(2);
    }
}

#[test]
fn duration_out_of_range_is_told_in_plain_units() {
    for (arguments, rule) in [
        (["--token-ttl", "0s"], "at least 1s"),
        (["--nonce-ttl", "0s"], "at least 1ms"),
        (["--latency", "1h"], "at most 1m"),
        (["--for", "100y"], "at most 365d"),
    ] {
        let error = run(&[&["emulate"], &arguments[..]].concat(), &[]).failure(2);
        assert!(error.contains(rule) && !error.contains("months"), "{error}");
    }
}

#[test]
fn every_printed_curl_line_works() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let ca = TemporaryFile::new("curl.pem", "");
    for arguments in [&[][..], &["--tls", "--tls-ca", ca.path()]] {
        let (child, lines) = started(&[&["emulate", "--for", "30s"], arguments].concat());
        let commands = lines
            .iter()
            .filter_map(|line| line.strip_prefix("#   curl "));
        let outputs: Vec<_> = commands
            .map(|rest| {
                let command = format!("curl --silent --fail {rest}");
                let output = Command::new("sh").args(["-c", &command]).output().unwrap();
                assert!(output.status.success(), "{command}");
                String::from_utf8(output.stdout).unwrap()
            })
            .collect();
        stop(child);
        let expected = ["search-prod", "\"Staging\"", "access_token", "search-prod"];
        assert_eq!(outputs.len(), expected.len());
        for (output, expected) in outputs.iter().zip(expected) {
            assert!(output.contains(expected), "{output}");
        }
    }
}

/// Returns what `list` writes about an emulator that was started with these arguments.
fn listed(arguments: &[&str], format: &str) -> String {
    let (child, lines) = started(&[&["emulate", "--for", "30s"], arguments].concat());
    let text = run(&["list", "-o", format], &variables(&lines)).stdout();
    stop(child);
    text
}

/// Returns the printed variables.
fn variables(lines: &[String]) -> Vec<(&'static str, String)> {
    let exports = exports(lines.iter().map(String::as_str));
    let known = |name: String| NAMES.iter().find(|known| **known == name).copied();
    let exports = exports.into_iter();
    exports
        .filter_map(|(name, value)| Some((known(name)?, value)))
        .collect()
}

#[test]
fn equal_now_gives_equal_keys_and_dates() {
    let at = |now| listed(&["--now", now], "ndjson");
    let noon = at("2026-11-27T12:00:00Z");
    assert_eq!(noon, at("2026-11-27T13:00:00+01:00"));
    assert_ne!(noon, at("2036-11-27T12:00:00Z"));
    let newest = noon
        .lines()
        .filter_map(|line| json(line)["lastUsedAt"].as_str().map(str::to_owned))
        .max()
        .unwrap();
    assert!(newest.starts_with("2026-11-2"), "{newest}");
}

#[test]
fn date_of_responses_follows_now() {
    let (child, lines) = started(&["emulate", "--for", "30s", "--now", "2001-02-03T04:05:06Z"]);
    let base = exports(lines.iter().map(String::as_str))["MONGODB_ATLAS_BASE_URL"].clone();
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.contains("\r\ndate: Sat, 03 Feb 2001 04:0"),
        "{response}"
    );
    stop(child);
}

#[test]
fn hostile_names_are_served_only_on_request() {
    let is_hostile = |text: &str| {
        text.lines().any(|line| {
            json(line)["name"]
                .as_str()
                .unwrap_or("\u{1b}")
                .contains('\u{1b}')
        })
    };
    assert!(!is_hostile(&listed(&[], "ndjson")));
    assert!(is_hostile(&listed(&["--hostile-names"], "ndjson")));
}

/// A file that is removed at the end of its test.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let name = format!("atlas-model-keys-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn written_keys_are_served_and_listed_again() {
    for names in [&[][..], &["--hostile-names"]] {
        // The dates of generated keys are relative to this time.
        let now = "2026-11-27T12:00:00Z";
        let arguments = [&["--keys", "250", "--now", now], names].concat();
        let original = listed(&arguments, "ndjson");
        assert_eq!(original.lines().count(), 250);
        for format in ["ndjson", "json"] {
            let file = TemporaryFile::new(format, listed(&arguments, format));
            let again = listed(&["--data", file.path()], "ndjson");
            assert_eq!(original, again, "{format}");
        }
    }
}

#[test]
fn data_comes_from_stdin() {
    let mut command = command(&["emulate", "--for", "30s", "--data", "-"], &[]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let key = r#"{"apiKeyId":"a1","groupId":"0123456789abcdef01234567","name":"from stdin"}"#;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(key.as_bytes())
        .unwrap();
    let (child, lines) = read_introduction(child);
    let variables = variables(&lines);
    assert!(variables.contains(&(
        "MONGODB_ATLAS_PROJECT_ID",
        "0123456789abcdef01234567".to_owned()
    )));
    let text = run(&["list", "-o", "csv", "--columns", "name"], &variables).stdout();
    stop(child);
    assert_eq!(text, "name\nfrom stdin\n");
}

#[test]
fn credentials_of_the_data_are_used_and_see_their_projects() {
    let file = TemporaryFile::new(
        "credentials",
        r#"{"id":"0123456789abcdef01234567","orgId":"5f0000000000000000000001"}
        {"apiKeyId":"a1","name":"first"}
        {"id":"0123456789abcdef01234568","orgId":"5f0000000000000000000002"}
        {"apiKeyId":"a2","groupId":"0123456789abcdef01234568","name":"second"}
        {"clientId":"mdb_sa_id_1","clientSecret":"mdb_sa_sk_1","roles":[
            {"groupId":"0123456789abcdef01234568","roleName":"GROUP_READ_ONLY"}]}"#,
    );
    let (child, lines) = started(&["emulate", "--for", "30s", "--data", file.path()]);
    let variables = variables(&lines);
    assert!(variables.contains(&("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_1".to_owned())));
    let list = |source: &[&str]| {
        let output = ["list", "-o", "csv", "--columns", "name"];
        run(&[&output[..], source].concat(), &variables)
    };
    assert_eq!(list(&["--all-projects"]).stdout(), "name\nsecond\n");
    list(&[]).failure(11);
    list(&["--org-id", "5f0000000000000000000002"]).failure(11);
    stop(child);
}

#[test]
fn organizations_share_the_projects() {
    let (child, lines) = started(&["emulate", "--for", "30s", "--organizations", "2"]);
    let variables = variables(&lines);
    let keys = |source: &[&str]| {
        let list = [&["list", "-o", "ndjson"][..], source].concat();
        run(&list, &variables).stdout().lines().count()
    };
    let emulator = Emulator::new(Config::default().with_organizations(2));
    for org in emulator.org_ids() {
        let groups = emulator
            .groups()
            .filter(|group| emulator.org_of(*group) == Some(org));
        let expected: usize = groups.map(|group| emulator.keys(group).len()).sum();
        assert_eq!(keys(&["--org-id", org.as_str()]), expected);
    }
    stop(child);
}

#[test]
fn invalid_data_is_1_and_names_file_line_and_rule() {
    let file = TemporaryFile::new("invalid", "{\"name\":\"a\"}\n{\"secret\":4242}\n");
    let error = run(&["emulate", "--data", file.path()], &[]).failure(1);
    assert!(
        error.contains(file.path())
            && error.contains("line 2: secret")
            && error.contains("text or null"),
        "{error}"
    );
    assert!(!error.contains("4242"), "{error}");
    let error = run(&["emulate", "--data", "no-such-file"], &[]).failure(1);
    assert!(error.contains("no-such-file"), "{error}");
}

#[test]
fn options_about_generated_keys_are_refused_if_the_data_has_keys_or_projects() {
    for content in [
        r#"{"apiKeyId":"a1"}"#,
        r#"{"id":"0123456789abcdef01234567"} {"accessToken":"t"}"#,
        r#"{"organizations":[{"id":"0123456789abcdef01234567"}]}"#,
        "",
    ] {
        let file = TemporaryFile::new("own", content);
        for more in [
            &["--keys", "42"][..],
            &["--groups", "2"],
            &["--organizations", "2"],
            &["--hostile-names"],
        ] {
            let arguments = [&["emulate", "--data", file.path()], more].concat();
            let error = run(&arguments, &[]).failure(2);
            assert!(
                error.starts_with(&format!("error: {} is about", more[0]))
                    && error.contains("credentials only"),
                "{error}"
            );
        }
    }
    let file = TemporaryFile::new("only-credentials", r#"{"accessToken":"t"}"#);
    let arguments = [
        "--data",
        file.path(),
        "--keys",
        "7",
        "--groups",
        "4",
        "--organizations",
        "2",
        "--hostile-names",
    ];
    let document = json(&printed_as_json(&arguments));
    assert_eq!(document["accessToken"], "t");
    assert_eq!(document["projects"].as_array().unwrap().len(), 4);
    assert_eq!(document["organizations"].as_array().unwrap().len(), 2);
    assert_eq!(listed(&arguments, "ndjson").lines().count(), 7);
}

/// Returns the output of `--print json` with these arguments.
fn printed_as_json(arguments: &[&str]) -> String {
    let always = ["emulate", "--for", "1ms", "--print", "json"];
    printed(run(&[&always, arguments].concat(), &[]))
}

#[test]
fn printed_json_is_data_with_the_same_projects_credentials_and_roles() {
    let generated = printed_as_json(&["--organizations", "4", "--seed", "5"]);
    let file = TemporaryFile::new("environment.json", &generated);
    let mut again = json(&printed_as_json(&["--data", file.path()]));
    let mut expected = json(&generated);
    for document in [&mut again, &mut expected] {
        document.as_object_mut().unwrap().remove("baseUrl").unwrap();
    }
    assert_eq!(again, expected);
    assert_eq!(expected["organizations"].as_array().unwrap().len(), 4);
    assert_eq!(expected["credentials"].as_array().unwrap().len(), 3);
}

#[test]
fn failed_start_changes_no_file() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ca = TemporaryFile::new("other-ca.pem", "the certificate of another emulator");
    let log = TemporaryFile::new("other-log", "the log of another emulator");
    let (ca, log) = (ca.path(), log.path());
    let folder = std::env::temp_dir();
    let folder = folder.to_str().unwrap();
    for (arguments, what) in [
        (
            &["--port", &port, "--tls", "--tls-ca", ca, "--log", log][..],
            "serve on",
        ),
        (&["--tls", "--tls-ca", ca, "--log", folder], "write"),
        (&["--tls", "--tls-ca", folder, "--log", log], "write"),
    ] {
        let arguments = [&["emulate", "--for", "1ms"], arguments].concat();
        let error = run(&arguments, &[]).failure(1);
        assert!(
            error.starts_with(&format!("error: cannot {what} ")),
            "{error}"
        );
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(ca), "the certificate of another emulator");
        assert_eq!(read(log), "the log of another emulator");
    }
}

#[test]
fn base_url_on_all_addresses_has_the_first_allowed_host() {
    for (bind, hosts, expected) in [
        ("0.0.0.0", &["atlas", "other"][..], "http://atlas:"),
        ("0.0.0.0", &["10.1.2.3"], "http://10.1.2.3:"),
        ("0.0.0.0", &["2001:db8::1"], "http://[2001:db8::1]:"),
        ("127.0.0.1", &["atlas"], "http://127.0.0.1:"),
    ] {
        let hosts = hosts.iter().flat_map(|host| ["--allow-host", host]);
        let always = ["emulate", "--for", "1ms", "--print", "dotenv", "--bind"];
        let arguments: Vec<&str> = always.into_iter().chain([bind]).chain(hosts).collect();
        let outcome = run(&arguments, &[]);
        let start = format!("MONGODB_ATLAS_BASE_URL={expected}");
        assert!(outcome.stdout.starts_with(&start), "{outcome:?}");
        // People and scripts on this machine use this address.
        assert!(
            outcome.stderr.contains("note: ready at http://127.0.0.1:"),
            "{outcome:?}"
        );
    }
}

#[test]
fn path_of_the_certificate_is_printed_in_every_format() {
    let ca = TemporaryFile::new("printed ca.pem", "");
    let text = |format| {
        let arguments = ["emulate", "--for", "1ms", "--tls", "--tls-ca", ca.path()];
        printed(run(&[&arguments[..], &["--print", format]].concat(), &[]))
    };
    assert_eq!(json(&text("json"))["caFile"], ca.path());
    let line = format!("MONGODB_ATLAS_CA_FILE={}\n", ca.path());
    assert!(text("dotenv").contains(&line));
    let shell = text("shell");
    let variables = exports(shell.lines());
    assert_eq!(variables["MONGODB_ATLAS_CA_FILE"], ca.path());
    let line = format!("#   export SSL_CERT_FILE='{}' #", ca.path());
    assert!(shell.contains(&line), "{shell}");
    assert_eq!(
        json(&printed_as_json(&[]))["caFile"],
        serde_json::Value::Null
    );
}

#[test]
fn curl_lines_are_printed_only_for_projects_that_the_credential_may_list() {
    let (first, second) = ("0123456789abcdef01234567", "0123456789abcdef01234568");
    let content = format!(
        r#"{{"id":"{first}"}} {{"id":"{second}"}}
        {{"publicKey":"abcdefgh","privateKey":"p","roles":[
            {{"groupId":"{second}","roleName":"GROUP_OWNER"}}]}}
        {{"clientId":"mdb_sa_id_1","clientSecret":"s","roles":[]}}
        {{"accessToken":"t","roles":[]}}"#
    );
    let file = TemporaryFile::new("roles", content);
    let text = printed(run(
        &["emulate", "--for", "1ms", "--data", file.path()],
        &[],
    ));
    let lines: Vec<_> = text.lines().filter(|l| l.contains("/aiModel")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(second) && lines[0].contains("--digest"));
    assert!(text.contains(&format!("(401 USER_UNAUTHORIZED): {first}\n")));
    assert!(text.contains(&format!("MONGODB_ATLAS_FORBIDDEN_PROJECT_ID={first}\n")));
}

#[test]
fn shared_rate_limit_counts_all_projects_together() {
    // A token for the first request only.
    let arguments = ["--shared-rate-limit", "--rate-limit", "1/1/86400"];
    for (arguments, expected) in [(&arguments[..], 5), (&arguments[1..], 0)] {
        let (child, lines) = started(&[&["emulate", "--for", "30s"], arguments].concat());
        let variables = variables(&lines);
        run(&["list"], &variables).stdout();
        let second = Emulator::new(Config::default()).groups().nth(1).unwrap();
        let list = ["list", "--group-id", second.as_str(), "--timeout", "5s"];
        let outcome = run(&list, &variables);
        assert_eq!(outcome.code, Some(expected), "{}", outcome.stderr);
        stop(child);
    }
}

#[test]
fn every_fault_is_listed_with_its_argument() {
    let text = run(&["emulate", "--list-faults"], &[]).stdout();
    let mut names = HashSet::new();
    for fault in Fault::all() {
        let start = match fault.argument() {
            Some(argument) => format!("{}[={argument}] ", fault.name()),
            None => format!("{} ", fault.name()),
        };
        let mark = if fault.is_harmless() { "+ " } else { "  " };
        let line = format!("{mark}{start}");
        let found: Vec<_> = text.lines().filter(|l| l.starts_with(&line)).collect();
        assert!(
            found.len() == 1 && found[0].ends_with(fault.description()),
            "{fault}: {found:?}"
        );
        names.insert(fault.name());
    }
    // Nothing else is listed.
    let listed = text.lines().filter(|line| line.starts_with(['+', ' ']));
    assert_eq!(listed.count(), names.len());
}

#[test]
fn each_fault_applies_to_its_route() {
    let arguments = ["--fault", "results-null", "--fault=token-slow=1ms"];
    let (child, lines) = started(&[&["emulate", "--for", "30s"], &arguments[..]].concat());
    let variables: Vec<_> = exports(lines.iter().map(String::as_str))
        .into_iter()
        .filter_map(|(name, value)| Some((*NAMES.iter().find(|known| **known == name)?, value)))
        .collect();
    let error = run(&["list"], &variables).failure(7);
    assert!(error.contains("results"), "{error}");
    stop(child);
    let text = printed(run(
        &["emulate", "--for", "1ms", "--fault", "slow-body"],
        &[],
    ));
    assert!(text.contains("\n# Fault: slow-body=10ms: "), "{text}");
}

#[test]
fn fault_with_a_number_applies_to_that_many_responses() {
    let fault = ["--fault", "error-json=404*2"];
    let (child, lines) = started(&[&["emulate", "--for", "30s"], &fault[..]].concat());
    let variables: Vec<_> = exports(lines.iter().map(String::as_str))
        .into_iter()
        .filter_map(|(name, value)| Some((*NAMES.iter().find(|known| **known == name)?, value)))
        .collect();
    let codes = [(); 3].map(|()| run(&["list"], &variables).code);
    assert_eq!(codes, [Some(4), Some(4), Some(0)]);
    stop(child);
    let text = printed(run(&["emulate", "--for", "1ms", fault[0], fault[1]], &[]));
    assert!(text.contains("\n# Fault: error-json=404*2: "), "{text}");
}

#[test]
fn invalid_fault_is_2_and_names_the_way_out() {
    for (fault, rule) in [
        ("rest-in-body", "did you mean \"reset-in-body\"?"),
        ("", "there is no fault \"\""),
        ("garbage=1", "takes no argument"),
        ("slow-body=fast", "a duration from 0ms to 1m"),
        ("error-json=200", "a status from 400 to 599"),
        (
            "reset-in-body*0",
            "a number of requests from 1 to 4294967295",
        ),
        (
            "reset-in-body*",
            "a number of requests from 1 to 4294967295",
        ),
        (
            "reset-in-body*two",
            "a number of requests from 1 to 4294967295",
        ),
        ("\u{1b}[2J", "there is no fault"),
    ] {
        let error = run(&["emulate", "--fault", fault], &[]).failure(2);
        assert!(
            error.contains(rule) && error.contains("--list-faults"),
            "{error}"
        );
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}

/// Starts the emulator, and reads its output up to the line about tokens.
fn started(arguments: &[&str]) -> (Child, Vec<String>) {
    read_introduction(command(arguments, &[]).spawn().unwrap())
}

/// Reads the output of the emulator up to the line about tokens.
fn read_introduction(mut child: Child) -> (Child, Vec<String>) {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    // The output is written at once, so the rest of it does not block the command.
    while !lines
        .iter()
        .any(|line: &String| line.contains("--oauth2-bearer"))
    {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended");
        lines.push(line.trim_end().to_owned());
    }
    (child, lines)
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
