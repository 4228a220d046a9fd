//! The examples run, by themselves and to their end, and print what they are there for.

mod runner;

#[test]
fn each_example_runs() {
    runner::run_all(&[
        ("offline", &["the page is as documented"]),
        ("smol", &["is not allowed to list", "6 groups, 1 token"]),
        ("tcp_stream", &["waiting ", "of 250 keys were never used"]),
    ]);
}
