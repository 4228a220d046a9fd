//! The programs that fuzzing engines run: each passes the inputs of an engine to a target of
//! `atlas_model_keys_properties`.

#[doc(hidden)]
pub use atlas_model_keys_properties as properties;

#[cfg(any(
    all(feature = "libfuzzer", any(feature = "afl", feature = "honggfuzz")),
    all(feature = "afl", feature = "honggfuzz"),
))]
compile_error!(
    "a program has one engine: use --no-default-features with the feature of another engine than libFuzzer"
);

/// Defines the `main` of a target: that of the engine, or else one that checks the files named on the command line. With a
/// mutator (a module of `generators`), libFuzzer uses it for three of four changes.
///
/// The feature selects the engine, because all of them compile with `cfg(fuzzing)`. A target that measures memory needs
/// `counting`, which links an allocator that counts.
#[macro_export]
macro_rules! target {
    (counting $name:ident) => {
        mod counted {
            /// Counts the memory that a check takes.
            pub fn check(input: &[u8]) {
                $crate::properties::allocations::count_with(|work| {
                    ::allocation_counter::measure(work).bytes_max
                });
                $crate::properties::targets::$name::check(input);
            }
        }

        $crate::target!(@check counted::check);
    };
    ($name:ident, $mutator:ident) => {
        $crate::target!($name);

        #[cfg(all(fuzzing, feature = "libfuzzer"))]
        ::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                        size: usize,
                                        max_size: usize,
                                        seed: u32| {
            match seed % 4 {
                0 => ::libfuzzer_sys::fuzzer_mutate(data, size, max_size),
                _ => $crate::properties::generators::$mutator::mutate(data, size, max_size, seed),
            }
        });
    };
    ($name:ident) => {
        $crate::target!(@check $crate::properties::targets::$name::check);
    };
    (@check $check:path) => {
        #[cfg(all(fuzzing, feature = "libfuzzer"))]
        ::libfuzzer_sys::fuzz_target!(|input: &[u8]| $check(input));

        #[cfg(all(fuzzing, feature = "afl"))]
        fn main() {
            ::afl::fuzz!(|input: &[u8]| $check(input));
        }

        #[cfg(all(fuzzing, feature = "honggfuzz"))]
        fn main() {
            loop {
                ::honggfuzz::fuzz!(|input: &[u8]| {
                    $check(input);
                });
            }
        }

        #[cfg(not(fuzzing))]
        fn main() -> ::std::process::ExitCode {
            $crate::properties::main($check)
        }
    };
}
