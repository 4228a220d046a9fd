//! What the examples have in common: whom they talk to.
#![allow(dead_code, unused_imports)] // None of them needs all of it.

mod atlas;
pub(crate) mod tls;

pub(crate) use atlas::*;
