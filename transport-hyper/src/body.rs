//! A body as it arrives: decompressed, and bounded.

use std::io::{self, BufWriter, Write};

use flate2::write::MultiGzDecoder;
use http::HeaderValue;
use http::header::GetAll;

/// Takes the parts of a body and makes the whole of it.
pub(crate) enum Sink {
    Plain(Bounded),
    /// With a buffer before it: the decoder clears its own with each write, and parts may be small.
    Gzip(Box<BufWriter<MultiGzDecoder<Bounded>>>),
}

/// Compressed bytes that are collected before they are unpacked.
const COLLECTED: usize = 16 << 10;

impl Sink {
    /// Decompresses if the one and only coding is gzip, the only one that is asked for. `most` is what comes
    /// out at most; the rest is left out.
    pub(crate) fn new(codings: &GetAll<'_, HeaderValue>, buffer: Vec<u8>, most: usize) -> Self {
        let bounded = Bounded::new(buffer, most);
        let mut codings = codings.iter();
        let is_gzip = |value: &HeaderValue| {
            let value = value.as_bytes().trim_ascii();
            // RFC 9110 §8.4.1.3.
            value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip")
        };
        match (codings.next(), codings.next()) {
            (Some(coding), None) if is_gzip(coding) => {
                let decoder = MultiGzDecoder::new(bounded);
                Self::Gzip(Box::new(BufWriter::with_capacity(COLLECTED, decoder)))
            }
            _ => Self::Plain(bounded),
        }
    }

    pub(crate) fn decodes(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    /// Whether what is still to come would be left out.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Plain(bounded) => bounded.is_full(),
            Self::Gzip(decoder) => decoder.get_ref().get_ref().is_full(),
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let written = match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        };
        // Once it is full it refuses the rest.
        written.or_else(|error| if self.is_full() { Ok(()) } else { Err(error) })
    }

    /// The body. An error if it ended before its compression did.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bounded) => Ok(bounded.buffer),
            Self::Gzip(collected) => {
                let (mut decoder, rest) = collected.into_parts();
                let finished = decoder
                    .write_all(&rest.unwrap_or_default())
                    .and_then(|()| decoder.try_finish());
                let bounded = std::mem::take(decoder.get_mut());
                if !bounded.is_full() {
                    finished?;
                }
                Ok(bounded.buffer)
            }
        }
    }
}

/// A buffer that takes so much and not more.
#[derive(Default)]
pub(crate) struct Bounded {
    buffer: Vec<u8>,
    most: usize,
}

impl Bounded {
    fn new(mut buffer: Vec<u8>, most: usize) -> Self {
        buffer.clear();
        Self { buffer, most }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.most
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.most.saturating_sub(self.buffer.len());
        if room == 0 && !data.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = data.get(..room).unwrap_or(data);
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
    use http::HeaderMap;
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
        let mut sink = Sink::new(&headers.get_all(CONTENT_ENCODING), b"old".to_vec(), most);
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
