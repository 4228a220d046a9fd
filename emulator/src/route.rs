//! Maps paths to routes.

use http::Method;

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
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [
        Self::Token,
        Self::Revoke,
        Self::ListGroupKeys,
        Self::ListOrgKeys,
        Self::ListGroups,
    ];

    /// Returns the index in [`Route::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
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
}

impl<'a> MatchedRoute<'a> {
    pub(crate) fn from_path(path: &'a str) -> Option<Self> {
        let id_of = |rest: &'a str| {
            rest.strip_suffix("/aiModelApiKeys")
                .filter(|id| !id.is_empty() && !id.contains('/'))
        };
        match path {
            "/api/oauth/token" => Some(Self::Token),
            "/api/oauth/revoke" => Some(Self::Revoke),
            "/api/atlas/v2/groups" => Some(Self::Groups),
            _ => {
                if let Some(rest) = path.strip_prefix("/api/atlas/v2/groups/") {
                    id_of(rest).map(|group_id| Self::GroupKeys { group_id })
                } else {
                    let rest = path.strip_prefix("/api/atlas/v2/orgs/")?;
                    id_of(rest).map(|org_id| Self::OrgKeys { org_id })
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
            Self::GroupKeys { .. } | Self::OrgKeys { .. } | Self::Groups => "GET, HEAD",
        }
    }
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
        for wrong in [
            "",
            "/",
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
    fn index_is_the_position_in_all() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route.index(), index);
        }
    }
}
