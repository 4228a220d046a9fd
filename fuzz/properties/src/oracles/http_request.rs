//! The grammar of requests in HTTP/1.x (RFC 9112), for a server that refuses every framing that two parsers could interpret
//! differently.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// The largest head, body and line of a chunk, in bytes, and the most fields, of the emulator's server.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
pub(crate) const MAX_FIELDS: usize = 100;
const MAX_BODY: usize = 1024 * 1024;

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) is_1_1: bool,
    pub(crate) headers: HeaderMap,
    /// Whether the head is as in the grammar: each line ends with CRLF, and one space separates the parts of the first one.
    /// A server may accept or refuse another head.
    pub(crate) is_strict: bool,
}

/// How the body of a request is framed, or the status of the refusal.
pub(crate) type Framing = Result<Option<usize>, u16>;

impl Head {
    /// Parses the head at the start, or returns `None` if no server may accept it, or if it is not complete.
    ///
    /// A line may end with LF alone, and empty lines before the first one are skipped (RFC 9112 §2.2).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut length = 0;
        let mut is_strict = true;
        let mut line = || {
            let rest = &bytes[length..];
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            length += end + 1;
            let line = &rest[..end];
            let stripped = line.strip_suffix(b"\r");
            is_strict &= stripped.is_some();
            Some(stripped.unwrap_or(line))
        };
        let mut first = line()?;
        let mut skipped = false;
        while first.is_empty() {
            first = line()?;
            skipped = true;
        }
        let mut parts = first.split(|byte| *byte == b' ');
        let mut part = || parts.find(|part| !part.is_empty());
        let (method, target, version) = (part()?, part()?, part()?);
        let has_more = part().is_some();
        let is_exact = [method, target, version].join(&b' ') == first;
        let is_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return None,
        };
        let mut headers = HeaderMap::new();
        loop {
            let field = line()?;
            if field.is_empty() {
                break;
            }
            let colon = field.iter().position(|byte| *byte == b':')?;
            // No space may be before the colon, and none at the start of the line (RFC 9112 §5.1, §5.2).
            let name = HeaderName::from_bytes(&field[..colon]).ok()?;
            let value = HeaderValue::from_bytes(trim(&field[colon + 1..])).ok()?;
            headers.append(name, value);
        }
        (!has_more).then_some(())?;
        let is_visible = target.iter().all(u8::is_ascii_graphic);
        Some(Self {
            method: Method::from_bytes(method).ok()?,
            target: Uri::try_from(target).ok()?,
            is_1_1,
            headers,
            is_strict: is_strict && is_exact && !skipped && is_visible,
            length,
        })
    }

    fn values(&self, name: &str) -> Vec<&[u8]> {
        let values = self.headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    }

    /// Returns the status with which the request must be refused, or the framing of its body (RFC 9112 §6): its length, or
    /// `None` for chunks.
    pub(crate) fn framing(&self) -> Framing {
        let hosts = self.values("host").len();
        // RFC 9112 §3.2.
        if hosts > 1 || hosts == 0 && self.is_1_1 {
            return Err(400);
        }
        let framing = match (
            self.values("transfer-encoding").as_slice(),
            self.values("content-length").as_slice(),
        ) {
            ([], []) => Some(0),
            ([], [length]) => {
                if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                    return Err(400);
                }
                let length = std::str::from_utf8(length)
                    .ok()
                    .and_then(|text| text.parse().ok());
                Some(length.filter(|length| *length <= MAX_BODY).ok_or(413u16)?)
            }
            // RFC 9112 §6.1: a client of HTTP/1.0 may not know chunks.
            ([coding], []) if self.is_1_1 => match coding.eq_ignore_ascii_case(b"chunked") {
                true => None,
                false => return Err(501),
            },
            _ => return Err(400),
        };
        match self.values("expect").as_slice() {
            [first, ..] if self.is_1_1 && !first.eq_ignore_ascii_case(b"100-continue") => Err(417),
            _ => Ok(framing),
        }
    }

    /// Returns whether another request may follow (RFC 9112 §9.3).
    pub(crate) fn keeps_alive(&self) -> bool {
        let has = |option: &str| {
            let values = self.headers.get_all("connection").iter();
            values.filter_map(|value| value.to_str().ok()).any(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(option))
            })
        };
        if self.is_1_1 {
            !has("close")
        } else {
            has("keep-alive")
        }
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.is_1_1 && self.headers.contains_key("expect")
    }
}

/// A chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    pub(crate) body: Vec<u8>,
    pub(crate) length: usize,
    /// Whether extensions and trailers are there, about whose content this parser says little.
    pub(crate) is_plain: bool,
}

impl Chunks {
    /// Parses a chunked body (RFC 9112 §7.1), or returns `None` if no server may accept it, or if it is not complete.
    ///
    /// The line of a size begins with a digit and has no control characters, so that no parser finds another end of the line.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut body = Vec::new();
        let mut rest = bytes;
        let mut is_plain = true;
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
            let (line, after) = (&rest[..end], &rest[end + 2..]);
            let digits = line
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            let extension = &line[digits..];
            is_plain &= extension.is_empty() && line.len() <= 16;
            let is_valid = matches!(trim(extension).first(), None | Some(b';'))
                && !extension
                    .iter()
                    .any(|byte| byte.is_ascii_control() && *byte != b'\t');
            let size = std::str::from_utf8(&line[..digits]).ok()?;
            let size = usize::from_str_radix(size, 16).ok().filter(|_| is_valid)?;
            if size == 0 {
                rest = after;
                break;
            }
            (size <= MAX_BODY - body.len() && size <= after.len()).then_some(())?;
            let (chunk, after) = after.split_at(size);
            body.extend(chunk);
            rest = after.strip_prefix(b"\r\n")?;
        }
        // Trailers are fields.
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            match line {
                b"" | b"\r" => break,
                _ => is_plain = false,
            }
        }
        Some(Self {
            body,
            length: bytes.len() - rest.len(),
            is_plain,
        })
    }
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
