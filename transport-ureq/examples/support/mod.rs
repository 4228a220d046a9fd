//! The servers that the examples use.
#![allow(dead_code, unused_imports)] // Each example uses a part of it.

mod atlas;
pub(crate) mod tls;

pub(crate) use atlas::*;
