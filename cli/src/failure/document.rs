//! Writes and checks the sections of `docs/errors.md` about failures of a listing: each is an error of a session that went
//! through the code that users meet. `tests/command/errors.rs` has the sections about usage and this machine.

use std::collections::BTreeSet;

use atlas_model_keys_core::{
    ApiVersion, Collected, Credentials, Failure, Limits, ListRequest, Listing, Moment, Operation,
    OrgListRequest, OwnedModelKey, Reply, Session, Step,
};
use http::Response;

use super::*;

#[path = "../../tests/command/document.rs"]
mod section;

const PROJECT: &str = "69681d39c9e8cfd375386316";
const ORGANIZATION: &str = "5f0000000000000000000001";

/// The body of Atlas for a credential without a role.
const NO_ROLE: &str = r#"{"error": 401, "errorCode": "USER_UNAUTHORIZED", "detail": "Current user is not authorized to perform this action."}"#;

/// The status, the header fields and the body of a response.
type Answer = (u16, &'static [(&'static str, &'static str)], &'static str);

fn account() -> (Credentials, Way) {
    let account = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1");
    (account.unwrap(), Way::ServiceAccount)
}

fn token() -> (Credentials, Way) {
    (Credentials::bearer("a.token").unwrap(), Way::AccessToken)
}

fn api_key() -> (Credentials, Way) {
    let key = Credentials::api_key("abcdefgh", "0123");
    (key.unwrap(), Way::ApiKey)
}

fn project() -> ListRequest {
    ListRequest::new(PROJECT.parse().unwrap())
}

fn asked(way: Way) -> Asked {
    Asked {
        subject: Subject::Group(PROJECT.parse().unwrap()),
        base: BaseUrl::default(),
        way: Some(way),
        proxy: None,
        timeout: Timeout::new(None),
        worked: Worked::default(),
    }
}

fn asked_about_organization(way: Way) -> Asked {
    asked(way).about(Subject::Organization(ORGANIZATION.parse().unwrap()))
}

/// Returns the failure of a page that was requested a second ago.
fn page(error: &Error, asked: &Asked) -> CommandError {
    let attempt = Attempt {
        page: PageNum::FIRST,
        elapsed: Duration::from_secs(1),
        lacks_token: false,
    };
    CommandError::page(error, asked, &attempt)
}

/// Returns the error of a session that gets these responses. The last one is repeated.
fn error(session: &mut Session, operation: &impl Operation, answers: &[Answer]) -> Error {
    let mut answers = answers.iter();
    let mut answer = answers.next().unwrap();
    let mut at = Moment::new(Duration::from_secs(1_795_780_800), [0; 16]);
    let mut step = session.start::<String>(operation, at);
    loop {
        step = match step {
            Ok(Step::Send(exchange)) => {
                let (status, fields, body) = answer;
                let mut response = Response::builder().status(*status);
                for (name, value) in *fields {
                    response = response.header(*name, *value);
                }
                answer = answers.next().unwrap_or(answer);
                let response = response.body((*body).to_owned()).unwrap();
                session.respond(exchange.pending, response, at)
            }
            Ok(Step::Wait(wait)) => {
                at = Moment::new(at.now() + wait.delay(), [0; 16]);
                session.resume(wait, at)
            }
            Ok(Step::Done(reply)) => return reply.into_page().unwrap_err(),
            Err(error) => return error,
        };
    }
}

/// Returns the failure of a listing that gets these responses.
fn answered(credentials: Credentials, asked: &Asked, answers: &[Answer]) -> CommandError {
    let limits = Limits::default().with_retry(asked.timeout.retry_policy());
    let mut session = Session::new(asked.base.clone(), credentials).with_limits(limits);
    let error = match asked.subject {
        Subject::Organization(id) => error(&mut session, &OrgListRequest::new(id), answers),
        _ => error(&mut session, &project(), answers),
    };
    page(&error, asked)
}

fn refused((credentials, way): (Credentials, Way), answers: &[Answer]) -> CommandError {
    answered(credentials, &asked(way), answers)
}

/// Returns the failure of a listing whose transport fails with this text.
fn failed(
    kind: FailureKind,
    text: &'static str,
    base: &str,
    proxy: Option<&'static str>,
) -> CommandError {
    let attempts = match kind {
        FailureKind::NotSent | FailureKind::Lost => RetryPolicy::default().attempts,
        FailureKind::Permanent | FailureKind::TimedOut => 1,
    };
    transport_failure(kind, text, base, proxy, attempts)
}

fn transport_failure(
    kind: FailureKind,
    text: &'static str,
    base: &str,
    proxy: Option<&'static str>,
    attempts: u32,
) -> CommandError {
    let (credentials, way) = token();
    let base = BaseUrl::new(base).unwrap();
    let session = Session::new(base.clone(), credentials);
    let asked = Asked {
        base,
        proxy,
        ..asked(way)
    };
    page(
        &session.transport_error(Failure::new(kind, text), attempts),
        &asked,
    )
}

/// Returns the failures of credentials and roles.
fn credentials() -> Vec<(&'static str, CommandError)> {
    const MD5: &[(&str, &str)] = &[(
        "www-authenticate",
        "Digest realm=\"MMS Public API\", nonce=\"1\", algorithm=MD5, qop=\"auth\", stale=false",
    )];
    const STALE: &[(&str, &str)] = &[(
        "www-authenticate",
        "Digest realm=\"MMS Public API\", nonce=\"1\", algorithm=MD5, qop=\"auth\", stale=true",
    )];
    const BASIC: &[(&str, &str)] = &[("www-authenticate", "Basic realm=\"proxy\"")];
    const NO_ADDRESS: &str = r#"{"error": 403, "errorCode": "IP_ADDRESS_NOT_ON_ACCESS_LIST", "detail": "IP address 192.0.2.1 is not allowed to access this resource."}"#;
    let in_organization = {
        let (credentials, way) = api_key();
        let answers = [(401, MD5, ""), (401, &[][..], NO_ROLE)];
        answered(credentials, &asked_about_organization(way), &answers)
    };
    let later = {
        let (credentials, way) = token();
        let asked = asked(way);
        asked.worked.set();
        answered(credentials, &asked, &[(401, &[], "{}")])
    };
    vec![
        (
            "The service account is deleted, or its secret is wrong or expired",
            refused(
                account(),
                &[(
                    401,
                    &[],
                    r#"{"error": "invalid_client", "error_description": "Invalid credentials provided."}"#,
                )],
            ),
        ),
        (
            "The service account holds 100 access tokens",
            refused(account(), &[(403, &[], r#"{"error": "access_denied"}"#)]),
        ),
        (
            "The access token is expired, revoked, or of another organization",
            refused(token(), &[(401, &[], "{}")]),
        ),
        (
            "The API key is deleted, or its private key is wrong",
            refused(api_key(), &[(401, MD5, "")]),
        ),
        (
            "Something between here and Atlas asks for a login of its own",
            refused(api_key(), &[(401, BASIC, "")]),
        ),
        (
            "No digest nonce is accepted",
            refused(api_key(), &[(401, STALE, "")]),
        ),
        (
            "The credential has no role in the project",
            refused(token(), &[(401, &[], NO_ROLE)]),
        ),
        (
            "The credential has no role in the organization",
            in_organization,
        ),
        (
            "The address of this machine is not on the access list",
            refused(token(), &[(403, &[], NO_ADDRESS)]),
        ),
        (
            "Atlas refuses the request without a reason",
            refused(token(), &[(403, &[], "{}")]),
        ),
        ("The credential worked before, and is refused here", later),
    ]
}

/// Returns the failures of a request that Atlas understood, or that something else answered.
fn answers() -> Vec<(&'static str, CommandError)> {
    const NO_GROUP: &str =
        r#"{"error": 404, "errorCode": "GROUP_NOT_FOUND", "detail": "No group with ID exists."}"#;
    const TOO_LONG: &[(&str, &str)] = &[("retry-after", "7200")];
    const SOON: &[(&str, &str)] = &[("retry-after", "30")];
    let no_organization = {
        let (credentials, way) = token();
        let answers = [(404, &[][..], "{}")];
        answered(credentials, &asked_about_organization(way), &answers)
    };
    let impatient = {
        let (credentials, way) = token();
        let asked = Asked {
            timeout: Timeout::new(Some(Duration::from_secs(10))),
            ..asked(way)
        };
        answered(credentials, &asked, &[(429, SOON, "")])
    };
    let pinned = {
        let (credentials, way) = token();
        let version: ApiVersion = "2024-01-01".parse().unwrap();
        let mut session = Session::new(BaseUrl::default(), credentials).with_version(version);
        page(
            &error(&mut session, &project(), &[(406, &[], "")]),
            &asked(way),
        )
    };
    vec![
        (
            "There is no such project",
            refused(token(), &[(404, &[], NO_GROUP)]),
        ),
        (
            "What answers is not Atlas",
            refused(token(), &[(404, &[], "<html>")]),
        ),
        ("There is no such organization", no_organization),
        (
            "Atlas asks for a wait of more than an hour",
            refused(token(), &[(429, TOO_LONG, "")]),
        ),
        ("The rate limit lasts longer than `--timeout`", impatient),
        (
            "Atlas is not available",
            refused(token(), &[(503, &[], "")]),
        ),
        (
            "Atlas issues no access tokens now",
            refused(account(), &[(500, &[], "")]),
        ),
        (
            "The response is a redirect",
            refused(
                token(),
                &[(302, &[("location", "https://login.example")], "")],
            ),
        ),
        (
            "The response is a success other than 200",
            refused(token(), &[(204, &[], "")]),
        ),
        (
            "The response is not JSON",
            refused(token(), &[(200, &[], "<html>")]),
        ),
        (
            "The response is compressed in a way that was not asked for",
            refused(token(), &[(200, &[("content-encoding", "br")], "?")]),
        ),
        (
            "The response is JSON, but not a page of keys",
            refused(token(), &[(200, &[], "{}")]),
        ),
        ("Atlas does not have the version of `--api-version`", pinned),
        (
            "A proxy asks for a login",
            refused(token(), &[(407, &[], "")]),
        ),
        (
            "Atlas does not accept the request",
            refused(
                token(),
                &[(
                    400,
                    &[],
                    r#"{"error": 400, "errorCode": "VALIDATION_ERROR"}"#,
                )],
            ),
        ),
        (
            "The path does not exist there",
            refused(token(), &[(405, &[], "")]),
        ),
    ]
}

/// Returns the failures of limits of the client.
fn limits() -> Vec<(&'static str, CommandError)> {
    let (credentials, way) = token();
    let asked = asked(way);
    // Limits of 0 are exceeded at once.
    let mut none = Limits::default();
    (none.pages, none.collected_bytes, none.body_bytes) = (0, 0, 0);
    let pages = Listing::new(project(), &none).request().unwrap_err();
    let key = OwnedModelKey::default();
    let collected = Collected::new(&none).add(&key).unwrap_err();
    let mut session = Session::new(BaseUrl::default(), credentials).with_limits(none);
    let body = error(&mut session, &project(), &[(200, &[], "{}")]);
    let shown = |error: Error| {
        let defaults = Limits::default();
        let Error::Limit { what, .. } = error else {
            panic!("{error}")
        };
        let limit = match what {
            "pages" => defaults.pages as u64,
            "bytes of body" => defaults.body_bytes as u64,
            _ => defaults.collected_bytes as u64,
        };
        page(&Error::Limit { what, limit }, &asked)
    };
    // A page that is the same as the one before.
    let mut listing = Listing::new(project(), &Limits::default());
    for _ in 0..2 {
        let body =
            r#"{"links": [{"rel": "next"}], "results": [{"apiKeyId": "a"}, {"apiKeyId": "b"}]}"#;
        let reply = Reply::from_response(Response::new(body.to_owned())).unwrap();
        drop(listing.accept_page(reply.into_page().unwrap()));
    }
    let endless = listing.request().unwrap_err();
    vec![
        ("A cache repeats a page", page(&endless, &asked)),
        ("The listing has too many pages", shown(pages)),
        ("A table does not fit into memory", shown(collected)),
        ("A page is too large", shown(body)),
    ]
}

/// Returns the failures of the network. The causes are those that the transport gives.
fn networks() -> Vec<(&'static str, CommandError)> {
    use FailureKind::{Lost, NotSent, Permanent, TimedOut};
    const ATLAS: &str = "https://cloud.mongodb.com";
    const LOCAL: &str = "http://127.0.0.1:8080";
    const PROXY: Option<&str> = Some("HTTPS_PROXY");
    vec![
        (
            "The host is not found, or does not answer",
            failed(
                NotSent,
                "no connection: failed to lookup address information: Name or service not known",
                ATLAS,
                None,
            ),
        ),
        (
            "The proxy cannot be reached",
            failed(
                NotSent,
                "no connection: the proxy http://proxy.example opened no tunnel: Connection refused",
                ATLAS,
                PROXY,
            ),
        ),
        (
            "The emulator does not run",
            failed(NotSent, "no connection: Connection refused", LOCAL, None),
        ),
        (
            "The proxy opens no tunnel",
            failed(
                Permanent,
                "the proxy http://proxy.example opened no tunnel",
                ATLAS,
                PROXY,
            ),
        ),
        (
            "The proxy wants a login",
            failed(
                Permanent,
                "the proxy http://proxy.example wants a login (407): it must have the form \
                 http://user:password@host",
                ATLAS,
                PROXY,
            ),
        ),
        (
            "The certificate of the server, or of a proxy that inspects TLS, is not trusted",
            failed(
                Permanent,
                "invalid peer certificate: UnknownIssuer",
                ATLAS,
                None,
            ),
        ),
        (
            "The server does not speak TLS",
            failed(
                Permanent,
                "what answers on this port does not speak TLS: check the scheme (https:// or http://) and the port",
                "https://127.0.0.1:8080",
                None,
            ),
        ),
        (
            "The connection was lost",
            failed(Lost, "Connection reset by peer", ATLAS, None),
        ),
        (
            "The connection was lost in the middle of a listing",
            failed(Lost, "Connection reset by peer", ATLAS, None).incomplete(
                Format::Ndjson,
                &Listed {
                    pages: 2,
                    keys: 200,
                    total: Some(1234),
                },
                Projects {
                    failed: 0,
                    total: 1,
                    expected: 1,
                },
                false,
            ),
        ),
        (
            "The time is over",
            failed(TimedOut, "timeout: global", ATLAS, None),
        ),
        (
            "The root certificates cannot be read",
            transport_failure(
                Permanent,
                "SSL_CERT_FILE names company-ca.pem, which cannot be read: No such file or directory",
                ATLAS,
                None,
                0,
            ),
        ),
    ]
}

/// Returns the other failures of a listing.
fn others() -> Vec<(&'static str, CommandError)> {
    let subject = Subject::Group(PROJECT.parse().unwrap());
    let listed = Listed {
        pages: 2,
        keys: 200,
        total: Some(1234),
    };
    let projects = Projects {
        failed: 0,
        total: 1,
        expected: 1,
    };
    vec![
        (
            "Some projects could not be listed; each has a line of its own",
            CommandError::partial(Projects {
                failed: 3,
                total: 300,
                expected: 300,
            }),
        ),
        (
            "A key passes the filters, and `--fail-if-any` is given",
            CommandError::found(3),
        ),
        (
            "`find`: no entry has the visible ends of a key; a line before names its line",
            CommandError::not_found(1, 3),
        ),
        (
            "A signal ended `token`",
            CommandError::interrupted_before(Subject::Token),
        ),
        (
            "A signal ended the listing; the rows that were written are whole",
            CommandError::interrupted(subject, Format::Csv, &listed, projects),
        ),
        (
            "A signal ended the listing before its table was written",
            CommandError::interrupted(subject, Format::Table, &listed, projects),
        ),
    ]
}

#[test]
fn failures_are_those_of_the_documentation() {
    let groups = [credentials(), answers(), limits(), networks(), others()];
    let failures: Vec<_> = groups.into_iter().flatten().collect();
    let causes: BTreeSet<_> = failures.iter().map(|(cause, _)| cause).collect();
    assert_eq!(causes.len(), failures.len(), "two have one name");
    for (exit, meaning) in Exit::ALL {
        if matches!(exit, Exit::Done | Exit::Other | Exit::Usage) {
            continue;
        }
        let blocks: Vec<_> = failures
            .iter()
            .filter(|(_, failure)| failure.exit == exit)
            .map(|(cause, failure)| {
                let project = match exit {
                    Exit::Partial => {
                        let project = refused(token(), &[(401, &[], NO_ROLE)]);
                        format!("error: {}\n", project.in_one_line(Some("Staging")))
                    }
                    _ => String::new(),
                };
                let block = format!("{project}{failure}").replace(PROJECT, "PROJECT_ID");
                (*cause, block.replace(ORGANIZATION, "ORG_ID"))
            })
            .collect();
        assert!(!blocks.is_empty(), "{exit:?} has no example");
        section::check(exit as u8, meaning, &blocks);
    }
    let documented = |exit| !matches!(exit, Exit::Done | Exit::Other | Exit::Usage);
    assert!(failures.iter().all(|(_, failure)| documented(failure.exit)));
}
