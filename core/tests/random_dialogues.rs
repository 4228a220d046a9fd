//! 100,000 random dialogues of a session and the emulator: tokens and nonces that expire, limits,
//! failing servers, lost requests, a version that is withdrawn, exchanges that overlap and are
//! dropped, a clock that jumps. None panics or hangs, and every key arrives exactly once.

mod dialogue;

use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, Error, FailureKind, ItemsPerPage, Listing, Refused, Step, Wait,
};
use atlas_model_keys_emulator::{Config, DigestAlgorithm, Operation, TokenBucket, error_answer};
use dialogue::{KINDS, Kind, World};
use http::{HeaderValue, StatusCode, header};

const DIALOGUES: u64 = 100_000;

/// splitmix64: enough for choosing.
struct Dice(u64);

impl Dice {
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

    /// Once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// One of the listings that go on at the same time.
struct Reader {
    listing: Listing,
    envelope: bool,
    state: State,
    seen: Vec<String>,
    /// What the exchange under way may still suffer: less than the policy's attempts.
    trouble_left: u32,
}

enum State {
    Idle,
    Step(Box<Step<Vec<u8>>>),
    Done,
}

fn config(dice: &mut Dice) -> Config {
    use DigestAlgorithm as D;
    Config {
        seed: dice.next(),
        groups: 2,
        keys_per_group: usize::try_from(dice.below(9)).unwrap(),
        token_ttl: Duration::from_secs(dice.pick(&[3, 60, 3600])),
        nonce_ttl: Duration::from_secs(dice.pick(&[2, 30, 300])),
        rate_limit: dice.pick(&[
            None,
            None,
            Some(TokenBucket {
                capacity: 3,
                refill: 3,
                per: Duration::from_secs(10),
            }),
        ]),
        digest: dice
            .pick(&[&[D::Md5][..], &[D::Sha256Sess], &[D::Md5, D::Sha512_256]])
            .to_vec(),
        include_secrets: true,
        ..Config::default()
    }
}

/// An answer that says to come again, or a token or nonce that is no longer good.
fn trouble(world: &mut World, dice: &mut Dice, kind: Kind, revoked: &mut bool) {
    let operation = dice.pick(&[
        Operation::ListGroupKeys,
        Operation::ListGroupKeys,
        Operation::Token,
    ]);
    match dice.below(4) {
        0 => world.emulator.expire_nonces(),
        // A token that was handed in would be gone for good.
        1 if !*revoked && kind != Kind::Bearer => {
            *revoked = true;
            world.emulator.revoke_tokens();
        }
        _ => {
            let status = match operation {
                Operation::Token => dice.pick(&[429, 503]),
                _ => dice.pick(&[429, 500, 502, 503]),
            };
            let mut answer = error_answer(StatusCode::from_u16(status).unwrap());
            let after = dice.pick(&["", "0", "1", "9", "-1", "Mon, 5 Aug 2024 00:00:00 GMT"]);
            if !after.is_empty() {
                let after = HeaderValue::from_static(after);
                answer.headers_mut().insert(header::RETRY_AFTER, after);
            }
            world.emulator.answer_next(operation, answer);
        }
    }
}

/// Runs one dialogue. The number of steps it took.
fn dialogue(seed: u64) -> u32 {
    let mut dice = Dice(seed);
    let kind = dice.pick(&KINDS);
    let config = config(&mut dice);
    // So short that it may run out twice while a request is on its way.
    let short_lived = config.token_ttl < Duration::from_secs(3600);
    let mut world = World::new(config, kind);
    let group = world.emulator.first_group();
    let expected: Vec<String> = world
        .emulator
        .keys(group)
        .iter()
        .map(|key| key.api_key_id.clone().unwrap())
        .collect();
    let items = ItemsPerPage::new(u32::try_from(1 + dice.below(5)).unwrap()).unwrap();
    let mut readers: Vec<Reader> = (0..=dice.below(3))
        .map(|_| {
            let envelope = dice.once_in(3);
            let request = world
                .request()
                .with_items_per_page(items)
                .with_envelope(envelope);
            Reader {
                listing: Listing::new(request, world.session.limits()),
                envelope,
                state: State::Idle,
                seen: Vec::new(),
                trouble_left: 3,
            }
        })
        .collect();
    let (mut steps, mut revoked, mut suffered) = (0, false, false);
    while readers
        .iter()
        .any(|reader| !matches!(reader.state, State::Done))
    {
        steps += 1;
        assert!(steps < 5_000, "seed {seed} does not end");
        let index = usize::try_from(dice.below(readers.len() as u64)).unwrap();
        if dice.once_in(20) {
            world.emulator.withdraw(ApiVersion::PREVIEW);
        }
        if dice.once_in(15) {
            world.now += Duration::from_millis(dice.below(20_000));
        }
        let reader = &mut readers[index];
        let result = match std::mem::replace(&mut reader.state, State::Done) {
            State::Done => continue,
            State::Idle => {
                reader.trouble_left = 3;
                match reader.listing.request().unwrap() {
                    Some(request) => world.start(&request),
                    None => continue,
                }
            }
            // Cancelled: the listing asks again.
            State::Step(_) if dice.once_in(40) => {
                reader.state = State::Idle;
                continue;
            }
            State::Step(step) => match *step {
                Step::Send(exchange) => {
                    if reader.trouble_left > 0 && dice.once_in(6) {
                        reader.trouble_left -= 1;
                        // Of a token request only one may be lost.
                        let is_token = exchange.request.uri().path().ends_with("token");
                        let lost = !is_token && dice.once_in(2);
                        if lost {
                            let _ = world.deliver(&exchange.request);
                        }
                        let kind = if lost {
                            FailureKind::Lost
                        } else {
                            FailureKind::NotSent
                        };
                        world.fail(exchange.pending, kind)
                    } else {
                        if !suffered && dice.once_in(8) {
                            suffered = dice.once_in(2);
                            trouble(&mut world, &mut dice, kind, &mut revoked);
                        }
                        world.exchange(exchange)
                    }
                }
                Step::Wait(wait) => wait_or_wake(&mut world, &mut dice, wait),
                Step::Done(reply) => {
                    let page = reply.into_page().unwrap();
                    assert_eq!(page.envelope_status().is_some(), reader.envelope);
                    let fresh = reader.listing.accept(&page);
                    reader
                        .seen
                        .extend(fresh.map(|key| key.api_key_id().unwrap().to_owned()));
                    reader.state = State::Idle;
                    continue;
                }
            },
        };
        match result {
            Ok(step) => reader.state = State::Step(Box::new(step)),
            Err(error) => {
                assert_legitimate(&error, seed, revoked || short_lived);
                assert_shows_no_secret(&world, &error);
                // Asked again later, as a person would.
                world.now += Duration::from_secs(120);
                reader.state = State::Idle;
            }
        }
    }
    for reader in &readers {
        assert_eq!(reader.seen, expected, "seed {seed}, {kind:?}");
    }
    steps
}

fn wait_or_wake(world: &mut World, dice: &mut Dice, wait: Wait) -> Result<Step<Vec<u8>>, Error> {
    let limits = world.session.limits();
    assert!(wait.delay() <= limits.retry.wait);
    if wait.on_change() && !dice.once_in(4) {
        world.wake(wait)
    } else {
        world.resume(wait)
    }
}

/// Where others add to an exchange's own trouble, it may be given up; never for a wrong reason.
fn assert_legitimate(error: &Error, seed: u64, unlucky: bool) {
    let legitimate = match error {
        Error::Authentication { refused, .. } => match refused {
            // Revoked or run out, with another renewal less than a minute ago.
            Refused::Token => unlucky,
            // A nonce that was stale again and again, as time flew.
            Refused::Nonce => true,
            _ => false,
        },
        other => other.is_retryable(),
    };
    assert!(legitimate, "seed {seed}: {error:?}");
}

fn assert_shows_no_secret(world: &World, error: &Error) {
    let shown = format!("{error} {error:?} {:?}", world.session);
    for secret in [
        world.emulator.access_token(),
        &world.emulator.service_account().client_secret,
        &world.emulator.api_key().private_key,
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_key_arrives_exactly_once_whatever_happens() {
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
    // Else the dialogues would be too tame to show anything.
    assert!(steps > 10 * DIALOGUES, "{steps}");
}
