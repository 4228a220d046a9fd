//! The credentials, from the environment. They are never arguments, because arguments are in the shell's
//! history and in the process list that all users can read.

use atlas_model_keys_core::{Credentials, InvalidValue};

use crate::environment::{
    ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, Environment, PRIVATE_KEY, PRIVATE_KEY_SHORT,
    PUBLIC_KEY, PUBLIC_KEY_SHORT,
};
use crate::failure::CommandError;

/// The three ways to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    AccessToken,
    ServiceAccount,
    ApiKey,
}

impl Way {
    /// Returns the kind of the credential and its variable, for errors.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::AccessToken => format!("the access token in {ACCESS_TOKEN}"),
            Self::ServiceAccount => format!("the service account in {CLIENT_ID}"),
            Self::ApiKey => format!("the API key in {PUBLIC_KEY} (or {PUBLIC_KEY_SHORT})"),
        }
    }
}

/// Returns the first credential that is set, and its way.
pub(crate) fn find(environment: &Environment) -> Result<(Credentials, Way), CommandError> {
    if let Some(token) = environment.get(ACCESS_TOKEN)? {
        return checked(Credentials::bearer(token), Way::AccessToken, environment);
    }
    if let Some(account) = find_service_account(environment)? {
        return Ok(account);
    }
    let public = either(environment, PUBLIC_KEY, PUBLIC_KEY_SHORT)?;
    let private = either(environment, PRIVATE_KEY, PRIVATE_KEY_SHORT)?;
    if let Some((public, private)) = both((PUBLIC_KEY, public), (PRIVATE_KEY, private))? {
        let credentials = Credentials::api_key(public, private);
        return checked(credentials, Way::ApiKey, environment);
    }
    Err(
        CommandError::usage("there are no credentials in the environment")
            .hint(format!(
                "set {ACCESS_TOKEN} (an access token),\n\
             or {CLIENT_ID} and {CLIENT_SECRET} (a service account),\n\
             or {PUBLIC_KEY} and {PRIVATE_KEY} (an API key)"
            ))
            .hint("to try it without an account: atlas-model-keys list --demo"),
    )
}

/// Returns the service account, which is needed to get or to revoke a token.
pub(crate) fn service_account(
    environment: &Environment,
) -> Result<(Credentials, Way), CommandError> {
    find_service_account(environment)?.ok_or_else(|| {
        CommandError::usage("access tokens are those of a service account, and there is none")
            .hint(format!("set {CLIENT_ID} and {CLIENT_SECRET}"))
            .hint("an API key has no access tokens, and needs none")
    })
}

fn find_service_account(
    environment: &Environment,
) -> Result<Option<(Credentials, Way)>, CommandError> {
    let id = environment.get(CLIENT_ID)?;
    let secret = environment.get(CLIENT_SECRET)?;
    both((CLIENT_ID, id), (CLIENT_SECRET, secret))?
        .map(|(id, secret)| {
            let credentials = Credentials::service_account(id, secret);
            checked(credentials, Way::ServiceAccount, environment)
        })
        .transpose()
}

fn either<'e>(
    environment: &'e Environment,
    name: &'static str,
    other: &'static str,
) -> Result<Option<&'e str>, CommandError> {
    match environment.get(name)? {
        Some(value) => Ok(Some(value)),
        None => environment.get(other),
    }
}

/// Returns both values, or `None` if both are unset. Half a pair is an error: using another credential instead
/// would hide the mistake.
fn both<'e>(
    (first_name, first): (&str, Option<&'e str>),
    (second_name, second): (&str, Option<&'e str>),
) -> Result<Option<(&'e str, &'e str)>, CommandError> {
    let half = |there: &str, missing: &str| {
        Err(CommandError::usage(format!("{missing} is missing"))
            .hint(format!("{there} is set: both are needed")))
    };
    match (first, second) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        (Some(_), None) => half(first_name, second_name),
        (None, Some(_)) => half(second_name, first_name),
    }
}

fn checked(
    credentials: Result<Credentials, InvalidValue>,
    way: Way,
    environment: &Environment,
) -> Result<(Credentials, Way), CommandError> {
    credentials
        .map(|credentials| (credentials, way))
        .map_err(|invalid| {
            // A variable may have two names; this is the one that was read.
            let read = |name, short| match environment.get(name) {
                Ok(None) => short,
                _ => name,
            };
            let variable = match invalid.parameter() {
                "client id" => CLIENT_ID,
                "client secret" => CLIENT_SECRET,
                "public key" => read(PUBLIC_KEY, PUBLIC_KEY_SHORT),
                "private key" => read(PRIVATE_KEY, PRIVATE_KEY_SHORT),
                _ => ACCESS_TOKEN,
            };
            CommandError::usage(invalid.to_string()).hint(format!("look at {variable}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way<const N: usize>(variables: [(&str, &str); N]) -> Result<Way, String> {
        find(&Environment::from(variables))
            .map(|(_, way)| way)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn first_of_the_three_ways_is_used() {
        let all = [
            (ACCESS_TOKEN, "token"),
            (CLIENT_ID, "mdb_sa_id_1"),
            (CLIENT_SECRET, "mdb_sa_sk_1"),
            (PUBLIC_KEY, "abcdefgh"),
            (PRIVATE_KEY, "hunter2"),
        ];
        assert_eq!(way(all), Ok(Way::AccessToken));
        let [_, rest @ ..] = all;
        assert_eq!(way(rest), Ok(Way::ServiceAccount));
        let [.., public, private] = all;
        assert_eq!(way([public, private]), Ok(Way::ApiKey));
        assert_eq!(
            way([(PUBLIC_KEY_SHORT, "abcdefgh"), (PRIVATE_KEY_SHORT, "x")]),
            Ok(Way::ApiKey)
        );
        assert_eq!(way([(ACCESS_TOKEN, ""), public, private]), Ok(Way::ApiKey));
    }

    #[test]
    fn half_a_pair_is_an_error_that_names_the_missing_half() {
        for (there, missing) in [
            (CLIENT_ID, CLIENT_SECRET),
            (CLIENT_SECRET, CLIENT_ID),
            (PUBLIC_KEY, PRIVATE_KEY),
            (PRIVATE_KEY_SHORT, PUBLIC_KEY),
        ] {
            let error = way([(there, "hunter2")]).unwrap_err();
            assert!(
                error.starts_with(&format!("error: {missing} is missing")),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn missing_credentials_are_an_error_that_lists_the_ways() {
        let error = way([]).unwrap_err();
        for name in [
            ACCESS_TOKEN,
            CLIENT_ID,
            CLIENT_SECRET,
            PUBLIC_KEY,
            PRIVATE_KEY,
            "--demo",
        ] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn error_of_a_wrong_value_names_the_variable_but_not_the_value() {
        let error = way([(ACCESS_TOKEN, "Bearer hunter2")]).unwrap_err();
        assert!(
            error.contains(ACCESS_TOKEN) && !error.contains("hunter2"),
            "{error}"
        );
    }
}
