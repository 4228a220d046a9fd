//! What a client needs for using an emulator, in its three formats.

use atlas_model_keys_emulator::{Config, CredentialKind, Emulator, Role};

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
    assert_eq!(json["publicApiKey"], emulator.api_key().public_key);
    assert_eq!(json["privateApiKey"], emulator.api_key().private_key);
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
    let unquoted = environment.to_shell().replace("export ", "");
    assert_eq!(unquoted.replace('\'', ""), expected);
    assert!(!format!("{environment:?}").contains(&emulator.api_key().private_key));
}

#[test]
fn line_breaks_in_the_base_url_cannot_add_a_variable() {
    let emulator = Emulator::new(Config::default().with_groups(2000).with_keys_per_group(0));
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
