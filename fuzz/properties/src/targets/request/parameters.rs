//! Checks parameters of requests.

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, GroupId, ItemsPerPage, ListRequest, Moment, PageNum, Session, Step,
};

use super::assert_rejection;
use crate::oracles::shown;

/// Checks a text, and a number, as each parameter.
pub(super) fn check(text: &str, number: u32) {
    let is_group = text.len() == 24 && text.chars().all(|c| "0123456789abcdef".contains(c));
    match GroupId::new(text) {
        Ok(group) => {
            assert!(is_group);
            assert_eq!(group.as_str(), text);
            assert_eq!(
                format!("{group} {group:?}"),
                format!("{text} GroupId({text})")
            );
            assert_eq!(text.parse(), Ok(group));
            assert_eq!(GroupId::try_from(text), Ok(group));
        }
        Err(error) => {
            assert!(!is_group);
            assert_rejection(&error, "groupId");
        }
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let written = text.parse::<u64>().ok().filter(|_| digits);
    match text.parse::<ItemsPerPage>() {
        Ok(items) => {
            assert_eq!(Some(u64::from(items.get())), written);
            assert!((1..=500).contains(&items.get()));
        }
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=500).contains(&n)));
            assert_rejection(&error, "itemsPerPage");
        }
    }
    match text.parse::<PageNum>() {
        Ok(page) => assert_eq!(Some(u64::from(page.get())), written),
        Err(error) => {
            assert!(!written.is_some_and(|n| (1..=u64::from(u32::MAX)).contains(&n)));
            assert_rejection(&error, "pageNum");
        }
    }
    match ItemsPerPage::new(number) {
        Ok(items) => {
            assert!(u32::from(items.get()) == number && (1..=500).contains(&number));
            assert!(shown::is(&items, &number.to_string()));
            assert_eq!(ItemsPerPage::try_from(number), Ok(items));
        }
        Err(error) => {
            assert!(number == 0 || number > 500);
            assert_rejection(&error, "itemsPerPage");
        }
    }
    match PageNum::new(number) {
        Ok(page) => {
            assert!(page.get() == number && shown::is(&page, &number.to_string()));
            assert_eq!(PageNum::try_from(number), Ok(page));
        }
        Err(error) => {
            assert_eq!(number, 0);
            assert_rejection(&error, "pageNum");
        }
    }
    let visible = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    let token = Credentials::bearer("t").expect("a valid token");
    match Session::new(BaseUrl::default(), token).with_user_agent(text) {
        Ok(mut session) => {
            assert!(visible);
            let list = ListRequest::new(
                GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits"),
            );
            let at = Moment::new(Duration::ZERO, [0; 16]);
            let Ok(Step::Send(exchange)) = session.start::<Vec<u8>>(&list, at) else {
                panic!("a session with a bearer token sends at once");
            };
            assert_eq!(exchange.request.headers()["user-agent"], text);
        }
        Err(error) => {
            assert!(!visible);
            assert_rejection(&error, "User-Agent");
        }
    }
}
