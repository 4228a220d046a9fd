//! Negotiation of a resource's version through the `Accept` header.

use atlas_model_keys_core::ApiVersion;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::errors::AtlasError;
use crate::render::is_weight_zero;

/// Returns the first version in `Accept` for which `is_served` is true and that is not withdrawn.
///
/// Like Atlas it refuses a request that names no version (`*/*`, `application/json`, no `Accept`
/// header) in the same way as one that names an unknown version.
pub(crate) fn negotiate(
    headers: &HeaderMap,
    is_served: impl Fn(ApiVersion) -> bool,
    withdrawn: &[ApiVersion],
) -> Result<ApiVersion, AtlasError> {
    let asked: Vec<ApiVersion> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(version_of)
        .collect();
    let found = asked
        .iter()
        .find(|version| is_served(**version) && !withdrawn.contains(version));
    match found {
        Some(version) => Ok(*version),
        None => Err(asked
            .iter()
            .find(|version| withdrawn.contains(version))
            .map_or_else(AtlasError::invalid_version, |version| {
                AtlasError::version_gone(&version.to_string())
            })),
    }
}

/// Parses `application/vnd.atlas.<version>+json`.
fn version_of(media_range: &str) -> Option<ApiVersion> {
    let mut parts = media_range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let name = media_type
        .strip_prefix("application/vnd.atlas.")?
        .strip_suffix("+json")?;
    let version = ApiVersion::new(name).ok()?;
    (!parts.any(is_weight_zero)).then_some(version)
}

/// Returns the version that the content type of a response names.
pub(crate) fn of_content_type(headers: &HeaderMap) -> Option<ApiVersion> {
    version_of(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}

pub(crate) fn content_type(version: ApiVersion) -> HeaderValue {
    let text = format!("application/vnd.atlas.{version}+json;charset=utf-8");
    // Cannot fail: a version is a word or a date.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_served_version_in_accept_is_chosen() {
        let preview = ApiVersion::PREVIEW;
        let dated = ApiVersion::V2025_03_12;
        let negotiated = |accept: &'static str, withdrawn: &[ApiVersion]| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            negotiate(&headers, |v| [preview, dated].contains(&v), withdrawn)
                .map_err(|error| error.into_response(Default::default()).status().as_u16())
        };
        let preview_text = "application/vnd.atlas.preview+json";
        let dated_text = "application/vnd.atlas.2025-03-12+json";
        assert_eq!(negotiated(preview_text, &[]), Ok(preview));
        assert_eq!(negotiated(dated_text, &[preview]), Ok(dated));
        assert_eq!(negotiated(preview_text, &[preview]), Err(410));
        let both = "application/vnd.atlas.preview+json, application/vnd.atlas.2025-03-12+json";
        assert_eq!(negotiated(both, &[]), Ok(preview));
        assert_eq!(negotiated(both, &[preview]), Ok(dated));
        assert_eq!(
            negotiated("*/*;q=0.1, Application/Vnd.Atlas.Preview+JSON; q=0.5", &[]),
            Ok(preview)
        );
        for wrong in [
            "*/*",
            "application/json",
            "",
            "application/vnd.atlas.2025-03-13+json",
            "application/vnd.atlas.2025-03-12+csv",
            "application/vnd.atlas.2025-3-12+json",
            "application/vnd.atlas.preview+json;q=0",
        ] {
            assert_eq!(negotiated(wrong, &[]), Err(406), "{wrong}");
        }
    }
}
