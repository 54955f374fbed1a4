//! Limits that the file does not know, or knows wrongly: what the server says, and what its refusals teach.

use super::sandbox::{Api, Sandbox, assert_same};
use super::story::*;

const ZONES: &[&str] = &["--zones", "UTC", "--campaigns", "1"];

/// The server halves its limit of 60 in a second when 50 of 160 requests have come. Gives how many it refused.
fn halved(server: &[&str], tables: &str) -> u64 {
    let quota = ["--accounts", "160", "--app-quota", "60/1s", "--penalty", "200ms"];
    let api = api(&[ZONES, &quota, server].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("app", "app", 60, "1s", "")]);
    add(&sandbox, tables);
    let running = Running::start(sandbox.command(&day(&["--workers", "8"])));
    wait_until("a third is done", || metrics(&api) >= 50);
    api.post("/sim/quotas", r#"{"app":["30/1s"]}"#);
    running.end().expect_code(0);
    let refused = refusals(&api).0;
    assert_eq!(metrics(&api), 160 + refused, "each refused request was sent again, and no other");
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
    refused
}

#[test]
fn a_limit_that_is_cut_in_mid_run_is_found_out() {
    let refused = halved(&["--no-usage-headers"], "");
    // Eight workers and a few walls: without a word from the server the pace has to be found.
    assert!((1..=8 * 6).contains(&refused), "{refused} refused");
}

#[test]
fn a_limit_that_is_cut_in_mid_run_is_read_from_the_answers() {
    let usage = "[[usage]]\nkind = \"headers\"\nlimit = \"X-RateLimit-Limit\"\nremaining = \"X-RateLimit-Remaining\"\n\
                 reset = \"X-RateLimit-Reset\"\n";
    let refused = halved(&[], usage);
    assert!(refused <= 8, "{refused} refused");
}

/// Nothing is declared, and the server takes 20 in a second. Gives how many of 100 it refused.
fn undeclared(server: &[&str]) -> u64 {
    let quota = ["--accounts", "100", "--app-quota", "20/1s"];
    let api = api(&[ZONES, &quota, server].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[]);
    sandbox.run(&day(&["--workers", "8"])).expect_code(0);
    let refused = refusals(&api).0;
    assert_eq!(metrics(&api), 100 + refused);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
    refused
}

#[test]
fn a_limit_that_nobody_declared_is_found_by_trying() {
    let refused = undeclared(&["--no-usage-headers"]);
    assert!((1..=8 * 6).contains(&refused), "{refused} refused");
}

#[test]
fn a_limit_that_nobody_declared_is_read_from_the_usual_headers() {
    let refused = undeclared(&[]);
    assert!(refused <= 16, "{refused} refused");
}

/// A way to refuse, the words that describe it, and the minutes and seconds on the clock at which the run comes back.
struct Style {
    name: &'static str,
    words: &'static str,
    /// The wait is told; else it is the first step.
    told: bool,
}

const BY_SCOPE: &str = "[[responses]]\nstatus = 429\npath = \"error.scope\"\nequals = \"account\"\naction = \"throttled\"\n\
                        scope = \"account\"\n";

const STYLES: &[Style] = &[
    Style { name: "429", words: BY_SCOPE, told: true },
    Style {
        name: "bare",
        words: "[[responses]]\nstatus = 429\npath = \"error.scope\"\nequals = \"account\"\naction = \"throttled\"\n\
                scope = \"account\"\nwait = [{ steps = [\"STEP\"] }]\n",
        told: false,
    },
    Style { name: "date", words: BY_SCOPE, told: true },
    Style { name: "reset", words: BY_SCOPE, told: true },
    Style { name: "ietf", words: BY_SCOPE, told: true },
    Style {
        name: "text",
        words: "[[responses]]\nstatus = 400\npath = \"error.scope\"\nequals = \"account\"\naction = \"throttled\"\n\
                scope = \"account\"\nwait = [{ path = \"error.message\", after = \"Retry after\", as = \"seconds\" }]\n",
        told: true,
    },
    Style {
        name: "in-200",
        words: "[[responses]]\npath = \"error.code\"\nequals = \"RATE_LIMITED_ACCOUNT\"\naction = \"throttled\"\n\
                scope = \"account\"\nwait = [{ path = \"error.retry_after_ms\", as = \"milliseconds\" }]\n",
        told: true,
    },
    Style {
        name: "usage",
        words: "[[usage]]\nkind = \"json\"\nscope = \"account\"\nheader = \"X-Usage\"\n\
                percent = [\"account.{account}.percent\"]\nwait = \"account.{account}.regain_seconds\"\n\
                wait_as = \"seconds\"\n\n[[responses]]\npath = \"error.code\"\nequals = \"RATE_LIMITED_ACCOUNT\"\n\
                action = \"throttled\"\nscope = \"account\"\n",
        told: true,
    },
];

/// Three accounts of 24 rows, so many requests each, refused in `style`; nothing is declared for accounts.
fn refusing(style: &Style, quota: &str, step: &str) -> (Api, Sandbox) {
    let rows = ["--zones", "UTC", "--campaigns", "1", "--dense", "--accounts", "3"];
    let api = api(&[&rows[..], &["--account-quota", quota, "--refusal", style.name]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("app", "app", 5000, "1s", "")]);
    add(&sandbox, &style.words.replace("STEP", step));
    (api, sandbox)
}

fn each_style(test: impl Fn(&Style) + Sync) {
    std::thread::scope(|scope| {
        for style in STYLES {
            scope.spawn(|| test(style));
        }
    });
}

#[test]
fn however_an_account_is_refused_only_that_one_waits() {
    each_style(|style| {
        let (api, sandbox) = refusing(style, "3/1h", "30m");
        let pages = ["--set", "pagination.page_size=8"];
        sandbox.run(&[&day(&["--accounts", "100002"])[..], &pages].concat()).expect_code(0);
        assert_eq!((metrics(&api), refusals(&api).0), (3, 0), "{}", style.name);
        let next = ["backfill", "demo", "--from", "2026-11-17", "--to", "2026-11-18"];
        let ran = sandbox.run(&[&one_each(&next)[..], &pages].concat()).expect_code(3);
        assert_eq!((metrics(&api), refusals(&api).0), (3 + 1 + 6, 1), "{}: {}", style.name, ran.err);
        let minutes = if style.told { "13:0" } else { "12:3" };
        assert!(
            ran.err.contains(&format!("come back at 2026-11-20 {minutes}"))
                || (style.told && ran.err.contains("12:59")),
            "{}: {}",
            style.name,
            ran.err
        );
        let found: std::collections::BTreeSet<String> = sandbox
            .lake("demo")
            .into_keys()
            .filter(|key| key.2 < truth_of_day(&api).keys().next().expect("a row").2)
            .map(|key| key.0)
            .collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["100001", "100003"], "{}", style.name);
        // What was said is remembered by the next process.
        sandbox.run(&[&one_each(&next)[..], &pages].concat()).expect_code(3);
        assert_eq!(refusals(&api).0, 1, "{}", style.name);
    });
}

#[test]
fn however_a_short_wait_is_told_the_run_comes_to_its_end() {
    each_style(|style| {
        let (api, sandbox) = refusing(style, "3/1s", "1s");
        let ran = sandbox.run(&day(&["--set", "pagination.page_size=6", "--workers", "3"])).expect_code(0);
        // Who reads in the answers that all of it is used is not refused at all.
        assert!(refusals(&api).0 > 0 || style.name == "usage", "{}: {}", style.name, ran.err);
        assert_eq!(metrics(&api), 12 + refusals(&api).0, "{}", style.name);
        assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
    });
}
