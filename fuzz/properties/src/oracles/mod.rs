//! What must come, computed independently of the code that is checked.

pub(crate) mod atlas_model;
pub(crate) mod derived;
pub(crate) mod digest;
pub(crate) mod drift;
pub(crate) mod http_grammar;
pub(crate) mod http_request;
pub(crate) mod json;
pub(crate) mod paging;
pub(crate) mod redaction;
pub(crate) mod shown;
