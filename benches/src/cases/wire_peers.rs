//! Other sans-I/O clients that decode the bytes of a connection. A further peer is a case in [`cases`].

use std::hint::black_box;

use io_http::coroutine::{HttpCoroutine as _, HttpCoroutineState};
use io_http::rfc9110::request::HttpRequest;
use io_http::rfc9110::response::HttpResponse;
use io_http::rfc9110::send::HttpSendYield;
use io_http::rfc9112::read_headers::Http11HeadersRead;
use io_http::rfc9112::send::Http11Send;

use super::Case;
use super::wire::{case, only_head, whole_page};

pub(super) fn cases() -> Vec<Case> {
    let (head, whole) = (only_head(), whole_page());
    vec![
        case("wire-head", "io-http", &head, |bytes| {
            let HttpCoroutineState::Complete(head) =
                Http11HeadersRead::default().resume(Some(bytes))
            else {
                panic!("the head does not end");
            };
            black_box(head.expect("a response"));
        }),
        case("wire-page", "io-http, at once", &whole, |bytes| {
            black_box(exchange(std::iter::once(bytes)));
        }),
        case(
            "wire-page",
            "io-http, 1,400 bytes at a time",
            &whole,
            |bytes| {
                black_box(exchange(bytes.chunks(1_400)));
            },
        ),
    ]
}

/// Decodes a whole response. A body is read only after a request, so a small one is encoded, too.
fn exchange<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> HttpResponse {
    let url = "https://a.example/".parse().expect("a URL");
    let mut exchange = Http11Send::new(HttpRequest::get(url));
    let mut piece = None;
    loop {
        piece = match exchange.resume(piece) {
            HttpCoroutineState::Complete(output) => return output.expect("a response").response,
            HttpCoroutineState::Yielded(HttpSendYield::WantsRead) => {
                Some(pieces.next().expect("the response ends"))
            }
            HttpCoroutineState::Yielded(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_body_is_read() {
        let whole = whole_page();
        let response = exchange(whole.chunks(1_400));
        assert_eq!(response.headers.len(), 18);
        assert!(whole.ends_with(&response.body));
        assert!(response.body.starts_with(b"{\"links\":"));
    }
}
