//! The version of the Atlas resource that a request asks for, or that responded.

use alloc::format;
use core::fmt;
use core::str::FromStr;

use http::HeaderValue;

use crate::InvalidValue;
use crate::timestamp::days_in_month;

/// A version of the Atlas resource, as in the `Accept` header.
///
/// Atlas versions each resource by date, and publishes unfinished resources as `preview`. See Atlas's
/// documentation under "Versioned Atlas Administration API".
///
/// ```
/// use atlas_model_keys_core::ApiVersion;
/// assert_eq!(ApiVersion::PREVIEW.accept(), "application/vnd.atlas.preview+json");
/// let dated: ApiVersion = "2025-03-12".parse()?;
/// assert_eq!(dated, ApiVersion::V2025_03_12);
/// assert!("2025-02-30".parse::<ApiVersion>().is_err());
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(Name);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Date { year: u16, month: u8, day: u8 },
    Preview,
}

impl ApiVersion {
    /// The version `preview`, in which the operation was first published.
    pub const PREVIEW: Self = Self(Name::Preview);
    /// The version `2023-01-01`, the first one, which has the list of groups.
    pub const V2023_01_01: Self = Self(Name::Date {
        year: 2023,
        month: 1,
        day: 1,
    });
    /// The version `2025-03-12`, which has the operation since July 2026.
    pub const V2025_03_12: Self = Self(Name::Date {
        year: 2025,
        month: 3,
        day: 12,
    });

    /// Parses `preview` or a date in the form `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`InvalidValue`] if the text is neither `preview` nor a date that exists.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        if text == "preview" {
            return Ok(Self::PREVIEW);
        }
        parse_date(text).map(Self).ok_or_else(|| {
            InvalidValue::new(
                "version",
                text,
                "a version is \"preview\" or a date such as 2025-03-12",
            )
        })
    }

    /// Returns the media type that asks for this version, for the `Accept` header.
    #[must_use]
    pub fn accept(&self) -> HeaderValue {
        // The usual ones are constants: they need no allocation and cannot fail.
        match self.0 {
            Name::Preview => HeaderValue::from_static("application/vnd.atlas.preview+json"),
            Name::Date {
                year: 2025,
                month: 3,
                day: 12,
            } => HeaderValue::from_static("application/vnd.atlas.2025-03-12+json"),
            Name::Date {
                year: 2023,
                month: 1,
                day: 1,
            } => HeaderValue::from_static("application/vnd.atlas.2023-01-01+json"),
            Name::Date { .. } => {
                HeaderValue::try_from(format!("application/vnd.atlas.{self}+json"))
                    // It cannot fail: digits and dashes are valid in a header value.
                    .unwrap_or_else(|_| HeaderValue::from_static("application/json"))
            }
        }
    }

    /// Returns the version in a `Content-Type` such as `application/vnd.atlas.2025-03-12+json;charset=utf-8`,
    /// or `None` if there is none.
    #[must_use]
    pub(crate) fn from_content_type(value: &HeaderValue) -> Option<Self> {
        let media_type = value.to_str().ok()?.split(';').next()?.trim();
        let version = media_type
            .strip_prefix("application/vnd.atlas.")?
            .strip_suffix("+json")?;
        Self::new(version).ok()
    }
}

/// Parses a date in the form `YYYY-MM-DD`.
fn parse_date(text: &str) -> Option<Name> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let digit = |b: u8| b.is_ascii_digit().then(|| b - b'0');
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *bytes else {
        return None;
    };
    let year = [y1, y2, y3, y4]
        .into_iter()
        .try_fold(0u16, |year, b| Some(year * 10 + u16::from(digit(b)?)))?;
    let month = digit(m1)? * 10 + digit(m2)?;
    let day = digit(d1)? * 10 + digit(d2)?;
    let exists =
        (1..=12).contains(&month) && day >= 1 && day <= days_in_month(i64::from(year), month);
    exists.then_some(Name::Date { year, month, day })
}

impl FromStr for ApiVersion {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Name::Preview => f.write_str("preview"),
            Name::Date { year, month, day } => write!(f, "{year:04}-{month:02}-{day:02}"),
        }
    }
}

impl fmt::Debug for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiVersion({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_preview_and_existing_dates_are_versions() {
        for right in ["preview", "2025-03-12", "2024-02-29", "2023-01-01"] {
            let version = ApiVersion::new(right).unwrap();
            assert_eq!(format!("{version}"), right);
            assert_eq!(
                version.accept(),
                format!("application/vnd.atlas.{right}+json")
            );
        }
        for wrong in [
            "",
            "Preview",
            "2025-3-12",
            "2025-13-01",
            "2025-00-01",
            "2025-02-29",
            "2025-03-00",
            "2025/03/12",
            "2025-03-12 ",
            "+025-03-12",
            "2025-03-12+json",
        ] {
            assert!(ApiVersion::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn version_is_read_from_the_content_type() {
        let of = |text| ApiVersion::from_content_type(&HeaderValue::from_static(text));
        assert_eq!(
            of("application/vnd.atlas.2025-03-12+json;charset=utf-8"),
            Some(ApiVersion::V2025_03_12)
        );
        assert_eq!(
            of("application/vnd.atlas.preview+json"),
            Some(ApiVersion::PREVIEW)
        );
        assert_eq!(of("application/json"), None);
        assert_eq!(of("text/html"), None);
    }
}
