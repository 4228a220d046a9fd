//! Random dialogues between a session and the emulator, of all five operations, with expiring tokens and nonces,
//! rate limits, failing servers, lost requests, a withdrawn version, overlapping and dropped exchanges, and a clock
//! that jumps. None panics or hangs, and every key and group arrives exactly once.

use std::time::Duration;

use crate::RANDOM_DIALOGUES as DIALOGUES;
use crate::dialogue::{CREDENTIAL_KINDS, CredentialKind, World};
use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, Body, Error, FailureKind, GroupsRequest, ItemsPerPage, KeyRequest,
    ListRequest, Listing, Operation, OrgKeyRequest, OrgListRequest, OwnedModelKey, Page, Refused,
    Reply, RetryPolicy, Session, Step, Wait,
};
use atlas_model_keys_emulator::{
    Config, DigestAlgorithm, Names, Route, TokenBucket, error_response,
};
use http::{HeaderValue, Request, StatusCode, header};

/// A random generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Returns `true` with a probability of 1 in `n`.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

type StepResult = Result<Step<Vec<u8>>, Error>;

/// One of the listings and requests for a key that run at the same time.
struct Reader {
    job: Job,
    envelope: bool,
    state: State,
    seen: Vec<String>,
    expected: Vec<String>,
    /// The number of failures that the current exchange may still get: fewer than the policy's attempts.
    failures_left: u32,
    /// The sum of the waits of the current exchange.
    waited: Duration,
}

/// What a reader requests: pages, or a key that did not arrive yet.
enum Job {
    List(Listing),
    OrgList(Listing<OrgListRequest>),
    Key(Option<KeyRequest>),
    OrgKey(Option<OrgKeyRequest>),
    Groups(Listing<GroupsRequest>),
}

impl Job {
    /// Chooses a job. Returns also the ids that it must find, in order.
    fn new(world: &World, random: &mut Random, envelope: bool) -> (Self, Vec<String>) {
        let emulator = &world.emulator;
        let ids = |keys: &[atlas_model_keys_emulator::Key]| -> Vec<String> {
            let ids = keys.iter().map(|key| key.api_key_id.clone().unwrap());
            ids.collect()
        };
        let group = emulator.first_group();
        let org = emulator.first_org();
        let of_group = ids(emulator.keys(group));
        let of_org: Vec<String> = emulator
            .groups()
            .flat_map(|group| ids(emulator.keys(group)))
            .collect();
        let items = ItemsPerPage::new(u32::try_from(1 + random.below(5)).unwrap()).unwrap();
        let limits = world.session.limits();
        let key = |ids: &[String]| ids.last().map(|id| ApiKeyId::new(id).unwrap());
        match random.below(10) {
            0 => {
                let list = OrgListRequest::new(org)
                    .with_items_per_page(items)
                    .with_envelope(envelope);
                (Self::OrgList(Listing::new(list, limits)), of_org)
            }
            1 => {
                let request = |key| KeyRequest::new(group, key).with_envelope(envelope);
                let expected = of_group.last().cloned().into_iter().collect();
                (Self::Key(key(&of_group).map(request)), expected)
            }
            2 => {
                let request = |key| OrgKeyRequest::new(org, key).with_envelope(envelope);
                let expected = of_org.last().cloned().into_iter().collect();
                (Self::OrgKey(key(&of_org).map(request)), expected)
            }
            3 => {
                let list = GroupsRequest::new()
                    .with_items_per_page(items)
                    .with_envelope(envelope);
                let groups = emulator.groups().map(|group| group.to_string());
                (Self::Groups(Listing::new(list, limits)), groups.collect())
            }
            _ => {
                let list = ListRequest::new(group)
                    .with_items_per_page(items)
                    .with_envelope(envelope);
                (Self::List(Listing::new(list, limits)), of_group)
            }
        }
    }

    /// Starts the next exchange, or returns `None` at the end.
    fn start(&self, world: &mut World) -> Option<StepResult> {
        fn start(world: &mut World, request: &impl Operation) -> StepResult {
            let at = world.moment();
            world.session.start(request, at)
        }
        Some(match self {
            Self::List(listing) => start(world, &listing.request().unwrap()?),
            Self::OrgList(listing) => start(world, &listing.request().unwrap()?),
            Self::Key(request) => start(world, &(*request)?),
            Self::OrgKey(request) => start(world, &(*request)?),
            Self::Groups(listing) => start(world, &listing.request().unwrap()?),
        })
    }

    /// Takes a reply, and returns the ids that it adds.
    fn accept(&mut self, reply: Reply<Vec<u8>>, envelope: bool) -> Vec<String> {
        let page = |reply: Reply<Vec<u8>>| -> Page<Vec<u8>> {
            let page = reply.into_page().unwrap();
            assert_eq!(page.envelope_status().is_some(), envelope);
            page
        };
        let id = |key: OwnedModelKey| key.api_key_id().unwrap().to_owned();
        match self {
            Self::List(listing) => listing.accept_owned(page(reply)).map(id).collect(),
            Self::OrgList(listing) => listing.accept_owned(page(reply)).map(id).collect(),
            Self::Key(request) => {
                *request = None;
                vec![id(KeyRequest::read(reply).unwrap())]
            }
            Self::OrgKey(request) => {
                *request = None;
                vec![id(OrgKeyRequest::read(reply).unwrap())]
            }
            Self::Groups(listing) => {
                let page = GroupsRequest::read(reply).unwrap();
                assert_eq!(page.envelope_status().is_some(), envelope);
                let groups = listing.accept_owned(page);
                groups.map(|group| group.id().unwrap().to_owned()).collect()
            }
        }
    }

    /// Returns the index of its operation in [`versions`].
    fn operation(&self) -> usize {
        match self {
            Self::List(_) => 0,
            Self::OrgList(_) => 1,
            Self::Key(_) => 2,
            Self::OrgKey(_) => 3,
            Self::Groups(_) => 4,
        }
    }
}

/// Returns the version of each operation.
fn versions(session: &Session) -> [ApiVersion; 5] {
    [
        session.version::<ListRequest>(),
        session.version::<OrgListRequest>(),
        session.version::<KeyRequest>(),
        session.version::<OrgKeyRequest>(),
        session.version::<GroupsRequest>(),
    ]
}

enum State {
    Idle,
    Step(Box<Step<Vec<u8>>>),
    Done,
}

fn config(random: &mut Random) -> Config {
    use DigestAlgorithm as D;
    Config::default()
        .with_seed(random.next())
        .with_groups(2)
        .with_keys_per_group(usize::try_from(random.below(9)).unwrap())
        .with_token_ttl(Duration::from_secs(random.pick(&[3, 60, 3600])))
        .with_nonce_ttl(Duration::from_secs(random.pick(&[2, 30, 300])))
        .with_rate_limit(random.pick(&[
            None,
            None,
            Some(TokenBucket::new(3, 3, Duration::from_secs(10))),
        ]))
        .with_digest(
            random
                .pick(&[&[D::Md5][..], &[D::Sha256Sess], &[D::Md5, D::Sha512_256]])
                .to_vec(),
        )
        .with_include_secrets(true)
        .with_names(Names::Hostile)
}

/// Injects a retryable response, or an invalid token or nonce.
fn inject_fault(world: &mut World, random: &mut Random, kind: CredentialKind, revoked: &mut bool) {
    let route = random.pick(&[
        Route::ListGroupKeys,
        Route::ListGroupKeys,
        Route::Token,
        Route::Token,
        Route::ListOrgKeys,
        Route::GetGroupKey,
        Route::GetOrgKey,
        Route::ListGroups,
    ]);
    match random.below(4) {
        0 => world.emulator.expire_nonces(),
        // A caller's own token could not be replaced.
        1 if !*revoked && kind != CredentialKind::Bearer => {
            *revoked = true;
            world.emulator.revoke_tokens();
        }
        _ => {
            let status = match route {
                Route::Token => random.pick(&[429, 503]),
                _ => random.pick(&[429, 500, 502, 503]),
            };
            let mut response = error_response(StatusCode::from_u16(status).unwrap());
            let after = random.pick(&["", "0", "1", "9", "-1", "Mon, 5 Aug 2024 00:00:00 GMT"]);
            if !after.is_empty() {
                let after = HeaderValue::from_static(after);
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            world.emulator.respond_next(route, response);
        }
    }
}

/// Runs one dialogue, and returns the number of its steps.
fn dialogue(seed: u64) -> u32 {
    let mut random = Random(seed);
    let kind = random.pick(&CREDENTIAL_KINDS);
    let mut config = config(&mut random);
    // A record of the requests takes a third of the time, and has tests of its own.
    if !seed.is_multiple_of(8) {
        config = config.with_seen_limit(0);
    }
    // A token with such a short life may expire twice while a request is in flight.
    let short_lived = config.token_ttl < Duration::from_secs(3600);
    let mut world = World::new(config, kind);
    if random.once_in(4) {
        let mut limits = world.session.limits().clone();
        limits.retry.waits_out_rate_limits = true;
        world.session = world.session.with_limits(limits);
    }
    let mut readers: Vec<Reader> = (0..=random.below(3))
        .map(|_| {
            let envelope = random.once_in(3);
            let (job, expected) = Job::new(&world, &mut random, envelope);
            Reader {
                job,
                envelope,
                state: State::Idle,
                seen: Vec::new(),
                expected,
                failures_left: 3,
                waited: Duration::ZERO,
            }
        })
        .collect();
    let (mut steps, mut revoked, mut has_fault) = (0, false, false);
    while readers
        .iter()
        .any(|reader| !matches!(reader.state, State::Done))
    {
        steps += 1;
        assert!(steps < 5_000, "seed {seed} does not end");
        let index = usize::try_from(random.below(readers.len() as u64)).unwrap();
        if random.once_in(20) {
            world.emulator.withdraw(ApiVersion::PREVIEW);
        }
        if random.once_in(15) {
            world.now += Duration::from_millis(random.below(20_000));
        }
        let reader = &mut readers[index];
        let before = versions(&world.session);
        let result = match std::mem::replace(&mut reader.state, State::Done) {
            State::Done => continue,
            State::Idle => {
                (reader.failures_left, reader.waited) = (3, Duration::ZERO);
                match reader.job.start(&mut world) {
                    Some(result) => result,
                    None => continue,
                }
            }
            // The exchange is cancelled, and the listing requests the page again.
            State::Step(_) if random.once_in(40) => {
                reader.state = State::Idle;
                continue;
            }
            State::Step(step) => match *step {
                Step::Send(exchange) => {
                    assert_credential_only_in_authorization(&world, &exchange.request);
                    if reader.failures_left > 0 && random.once_in(6) {
                        reader.failures_left -= 1;
                        // A token request is retried only once after it is lost.
                        let is_token = exchange.request.uri().path().ends_with("token");
                        let lost = !is_token && random.once_in(2);
                        if lost {
                            let _ = world.response_to(&exchange.request);
                        }
                        let kind = if lost {
                            FailureKind::Lost
                        } else {
                            FailureKind::NotSent
                        };
                        world.fail(exchange.pending, kind)
                    } else {
                        if !has_fault && random.once_in(8) {
                            has_fault = random.once_in(2);
                            inject_fault(&mut world, &mut random, kind, &mut revoked);
                        }
                        world.send(exchange)
                    }
                }
                Step::Wait(wait) => {
                    reader.waited += wait.delay();
                    wait_or_wake(&mut world, &mut random, wait)
                }
                Step::Done(reply) => {
                    reader
                        .seen
                        .extend(reader.job.accept(reply, reader.envelope));
                    reader.state = State::Idle;
                    continue;
                }
            },
        };
        // Only a refused operation requests another version.
        for (n, (before, after)) in before.iter().zip(versions(&world.session)).enumerate() {
            let may_move = n == reader.job.operation() && after == ApiVersion::V2025_03_12;
            assert!(*before == after || may_move, "seed {seed}");
        }
        let at = world.moment();
        let pause = world.session.longest_pause(at);
        assert!(pause.is_none_or(|p| !p.is_zero() && p <= Duration::from_secs(300)));
        match result {
            Ok(step) => reader.state = State::Step(Box::new(step)),
            Err(error) => {
                assert_expected(&error, seed, revoked || short_lived);
                assert_shows_no_secret(&world, &error);
                let retry = &world.session.limits().retry;
                assert_not_given_up_early(&error, retry, reader.waited, seed);
                // The caller tries again later.
                world.now += Duration::from_secs(120);
                reader.state = State::Idle;
            }
        }
    }
    for reader in &readers {
        assert_eq!(reader.seen, reader.expected, "seed {seed}, {kind:?}");
    }
    steps
}

fn wait_or_wake(world: &mut World, random: &mut Random, wait: Wait) -> StepResult {
    let limits = world.session.limits();
    assert!(wait.delay() <= limits.retry.wait);
    if wait.on_change() && !random.once_in(4) {
        world.wake(wait)
    } else {
        world.resume(wait)
    }
}

/// Asserts that an exchange failed for an allowed reason. Overlapping exchanges can cause such failures.
fn assert_expected(error: &Error, seed: u64, may_lose_tokens: bool) {
    let is_expected = match error {
        Error::Authentication { refused, .. } => match refused {
            // The token was revoked or expired, and the last renewal was less than a minute ago.
            Refused::Token => may_lose_tokens,
            // The clock jumped, so that each nonce was stale.
            Refused::Nonce => true,
            _ => false,
        },
        other => other.is_retryable(),
    };
    assert!(is_expected, "seed {seed}: {error:?}");
}

/// Asserts that a policy that waits out rate limits gave up only because the next wait would be too long.
fn assert_not_given_up_early(error: &Error, retry: &RetryPolicy, waited: Duration, seed: u64) {
    if let Error::RateLimited { wait, .. } = error
        && retry.waits_out_rate_limits
    {
        let is_too_long = *wait > retry.wait || waited + *wait >= retry.total_wait;
        assert!(is_too_long, "seed {seed}: {error:?} after {waited:?}");
    }
}

fn assert_shows_no_secret(world: &World, error: &Error) {
    assert_has_no_secret(world, &format!("{error} {error:?} {:?}", world.session));
}

fn assert_credential_only_in_authorization(world: &World, request: &Request<Body>) {
    let mut headers = request.headers().clone();
    headers.remove(header::AUTHORIZATION);
    assert_has_no_secret(world, &format!("{} {headers:?}", request.uri()));
    assert_has_no_secret(world, &String::from_utf8_lossy(request.body().as_bytes()));
}

fn assert_has_no_secret(world: &World, text: &str) {
    for secret in [
        world.emulator.access_token(),
        &world.emulator.service_account().client_secret,
        &world.emulator.api_key().private_key,
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn every_key_arrives_exactly_once_in_random_dialogues() {
    let threads = 2;
    let steps: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    (0..DIALOGUES / threads)
                        .map(|n| u64::from(dialogue(n * threads + worker)))
                        .sum::<u64>()
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    // Shorter dialogues would test too little.
    assert!(steps > 10 * DIALOGUES, "{steps}");
}
