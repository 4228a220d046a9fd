//! What the examples have in common: whom they talk to.
#![allow(dead_code, unused_imports)] // None of them needs all of it.

#[path = "../../../transport-ureq/examples/support/atlas.rs"]
mod atlas;
pub(crate) mod tls;

pub(crate) use atlas::*;
