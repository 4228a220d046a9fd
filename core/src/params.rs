//! The parameters of operations, as types that cannot hold an invalid value.

use alloc::string::ToString;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};
use core::str::FromStr;

use crate::InvalidValue;
use crate::invalid::{holds_client_secret, is_model_key};

/// An id of Atlas: 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectId([u8; 24]);

impl ObjectId {
    fn new(text: &str) -> Option<Self> {
        let digits = <[u8; 24]>::try_from(text.as_bytes()).ok()?;
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_digit).then_some(Self(digits))
    }

    pub(crate) fn as_str(&self) -> &str {
        // This is always valid: `new` accepts only ASCII digits.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Defines the type of an id, with the parameter's name and the rule for its errors.
macro_rules! id {
    ($(#[$doc:meta])* $id:ident, $parameter:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(pub(crate) ObjectId);

        impl $id {
            /// Parses the 24 digits.
            ///
            /// # Errors
            /// Fails if the text is not exactly 24 characters of `0-9a-f`.
            pub fn new(text: &str) -> Result<Self, InvalidValue> {
                ObjectId::new(text)
                    .map(Self)
                    .ok_or_else(|| InvalidValue::new($parameter, text, $rule))
            }

            /// Returns the 24 digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $id {
            type Err = InvalidValue;
            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                Self::new(text)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

id!(
    /// The id of a group, which is the API's name for a project: 24 lower-case hexadecimal digits.
    ///
    /// It is `Copy` and needs no heap.
    ///
    /// ```
    /// use atlas_model_keys_core::GroupId;
    /// let group: GroupId = "69681d39c9e8cfd375386316".parse()?;
    /// assert_eq!(group.as_str(), "69681d39c9e8cfd375386316");
    ///
    /// let error = "69681D39".parse::<GroupId>().unwrap_err();
    /// assert!(error.to_string().starts_with("groupId \"69681D39\" is not valid: "));
    /// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
    /// ```
    GroupId,
    "groupId",
    "a group (project) id must be exactly 24 lower-case hexadecimal digits, as in 69681d39c9e8cfd375386316; Atlas shows it in the project's settings"
);

id!(
    /// The id of an organization: 24 lower-case hexadecimal digits.
    OrgId,
    "orgId",
    "an organization id must be exactly 24 lower-case hexadecimal digits, as in 65f0a1b2c3d4e5f60718293a; Atlas shows it in the organization's settings"
);

/// The id of an AI model API key (`apiKeyId`): 1 to 64 letters, digits, `-`, `_`, `.` and `~`.
///
/// Atlas documents no form; the ids that were seen have 24 lower-case letters and digits. The accepted characters are those
/// that need no percent-encoding (RFC 3986 §2.3), so an id cannot change the path or the query of a request. The ids `.` and
/// `..` are refused, because they mean another path (RFC 3986 §5.2.4). So is the secret of a key: a URL is no place for it.
///
/// It is `Copy` and needs no heap.
///
/// ```
/// use atlas_model_keys_core::ApiKeyId;
/// let id: ApiKeyId = "a86r5kwrfsk5r5ku5tgvhmpj".parse()?;
/// assert_eq!(id.as_str(), "a86r5kwrfsk5r5ku5tgvhmpj");
///
/// let error = "a/../b".parse::<ApiKeyId>().unwrap_err();
/// assert!(error.to_string().starts_with("apiKeyId \"a/../b\" is not valid: "));
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId {
    /// The characters, and then zeros.
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl ApiKeyId {
    const MAX_LENGTH: usize = 64;

    /// Parses an id.
    ///
    /// # Errors
    /// Fails if the text is not an id, or if it is a credential.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let is_allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        let is_id = !text.is_empty()
            && text.bytes().all(is_allowed)
            && !matches!(text, "." | "..")
            && !is_model_key(text)
            && !holds_client_secret(text);
        let mut bytes = [0; Self::MAX_LENGTH];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(length)) if is_id => {
                start.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, length })
            }
            _ => Err(InvalidValue::new(
                "apiKeyId",
                text,
                "the id of a key must be 1 to 64 letters, digits, -, _, . and ~, as in a86r5kwrfsk5r5ku5tgvhmpj; \
                 it is the field apiKeyId in a list of keys, and not the key's name or secret",
            )),
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.length));
        // This is always valid: `new` accepts only ASCII characters.
        core::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }
}

impl FromStr for ApiKeyId {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyId({self})")
    }
}

/// The maximum number of entries of a page, from 1 to 500. Atlas's default is 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemsPerPage(NonZeroU16);

impl ItemsPerPage {
    /// The smallest page, 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    // These numbers are checked when this crate is compiled.
    /// The largest page, 500.
    pub const MAX: Self = Self(NonZeroU16::new(500).unwrap());
    /// Atlas's default, 100, which holds if the parameter is not sent.
    pub const DEFAULT: Self = Self(NonZeroU16::new(100).unwrap());

    /// Creates the parameter from a number.
    ///
    /// # Errors
    /// Fails if the number is not from 1 to 500.
    pub fn new(items: u32) -> Result<Self, InvalidValue> {
        u16::try_from(items)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
            .filter(|items| *items <= Self::MAX)
            .ok_or_else(|| Self::invalid(&items.to_string()))
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }

    fn invalid(text: &str) -> InvalidValue {
        InvalidValue::new(
            "itemsPerPage",
            text,
            "it must be a whole number from 1 to 500",
        )
    }
}

impl Default for ItemsPerPage {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u32> for ItemsPerPage {
    type Error = InvalidValue;
    fn try_from(number: u32) -> Result<Self, InvalidValue> {
        Self::new(number)
    }
}

impl FromStr for ItemsPerPage {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        digits_only(text)
            .and_then(|items| Self::new(items).ok())
            .ok_or_else(|| Self::invalid(text))
    }
}

impl fmt::Display for ItemsPerPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a page, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNum(NonZeroU32);

impl PageNum {
    /// The first page, which is Atlas's default.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Creates the parameter from a number.
    ///
    /// # Errors
    /// Fails if the number is 0.
    pub fn new(page: u32) -> Result<Self, InvalidValue> {
        NonZeroU32::new(page)
            .map(Self)
            .ok_or_else(|| Self::invalid(&page.to_string()))
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the number of the next page, or `None` after the largest number.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    fn invalid(text: &str) -> InvalidValue {
        InvalidValue::new(
            "pageNum",
            text,
            "it must be a whole number from 1 to 4294967295",
        )
    }
}

impl Default for PageNum {
    fn default() -> Self {
        Self::FIRST
    }
}

impl TryFrom<u32> for PageNum {
    type Error = InvalidValue;
    fn try_from(number: u32) -> Result<Self, InvalidValue> {
        Self::new(number)
    }
}

impl FromStr for PageNum {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        digits_only(text)
            .and_then(|page| Self::new(page).ok())
            .ok_or_else(|| Self::invalid(text))
    }
}

impl fmt::Display for PageNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses a number of digits only; `u32::from_str` would also accept a `+`.
fn digits_only(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_id_must_have_24_lower_case_hex_digits() {
        assert!(GroupId::new("0123456789abcdef01234567").is_ok());
        for wrong in [
            "",
            "0123456789abcdef0123456",
            "0123456789abcdef012345678",
            "0123456789ABCDEF01234567",
            "0123456789abcdeg01234567",
            "0123456789abcdef0123456\n",
            "€€€€€€€€",
        ] {
            let error = GroupId::new(wrong).unwrap_err();
            assert_eq!(error.parameter(), "groupId");
            assert!(error.to_string().contains("24 lower-case"), "{error}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn key_id_must_have_characters_that_need_no_encoding() {
        let longest = "x".repeat(64);
        for right in [
            "a86r5kwrfsk5r5ku5tgvhmpj",
            "A-Z_0.9~",
            "...",
            ".a",
            "-",
            longest.as_str(),
        ] {
            assert_eq!(ApiKeyId::new(right).unwrap().to_string(), right);
        }
        let too_long = "x".repeat(65);
        for wrong in [
            "",
            ".",
            "..",
            "a/b",
            "a?b",
            "a#b",
            "a%2e",
            "a b",
            "a\n",
            "a\0",
            "a:b",
            "a@b",
            "a;b",
            "a\\b",
            "é",
            too_long.as_str(),
        ] {
            let error = ApiKeyId::new(wrong).unwrap_err();
            assert_eq!(error.parameter(), "apiKeyId");
            assert!(error.to_string().contains("1 to 64 letters"), "{error}");
        }
    }

    #[test]
    fn secret_is_not_taken_for_a_key_id() {
        for secret in ["al-hunter2hunter2hunter2", "mdb_sa_sk_hunter2"] {
            let error = ApiKeyId::new(secret).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn items_per_page_must_be_1_to_500() {
        assert_eq!(ItemsPerPage::default().get(), 100);
        for right in ["1", "100", "500"] {
            assert_eq!(right.parse::<ItemsPerPage>().unwrap().to_string(), right);
        }
        for wrong in [
            "",
            "0",
            "501",
            "65537",
            "-1",
            "+1",
            "1.5",
            " 1",
            "99999999999999",
        ] {
            let error = wrong.parse::<ItemsPerPage>().unwrap_err();
            assert!(error.to_string().contains("1 to 500"), "{error}");
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert!(ItemsPerPage::new(65_636).is_err());
    }

    #[test]
    fn page_number_0_is_refused_and_the_largest_has_no_next() {
        assert_eq!(PageNum::default().get(), 1);
        assert_eq!(PageNum::FIRST.next().unwrap().get(), 2);
        assert_eq!(PageNum::new(u32::MAX).unwrap().next(), None);
        for wrong in ["0", "-1", "+2", "4294967296", "one", ""] {
            assert!(wrong.parse::<PageNum>().is_err(), "{wrong}");
        }
    }
}
