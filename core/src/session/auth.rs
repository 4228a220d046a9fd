//! Chooses between bearer token, service account and API key.

use alloc::boxed::Box;
use core::time::Duration;

use http::{HeaderMap, HeaderValue, Method};

use super::bearer::Bearer;
use super::digest::DigestKey;
use super::service_account::ServiceAccount;
use super::ticket::{RequestAuth, Ticket};
use super::verdict::{Preparation, Unauthorized};
use crate::credentials::CredentialKind;
use crate::redaction::KnownSecrets;
use crate::{Credentials, Limits, Moment, Refused};

pub(super) enum Auth {
    Bearer(Bearer),
    ServiceAccount(Box<ServiceAccount>),
    Digest(DigestKey),
}

impl Auth {
    /// Returns the way to authenticate, and the secrets that must not appear in an error.
    pub(super) fn new(credentials: Credentials) -> (Self, KnownSecrets) {
        match credentials.0 {
            CredentialKind::Bearer(token) => {
                let bearer = Bearer::new(&token);
                (Self::Bearer(bearer), KnownSecrets::new([token]))
            }
            CredentialKind::ServiceAccount { id, secret } => {
                let account = ServiceAccount::new(&id, secret);
                let secrets = account.secrets();
                (Self::ServiceAccount(Box::new(account)), secrets)
            }
            CredentialKind::ApiKey { public, private } => {
                let secrets = KnownSecrets::new([private.clone()]);
                (Self::Digest(DigestKey::new(public, private)), secrets)
            }
        }
    }

    pub(super) fn service_account(&self) -> Option<&ServiceAccount> {
        match self {
            Self::ServiceAccount(account) => Some(account),
            Self::Bearer(_) | Self::Digest(_) => None,
        }
    }

    pub(super) fn service_account_mut(&mut self) -> Option<&mut ServiceAccount> {
        match self {
            Self::ServiceAccount(account) => Some(account),
            Self::Bearer(_) | Self::Digest(_) => None,
        }
    }

    /// Decides what an exchange needs before it sends its own request.
    #[inline]
    pub(super) fn prepare(&mut self, ticket: &mut Ticket, now: Duration) -> Preparation {
        match self {
            Self::Bearer(bearer) => {
                ticket.auth = RequestAuth::Bearer;
                Preparation::Header(bearer.header())
            }
            Self::ServiceAccount(account) => {
                let preparation = account.prepare(&ticket.stage, now);
                if matches!(preparation, Preparation::Header(_)) {
                    ticket.auth = RequestAuth::Token(account.generation());
                }
                preparation
            }
            Self::Digest(_) => Preparation::Sign,
        }
    }

    /// Returns the `Authorization` of a request with this target, after [`Preparation::Sign`]. With `None`, the request
    /// is sent without a credential, so that the server sends a challenge.
    pub(super) fn sign(
        &mut self,
        ticket: &mut Ticket,
        target: &str,
        at: Moment,
    ) -> Option<HeaderValue> {
        match self {
            Self::Digest(key) => {
                key.sign(&mut ticket.auth, Method::GET.as_str(), target, at.entropy)
            }
            Self::Bearer(_) | Self::ServiceAccount(_) => None,
        }
    }

    /// Decides about a 401 response to the exchange's own request.
    pub(super) fn on_unauthorized(
        &mut self,
        ticket: &mut Ticket,
        headers: &HeaderMap,
        limits: &Limits,
        at: Moment,
    ) -> Unauthorized {
        match (self, &ticket.auth) {
            (Self::Digest(key), _) => {
                key.on_unauthorized(&mut ticket.auth, headers, limits, at.entropy)
            }
            (Self::ServiceAccount(account), RequestAuth::Token(generation)) => {
                account.on_unauthorized(*generation, &mut ticket.history, at.now)
            }
            _ => Unauthorized::Final(Refused::Token),
        }
    }

    /// Takes back what an exchange has used and the server has accepted: the nonce of a digest.
    pub(super) fn take_back(&mut self, auth: RequestAuth) {
        if let Self::Digest(key) = self {
            key.check_in(auth);
        }
    }
}
