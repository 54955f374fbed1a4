//! The simulated API in a process of its own, for benchmarks.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Starts it on a free port; gives the process and where it listens.
pub(crate) fn start(arguments: &[&str]) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_hourmark"))
        .args(["simulate", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the platform starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
    (process, line.trim().rsplit(' ').next().expect("an address").to_owned())
}
