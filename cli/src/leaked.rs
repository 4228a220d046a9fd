//! Leaked keys: read from standard input into one buffer, which is overwritten when it is dropped. They are never shown.

use std::fmt;
use std::io::{self, IsTerminal as _};

use atlas_model_keys_core::{ModelKey, SecretStr};
use zeroize::Zeroizing;

use crate::failure::CommandError;
use crate::progress::Progress;
use crate::signals::Signals;

/// The maximum number of lines, so that the input has a maximum size.
const MAX_LINES: usize = 1_000;
/// The maximum length of a line in bytes, without its end.
const MAX_LINE: usize = 1_024;
/// The maximum size of an input. A longer one has too many lines, or one that is too long.
const MAX_INPUT: usize = MAX_LINES * (MAX_LINE + 1);
/// The free space for each read. The standard library's stdin has a buffer of its own, which is not overwritten; a read
/// with more space bypasses it.
const FREE: usize = 64 * 1024;
/// The minimum length of a key in characters. A real one is longer; Atlas shows seven characters of it.
const MIN_KEY: usize = 12;
/// The minimum number of characters that an entry must show to be compared. Fewer would match keys by chance.
const MIN_VISIBLE: usize = 4;

/// The input.
pub(crate) struct Input(Zeroizing<Vec<u8>>);

impl Input {
    /// Reads standard input to its end. Returns `None` if a signal arrives first.
    ///
    /// A terminal shows a prompt, and does not show the input where that is possible.
    pub(crate) fn of_stdin(
        signals: &Signals,
        progress: &Progress,
    ) -> Result<Option<Self>, CommandError> {
        let silence = io::stdin().is_terminal().then(stdin::Silence::begin);
        if let Some(silence) = &silence {
            let shown = match silence {
                Some(_) => " (they are not shown)",
                None => "",
            };
            progress.note(&format!(
                "paste the keys, one per line, and end with {}{shown}",
                stdin::END
            ));
        }
        let input = Self::read(|buffer| stdin::read(buffer, signals));
        drop(silence);
        match input {
            // The end of the input may be the end of a program that the same signal ended.
            _ if signals.is_interrupted() => Ok(None),
            Ok(input) => Ok(Some(input)),
            Err(error) => Err(CommandError::local("cannot read standard input", &error)),
        }
    }

    /// Reads an input to its end, or until it is too long.
    fn read(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Self> {
        // It is never reallocated, so there is no other copy.
        let mut buffer = Zeroizing::new(vec![0; MAX_INPUT + FREE]);
        let mut length = 0;
        while length <= MAX_INPUT {
            match read(buffer.get_mut(length..).unwrap_or_default())? {
                0 => break,
                more => length += more,
            }
        }
        buffer.truncate(length);
        Ok(Self(buffer))
    }

    /// Returns the keys, which borrow the input. Empty lines have none.
    pub(crate) fn keys(&self) -> Result<Vec<LeakedKey<'_>>, CommandError> {
        let mut keys = Vec::new();
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = index + 1;
            if index == MAX_LINES {
                return Err(refused(line, "at most 1,000 lines are read at a time"));
            }
            let text = key(bytes).map_err(|rule| refused(line, rule))?;
            if let Some(text) = text {
                keys.push(LeakedKey { line, text });
            }
        }
        if keys.is_empty() {
            return Err(CommandError::usage("there is no key on standard input")
                .hint("give one key per line: atlas-model-keys find --all-projects < leaked.txt"));
        }
        Ok(keys)
    }
}

fn refused(line: usize, rule: &str) -> CommandError {
    CommandError::usage(format!("line {line} of standard input: {rule}"))
}

/// Returns the key in a line, or the rule that the line breaks.
fn key(line: &[u8]) -> Result<Option<&str>, &'static str> {
    if line.len() > MAX_LINE {
        return Err("it is longer than 1,024 bytes");
    }
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let around = |c: char| c.is_whitespace() || c == '\u{feff}';
    let text = text.trim_matches(around);
    let unquoted = ['"', '\'', '`']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let text = unquoted.unwrap_or(text).trim_matches(around);
    if text.is_empty() {
        return Ok(None);
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(
            "a key has no white space, no control characters and no characters outside of ASCII",
        );
    }
    if text.contains("**") {
        return Err("the key is masked, and the whole key is needed");
    }
    if text.contains([',', ';', '=']) {
        return Err(
            "a key has no comma, semicolon or equals sign: give each key on a line of its own, and nothing else",
        );
    }
    if is_other_credential(text) {
        return Err("this is another kind of credential, and not a model API key");
    }
    if text.len() < MIN_KEY {
        return Err("a key has at least 12 characters");
    }
    Ok(Some(text))
}

/// Returns whether the text is a credential of another kind: a service account's, an access token, an API key's private
/// key (in the form of a UUID), or a connection string.
fn is_other_credential(text: &str) -> bool {
    let is_uuid = || {
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && text.split('-').all(is_hex)
    };
    let beginnings = ["mdb_sa_", "eyJ", "mongodb:", "mongodb+srv:", "-----BEGIN"];
    beginnings.iter().any(|begin| text.starts_with(begin)) || is_uuid()
}

/// A leaked key, and its line in the input, counted from 1.
#[derive(Clone, Copy)]
pub(crate) struct LeakedKey<'i> {
    pub(crate) line: usize,
    text: &'i str,
}

impl fmt::Debug for LeakedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeakedKey(line {})", self.line)
    }
}

/// What an entry of a listing shows of its key.
#[derive(Clone, Copy)]
pub(crate) enum Shown<'k> {
    /// The whole key.
    Whole(SecretStr<'k>),
    /// Parts of it.
    Parts(Mask<'k>),
    /// Too little to compare it.
    Nothing,
}

impl<'k> Shown<'k> {
    pub(crate) fn new(entry: ModelKey<'k>) -> Self {
        let mask = Mask::new(entry.masked_secret().unwrap_or_default());
        match (mask, entry.secret()) {
            // A text that does not fit the mask is a placeholder, such as "[redacted]".
            (Some(mask), Some(secret)) if mask.fits(secret.expose()) => Self::Whole(secret),
            (Some(mask), _) => Self::Parts(mask),
            (None, Some(secret)) if is_whole(secret.expose()) => Self::Whole(secret),
            (None, _) => Self::Nothing,
        }
    }

    /// Returns whether this may be the entry of the key.
    pub(crate) fn matches(self, key: LeakedKey<'_>) -> bool {
        match self {
            Self::Whole(secret) => secret.expose() == key.text,
            Self::Parts(mask) => mask.fits(key.text),
            Self::Nothing => false,
        }
    }
}

/// A `maskedSecret` that shows enough of a key: the beginning, the end, and what is between runs of asterisks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask<'k> {
    begin: &'k str,
    /// What is between the first asterisk and the last one.
    between: &'k str,
    end: &'k str,
}

impl<'k> Mask<'k> {
    fn new(mask: &'k str) -> Option<Self> {
        let (begin, rest) = mask.split_once('*')?;
        let (between, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let visible = begin.chars().count() + end.chars().count();
        (visible >= MIN_VISIBLE).then_some(Self {
            begin,
            between,
            end,
        })
    }

    /// Returns whether a key has the visible parts in this order, and more than them.
    fn fits(self, key: &str) -> bool {
        let hidden = key.strip_prefix(self.begin);
        let Some(mut hidden) = hidden.and_then(|rest| rest.strip_suffix(self.end)) else {
            return false;
        };
        let is_longer = !hidden.is_empty();
        for part in self.between.split('*').filter(|part| !part.is_empty()) {
            match hidden.split_once(part) {
                Some((_, rest)) => hidden = rest,
                None => return false,
            }
        }
        is_whole(key) && is_longer
    }
}

/// Returns whether the text can be a whole key. Atlas might mask the field `secret`, too.
fn is_whole(text: &str) -> bool {
    text.len() >= MIN_KEY && !text.contains('*')
}

#[cfg(unix)]
mod stdin {
    use std::io;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };

    use crate::signals::Signals;

    pub(super) const END: &str = "Ctrl-D";

    /// The time between two checks for a signal. The system restarts a read that a signal interrupts.
    const PAUSE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };

    /// Reads some bytes without a buffer of its own. A signal ends it with an error.
    pub(super) fn read(buffer: &mut [u8], signals: &Signals) -> io::Result<usize> {
        let stdin = io::stdin();
        loop {
            if signals.is_interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&PAUSE)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::io::read(&stdin, &mut *buffer) {
                Err(Errno::INTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// The value of a special character that does nothing (`_POSIX_VDISABLE`).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const DISABLED: u8 = 0;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const DISABLED: u8 = 0xff;

    /// A terminal that does not show what is typed, until this is dropped.
    pub(super) struct Silence(Termios);

    impl Silence {
        pub(super) fn begin() -> Option<Self> {
            let before = tcgetattr(io::stdin()).ok()?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            // A shell that takes the terminal back after Ctrl-Z would show what is typed after `fg`.
            for code in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
                silent.special_codes[code] = DISABLED;
            }
            tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
            Some(Self(before))
        }
    }

    impl Drop for Silence {
        fn drop(&mut self) {
            // What was typed and not read must not reach the prompt of the shell. If this fails, the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
        }
    }
}

#[cfg(not(unix))]
mod stdin {
    use std::io::{self, Read as _};

    use crate::signals::Signals;

    pub(super) const END: &str = "Ctrl-Z and Enter";

    pub(super) fn read(buffer: &mut [u8], _: &Signals) -> io::Result<usize> {
        io::stdin().read(buffer)
    }

    /// A terminal that does not show what is typed. There is none here.
    pub(super) struct Silence;

    impl Silence {
        pub(super) fn begin() -> Option<Self> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{KeyField, OwnedModelKey};

    use super::*;

    fn input(text: &[u8]) -> Input {
        let mut rest = text;
        Input::read(|buffer| io::Read::read(&mut rest, buffer)).unwrap()
    }

    #[test]
    fn input_in_single_bytes_is_read_whole() {
        let text = b"al-0123456789ab\n\nal-0123456789cd";
        let mut bytes = text.iter();
        let input = Input::read(|buffer| {
            let pair = buffer.first_mut().zip(bytes.next());
            Ok(pair.map_or(0, |(to, from)| {
                *to = *from;
                1
            }))
        });
        let input = input.unwrap();
        let keys = input.keys().unwrap();
        let keys: Vec<_> = keys.iter().map(|key| (key.line, key.text)).collect();
        assert_eq!(keys, [(1, "al-0123456789ab"), (3, "al-0123456789cd")]);
    }

    #[test]
    fn each_read_has_space_to_bypass_a_buffer() {
        let mut reads = 0;
        let input = Input::read(|buffer| {
            assert!(buffer.len() >= FREE);
            reads += 1;
            buffer[..1000].fill(b'x');
            Ok(1000)
        });
        // The input is endless.
        assert_eq!(input.unwrap().0.len(), reads * 1000);
        assert_eq!(reads * 1000 - MAX_INPUT, 1000 - MAX_INPUT % 1000);
    }

    #[test]
    fn one_pair_of_quotes_is_removed() {
        for (line, text) in [
            ("\"al-0123456789\"", Some("al-0123456789")),
            ("\"al-0123456789", Some("\"al-0123456789")),
            ("\"al-0123456789'", Some("\"al-0123456789'")),
            ("\"\"al-0123456789\"\"", Some("\"al-0123456789\"")),
            ("\"", None),
            ("\"\"", None),
        ] {
            match text {
                Some(text) => assert_eq!(key(line.as_bytes()), Ok(Some(text))),
                None => assert!(!matches!(key(line.as_bytes()), Ok(Some(_)))),
            }
        }
    }

    #[test]
    fn key_fits_a_mask_if_it_has_all_visible_parts_in_order() {
        let shown = |mask: &str, key: &str| {
            let entry = OwnedModelKey::from_fields([(KeyField::MaskedSecret, mask)]);
            let shown = Shown::new(entry.as_key());
            assert!(!matches!(shown, Shown::Whole(_)));
            let is_compared = matches!(shown, Shown::Parts(_));
            (is_compared, shown.matches(LeakedKey { line: 1, text: key }))
        };
        let key = "al-0123456789odu2";
        for mask in [
            "al-****odu2",
            "al-*3*odu2",
            "al-*12*56*odu2",
            "al-0***",
            "****odu2",
        ] {
            assert_eq!(shown(mask, key), (true, true), "{mask}");
        }
        for mask in [
            "al-****odu3",
            "al-*x*odu2",
            "al-*56*12*odu2",
            "al-0123456789*odu2",
        ] {
            assert_eq!(shown(mask, key), (true, false), "{mask}");
        }
        for mask in ["al-****", "***odu", "al-abcdefodu2", "****", ""] {
            assert_eq!(shown(mask, key), (false, false), "{mask}");
        }
    }

    #[test]
    fn masked_secret_of_an_entry_is_not_taken_for_the_whole_key() {
        for (secret, is_whole) in [
            ("al-0123456789", true),
            ("al-****6789", false),
            ("[redacted]", false),
            ("al-0123456780", false),
            ("", false),
        ] {
            let fields = [
                (KeyField::Secret, secret),
                (KeyField::MaskedSecret, "al-****6789"),
            ];
            let entry = OwnedModelKey::from_fields(fields);
            let shown = Shown::new(entry.as_key());
            assert_eq!(matches!(shown, Shown::Whole(_)), is_whole, "{secret}");
            assert!(matches!(shown, Shown::Whole(_) | Shown::Parts(_)));
        }
    }

    #[test]
    fn debug_form_has_only_the_line() {
        let input = input(b"\nal-0123456789ab");
        let keys = input.keys().unwrap();
        assert_eq!(format!("{keys:?}"), "[LeakedKey(line 2)]");
    }

    /// Tells whether the memory of this process holds a text. It is given as its characters at odd and at even places,
    /// because the whole text would find itself.
    #[cfg(target_os = "linux")]
    fn memory_holds(odd: &str, even: &str) -> bool {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let starts_with_text = |bytes: &[u8]| {
            let (pairs, _) = bytes.as_chunks::<2>();
            let text = odd.bytes().zip(even.bytes()).map(|(odd, even)| [odd, even]);
            pairs.iter().copied().take(odd.len()).eq(text)
        };
        let mut writable = maps.lines().filter(|line| line.contains(" rw"));
        writable.any(|line| {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            memory.seek(SeekFrom::Start(start)).unwrap();
            // Some of it cannot be read, or is given back by another thread meanwhile.
            let mut filled = 0;
            while let Ok(read @ 1..) = memory.read(&mut bytes[filled..]) {
                filled += read;
            }
            let holds = memchr::memchr_iter(odd.as_bytes()[0], &bytes)
                .any(|start| starts_with_text(&bytes[start..]));
            // The next search must not find this copy.
            bytes.fill(0);
            std::hint::black_box(&bytes);
            holds
        })
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn input_is_overwritten() {
        let (odd, even) = ("Wq4Zs8Lx2Vb6", "nT5Hc9Gj1Kd3");
        let read = |line_end: &str| {
            // Each byte is written to its place only.
            let mut bytes = odd.bytes().zip(even.bytes()).flat_map(|(a, b)| [a, b]);
            let mut end = line_end.bytes();
            Input::read(|buffer| {
                let next = bytes.next().or_else(|| end.next());
                let pair = buffer.first_mut().zip(next);
                Ok(pair.map_or(0, |(to, from)| {
                    *to = from;
                    1
                }))
            })
        };
        for (line_end, is_key) in [("", true), ("\r\n", true), ("\x01", false)] {
            let input = read(line_end).unwrap();
            assert_eq!(input.keys().is_ok(), is_key);
            let entry = OwnedModelKey::from_fields([(KeyField::MaskedSecret, "Wn****6d3")]);
            for key in input.keys().unwrap_or_default() {
                assert!(!Shown::new(entry.as_key()).matches(key));
            }
            assert!(memory_holds(odd, even));
            drop(input);
            assert!(!memory_holds(odd, even));
        }
        // A reader that fails leaves nothing, either.
        let mut bytes = odd.bytes().zip(even.bytes()).flat_map(|(a, b)| [a, b]);
        let failed = Input::read(|buffer| match bytes.next() {
            Some(byte) => {
                buffer[0] = byte;
                Ok(1)
            }
            None => Err(io::ErrorKind::Other.into()),
        });
        assert!(failed.is_err());
        assert!(!memory_holds(odd, even));
    }
}
