//! The operations of exchanges: their requests, versions and scopes.

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Error, GroupId, GroupsRequest, KeyRequest, Limits, ListRequest,
    Listing, Moment, Operation, OrgId, OrgKeyRequest, OrgListRequest, Paged, Reply, Session, Step,
};

use crate::generators::session::{ENVELOPE, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP};

/// The result of a call of the session.
pub(super) type StepResult = Result<Step<Vec<u8>>, Error>;

/// A request of any operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyRequest {
    List(ListRequest),
    OrgList(OrgListRequest),
    Key(KeyRequest),
    OrgKey(OrgKeyRequest),
    Groups(GroupsRequest),
}

/// Evaluates an expression with the request, whatever its operation is.
macro_rules! with {
    ($any:expr, $request:ident => $value:expr) => {
        match $any {
            AnyRequest::List($request) => $value,
            AnyRequest::OrgList($request) => $value,
            AnyRequest::Key($request) => $value,
            AnyRequest::OrgKey($request) => $value,
            AnyRequest::Groups($request) => $value,
        }
    };
}

/// The requests that share a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Group(GroupId),
    Org(OrgId),
    General,
}

/// The versions of each operation, in the order in which a session requests them, and whether they can be pinned.
const VERSIONS: [(&[ApiVersion], bool); OPERATIONS.len()] = [
    (&[ApiVersion::PREVIEW, ApiVersion::V2025_03_12], true),
    (&[ApiVersion::V2025_03_12], false),
    (&[ApiVersion::PREVIEW, ApiVersion::V2025_03_12], true),
    (&[ApiVersion::V2025_03_12], false),
    (&[ApiVersion::V2023_01_01, ApiVersion::V2025_03_12], false),
];

/// Returns the group that the flags of a request select.
pub(super) fn group(flags: u8) -> GroupId {
    GroupId::new(id(flags)).expect("24 hexadecimal digits")
}

/// Returns the id of a group and of an organization: equal ids must not be confused.
fn id(flags: u8) -> &'static str {
    match flags & OTHER_GROUP {
        0 => "0123456789abcdef01234567",
        _ => "fedcba9876543210fedcba98",
    }
}

impl AnyRequest {
    /// Creates the request that the flags select.
    pub(super) fn new(flags: u8) -> Self {
        let group = group(flags);
        let org = OrgId::new(id(flags)).expect("24 hexadecimal digits");
        let key = ApiKeyId::new("a86r5kwrfsk5r5ku5tgvhmpj").expect("letters and digits");
        let is_enveloped = flags & ENVELOPE != 0;
        macro_rules! request {
            ($request:expr) => {
                match is_enveloped {
                    true => $request.with_envelope(true),
                    false => $request,
                }
            };
        }
        match usize::from(flags >> OPERATION_SHIFT) % OPERATIONS.len() {
            0 => Self::List(request!(ListRequest::new(group))),
            1 => Self::OrgList(request!(OrgListRequest::new(org))),
            2 => Self::Key(request!(KeyRequest::new(group, key))),
            3 => Self::OrgKey(request!(OrgKeyRequest::new(org, key))),
            _ => Self::Groups(request!(GroupsRequest::new())),
        }
    }

    /// Returns the index of the operation in [`OPERATIONS`].
    pub(super) fn operation(&self) -> usize {
        match self {
            Self::List(_) => 0,
            Self::OrgList(_) => 1,
            Self::Key(_) => 2,
            Self::OrgKey(_) => 3,
            Self::Groups(_) => 4,
        }
    }

    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::List(list) => Scope::Group(list.group()),
            Self::Key(key) => Scope::Group(key.group()),
            Self::OrgList(list) => Scope::Org(list.org()),
            Self::OrgKey(key) => Scope::Org(key.org()),
            Self::Groups(_) => Scope::General,
        }
    }

    pub(super) fn is_enveloped(&self) -> bool {
        with!(self, request => request.is_enveloped())
    }

    /// Returns the versions that the session may request, in order.
    pub(super) fn versions(&self, pinned: Option<ApiVersion>) -> Vec<ApiVersion> {
        versions(self.operation(), pinned)
    }

    pub(super) fn start(&self, session: &mut Session, at: Moment) -> StepResult {
        with!(self, request => session.start(request, at))
    }

    /// Returns the URI of the request.
    pub(super) fn uri(&self, base: &BaseUrl) -> String {
        let http = with!(self, request => request.to_http(base, &ApiVersion::PREVIEW));
        http.uri().to_string()
    }

    /// Returns the body of a usual response.
    pub(super) fn usual_body(&self) -> &'static [u8] {
        match self {
            Self::Key(_) | Self::OrgKey(_) => br#"{"name":"a"}"#,
            _ => br#"{"results":[]}"#,
        }
    }

    /// Reads the reply, and checks that a listing requests the next page or ends.
    pub(super) fn read(&self, reply: Reply<Vec<u8>>, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::List(list) => read_page(list, reply, limits),
            Self::OrgList(list) => read_page(list, reply, limits),
            Self::Groups(list) => read_page(list, reply, limits),
            Self::Key(_) => KeyRequest::read(reply).map(drop),
            Self::OrgKey(_) => OrgKeyRequest::read(reply).map(drop),
        }
    }
}

fn read_page<O: Paged>(list: &O, reply: Reply<Vec<u8>>, limits: &Limits) -> Result<(), Error> {
    let page = O::read(reply)?;
    let mut listing = Listing::new(*list, limits);
    listing.advance(&page);
    let next = listing
        .request()
        .expect("the limit allows more than one page");
    assert!(next.is_none() || next == list.next_page());
    Ok(())
}

fn versions(operation: usize, pinned: Option<ApiVersion>) -> Vec<ApiVersion> {
    let (versions, can_pin) = VERSIONS[operation];
    match pinned.filter(|_| can_pin) {
        Some(pinned) => vec![pinned],
        None => versions.to_vec(),
    }
}

/// Returns the version that a session requests for each operation.
pub(super) fn current_versions(session: &Session) -> [ApiVersion; OPERATIONS.len()] {
    [
        session.version::<ListRequest>(),
        session.version::<OrgListRequest>(),
        session.version::<KeyRequest>(),
        session.version::<OrgKeyRequest>(),
        session.version::<GroupsRequest>(),
    ]
}

/// Returns the version that a new session requests for each operation.
pub(super) fn first_versions(pinned: Option<ApiVersion>) -> [ApiVersion; OPERATIONS.len()] {
    std::array::from_fn(|operation| versions(operation, pinned)[0])
}
