//! The scenarios with the blocking client.

use atlas_model_keys_conformance::UreqClient as Client;

atlas_model_keys_conformance::test_scenarios!();
