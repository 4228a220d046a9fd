//! Networks for the clients.

use crate::byte;

/// Returns inputs of both clients: each credential, each fate, pages that are read ahead, streams that are dropped, calls
/// that are cancelled, and delays beyond the deadline.
pub(crate) fn driver_inputs() -> Vec<(String, Vec<u8>)> {
    const BLOCKING: u8 = 1;
    const ASYNC: u8 = 0;
    const SPAWNS: u8 = 2;
    const ENDLESS: u8 = 4;
    const NO_COUNT: u8 = 8;
    const OWN_DEADLINES: u8 = 16;
    let mut inputs = Vec::new();
    let mut add = |name: String, start: [u8; 7], outcomes: &[[u8; 2]], choices: &[u8]| {
        let count = [byte(outcomes.len())];
        inputs.push((
            name,
            [&start, &count[..], outcomes.as_flattened(), choices].concat(),
        ));
    };
    for (client, flags) in [
        ("blocking", BLOCKING),
        ("async", ASYNC),
        ("spawned", SPAWNS),
    ] {
        for credential in 0..3 {
            let name = |case: &str| format!("{client}-{credential}-{case}");
            add(name("calm"), [flags, credential, 2, 0, 1, 0, 0], &[], &[]);
            add(
                name("read-ahead"),
                [flags, credential, 0, 3, 0, 0, 0],
                &[],
                &[1, 2, 0, 1, 3, 2, 1, 0, 2, 1],
            );
            if flags == SPAWNS {
                // Pages beyond the end are read ahead.
                add(
                    name("beyond-the-end"),
                    [flags | NO_COUNT, credential, 0, 3, 1, 0, 0],
                    &[],
                    &[1, 2, 0, 1, 3, 2, 1, 0, 2, 1],
                );
                add(
                    name("beyond-the-end-late"),
                    [flags | NO_COUNT, credential, 1, 4, 2, 0, 0],
                    &[[0, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 2], [0, 3]],
                    &[],
                );
            }
            if flags != BLOCKING && credential == 1 {
                // The stream that fetches a token has the shortest deadline, or the longest.
                for first in [0, 2] {
                    add(
                        name(&format!("own-deadlines-{first}")),
                        [flags | OWN_DEADLINES, credential, 2, 0, 1, 3, 0],
                        &[[0, 9]],
                        &[first],
                    );
                }
                // Two streams wait for the same token, and the second one is dropped.
                for drop_at in [4, 5, 7] {
                    add(
                        name(&format!("follower-dropped-{drop_at}")),
                        [flags, credential, 2, 0, 1, 0, drop_at],
                        &[],
                        &[1, 1, 0, 0],
                    );
                }
            }
            // A transport that does not know that its request has failed because of the deadline.
            for fate in [1, 2] {
                add(
                    name(&format!("deadline-fate-{fate}")),
                    [flags, credential, 0, 0, 1, 3, 0],
                    &[[0, 1], [fate, 7]],
                    &[],
                );
            }
            add(
                name("late"),
                [flags, credential, 0, 4, 0, 0, 0],
                &[[0, 0], [0, 3], [0, 9], [0, 1], [0, 5]],
                &[2, 1],
            );
            for fate in 1..8 {
                add(
                    name(&format!("fate-{fate}")),
                    [flags, credential, 1, 2, 1, 0, 0],
                    &[[0, 0], [fate, 0], [fate, 0]],
                    &[1],
                );
            }
            add(
                name("failures"),
                [flags, credential, 0, 0, 1, 0, 0],
                &[[1, 0], [3, 0], [2, 0], [4, 0]],
                &[],
            );
            add(
                name("deadline"),
                [flags, credential, 1, 2, 1, 5, 0],
                &[[0, 2], [0, 4], [0, 200]],
                &[1],
            );
            add(
                name("deadline-in-wait"),
                [flags, credential, 0, 0, 1, 2, 0],
                &[[3, 0], [3, 1], [3, 0], [3, 1], [3, 1]],
                &[],
            );
            if flags == BLOCKING {
                for cancel_at in [1, 2] {
                    add(
                        name(&format!("endless-{cancel_at}")),
                        [flags | ENDLESS, credential, 0, 0, 0, 0, cancel_at],
                        &[],
                        &[],
                    );
                }
            }
            for drop_at in [1, 3, 5, 6, 8, 12] {
                add(
                    name(&format!("dropped-{drop_at}")),
                    [flags, credential, 2, 2, 0, 0, drop_at],
                    &[[0, 1], [0, 2], [1, 0]],
                    &[0, 1, 2],
                );
            }
        }
    }
    inputs
}
