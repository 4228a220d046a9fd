//! The host that a credential is sent to.

use atlas_model_keys_emulator::Config;

use crate::scripted::{GROUP, Scripted};
use crate::support::{Atlas, Login, run};

const BASE: &str = "MONGODB_ATLAS_BASE_URL";
const OPS_MANAGER: &str = "MONGODB_ATLAS_OPS_MANAGER_URL";
const SERVICE: &str = "MONGODB_ATLAS_SERVICE";

/// Returns the requested host, as a proxy sees it.
fn host(variables: &[(&'static str, &str)], arguments: &[&str]) -> String {
    let proxy = Scripted::responding_with(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let mut environment = vec![
        ("MONGODB_ATLAS_PROJECT_ID", GROUP.to_owned()),
        ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token".to_owned()),
        ("HTTPS_PROXY", proxy.url()),
    ];
    environment.extend(
        variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    run(&[&["list"], arguments].concat(), &environment).failure(6);
    let heads = proxy.heads();
    let target = heads[0].split(' ').nth(1).unwrap();
    target.strip_suffix(":443").unwrap().to_owned()
}

#[test]
fn the_variables_of_the_atlas_cli_select_the_host() {
    assert_eq!(host(&[], &[]), "cloud.mongodb.com");
    assert_eq!(host(&[(SERVICE, "cloud")], &[]), "cloud.mongodb.com");
    assert_eq!(host(&[(SERVICE, "cloudgov")], &[]), "cloud.mongodbgov.com");
    let url = [(OPS_MANAGER, "https://cloud.mongodbgov.com/")];
    assert_eq!(host(&url, &[]), "cloud.mongodbgov.com");
    assert_eq!(
        host(&[(SERVICE, ""), (OPS_MANAGER, "")], &[]),
        "cloud.mongodb.com"
    );
}

#[test]
fn more_specific_setting_precedes_the_others() {
    let all = [
        (BASE, "https://base.example"),
        (OPS_MANAGER, "https://ops-manager.example/"),
        (SERVICE, "cloudgov"),
    ];
    let argument = ["--base-url", "https://argument.example"];
    assert_eq!(host(&all, &argument), "argument.example");
    assert_eq!(host(&all, &[]), "base.example");
    assert_eq!(host(&all[1..], &[]), "ops-manager.example");
    // An argument may name another cloud than the variables.
    let argument = ["--base-url", "https://cloud.mongodb.com"];
    assert_eq!(
        host(&[(SERVICE, "cloudgov")], &argument),
        "cloud.mongodb.com"
    );
}

#[test]
fn the_url_of_the_atlas_cli_may_end_with_a_slash() {
    let atlas = Atlas::new(Config::default());
    let mut environment = atlas.environment(Login::Token);
    for (name, value) in &mut environment {
        if *name == BASE {
            *name = OPS_MANAGER;
            value.push('/');
        }
    }
    let text = run(&["list", "-o", "ndjson"], &environment).stdout();
    assert_eq!(text.lines().count(), 42);
}

#[test]
fn wrong_values_are_2_and_named_with_the_way_out() {
    let atlas = Atlas::new(Config::default());
    for (name, value, words) in [
        (
            SERVICE,
            "cloudgovernment",
            &["\"cloudgovernment\"", "cloud or cloudgov", "--base-url"][..],
        ),
        (
            SERVICE,
            "mdb_sa_sk_hunter2",
            &["\"[redacted]\"", "cloud or cloudgov"],
        ),
        (OPS_MANAGER, "cloud.mongodb.com", &["begin with https://"]),
        (
            OPS_MANAGER,
            "https://me:hunter2@atlas.example/",
            &["user information"],
        ),
        (
            OPS_MANAGER,
            "http://atlas.example/",
            &["--allow-plain-http"],
        ),
    ] {
        let mut environment = atlas.environment(Login::Token);
        environment.push((name, value.to_owned()));
        let error = run(&["list"], &environment).failure(2);
        assert!(
            error.contains(name) && !error.contains("hunter2"),
            "{error}"
        );
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn variables_that_name_both_clouds_are_2() {
    const GOVERNMENT: &str = "https://cloud.mongodbgov.com";
    const COMMERCIAL: &str = "https://cloud.mongodb.com/";
    for (variables, named) in [
        ([(BASE, COMMERCIAL), (SERVICE, "cloudgov")], [BASE, SERVICE]),
        (
            [(BASE, GOVERNMENT), (OPS_MANAGER, COMMERCIAL)],
            [BASE, OPS_MANAGER],
        ),
        (
            [(OPS_MANAGER, GOVERNMENT), (SERVICE, "cloud")],
            [OPS_MANAGER, SERVICE],
        ),
    ] {
        let mut environment = vec![
            ("MONGODB_ATLAS_PROJECT_ID", GROUP.to_owned()),
            ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token".to_owned()),
        ];
        environment.extend(variables.map(|(name, value)| (name, value.to_owned())));
        let error = run(&["list"], &environment).failure(2);
        for name in named {
            assert!(error.contains(name), "{error}");
        }
        assert!(
            error.contains(GOVERNMENT) && error.contains("--base-url"),
            "{error}"
        );
    }
}
