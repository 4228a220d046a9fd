//! What must come, computed independently of the code that is checked.

pub(crate) mod atlas_model;
pub(crate) mod base_url;
pub(crate) mod credentials;
pub(crate) mod derived;
pub(crate) mod digest;
pub(crate) mod digest_answer;
pub(crate) mod drift;
pub(crate) mod http_grammar;
pub(crate) mod http_request;
pub(crate) mod json;
pub(crate) mod no_proxy;
pub(crate) mod paging;
pub(crate) mod redaction;
pub(crate) mod session_model;
pub(crate) mod session_text;
pub(crate) mod shown;
pub(crate) mod timestamp;
pub(crate) mod unicode;
pub(crate) mod ureq_response;
