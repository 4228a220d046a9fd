//! Runs the examples to their end, and checks their output.

use crate::runner;

#[test]
fn each_example_prints_its_result() {
    runner::run_all(&[
        ("offline", &["the page is as documented"]),
        ("own_authentication", &["250 keys"]),
        ("own_http_client", &["250 keys"]),
        (
            "own_limits",
            &["refused: beyond the limit of 1048576 bytes of body"],
        ),
        (
            "record_and_replay",
            &["2 requests and 100 keys were replayed"],
        ),
        ("smol", &["is not allowed to list", "6 groups, 1 token"]),
        (
            "unused_for_90_days",
            &["of 100 keys are unused for 90 days"],
        ),
        ("tcp_stream", &["waiting ", "of 250 keys were never used"]),
    ]);
}
