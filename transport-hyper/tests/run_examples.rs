//! Runs the examples, and checks their output.

#[path = "../../core/tests/runner/mod.rs"]
mod runner;

#[test]
fn each_example_runs() {
    runner::run_all(&[
        ("axum", &["HTTP/1.1 200 OK", "HTTP/1.1 400 Bad Request"]),
        ("list_async", &["of 250 keys were never used"]),
        (
            "own_tls_root_async",
            &[
                "without the root certificate: the request failed permanently",
                "with it: 250 keys",
            ],
        ),
    ]);
}
