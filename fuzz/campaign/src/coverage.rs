//! Measures which regions of the core's code the inputs reach, with the compiler's instrumentation and LLVM's tools.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Error;
use crate::build::{empty_folder, target_folder};

/// Runs the targets with their seeds, regressions and corpora, and prints the regions of each file of the core.
pub(crate) fn report(fuzz: &Path, targets: &[String]) -> Result<(), Error> {
    let (profdata, cov) = (tool("llvm-profdata")?, tool("llvm-cov")?);
    let folder = target_folder(fuzz).join("coverage");
    let profiles = folder.join("profiles");
    empty_folder(&profiles)?;
    let mut build = Command::new("cargo");
    build
        .args(["build", "--bins", "--profile", "release", "--target-dir"])
        .arg(&folder)
        .current_dir(fuzz)
        .env("RUSTFLAGS", "-C instrument-coverage -C debug-assertions")
        // Build scripts and macros are instrumented, too. Without a name they write into the sources.
        .env("LLVM_PROFILE_FILE", folder.join("build.profraw"));
    if !build.status()?.success() {
        return Err("the targets were not built for the coverage".into());
    }
    let mut programs = Vec::new();
    for target in targets {
        let program = folder.join("release").join(target);
        let inputs = ["seeds", "regressions", "corpus"].map(|kind| fuzz.join(kind).join(target));
        eprintln!("{target}: running all inputs");
        let status = Command::new(&program)
            .args(inputs.iter().filter(|folder| folder.is_dir()))
            .env(
                "LLVM_PROFILE_FILE",
                profiles.join(format!("{target}.profraw")),
            )
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("an input of {target} fails").into());
        }
        programs.push(program);
    }
    let merged = folder.join("all.profdata");
    let mut merge = Command::new(&profdata);
    merge
        .args(["merge", "--sparse", "--output"])
        .arg(&merged)
        .arg(&profiles);
    if !merge.status()?.success() {
        return Err(format!("{} failed", profdata.display()).into());
    }
    let core = fs::canonicalize(fuzz.join("../core/src"))?;
    let mut export = Command::new(&cov);
    export
        .args(["export", "--summary-only", "--instr-profile"])
        .arg(&merged);
    let mut objects = programs.iter();
    export.args(objects.next());
    for program in objects {
        export.arg("--object").arg(program);
    }
    let output = export
        .arg("--sources")
        .arg(&core)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} failed", cov.display()).into());
    }
    print!(
        "{}",
        table(&serde_json::from_slice(&output.stdout)?, &core)?
    );
    Ok(())
}

/// Writes the regions of each file, those with the most missing regions first.
fn table(export: &Value, folder: &Path) -> Result<String, Error> {
    let files = export["data"][0]["files"]
        .as_array()
        .ok_or("llvm-cov wrote no files")?;
    let mut rows = Vec::new();
    for file in files {
        let regions = &file["summary"]["regions"];
        let number = |name: &str| regions[name].as_u64().ok_or("llvm-cov wrote no regions");
        let name = file["filename"].as_str().unwrap_or_default();
        let name = Path::new(name)
            .strip_prefix(folder)
            .unwrap_or(Path::new(name));
        rows.push((
            number("count")?,
            number("covered")?,
            name.display().to_string(),
        ));
    }
    rows.sort_by_key(|(count, covered, name)| {
        (Reverse(count.saturating_sub(*covered)), name.clone())
    });
    let sum = |f: fn(&(u64, u64, String)) -> u64| rows.iter().map(f).sum::<u64>();
    rows.push((sum(|row| row.0), sum(|row| row.1), "all".into()));
    let mut text = format!("{:>8} {:>8} {:>7}  file\n", "regions", "missing", "reached");
    for (count, covered, name) in &rows {
        let share = 100.0 * *covered as f64 / (*count).max(1) as f64;
        text += &format!(
            "{count:>8} {:>8} {share:>6.1}%  {name}\n",
            count.saturating_sub(*covered)
        );
    }
    Ok(text)
}

/// Returns a tool of the compiler's version of LLVM: Debian's, or the newest one.
fn tool(name: &str) -> Result<PathBuf, Error> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version
        .and_then(|version| version.split('.').next())
        .unwrap_or_default();
    let names = [format!("{name}-{major}"), name.to_owned()];
    let works = |name: &&String| {
        let mut command = Command::new(name);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    match names.iter().find(works) {
        Some(found) => Ok(found.into()),
        None => Err(format!(
            "{name} is not here. Install LLVM {major}, the version of the compiler (apt-get install llvm-{major})"
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_the_most_missing_regions_are_first() {
        let file = |name: &str, count: u64, covered: u64| serde_json::json!({"filename": name, "summary": {"regions": {"count": count, "covered": covered}}});
        let export = serde_json::json!({"data": [{"files": [
            file("/core/src/a.rs", 10, 10), file("/core/src/b.rs", 30, 27), file("/core/src/c.rs", 5, 4),
        ]}]});
        let text = table(&export, Path::new("/core/src")).expect("the export is complete");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["30", "3", "90.0%", "b.rs"]);
        assert_eq!(lines[2], ["5", "1", "80.0%", "c.rs"]);
        assert_eq!(lines[4], ["45", "4", "91.1%", "all"]);
        assert!(table(&serde_json::json!({}), Path::new("")).is_err());
    }
}
