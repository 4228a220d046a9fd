//! ureq and rustls log secrets at one target and level only, which the README tells to turn off.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};
use atlas_model_keys_ureq::{BaseUrl, Client, Credentials, ListRequest};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// All logged text, by target and level.
struct Logged(Mutex<BTreeMap<(String, Level), String>>);

static LOGGED: Logged = Logged(Mutex::new(BTreeMap::new()));

impl Log for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = logged
            .entry((record.target().to_owned(), record.level()))
            .or_default();
        let text = record.args().to_string();
        // A line has sixteen bytes as hexadecimal digits, and then as text.
        let is_dump = record.target() == "ureq_proto::util" && text.is_char_boundary(41);
        all.push_str(if is_dump {
            text.get(41..).unwrap_or_default()
        } else {
            &text
        });
    }

    fn flush(&self) {}
}

#[test]
fn secrets_are_logged_at_one_target_and_level_only() {
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let emulator = Emulator::new(
        Config::default()
            .with_keys_per_group(3)
            .with_include_secrets(true),
    );
    let (account, group) = (emulator.service_account().clone(), emulator.first_group());
    let server = Server::start(emulator, Options::default()).unwrap();
    let secret = account.client_secret.to_string();
    let credentials = Credentials::service_account(&*account.client_id, &*secret).unwrap();
    let client = Client::new(BaseUrl::new(&server.base_url()).unwrap(), credentials).unwrap();
    let keys = client.list_all(&ListRequest::new(group)).unwrap();
    assert_eq!(keys.len(), 3);
    let exported = client.export_token().unwrap();
    // The export has other fields around the token.
    let tokens: Vec<&str> = exported.expose().split_whitespace().collect();
    let token = tokens.into_iter().max_by_key(|part| part.len()).unwrap();

    let logged = LOGGED.0.lock().unwrap();
    let mut places = Vec::new();
    for (place, text) in &*logged {
        // The secrets of listed keys begin with `al-`.
        if [&secret, token, "al-", "Bearer ", "Basic "]
            .iter()
            .any(|s| text.contains(s))
        {
            places.push(place.clone());
        }
    }
    assert_eq!(places, [("ureq_proto::util".to_owned(), Level::Trace)]);
    assert!(logged.len() > 3, "{:?}", logged.keys());
}
