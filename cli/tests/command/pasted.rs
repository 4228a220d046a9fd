//! Credentials with typical paste errors, or in the wrong variable or argument.

use atlas_model_keys_emulator::Config;

use crate::support::{Atlas, Login, run};
#[cfg(unix)]
use crate::support::{command, finish};

const TOKEN: &str = "MONGODB_ATLAS_ACCESS_TOKEN";
const CLIENT_ID: &str = "MONGODB_ATLAS_CLIENT_ID";
const CLIENT_SECRET: &str = "MONGODB_ATLAS_CLIENT_SECRET";
const PUBLIC: &str = "MONGODB_ATLAS_PUBLIC_API_KEY";
const PRIVATE: &str = "MONGODB_ATLAS_PRIVATE_API_KEY";

#[track_caller]
fn refused(atlas: &Atlas, name: &'static str, value: &str) -> String {
    let login = match name {
        TOKEN => Login::Token,
        CLIENT_ID | CLIENT_SECRET => Login::ServiceAccount,
        _ => Login::ApiKey,
    };
    let mut environment = atlas.environment(login);
    environment.retain(|(other, _)| *other != name);
    environment.push((name, value.to_owned()));
    let error = run(&["list"], &environment).failure(2);
    assert!(
        error.contains(name) && !error.contains("hunter2"),
        "{error}"
    );
    error
}

#[test]
fn characters_around_a_credential_are_2_and_named() {
    let atlas = Atlas::new(Config::default());
    for name in [TOKEN, CLIENT_ID, CLIENT_SECRET, PUBLIC, PRIVATE] {
        for (value, found) in [
            ("\"hunter2\"", "it begins with a quotation mark"),
            ("hunter2'", "it ends with a quotation mark"),
            (" hunter2", "it begins with a space"),
            ("hunter2 ", "it ends with a space"),
            ("hunter2\n", "it ends with a line end"),
            ("\u{a0}hunter2", "it begins with a no-break space"),
            ("hunter2\u{200b}", "it ends with a zero-width space"),
            ("\u{feff}hunter2", "it begins with a byte order mark"),
        ] {
            let error = refused(&atlas, name, value);
            assert!(error.contains(found), "{error}");
        }
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn unexpanded_variable_is_2_and_named() {
    let atlas = Atlas::new(Config::default());
    for name in [TOKEN, CLIENT_ID, CLIENT_SECRET, PUBLIC, PRIVATE] {
        for value in ["$ATLAS_SECRET", "${ATLAS_SECRET}"] {
            let error = refused(&atlas, name, value);
            assert!(error.contains(&format!("\"{value}\"")), "{error}");
            assert!(
                error.contains("the name of a variable, not its value"),
                "{error}"
            );
        }
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn credential_of_the_wrong_kind_is_2_and_named() {
    let atlas = Atlas::new(Config::default());
    const UUID: &str = "80fc9fb3-a1f0-e14b-e801-7e68925321cf";
    for (name, value, found) in [
        (CLIENT_ID, "abcdefgh", "an API key's public key"),
        (CLIENT_ID, "mdb_sa_sk_hunter2", "is, or holds, a secret"),
        (CLIENT_SECRET, "mdb_sa_id_0123", "a client id"),
        (CLIENT_SECRET, UUID, "an API key's private key"),
        (PUBLIC, "mdb_sa_id_0123", "a service account's client id"),
        (PUBLIC, UUID, "is, or holds, a secret"),
        (PRIVATE, "mdb_sa_sk_hunter2", "a service account's"),
        (TOKEN, "mdb_sa_sk_hunter2", "a service account's"),
        (TOKEN, "Bearer hunter2", "no \"Bearer \""),
    ] {
        let error = refused(&atlas, name, value);
        assert!(error.contains(found) && !error.contains(UUID), "{error}");
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn argument_that_looks_like_a_credential_is_2_and_not_repeated() {
    let atlas = Atlas::new(Config::default());
    let secret = "mdb_sa_sk_hunter2";
    let attached = |before: &str| format!("{before}{secret}");
    for arguments in [
        &["list", "--group-id", secret][..],
        &["list", &attached("--projectId=")],
        &["list", &attached("--secret=")],
        &["list", &attached("--")],
        &["list", &attached("-o")],
        &["list", secret],
        &["list", "--items-per-page", secret],
        &["list", "--page-num", secret],
        &["list", "--columns", &attached("name,")],
        &["list", "--api-version", secret],
        &["list", "--base-url", secret],
        &["list", "--timeout", secret],
        &["list", &attached("--pretty=")],
        &[secret],
        &["emulate", "--port", secret],
        &["emulate", "--fault", secret],
        &["emulate", "--rate-limit", secret],
    ] {
        let error = atlas.run(Login::Token, arguments).failure(2);
        assert!(!error.contains("hunter2"), "{arguments:?}: {error}");
    }
    for secret in [
        "mdb_sa_id_0123:hunter2",
        "80fc9fb3-a1f0-e14b-e801-7e68925321cf/hunter2",
        "eyJhunter2.hunter2",
        "Bearer hunter2",
        "al-hunter2hunter2",
        "https://me:hunter2@atlas.example",
        "https://me:'hunter2 hunter2'@atlas.example",
        "atlas.example,me:hunter2@proxy.example",
    ] {
        for arguments in [
            &["--group-id", secret][..],
            &[&format!("-o{secret}")],
            &["--columns", secret],
            &[secret],
        ] {
            let error = atlas.list(arguments).failure(2);
            for word in ["hunter2", "e801"] {
                assert!(!error.contains(word), "{arguments:?}: {error}");
            }
        }
        let mut environment = atlas.environment(Login::Token);
        environment.push(("MONGODB_ATLAS_PROJECT_ID", secret.to_owned()));
        let error = run(&["list"], &environment).failure(2);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = atlas.list(&["--group-id", "mdb_sa_sk_hunter2"]).failure(2);
    assert!(
        error.contains("'[redacted]' for '--group-id <ID>'") && error.contains("24 lower-case"),
        "{error}"
    );
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[cfg(unix)]
#[test]
fn variable_that_is_not_utf8_is_2_and_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let broken = OsStr::from_bytes(b"http://me:hunter2\xff@127.0.0.1:1");
    for (name, base) in [
        ("http_proxy", "http://atlas.example"),
        ("https_proxy", "https://atlas.example"),
        ("HTTPS_PROXY", "https://atlas.example"),
        ("ALL_PROXY", "http://atlas.example"),
        ("no_proxy", "https://atlas.example"),
        ("NO_PROXY", "https://atlas.example"),
        ("SSL_CERT_FILE", "https://atlas.example"),
        ("SSL_CERT_DIR", "https://atlas.example"),
        ("MONGODB_ATLAS_ACCESS_TOKEN", "https://atlas.example"),
        ("MONGODB_ATLAS_PROJECT_ID", "https://atlas.example"),
        ("MONGODB_ATLAS_BASE_URL", "https://atlas.example"),
        ("MONGODB_ATLAS_OPS_MANAGER_URL", "https://atlas.example"),
        ("MONGODB_ATLAS_SERVICE", "https://atlas.example"),
    ] {
        let variables = [
            ("MONGODB_ATLAS_PROJECT_ID", crate::scripted::GROUP),
            ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token"),
            ("MONGODB_ATLAS_BASE_URL", base),
            // The exceptions are read only if there is a proxy.
            (
                "all_proxy",
                if name.eq_ignore_ascii_case("no_proxy") {
                    "127.0.0.1:1"
                } else {
                    ""
                },
            ),
        ];
        let variables = variables.map(|(name, value)| (name, value.to_owned()));
        let child = command(&["list", "--allow-plain-http"], &variables)
            .env(name, broken)
            .spawn();
        let error = finish(child.unwrap()).failure(2);
        assert!(
            error.contains(name) && error.contains("not UTF-8"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    // The proxy is not read for loopback.
    let atlas = Atlas::new(Config::default());
    let child = command(&["list"], &atlas.environment(Login::Token))
        .env("http_proxy", broken)
        .env("NO_PROXY", broken)
        .spawn();
    finish(child.unwrap()).stdout();
}
