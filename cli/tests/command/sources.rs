//! The projects and the organization that are listed.

use atlas_model_keys_emulator::{Config, Route};

use crate::support::{Atlas, Login, run};

#[test]
fn several_groups_are_listed_once_each_in_the_given_order() {
    let atlas = Atlas::new(Config::default());
    let groups: Vec<_> = atlas.server.with(|emulator| {
        let groups = emulator.groups().take(2);
        groups.map(|group| group.to_string()).collect()
    });
    let [first, second] = &*groups else {
        panic!("{groups:?}")
    };
    let arguments = [second, first, second].map(|group| ["--group-id", group.as_str()]);
    let text = atlas
        .list(&[&arguments.concat()[..], &["-o", "ndjson"]].concat())
        .stdout();
    let requests = |route| atlas.server.with(|emulator| emulator.requests_for(route));
    assert_eq!(requests(Route::ListGroupKeys), 2);
    let ids = |group: &String| {
        let group = group.parse().unwrap();
        atlas.server.with(|emulator| {
            let keys = emulator.keys(group).iter();
            keys.map(|key| key.api_key_id.clone().unwrap())
                .collect::<Vec<_>>()
        })
    };
    let listed: Vec<_> = text
        .lines()
        .map(|line| {
            crate::support::json(line)["apiKeyId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(listed, [ids(second), ids(first)].concat());
}

#[test]
fn organization_is_listed_by_argument_and_by_variable() {
    let atlas = Atlas::new(Config::default());
    let organization = atlas
        .server
        .with(|emulator| emulator.first_org().to_string());
    let mut environment = atlas.environment(Login::Token);
    let arguments = ["list", "-o", "ndjson", "--org-id", &organization];
    let text = run(&arguments, &environment).stdout();
    assert!(text.lines().count() > 42, "{text}");
    environment.retain(|(name, _)| *name != "MONGODB_ATLAS_PROJECT_ID");
    environment.push(("MONGODB_ATLAS_ORG_ID", organization));
    assert_eq!(run(&["list", "-o", "ndjson"], &environment).stdout(), text);
}

#[test]
fn different_kinds_of_sources_are_2() {
    let id = "0123456789abcdef01234567";
    for arguments in [
        &["--group-id", id, "--org-id", id][..],
        &["--group-id", id, "--all-projects"],
        &["--org-id", id, "--all-projects"],
    ] {
        let error = run(&[&["list"], arguments].concat(), &[]).failure(2);
        assert!(error.contains("cannot be used with"), "{error}");
    }
}

#[test]
fn missing_source_is_2_and_lists_the_ways() {
    let error = run(&["list"], &[]).failure(2);
    assert!(error.starts_with("error: no project given\n"), "{error}");
}
