//! A body as it arrives: decompressed, and bounded.

use std::io::{self, BufWriter, Write};

use atlas_model_keys_transport::is_gzip;
use flate2::write::GzDecoder;
use http::HeaderMap;
use zeroize::Zeroize as _;

/// Takes the parts of a body and makes the whole of it.
pub(crate) enum Sink {
    Plain(BoundedBuffer),
    /// With a buffer before it: the decoder clears its own with each write, and parts may be small.
    Gzip(Box<BufWriter<Gzip>>),
}

/// Compressed bytes that are collected before they are unpacked.
const COLLECTED: usize = 16 << 10;

impl Sink {
    /// Decompresses if the one and only coding is gzip, the only one that is asked for. What is beyond the
    /// room is left out.
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

    /// Whether what is still to come would be left out.
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
        // Once it is full it refuses the rest.
        written.or_else(|error| if self.is_full() { Ok(()) } else { Err(error) })
    }

    /// The body. An error if it ended before its compression did.
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

/// Unpacks gzip: its members, one after the other (RFC 1952 §2.2). Zeros between and after them are padding,
/// as gzip itself takes them; anything else that is no member is an error.
pub(crate) struct Gzip {
    decoder: GzDecoder<BoundedBuffer>,
    /// Whether a member has ended, and no other one has begun.
    is_between: bool,
    /// How many bytes may come.
    left: usize,
}

impl Gzip {
    fn new(bounded: BoundedBuffer) -> Self {
        // More bytes than they become, only members and blocks with nothing in them have, or padding.
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

/// How much longer than its text a body may be in gzip: what cannot be made smaller grows by 5 bytes
/// for each 16 KiB or more, and some servers fill up what they send to a block's size.
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

/// A buffer that takes so much and not more.
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

    /// One that leaves no copy of what is in it when it grows.
    pub(crate) fn secret(most: usize) -> Self {
        Self {
            // A token's response never has more, unless the limits were raised.
            buffer: Vec::with_capacity(most.min(SECRET)),
            most,
            is_secret: true,
        }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.most
    }

    /// Makes room for so many bytes more. What `Vec` does leaves the old bytes in memory that is given back.
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

/// Bytes of a response with a token for which there is room from the beginning: more than the default of
/// `Limits::error_body_bytes`.
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
    fn what_comes_out_is_whole_wherever_it_was_cut() {
        let text = b"a page of keys, again and again and again";
        let zipped = gzip(text);
        for at in 0..=zipped.len() {
            let (a, b) = zipped.split_at(at);
            assert_eq!(read("gzip", &[a, b], 1000).unwrap(), text, "{at}");
        }
        assert_eq!(read(" X-GZip", &[&zipped], 1000).unwrap(), text);
        assert_eq!(read("", &[b"a", b"", b"b"], 1000).unwrap(), b"ab");
        // Not asked for: left to the core, which will not make sense of it.
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
    fn anything_else_after_a_member_is_an_error() {
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
    fn what_never_becomes_text_ends_all_the_same() {
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
    fn a_secret_body_of_any_size_is_whole() {
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
    fn what_is_cut_off_or_corrupt_is_an_error() {
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
    fn no_more_comes_out_than_the_bound() {
        let bomb = gzip(&vec![b' '; 1 << 20]);
        for parts in [vec![&bomb[..]], bomb.chunks(10).collect()] {
            assert_eq!(read("gzip", &parts, 1000).unwrap(), vec![b' '; 1000]);
        }
        assert_eq!(read("", &[b"abc", b"def"], 4).unwrap(), b"abcd");
        assert_eq!(read("", &[b"abcd"], 4).unwrap(), b"abcd");
    }
}
