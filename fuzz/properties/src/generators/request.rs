//! Parameters, base URLs and requests to encode.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::GroupId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::generators::bytes as input;

/// Methods of requests.
pub const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
    Method::PUT,
    Method::PATCH,
];

#[derive(Debug)]
pub(crate) struct Input<'a> {
    /// Selects the target of a proxy: the first byte of the group's id.
    pub(crate) selector: u8,
    pub(crate) group: GroupId,
    /// The flags: `itemsPerPage`, `pageNum`, `envelope` and its value, `pretty` and its value, a dated version.
    pub(crate) flags: u8,
    pub(crate) items: u16,
    pub(crate) page: u32,
    pub(crate) base: String,
    pub(crate) text: String,
    pub(crate) request: Option<Request<&'a [u8]>>,
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let id: [u8; 12] = u.arbitrary()?;
        let selector = id[0];
        let digit = |n: u8| char::from_digit(n.into(), 16).expect("four bits");
        let id: String = id
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        Ok(Self {
            selector,
            group: GroupId::new(&id).expect("24 hexadecimal digits"),
            flags: input::byte(u)?,
            items: u.arbitrary()?,
            page: u.arbitrary()?,
            base: input::text(input::short(u)?),
            text: input::text(input::short(u)?),
            request: read_request(u)?,
        })
    }
}

/// Reads a request, or `None` if its URI is not valid.
fn read_request<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<Option<Request<&'a [u8]>>> {
    let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
    let uri = Uri::try_from(input::short(u)?);
    let mut headers = HeaderMap::new();
    for _ in 0..input::byte(u)? % 6 {
        let name = HeaderName::from_bytes(input::short(u)?);
        let value = HeaderValue::from_bytes(input::short(u)?);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let mut request = Request::new(input::rest(u)?);
    let Ok(uri) = uri else { return Ok(None) };
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    *request.headers_mut() = headers;
    Ok(Some(request))
}
