//! Creating a request for a page, with a bearer token.

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, GroupId, ItemsPerPage, ListRequest, Moment, PageNum, Session, Step,
};
use http::Request;

use super::Case;

const TOKEN: &str =
    "eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImE1YjYifQ.eyJpc3MiOiJhdGxhcyJ9.c2lnbmF0dXJl";

const GROUP: &str = "0123456789abcdef01234567";

pub(super) fn list() -> ListRequest {
    let group: GroupId = GROUP.parse().expect("a group id");
    ListRequest::new(group)
        .with_items_per_page(ItemsPerPage::MAX)
        .with_page_num(PageNum::new(17).expect("a page number"))
}

pub(super) fn at() -> Moment {
    Moment::new(Duration::from_secs(1_800_000_000), [7; 16])
}

pub(super) fn bearer() -> Session {
    Session::new(
        BaseUrl::default(),
        Credentials::bearer(TOKEN).expect("a token"),
    )
}

/// Creates the request as a reader of Atlas's documentation would write it.
pub(super) fn naive() -> Request<()> {
    let (items, page) = (500, 17);
    Request::builder()
        .uri(format!(
            "https://cloud.mongodb.com/api/atlas/v2/groups/{GROUP}/aiModelApiKeys?itemsPerPage={items}&pageNum={page}"
        ))
        .header("Accept", "application/vnd.atlas.preview+json")
        .header("User-Agent", "my-service/1.0")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .body(())
        .expect("a request")
}

pub(super) fn cases() -> Vec<Case> {
    let (mut session, list) = (bearer(), list());
    vec![
        Case::new("request", "format! and parse", naive),
        Case::new("request", "ours", move || {
            match session.start::<&[u8]>(&list, at()) {
                Ok(Step::Send(exchange)) => exchange,
                _ => panic!("nothing to wait for"),
            }
        }),
    ]
}
