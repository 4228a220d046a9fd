//! The response to a token request (RFC 6749 §5.1).

use alloc::string::String;
use core::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::json::Json;
use crate::limits::DEFAULT_TOKEN_LIFE;
use crate::numbers;
use crate::{Endpoint, Error, Limits, Secret};

/// A token and its lifetime.
pub(super) struct TokenResponse {
    pub(super) token: Secret,
    pub(super) life: Duration,
}

impl TokenResponse {
    pub(super) fn parse(body: &[u8], limits: &Limits) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: Option<TokenText>,
            token_type: Option<String>,
            expires_in: Option<Json>,
        }

        let invalid = |kind, problem, path: &str| {
            Error::InvalidResponse(InvalidResponse {
                endpoint: Endpoint::Token,
                kind,
                place: None,
                path: path.into(),
                problem,
            })
        };
        let shape = |problem, path| invalid(InvalidResponseKind::Shape, problem, path);
        if body.len() > limits.error_body_bytes {
            return Err(Error::Limit {
                what: "bytes of a token response",
                limit: u64::try_from(limits.error_body_bytes).unwrap_or(u64::MAX),
            });
        }
        // A derived struct would accept an array, too.
        if !body.trim_ascii_start().starts_with(b"{") && numbers::parse::<IgnoredAny>(body).is_ok()
        {
            return Err(shape("it is not an object", ""));
        }
        // The parser's message could repeat the token, so it is not used.
        let wire: Wire = numbers::parse(body).map_err(|error| {
            if error.is_data() {
                shape("a value is not of the documented type", "")
            } else {
                invalid(InvalidResponseKind::Json, "it is not valid JSON", "")
            }
        })?;
        let token = wire
            .access_token
            .map(|TokenText(token)| token)
            .ok_or_else(|| shape("there is no token", "access_token"))?;
        if token.expose().len() > limits.token_bytes {
            return Err(Error::Limit {
                what: "bytes of an access token",
                limit: u64::try_from(limits.token_bytes).unwrap_or(u64::MAX),
            });
        }
        if !is_token(token.expose()) {
            let problem = "the token has characters that a header cannot carry";
            return Err(shape(problem, "access_token"));
        }
        if wire
            .token_type
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
        {
            return Err(shape("the token is not a bearer token", "token_type"));
        }
        Ok(Self {
            token,
            life: life(wire.expires_in.as_ref()),
        })
    }
}

/// Reads `expires_in`, a positive number of seconds that may have a fraction. Anything else gives
/// [`DEFAULT_TOKEN_LIFE`].
fn life(expires_in: Option<&Json>) -> Duration {
    let seconds = expires_in.and_then(|value| {
        let whole = value.as_number().map(Duration::from_secs);
        whole.or_else(|| Duration::try_from_secs_f64(value.as_number()?).ok())
    });
    seconds
        .filter(|life| !life.is_zero())
        .unwrap_or(DEFAULT_TOKEN_LIFE)
}

/// A token in JSON. [`Secret`] itself does not implement `Deserialize`, so that users cannot deserialize one by
/// accident.
struct TokenText(Secret);

impl<'de> Deserialize<'de> for TokenText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(|text| Self(Secret::new(text)))
    }
}

/// Returns whether a header can carry the token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn parse(body: &str) -> Result<TokenResponse, Error> {
        TokenResponse::parse(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn documented_response_is_parsed() {
        let response =
            parse(r#"{"access_token":"eyJ.a-b_c","expires_in":3600,"token_type":"Bearer"}"#)
                .unwrap();
        assert_eq!(response.token.expose(), "eyJ.a-b_c");
        assert_eq!(response.life, Duration::from_secs(3600));
    }

    #[test]
    fn invalid_lifetime_becomes_the_default() {
        for life in [
            "1e400",
            "0",
            "-1",
            "-0.5",
            "0.0",
            "\"3600\"",
            "null",
            "true",
            "{}",
            "[1]",
            "1e300",
            "-1e300",
            r#"{"$serde_json::private::Number":"60"}"#,
            r#"{"$serde_json::private::RawValue":"x"}"#,
        ] {
            let response =
                parse(&format!(r#"{{"access_token":"t","expires_in":{life}}}"#)).unwrap();
            assert_eq!(response.life, DEFAULT_TOKEN_LIFE, "{life}");
        }
    }

    #[test]
    fn response_without_a_usable_token_is_an_error_that_does_not_repeat_it() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"hunter2\u0000"}"#,
            r#"{"access_token":"hunter2 x"}"#,
            r#"{"access_token":["hunter2"]}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"{"access_token":"hunter2","token_type":5}"#,
            r#"["hunter2","bearer",3600]"#,
            r#"{"access_token":"a","access_token":"hunter2"}"#,
        ] {
            let error = parse(body).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(
                matches!(error, Error::InvalidResponse(_)),
                "{body}: {shown}"
            );
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(8193));
        assert!(matches!(
            parse(&long),
            Err(Error::Limit { limit: 8192, .. })
        ));
        let longer = format!(r#"{{"access_token":"x","y":"{}"}}"#, "x".repeat(65_536));
        assert!(matches!(
            parse(&longer),
            Err(Error::Limit { limit: 65_536, .. })
        ));
    }
}
