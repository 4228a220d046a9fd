//! The table of a key's documented fields. The decoder, both key types and drift are made from it.

/// Calls a macro with the table of a key's fields.
///
/// A row is the field's documentation, its variant of [`KeyField`], its name in Atlas's JSON, its accessor on both
/// key types, the type of its value (`text`, `time` or `secret`), and the first version that has it.
macro_rules! with_key_fields {
    ($then:ident) => {
        $then! {
            /// `apiKeyId`: the identifier of the key. It is not 24 hexadecimal digits, unlike a group id.
            ApiKeyId "apiKeyId" api_key_id text preview,
            /// `cloud` (since 2025-03-12), such as `ANY`.
            Cloud "cloud" cloud text dated,
            /// `createdAt`: when the key was created.
            CreatedAt "createdAt" created_at time preview,
            /// `createdBy`: the name of the person or service account that created the key, or its id if it has no
            /// name.
            CreatedBy "createdBy" created_by text preview,
            /// `endpoint` (since 2025-03-12), such as `ai.mongodb.com`.
            Endpoint "endpoint" endpoint text dated,
            /// `geography` (since 2025-03-12), such as `ANY`.
            Geography "geography" geography text dated,
            /// `groupId`, as received. Compare it with [`GroupId::as_str`](crate::GroupId::as_str).
            GroupId "groupId" group_id text preview,
            /// `lastUsedAt`: when the key was last used. It is absent or null until the first use.
            LastUsedAt "lastUsedAt" last_used_at time preview,
            /// `maskedSecret`, such as `al-****odu2`.
            MaskedSecret "maskedSecret" masked_secret text preview,
            /// `name`: 1 to 250 characters in any script. It may hold control characters; see
            /// [`is_unsafe_to_show`](crate::is_unsafe_to_show).
            Name "name" name text preview,
            /// `secret`: the key itself, a live credential. A list should not contain it, but the documented example does.
            Secret "secret" secret secret preview,
            /// `status`: `ACTIVE` is the only value that has been seen.
            Status "status" status text preview,
        }
    };
}

pub(crate) use with_key_fields;

macro_rules! define_key_field {
    ($($(#[$doc:meta])* $field:ident $name:literal $accessor:ident $value:ident $since:ident,)*) => {
        /// A documented field of a key. The fields are in alphabetical order, as Atlas writes them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum KeyField {
            $($(#[$doc])* $field,)*
        }

        impl KeyField {
            /// All documented fields, in Atlas's order.
            pub const ALL: &'static [Self] = &[$(Self::$field),*];

            /// Returns the field's name in Atlas's JSON, such as `apiKeyId`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)*
                }
            }

            /// Returns the field with this name in Atlas's JSON, or `None` if the name is not documented.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::from_bytes(name.as_bytes())
            }

            /// Returns the field with this name. It is a `match` and not a search in [`ALL`](Self::ALL) for speed: the
            /// decoder calls it for every field of every key.
            #[allow(non_upper_case_globals)] // The constants have the names of the variants.
            pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
                $(const $field: &[u8] = $name.as_bytes();)*
                match name {
                    $($field => Some(Self::$field),)*
                    _ => None,
                }
            }

            /// Returns what compact JSON has before the text of the field, such as `"name":"`.
            pub(crate) const fn before_text(self) -> &'static [u8] {
                match self {
                    $(Self::$field => concat!("\"", $name, "\":\"").as_bytes(),)*
                }
            }

            /// Returns whether the value is a timestamp.
            #[must_use]
            pub const fn is_timestamp(self) -> bool {
                match self {
                    $(Self::$field => is_timestamp!($value),)*
                }
            }

            /// Returns whether the value is a credential, which must not be shown.
            #[must_use]
            pub const fn is_secret(self) -> bool {
                matches!(self, Self::Secret)
            }

            /// Returns whether the preview version of the resource has the field. The version 2025-03-12 has all fields.
            #[must_use]
            pub const fn is_in_preview(self) -> bool {
                match self {
                    $(Self::$field => is_in_preview!($since),)*
                }
            }
        }
    };
}

macro_rules! is_timestamp {
    (time) => {
        true
    };
    ($other:ident) => {
        false
    };
}

macro_rules! is_in_preview {
    (preview) => {
        true
    };
    (dated) => {
        false
    };
}

with_key_fields!(define_key_field);

impl core::fmt::Display for KeyField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_lead_back_to_their_fields() {
        for (position, field) in KeyField::ALL.iter().copied().enumerate() {
            assert_eq!(field as usize, position);
            assert_eq!(KeyField::from_name(field.name()), Some(field));
        }
        assert_eq!(KeyField::from_name("Name"), None);
        assert!(KeyField::ALL.is_sorted_by_key(|field| field.name()));
    }
}
