//! The servers that the examples use.
#![allow(dead_code, unused_imports)] // Each example uses a part of it.

#[path = "../../../transport-ureq/examples/support/atlas.rs"]
mod atlas;
pub(crate) mod tls;

pub(crate) use atlas::*;
