//! Negotiation of a resource's version through the `Accept` header.

use atlas_model_keys_core::ApiVersion;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::errors::AtlasError;
use crate::render;

/// Returns the version in `Accept` for which `is_served` is true and that is not withdrawn: the one with the
/// highest weight (RFC 9110 §12.5.1), or the first of those with equal weights.
///
/// Like Atlas it refuses a request that names no version (`*/*`, `application/json`, no `Accept`
/// header) in the same way as one that names an unknown version.
pub(crate) fn negotiate(
    headers: &HeaderMap,
    is_served: impl Fn(ApiVersion) -> bool,
    withdrawn: &[ApiVersion],
) -> Result<ApiVersion, AtlasError> {
    let mut asked: Vec<(ApiVersion, f32)> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(version_of)
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    // The sort is stable.
    asked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let first = |test: &dyn Fn(ApiVersion) -> bool| {
        let mut versions = asked.iter().map(|(version, _)| *version);
        versions.find(|version| test(*version))
    };
    let is_withdrawn = |version| withdrawn.contains(&version);
    first(&|version| is_served(version) && !is_withdrawn(version)).ok_or_else(|| {
        first(&is_withdrawn).map_or_else(AtlasError::invalid_version, |version| {
            AtlasError::version_gone(&version.to_string())
        })
    })
}

/// Parses `application/vnd.atlas.<version>+json`, and its weight.
fn version_of(media_range: &str) -> Option<(ApiVersion, f32)> {
    let mut parts = media_range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let name = media_type
        .strip_prefix("application/vnd.atlas.")?
        .strip_suffix("+json")?;
    Some((ApiVersion::new(name).ok()?, render::weight(parts)))
}

/// Returns the version that the content type of a response names.
pub(crate) fn of_content_type(headers: &HeaderMap) -> Option<ApiVersion> {
    let (version, _) = version_of(headers.get(CONTENT_TYPE)?.to_str().ok()?)?;
    Some(version)
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
        assert_eq!(negotiated(both, &[preview, dated]), Err(410));
        for (weights, expected) in [
            (["0.4", "0.5"], dated),
            (["0.5", "0.5"], preview),
            (["0.001", "0"], preview),
            (["0.999", "1"], dated),
            // Without a valid weight it is 1.
            (["0.999", "x"], dated),
            (["NaN", "2"], preview),
        ] {
            let accept = format!(
                "{preview_text};q={}, {dated_text} ; Q = {}",
                weights[0], weights[1]
            );
            assert_eq!(negotiated(accept.leak(), &[]), Ok(expected), "{weights:?}");
        }
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
