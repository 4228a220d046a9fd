//! The parser of `WWW-Authenticate` (RFC 9110 §11.6.1), for challenges of any scheme.

use alloc::vec::Vec;

/// The name of a parameter, and its value without quotes and escapes.
pub(super) type Parameter<'a> = (&'a [u8], Vec<u8>);

/// A parser of a header's value. It holds the rest of the value.
pub(super) struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// Returns the scheme and the parameters of the next challenge (`None` as parameters for a `token68`). Returns
    /// `None` at the end, and after a syntax error.
    pub(super) fn challenge(&mut self) -> Option<(&'a [u8], Option<Vec<Parameter<'a>>>)> {
        self.skip(b", \t");
        let scheme = self.token()?;
        if !self
            .0
            .first()
            .is_none_or(|b| matches!(b, b' ' | b'\t' | b','))
        {
            self.0 = &[];
            return None;
        }
        self.skip_spaces();
        if self.token68() {
            return Some((scheme, None));
        }
        let mut parameters = Vec::new();
        loop {
            let before = self.0;
            self.skip(b", \t");
            let Some(name) = self.token() else { break };
            self.skip_spaces();
            if !self.eat(b'=') {
                // This is not a parameter, but the scheme of the next challenge.
                self.0 = before;
                break;
            }
            self.skip_spaces();
            let Some(value) = self.value() else {
                self.0 = &[];
                return None;
            };
            parameters.push((name, value));
            self.skip_spaces();
            if self.0.first().is_some_and(|b| *b != b',') {
                self.0 = &[];
                return None;
            }
        }
        Some((scheme, Some(parameters)))
    }

    fn skip(&mut self, set: &[u8]) {
        while let Some((first, rest)) = self.0.split_first() {
            if !set.contains(first) {
                break;
            }
            self.0 = rest;
        }
    }

    fn skip_spaces(&mut self) {
        self.skip(b" \t");
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Reads a token (RFC 9110 §5.6.2).
    fn token(&mut self) -> Option<&'a [u8]> {
        let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let end = self
            .0
            .iter()
            .position(|b| !is_tchar(b))
            .unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Skips a `token68` that extends to a comma or the end (RFC 9110 §11.2), and returns whether there was one.
    fn token68(&mut self) -> bool {
        let end = self
            .0
            .iter()
            .position(|b| *b == b',')
            .unwrap_or(self.0.len());
        let Some((item, rest)) = self.0.split_at_checked(end) else {
            return false;
        };
        let item = item.trim_ascii_end();
        let unpadded = item.iter().rposition(|b| *b != b'=').map_or(0, |n| n + 1);
        let is_char = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
        let is_token68 = unpadded > 0
            && item
                .get(..unpadded)
                .is_some_and(|text| text.iter().all(is_char));
        if is_token68 {
            self.0 = rest;
        }
        is_token68
    }

    /// Reads a token, or a quoted string without its quotes and backslashes.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b'"') {
            return self.token().map(Vec::from);
        }
        let mut value = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(value),
                b'\\' => {
                    let (escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(*escaped);
                }
                byte => value.push(*byte),
            }
        }
    }
}
