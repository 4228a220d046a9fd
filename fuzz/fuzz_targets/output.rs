//! The fuzz target for `atlas_model_keys_fuzz::output`.
#![cfg_attr(all(fuzzing, feature = "libfuzzer"), no_main)]
atlas_model_keys_fuzz::target!(output);
