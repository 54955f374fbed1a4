//! The simulated API in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::measure::cpu_of;

/// The moment at which the platform and the program stand.
pub(crate) const NOW: &str = "2026-11-20T12:00:00Z";

/// The program under test: this build, or the one that `HOURMARK_BENCH_PROGRAM` names, to compare two.
pub(crate) fn hourmark() -> Command {
    Command::new(std::env::var_os("HOURMARK_BENCH_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_hourmark").into()))
}

/// A running simulator, stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Platform {
    process: Child,
    pub(crate) url: String,
}

impl Platform {
    /// One whose every campaign-hour has a row, with accounts in UTC and no quotas.
    pub(crate) fn start(accounts: usize, campaigns: usize, more: &[&str]) -> Platform {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hourmark"))
            .args(["simulate", "--listen", "127.0.0.1:0", "--clock", NOW, "--dense", "--zones", "UTC"])
            .args(["--accounts", &accounts.to_string(), "--campaigns", &campaigns.to_string(), "--no-usage-headers"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the platform starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
        Platform { process, url: line.trim().rsplit(' ').next().expect("an address").to_owned() }
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.process.id())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}
