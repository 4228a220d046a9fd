//! The macro that writes the setters of `Limits` and `RetryPolicy`.

/// Defines a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident $type:ty),*) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
    };
}

pub(crate) use setters;
