//! The file of `--data`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use atlas_model_keys_core::InvalidValue;
use atlas_model_keys_emulator::Data;

use crate::failure::CommandError;

/// Reads the keys and projects of a file, or of stdin if the path is `-`.
pub(super) fn read(path: &Path) -> Result<Data, CommandError> {
    let shown = shown_path(path);
    let failure = |error| CommandError::local(format!("cannot read {shown}"), &error);
    // One byte too many shows that there are more.
    let limit = u64::try_from(Data::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut json = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(limit).read_to_end(&mut json),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json)),
    };
    read.map_err(failure)?;
    Data::from_json(&json).map_err(|invalid| {
        failure(io::Error::new(io::ErrorKind::InvalidData, invalid))
            .hint("the output of `atlas-model-keys list -o ndjson` is valid data")
    })
}

/// Returns the path of a file as it may be shown.
pub(super) fn shown_path(path: &Path) -> Cow<'_, str> {
    let shown = path.to_string_lossy();
    match InvalidValue::looks_like_credential(&shown) {
        true => "[redacted]".into(),
        false => shown,
    }
}
