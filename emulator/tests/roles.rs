//! Several organizations, credentials and roles: who may list what.

use std::time::Instant;

use crate::support::{DATED, NOW, after, digest, get, header, json, nonce_of, token_request_of};
use atlas_model_keys_core::{GroupId, OrgId};
use atlas_model_keys_emulator::{
    AccessToken, ApiKey, Config, CredentialKind, Data, Emulator, Role, ServiceAccount,
};
use http::{Request, Response};

const GROUPS: &str = "/api/atlas/v2/groups";

fn group_keys(group: GroupId) -> String {
    format!("/api/atlas/v2/groups/{group}/aiModelApiKeys")
}

fn org_keys(org: OrgId) -> String {
    format!("/api/atlas/v2/orgs/{org}/aiModelApiKeys")
}

fn group_id(number: u32) -> GroupId {
    format!("{number:024x}").parse().unwrap()
}

fn org_id(number: u32) -> OrgId {
    format!("{number:024x}").parse().unwrap()
}

/// Sends a GET with an access token, and returns the status and the error code.
fn outcome(emulator: &mut Emulator, token: &str, target: &str) -> (u16, Option<String>) {
    let response = emulator.handle(&get(target, DATED, &format!("Bearer {token}")), NOW);
    let code = json(&response)["errorCode"].as_str().map(str::to_owned);
    (response.status().as_u16(), code)
}

fn ok() -> (u16, Option<String>) {
    (200, None)
}

fn unauthorized() -> (u16, Option<String>) {
    (401, Some("USER_UNAUTHORIZED".to_owned()))
}

/// Returns the ids in the list of groups that an access token gets.
fn listed(emulator: &mut Emulator, token: &str) -> Vec<String> {
    let request = get(GROUPS, DATED, &format!("Bearer {token}"));
    let page = json(&emulator.handle(&request, NOW));
    let results = page["results"].as_array().unwrap();
    assert_eq!(page["totalCount"], results.len());
    let ids = results.iter().map(|group| group["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

fn ids(groups: &[GroupId]) -> Vec<String> {
    groups.iter().map(ToString::to_string).collect()
}

/// Four groups in two organizations: 1 and 3 are in the first, 2 and 4 in the second.
fn two_organizations() -> Config {
    Config::default()
        .with_group_ids((1..=4).map(group_id).collect())
        .with_org_ids(vec![org_id(1), org_id(2)])
        .with_keys_per_group(2)
}

#[test]
fn configured_ids_come_first_and_the_others_are_generated() {
    let generated = Emulator::new(Config::default());
    let emulator = Emulator::new(
        Config::default()
            .with_group_ids(vec![group_id(7), group_id(7), group_id(8)])
            .with_organizations(2)
            .with_org_ids(vec![org_id(9)]),
    );
    let groups: Vec<_> = emulator.groups().collect();
    assert_eq!(groups[..2], [group_id(7), group_id(8)]);
    assert_eq!(groups[2], generated.first_group());
    assert_eq!(groups.len(), 3);
    assert_eq!(emulator.keys(group_id(7)).len(), 42);
    let group = Some(group_id(7).to_string());
    assert!(
        emulator
            .keys(group_id(7))
            .iter()
            .all(|key| key.group_id == group)
    );
    let orgs: Vec<_> = emulator.org_ids().collect();
    assert_eq!(orgs[0], org_id(9));
    assert_eq!(orgs[1], generated.first_org());
    assert_eq!(emulator.first_org(), org_id(9));
    let of_groups: Vec<_> = groups
        .iter()
        .filter_map(|id| emulator.org_of(*id))
        .collect();
    assert_eq!(of_groups, [orgs[0], orgs[1], orgs[0]]);
    assert_eq!(emulator.org_of(group_id(1)), None);

    let more_ids = Emulator::new(two_organizations().with_groups(1));
    assert_eq!(more_ids.groups().count(), 4);
    assert_eq!(more_ids.org_ids().count(), 2);
    let more_orgs = Emulator::new(Config::default().with_groups(1).with_organizations(3));
    assert_eq!(more_orgs.org_ids().count(), 3);
}

#[test]
fn organization_lists_the_keys_of_its_own_groups() {
    let mut emulator = Emulator::new(two_organizations());
    let token = emulator.access_token().to_owned();
    for (org, groups) in [(1, [1, 3]), (2, [2, 4])] {
        let target = org_keys(org_id(org)) + "?itemsPerPage=500";
        let page = json(&emulator.handle(&get(&target, DATED, &format!("Bearer {token}")), NOW));
        let expected: Vec<_> = groups
            .iter()
            .flat_map(|group| emulator.keys(group_id(*group)))
            .filter_map(|key| key.api_key_id.clone())
            .collect();
        let results = page["results"].as_array().unwrap();
        let found: Vec<_> = results.iter().map(|key| key["apiKeyId"].as_str()).collect();
        assert_eq!(
            found,
            expected.iter().map(|id| Some(&**id)).collect::<Vec<_>>()
        );
        assert_eq!(page["totalCount"], expected.len());
        // A key of one organization is not in the other.
        let own = format!("{}/{}", org_keys(org_id(org)), expected[0]);
        let other = format!("{}/{}", org_keys(org_id(3 - org)), expected[0]);
        assert_eq!(outcome(&mut emulator, &token, &own), ok());
        assert_eq!(outcome(&mut emulator, &token, &other).0, 404);
    }
    let page = json(&emulator.handle(&get(GROUPS, DATED, &format!("Bearer {token}")), NOW));
    let orgs: Vec<_> = (0..4)
        .map(|n| page["results"][n]["orgId"].as_str())
        .collect();
    let (first, second) = (org_id(1), org_id(2));
    let (first, second) = (Some(first.as_str()), Some(second.as_str()));
    assert_eq!(orgs, [first, second, first, second]);
}

#[test]
fn each_role_allows_what_its_documentation_says() {
    let group = group_id(1);
    let org = org_id(1);
    // The columns: keys of the group, of another group of the organization, of the organization, of a group of
    // the other organization, of the other organization; and the list of groups.
    let all_of_org = [group_id(1), group_id(3)];
    for (role, allowed, visible) in [
        (
            Role::GroupOwner(group),
            [true, false, false],
            &all_of_org[..1],
        ),
        (
            Role::GroupModelOwner(group),
            [true, false, false],
            &all_of_org[..1],
        ),
        (
            Role::GroupReadOnly(group),
            [true, false, false],
            &all_of_org[..1],
        ),
        (Role::OrgOwner(org), [true, true, true], &all_of_org),
        (Role::OrgReadOnly(org), [false, false, true], &all_of_org),
        (Role::OrgMember(org), [false, false, false], &[]),
    ] {
        let token = AccessToken::new("t").with_roles([role]);
        let mut emulator = Emulator::new(two_organizations().with_access_token(token));
        let key_of = |emulator: &Emulator, group| {
            emulator.keys(group)[0]
                .api_key_id
                .clone()
                .unwrap_or_default()
        };
        let key = key_of(&emulator, group);
        for (target, is_allowed) in [
            (group_keys(group), allowed[0]),
            (format!("{}/{key}", group_keys(group)), allowed[0]),
            (group_keys(group_id(3)), allowed[1]),
            (org_keys(org), allowed[2]),
            (format!("{}/{key}", org_keys(org)), allowed[2]),
            (group_keys(group_id(2)), false),
            (org_keys(org_id(2)), false),
            (
                format!("{}/{}", org_keys(org_id(2)), key_of(&emulator, group_id(2))),
                false,
            ),
        ] {
            let expected = if is_allowed { ok() } else { unauthorized() };
            assert_eq!(
                outcome(&mut emulator, "t", &target),
                expected,
                "{role}: {target}"
            );
        }
        assert_eq!(listed(&mut emulator, "t"), ids(visible), "{role}");
        // What does not exist is no matter of roles.
        let unknown = outcome(&mut emulator, "t", &group_keys(group_id(99)));
        assert_eq!(unknown.1.as_deref(), Some("GROUP_NOT_FOUND"));
        let unknown = outcome(&mut emulator, "t", &org_keys(org_id(99)));
        assert_eq!(unknown.1.as_deref(), Some("RESOURCE_NOT_FOUND"));
    }
}

#[test]
fn default_roles_leave_out_the_last_group_only() {
    let config = two_organizations().with_access_token(AccessToken::new("t"));
    let mut emulator = Emulator::new(config);
    assert_eq!(emulator.forbidden_group(), Some(group_id(4)));
    for number in 1..=3 {
        assert_eq!(
            outcome(&mut emulator, "t", &group_keys(group_id(number))),
            ok()
        );
    }
    assert_eq!(
        outcome(&mut emulator, "t", &group_keys(group_id(4))),
        unauthorized()
    );
    assert_eq!(outcome(&mut emulator, "t", &org_keys(org_id(2))), ok());
    let all: Vec<_> = (1..=4).map(group_id).collect();
    assert_eq!(listed(&mut emulator, "t"), ids(&all));

    // A grant and a revocation leave the other default roles.
    emulator.grant_role(
        CredentialKind::AccessToken,
        Role::GroupReadOnly(group_id(4)),
    );
    emulator.remove_role(
        CredentialKind::AccessToken,
        Role::GroupReadOnly(group_id(1)),
    );
    emulator.remove_role(CredentialKind::AccessToken, Role::OrgReadOnly(org_id(1)));
    assert_eq!(outcome(&mut emulator, "t", &group_keys(group_id(4))), ok());
    assert_eq!(
        outcome(&mut emulator, "t", &group_keys(group_id(1))),
        unauthorized()
    );
    assert_eq!(
        outcome(&mut emulator, "t", &org_keys(org_id(1))),
        unauthorized()
    );
    assert_eq!(listed(&mut emulator, "t"), ids(&all[1..]));
    let roles = emulator.roles(CredentialKind::AccessToken);
    let groups = all[1..].iter().map(|group| Role::GroupReadOnly(*group));
    let orgs = [Role::OrgReadOnly(org_id(2))];
    assert_eq!(roles, groups.chain(orgs).collect());
}

#[test]
fn roles_belong_to_one_credential_of_several() {
    let config = two_organizations()
        .with_access_token(AccessToken::new("first").with_roles([]))
        .with_access_token(AccessToken::new("second").with_roles([]));
    let mut emulator = Emulator::new(config);
    assert_eq!(emulator.access_token(), "first");
    // An API key and a service account are generated, because none is configured.
    let credentials = emulator.credentials();
    let kinds: Vec<_> = credentials.iter().map(|id| id.kind()).collect();
    let (key, account) = (CredentialKind::ApiKey, CredentialKind::ServiceAccount);
    let token = CredentialKind::AccessToken;
    assert_eq!(kinds, [key, account, token, token]);
    for (name, id) in [
        (emulator.api_key().public_key.clone(), credentials[0]),
        (emulator.service_account().client_id.clone(), credentials[1]),
        ("first".to_owned(), token.into()),
        ("second".to_owned(), credentials[3]),
    ] {
        assert_eq!(emulator.find_credential(&name), Some(id));
    }
    assert_eq!(emulator.find_credential("third"), None);

    let target = group_keys(group_id(1));
    emulator.grant_role(credentials[3], Role::GroupReadOnly(group_id(1)));
    assert_eq!(outcome(&mut emulator, "first", &target), unauthorized());
    assert_eq!(outcome(&mut emulator, "second", &target), ok());
    assert_eq!(listed(&mut emulator, "first"), ids(&[]));
    assert_eq!(listed(&mut emulator, "second"), ids(&[group_id(1)]));
    emulator.remove_role(credentials[3], Role::GroupReadOnly(group_id(1)));
    assert_eq!(outcome(&mut emulator, "second", &target), unauthorized());
}

#[test]
fn each_api_key_has_its_password_and_its_roles() {
    let keys = [(1, "abcdefgh", "one"), (2, "ijklmnop", "two")];
    let config = keys
        .iter()
        .fold(two_organizations(), |config, (group, public, private)| {
            let role = Role::GroupReadOnly(group_id(*group));
            config.with_api_key(ApiKey::new(*public, *private).with_roles([role]))
        });
    let mut emulator = Emulator::new(config);
    let mut ask = |group, public: &str, private: &str| {
        let target = group_keys(group_id(group));
        let challenge = emulator.handle(&get(&target, DATED, ""), NOW);
        let nonce = nonce_of(header(&challenge, "www-authenticate").unwrap());
        let credentials = digest(public, private, nonce, 1, &target);
        let response = emulator.handle(&get(&target, DATED, &credentials), NOW);
        let code = json(&response)["errorCode"].as_str().map(str::to_owned);
        (response.status().as_u16(), code)
    };
    assert_eq!(ask(1, "abcdefgh", "one"), ok());
    assert_eq!(ask(2, "ijklmnop", "two"), ok());
    assert_eq!(ask(2, "abcdefgh", "one"), unauthorized());
    assert_eq!(ask(1, "ijklmnop", "two"), unauthorized());
    // A wrong password is another 401, without a code.
    assert_eq!(ask(1, "abcdefgh", "two"), (401, None));
    assert_eq!(ask(1, "qrstuvwx", "one"), (401, None));
}

#[test]
fn each_service_account_has_its_tokens_and_its_limit() {
    let accounts = [
        ServiceAccount::new("mdb_sa_id_1", "mdb_sa_sk_1")
            .with_roles([Role::GroupReadOnly(group_id(1))]),
        ServiceAccount::new("mdb_sa_id_2", "mdb_sa_sk_2")
            .with_roles([Role::GroupReadOnly(group_id(2))]),
    ];
    let [first, second] = &accounts;
    let config = two_organizations()
        .with_service_account(first.clone())
        .with_service_account(second.clone());
    let mut emulator = Emulator::new(config);
    let issue = |emulator: &mut Emulator, account| {
        emulator.handle(
            &token_request_of(account, "grant_type=client_credentials"),
            NOW,
        )
    };
    let text = |response: &Response<Vec<u8>>| {
        json(response)["access_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let of_second = text(&issue(&mut emulator, second));
    let of_first: Vec<_> = (0..100)
        .map(|_| text(&issue(&mut emulator, first)))
        .collect();
    assert_eq!(issue(&mut emulator, first).status(), 403);
    assert_eq!(issue(&mut emulator, second).status(), 200);
    assert_eq!(
        outcome(&mut emulator, &of_first[0], &group_keys(group_id(1))),
        ok()
    );
    assert_eq!(
        outcome(&mut emulator, &of_first[0], &group_keys(group_id(2))),
        unauthorized()
    );
    assert_eq!(
        outcome(&mut emulator, &of_second, &group_keys(group_id(2))),
        ok()
    );

    // Only its own account can revoke a token.
    let revoke = |account, token: &str| -> Request<Vec<u8>> {
        let mut request = token_request_of(account, &format!("token={token}"));
        *request.uri_mut() = "/api/oauth/revoke".parse().unwrap();
        request
    };
    let long_lived = emulator.access_token().to_owned();
    for token in [&of_first[0], &long_lived] {
        assert_eq!(emulator.handle(&revoke(second, token), NOW).status(), 200);
        assert_eq!(
            outcome(&mut emulator, token, &group_keys(group_id(1))),
            ok()
        );
    }
    assert_eq!(
        emulator.handle(&revoke(first, &of_first[0]), NOW).status(),
        200
    );
    assert_eq!(
        outcome(&mut emulator, &of_first[0], &group_keys(group_id(1))),
        (401, None)
    );
    assert_eq!(issue(&mut emulator, first).status(), 200);

    // The id of one account with the secret of the other.
    let mixed = ServiceAccount::new("mdb_sa_id_1", "mdb_sa_sk_2");
    assert_eq!(issue(&mut emulator, &mixed).status(), 401);
    let now = after(3600);
    let request = token_request_of(first, "grant_type=client_credentials");
    assert_eq!(emulator.handle(&request, now).status(), 200);
}

#[test]
fn each_organization_has_a_token_bucket_of_its_own() {
    let limit =
        atlas_model_keys_emulator::TokenBucket::new(1, 1, std::time::Duration::from_secs(9));
    let mut emulator = Emulator::new(two_organizations().with_rate_limit(limit));
    let token = emulator.access_token().to_owned();
    for org in [1, 2] {
        assert_eq!(
            outcome(&mut emulator, &token, &org_keys(org_id(org))).0,
            200
        );
        assert_eq!(
            outcome(&mut emulator, &token, &org_keys(org_id(org))).0,
            429
        );
    }
    emulator.set_rate_limit(Some(limit));
    assert_eq!(outcome(&mut emulator, &token, &org_keys(org_id(2))).0, 200);
}

#[test]
fn debug_shows_no_secret() {
    let config = Config::default()
        .with_api_key(ApiKey::new("abcdefgh", "hunter2-key"))
        .with_service_account(ServiceAccount::new("mdb_sa_id_1", "hunter2-secret"))
        .with_access_token(AccessToken::new("hunter2-token"));
    let mut emulator = Emulator::new(config.clone().with_keys_per_group(1));
    let request = token_request_of(emulator.service_account(), "grant_type=client_credentials");
    let issued = json(&emulator.handle(&request, NOW));
    let text = format!(
        "{config:?} {emulator:?} {:?} {:?} {:?}",
        emulator.api_key(),
        emulator.service_account(),
        config.access_tokens,
    );
    assert!(text.contains("abcdefgh") && text.contains("mdb_sa_id_1"));
    assert!(!text.contains("hunter2"));
    assert!(!text.contains(issued["access_token"].as_str().unwrap()));
}

/// A sweep over the most groups that data can have, with a credential that has a role in each.
#[test]
fn sweep_over_10_000_groups_takes_seconds() {
    let groups: Vec<_> = (0..10_000).map(group_id).collect();
    let roles = groups.iter().copied().map(Role::GroupReadOnly);
    let token = AccessToken::new("t").with_roles(roles);
    // Groups of data have only the keys of the data, so that none have to be generated.
    let lines: String = groups
        .iter()
        .zip((0..100).cycle())
        .map(|(id, org)| format!("{{\"id\":\"{id}\",\"orgId\":\"{org:024x}\"}}\n"))
        .collect();
    let config = Config::default()
        .with_data(Data::from_json(lines.as_bytes()).unwrap())
        .with_rate_limit(None)
        .with_access_token(token);
    let mut emulator = Emulator::new(config);
    let began = Instant::now();
    for page in 1..=20 {
        let target = format!("{GROUPS}?itemsPerPage=500&pageNum={page}");
        assert_eq!(outcome(&mut emulator, "t", &target), ok());
    }
    // Each tenth group, so that the tests take less time.
    for group in groups.iter().step_by(10) {
        let target = group_keys(*group) + "?itemsPerPage=1";
        assert_eq!(outcome(&mut emulator, "t", &target), ok());
    }
    println!("{:?}", began.elapsed());
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
