//! The scenarios with the asynchronous client.

use atlas_model_keys_conformance::ReqwestClient as Client;

atlas_model_keys_conformance::test_scenarios!();
