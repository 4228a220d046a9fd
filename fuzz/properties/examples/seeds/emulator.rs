//! Requests to the emulator, and what it refuses.

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::generators::emulator;

use crate::{byte, index_of};

pub(crate) fn emulator_inputs() -> Vec<(String, Vec<u8>)> {
    use emulator::Credential as C;
    let [none, known, issued, basic, digest] = [C::None, C::Known, C::Issued, C::Basic, C::Digest]
        .map(|credential| index_of(&emulator::CREDENTIALS, &credential));
    // The parts are the clock's move, method, path, query, version, credential, other headers, and body.
    let ask = |writer: Writer, parts: [u8; 8]| {
        parts[1..]
            .iter()
            .fold(writer.number(u16::from(parts[0])), |writer, part| {
                writer.byte(*part)
            })
    };
    let world = |flags: u8| Writer::default().byte(7).byte(3).byte(5).byte(flags);
    let dialogues: [(&str, Writer, &[[u8; 8]]); 10] = [
        (
            "operations",
            world(8),
            &[
                [0, 0, 7, 0, 1, known, 0, 0],
                [0, 0, 8, 0, 0, known, 0, 0],
                [0, 0, 9, 2, 1, known, 1, 0],
                [0, 0, 8, 2, 1, known, 0, 0],
                [0, 0, 2, 1, 2, known, 1, 0],
                [0, 0, 7, 2, 1, none, 0, 0],
                [0, 0, 7, 2, 1, digest, 0, 0],
            ],
        ),
        (
            "unknown-keys",
            world(0),
            &[
                [0, 0, 10, 0, 0, known, 0, 0],
                [0, 0, 11, 0, 1, known, 0, 0],
                [0, 0, 12, 2, 1, known, 0, 0],
                [0, 0, 13, 3, 1, known, 0, 0],
                [0, 2, 8, 0, 0, known, 0, 0],
                [0, 0, 9, 0, 1, none, 0, 0],
                [0, 0, 9, 0, 1, digest, 0, 0],
            ],
        ),
        (
            "control",
            world(16),
            &[
                [0, 0, 0, 0, 0, none, 0, 0],
                [0, 0, 14, 6, 0, none, 0, 0],
                [0, 5, 17, 0, 0, none, 0, 5],
                [0, 0, 0, 0, 0, digest, 0, 0],
                [0, 5, 17, 0, 0, none, 0, 6],
                [0, 0, 18, 7, 0, none, 0, 0],
                [0, 4, 14, 0, 0, none, 0, 0],
            ],
        ),
        (
            "faults",
            world(24),
            &[
                [0, 5, 16, 0, 0, none, 0, 4],
                [0, 0, 0, 0, 0, known, 0, 0],
                [0, 0, 16, 0, 0, none, 0, 0],
                [0, 0, 0, 0, 0, digest, 1, 0],
                [0, 4, 16, 0, 0, none, 0, 0],
                [0, 1, 15, 0, 0, none, 0, 0],
                [0, 0, 0, 0, 1, known, 0, 0],
            ],
        ),
        (
            "digest",
            world(0),
            &[
                [0, 0, 0, 0, 0, none, 0, 0],
                [1, 0, 0, 0, 0, digest, 1, 0],
                [1, 0, 0, 1, 1, digest, 0, 0],
            ],
        ),
        (
            "account",
            world(8),
            &[
                [0, 1, 3, 0, 0, basic, 0, 1],
                [1, 0, 0, 3, 1, issued, 1, 0],
                [1, 1, 4, 0, 0, basic, 0, 2],
            ],
        ),
        (
            "queries",
            world(0),
            &[
                [0, 0, 0, 4, 0, known, 0, 0],
                [0, 0, 0, 2, 0, known, 0, 0],
                [0, 0, 5, 5, 1, known, 0, 0],
            ],
        ),
        (
            "others",
            world(4),
            &[
                [0, 0, 1, 0, 0, known, 0, 0],
                [0, 0, 2, 0, 2, known, 1, 0],
                [0, 0, 6, 0, 0, known, 0, 0],
                [0, 2, 0, 0, 3, known, 0, 0],
            ],
        ),
        (
            "refused",
            world(1),
            &[
                [0, 4, 0, 0, 0, none, 0, 0],
                [0, 1, 3, 0, 0, none, 0, 3],
                [9, 0, 0, 0, 0, issued, 0, 0],
            ],
        ),
        (
            "expired",
            world(3),
            &[[0, 0, 0, 0, 0, none, 0, 0], [200, 0, 0, 0, 0, digest, 0, 0]],
        ),
    ];
    dialogues
        .into_iter()
        .map(|(name, writer, requests)| {
            (
                name.to_owned(),
                requests.iter().fold(writer, |w, parts| ask(w, *parts)).0,
            )
        })
        .collect()
}

/// A request of the target `emulator`: two bytes for the clock's move; method, path, query and version; the credential with its
/// selection; other headers with the number of repetitions; and the body.
pub(crate) struct Ask {
    after: u16,
    route: [u8; 4],
    credential: Vec<u8>,
    other: Vec<u8>,
    body: u8,
}

/// Returns inputs about what the emulator refuses, and about each rule from both sides.
pub(crate) fn emulator_refusals() -> Vec<(String, Vec<u8>)> {
    use emulator::{CREDENTIALS, Credential as C, FORGERIES, Forgery as F, PAIRS};
    const GET: u8 = 0;
    const POST: u8 = 1;
    const KEYS: u8 = 0;
    const GROUPS: u8 = 2;
    const TOKEN: u8 = 3;
    const REVOKE: u8 = 4;
    const ORG_KEYS: u8 = 7;
    const DATED: u8 = 1;
    let code = |credential| index_of(&CREDENTIALS, &credential);
    let known = [code(C::Known)];
    let none = [code(C::None)];
    let issued = [code(C::Issued)];
    let forged = |forgery: &F| [code(C::Forged), index_of(&FORGERIES, forgery), 0];
    let pair = |number| [code(C::Pair), number];
    let token = |number| [code(C::Token), number];
    let get = |after, path, credential: &[u8]| Ask {
        after,
        route: [GET, path, 0, if path == GROUPS { 2 } else { DATED }],
        credential: credential.to_vec(),
        other: vec![0],
        body: 0,
    };
    let post = |after, path, credential: &[u8], other: &[u8], body| Ask {
        after,
        route: [POST, path, 0, 0],
        credential: credential.to_vec(),
        other: other.to_vec(),
        body,
    };
    let input = |setup: [u8; 4], requests: &[Ask]| {
        let start = Writer::default().rest(setup);
        let write = |writer: Writer, ask: &Ask| {
            let writer = writer.number(ask.after).rest(ask.route);
            writer.rest(&ask.credential).rest(&ask.other).byte(ask.body)
        };
        requests.iter().fold(start, write).0
    };
    // The seed, the groups, the keys and the flags. The seeds 3, 7, 11 … differ in their roles.
    let world = |flags| [7, 3, 8, flags];
    let mut inputs = Vec::new();
    let mut add = |name: &str, bytes| inputs.push((name.to_owned(), bytes));

    for (number, forgeries) in FORGERIES.chunks(12).enumerate() {
        for flags in [0, 64] {
            let credentials: Vec<_> = forgeries.iter().map(forged).collect();
            let mut requests = vec![get(0, GROUPS, &none)];
            requests.extend(
                credentials
                    .iter()
                    .map(|credential| get(1, GROUPS, credential)),
            );
            add(
                &format!("forgeries-{number}-{flags}"),
                input(world(flags), &requests),
            );
        }
    }
    let [right, reused, zero, ahead] =
        [F::Right, F::CountReused, F::CountZero, F::CountFarAhead].map(|forgery| forged(&forgery));
    let counts = [
        &none[..],
        &right,
        &reused,
        &right,
        &ahead,
        &reused,
        &zero,
        &right,
    ];
    let counts = counts.map(|credential| get(0, KEYS, credential));
    add("nonce-counts", input(world(0), &counts));
    for (flags, ttl) in [(0, 60), (2, 2)] {
        let requests = [
            get(0, KEYS, &none),
            get(ttl - 1, KEYS, &right),
            get(1, KEYS, &right),
            get(0, KEYS, &right),
        ];
        add(
            &format!("nonce-expires-after-{ttl}"),
            input(world(flags), &requests),
        );
    }
    for (flags, ttl) in [(0, 3600), (1, 3)] {
        let requests = [
            post(0, TOKEN, &pair(0), &[0], 1),
            get(ttl - 1, KEYS, &issued),
            get(1, KEYS, &issued),
        ];
        add(
            &format!("token-expires-after-{ttl}"),
            input(world(flags), &requests),
        );
    }
    let limit = [
        post(0, TOKEN, &pair(0), &[4, 98], 1),
        post(0, TOKEN, &pair(0), &[4, 1], 1),
        post(0, TOKEN, &pair(1), &[0], 1),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 8),
        post(0, TOKEN, &pair(0), &[4, 1], 1),
    ];
    add("token-limit", input(world(0), &limit));
    let revocations = [
        post(0, TOKEN, &pair(0), &[0], 1),
        post(0, REVOKE, &pair(1), &[0], 7),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 14),
        post(0, REVOKE, &pair(0), &[0], 12),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 9),
        get(0, KEYS, &known),
        post(0, TOKEN, &pair(0), &[0], 1),
        post(0, REVOKE, &pair(0), &[0], 7),
        get(0, KEYS, &issued),
        get(0, KEYS, &token(2)),
        get(0, KEYS, &token(130)),
        get(0, KEYS, &token(128)),
    ];
    add("revocations", input(world(0), &revocations));
    let pairs: Vec<_> = (0..byte(PAIRS.len())).map(pair).collect();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|pair| post(0, TOKEN, pair, &[0], 1))
        .collect();
    add("pairs", input(world(0), &pairs));
    let forms = [0, 1, 2, 3, 10, 11, 13, 15, 16].map(|body| post(0, TOKEN, &[3], &[0], body));
    add("forms", input(world(0), &forms));

    for (name, groups, path) in [
        ("keys", 3, KEYS),
        ("keys-shared", 8, KEYS),
        ("org-keys", 3, ORG_KEYS),
        ("groups", 3, GROUPS),
        ("key", 3, 8),
        ("org-key", 3, 9),
    ] {
        let again = Ask {
            other: vec![4, 2],
            ..get(0, path, &known)
        };
        let requests = [
            again,
            get(0, path, &known),
            get(3, path, &known),
            get(1, path, &known),
            get(0, 19, &known),
            Ask {
                other: vec![4, 3],
                ..get(60, path, &known)
            },
            get(7, path, &known),
        ];
        add(
            &format!("rate-limit-{name}"),
            input([7, groups, 8, 32], &requests),
        );
    }
    // Bodies of about 220 bytes, the largest that are not compressed: an error contains the path twice.
    let lengths = (43..51).flat_map(|length| [(length, 0), (length, 2)]);
    let near = lengths.fold(
        Writer::default().rest(world(0)),
        |writer, (length, query)| {
            let path = format!("/{}", "a".repeat(length));
            let writer = writer.number(0).rest([GET, 255]).short(path);
            writer.rest([query, 0]).rest(none).rest([0, 0])
        },
    );
    add("bodies-near-the-limit-of-compression", near.0);
    for (name, path) in [
        ("keys", KEYS),
        ("org-keys", ORG_KEYS),
        ("groups", GROUPS),
        ("key", 8),
    ] {
        let version = if path == GROUPS { 2 } else { DATED };
        let queries = (0..byte(emulator::QUERIES.len())).map(|query| Ask {
            route: [GET, path, query, version],
            ..get(0, path, &known)
        });
        let queries: Vec<_> = queries.collect();
        add(&format!("queries-{name}-1"), input(world(8), &queries[..9]));
        add(
            &format!("queries-{name}-2"),
            input(world(128), &queries[9..]),
        );
    }
    for (name, path) in [("keys", KEYS), ("org-keys", ORG_KEYS), ("groups", GROUPS)] {
        for per_page in [1, 2, 3, 4, 8] {
            let mut writer = Writer::default().rest([7, 4, 8, 0]);
            for page in 1..=9 {
                let query = format!("?itemsPerPage={per_page}&pageNum={page}");
                let version = if path == GROUPS { 2 } else { DATED };
                writer = writer.number(0).rest([GET, path, 255]).short(query);
                writer = writer.byte(version).rest(known).rest([0, 0]);
            }
            add(&format!("pages-{name}-{per_page}"), writer.0);
        }
    }
    for seed in (3..32).step_by(4) {
        let paths = [KEYS, 19, GROUPS, ORG_KEYS, 20, 8, 9, 21, 22, 1, 6];
        let second = token(1);
        let requests = paths.map(|path| get(0, path, &second));
        add(&format!("roles-{seed}"), input([seed, 4, 8, 0], &requests));
    }
    // Secrets in the wrong place, encoded up to twice, in a record of the requests, which only some inputs have.
    let paths = [
        "/x/known-access-token-1",
        "/x/%6Bnown-access-token-1",
        "/x/%256Bnown-access-token-1",
        "/api/atlas/v2/groups//aiModelApiKeys",
    ];
    let misplaced = |seed| {
        let start = Writer::default().rest([seed, 3, 8, 0]);
        let write = |writer: Writer, path: &str| {
            let writer = writer.number(0).rest([GET, 255]).short(path).rest([0, 0]);
            writer.rest(known).rest([0, 0])
        };
        let writer = paths.into_iter().fold(start, write);
        let writer = writer.number(0).rest([GET, KEYS, 0, DATED]).rest(known);
        let header = writer
            .byte(2)
            .short("authorization")
            .short("Bearer known-access-token-1");
        header.byte(0).0
    };
    let is_recorded =
        |bytes: &Vec<u8>| bytes.iter().fold(0, |sum: u8, b| sum.wrapping_add(*b)) % 4 == 1;
    let recorded = (7..11).map(misplaced).find(is_recorded);
    add(
        "misplaced-secrets",
        recorded.expect("one of four in sequence"),
    );
    let second = [
        get(0, GROUPS, &none),
        get(0, 19, &right),
        get(0, GROUPS, &right),
        get(0, KEYS, &right),
    ];
    add("forbidden-group", input([7, 2, 3, 0], &second));
    for (name, groups) in [
        ("served", 3),
        ("withdrawn", 13),
        ("zero-count", 23),
        ("no-count", 43),
    ] {
        let versions = (0..byte(emulator::ACCEPTS.len())).map(|version| Ask {
            route: [GET, KEYS, 0, version],
            ..get(0, KEYS, &known)
        });
        let of_groups = (0..6).map(|version| Ask {
            route: [GET, GROUPS, 2, version],
            ..get(0, GROUPS, &known)
        });
        let requests: Vec<_> = versions.chain(of_groups).collect();
        add(
            &format!("versions-{name}"),
            input([7, groups, 2, 0], &requests),
        );
    }
    inputs
}
