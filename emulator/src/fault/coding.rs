//! Content codings: right, wrong and explosive. All come whether the client asked for gzip or not.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::header::CONTENT_ENCODING;

use crate::render;

use super::argument::Argument;
use super::struck::Struck;
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    harmless("gzip", "the body is in gzip", |s| gzip(s, |packed| packed)),
    harmless(
        "gzip-two-members",
        "the body is in gzip, in two members as RFC 1952 allows",
        |s| {
            let half = s.response.body().len() / 2;
            let (first, second) = s.response.body().split_at_checked(half).unwrap_or_default();
            if let (Ok(first), Ok(second)) = (render::gzip(first), render::gzip(second)) {
                *s.response.body_mut() = [first, second].concat();
                s.set(CONTENT_ENCODING, "gzip");
            }
        },
    ),
    fault(
        "gzip-bomb",
        "the body is in gzip, with this many MiB of spaces before the page",
        |s| {
            let spaces = s.value;
            s.body(|page| bomb(spaces, &page));
            s.set(CONTENT_ENCODING, "gzip");
        },
    )
    .with(Argument::number(1024, 1, 16 * 1024)),
    fault(
        "gzip-corrupt",
        "the body is in gzip, with wrong bytes in the middle",
        |s| {
            gzip(s, |mut packed| {
                let middle = packed.len() / 2;
                for byte in packed.iter_mut().skip(middle).take(16) {
                    *byte = !*byte;
                }
                packed
            });
        },
    ),
    fault(
        "gzip-bad-checksum",
        "the body is in gzip, with a wrong checksum",
        |s| {
            gzip(s, |mut packed| {
                // RFC 1952 §2.3.1: the checksum and the length are the last eight bytes.
                if let Some(byte) = packed.iter_mut().nth_back(7) {
                    *byte = !*byte;
                }
                packed
            });
        },
    ),
    fault(
        "gzip-truncated",
        "the body is the first half of what it should be in gzip",
        |s| {
            gzip(s, |mut packed| {
                packed.truncate(packed.len() / 2);
                packed
            });
        },
    ),
    fault(
        "gzip-trailing-garbage",
        "the body is in gzip, with more behind it",
        |s| gzip(s, |packed| [packed, b"and by the way".to_vec()].concat()),
    ),
    harmless(
        "gzip-trailing-zeros",
        "the body is in gzip, padded with this many zero bytes",
        |s| {
            let zeros = vec![0; s.size()];
            gzip(s, |packed| [packed, zeros].concat());
        },
    )
    .with(Argument::number(512, 1, 1 << 20)),
    fault(
        "gzip-twice",
        "the body is in gzip in gzip, and says so",
        |s| {
            gzip(s, |packed| render::gzip(&packed).unwrap_or_default());
            s.set(CONTENT_ENCODING, "gzip, gzip");
        },
    ),
    fault(
        "gzip-label-only",
        "says gzip, but the body is not packed at all",
        |s| s.set(CONTENT_ENCODING, "gzip"),
    ),
    fault(
        "coding-br",
        "says br, which is not asked for, but the body is not packed at all",
        |s| s.set(CONTENT_ENCODING, "br"),
    ),
    fault(
        "coding-unknown",
        "says x-unknown, but the body is not packed at all",
        |s| s.set(CONTENT_ENCODING, "x-unknown"),
    ),
];

fn gzip(s: &mut Struck<'_>, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    // Writing to memory does not fail.
    if let Ok(packed) = render::gzip(s.response.body()) {
        *s.response.body_mut() = change(packed);
        s.set(CONTENT_ENCODING, "gzip");
    }
}

const MIB: usize = 1 << 20;

/// A gzip of `spaces` MiB of spaces and then the page: a thousandth of what it unpacks to.
///
/// One MiB is packed, and what came of that repeated: after a full flush a piece stands for itself
/// (RFC 1951 §3.2.4, and zlib's manual). So this takes no time, and no room but for the outcome.
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

/// Deflate without a frame, up to a flush or the end.
fn deflate(bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), false);
    // Bytes that cannot be packed take a little more room than they have.
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 100 + 1024);
    loop {
        let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(read..).unwrap_or_default();
        let written = out.len();
        match state.compress_vec(rest, &mut out, flush) {
            Ok(Status::Ok) if out.len() == out.capacity() && out.len() > written => {
                out.reserve(1024);
            }
            // It is done, or cannot get any further.
            _ => return out,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_bomb_is_a_gzip_like_any_other_and_small() {
        let page = b"{\"results\":[]}";
        let packed = bomb(3, page);
        let mut bytes = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 3 * MIB + page.len());
        assert!(bytes.ends_with(page) && bytes[..3 * MIB].iter().all(|b| *b == b' '));
        assert!(bomb(1024, page).len() < 2 * MIB);
    }
}
