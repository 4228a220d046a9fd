//! The input: a secret, and a text in pieces, some of which are runs of the secret.

use arbitrary::{Arbitrary, Unstructured};

use crate::generators::bytes as input;
use crate::oracles::redaction::{NAMED, RUN};

/// The flag for texts that are truncated after a few bytes.
pub const SMALL_TEXT_LIMIT: u8 = 1;

/// The types of pieces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PieceCode {
    /// A short text.
    Text,
    /// A run of a secret: a byte each for the secret, the run's start, its length and a text after it (0 for none), and
    /// a short list of [`Encoding`]s, which is repeated for all its characters.
    Run,
    /// The next piece begins the text of the next source.
    Source,
}

/// The types of pieces, by their byte in the input.
pub const PIECE_CODES: [PieceCode; 3] = [PieceCode::Text, PieceCode::Run, PieceCode::Source];

/// The encoding of a character of a secret.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// The character itself.
    Plain,
    /// `%2F`.
    Percent,
    /// `%2f`.
    PercentLower,
    /// `%252f`.
    PercentTwice,
    /// `\u002f`.
    Json,
    /// `\\u002F`.
    JsonTwice,
    /// `\"`, `\\` and `\/` for these three characters.
    JsonShort,
    /// `&#47;`.
    Decimal,
    /// `&#x2f;`.
    Hexadecimal,
    /// `&sol;`, if the character has a name.
    Named,
    /// The character and a line feed.
    Line,
    /// The character, a carriage return, a line feed and spaces.
    Indented,
    /// The character and `\n`, a line feed in JSON.
    JsonLine,
}

/// The encodings, by their byte in the input.
pub const ENCODINGS: [Encoding; 13] = [
    Encoding::Plain,
    Encoding::Percent,
    Encoding::PercentLower,
    Encoding::PercentTwice,
    Encoding::Json,
    Encoding::JsonTwice,
    Encoding::JsonShort,
    Encoding::Decimal,
    Encoding::Hexadecimal,
    Encoding::Named,
    Encoding::Line,
    Encoding::Indented,
    Encoding::JsonLine,
];

impl Encoding {
    pub(crate) fn encode(self, c: char) -> String {
        let code = u32::from(c);
        match self {
            Self::Plain => c.to_string(),
            Self::Percent => format!("%{code:02X}"),
            Self::PercentLower => format!("%{code:02x}"),
            Self::PercentTwice => format!("%25{code:02x}"),
            Self::Json => format!("\\u{code:04x}"),
            Self::JsonTwice => format!("\\\\u{code:04X}"),
            Self::JsonShort if "\"\\/".contains(c) => format!("\\{c}"),
            Self::JsonShort => c.to_string(),
            Self::Decimal => format!("&#{code};"),
            Self::Hexadecimal => format!("&#x{code:x};"),
            Self::Named => match NAMED.iter().find(|(_, known)| *known == c) {
                Some((name, _)) => format!("&{name};"),
                None => c.to_string(),
            },
            Self::Line => format!("{c}\n"),
            Self::Indented => format!("{c}\r\n  "),
            Self::JsonLine => format!("{c}\\n"),
        }
    }

    fn adds_line_break(self) -> bool {
        matches!(self, Self::Line | Self::Indented | Self::JsonLine)
    }
}

/// Statuses of responses, one for each way in which the core treats them.
pub const STATUSES: [u16; 11] = [206, 302, 400, 401, 403, 404, 406, 429, 500, 503, 600];

/// A part of the text.
#[derive(Debug)]
pub(crate) enum Piece {
    Text(String),
    Run {
        which: u8,
        from: u8,
        length: u8,
        trailing: u8,
        encodings: Vec<Encoding>,
    },
    Source,
}

#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) secret: String,
    pub(crate) pieces: Vec<Piece>,
}

/// The characters of a bearer token (RFC 6750 §2.1).
const TOKEN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = input::byte(u)? % 4;
        let flags = input::byte(u)?;
        let visible = |byte: &u8| match byte {
            b'!'..=b'~' if kind != 0 || TOKEN.contains(byte) => char::from(*byte),
            byte if kind == 0 => char::from(TOKEN[usize::from(*byte) % TOKEN.len()]),
            byte => char::from(b'!' + byte % (b'~' - b'!' + 1)),
        };
        let secret: String = input::short(u)?.iter().take(64).map(visible).collect();
        let mut pieces = Vec::new();
        while !u.is_empty() && pieces.len() < 32 {
            pieces.push(match input::pick(u, &PIECE_CODES)? {
                PieceCode::Text => Piece::Text(input::text(input::short(u)?)),
                PieceCode::Run => Piece::Run {
                    which: input::byte(u)?,
                    from: input::byte(u)?,
                    length: input::byte(u)?,
                    trailing: input::byte(u)?,
                    encodings: {
                        let list = input::short(u)?.iter();
                        let pick = |byte: &u8| ENCODINGS[usize::from(*byte) % ENCODINGS.len()];
                        list.map(pick).collect()
                    },
                },
                PieceCode::Source => Piece::Source,
            });
        }
        Ok(Self {
            kind,
            flags,
            secret: if secret.is_empty() {
                "x".into()
            } else {
                secret
            },
            pieces,
        })
    }
}

/// The text that follows a run of a secret without a space or a quote.
const TRAILING_TEXT: &str = "(behind-a-secret)";

/// Builds the texts of an error and of its sources from the pieces.
pub(crate) fn texts(pieces: &[Piece], secrets: &[String]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for piece in pieces {
        let text = texts.last_mut().expect("the list is never empty");
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Source => texts.push(String::new()),
            Piece::Run {
                which,
                from,
                length,
                trailing,
                encodings,
            } => {
                let secret = &secrets[usize::from(*which) % secrets.len()];
                let least = RUN.min(secret.len());
                let from = usize::from(*from) % (secret.len() - least + 1);
                let longer = usize::from(*length) % (secret.len() - from - least + 1);
                let run = &secret[from..from + least + longer];
                if *trailing > 0 {
                    // Separates the run from the text before it, which may end in half an escape.
                    text.push('<');
                }
                let mut encodings = encodings.iter().cycle();
                for (n, c) in run.chars().enumerate() {
                    let encoding = *encodings.next().unwrap_or(&Encoding::Plain);
                    // A line break after the run would end the replaced word.
                    let is_last = n + 1 == run.len();
                    match encoding.adds_line_break() && is_last {
                        true => text.push(c),
                        false => text.push_str(&encoding.encode(c)),
                    }
                }
                if *trailing > 0 {
                    text.push_str(TRAILING_TEXT);
                }
            }
        }
    }
    texts
}

/// What redaction must do if the only runs in a text are those of its pieces.
pub(crate) struct Planted {
    /// The redacted text, before it is escaped and truncated: each run is replaced to the end of its word.
    pub(crate) shown: String,
    /// The text without the runs. If it contains other ones, more may be replaced: one that begins in the rest of a replaced
    /// word may go on behind it.
    pub(crate) others: String,
}

/// Returns what must come of the pieces, or `None` if the end of a run is unclear: a secret looks encoded, or nothing
/// follows the run.
pub(crate) fn planted(pieces: &[Piece], secrets: &[String]) -> Option<Planted> {
    let (mut shown, mut others) = (String::new(), String::new());
    let mut is_hidden = false;
    for piece in pieces {
        match piece {
            Piece::Text(part) => {
                others.push_str(part);
                let is_end = |c: char| c.is_whitespace() || "\"'`".contains(c);
                let hidden = match is_hidden {
                    true => part.find(is_end),
                    false => Some(0),
                };
                is_hidden = hidden.is_none();
                shown.push_str(&part[hidden.unwrap_or(part.len())..]);
            }
            Piece::Source => {}
            Piece::Run {
                which, trailing, ..
            } => {
                let secret = &secrets[usize::from(*which) % secrets.len()];
                let is_unclear = |c: char| "%&\\\"'`<(".contains(c);
                if *trailing == 0 || secret.contains(is_unclear) {
                    return None;
                }
                if !is_hidden {
                    shown.push_str("<[redacted]");
                }
                is_hidden = true;
                others = others + "<\0" + TRAILING_TEXT;
            }
        }
    }
    Some(Planted { shown, others })
}
