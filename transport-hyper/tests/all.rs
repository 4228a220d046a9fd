//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

mod client;
mod floods;
mod http2;
mod proxy;
mod run_examples;
mod support;
mod tls;
mod unpolled;
