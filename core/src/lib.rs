//! The protocol of listing AI model API keys of MongoDB Atlas projects, without I/O.
#![no_std]

extern crate alloc;

mod api_error;
mod base_url;
mod credentials;
mod decode;
pub mod digest;
mod error;
mod invalid;
mod key;
mod limits;
mod listing;
mod page;
mod params;
mod reply;
mod request;
mod retry;
mod secret;
mod session;
mod text;
mod timestamp;
mod version;

pub use api_error::{ApiError, Endpoint, FieldViolation};
pub use base_url::BaseUrl;
pub use credentials::Credentials;
pub use error::{AnswerError, AnswerErrorKind, Error, FailureKind, Refused};
pub use invalid::InvalidValue;
pub use key::{ModelKey, OwnedModelKey};
pub use limits::Limits;
pub use listing::Listing;
pub use page::{Keys, Link, Page};
pub use params::{GroupId, ItemsPerPage, PageNum};
pub use reply::{RateLimit, Reply};
pub use request::ListRequest;
pub use retry::RetryPolicy;
pub use secret::{Body, Secret, SecretStr};
pub use session::{Exchange, Failure, Moment, Pending, Session, Step, Wait};
pub use text::is_unsafe_to_show;
pub use timestamp::{Timestamp, UnixTime};
pub use version::ApiVersion;
