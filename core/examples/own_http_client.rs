//! Drives a session with an HTTP client of your own: one short loop.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example own_http_client
//! ```

#[path = "support/in_memory.rs"]
mod in_memory;
mod support;

use atlas_model_keys_core::{
    BaseUrl, Exchange, Failure, FailureKind, ListRequest, Listing, Reply, Session, Step,
};

use in_memory::InMemory;
use support::{BoxError, moment};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = InMemory::new();
    let mut session = Session::new(BaseUrl::default(), http.service_account()?);

    let mut listing = Listing::new(ListRequest::new(http.group()), session.limits());
    let mut count = 0;
    while let Some(request) = listing.request()? {
        let page = exchange(&mut session, &request, &http).map_err(|error| error.to_string())?;
        count += listing.accept(&page.into_page()?).count();
    }
    println!("{count} keys");
    Ok(())
}

/// Fetches one page, with all that is needed for it: a token, retries and waits.
fn exchange(
    session: &mut Session,
    list: &ListRequest,
    http: &InMemory,
) -> Result<Reply<Vec<u8>>, BoxError> {
    let mut step = session.start(list, moment()?)?;
    loop {
        step = match step {
            Step::Done(reply) => return Ok(reply),
            Step::Send(Exchange { request, pending }) => match http.send(&request) {
                Ok(response) => session.respond(pending, response, moment()?)?,
                Err(error) => {
                    // A `Lost` request may have reached the server; `NotSent` means it did not.
                    let kind = match error.kind() {
                        std::io::ErrorKind::ConnectionRefused => FailureKind::NotSent,
                        _ => FailureKind::Lost,
                    };
                    session.fail(pending, Failure::new(kind, error), moment()?)?
                }
            },
            Step::Wait(wait) => {
                std::thread::sleep(wait.delay());
                session.resume(wait, moment()?)?
            }
        };
    }
}
