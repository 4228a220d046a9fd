//! The operations of exchanges: their requests, versions and scopes.

use std::sync::{LazyLock, OnceLock};

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Error, GroupId, GroupsRequest, KeyRequest, Limits, ListRequest,
    Listing, Moment, Operation, OrgId, OrgKeyRequest, OrgListRequest, Paged, Reply, Session, Step,
};

use http::Uri;

use crate::generators::session::{BASES, ENVELOPE, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP};

/// The result of a call of the session.
pub(super) type StepResult = Result<Step<Vec<u8>>, Error>;

/// A request of any operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyRequest {
    /// The flags that select it.
    flags: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    List(ListRequest),
    OrgList(OrgListRequest),
    Key(KeyRequest),
    OrgKey(OrgKeyRequest),
    Groups(GroupsRequest),
}

/// Evaluates an expression with the request, whatever its operation is.
macro_rules! with {
    ($any:expr, $request:ident => $value:expr) => {
        match &$any.kind {
            Kind::List($request) => $value,
            Kind::OrgList($request) => $value,
            Kind::Key($request) => $value,
            Kind::OrgKey($request) => $value,
            Kind::Groups($request) => $value,
        }
    };
}

/// The versions of each operation, in the order in which a session requests them, and whether they can be pinned.
const VERSIONS: [(&[ApiVersion], bool); OPERATIONS.len()] = [
    (&[ApiVersion::PREVIEW, ApiVersion::V2025_03_12], true),
    (&[ApiVersion::V2025_03_12], false),
    (&[ApiVersion::PREVIEW, ApiVersion::V2025_03_12], true),
    (&[ApiVersion::V2025_03_12], false),
    (&[ApiVersion::V2023_01_01, ApiVersion::V2025_03_12], false),
];

/// The ids of groups and of organizations: equal ids must not be confused.
const IDS: [&str; 2] = ["0123456789abcdef01234567", "fedcba9876543210fedcba98"];

/// Returns the group that the flags of a request select.
pub(super) fn group(flags: u8) -> GroupId {
    static GROUPS: LazyLock<[GroupId; 2]> =
        LazyLock::new(|| IDS.map(|id| GroupId::new(id).expect("24 hexadecimal digits")));
    GROUPS[usize::from(flags & OTHER_GROUP != 0)]
}

/// Returns the organization that the flags of a request select.
fn org(flags: u8) -> OrgId {
    static ORGS: LazyLock<[OrgId; 2]> =
        LazyLock::new(|| IDS.map(|id| OrgId::new(id).expect("24 hexadecimal digits")));
    ORGS[usize::from(flags & OTHER_GROUP != 0)]
}

/// Returns the index of the operation that the flags of a request select, in [`OPERATIONS`].
fn operation(flags: u8) -> usize {
    usize::from(flags >> OPERATION_SHIFT) % OPERATIONS.len()
}

impl AnyRequest {
    /// Creates the request that the flags select.
    pub(super) fn new(flags: u8) -> Self {
        let group = group(flags);
        let org = org(flags);
        static KEY: LazyLock<ApiKeyId> = LazyLock::new(|| {
            ApiKeyId::new("a86r5kwrfsk5r5ku5tgvhmpj").expect("letters and digits")
        });
        let key = *KEY;
        // An explicit `false` means the same as no value.
        let is_enveloped = flags & ENVELOPE != 0;
        let is_set = is_enveloped || flags & OTHER_GROUP != 0;
        let envelope = is_set.then_some(is_enveloped);
        macro_rules! request {
            ($request:expr) => {
                match envelope {
                    Some(envelope) => $request.with_envelope(envelope),
                    None => $request,
                }
            };
        }
        let kind = match operation(flags) {
            0 => Kind::List(request!(ListRequest::new(group))),
            1 => Kind::OrgList(request!(OrgListRequest::new(org))),
            2 => Kind::Key(request!(KeyRequest::new(group, key))),
            3 => Kind::OrgKey(request!(OrgKeyRequest::new(org, key))),
            _ => Kind::Groups(request!(GroupsRequest::new())),
        };
        Self { flags, kind }
    }

    /// Returns the index of the operation in [`OPERATIONS`].
    pub(super) fn operation(&self) -> usize {
        operation(self.flags)
    }

    /// Returns a number for the requests that share a rate limit: those of a group, of an organization, or of neither.
    pub(super) fn scope(&self) -> u8 {
        let is_other = u8::from(self.flags & OTHER_GROUP != 0);
        match self.kind {
            Kind::List(_) | Kind::Key(_) => is_other,
            Kind::OrgList(_) | Kind::OrgKey(_) => 2 + is_other,
            Kind::Groups(_) => 4,
        }
    }

    pub(super) fn is_enveloped(&self) -> bool {
        self.flags & ENVELOPE != 0
    }

    pub(super) fn start(&self, session: &mut Session, at: Moment) -> StepResult {
        with!(self, request => session.start(request, at))
    }

    /// Returns the URI of the request. Those of the few bases are computed once.
    pub(super) fn uri(&self, base: &BaseUrl) -> &'static Uri {
        static URIS: [[OnceLock<Uri>; 1 << 8]; BASES.len()] =
            [const { [const { OnceLock::new() }; 1 << 8] }; BASES.len()];
        let index = BASES.iter().position(|known| *known == base.as_str());
        let known = &URIS[index.expect("a known base URL")];
        known[usize::from(self.flags)].get_or_init(|| {
            let http = with!(self, request => request.to_http(base, &ApiVersion::PREVIEW));
            http.uri().clone()
        })
    }

    /// Returns the body of a usual response.
    pub(super) fn usual_body(&self) -> &'static [u8] {
        match self.kind {
            Kind::Key(_) | Kind::OrgKey(_) => br#"{"name":"a"}"#,
            _ => br#"{"results":[]}"#,
        }
    }

    /// Reads the reply, and checks that a listing requests the next page or ends.
    pub(super) fn read(&self, reply: Reply<Vec<u8>>, limits: &Limits) -> Result<(), Error> {
        match &self.kind {
            Kind::List(list) => read_page(list, reply, limits),
            Kind::OrgList(list) => read_page(list, reply, limits),
            Kind::Groups(list) => read_page(list, reply, limits),
            Kind::Key(_) => KeyRequest::read(reply).map(drop),
            Kind::OrgKey(_) => OrgKeyRequest::read(reply).map(drop),
        }
    }
}

fn read_page<O: Paged>(list: &O, reply: Reply<Vec<u8>>, limits: &Limits) -> Result<(), Error> {
    let mut undecoded = Listing::new(*list, limits);
    undecoded.advance_undecoded(&reply);
    let page = O::read(reply)?;
    let mut listing = Listing::new(*list, limits);
    listing.advance(&page);
    let next = listing
        .request()
        .expect("the limit allows more than one page");
    assert!(next.is_none() || next == list.next_page());
    assert_eq!(undecoded.request().ok().flatten(), next);
    Ok(())
}

/// Returns the versions of an operation, in the order in which a session requests them.
pub(super) fn versions(operation: usize, pinned: &Option<ApiVersion>) -> &[ApiVersion] {
    match (VERSIONS[operation], pinned) {
        ((_, true), Some(pinned)) => std::slice::from_ref(pinned),
        ((versions, _), _) => versions,
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
