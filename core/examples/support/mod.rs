//! The clock and the random source of the examples, which the core does not have.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use atlas_model_keys_core::Moment;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Returns the current time and fresh randomness, for one call of a session.
pub(crate) fn moment() -> Result<Moment, BoxError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)?;
    Ok(Moment::new(now, entropy))
}
