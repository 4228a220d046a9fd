//! Runs the examples, and checks their output.

#[path = "../../core/tests/runner/mod.rs"]
mod runner;

#[test]
fn each_example_runs() {
    runner::run_all(&[
        ("list_blocking", &["of 250 keys were never used"]),
        (
            "own_tls_root_blocking",
            &[
                "without the root certificate: the request failed permanently",
                "with it: 250 keys",
            ],
        ),
    ]);
}
