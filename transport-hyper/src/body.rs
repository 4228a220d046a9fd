//! Collects a body: decompresses it, and limits its size.

use std::io::{self, BufWriter, Write};

use atlas_model_keys_transport::is_gzip;
use flate2::write::GzDecoder;
use http::HeaderMap;
use zeroize::Zeroize as _;

/// Takes the parts of a body and returns the whole of it.
pub(crate) enum Sink {
    Plain(BoundedBuffer),
    /// The decoder clears its buffer with each write, so small parts are collected before it.
    Gzip(Box<BufWriter<Gzip>>),
}

/// The number of compressed bytes that are collected before they are decompressed.
const COLLECTED: usize = 16 << 10;

impl Sink {
    /// Makes a sink that decompresses if gzip is the single content coding. Bytes beyond the limit are dropped.
    pub(crate) fn new(headers: &HeaderMap, bounded: BoundedBuffer) -> Self {
        if is_gzip(headers) {
            let gzip = Gzip::new(bounded);
            return Self::Gzip(Box::new(BufWriter::with_capacity(COLLECTED, gzip)));
        }
        Self::Plain(bounded)
    }

    pub(crate) fn decodes(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    /// Tells whether the limit is reached, so that further bytes would be dropped.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Plain(bounded) => bounded.is_full(),
            Self::Gzip(gzip) => gzip.get_ref().decoder.get_ref().is_full(),
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let written = match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(gzip) => gzip.write_all(data),
        };
        // A full buffer refuses further bytes.
        written.or_else(|error| if self.is_full() { Ok(()) } else { Err(error) })
    }

    /// Returns the body, or an error if the compressed data is incomplete.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bounded) => Ok(bounded.buffer),
            Self::Gzip(collected) => {
                let (mut gzip, rest) = collected.into_parts();
                let finished = gzip
                    .write_all(&rest.unwrap_or_default())
                    .and_then(|()| gzip.finish());
                let bounded = std::mem::take(gzip.decoder.get_mut());
                if !bounded.is_full() {
                    finished?;
                }
                Ok(bounded.buffer)
            }
        }
    }
}

/// Decompresses all members of gzip in sequence (RFC 1952 §2.2). Zeros between and after members are padding, as for the
/// program gzip. Other bytes outside of members are an error.
pub(crate) struct Gzip {
    decoder: GzDecoder<BoundedBuffer>,
    /// Whether a member has ended and no other one has begun.
    is_between: bool,
    /// The number of compressed bytes that may still arrive.
    left: usize,
}

impl Gzip {
    fn new(bounded: BoundedBuffer) -> Self {
        // Only empty members, empty blocks and padding are much larger than their content.
        let left = bounded.most.saturating_add(PADDING);
        Self {
            decoder: GzDecoder::new(bounded),
            is_between: false,
            left,
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.is_between {
            return Ok(());
        }
        self.decoder.try_finish()
    }
}

/// The number of bytes by which a body in gzip may be longer than its content. Incompressible data grows by 5 bytes for
/// each 16 KiB or more, and some servers pad to the size of a block.
const PADDING: usize = 1 << 20;

impl Write for Gzip {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.left {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the body in gzip is longer than its text could be",
            ));
        }
        let mut taken = 0;
        if !self.is_between {
            taken = self.decoder.write(data)?;
            if taken == 0 && !data.is_empty() {
                self.decoder.try_finish()?;
                self.is_between = true;
            }
        }
        if self.is_between {
            taken = data.iter().take_while(|byte| **byte == 0).count();
            if taken == 0 && !data.is_empty() {
                let bounded = std::mem::take(self.decoder.get_mut());
                self.decoder = GzDecoder::new(bounded);
                self.is_between = false;
                taken = self.decoder.write(data)?;
            }
        }
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.decoder.flush()
    }
}

/// A buffer with a limit.
#[derive(Default)]
pub(crate) struct BoundedBuffer {
    buffer: Vec<u8>,
    most: usize,
    is_secret: bool,
}

impl BoundedBuffer {
    pub(crate) fn new(mut buffer: Vec<u8>, most: usize) -> Self {
        buffer.clear();
        Self {
            buffer,
            most,
            is_secret: false,
        }
    }

    /// Makes a buffer that leaves no copy of its content behind when it grows.
    pub(crate) fn secret(most: usize) -> Self {
        Self {
            // A token response is never larger, unless the limits were raised.
            buffer: Vec::with_capacity(most.min(SECRET)),
            most,
            is_secret: true,
        }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.most
    }

    /// Reserves this many more bytes. `Vec` would free the old memory without overwriting it.
    fn grow_and_erase(&mut self, more: usize) {
        let needed = self.buffer.len().saturating_add(more);
        if needed > self.buffer.capacity() {
            let twice = self.buffer.capacity().saturating_mul(2);
            let mut larger = Vec::with_capacity(needed.max(twice));
            larger.extend_from_slice(&self.buffer);
            self.buffer.zeroize();
            self.buffer = larger;
        }
    }
}

/// The initial capacity for a token response in bytes: one more than the default of `Limits::error_body_bytes`.
const SECRET: usize = (64 << 10) + 1;

impl Write for BoundedBuffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.most.saturating_sub(self.buffer.len());
        if room == 0 && !data.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = data.get(..room).unwrap_or(data);
        if self.is_secret {
            self.grow_and_erase(taken.len());
        }
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use http::header::CONTENT_ENCODING;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn read(coding: &'static str, parts: &[&[u8]], most: usize) -> io::Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        if !coding.is_empty() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let bounded = BoundedBuffer::new(b"old".to_vec(), most);
        let mut sink = Sink::new(&headers, bounded);
        for part in parts {
            if sink.is_full() {
                break;
            }
            sink.write(part)?;
        }
        sink.finish()
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

    #[test]
    fn zeros_after_a_member_are_padding() {
        for zeros in [0, 1, 500, 100_000] {
            let zeros = vec![0; zeros];
            let padded = [gzip(b"a"), zeros.clone(), gzip(b"b"), zeros].concat();
            for size in [1, 100, usize::MAX] {
                let parts: Vec<_> = padded.chunks(size).collect();
                assert_eq!(read("gzip", &parts, 1000).unwrap(), b"ab");
            }
        }
    }

    #[test]
    fn other_bytes_after_a_member_are_an_error() {
        for rest in [
            &b"x"[..],
            b"\0x",
            b"garbage that is longer than a head",
            &gzip(b"b")[..7],
        ] {
            let body = [&gzip(b"a"), rest].concat();
            for size in [1, usize::MAX] {
                let parts: Vec<_> = body.chunks(size).collect();
                assert!(read("gzip", &parts, 1000).is_err(), "{rest:?}");
            }
        }
    }

    #[test]
    fn endless_input_without_content_is_an_error() {
        for part in [vec![0; 1 << 16], gzip(b"").repeat(3000)] {
            let headers: HeaderMap = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]
                .into_iter()
                .collect();
            let mut sink = Sink::new(&headers, BoundedBuffer::new(Vec::new(), 1000));
            sink.write(&gzip(b"a")).unwrap();
            let ended = (0..100).find(|_| sink.write(&part).is_err());
            assert!(ended.is_some());
        }
    }

    #[test]
    fn secret_body_of_any_size_is_complete() {
        for length in [0, 100, SECRET, 3 * SECRET] {
            let mut bounded = BoundedBuffer::secret(usize::MAX);
            let text = vec![b's'; length];
            for part in text.chunks(1000) {
                bounded.write_all(part).unwrap();
            }
            assert!(bounded.buffer == text);
        }
    }

    #[test]
    fn truncated_or_corrupt_gzip_is_an_error() {
        let zipped = gzip(b"a page of keys, again and again and again");
        for end in 1..zipped.len() {
            assert!(read("gzip", &[&zipped[..end]], 1000).is_err(), "{end}");
        }
        let mut corrupt = zipped.clone();
        let last = corrupt.len() - 1;
        corrupt[last - 6] ^= 1; // The checksum.
        assert!(read("gzip", &[&corrupt], 1000).is_err());
        assert!(read("gzip", &[b"{\"results\":[]}"], 1000).is_err());
    }

    #[test]
    fn output_is_cut_at_the_limit() {
        let bomb = gzip(&vec![b' '; 1 << 20]);
        for parts in [vec![&bomb[..]], bomb.chunks(10).collect()] {
            assert_eq!(read("gzip", &parts, 1000).unwrap(), vec![b' '; 1000]);
        }
        assert_eq!(read("", &[b"abc", b"def"], 4).unwrap(), b"abcd");
        assert_eq!(read("", &[b"abcd"], 4).unwrap(), b"abcd");
    }
}
