//! The scenarios, with the blocking client.

atlas_model_keys_conformance::test_each!(atlas_model_keys_conformance::Blocking);
