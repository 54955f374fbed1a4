//! How much of a quota is used, and whether it is ever passed, as the platform sees it.
//!
//! `cargo bench --bench quota` runs the program against `hourmark simulate`, each in a process of its own, one scenario
//! after the other, for about three minutes, and prints a table. A figure is the platform's own: what it refused, and the most
//! it saw in any window of each limit. `ideal` is the time in which the limits let so many requests go.

#![allow(clippy::print_stdout)]

mod api;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

const TOKEN: &str = "bench-token";

/// A scenario.
struct Scenario {
    name: &'static str,
    /// What the platform is started with.
    platform: &'static [&'static str],
    /// Put at the end of the demo's pipeline.
    quotas: &'static str,
    /// Further arguments of each run.
    run: &'static [&'static str],
    /// How many processes follow each other, the dates shared out between them.
    days: &'static [(&'static str, &'static str)],
    /// What happens while it runs.
    event: Event,
    /// The time in which the limits let so many requests go, in seconds.
    ideal: fn(f64) -> f64,
}

/// What happens in the middle.
enum Event {
    Nothing,
    /// After so many seconds the platform has these limits.
    Limits(u64, &'static str),
    /// The run is killed after each of these seconds, and begun again.
    Kill(&'static [u64]),
}

const NONE: &str = "";
const DAY: &[(&str, &str)] = &[("2026-11-18", "2026-11-19")];

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "20/1s, penalty 5s",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "5s"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n",
            run: &[],
            days: DAY,
            event: Event::Nothing,
            ideal: |requests| requests / 20.0,
        },
        Scenario {
            name: "the same, answers of 20 to 200 ms",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "5s", "--latency", "20ms..200ms"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n",
            run: &[],
            days: DAY,
            event: Event::Nothing,
            ideal: |requests| requests / 20.0,
        },
        Scenario {
            name: "50/1s and 1000/60s",
            platform: &["--accounts", "1300", "--app-quota", "50/1s,1000/60s", "--penalty", "5s"],
            quotas: "\n[[quotas]]\nname = \"second\"\nrequests = 50\nper = \"1s\"\n\n[[quotas]]\nname = \"minute\"\nrequests = 1000\nper = \"60s\"\n",
            run: &[],
            days: DAY,
            event: Event::Nothing,
            // A thousand in the first minute, the rest after it.
            ideal: |requests| 60.0 + (requests - 1000.0) / 50.0,
        },
        Scenario {
            name: "300 accounts of 200/1h, app 50/1s",
            platform: &["--accounts", "300", "--app-quota", "50/1s", "--account-quota", "200/1h", "--penalty", "5s"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 50\nper = \"1s\"\n\n[[quotas]]\nname = \"account\"\nrequests = 200\nper = \"1h\"\nscope = \"account\"\n",
            run: &[],
            days: &[("2026-11-14", "2026-11-18")],
            event: Event::Nothing,
            ideal: |requests| requests / 50.0,
        },
        Scenario {
            name: "20/1s, undeclared",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "1s", "--no-usage-headers"],
            quotas: NONE,
            run: &[],
            days: DAY,
            event: Event::Nothing,
            ideal: |requests| requests / 20.0,
        },
        Scenario {
            name: "20/1s, cut to 10/1s after 8 s, told in headers",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "1s"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n\n[[usage]]\nkind = \"headers\"\nquota = \"app\"\nlimit = \"X-RateLimit-Limit\"\n",
            run: &[],
            days: DAY,
            event: Event::Limits(8, r#"{"app":["10/1s"]}"#),
            ideal: |requests| 8.0 + (requests - 160.0) / 10.0,
        },
        Scenario {
            name: "the same, not told",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "1s", "--no-usage-headers"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n",
            run: &[],
            days: DAY,
            event: Event::Limits(8, r#"{"app":["10/1s"]}"#),
            ideal: |requests| 8.0 + (requests - 160.0) / 10.0,
        },
        Scenario {
            name: "20/1s, three processes in a row",
            platform: &["--accounts", "100", "--app-quota", "20/1s", "--penalty", "5s"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n",
            run: &[],
            days: &[("2026-11-18", "2026-11-19"), ("2026-11-17", "2026-11-18"), ("2026-11-16", "2026-11-17")],
            event: Event::Nothing,
            ideal: |requests| requests / 20.0,
        },
        Scenario {
            name: "20/1s, killed after 4, 3 and 2 s",
            platform: &["--accounts", "400", "--app-quota", "20/1s", "--penalty", "5s"],
            quotas: "\n[[quotas]]\nname = \"app\"\nrequests = 20\nper = \"1s\"\n",
            run: &[],
            days: DAY,
            event: Event::Kill(&[4, 3, 2]),
            ideal: |requests| requests / 20.0,
        },
    ]
}

/// The simulated platform; ends with the scenario.
struct Platform {
    process: Child,
    url: String,
}

impl Platform {
    fn start(arguments: &[&str]) -> Platform {
        let fixed = ["--token", TOKEN, "--zones", "UTC", "--campaigns", "1"];
        let (process, url) = api::start(&[&fixed[..], arguments].concat());
        Platform { process, url }
    }

    fn stats(&self) -> Value {
        let url = format!("{}/sim/stats", self.url);
        let text = block_on(async move { reqwest::get(url).await.expect("stats").text().await.expect("text") });
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn hourmark() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hourmark"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A folder with the demo's pipeline and this scenario's quotas.
fn folder(scenario: &Scenario) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml");
    let text = std::fs::read_to_string(demo).expect("the demo's pipeline");
    let (before, after) = text.split_once("[[quotas]]").expect("its quota");
    let after = after.split_once("\n\n").expect("what follows it").1;
    std::fs::create_dir(folder.path().join("pipelines")).expect("a folder");
    let text = format!("{before}{after}{}", scenario.quotas);
    std::fs::write(folder.path().join("pipelines/demo.toml"), text).expect("a pipeline");
    folder
}

fn backfill(scenario: &Scenario, place: &Path, url: &str, (from, to): (&str, &str)) -> Child {
    hourmark()
        .current_dir(place)
        .args(["backfill", "demo", "--from", from, "--to", to, "--workers", "16", "-q"])
        .args(["--set", &format!("api.base_url={url}"), "--set", "request.accounts_per_request=1"])
        // What is due at the next tick would go before the backfill.
        .args(["--set", "schedule=0 0 1 1 *"])
        .args(scenario.run)
        .env("HOURMARK_DEMO_TOKEN", TOKEN)
        .spawn()
        .expect("hourmark starts")
}

fn play(scenario: &Scenario) {
    let platform = Platform::start(scenario.platform);
    let folder = folder(scenario);
    let began = Instant::now();
    if let Event::Limits(after, limits) = scenario.event {
        let url = format!("{}/sim/quotas", platform.url);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(after));
            let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(limits);
            block_on(async move { request.send().await.expect("the platform answers") });
        });
    }
    for days in scenario.days {
        if let Event::Kill(after) = scenario.event {
            for seconds in after {
                let mut run = backfill(scenario, folder.path(), &platform.url, *days);
                std::thread::sleep(Duration::from_secs(*seconds));
                run.kill().expect("it is killed");
                run.wait().expect("it is gone");
            }
        }
        let ended = backfill(scenario, folder.path(), &platform.url, *days).wait().expect("it ends");
        assert!(ended.success(), "{}: {ended}", scenario.name);
    }
    print(scenario, began.elapsed(), &platform.stats());
}

fn print(scenario: &Scenario, wall: Duration, stats: &Value) {
    let requests = stats["requests"].as_f64().expect("a number");
    let ideal = (scenario.ideal)(requests);
    let highest: Vec<String> = ["app", "account"]
        .iter()
        .flat_map(|scope| stats["highest_use"][scope].as_array().cloned().unwrap_or_default())
        .map(|limit| format!("{} of {}", limit["arrived"], limit["limit"].as_str().unwrap_or_default()))
        .collect();
    println!(
        "{:<48} {requests:>8} {:>7.1} {ideal:>7.1} {:>6.3} {:>8} {:>10}  {}",
        scenario.name,
        wall.as_secs_f64(),
        wall.as_secs_f64() / ideal,
        stats["refusals"]["requests"],
        stats["refusals"]["violations"],
        highest.join(", ")
    );
}

fn main() {
    // `cargo test --benches` only asks whether it is there.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!(
        "{:<48} {:>8} {:>7} {:>7} {:>6} {:>8} {:>10}  highest use, as the platform saw it",
        "scenario", "requests", "wall s", "ideal s", "ratio", "refused", "violations"
    );
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains(&wanted)) {
        play(scenario);
    }
}
