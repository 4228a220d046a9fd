//! Loops that list all keys with the blocking client, or with ureq and a loop by hand.

use std::error::Error;
use std::hint::black_box;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use atlas_model_keys_ureq::{BaseUrl, Client, Credentials, ItemsPerPage, ListRequest};
use ureq::{Agent, Body};

pub(crate) const LOOPS: &[Loop] = &[
    ("replies", replies),
    ("pages", pages),
    ("keys", keys),
    ("bare", bare),
    ("owned", owned),
    ("read_json", read_json),
];

fn client(task: &Task) -> Result<(Client, ListRequest), Box<dyn Error>> {
    let client = Client::new(
        BaseUrl::new(&task.base)?,
        Credentials::bearer(task.token.as_str())?,
    )?;
    let request = ListRequest::new(task.group.parse()?).with_items_per_page(ItemsPerPage::MAX);
    Ok((client, request))
}

fn replies(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for reply in client.replies(&request).read_ahead(task.ahead) {
        black_box(reply?);
        count += 1;
    }
    Ok(count)
}

fn pages(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for page in client.pages(&request).read_ahead(task.ahead) {
        count += black_box(page?).len();
    }
    Ok(count)
}

fn keys(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for key in client.keys(&request).read_ahead(task.ahead) {
        black_box(key?);
        count += 1;
    }
    Ok(count)
}

/// Reads only the bytes of the bodies: the minimum for a program that uses ureq.
fn bare(task: &Task) -> Outcome {
    let agent = Agent::new_with_defaults();
    for page in 1..=task.pages {
        black_box(get(&agent, task, &task.url(page))?.read_to_vec()?);
    }
    Ok(task.pages)
}

fn owned(task: &Task) -> Outcome {
    walk(task, |mut body| {
        Ok(serde_json::from_slice(&body.read_to_vec()?)?)
    })
}

fn read_json(task: &Task) -> Outcome {
    walk(task, |mut body| Ok(body.read_json()?))
}

fn get(agent: &Agent, task: &Task, url: &str) -> Result<Body, ureq::Error> {
    let response = agent
        .get(url)
        .header("accept", Task::ACCEPT)
        .header("authorization", task.authorization())
        .call()?;
    Ok(response.into_body())
}

/// Decodes every page, and follows the links to the next page.
fn walk(task: &Task, decode: fn(Body) -> Result<PageBody, Box<dyn Error>>) -> Outcome {
    let agent = Agent::new_with_defaults();
    let mut count = 0;
    let mut next = Some(task.url(1));
    while let Some(url) = next {
        let page = black_box(decode(get(&agent, task, &url)?)?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}
