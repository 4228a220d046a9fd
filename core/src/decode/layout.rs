//! The documented fields of a page, and their nesting.

/// The form of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A page of keys.
    Keys,
    /// One key, at the top or under an envelope's `content`.
    Key,
    /// A page of groups.
    Groups,
}

/// The highest limit of nesting. `serde_json` itself refuses 128 levels.
pub(super) const MAX_NESTING: u8 = 100;

/// The number of objects and arrays around a page's fields. It is one: the page.
pub(super) const PAGE_DEPTH: u8 = 1;
/// The number of objects and arrays around the fields of a key or group: page, array and entry.
pub(super) const KEY_DEPTH: u8 = 3;
/// The number of objects and arrays around a link's fields: page, array and link.
pub(super) const LINK_DEPTH: u8 = 3;

/// A documented field of a page. `status` marks an envelope, and `error` an error object.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum PageField {
    Error,
    Links,
    Results,
    Status,
    TotalCount,
}

impl PageField {
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"error" => Self::Error,
            b"links" => Self::Links,
            b"results" => Self::Results,
            b"status" => Self::Status,
            b"totalCount" => Self::TotalCount,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Links => "links",
            Self::Results => "results",
            Self::Status => "status",
            Self::TotalCount => "totalCount",
        }
    }
}
