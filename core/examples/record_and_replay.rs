//! Records the dialogue of a session and replays it: the same inputs give the same requests and the same pages.
//!
//! A recording contains live tokens: treat it as a credential. With the feature `serde` you can write it to a file.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example record_and_replay
//! ```

#[path = "support/in_memory.rs"]
mod in_memory;
mod support;

use atlas_model_keys_core::{
    BaseUrl, Exchange, ListRequest, Moment, RecordedResponse, RequestOutline, Session, Step,
};

use in_memory::InMemory;
use support::moment;

/// The inputs of a dialogue, and the requests that were sent.
#[derive(Default)]
struct Recording {
    moments: Vec<Moment>,
    requests: Vec<RequestOutline>,
    responses: Vec<RecordedResponse>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = InMemory::new();
    let list = ListRequest::new(http.group());
    let session = || -> Result<Session, Box<dyn std::error::Error>> {
        Ok(Session::new(BaseUrl::default(), http.service_account()?))
    };

    let mut recording = Recording::default();
    let mut recorded = session()?;
    let at = record_moment(&mut recording)?;
    let mut step = recorded.start(&list, at)?;
    let page = loop {
        step = match step {
            Step::Done(reply) => break reply.into_page()?,
            Step::Send(Exchange { request, pending }) => {
                recording.requests.push(RequestOutline::from(&request));
                let response = http.send(&request)?;
                recording.responses.push(RecordedResponse::from(&response));
                let at = record_moment(&mut recording)?;
                recorded.respond(pending, response, at)?
            }
            Step::Wait(wait) => {
                std::thread::sleep(wait.delay());
                let at = record_moment(&mut recording)?;
                recorded.resume(wait, at)?
            }
        };
    };

    // The replay needs no network.
    let sent = recording.requests.len();
    let mut replayed = session()?;
    let mut moments = recording.moments.into_iter();
    let mut responses = recording.responses.into_iter();
    let mut requests = recording.requests.iter();
    let mut step = replayed.start(&list, moments.next().ok_or("no moment is left")?)?;
    let again = loop {
        let mut at = || moments.next().ok_or("no moment is left");
        step = match step {
            Step::Done(reply) => break reply.into_page()?,
            Step::Send(Exchange { request, pending }) => {
                assert_eq!(Some(&RequestOutline::from(&request)), requests.next());
                let response = responses.next().ok_or("no response is left")?;
                replayed.respond::<Vec<u8>>(pending, response.try_into()?, at()?)?
            }
            Step::Wait(wait) => replayed.resume(wait, at()?)?,
        };
    };
    assert!(page.keys().eq(again.keys()));
    println!("{sent} requests and {} keys were replayed", again.len());
    Ok(())
}

fn record_moment(recording: &mut Recording) -> Result<Moment, Box<dyn std::error::Error>> {
    let at = moment().map_err(|error| error.to_string())?;
    recording.moments.push(at);
    Ok(at)
}
