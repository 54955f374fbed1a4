//! What a process costs: time, processor time, memory, bytes.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What one process took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Of user and system.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub(crate) peak: u64,
    /// Memory over time: seconds since the beginning, resident bytes.
    pub(crate) memory: Vec<(f64, u64)>,
    /// Bytes passed to write calls.
    pub(crate) written: u64,
    /// Bytes got from read calls.
    pub(crate) read: u64,
    pub(crate) output: String,
}

/// Runs `command` to its end. Fails loudly where it fails: a figure of half a run is none.
pub(crate) fn run(command: &mut Command) -> Cost {
    let before = children_cpu();
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let output = drain(child.stdout.take());
    let errors = drain(child.stderr.take());
    let mut cost = Cost::default();
    let status = loop {
        look(&child, began, &mut cost);
        match child.try_wait().expect("the program can be waited for") {
            Some(status) => break status,
            None => thread::sleep(LOOK),
        }
    };
    cost.wall = began.elapsed();
    cost.cpu = children_cpu() - before;
    cost.output = output.join().expect("output");
    let errors = errors.join().expect("errors");
    assert!(status.success(), "{command:?}: {status}\n{}{errors}", cost.output);
    cost
}

fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream.expect("a pipe").read_to_string(&mut text).expect("text");
        text
    })
}

fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), (time.tv_usec() * 1000).unsigned_abs() as u32)
    };
    micros(usage.user_time()) + micros(usage.system_time())
}

fn look(child: &Child, began: Instant, cost: &mut Cost) {
    let folder = format!("/proc/{}", child.id());
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    if let Some(peak) = kilobytes(&status, "VmHWM:") {
        cost.peak = cost.peak.max(peak);
    }
    if let Some(resident) = kilobytes(&status, "VmRSS:") {
        cost.memory.push((began.elapsed().as_secs_f64(), resident));
    }
    let io = fs::read_to_string(format!("{folder}/io")).unwrap_or_default();
    cost.written = number(&io, "wchar:").unwrap_or(cost.written);
    cost.read = number(&io, "rchar:").unwrap_or(cost.read);
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    number(status, name).map(|kilobytes| kilobytes * 1024)
}

/// The processor time that a living process has used so far, to a hundredth of a second.
pub(crate) fn cpu_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
