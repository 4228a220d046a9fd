//! The scenarios, with the async client.

atlas_model_keys_conformance::test_each!(atlas_model_keys_conformance::NonBlocking);
