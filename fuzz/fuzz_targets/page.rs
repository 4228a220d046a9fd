//! The fuzz target for `atlas_model_keys_fuzz::page`.
#![cfg_attr(all(fuzzing, feature = "libfuzzer"), no_main)]
atlas_model_keys_fuzz::target!(counting page);
