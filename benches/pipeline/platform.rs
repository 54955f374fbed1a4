//! The simulated API in a process of its own.

use std::process::{Child, Command};
use std::time::Duration;

use super::api;
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
        let (accounts, campaigns) = (accounts.to_string(), campaigns.to_string());
        let fixed = ["--clock", NOW, "--dense", "--zones", "UTC", "--no-usage-headers"];
        let sizes = ["--accounts", &accounts, "--campaigns", &campaigns];
        let (process, url) = api::start(&[&fixed[..], &sizes, more].concat());
        Platform { process, url }
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
