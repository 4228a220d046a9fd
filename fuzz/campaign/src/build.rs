//! Compiles the programs with cargo-fuzz. Only the crates in which a campaign searches are instrumented.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use crate::Error;
use crate::arguments::Sanitizer;

/// Set for the compiler that cargo-fuzz starts, which is this program.
const IS_WRAPPER: &str = "ATLAS_MODEL_KEYS_CAMPAIGN_WRAPPER";

/// The crates in which new coverage means a new behaviour of the project. The others are libraries, and the properties with
/// the implementations that the core is compared with: without their coverage a target runs twice as often, and reaches more
/// of the core in the same time.
const INSTRUMENTED: [&str; 4] = [
    "atlas_model_keys_core",
    "atlas_model_keys_emulator",
    "atlas_model_keys_transport",
    "httparse",
];

/// Compiles the programs, and returns their folder.
pub(crate) fn targets(
    fuzz: &Path,
    sanitizer: Sanitizer,
    targets: &[String],
) -> Result<PathBuf, Error> {
    let (toolchain, name) = match sanitizer {
        Sanitizer::None => (None, "none"),
        // The flag of the compiler is not stable.
        Sanitizer::Address => (Some("+nightly"), "address"),
    };
    let cargo = || {
        let mut command = Command::new("cargo");
        // What `cargo run` and rustup set is for this program.
        for variable in [
            "CARGO",
            "RUSTUP_TOOLCHAIN",
            "RUSTC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            command.env_remove(variable);
        }
        command.args(toolchain).current_dir(fuzz);
        command
    };
    // A folder of its own: cargo does not see that the flags differ.
    let folder = target_folder(fuzz).join("campaign");
    let host = host(&mut cargo())?;
    let (one, rest) = targets.split_first().ok_or("no target is chosen")?;
    let mut build = cargo();
    build
        .args(["fuzz", "build", "--sanitizer", name, "--target-dir"])
        .arg(&folder)
        .env("RUSTC_WRAPPER", env::current_exe()?)
        .env(IS_WRAPPER, "1");
    // Without a name cargo-fuzz builds all.
    if rest.is_empty() {
        build.arg(one);
    }
    eprintln!("building");
    if !build.status()?.success() {
        return Err("the targets were not built. This needs a C++ compiler (such as Debian's g++) and cargo-fuzz \
             (cargo install --locked cargo-fuzz); --sanitizer address also needs a nightly toolchain"
            .into());
    }
    Ok(folder.join(host).join("release"))
}

/// Returns the folder in which cargo writes what it builds.
pub(crate) fn target_folder(fuzz: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => env::current_dir().unwrap_or_default().join(folder),
        None => fuzz.join("target"),
    }
}

/// Returns the name of this platform, such as `x86_64-unknown-linux-gnu`.
fn host(cargo: &mut Command) -> Result<String, Error> {
    let output = cargo.arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .ok_or("cargo does not say for which platform it compiles")?
        .to_owned())
}

/// Runs the compiler if cargo started this program as its wrapper.
pub(crate) fn run_as_compiler_wrapper() -> Option<ExitCode> {
    env::var_os(IS_WRAPPER)?;
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next()?;
    let status = Command::new(compiler)
        .args(compiler_arguments(arguments.collect()))
        .status();
    Some(match status {
        Ok(status) => ExitCode::from(u8::from(!status.success())),
        Err(error) => {
            eprintln!("error: the compiler was not started: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Removes the flags for instrumentation, unless the crate is one of those to search in. cargo-fuzz compiles each crate as one
/// unit, because instrumented functions cannot be inlined across units. The other crates have several units, which are compiled
/// at the same time.
fn compiler_arguments(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut following = arguments
        .iter()
        .skip_while(|argument| *argument != "--crate-name");
    let name = following.nth(1).map(|name| name.to_string_lossy());
    let is_instrumented = name.is_some_and(|name| INSTRUMENTED.contains(&&*name));
    let is_flag = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.contains("passes=sancov")
            || text.contains("llvm-args=-sanitizer-coverage")
            || text == "-Ccodegen-units=1"
    };
    let is_kept = |argument: &OsString| is_instrumented || !is_flag(argument);
    arguments.into_iter().filter(is_kept).collect()
}

/// Removes a folder if it is there, and creates it.
pub(crate) fn empty_folder(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crates_to_search_in_keep_the_flags() {
        let flags = [
            "-Cpasses=sancov-module",
            "-Cllvm-args=-sanitizer-coverage-level=4",
            "-Ccodegen-units=1",
            "-Copt-level=3",
        ];
        let arguments = |name: &str| -> Vec<OsString> {
            ["--crate-name", name]
                .iter()
                .chain(&flags)
                .map(OsString::from)
                .collect()
        };
        for name in ["atlas_model_keys_core", "httparse"] {
            assert_eq!(compiler_arguments(arguments(name)), arguments(name));
        }
        for name in ["atlas_model_keys_properties", "chrono"] {
            let expected = ["--crate-name", name, "-Copt-level=3"].map(OsString::from);
            assert_eq!(compiler_arguments(arguments(name)), expected);
        }
        let question = compiler_arguments(vec!["-vV".into()]);
        assert_eq!(question, ["-vV"].map(OsString::from));
    }
}
