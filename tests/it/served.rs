//! What a scheduler shows of itself over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Api, Sandbox, block_on};
use super::story::NOW;

/// A scheduler that serves, killed when it is dropped.
struct Scheduler {
    process: Child,
    url: String,
}

impl Scheduler {
    fn start(sandbox: &Sandbox) -> Scheduler {
        let mut process = sandbox
            .command(&["schedule", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the scheduler starts");
        let mut lines = BufReader::new(process.stderr.take().expect("standard error")).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("metrics at ")).expect("an address");
        let url = line.rsplit(' ').next().expect("an address").trim_end_matches("/metrics").to_owned();
        // A full pipe would stop the scheduler.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Scheduler { process, url }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        block_on(async move {
            let response = reqwest::get(&url).await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("a text"))
        })
    }

    /// The metrics, once a run has ended.
    fn after_a_run(&self) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, text) = self.get("/metrics");
            assert_eq!(status, 200, "{text}");
            if value(&text, "hourmark_runs_total{pipeline=\"demo\",outcome=\"done\"}") == Some(1.0) {
                return text;
            }
            assert!(Instant::now() < until, "no run has ended: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn value(text: &str, metric: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(metric))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_are_those_that_the_platform_counted() {
    let api =
        Api::start(&["--accounts", "3", "--campaigns", "2", "--clock", NOW, "--fault-rate", "0.3", "--faults", "500"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.edit("[lake]", "[[quotas]]\nname = \"hour\"\nrequests = 300\nper = \"1h\"\nscope = \"account\"\n\n[lake]");
    let scheduler = Scheduler::start(&sandbox);
    let text = scheduler.after_a_run();
    let stats = api.stats();
    let of = |metric: &str| value(&text, &format!("hourmark_{metric}{{pipeline=\"demo\"}}"));
    assert_eq!(of("requests_total"), stats["requests"].as_f64(), "{text}");
    assert_eq!(of("retries_total"), stats["by_status"]["500"].as_f64().or(Some(0.0)), "{text}");
    assert_eq!(of("throttled_total"), Some(0.0));
    assert!(of("rows_total").is_some_and(|rows| rows > 100.0), "{text}");
    assert_eq!((of("running"), of("waiting_seconds")), (Some(0.0), Some(0.0)));
    let quota = |metric: &str, scope: &str| {
        value(&text, &format!("hourmark_quota_{metric}{{pipeline=\"demo\",quota=\"hour\",scope=\"{scope}\"}}"))
    };
    assert_eq!(quota("limit", "account 100001"), Some(300.0), "{text}");
    let used = quota("used", "account 100001").expect("the use of an account");
    assert_eq!(Some(used), quota("sent_total", "account 100001"), "{text}");
    assert!(text.ends_with("# EOF\n") && !text.contains(super::sandbox::TOKEN), "{text}");
    let (status, health) = scheduler.get("/health");
    assert_eq!(status, 200, "{health}");
    assert!(health.contains("\"late\":[]"), "{health}");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let api = Api::start(&["--accounts", "1"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ran = sandbox.run(&["schedule", "--listen", &address]).expect_code(2);
    assert!(ran.err.contains(&format!("cannot listen at {address}")), "{}", ran.err);
    assert!(ran.err.contains("name another address with --listen"), "{}", ran.err);
    assert_eq!(api.stats()["requests"], 0);
}
