/// Defines a target's `main`: libFuzzer's under cargo-fuzz, otherwise one that checks files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name::check(input));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::process::ExitCode {
            $crate::main($crate::$name::check)
        }
    };
}
