//! The columns of a table or CSV.

use atlas_model_keys_core::KeyField;

use super::field;
use crate::args::{Format, ListArgs};
use crate::failure::CommandError;

/// Returns the columns of a table or CSV.
pub(crate) fn columns(args: &ListArgs) -> Result<Vec<KeyField>, CommandError> {
    let Some(columns) = &args.columns else {
        return Ok(match args.output {
            Format::Csv => KeyField::ALL
                .iter()
                .copied()
                .filter(|field| args.show_secrets || *field != KeyField::Secret)
                .collect(),
            _ => {
                let secret = args.show_secrets.then_some(KeyField::Secret);
                field::TABLE.into_iter().chain(secret).collect()
            }
        });
    };
    if !matches!(args.output, Format::Table | Format::Csv) {
        return Err(
            CommandError::usage("--columns goes with the formats table and csv only")
                .hint("for JSON, choose with jq: … -o ndjson | jq '{name, lastUsedAt}'"),
        );
    }
    let columns: Vec<_> = columns.iter().map(|column| column.0).collect();
    if columns.contains(&KeyField::Secret) && !args.show_secrets {
        return Err(CommandError::usage(
            "the column secret is shown only with --show-secrets",
        ));
    }
    Ok(columns)
}
