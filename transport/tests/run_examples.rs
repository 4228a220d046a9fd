//! Runs the examples, and checks their output.

#[path = "../../core/tests/runner/mod.rs"]
mod runner;

#[test]
fn each_example_runs() {
    let listed = &["of 250 keys were never used"][..];
    runner::run_all(&[
        ("over_attohttpc", listed),
        ("over_reqwest", listed),
        ("over_smol", listed),
        ("over_tcp_stream", listed),
    ]);
}
