//! Runs the emulator until Enter is pressed, and says which credentials it takes.
//!
//! An argument, if there is one, is the port.

use std::io;

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let emulator = Emulator::new(Config::default());
    let server = Server::start(
        emulator,
        Options {
            port,
            ..Options::default()
        },
    )?;
    println!("BASE={}", server.base_url());
    server.with(|emulator| {
        println!("GROUP={}", emulator.first_group());
        println!("ORG={}", emulator.org_id());
        println!("PUBLIC_KEY={}", emulator.api_key().public_key);
        println!("PRIVATE_KEY={}", emulator.api_key().private_key);
        println!("CLIENT_ID={}", emulator.service_account().client_id);
        println!("CLIENT_SECRET={}", emulator.service_account().client_secret);
        println!("ACCESS_TOKEN={}", emulator.access_token());
    });
    io::stdin().read_line(&mut String::new())?;
    server.shutdown();
    Ok(())
}
