//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

#[macro_use]
mod scripted;

mod cancel_handle;
mod dependencies;
mod dropped_futures;
mod hyper;
mod imports;
mod panics;
mod promises;
mod proxy;
mod reqwest;
mod sweeps;
mod tls;
mod ureq;
mod wire;
