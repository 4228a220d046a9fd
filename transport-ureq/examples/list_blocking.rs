//! Lists the keys of a project that were never used: the blocking client.
//!
//! ```sh
//! cargo run -p atlas-model-keys-ureq --example list_blocking
//! ```
//!
//! It starts the emulator and lists from it. To list from Atlas, set `MONGODB_ATLAS_CLIENT_ID` and
//! `MONGODB_ATLAS_CLIENT_SECRET` (or another credential of the README) and give the group's id:
//!
//! ```sh
//! cargo run -p atlas-model-keys-ureq --example list_blocking 69681d39c9e8cfd375386316
//! ```

mod support;

use std::error::Error;

use atlas_model_keys_ureq::{Client, Event, ListRequest};
use support::Atlas;

fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::of_environment()?;
    // One client for the whole program: its clones share the token, the rate limit and the connections.
    let client = Client::builder(atlas.base, atlas.credentials)
        // Visible in Atlas's logs.
        .user_agent("never-used/1.0")
        // A rate limit may take a minute to pass, so the user is told.
        .on_event(|event| {
            if let Event::Waiting { delay, .. } = event {
                eprintln!("waiting {:.1} s …", delay.as_secs_f32());
            }
        })
        .build()?;

    // Pages are fetched while the loop runs, four of them at a time, and are never all in memory.
    let (mut all, mut unused) = (0, 0);
    for key in client.keys(&ListRequest::new(atlas.group)).read_ahead(4) {
        // Temporary failures were retried, so an error here is final.
        let key = key?;
        all += 1;
        if key.last_used_at().is_none() {
            unused += 1;
            // People choose these names. Debug escapes control characters, so none reaches the terminal.
            let name = key.name().unwrap_or_default();
            println!(
                "{name:?}, made by {:?}",
                key.created_by().unwrap_or_default()
            );
        }
    }
    println!("{unused} of {all} keys were never used");
    Ok(())
}
