//! What a client needs for using an emulator, in its three formats.

use atlas_model_keys_core::{GroupId, OrgId};
use atlas_model_keys_emulator::{
    ApiKey, Config, CredentialKind, Data, Emulator, EnvironmentFormat, Role,
};
use serde_json::json;

#[test]
fn every_format_has_the_same_values() {
    let mut emulator = Emulator::new(Config::default());
    let groups: Vec<String> = emulator.groups().map(|group| group.to_string()).collect();
    let second = emulator.groups().nth(1).unwrap();
    emulator.remove_role(CredentialKind::ServiceAccount, Role::GroupReadOnly(second));
    let environment = emulator.environment("http://[::1]:8080/");

    let json: serde_json::Value = serde_json::from_str(&environment.to_json()).unwrap();
    assert_eq!(json["baseUrl"], "http://[::1]:8080");
    assert_eq!(json["projectId"], groups[0]);
    assert_eq!(json["orgId"], emulator.first_org().as_str());
    assert_eq!(json["publicKey"], emulator.api_key().public_key);
    assert_eq!(json["privateKey"], emulator.api_key().private_key);
    assert_eq!(json["clientId"], emulator.service_account().client_id);
    assert_eq!(
        json["clientSecret"],
        emulator.service_account().client_secret
    );
    assert_eq!(json["accessToken"], emulator.access_token());
    let roles: Vec<String> = (0..3)
        .map(|index| json["projects"][index]["listableBy"].to_string())
        .collect();
    let all = r#"["apiKey","serviceAccount","accessToken"]"#;
    assert_eq!(roles, [all, r#"["apiKey","accessToken"]"#, "[]"]);
    for (index, group) in groups.iter().enumerate() {
        assert_eq!(json["projects"][index]["id"], *group);
        assert_eq!(
            json["projects"][index]["orgId"],
            emulator.first_org().as_str()
        );
        assert!(json["projects"][index]["name"].is_string());
    }

    let expected = format!(
        "MONGODB_ATLAS_BASE_URL=http://[::1]:8080\n\
         MONGODB_ATLAS_PROJECT_ID={}\n\
         MONGODB_ATLAS_PROJECT_IDS={}\n\
         MONGODB_ATLAS_ORG_ID={}\n\
         MONGODB_ATLAS_PUBLIC_API_KEY={}\n\
         MONGODB_ATLAS_PRIVATE_API_KEY={}\n\
         MONGODB_ATLAS_CLIENT_ID={}\n\
         MONGODB_ATLAS_CLIENT_SECRET={}\n\
         MONGODB_ATLAS_FORBIDDEN_PROJECT_ID={}\n",
        groups[0],
        groups.join(","),
        emulator.first_org().as_str(),
        emulator.api_key().public_key,
        emulator.api_key().private_key,
        emulator.service_account().client_id,
        emulator.service_account().client_secret,
        groups[2],
    );
    assert_eq!(environment.to_dotenv(), expected);
    let shell = environment.to_shell();
    let exports = shell
        .lines()
        .filter_map(|line| line.strip_prefix("export "));
    let unquoted: String = exports.map(|line| line.replace('\'', "") + "\n").collect();
    assert_eq!(unquoted, expected);
    assert!(!format!("{environment:?}").contains(&emulator.api_key().private_key));
}

#[test]
fn line_breaks_in_the_base_url_cannot_add_a_variable() {
    let groups: String = (0..2000)
        .map(|n| format!("{{\"id\":\"{n:024x}\"}}\n"))
        .collect();
    let data = Data::from_json(groups.as_bytes()).unwrap();
    let emulator = Emulator::new(Config::default().with_data(data));
    let environment = emulator.environment("http://h\nPATH=/evil");
    let dotenv = environment.to_dotenv();
    assert!(dotenv.starts_with("MONGODB_ATLAS_BASE_URL=http://hPATH=/evil\n"));
    assert!(
        dotenv
            .lines()
            .all(|line| line.starts_with("MONGODB_ATLAS_"))
    );
    assert!(
        environment
            .to_shell()
            .contains("'http://h\nPATH=/evil'\nexport ")
    );
    // A variable that is too long would keep the shell from starting any program.
    assert!(dotenv.lines().all(|line| line.len() < 100 * 1024));
}

#[test]
fn json_has_all_organizations_and_all_credentials_with_their_roles() {
    let org = |digit: &str| OrgId::new(&digit.repeat(24)).unwrap();
    let group = |digit: &str| GroupId::new(&digit.repeat(24)).unwrap();
    let roles = [Role::OrgReadOnly(org("b")), Role::GroupOwner(group("1"))];
    let config = Config::default()
        .with_keys_per_group(0)
        .with_groups(2)
        .with_group_ids(vec![group("1"), group("2")])
        .with_organizations(3)
        .with_org_ids(vec![org("a"), org("b"), org("c")])
        .with_api_key(ApiKey::new("first", "p1").with_roles([]))
        .with_api_key(ApiKey::new("second", "p2").with_roles(roles));
    let emulator = Emulator::new(config);
    let environment = emulator.environment("http://h");
    let document: serde_json::Value = serde_json::from_str(&environment.to_json()).unwrap();
    let (a, b, c) = ("a".repeat(24), "b".repeat(24), "c".repeat(24));
    assert_eq!(
        document["organizations"],
        json!([{"id": a}, {"id": b}, {"id": c}])
    );
    let default_roles = json!([
        {"groupId": group("1").as_str(), "roleName": "GROUP_READ_ONLY"},
        {"orgId": a, "roleName": "ORG_READ_ONLY"},
        {"orgId": b, "roleName": "ORG_READ_ONLY"},
        {"orgId": c, "roleName": "ORG_READ_ONLY"},
    ]);
    let account = emulator.service_account();
    assert_eq!(
        document["credentials"],
        json!([
            {"kind": "apiKey", "publicKey": "first", "privateKey": "p1", "roles": []},
            {"kind": "apiKey", "publicKey": "second", "privateKey": "p2", "roles": [
                {"groupId": group("1").as_str(), "roleName": "GROUP_OWNER"},
                {"orgId": b, "roleName": "ORG_READ_ONLY"},
            ]},
            {
                "kind": "serviceAccount",
                "clientId": account.client_id,
                "clientSecret": account.client_secret,
                "roles": default_roles,
            },
            {"kind": "accessToken", "accessToken": emulator.access_token(), "roles": default_roles},
        ])
    );
    let debug = format!("{:?}", environment.credentials);
    assert!(debug.contains("second") && !debug.contains("p2"), "{debug}");

    let data = Data::from_json(environment.to_json().as_bytes()).unwrap();
    let again = Emulator::new(Config::default().with_data(data)).environment("http://h");
    assert_eq!(again.to_json(), environment.to_json());
}

#[test]
fn every_line_for_a_shell_is_an_export_or_a_comment() {
    for ca in [None, Some("/ca.pem"), Some("/it's a.pem")] {
        let mut environment = Emulator::new(Config::default()).environment("https://h:1");
        environment.ca_file = ca.map(str::to_owned);
        let text = environment.to_text(EnvironmentFormat::Shell);
        assert!(text.ends_with('\n'));
        let (exports, comments): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("export "));
        assert!(comments.iter().all(|line| line.starts_with("# ")), "{text}");
        assert_eq!(exports.len(), if ca.is_some() { 10 } else { 9 });
    }
    // A line break does not end a comment.
    let mut environment = Emulator::new(Config::default()).environment("https://h:1");
    environment.ca_file = Some("/a\nevil".to_owned());
    let text = environment.to_shell();
    let evil = text.lines().filter(|line| line.starts_with("evil"));
    // The value of the variable, in quotes.
    assert_eq!(evil.collect::<Vec<_>>(), ["evil'"]);
}
