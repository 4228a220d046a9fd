//! Reads the body of a response: limits its size, and decompresses it.

use std::{fmt, io};

use atlas_model_keys_core::Limits;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::body_size::BodySizeEstimate;
use crate::deadline::Deadline;
use crate::gzip::{Gunzip, GzipError};
use crate::reading::{body_limit, is_gzip};

/// Reads the body of a response into memory: limits its size, decompresses gzip, and overwrites a body that is not
/// complete.
///
/// Bytes beyond the limit are dropped: one byte is kept beyond it, so that the core can tell that the body is too large.
/// The limit of a page is [`Limits::body_bytes`], after decompression. A page whose `Content-Length` is beyond it is not
/// read at all, because the core refuses it by its header. Any other response has the limit [`Limits::error_body_bytes`].
///
/// A body is decompressed if gzip is its single content coding. Then `Content-Encoding` and `Content-Length` are removed
/// from the head, because they no longer apply. Several members are one body, and zeros after a member are padding.
/// The body of a response without a success status may be corrupt or incomplete, because its status and headers are
/// useful without it: then what was decompressed is the body.
///
/// [`SendContext::body_reader`](crate::SendContext::body_reader) makes a reader. A transport whose HTTP library returns the
/// parts of a body takes them by [`push`](Self::push):
///
/// ```
/// # use atlas_model_keys_core::Limits;
/// # use atlas_model_keys_transport::{GzipError, SendContext};
/// fn body(
///     response: http::Response<impl Iterator<Item = Vec<u8>>>,
///     mut context: SendContext<'_>,
/// ) -> Result<http::Response<Vec<u8>>, GzipError> {
///     let (mut head, mut parts) = response.into_parts();
///     let mut reader = context.body_reader(head.status, &mut head.headers);
///     while !reader.is_full() && let Some(part) = parts.next() {
///         reader.push(&part)?;
///     }
///     Ok(http::Response::from_parts(head, reader.finish()?))
/// }
/// # let response = http::Response::new([b"[1, ".to_vec(), b"2]".to_vec()].into_iter());
/// # let (limits, time) = (Limits::default(), std::time::Duration::MAX);
/// # assert_eq!(body(response, SendContext::new(&limits, time, false)).unwrap().body(), b"[1, 2]");
/// ```
///
/// A transport that has the body as [`io::Read`] uses [`read_from`](Self::read_from):
///
/// ```
/// # use std::{fmt, io};
/// # use atlas_model_keys_core::Limits;
/// # use atlas_model_keys_transport::SendContext;
/// fn body(
///     response: http::Response<impl io::Read>,
///     mut context: SendContext<'_>,
/// ) -> io::Result<http::Response<Vec<u8>>> {
///     let (mut head, body) = response.into_parts();
///     let mut reader = context.body_reader(head.status, &mut head.headers);
///     reader.read_from(body)?;
///     Ok(http::Response::from_parts(head, reader.finish()?))
/// }
/// # let response = http::Response::new(&b"[1, 2]"[..]);
/// # let (limits, time) = (Limits::default(), std::time::Duration::MAX);
/// # assert_eq!(body(response, SendContext::new(&limits, time, false)).unwrap().body(), b"[1, 2]");
/// ```
#[must_use]
pub struct BodyReader<'a> {
    buffer: Buffer,
    gzip: Option<Gunzip>,
    /// Whether a body that cannot be decompressed is an error.
    is_success: bool,
    content_length: Option<u64>,
    estimate: Option<&'a BodySizeEstimate>,
    deadline: Option<Deadline>,
}

/// The number of compressed bytes that are read at once.
const PACKED: usize = 32 << 10;

/// The largest number of decompressed bytes at a time, and between two checks of the deadline.
const PART: usize = 1 << 20;

impl<'a> BodyReader<'a> {
    /// Starts to read the body of the response with this head into `buffer`, in place of its content.
    pub(crate) fn new(
        status: StatusCode,
        headers: &mut HeaderMap,
        buffer: Vec<u8>,
        limits: &Limits,
    ) -> Self {
        let content_length = content_length(headers);
        let most = body_limit(status, content_length, limits);
        let mut reader = Self::with_buffer(status, headers, Buffer::new(buffer, most));
        reader.content_length = content_length.filter(|_| reader.gzip.is_none());
        reader.estimate_by(&BodySizeEstimate::default());
        reader
    }

    /// Starts to read the body of the response with this head, which may hold a token. Its limit is
    /// [`Limits::error_body_bytes`].
    ///
    /// No copy is left behind in memory while it is read, unless it is decompressed: request it with
    /// `Accept-Encoding: identity`. The caller overwrites the memory of the library, and the body after its use.
    pub(crate) fn secret(status: StatusCode, headers: &mut HeaderMap, limits: &Limits) -> Self {
        let most = body_limit(status, content_length(headers), limits);
        let most = most.min(limits.error_body_bytes.saturating_add(1));
        Self::with_buffer(status, headers, Buffer::secret(most))
    }

    fn with_buffer(status: StatusCode, headers: &mut HeaderMap, buffer: Buffer) -> Self {
        let is_gzip = !buffer.is_full() && is_gzip(headers);
        if is_gzip {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Self {
            gzip: is_gzip.then(|| Gunzip::new(buffer.most)),
            buffer,
            is_success: status.is_success(),
            content_length: None,
            estimate: None,
            deadline: None,
        }
    }

    /// Estimates the length of the body by that of the last one, which saves copies while the buffer grows. The length is
    /// recorded for the next estimate, unless the body is secret.
    pub(crate) fn with_estimate(mut self, estimate: &'a BodySizeEstimate) -> Self {
        if !self.buffer.is_secret {
            self.estimate_by(estimate);
            self.estimate = Some(estimate);
        }
        self
    }

    /// Lets [`read_from`](Self::read_from) end at the deadline.
    pub(crate) fn with_deadline(mut self, deadline: &Deadline) -> Self {
        self.deadline = Some(deadline.clone());
        self
    }

    fn estimate_by(&mut self, estimate: &BodySizeEstimate) {
        self.buffer.expected = estimate.capacity(self.content_length);
    }

    /// Tells whether further bytes would be dropped, so that the rest of the body need not be read. A connection with
    /// unread bytes must not be used again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.is_full()
    }

    /// Takes the next part of the body.
    ///
    /// # Errors
    /// The body cannot be decompressed. A response without a success status causes no error.
    pub fn push(&mut self, part: &[u8]) -> Result<(), GzipError> {
        if self.gzip.is_some() {
            return self.unpack(part, |_| Ok(()));
        }
        self.buffer.extend(part);
        Ok(())
    }

    /// Reads the body to its end, until this is [full](Self::is_full), or until the deadline of the call. A body without
    /// compression is read straight into its place.
    ///
    /// The deadline is checked after each MiB of content: few compressed bytes can hold a thousand times as many, which takes
    /// time without another read. `body` itself must not wait longer than [`SendContext::remaining`](crate::SendContext).
    ///
    /// # Errors
    /// An error of `body` is returned unchanged, but after [`io::ErrorKind::Interrupted`] it reads again. At the deadline, the
    /// kind is [`io::ErrorKind::TimedOut`]. If the body cannot be decompressed, the error holds a [`GzipError`]; a response
    /// without a success status causes none.
    pub fn read_from(&mut self, body: impl io::Read) -> io::Result<()> {
        self.read_with(body, || {})
    }

    /// Reads the body like [`read_from`](Self::read_from), and calls `progress` each time that there is more of it.
    ///
    /// # Errors
    /// See [`read_from`](Self::read_from).
    pub fn read_with(
        &mut self,
        mut body: impl io::Read,
        mut progress: impl FnMut(),
    ) -> io::Result<()> {
        let deadline = self.deadline.clone();
        let mut next_check = PART;
        let mut progress = |length: usize| {
            progress();
            if length >= next_check {
                next_check = length.saturating_add(PART);
                if deadline.as_ref().is_some_and(|d| d.remaining().is_zero()) {
                    return Err(io::Error::from(io::ErrorKind::TimedOut));
                }
            }
            Ok(())
        };
        let mut packed = match self.gzip {
            Some(_) => vec![0; PACKED],
            None => Vec::new(),
        };
        while !self.is_full() {
            // `read_to_end` would clear the rest of the buffer before each of many small reads, which takes as long as
            // everything else.
            let into = match self.gzip {
                Some(_) => &mut packed,
                None => self.buffer.spare(),
            };
            match body.read(into) {
                Ok(0) => break,
                Ok(read) if self.gzip.is_some() => {
                    self.unpack(packed.get(..read).unwrap_or_default(), &mut progress)?;
                }
                Ok(read) => {
                    self.buffer.advance(read);
                    progress(self.buffer.filled)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the body.
    ///
    /// # Errors
    /// The compressed body is incomplete or corrupt. A body beyond the limit, or a response without a success status, causes
    /// no error.
    pub fn finish(mut self) -> Result<Vec<u8>, GzipError> {
        if let Some(gzip) = &self.gzip
            && self.is_success
            && !self.is_full()
        {
            gzip.finish()?;
        }
        let mut body = self.buffer.take();
        if let Some(estimate) = self.estimate {
            estimate.record(&mut body);
        }
        Ok(body)
    }

    fn unpack<E: From<GzipError>>(
        &mut self,
        mut packed: &[u8],
        mut progress: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(gzip) = &mut self.gzip
            && !self.buffer.is_full()
        {
            let mut room = self.buffer.spare();
            let size = room.len().min(PART);
            room = room.get_mut(..size).unwrap_or_default();
            match gzip.step(&mut packed, room) {
                Ok(0) if packed.is_empty() => break,
                Ok(0) => {}
                Ok(written) => {
                    self.buffer.advance(written);
                    progress(self.buffer.filled)?;
                    if packed.is_empty() && written < size {
                        break;
                    }
                }
                Err(error) if self.is_success => return Err(error.into()),
                Err(_) => self.buffer.most = self.buffer.filled,
            }
        }
        Ok(())
    }
}

/// Leaves out the body.
impl fmt::Debug for BodyReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader")
            .field("length", &self.buffer.filled)
            .field("limit", &self.buffer.most)
            .finish_non_exhaustive()
    }
}

/// Returns the length that the head promises.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// A buffer with a limit.
struct Buffer {
    /// The body, and then initialized memory. Overwritten if reading fails.
    bytes: Zeroizing<Vec<u8>>,
    /// The length of the body so far.
    filled: usize,
    /// The largest length of the body.
    most: usize,
    /// The length that the body will probably have, or 0.
    expected: usize,
    /// Whether the old memory is overwritten when the buffer grows.
    is_secret: bool,
}

/// The smallest growth of a buffer in bytes.
const MIN_GROWTH: usize = 16 << 10;

/// The initial capacity for a token response: the largest one that the default limits allow.
const TOKEN_RESPONSE: usize = 64 << 10;

impl Buffer {
    fn new(bytes: Vec<u8>, most: usize) -> Self {
        Self {
            bytes: Zeroizing::new(bytes),
            filled: 0,
            most,
            expected: 0,
            is_secret: false,
        }
    }

    fn secret(most: usize) -> Self {
        Self {
            expected: TOKEN_RESPONSE,
            is_secret: true,
            ..Self::new(Vec::new(), most)
        }
    }

    fn is_full(&self) -> bool {
        self.filled >= self.most
    }

    /// Returns initialized memory behind the body. It is not empty unless the buffer is full.
    fn spare(&mut self) -> &mut [u8] {
        let length = self.bytes.len();
        // The memory of an earlier body may be too short for this one.
        if self.filled >= length || (self.filled == 0 && length <= self.expected) {
            let length = self.grown(1);
            self.reserve(length);
            self.bytes.resize(length, 0);
        }
        let end = self.bytes.len().min(self.most);
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }

    /// Adds bytes that were written to the spare memory to the body.
    fn advance(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.bytes.len());
    }

    /// Appends bytes up to the limit.
    fn extend(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.filled);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.bytes.truncate(self.filled);
        if bytes.len() > self.bytes.capacity().saturating_sub(self.filled) {
            self.reserve(self.grown(bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
        self.filled = self.bytes.len();
    }

    /// Returns the length for this many more bytes, and for probable further ones.
    fn grown(&self, more: usize) -> usize {
        let growth = match self.filled {
            // One byte more than expected, to see the end of the body.
            0 if self.expected > 0 => self.expected.saturating_add(1),
            filled => (filled / 4).saturating_add(MIN_GROWTH),
        };
        let length = self.filled.saturating_add(growth.max(more));
        length.min(self.most)
    }

    /// Makes the capacity at least this length.
    fn reserve(&mut self, length: usize) {
        if self.is_secret && length > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(length);
            larger.extend_from_slice(&self.bytes);
            // The old memory is overwritten when it is dropped.
            self.bytes = Zeroizing::new(larger);
        }
        let more = length.saturating_sub(self.bytes.len());
        self.bytes.reserve_exact(more);
    }

    fn take(&mut self) -> Vec<u8> {
        self.bytes.truncate(self.filled);
        std::mem::take(&mut *self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, JumpingClock};
    use crate::failure::io_failure_kind;
    use atlas_model_keys_core::{Failure, FailureKind};
    use flate2::write::GzEncoder;
    use flate2::{Compression, Crc, GzBuilder};
    use http::response::Parts;
    use http::{HeaderValue, Response, StatusCode};
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;
    use std::time::Duration;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn head(status: u16, coding: &'static str) -> Parts {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).unwrap();
        if !coding.is_empty() {
            let coding = HeaderValue::from_static(coding);
            head.headers.insert(CONTENT_ENCODING, coding);
        }
        head
    }

    /// Returns limits by which this number of bytes of a body is kept.
    fn keeping(most: usize) -> Limits {
        let mut limits = Limits::default();
        limits.body_bytes = most - 1;
        limits.error_body_bytes = most - 1;
        limits
    }

    /// A body that arrives in these parts.
    struct Parted<'a>(VecDeque<&'a [u8]>);

    impl<'a> Parted<'a> {
        fn new(parts: &[&'a [u8]]) -> Self {
            Self(parts.iter().copied().collect())
        }
    }

    impl io::Read for Parted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            while let Some(part) = self.0.front_mut() {
                let length = part.read(into)?;
                if length > 0 {
                    return Ok(length);
                }
                self.0.pop_front();
            }
            Ok(0)
        }
    }

    fn gzip_error(error: &io::Error) -> GzipError {
        *error.get_ref().unwrap().downcast_ref().unwrap()
    }

    fn push(reader: &mut BodyReader<'_>, parts: &[&[u8]]) -> Result<(), GzipError> {
        for part in parts {
            if reader.is_full() {
                break;
            }
            reader.push(part)?;
        }
        Ok(())
    }

    fn read_from(reader: &mut BodyReader<'_>, parts: &[&[u8]]) -> Result<(), GzipError> {
        let mut body = Parted::new(parts);
        let read = reader.read_from(&mut body);
        read.map_err(|error| gzip_error(&error))?;
        // Another read adds nothing.
        let length = reader.buffer.filled;
        reader.read_from(&mut body).unwrap();
        assert_eq!(reader.buffer.filled, length);
        Ok(())
    }

    /// Reads a body by both interfaces, which return the same.
    fn read_as(
        status: u16,
        coding: &'static str,
        parts: &[&[u8]],
        most: usize,
    ) -> Result<Vec<u8>, GzipError> {
        let [pushed, read] = [push, read_from].map(|read| {
            let mut head = head(status, coding);
            let mut reader = BodyReader::new(
                head.status,
                &mut head.headers,
                b"old".to_vec(),
                &keeping(most),
            );
            let read = read(&mut reader, parts);
            let finished = reader.finish();
            // A caller that overlooks the first error gets it again.
            read.inspect_err(|error| assert_eq!(finished, Err(*error)))?;
            finished
        });
        assert_eq!(pushed, read);
        read
    }

    fn read(coding: &'static str, parts: &[&[u8]], most: usize) -> Result<Vec<u8>, GzipError> {
        read_as(200, coding, parts, most)
    }

    fn cut(body: &[u8], size: usize) -> Vec<&[u8]> {
        body.chunks(size).collect()
    }

    #[test]
    fn body_is_complete_wherever_its_parts_are_cut() {
        let text = b"a page of keys, again and again and again";
        let zipped = gzip(text);
        for at in 0..=zipped.len() {
            let (a, b) = zipped.split_at(at);
            assert_eq!(read("gzip", &[a, b], 1000).unwrap(), text, "{at}");
        }
        assert_eq!(read(" X-GZip", &[&zipped], 1000).unwrap(), text);
        assert_eq!(read("", &[b"a", b"", b"b"], 1000).unwrap(), b"ab");
        // Other codings were not requested: the core refuses the body.
        assert_eq!(read("br", &[b"xyz"], 1000).unwrap(), b"xyz");
        // Two members are one body (RFC 1952 §2.2).
        let twice = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(read("gzip", &[&twice], 1000).unwrap(), b"ab");
    }

    /// Returns up to 100,000 of four letters. Each word has 32 of them: proptest needs much longer to choose one by one.
    fn letters() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::collection::vec(any::<u64>(), 1000);
        (words, 0usize..32_000).prop_map(|(words, length)| {
            let letters = words
                .iter()
                .flat_map(|word| (0..64).step_by(2).map(move |bit| (word >> bit) & 3))
                .map(|letter| b"abcd"[usize::try_from(letter).unwrap()]);
            letters.take(length).collect()
        })
    }

    proptest! {
        #[test]
        fn any_body_is_complete_or_cut_at_the_limit(
            texts in prop::collection::vec(letters(), 1..4),
            level in 0u32..10,
            size in prop::sample::select(vec![1, 10, 1000, 16 << 10, usize::MAX]),
            most in prop::sample::select(vec![1, 1000, 1 << 16, 1 << 20]),
        ) {
            let mut zipped = Vec::new();
            for text in &texts {
                let mut encoder = GzEncoder::new(&mut zipped, Compression::new(level));
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap();
            }
            let text = texts.concat();
            let kept = &text[..text.len().min(most)];
            prop_assert!(read("gzip", &cut(&zipped, size), most).unwrap() == kept);
            prop_assert!(read("", &cut(&text, size), most).unwrap() == kept);
        }
    }

    #[test]
    fn zeros_after_a_member_are_padding() {
        for zeros in [0, 1, 2, 9, 10, 11, 18, 500, 512, 100_000] {
            let zeros = vec![0; zeros];
            let padded = [gzip(b"a"), zeros.clone(), gzip(b"b"), zeros.clone()].concat();
            let behind = [gzip(b"one, "), gzip(b"two"), zeros].concat();
            for size in [1, 7, 100, 1 << 20, usize::MAX] {
                assert_eq!(read("gzip", &cut(&padded, size), 1000).unwrap(), b"ab");
                assert_eq!(
                    read("gzip", &cut(&behind, size), 1000).unwrap(),
                    b"one, two"
                );
            }
        }
    }

    #[test]
    fn other_bytes_after_a_member_are_an_error() {
        for (rest, error) in [
            (&b"x"[..], GzipError::TrailingBytes),
            (b"\0x", GzipError::TrailingBytes),
            (b"\0\0x", GzipError::TrailingBytes),
            (b"and by the way", GzipError::TrailingBytes),
            (
                b"garbage that is longer than a head",
                GzipError::TrailingBytes,
            ),
            (b"\x1f", GzipError::Truncated),
            (b"\0\0\x1f\x8b", GzipError::Truncated),
            (&gzip(b"b")[..7], GzipError::Truncated),
            (b"\x1f is no header", GzipError::Corrupt),
        ] {
            for text in [&b"a"[..], b"a page of keys, again and again and again"] {
                let body = [&gzip(text), rest].concat();
                for size in [1, 1 << 20, usize::MAX] {
                    let outcome = read("gzip", &cut(&body, size), 1000);
                    assert_eq!(outcome, Err(error), "{rest:?}");
                }
            }
        }
    }

    #[test]
    fn endless_input_without_content_is_an_error() {
        for part in [vec![0; 1 << 16], gzip(b"").repeat(3000)] {
            let mut head = head(200, "gzip");
            let mut reader =
                BodyReader::new(head.status, &mut head.headers, Vec::new(), &keeping(1000));
            reader.push(&gzip(b"a")).unwrap();
            let ended = (0..100).find_map(|_| reader.push(&part).err());
            assert_eq!(ended, Some(GzipError::TooLong));

            let endless = [&gzip(b"a")[..], &part.repeat(100)].concat();
            for size in [1 << 10, usize::MAX] {
                let outcome = read("gzip", &cut(&endless, size), 1000);
                assert_eq!(outcome, Err(GzipError::TooLong));
            }
        }
    }

    #[test]
    fn truncated_or_corrupt_gzip_is_an_error() {
        let zipped = gzip(b"a page of keys, again and again and again");
        for end in 0..zipped.len() {
            for size in [1, 1 << 20] {
                let outcome = read("gzip", &cut(&zipped[..end], size), 1000);
                assert_eq!(outcome, Err(GzipError::Truncated), "{end}");
            }
        }
        let last = zipped.len() - 1;
        // The magic number, the method, a reserved flag, the data, the checksum, the length.
        for (at, bit) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 0x80),
            (10, 6),
            (last - 6, 1),
            (last, 1),
        ] {
            let mut corrupt = zipped.clone();
            corrupt[at] ^= bit;
            for size in [1, 1 << 20] {
                let outcome = read("gzip", &cut(&corrupt, size), 1000);
                assert_eq!(outcome, Err(GzipError::Corrupt), "{at}");
            }
        }
        for size in [1, 1 << 20] {
            let outcome = read("gzip", &cut(b"{\"results\":[]}", size), 1000);
            assert_eq!(outcome, Err(GzipError::Corrupt));
        }
    }

    #[test]
    fn fields_of_a_gzip_header_are_skipped() {
        let builder = GzBuilder::new().mtime(1).extra("extra").filename("name");
        let mut encoder = builder
            .comment("comment")
            .write(Vec::new(), Compression::default());
        encoder.write_all(b"text").unwrap();
        let plain = encoder.finish().unwrap();
        let end = 10 + 2 + "extra".len() + "name\0".len() + "comment\0".len();
        // flate2 writes no checksum of the header.
        let mut checked = plain.clone();
        checked[3] |= 1 << 1;
        let mut crc = Crc::new();
        crc.update(&checked[..end]);
        let sum = crc.sum().to_le_bytes();
        checked.splice(end..end, [sum[0], sum[1]]);
        for zipped in [&plain, &checked] {
            for size in 1..zipped.len() {
                assert_eq!(read("gzip", &cut(zipped, size), 1000).unwrap(), b"text");
            }
        }
        checked[end] ^= 1;
        assert_eq!(read("gzip", &[&checked], 1000), Err(GzipError::Corrupt));
    }

    #[test]
    fn output_is_cut_at_the_limit() {
        let bomb = gzip(&vec![b' '; 1 << 20]);
        for parts in [vec![&bomb[..]], cut(&bomb, 10)] {
            assert_eq!(read("gzip", &parts, 1000).unwrap(), vec![b' '; 1000]);
        }
        assert_eq!(read("", &[b"abc", b"def"], 4).unwrap(), b"abcd");
        assert_eq!(read("", &[b"abcd"], 4).unwrap(), b"abcd");
    }

    #[test]
    fn secret_body_of_any_size_is_complete() {
        for length in [0, 100, TOKEN_RESPONSE + 1, 3 * (TOKEN_RESPONSE + 1)] {
            let text = vec![b's'; length];
            for read in [push, read_from] {
                let mut head = head(200, "");
                let mut reader =
                    BodyReader::secret(head.status, &mut head.headers, &keeping(usize::MAX));
                read(&mut reader, &cut(&text, 1000)).unwrap();
                assert!(reader.finish().unwrap() == text);
            }
        }
    }

    #[test]
    fn secret_body_has_the_limit_of_an_error() {
        let mut limits = keeping(1000);
        limits.error_body_bytes = 9;
        for status in [200, 400] {
            let mut head = head(status, "");
            let mut reader = BodyReader::secret(head.status, &mut head.headers, &limits);
            reader.push(&[b's'; 20]).unwrap();
            assert_eq!(reader.finish().unwrap(), [b's'; 10]);
        }
    }

    #[test]
    fn error_status_keeps_what_was_decompressed() {
        let text = b"an error, again and again and again";
        let zipped = gzip(text);
        let behind = [&zipped[..], b"x"].concat();
        for size in [1, usize::MAX] {
            assert_eq!(
                read_as(500, "gzip", &cut(&behind, size), 1000).unwrap(),
                text
            );
            for end in 0..zipped.len() {
                let body = read_as(404, "gzip", &cut(&zipped[..end], size), 1000);
                assert!(text.starts_with(&body.unwrap()));
            }
            assert_eq!(read_as(500, "gzip", &cut(text, size), 1000).unwrap(), b"");
        }
    }

    #[test]
    fn connection_error_is_returned_unchanged() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let packed = gzip(b"a page of keys");
        for coding in ["", "gzip"] {
            for part in [&packed[..0], &packed[..12], &packed] {
                let mut head = head(200, coding);
                let mut reader =
                    BodyReader::new(head.status, &mut head.headers, Vec::new(), &keeping(1000));
                let body = Parted::new(&cut(part, 5)).chain(Broken);
                let error = reader.read_from(body).unwrap_err();
                assert!(error.get_ref().is_none(), "{error:?}");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        }
    }

    #[test]
    fn progress_and_deadline_are_observed_for_each_mebibyte() {
        let text = vec![b' '; 10 << 20];
        let zipped = gzip(&text);
        for (coding, body) in [("", &text), ("gzip", &zipped)] {
            for (capacity, is_late) in [(0, false), (10 << 20, false), (0, true)] {
                let mut head = head(200, coding);
                let limits = Limits::default();
                let jumping = JumpingClock::default();
                let clock: Arc<dyn Clock> = Arc::new(jumping.clone());
                let deadline = Deadline::after(Duration::from_secs(1), &clock, None, None);
                // Reused memory.
                let reader =
                    BodyReader::new(head.status, &mut head.headers, vec![0; capacity], &limits);
                let mut reader = reader.with_deadline(&deadline);
                let mut calls = 0;
                let body = Parted::new(&cut(body, 1 << 20));
                let outcome = reader.read_with(body, || {
                    calls += 1;
                    if is_late {
                        jumping.advance(Duration::from_secs(1));
                    }
                });
                if is_late {
                    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
                    assert!(reader.buffer.filled <= 2 << 20);
                } else {
                    assert!(calls >= 10, "{calls}");
                    assert_eq!(reader.finish().unwrap().len(), 10 << 20);
                }
            }
        }
    }

    #[test]
    fn interrupted_read_is_repeated() {
        struct Interrupted(u8);
        impl io::Read for Interrupted {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 | 3 => Err(io::ErrorKind::Interrupted.into()),
                    2 => b"a".as_slice().read(into),
                    _ => Ok(0),
                }
            }
        }
        let mut head = head(200, "");
        let mut reader = BodyReader::new(head.status, &mut head.headers, Vec::new(), &keeping(10));
        reader.read_from(Interrupted(0)).unwrap();
        assert_eq!(reader.finish().unwrap(), b"a");
    }

    #[test]
    fn fields_about_the_coding_are_removed_if_it_is_decompressed() {
        for (coding, length, limit, is_removed, is_full) in [
            ("gzip", "20", 1000, true, false),
            ("br", "20", 1000, false, false),
            // The core refuses the page by its length.
            ("gzip", "2000", 1000, false, true),
        ] {
            for is_secret in [false, true] {
                let mut head = head(200, coding);
                head.headers.insert(CONTENT_LENGTH, length.parse().unwrap());
                let reader = match is_secret {
                    false => {
                        BodyReader::new(head.status, &mut head.headers, Vec::new(), &keeping(limit))
                    }
                    true => BodyReader::secret(head.status, &mut head.headers, &keeping(limit)),
                };
                assert_eq!(reader.is_full(), is_full);
                assert_eq!(head.headers.is_empty(), is_removed);
            }
        }
    }

    #[test]
    fn buffer_has_the_size_of_content_length_or_of_the_last_body() {
        let estimate = BodySizeEstimate::default();
        for (length, size, capacity) in [
            (Some(5000), 5000, 5001),
            // A sixteenth more than the last one, and one byte to see the end.
            (None, 5000, 5313),
        ] {
            for read in [push, read_from] {
                let mut head = head(200, "");
                if let Some(length) = length {
                    head.headers
                        .insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
                let limits = Limits::default();
                let mut reader =
                    BodyReader::new(head.status, &mut head.headers, b"old".to_vec(), &limits);
                reader = reader.with_estimate(&estimate);
                read(&mut reader, &cut(&vec![b'a'; size], 100)).unwrap();
                let body = reader.finish().unwrap();
                assert_eq!((body.len(), body.capacity()), (size, capacity));
            }
        }
    }

    #[test]
    fn only_endless_gzip_is_a_permanent_failure() {
        for (error, kind) in [
            (GzipError::Corrupt, FailureKind::Lost),
            (GzipError::Truncated, FailureKind::Lost),
            (GzipError::TrailingBytes, FailureKind::Lost),
            (GzipError::TooLong, FailureKind::Permanent),
        ] {
            assert_eq!(Failure::from(error).kind(), kind);
            assert_eq!(io_failure_kind(&error.into()), kind);
        }
    }
}
