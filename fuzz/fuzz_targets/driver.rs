//! The fuzz target for `atlas_model_keys_fuzz::driver`.
#![cfg_attr(fuzzing, no_main)]
atlas_model_keys_fuzz::target!(driver);
