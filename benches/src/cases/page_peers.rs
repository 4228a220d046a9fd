//! Other ways to decode the body of a page. A further peer is a case in [`of`].

use std::hint::black_box;

use super::Case;
use super::page::{Sample, samples};
use crate::naive;

pub(super) fn cases() -> Vec<Case> {
    samples().iter().flat_map(of).collect()
}

fn of(sample: &Sample) -> [Case; 4] {
    let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::default());
    [
        sample.case("serde_json, borrowed structs", |body| {
            visit_all(&serde_json::from_slice(body).expect("a page"));
        }),
        sample.case("sonic-rs, owned structs", |body| {
            black_box(sonic_rs::from_slice::<naive::PageBody>(body).expect("a page"));
        }),
        sample.case("sonic-rs, borrowed structs", |body| {
            visit_all(&sonic_rs::from_slice(body).expect("a page"));
        }),
        // It unescapes texts in place. So a caller whose body must not change pays for a copy.
        sample.case("simd-json, a copy and borrowed structs", move |body| {
            copy.clear();
            copy.extend_from_slice(body);
            let page = simd_json::serde::from_slice_with_buffers(&mut copy, &mut buffers);
            visit_all(&page.expect("a page"));
        }),
    ]
}

/// Reads every field of every key once, and looks for the link to the next page.
fn visit_all(page: &naive::BorrowedPage<'_>) {
    for key in &page.results {
        black_box((&key.api_key_id, &key.name, &key.status, &key.created_at));
        black_box((&key.created_by, &key.last_used_at, &key.group_id));
        black_box((&key.masked_secret, &key.secret));
    }
    black_box(page.has_next());
}

#[cfg(test)]
mod tests {
    use super::super::page::body;
    use super::*;

    fn texts<'a>(page: &'a naive::BorrowedPage<'_>) -> Vec<[Option<&'a str>; 9]> {
        let texts = |key: &'a naive::BorrowedKey<'_>| {
            [
                &key.api_key_id,
                &key.created_at,
                &key.created_by,
                &key.group_id,
                &key.last_used_at,
                &key.masked_secret,
                &key.name,
                &key.secret,
                &key.status,
            ]
            .map(|text| text.as_ref().map(|text| &*text.0))
        };
        page.results.iter().map(texts).collect()
    }

    #[test]
    fn all_peers_read_the_same_keys() {
        let body = body(100);
        let with_serde_json: naive::BorrowedPage<'_> = serde_json::from_slice(&body).unwrap();
        assert_eq!(with_serde_json.results.len(), 100);
        assert!(with_serde_json.has_next());
        let with_sonic_rs: naive::BorrowedPage<'_> = sonic_rs::from_slice(&body).unwrap();
        assert_eq!(texts(&with_sonic_rs), texts(&with_serde_json));
        let mut copy = body.clone();
        let with_simd_json: naive::BorrowedPage<'_> =
            simd_json::serde::from_slice(&mut copy).unwrap();
        assert_eq!(texts(&with_simd_json), texts(&with_serde_json));
    }

    #[test]
    fn borrowed_structs_borrow_texts_without_escapes() {
        let page = br#"{"links":[],"results":[{"name":"plain","status":"a\tb"}]}"#;
        let page: naive::BorrowedPage<'_> = serde_json::from_slice(page).unwrap();
        let [key] = &page.results[..] else { panic!() };
        let is_borrowed = |text: &Option<naive::Text<'_>>| {
            matches!(text, Some(naive::Text(std::borrow::Cow::Borrowed(_))))
        };
        assert!(is_borrowed(&key.name));
        assert!(!is_borrowed(&key.status));
    }
}
