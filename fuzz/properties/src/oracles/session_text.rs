//! All texts that a session shows, which are searched once for all secrets.

use std::fmt::{self, Write as _};

use super::redaction::Pairs;

/// The number of characters of a secret that must not be shown together: redaction recognises a part of this length.
const RUN: usize = 12;

/// The texts that were shown, and the secrets that must not be in them.
pub(crate) struct ShownTexts {
    text: String,
    secrets: Vec<Secret>,
}

/// The beginning of a secret, and the part of the text in which it must not be.
struct Secret {
    beginning: String,
    from: usize,
    until: usize,
}

impl Default for ShownTexts {
    fn default() -> Self {
        Self {
            // Most inputs lead to less, so the text is not copied while it grows.
            text: String::with_capacity(1 << 14),
            secrets: Vec::new(),
        }
    }
}

impl ShownTexts {
    /// Adds a text, and returns it.
    pub(crate) fn add(&mut self, shown: fmt::Arguments<'_>) -> &str {
        let from = self.text.len();
        self.text.write_fmt(shown).expect("a text can be written");
        // No secret begins in one text and ends in the next.
        self.text.push('\n');
        &self.text[from..]
    }

    /// From now on, a secret must not be shown.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.secrets.push(Secret {
            beginning: secret.chars().take(RUN).collect(),
            from: self.text.len(),
            until: usize::MAX,
        });
    }

    /// From now on, a secret may be shown.
    pub(crate) fn forget(&mut self, secret: &str) {
        let beginning: String = secret.chars().take(RUN).collect();
        let is_hidden =
            |secret: &&mut Secret| secret.until == usize::MAX && secret.beginning == beginning;
        if let Some(secret) = self.secrets.iter_mut().find(is_hidden) {
            secret.until = self.text.len();
        }
    }

    /// Asserts that no secret was shown.
    pub(crate) fn assert_no_secret(&self) {
        let lengths = self.secrets.iter().map(|secret| secret.beginning.len());
        let Some(shortest) = lengths.min() else {
            return;
        };
        let (mut pairs, mut begins) = (Pairs::default(), [false; 256]);
        for secret in &self.secrets {
            begins[usize::from(secret.beginning.as_bytes()[0])] = true;
            pairs.add(&secret.beginning.as_bytes()[..shortest]);
        }
        let text = self.text.as_bytes();
        let places = pairs.places_in(text, shortest).flatten();
        for at in places.filter(|at| begins[usize::from(text[*at])]) {
            for Secret {
                beginning,
                from,
                until,
            } in &self.secrets
            {
                assert!(
                    !text[at..].starts_with(beginning.as_bytes()) || !(*from..*until).contains(&at),
                    "the secret {beginning:?} is in {}",
                    self.text[..at + beginning.len()]
                        .lines()
                        .last()
                        .unwrap_or_default()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the secret \"hunter2-hunt\" is in a hunter2-hunt")]
    fn secret_is_found_after_it_is_hidden() {
        let mut shown = ShownTexts::default();
        shown.add(format_args!("a hunter2-hunter2 before"));
        shown.hide("hunter2-hunter2");
        shown.hide("other-secret");
        shown.add(format_args!("a {}-hunter2 b", "hunter2"));
        shown.assert_no_secret();
    }

    #[test]
    fn secret_may_be_shown_before_and_after() {
        let mut shown = ShownTexts::default();
        shown.add(format_args!("hunter2-hunter2"));
        shown.hide("hunter2-hunter2");
        assert_eq!(shown.add(format_args!("hunter2{}", "")), "hunter2\n");
        shown.add(format_args!("-hunter2"));
        shown.forget("hunter2-hunter2");
        shown.add(format_args!("hunter2-hunter2"));
        shown.assert_no_secret();
    }
}
