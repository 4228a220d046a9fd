//! Runs a program of libFuzzer: fuzzing, merging of corpora, and single inputs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::Error;
use crate::build::empty_folder;

/// A target with its program and its folders.
#[derive(Debug)]
pub(crate) struct Engine {
    target: String,
    program: PathBuf,
    /// The folder of this project's fuzz targets.
    fuzz: PathBuf,
    /// The options of the target for libFuzzer, such as `-max_len=4096`.
    options: Vec<String>,
}

/// What a run says about itself.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) executions: u64,
    /// Edges of the control flow that were reached.
    pub(crate) edges: u64,
    /// Edges with a counter of how often they were reached, and compared values.
    pub(crate) features: u64,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) progress: Progress,
    pub(crate) elapsed: Duration,
    /// The CPU time of all processes, where the system tells it, or else the elapsed time of the workers.
    pub(crate) cpu: Duration,
    pub(crate) exit_code: Option<i32>,
    pub(crate) last_lines: String,
}

impl Engine {
    pub(crate) fn new(fuzz: &Path, target: &str, program: PathBuf) -> Result<Self, Error> {
        let options = fuzz.join("options").join(format!("{target}.options"));
        let text = fs::read_to_string(&options)
            .map_err(|error| format!("{} cannot be read: {error}", options.display()))?;
        let engine = Self {
            target: target.to_owned(),
            program,
            fuzz: fuzz.to_owned(),
            options: parse_options(&text),
        };
        fs::create_dir_all(engine.corpus())?;
        fs::create_dir_all(engine.artifacts())?;
        Ok(engine)
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Returns the folder for the inputs that the campaigns found.
    fn corpus(&self) -> PathBuf {
        self.fuzz.join("corpus").join(&self.target)
    }

    /// Returns the folder for the inputs that failed.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.fuzz.join("artifacts").join(&self.target)
    }

    /// Returns the folders with the inputs that are kept in the project.
    fn kept_inputs(&self) -> impl Iterator<Item = PathBuf> {
        let folders = ["seeds", "regressions"].map(|kind| self.fuzz.join(kind).join(&self.target));
        folders.into_iter().filter(|folder| folder.is_dir())
    }

    /// Returns the program with the options of the target.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // A report of a panic needs its place only.
        command
            .env("RUST_BACKTRACE", "0")
            .args(&self.options)
            .stdin(Stdio::null());
        command
    }

    /// Fuzzes for the given time. A failing input does not end it: it is written to the folder for failed inputs.
    pub(crate) fn fuzz(&self, time: Duration, workers: usize) -> Result<Run, Error> {
        let mut command = self.command();
        command
            .arg(format!("-fork={workers}"))
            .args(["-ignore_crashes=1", "-ignore_timeouts=1", "-ignore_ooms=1"])
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(artifact_prefix(&self.artifacts()));
        let dictionary = self
            .fuzz
            .join("dictionaries")
            .join(format!("{}.dict", self.target));
        if dictionary.is_file() {
            let mut argument = OsStr::new("-dict=").to_owned();
            argument.push(dictionary);
            command.arg(argument);
        }
        command.arg(self.corpus()).args(self.kept_inputs());
        let (began, cpu_before) = (Instant::now(), cpu_of_children());
        let output = run(&mut command)?;
        let elapsed = began.elapsed();
        let cpu = cpu_of_children()
            .zip(cpu_before)
            .map(|(after, before)| after - before);
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        Ok(Run {
            progress: lines
                .iter()
                .rev()
                .find_map(|line| parse_progress(line))
                .unwrap_or_default(),
            elapsed,
            cpu: cpu.unwrap_or(elapsed * u32::try_from(workers)?),
            exit_code: output.status.code(),
            last_lines: lines[lines.len().saturating_sub(20)..].join("\n"),
        })
    }

    /// Returns the inputs that failed and are not sorted yet. libFuzzer names them by the kind of failure.
    pub(crate) fn failed_inputs(&self) -> Result<Vec<PathBuf>, Error> {
        let is_new = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            ["crash-", "timeout-", "oom-", "leak-"]
                .iter()
                .any(|kind| name.starts_with(kind))
        };
        let entries = fs::read_dir(self.artifacts())?.collect::<Result<Vec<_>, _>>()?;
        let mut inputs: Vec<_> = entries
            .iter()
            .map(fs::DirEntry::path)
            .filter(is_new)
            .collect();
        inputs.sort();
        Ok(inputs)
    }

    /// Runs one input, and returns whether it fails and what the program wrote.
    pub(crate) fn run_input(&self, input: &Path) -> Result<(bool, String), Error> {
        let output = run(self
            .command()
            .arg(artifact_prefix(&env::temp_dir()))
            .arg(input))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((!output.status.success(), text))
    }

    /// Writes a smaller input that also fails to `smaller`, if there is one within the time.
    pub(crate) fn minimize_input(
        &self,
        input: &Path,
        smaller: &Path,
        time: Duration,
    ) -> Result<(), Error> {
        let mut exact = OsStr::new("-exact_artifact_path=").to_owned();
        exact.push(smaller);
        let mut command = self.command();
        command
            .args([
                "-minimize_crash=1",
                &format!("-max_total_time={}", time.as_secs()),
            ])
            .arg(exact)
            .arg(input);
        run(&mut command)?;
        Ok(())
    }

    /// Leaves only inputs in the corpus that reach something that the others do not reach, the small ones first.
    pub(crate) fn minimize_corpus(&self) -> Result<(), Error> {
        let corpus = self.corpus();
        let beside = |name: &str| corpus.with_file_name(format!(".{}-{name}", self.target));
        let (merged, old) = (beside("merged"), beside("old"));
        empty_folder(&merged)?;
        let output = run(self
            .command()
            .arg("-merge=1")
            .arg(artifact_prefix(&env::temp_dir()))
            .args([&merged, &corpus]))?;
        if !output.status.success() {
            fs::remove_dir_all(&merged)?;
            let text = String::from_utf8_lossy(&output.stderr);
            eprintln!(
                "{}: the corpus was not minimized, and is left as it is:\n{text}",
                self.target
            );
            return Ok(());
        }
        // At every moment one of them is complete.
        if old.exists() {
            fs::remove_dir_all(&old)?;
        }
        fs::rename(&corpus, &old)?;
        fs::rename(&merged, &corpus)?;
        Ok(fs::remove_dir_all(&old)?)
    }

    /// Returns the number of inputs in the corpus, and their bytes.
    pub(crate) fn corpus_size(&self) -> Result<(u64, u64), Error> {
        let mut size = (0, 0);
        for entry in fs::read_dir(self.corpus())? {
            size = (size.0 + 1, size.1 + entry?.metadata()?.len());
        }
        Ok(size)
    }
}

fn artifact_prefix(folder: &Path) -> std::ffi::OsString {
    let mut argument = OsStr::new("-artifact_prefix=").to_owned();
    argument.push(folder);
    argument.push("/");
    argument
}

fn run(command: &mut Command) -> Result<Output, Error> {
    let program = Path::new(command.get_program()).to_owned();
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    Ok(output.map_err(|error| format!("{} was not started: {error}", program.display()))?)
}

/// Parses the options for an engine, in the format of ClusterFuzz: a section `[libfuzzer]` with lines `name = value`.
fn parse_options(text: &str) -> Vec<String> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[libfuzzer]")
        .skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| format!("-{}={}", name.trim(), value.trim()))
        .collect()
}

/// Parses a line such as `#5163: cov: 612 ft: 2054 corp: 95 exec/s: 172 …`.
fn parse_progress(line: &str) -> Option<Progress> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    let executions = words.next()?.trim_end_matches(':').parse().ok()?;
    let rest: Vec<&str> = words.collect();
    let number = |name: &str| {
        let at = rest.iter().position(|word| *word == name)?;
        rest.get(at + 1)?.parse().ok()
    };
    Some(Progress {
        executions,
        edges: number("cov:")?,
        features: number("ft:")?,
    })
}

/// Returns the CPU time of the processes that were waited for. Only Linux tells it without a library.
fn cpu_of_children() -> Option<Duration> {
    parse_cpu_of_children(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Parses `/proc/self/stat` (proc_pid_stat(5)): `cutime` and `cstime` are the fields 16 and 17, in hundredths of a second.
fn parse_cpu_of_children(stat: &str) -> Option<Duration> {
    // The second field, the name in parentheses, may contain spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(13).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_the_lines_of_both_modes() {
        let expected = Progress {
            executions: 5163,
            edges: 612,
            features: 2054,
        };
        for line in [
            "#5163: cov: 612 ft: 2054 corp: 95 exec/s: 172 oom/timeout/crash: 0/0/0 time: 10s job: 5 dft_time: 0",
            "#5163	NEW    cov: 612 ft: 2054 corp: 95/17Kb lim: 104 exec/s: 172 rss: 41Mb L: 33/104 MS: 1 EraseBytes-",
        ] {
            assert_eq!(parse_progress(line).as_ref(), Some(&expected), "{line}");
        }
        for line in [
            "INFO: exiting: 0 time: 16s",
            "#x cov: 1 ft: 1",
            "#12 INITED exec/s: 0",
            "",
        ] {
            assert_eq!(parse_progress(line), None, "{line}");
        }
    }

    #[test]
    fn options_of_the_section_become_flags() {
        let text = "[asan]\nhandle_abort = 1\n\n[libfuzzer]\nmax_len = 512\ntimeout=5\n[afl]\nmax_len = 1\n";
        assert_eq!(parse_options(text), ["-max_len=512", "-timeout=5"]);
        assert!(parse_options("max_len = 5").is_empty());
    }

    #[test]
    fn cpu_time_is_read_after_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 300 45 20 0 1 0 9";
        assert_eq!(
            parse_cpu_of_children(stat),
            Some(Duration::from_millis(3450))
        );
        assert_eq!(parse_cpu_of_children("7 (a"), None);
    }
}
