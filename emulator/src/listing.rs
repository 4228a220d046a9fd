//! Pages of a listing: their items and links, and their JSON. Also the JSON of one key.

use std::fmt;

use http::Uri;
use http::header::{HOST, HeaderMap};
use http::uri::{Authority, Scheme};
use serde::Serialize;

use crate::config::TotalCount;
use crate::errors::AtlasError;
use crate::key::Key;
use crate::number::parse_digits;
use crate::query;
use crate::render::{self, View};

const DEFAULT_ITEMS: u32 = 100;
const MAX_ITEMS: u32 = 500;
/// The maximum of `pageNum`. Atlas documents none. No list has more pages, because its `totalCount` is an
/// `int32`.
const MAX_PAGE: u32 = i32::MAX.unsigned_abs();

/// The query parameters of a page.
#[derive(Debug)]
pub(crate) struct Paging {
    items_per_page: u32,
    page_num: u32,
    view: View,
    /// The other parameters of the query, unchanged. The links repeat them.
    other_params: String,
}

impl Paging {
    pub(crate) fn from_query(uri: &Uri, view: View) -> Result<Self, AtlasError> {
        let query = uri.query().unwrap_or_default();
        check_view(query)?;
        let items_per_page = number(query, "itemsPerPage", DEFAULT_ITEMS, MAX_ITEMS)?;
        let page_num = number(query, "pageNum", 1, MAX_PAGE)?;
        let is_other = |pair: &&str| {
            query::pairs(pair).any(|(name, _)| name != "itemsPerPage" && name != "pageNum")
        };
        let other_params = query.split('&').filter(is_other);
        Ok(Self {
            items_per_page,
            page_num,
            view,
            other_params: other_params.map(|pair| format!("&{pair}")).collect(),
        })
    }

    /// Returns the body of the page. A page past the end has no results and is no error.
    ///
    /// Only the items on the page are read, so the last of ten thousand pages is as fast as the first.
    pub(crate) fn render_page<I: Iterator, T: Serialize>(
        &self,
        items: I,
        total: usize,
        show: impl Fn(I::Item) -> T,
        total_count: TotalCount,
        resource: &str,
    ) -> Vec<u8> {
        let total = total as u64;
        let per_page = self.items_per_page();
        let offset = self.offset();
        let page = PageBody {
            links: self.links(offset + per_page < total, resource),
            results: items
                .skip(usize::try_from(offset).unwrap_or(usize::MAX))
                .take(usize::try_from(per_page).unwrap_or(usize::MAX))
                .map(show)
                .collect(),
            status: self.view.envelope.then_some(200),
            total_count: match total_count {
                TotalCount::Exact => Some(total),
                TotalCount::Zero => Some(0),
                TotalCount::Absent => None,
            },
        };
        render::json(&page, self.view.pretty)
    }

    pub(crate) fn items_per_page(&self) -> u64 {
        u64::from(self.items_per_page)
    }

    pub(crate) fn page_num(&self) -> u64 {
        u64::from(self.page_num)
    }

    /// Returns the number of items on the earlier pages.
    pub(crate) fn offset(&self) -> u64 {
        (self.page_num() - 1) * self.items_per_page()
    }

    /// Returns the target of a link to another page.
    pub(crate) fn href(&self, resource: &str, page: impl fmt::Display) -> String {
        let Self {
            items_per_page,
            other_params,
            ..
        } = self;
        format!("{resource}?itemsPerPage={items_per_page}&pageNum={page}{other_params}")
    }

    /// Returns the links of the page, in Atlas's form: `self` has `pageNum` first, and contains the
    /// defaults of parameters that were not sent; `previous` and `next` have `itemsPerPage` first.
    fn links(&self, has_next: bool, resource: &str) -> Vec<Link> {
        let Self {
            items_per_page,
            page_num,
            other_params,
            ..
        } = self;
        let neighbour = |rel, page: u32| Link {
            href: self.href(resource, page),
            rel,
        };
        let previous = (*page_num > 1).then(|| neighbour("previous", page_num - 1));
        let this = Link {
            href: format!(
                "{resource}?pageNum={page_num}&itemsPerPage={items_per_page}{other_params}"
            ),
            rel: "self",
        };
        let next = page_num
            .checked_add(1)
            .filter(|_| has_next)
            .map(|page| neighbour("next", page));
        previous.into_iter().chain([this]).chain(next).collect()
    }
}

/// Returns the value of a parameter that is a number from 1 to `max`.
fn number(query: &str, name: &'static str, default: u32, max: u32) -> Result<u32, AtlasError> {
    match query::value(query, name) {
        None => Ok(default),
        Some(value) => parse_digits(&value)
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| {
                let rule = format!("must be a number from 1 to {max}");
                AtlasError::invalid_parameter(name, &rule)
            }),
    }
}

/// Returns the value of a parameter that is true or false, or `None` if it is not given.
fn flag(query: &str, name: &'static str) -> Result<Option<bool>, AtlasError> {
    let Some(value) = query::value(query, name) else {
        return Ok(None);
    };
    [true, false]
        .into_iter()
        .find(|flag| value.eq_ignore_ascii_case(&flag.to_string()))
        .map(Some)
        .ok_or_else(|| AtlasError::invalid_parameter(name, "must be true or false"))
}

/// Checks that the parameters of the view are true or false.
fn check_view(query: &str) -> Result<(), AtlasError> {
    flag(query, "envelope")?;
    flag(query, "pretty").map(drop)
}

/// Returns the value of `totalCount` in the list of groups, the only one with the parameter `includeCount`.
pub(crate) fn group_count(uri: &Uri, configured: TotalCount) -> Result<TotalCount, AtlasError> {
    let is_included = flag(uri.query().unwrap_or_default(), "includeCount")?.unwrap_or(true);
    Ok(if is_included {
        configured
    } else {
        TotalCount::Absent
    })
}

/// Returns the body of a response that is one key. In an envelope the key is the `content`.
pub(crate) fn render_key(uri: &Uri, key: KeyEntry<'_>) -> Result<Vec<u8>, AtlasError> {
    check_view(uri.query().unwrap_or_default())?;
    let view = View::from_query(uri);
    Ok(if view.envelope {
        render::json(
            &Envelope {
                content: key,
                status: 200,
            },
            view.pretty,
        )
    } else {
        render::json(&key, view.pretty)
    })
}

/// Returns scheme and authority that the request was sent to, or `None` if it does not say so. The links begin with
/// them.
pub(crate) fn base_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().cloned().or_else(|| {
        let host = headers.get(HOST)?.to_str().ok()?;
        host.parse::<Authority>().ok()
    });
    let scheme = uri.scheme().unwrap_or(&Scheme::HTTP);
    authority.map(|authority| format!("{scheme}://{authority}"))
}

/// The body of a page. Its fields are in alphabetical order, as in all of Atlas's objects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageBody<T> {
    links: Vec<Link>,
    results: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_count: Option<u64>,
}

/// A single entity in an envelope.
#[derive(Serialize)]
struct Envelope<T> {
    content: T,
    status: u16,
}

#[derive(Serialize)]
struct Link {
    href: String,
    rel: &'static str,
}

/// The form of a key in a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyView {
    /// Whether the version is `2025-03-12`. It has three more fields, and `null` for a key that was never used
    /// and for a secret that is not shown.
    pub(crate) dated: bool,
    pub(crate) secret: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geography: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    /// The outer `None` omits the field; the inner one is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    masked_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
}

impl<'a> KeyEntry<'a> {
    pub(crate) fn new(key: &'a Key, view: KeyView) -> Self {
        let field = Option::<String>::as_deref;
        let dated_only = |value: &'a Option<String>| value.as_deref().filter(|_| view.dated);
        let nullable = |value: Option<&'a str>| (view.dated || value.is_some()).then_some(value);
        Self {
            api_key_id: field(&key.api_key_id),
            cloud: dated_only(&key.cloud),
            created_at: field(&key.created_at),
            created_by: field(&key.created_by),
            endpoint: dated_only(&key.endpoint),
            geography: dated_only(&key.geography),
            group_id: field(&key.group_id),
            last_used_at: nullable(field(&key.last_used_at)),
            masked_secret: field(&key.masked_secret),
            name: field(&key.name),
            secret: nullable(field(&key.secret).filter(|_| view.secret)),
            status: field(&key.status),
        }
    }
}

/// An entry of `listGroups`, with the fields that a client of the key listing needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupEntry<'a> {
    pub(crate) cluster_count: u32,
    pub(crate) created: &'a str,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) org_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, total: u32) -> serde_json::Value {
        let uri: Uri = format!("/p?{query}").parse().unwrap();
        let paging = Paging::from_query(&uri, View::from_query(&uri)).unwrap();
        let body = paging.render_page(
            0..total,
            total as usize,
            |n| n,
            TotalCount::Exact,
            "http://h/p",
        );
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn links_have_the_parameter_order_of_atlas() {
        let links = |query| page(query, 5)["links"].to_string();
        assert_eq!(
            links(""),
            r#"[{"href":"http://h/p?pageNum=1&itemsPerPage=100","rel":"self"}]"#
        );
        assert_eq!(
            links("itemsPerPage=2"),
            concat!(
                r#"[{"href":"http://h/p?pageNum=1&itemsPerPage=2","rel":"self"},"#,
                r#"{"href":"http://h/p?itemsPerPage=2&pageNum=2","rel":"next"}]"#
            )
        );
        assert_eq!(
            links("pretty=false&pageNum=2&itemsPerPage=2"),
            concat!(
                r#"[{"href":"http://h/p?itemsPerPage=2&pageNum=1&pretty=false","rel":"previous"},"#,
                r#"{"href":"http://h/p?pageNum=2&itemsPerPage=2&pretty=false","rel":"self"},"#,
                r#"{"href":"http://h/p?itemsPerPage=2&pageNum=3&pretty=false","rel":"next"}]"#
            )
        );
        // The last page, full and not full, and one past the end.
        for (query, total, last) in [
            ("itemsPerPage=2&pageNum=2", 4, "self"),
            ("itemsPerPage=2&pageNum=3", 5, "self"),
            ("itemsPerPage=2&pageNum=2147483647", 5, "self"),
        ] {
            let page = page(query, total);
            let links = page["links"].as_array().unwrap();
            assert_eq!(links.last().unwrap()["rel"], last, "{query}");
        }
    }

    #[test]
    fn page_past_the_end_is_empty() {
        assert_eq!(page("pageNum=2", 100)["results"].to_string(), "[]");
        assert_eq!(page("", 0)["totalCount"], 0);
    }

    #[test]
    fn invalid_parameters_are_refused() {
        for wrong in [
            "itemsPerPage=0",
            "itemsPerPage=501",
            "itemsPerPage=",
            "itemsPerPage=%2B5",
            "itemsPerPage=+5",
            "itemsPerPage=99999999999999999999",
            "pageNum=0",
            "pageNum=-1",
            "pageNum=1.0",
            "pageNum=2147483648",
            "pageNum=x",
            "envelope=1",
            "pretty=yes",
        ] {
            let uri: Uri = format!("/p?{wrong}").parse().unwrap();
            let error = Paging::from_query(&uri, View::default()).unwrap_err();
            let response = error.into_response(View::default());
            assert_eq!(response.status(), 400, "{wrong}");
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            let name = wrong.split('=').next().unwrap();
            let rule = match name {
                "itemsPerPage" => "must be a number from 1 to 500",
                "pageNum" => "must be a number from 1 to 2147483647",
                _ => "must be true or false",
            };
            assert_eq!(
                body["detail"],
                format!("Invalid query parameter {name}: {rule}.")
            );
        }
    }
}
