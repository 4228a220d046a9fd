//! The behaviour that every client of Atlas must show: one set of [scenarios] that runs against each client, over
//! an emulator on loopback. The scenarios see a client through [`TestClient`]. What only one client does is tested in
//! that client's crate.

pub mod client;
pub mod clients;
pub mod emulated_atlas;
pub mod fixtures;
pub mod loopback;
pub mod scenarios;

pub use client::{Capabilities, Setup, TestClient};
pub use clients::{HyperClient, ReqwestClient, UreqClient};
pub use emulated_atlas::{CredentialKind, EmulatedAtlas};
pub use loopback::LoopbackServer;

/// Compiles the examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
