//! `TryFrom<&str>` for the types that have `FromStr`.

use crate::{
    ApiKeyId, ApiVersion, BaseUrl, GroupId, InvalidValue, ItemsPerPage, OrgId, PageNum, Proxy,
    UnixTime,
};

/// Implements `TryFrom<&str>` by `FromStr`.
macro_rules! try_from_str {
    ($($type:ty),*) => {
        $(
            impl TryFrom<&str> for $type {
                type Error = InvalidValue;
                fn try_from(text: &str) -> Result<Self, InvalidValue> {
                    text.parse()
                }
            }
        )*
    };
}

try_from_str!(
    ApiKeyId,
    ApiVersion,
    BaseUrl,
    GroupId,
    ItemsPerPage,
    OrgId,
    PageNum,
    Proxy,
    UnixTime
);
