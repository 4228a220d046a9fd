//! Decompresses gzip (RFC 1952), one step at a time, straight into the memory of the caller.

use std::fmt;
use std::io;

use atlas_model_keys_core::{Failure, FailureKind};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// A body in gzip that cannot be decompressed.
///
/// It converts to a [`Failure`], and to an [`io::Error`] for code that reads by [`io::Read`].
/// [`io_failure_kind`](crate::io_failure_kind) finds it in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GzipError {
    /// A header, the compressed data, a checksum or a length is wrong.
    Corrupt,
    /// The body ends within a member, or is empty.
    Truncated,
    /// Bytes follow a member that are neither another member nor zeros.
    TrailingBytes,
    /// The compressed body is longer than a body within the limit can be: by empty members or padding, which hold no
    /// content and could arrive endlessly.
    TooLong,
}

impl GzipError {
    /// Returns [`FailureKind::Permanent`] for a body that is too long. Any other body was damaged on its way:
    /// [`FailureKind::Lost`].
    #[must_use]
    pub fn failure_kind(self) -> FailureKind {
        match self {
            Self::TooLong => FailureKind::Permanent,
            Self::Corrupt | Self::Truncated | Self::TrailingBytes => FailureKind::Lost,
        }
    }
}

impl fmt::Display for GzipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "the body is no valid gzip, although its Content-Encoding says so",
            Self::Truncated => "the body in gzip is incomplete",
            Self::TrailingBytes => "other bytes follow the body in gzip",
            Self::TooLong => "the body in gzip is longer than its text could be",
        })
    }
}

impl std::error::Error for GzipError {}

impl From<GzipError> for Failure {
    fn from(error: GzipError) -> Self {
        Self::new(error.failure_kind(), error)
    }
}

impl From<GzipError> for io::Error {
    fn from(error: GzipError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decompresses all members in sequence as one body (RFC 1952 §2.2). Zeros between and after members are padding, which
/// some senders write. Other bytes outside of members are an error.
pub(crate) struct Gunzip {
    inflate: Decompress,
    /// The checksum of the header, and then of the content.
    crc: Crc,
    part: Part,
    flags: u8,
    /// The bytes that have arrived of a field of fixed size.
    field: Vec<u8>,
    /// The number of compressed bytes that may still arrive.
    left: usize,
}

/// The part of a member (RFC 1952 §2.3) that comes next.
#[derive(Clone, Copy)]
enum Part {
    Header,
    ExtraLength,
    Extra(usize),
    Name,
    Comment,
    HeaderChecksum,
    Content,
    Trailer,
    /// A member has ended.
    Between,
    Failed(GzipError),
}

// RFC 1952 §2.3.1.
const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;
const FIRST_BYTE: u8 = 0x1f;

/// The number of bytes by which a body in gzip may be longer than its content. Incompressible data grows by 5 bytes for
/// each 16 KiB or more, and some servers pad to the size of a block.
const PADDING: usize = 1 << 20;

impl Gunzip {
    /// Makes a decoder for a body of which at most this number of bytes is kept after decompression.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            inflate: Decompress::new(false),
            crc: Crc::new(),
            part: Part::Header,
            flags: 0,
            field: Vec::new(),
            // Only empty members, empty blocks and padding are much larger than their content.
            left: most.saturating_add(PADDING),
        }
    }

    /// Decompresses some of the bytes, which are removed from `packed`, and returns the number of bytes that it wrote.
    ///
    /// All content that can be had from the bytes is written when `packed` is empty and `into` is not full.
    pub(crate) fn step(&mut self, packed: &mut &[u8], into: &mut [u8]) -> Result<usize, GzipError> {
        let before = packed.len();
        let mut outcome = self.advance(packed, into);
        match self.left.checked_sub(before - packed.len()) {
            Some(left) => self.left = left,
            None => outcome = Err(GzipError::TooLong),
        }
        if let Err(error) = outcome {
            self.part = Part::Failed(error);
        }
        outcome
    }

    /// Checks that the last member is complete.
    pub(crate) fn finish(&self) -> Result<(), GzipError> {
        match self.part {
            Part::Between => Ok(()),
            Part::Failed(error) => Err(error),
            _ => Err(GzipError::Truncated),
        }
    }

    fn advance(&mut self, packed: &mut &[u8], into: &mut [u8]) -> Result<usize, GzipError> {
        loop {
            if let Part::Content = self.part {
                return self.inflate(packed, into);
            }
            if packed.is_empty() {
                return Ok(0);
            }
            self.part = self.around_content(packed)?;
        }
    }

    /// Reads some of the bytes around the content, and returns the part that comes next.
    fn around_content(&mut self, packed: &mut &[u8]) -> Result<Part, GzipError> {
        let part = self.part;
        Ok(match part {
            Part::Header => {
                let Some(header) = self.field(packed) else {
                    return Ok(part);
                };
                let [FIRST_BYTE, 0x8b, 8, flags, ..]: [u8; 10] = header else {
                    return Err(GzipError::Corrupt);
                };
                if flags & RESERVED != 0 {
                    return Err(GzipError::Corrupt);
                }
                self.flags = flags;
                self.crc.reset();
                self.crc.update(&header);
                Part::ExtraLength
            }
            Part::ExtraLength if self.flags & HAS_EXTRA == 0 => Part::Name,
            Part::ExtraLength => {
                let Some(length) = self.field(packed) else {
                    return Ok(part);
                };
                self.crc.update(&length);
                Part::Extra(usize::from(u16::from_le_bytes(length)))
            }
            Part::Extra(0) => Part::Name,
            Part::Extra(left) => {
                let taken = take(packed, left);
                self.crc.update(taken);
                Part::Extra(left - taken.len())
            }
            Part::Name if self.skip_text(packed, HAS_NAME) => Part::Comment,
            Part::Comment if self.skip_text(packed, HAS_COMMENT) => Part::HeaderChecksum,
            Part::HeaderChecksum => {
                if self.flags & HAS_HEADER_CHECKSUM != 0 {
                    let Some(checksum) = self.field::<2>(packed) else {
                        return Ok(part);
                    };
                    // The lower half of a checksum with four bytes.
                    if !self.crc.sum().to_le_bytes().starts_with(&checksum) {
                        return Err(GzipError::Corrupt);
                    }
                }
                self.crc.reset();
                Part::Content
            }
            Part::Trailer => {
                let Some(trailer) = self.field(packed) else {
                    return Ok(part);
                };
                let length_and_sum = u64::from_le_bytes(trailer);
                let [sum, length] = [self.crc.sum(), self.crc.amount()].map(u64::from);
                if length_and_sum != length << 32 | sum {
                    return Err(GzipError::Corrupt);
                }
                Part::Between
            }
            Part::Between => {
                let zeros = packed.iter().take_while(|byte| **byte == 0).count();
                take(packed, zeros);
                match packed.first() {
                    None => Part::Between,
                    Some(&FIRST_BYTE) => {
                        self.inflate.reset(false);
                        Part::Header
                    }
                    Some(_) => return Err(GzipError::TrailingBytes),
                }
            }
            Part::Failed(error) => return Err(error),
            Part::Name | Part::Comment | Part::Content => part,
        })
    }

    fn inflate(&mut self, packed: &mut &[u8], into: &mut [u8]) -> Result<usize, GzipError> {
        let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(packed, into, FlushDecompress::None)
            .map_err(|_| GzipError::Corrupt)?;
        let taken = length(self.inflate.total_in() - total_in);
        let written = length(self.inflate.total_out() - total_out);
        let had_input = !packed.is_empty();
        take(packed, taken);
        self.crc.update(into.get(..written).unwrap_or_default());
        match status {
            Status::StreamEnd => self.part = Part::Trailer,
            // Another call would do no more.
            _ if had_input && taken == 0 && written == 0 => return Err(GzipError::Corrupt),
            Status::Ok | Status::BufError => {}
        }
        Ok(written)
    }

    /// Returns a field of fixed size as soon as all of it has arrived.
    fn field<const N: usize>(&mut self, packed: &mut &[u8]) -> Option<[u8; N]> {
        let missing = N.saturating_sub(self.field.len());
        self.field.extend_from_slice(take(packed, missing));
        let field = self.field.as_slice().try_into().ok()?;
        self.field.clear();
        Some(field)
    }

    /// Skips a text up to its terminating zero, and tells whether it has ended. A text without its flag is not there.
    fn skip_text(&mut self, packed: &mut &[u8], flag: u8) -> bool {
        if self.flags & flag == 0 {
            return true;
        }
        let end = packed.iter().position(|byte| *byte == 0);
        self.crc
            .update(take(packed, end.map_or(packed.len(), |end| end + 1)));
        end.is_some()
    }
}

/// Removes this number of bytes from the front, or all.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    taken
}

/// Converts a part of the length of a slice.
fn length(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
