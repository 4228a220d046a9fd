//! Faults of content codings: valid and invalid ones, and a gzip bomb. They ignore `Accept-Encoding`.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::header::CONTENT_ENCODING;

use crate::render;

use super::context::FaultContext;
use super::row::faults;

faults![
    FAULTS,
    Coding,
    harmless(GZIP, "gzip", "the body is compressed with gzip", |cx| {
        gzip(cx, |compressed| compressed);
    }),
    harmless(
        GZIP_TWO_MEMBERS,
        "gzip-two-members",
        "the body is compressed with gzip, in two members as RFC 1952 allows",
        |cx| {
            let half = cx.response.body().len() / 2;
            let (first, second) = cx
                .response
                .body()
                .split_at_checked(half)
                .unwrap_or_default();
            if let (Ok(first), Ok(second)) = (render::gzip(first), render::gzip(second)) {
                *cx.response.body_mut() = [first, second].concat();
                cx.set_header(CONTENT_ENCODING, "gzip");
            }
        },
    ),
    fault(
        GZIP_BOMB,
        "gzip-bomb",
        "the body is compressed with gzip, with this many MiB of spaces before the page",
        |cx| {
            let spaces = cx.value;
            cx.edit_body(|page| bomb(spaces, &page));
            cx.set_header(CONTENT_ENCODING, "gzip");
        },
    )
    .with(number(1024, 1, 16 * 1024)),
    fault(
        GZIP_CORRUPT,
        "gzip-corrupt",
        "the body is compressed with gzip, with wrong bytes in the middle",
        |cx| {
            gzip(cx, |mut compressed| {
                let middle = compressed.len() / 2;
                for byte in compressed.iter_mut().skip(middle).take(16) {
                    *byte = !*byte;
                }
                compressed
            });
        },
    ),
    fault(
        GZIP_BAD_CHECKSUM,
        "gzip-bad-checksum",
        "the body is compressed with gzip, with a wrong checksum",
        |cx| {
            gzip(cx, |mut compressed| {
                // RFC 1952 §2.3.1: the checksum and the length are the last eight bytes.
                if let Some(byte) = compressed.iter_mut().nth_back(7) {
                    *byte = !*byte;
                }
                compressed
            });
        },
    ),
    fault(
        GZIP_TRUNCATED,
        "gzip-truncated",
        "the body is only the first half of the gzip data",
        |cx| {
            gzip(cx, |mut compressed| {
                compressed.truncate(compressed.len() / 2);
                compressed
            });
        },
    ),
    fault(
        GZIP_TRAILING_GARBAGE,
        "gzip-trailing-garbage",
        "the body is compressed with gzip, and other bytes follow the gzip data",
        |cx| {
            gzip(cx, |compressed| {
                [compressed, b"and by the way".to_vec()].concat()
            });
        },
    ),
    harmless(
        GZIP_TRAILING_ZEROS,
        "gzip-trailing-zeros",
        "the body is compressed with gzip and padded with this many zero bytes",
        |cx| {
            let zeros = vec![0; cx.size()];
            gzip(cx, |compressed| [compressed, zeros].concat());
        },
    )
    .with(number(512, 1, 1 << 20)),
    fault(
        GZIP_TWICE,
        "gzip-twice",
        "the body is compressed with gzip twice, and Content-Encoding says so",
        |cx| {
            gzip(cx, |compressed| {
                render::gzip(&compressed).unwrap_or_default()
            });
            cx.set_header(CONTENT_ENCODING, "gzip, gzip");
        },
    ),
    fault(
        GZIP_LABEL_ONLY,
        "gzip-label-only",
        "Content-Encoding is gzip, but the body is not compressed",
        |cx| cx.set_header(CONTENT_ENCODING, "gzip"),
    ),
    fault(
        CODING_BR,
        "coding-br",
        "Content-Encoding is br, which was not requested, but the body is not compressed",
        |cx| cx.set_header(CONTENT_ENCODING, "br"),
    ),
    fault(
        CODING_UNKNOWN,
        "coding-unknown",
        "Content-Encoding is x-unknown, but the body is not compressed",
        |cx| cx.set_header(CONTENT_ENCODING, "x-unknown"),
    ),
];

fn gzip(cx: &mut FaultContext<'_>, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    // Writing to memory cannot fail.
    if let Ok(compressed) = render::gzip(cx.response.body()) {
        *cx.response.body_mut() = change(compressed);
        cx.set_header(CONTENT_ENCODING, "gzip");
    }
}

const MIB: usize = 1 << 20;

/// Returns gzip data that decompresses to `spaces` MiB of spaces and then the page. Its size is a
/// thousandth of that.
///
/// One MiB is compressed, and the result is repeated: after a full flush, a piece does not depend on
/// earlier data (RFC 1951 §3.2.4, and zlib's manual). So this is fast, and needs only the memory for
/// the result.
fn bomb(spaces: u64, page: &[u8]) -> Vec<u8> {
    let mebibyte = vec![b' '; MIB];
    let piece = deflate(&mebibyte, FlushCompress::Full);
    let last = deflate(page, FlushCompress::Finish);
    let mut one = Crc::new();
    one.update(&mebibyte);
    let mut sum = Crc::new();
    // RFC 1952 §2.3: deflate, no flags, no time, unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..spaces {
        out.extend_from_slice(&piece);
        sum.combine(&one);
    }
    out.extend_from_slice(&last);
    sum.update(page);
    out.extend_from_slice(&sum.sum().to_le_bytes());
    out.extend_from_slice(&sum.amount().to_le_bytes());
    out
}

/// Compresses to raw deflate data, up to a flush or the end.
fn deflate(bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), false);
    // Incompressible bytes become slightly longer.
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 100 + 1024);
    loop {
        let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(read..).unwrap_or_default();
        let written = out.len();
        match state.compress_vec(rest, &mut out, flush) {
            Ok(Status::Ok) if out.len() == out.capacity() && out.len() > written => {
                out.reserve(1024);
            }
            // The compression is complete, or cannot continue.
            _ => return out,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn bomb_is_valid_gzip_and_small() {
        let page = b"{\"results\":[]}";
        let compressed = bomb(3, page);
        let mut bytes = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(compressed.as_slice());
        decoder.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 3 * MIB + page.len());
        assert!(bytes.ends_with(page) && bytes[..3 * MIB].iter().all(|b| *b == b' '));
        assert!(bomb(1024, page).len() < 2 * MIB);
    }
}
