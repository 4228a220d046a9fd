//! The macro that writes the setters of the settings.

/// Defines a setter for each field. A field of type `Option<T>` that is written as `some T` is set to `Some`.
macro_rules! setters {
    ($($setter:ident $field:ident $type:ty),* $(; some $($some:ident $some_field:ident $inner:ty),*)?) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
        $($(
            #[doc = concat!("Sets [`", stringify!($some_field), "`](Self::", stringify!($some_field), ").")]
            #[must_use]
            pub fn $some(mut self, $some_field: impl Into<$inner>) -> Self {
                self.$some_field = Some($some_field.into());
                self
            }
        )*)?
    };
}

pub(crate) use setters;
