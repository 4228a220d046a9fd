//! What is different on Windows: Ctrl-C, text that is not Unicode, and a closed stdout.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::windows::ffi::OsStringExt as _;
use std::os::windows::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::scripted::{GROUP, Scripted, page};
use crate::support::{command, finish, run};

/// A process group of its own, so that Ctrl-Break reaches the command alone.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// Sends Ctrl-Break. The handler of Ctrl-C gets it, too, and Ctrl-C itself cannot be sent to one process.
const SEND_CTRL_BREAK: &str =
    "import os, signal, sys; os.kill(int(sys.argv[1]), signal.CTRL_BREAK_EVENT)";

/// Runs a command whose stdout has no handle. With a console it would get one.
const CLOSE_STDOUT: &str = "import msvcrt, subprocess, sys; \
     handles = subprocess.STARTUPINFO( \
         dwFlags=subprocess.STARTF_USESTDHANDLES, hStdError=msvcrt.get_osfhandle(2)); \
     sys.exit(subprocess.call(sys.argv[1:], startupinfo=handles, close_fds=False, \
         creationflags=subprocess.DETACHED_PROCESS))";

/// Returns Python with a script. It calls functions of the system that std does not have.
fn python(script: &str) -> Command {
    let mut python = Command::new("python");
    python.args(["-c", script]);
    python
}

#[test]
fn ctrl_break_ends_a_waiting_listing_with_130_and_whole_rows() {
    let (silent, answers) = Scripted::new();
    answers.send(page(&["a"], true, 2)).unwrap();
    let mut child = command(&["list", "-o", "csv"], &silent.environment())
        .creation_flags(CREATE_NEW_PROCESS_GROUP)
        .spawn()
        .unwrap();
    // The second row of the output was written, so the command waits for the second page.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut written = String::new();
    while written.lines().count() < 2 {
        stdout.read_line(&mut written).unwrap();
    }
    let id = child.id().to_string();
    let sent = python(SEND_CTRL_BREAK).arg(id).status().unwrap();
    assert!(sent.success());
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    let told = format!("error: interrupted: 1 of about 2 keys of project {GROUP} were written\n");
    assert_eq!(outcome.stderr, told);
    assert!(written.ends_with('\n'), "{written:?}");
}

#[test]
fn variable_that_is_not_unicode_is_2_and_named() {
    // A surrogate without its pair.
    let broken = OsString::from_wide(&[0xd800]);
    let child = command(&["list", "--group-id", GROUP], &[])
        .env("MONGODB_ATLAS_ACCESS_TOKEN", &broken)
        .spawn()
        .unwrap();
    let error = finish(child).failure(2);
    assert!(error.contains("MONGODB_ATLAS_ACCESS_TOKEN"), "{error}");
}

#[test]
fn argument_that_is_not_unicode_is_2() {
    let child = command(&["list"], &[])
        .arg(OsString::from_wide(&[0xd800]))
        .spawn()
        .unwrap();
    finish(child).failure(2);
}

#[test]
fn unrelated_variable_that_is_not_unicode_is_ignored() {
    let child = command(&["list", "--demo", "-o", "csv"], &[])
        .env("UNRELATED", OsString::from_wide(&[0xd800]))
        .spawn()
        .unwrap();
    assert_eq!(finish(child).code, Some(0));
}

#[test]
fn closed_stdout_is_an_error() {
    let exe = env!("CARGO_BIN_EXE_atlas-model-keys");
    let child = python(CLOSE_STDOUT)
        .args([exe, "list", "--demo"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("stdout is closed"),
        "{}",
        outcome.stderr
    );
    // With a stdout it works.
    assert_eq!(run(&["list", "--demo"], &[]).code, Some(0));
}
