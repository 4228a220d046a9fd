//! Benches of atlas-model-keys, side by side with what people would use instead: `cargo bench`.
//!
//! There is nothing here but the benches; each is a file beside this one.
