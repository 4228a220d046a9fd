//! Decompresses gzip. Unlike ureq's own decompression, it accepts zeros after the last member as padding, which some senders
//! write, and does not report errors of the connection as errors of the compression.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Reads the content of all members in sequence (RFC 1952 §2.2). Other bytes than zeros after the last member are an
/// error.
pub(crate) struct Gunzip<R> {
    /// `None` at the end.
    decoder: Option<GzDecoder<Packed<R>>>,
}

type Packed<R> = BufReader<UreqErrors<R>>;

impl<R: Read> Gunzip<R> {
    pub(crate) fn new(body: R) -> Self {
        let packed = BufReader::with_capacity(32 << 10, UreqErrors(body));
        Self {
            decoder: Some(GzDecoder::new(packed)),
        }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(into).map_err(decompression_error)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            self.decoder = match self.decoder.take() {
                Some(decoder) => next_member(decoder.into_inner()).map_err(decompression_error)?,
                None => None,
            };
        }
        Ok(0)
    }
}

fn next_member<R: Read>(mut packed: Packed<R>) -> io::Result<Option<GzDecoder<Packed<R>>>> {
    let mut is_padded = false;
    loop {
        let bytes = packed.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if bytes.is_empty() {
            return Ok(None);
        }
        if zeros == 0 && is_padded {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "bytes behind the padding",
            ));
        }
        if zeros == 0 {
            return Ok(Some(GzDecoder::new(packed)));
        }
        packed.consume(zeros);
        is_padded = true;
    }
}

/// Converts an error of the decoder to ureq's error for it. An error of ureq is returned unchanged.
fn decompression_error(error: io::Error) -> io::Error {
    if error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<ureq::Error>)
    {
        return error;
    }
    ureq::Error::Decompress("gzip", error).into_io()
}

/// Converts every error of the inner reader to an error of ureq, so that the errors of the decoder can be told apart.
struct UreqErrors<R>(R);

impl<R: Read> Read for UreqErrors<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0
            .read(into)
            .map_err(|error| io::Error::other(ureq::Error::from(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns the bytes in parts of this size.
    struct Parts<'a>(&'a [u8], usize);

    impl Read for Parts<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = into.len().min(self.1);
            self.0.read(into.get_mut(..size).unwrap_or_default())
        }
    }

    fn unpacked(packed: &[u8], size: usize) -> Result<Vec<u8>, ureq::Error> {
        let mut body = Vec::new();
        let mut gunzip = Gunzip::new(Parts(packed, size));
        gunzip.read_to_end(&mut body).map_err(ureq::Error::from)?;
        // Another read returns nothing, too.
        assert_eq!(gunzip.read(&mut [0]).unwrap(), 0);
        Ok(body)
    }

    #[test]
    fn members_are_joined_and_zeros_after_the_last_one_are_skipped() {
        for zeros in [0, 1, 2, 9, 10, 11, 18, 512, 100_000] {
            let packed = [gzip(b"one, "), gzip(b"two"), vec![0; zeros]].concat();
            for size in [1, 7, 1 << 20] {
                assert_eq!(unpacked(&packed, size).unwrap(), b"one, two", "{zeros}");
            }
        }
    }

    #[test]
    fn truncated_corrupt_or_continued_gzip_is_a_decompression_error() {
        let packed = gzip(b"a page of keys, again and again and again");
        let mut wrong: Vec<Vec<u8>> = (0..packed.len())
            .map(|length| packed.iter().take(length).copied().collect())
            .collect();
        let mut checksum = packed.clone();
        *checksum.iter_mut().rev().nth(6).unwrap() ^= 1;
        wrong.push(checksum);
        for behind in [
            &b"x"[..],
            b"and by the way",
            b"\0\0x",
            b"\0\0\x1f\x8b",
            b"\x1f",
        ] {
            wrong.push([&packed, behind].concat());
        }
        wrong.push(b"{\"results\":[]}".to_vec());
        for wrong in wrong {
            for size in [1, 1 << 20] {
                let error = unpacked(&wrong, size).unwrap_err();
                assert!(matches!(error, ureq::Error::Decompress(..)), "{error:?}");
            }
        }
    }

    #[test]
    fn connection_error_is_returned_unchanged() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let packed = gzip(b"a page of keys");
        for part in [&packed[..0], &packed[..12], &packed] {
            let mut gunzip = Gunzip::new(Parts(part, 5).chain(Broken));
            let error = ureq::Error::from(gunzip.read_to_end(&mut Vec::new()).unwrap_err());
            let ureq::Error::Io(error) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
