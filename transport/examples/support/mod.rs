//! The servers that the examples use.
#![allow(dead_code)] // Each example uses a part of it.

#[path = "../../../transport-ureq/examples/support/atlas.rs"]
mod atlas;

pub(crate) use atlas::Atlas;
