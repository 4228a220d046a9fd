//! Maps paths to routes.

use std::borrow::Cow;

use http::Method;
use serde::{Serialize, Serializer};

use crate::query;

/// A method and a path that the emulator supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// `POST /api/oauth/token`
    Token,
    /// `POST /api/oauth/revoke`
    Revoke,
    /// `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys`
    ListGroupKeys,
    /// `GET /api/atlas/v2/orgs/{orgId}/aiModelApiKeys`
    ListOrgKeys,
    /// `GET /api/atlas/v2/groups`
    ListGroups,
    /// `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys/{apiKeyId}`
    GetGroupKey,
    /// `GET /api/atlas/v2/orgs/{orgId}/aiModelApiKeys/{apiKeyId}`
    GetOrgKey,
}

impl Route {
    pub(crate) const ALL: [Self; 7] = [
        Self::Token,
        Self::Revoke,
        Self::ListGroupKeys,
        Self::ListOrgKeys,
        Self::ListGroups,
        Self::GetGroupKey,
        Self::GetOrgKey,
    ];

    /// Returns all routes.
    ///
    /// ```
    /// use atlas_model_keys_emulator::Route;
    /// assert!(Route::all().any(|route| route.as_str() == "listGroupKeys"));
    /// ```
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    /// Returns the name in JSON, which is that of the variant in `camelCase`: `token`, `listGroupKeys` …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::ListGroupKeys => "listGroupKeys",
            Self::ListOrgKeys => "listOrgKeys",
            Self::ListGroups => "listGroups",
            Self::GetGroupKey => "getGroupKey",
            Self::GetOrgKey => "getOrgKey",
        }
    }

    /// Returns the index in [`Route::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A route with the parameters of a request's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchedRoute<'a> {
    Token,
    Revoke,
    GroupKeys { group_id: &'a str },
    OrgKeys { org_id: &'a str },
    Groups,
    GroupKey { group_id: &'a str, key_id: &'a str },
    OrgKey { org_id: &'a str, key_id: &'a str },
}

impl<'a> MatchedRoute<'a> {
    pub(crate) fn from_path(path: &'a str) -> Option<Self> {
        // The id of a group or organization, and that of a key.
        let ids_of = |rest: &'a str| {
            let is_id = |id: &str| !id.is_empty() && !id.contains('/');
            let (id, rest) = rest.split_once("/aiModelApiKeys")?;
            let key_id = match rest {
                "" => None,
                rest => Some(rest.strip_prefix('/').filter(|id| is_id(id))?),
            };
            is_id(id).then_some((id, key_id))
        };
        match path {
            "/api/oauth/token" => Some(Self::Token),
            "/api/oauth/revoke" => Some(Self::Revoke),
            "/api/atlas/v2/groups" => Some(Self::Groups),
            _ => {
                if let Some(rest) = path.strip_prefix("/api/atlas/v2/groups/") {
                    ids_of(rest).map(|(group_id, key_id)| match key_id {
                        Some(key_id) => Self::GroupKey { group_id, key_id },
                        None => Self::GroupKeys { group_id },
                    })
                } else {
                    let rest = path.strip_prefix("/api/atlas/v2/orgs/")?;
                    ids_of(rest).map(|(org_id, key_id)| match key_id {
                        Some(key_id) => Self::OrgKey { org_id, key_id },
                        None => Self::OrgKeys { org_id },
                    })
                }
            }
        }
    }

    pub(crate) fn route(self) -> Route {
        match self {
            Self::Token => Route::Token,
            Self::Revoke => Route::Revoke,
            Self::GroupKeys { .. } => Route::ListGroupKeys,
            Self::OrgKeys { .. } => Route::ListOrgKeys,
            Self::Groups => Route::ListGroups,
            Self::GroupKey { .. } => Route::GetGroupKey,
            Self::OrgKey { .. } => Route::GetOrgKey,
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        self.allowed()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }

    /// Returns the allowed methods in the format of the header `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Token | Self::Revoke => "POST",
            Self::GroupKeys { .. }
            | Self::OrgKeys { .. }
            | Self::Groups
            | Self::GroupKey { .. }
            | Self::OrgKey { .. } => "GET, HEAD",
        }
    }
}

/// Returns the path with its percent-encoded unreserved characters decoded: both forms name the same resource
/// (RFC 3986 §6.2.2.2). Other encodings stay unchanged.
pub(crate) fn normalized(path: &str) -> Cow<'_, str> {
    let Some((start, encoded)) = path.split_once('%') else {
        return path.into();
    };
    let mut decoded = start.to_owned();
    for part in encoded.split('%') {
        let is_unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        match query::hex_byte(part.as_bytes()).filter(is_unreserved) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    decoded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_paths_are_routes() {
        let keys = MatchedRoute::from_path("/api/atlas/v2/groups/x/aiModelApiKeys");
        assert_eq!(keys, Some(MatchedRoute::GroupKeys { group_id: "x" }));
        let keys = MatchedRoute::from_path("/api/atlas/v2/orgs/x/aiModelApiKeys");
        assert_eq!(keys, Some(MatchedRoute::OrgKeys { org_id: "x" }));
        assert_eq!(
            MatchedRoute::from_path("/api/atlas/v2/groups"),
            Some(MatchedRoute::Groups)
        );
        let key = MatchedRoute::from_path("/api/atlas/v2/groups/x/aiModelApiKeys/y");
        let (group_id, key_id) = ("x", "y");
        assert_eq!(key, Some(MatchedRoute::GroupKey { group_id, key_id }));
        let key = MatchedRoute::from_path("/api/atlas/v2/orgs/x/aiModelApiKeys/y");
        let (org_id, key_id) = ("x", "y");
        assert_eq!(key, Some(MatchedRoute::OrgKey { org_id, key_id }));
        for wrong in [
            "",
            "/",
            "/api/atlas/v2/groups/x/aiModelApiKeysy",
            "/api/atlas/v2/groups/x/aiModelApiKeys/y/",
            "/api/atlas/v2/groups/x/aiModelApiKeys/y/z",
            "/api/atlas/v2/groups//aiModelApiKeys/y",
            "/api/atlas/v2/orgs/x/aiModelApiKeys/",
            "/api/atlas/v2/groups/",
            "/api/atlas/v2/groups//aiModelApiKeys",
            "/api/atlas/v2/groups/x/y/aiModelApiKeys",
            "/api/atlas/v2/groups/x/aiModelApiKeys/",
            "//api/atlas/v2/groups",
            "/api/oauth/tokens",
        ] {
            assert_eq!(MatchedRoute::from_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_unreserved_characters_are_decoded() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/%67roups/%7e%7E", "/groups/~~"),
            ("%41", "A"),
            ("/a%2Fb%20%25%C3%A9", "/a%2Fb%20%25%C3%A9"),
            ("/%2%41%zz%%4", "/%2A%zz%%4"),
            // Decoded once.
            ("/%2541", "/%2541"),
        ] {
            assert_eq!(normalized(path), expected);
        }
    }

    #[test]
    fn index_is_the_position_in_all() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route.index(), index);
        }
    }
}
