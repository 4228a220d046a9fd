//! Tables on a terminal, which is the other end of a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use atlas_model_keys_emulator::Config;

use crate::support::{Atlas, Login, command, finish};

/// Returns both ends of a terminal of this width.
pub(crate) fn terminal(width: u16) -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size).unwrap();
    (ours.into(), theirs.into())
}

/// Returns what a listing shows on a terminal of this width.
fn shown(atlas: &Atlas, width: u16, arguments: &[&str]) -> String {
    let (mut ours, theirs) = terminal(width);
    let mut environment = atlas.environment(Login::Token);
    environment.push(("NO_COLOR", "1".to_owned()));
    // The width is that of the terminal, whatever the shell says.
    environment.push(("COLUMNS", "33".to_owned()));
    let child = command(&[&["list"], arguments].concat(), &environment)
        .stdout(Stdio::from(theirs))
        .spawn()
        .unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // On Linux, the end is an error: no process has the terminal open any more.
        let _ = ours.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
    });
    let outcome = finish(child);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    reader.join().unwrap()
}

#[test]
fn table_fits_the_terminal_and_keeps_ids_whole() {
    let atlas = Atlas::new(Config::default());
    for (width, heading) in [
        (
            80,
            &["ID", "NAME", "STATUS", "CREATOR", "CREATED", "LAST", "USED"][..],
        ),
        (
            200,
            &[
                "ID", "NAME", "STATUS", "CREATOR", "CREATED", "LAST", "USED", "MASKED",
            ],
        ),
    ] {
        let text = shown(&atlas, width, &[]);
        let mut lines = text.lines();
        let words: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(words, heading, "{text}");
        let ids: Vec<_> = lines.map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(ids, atlas.ids());
        // In a pipe, nothing is cut.
        assert!(text.contains('…') && !atlas.list(&[]).stdout().contains('…'));
    }
}

#[test]
fn json_is_indented_on_a_terminal() {
    let atlas = Atlas::new(Config::default());
    let text = shown(&atlas, 80, &["-o", "json"]);
    assert!(text.starts_with("{\n  \"results\": [\n"), "{text}");
}
