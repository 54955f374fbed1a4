//! The documents say what is so: their commands run, their tables and screens are current.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::outside::{Process, finished, python};
use crate::reference;
use crate::replay::Served;
use crate::sandbox::{Api, Ran, Sandbox};

const NOW: &str = "2026-11-20T12:00:00Z";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Asserts that the file holds `expected`; with `HOURMARK_BLESS=1` it is written instead.
#[track_caller]
fn assert_current(path: &str, expected: &str) {
    if std::env::var_os("HOURMARK_BLESS").is_some() {
        std::fs::write(in_repository(path), expected).expect("the document is written");
        return;
    }
    let found = std::fs::read_to_string(in_repository(path)).unwrap_or_default();
    let first = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "`{path}` is not current: run `HOURMARK_BLESS=1 cargo test --test it documents`; {first:?}"
    );
}

#[test]
fn the_pipeline_file_s_reference_is_current() {
    let text = reference::pipeline_file(&hourmark::pipeline::json_schema());
    for word in ["page_number", "campaigns_per_request", "`{time_zone}`", "max_dropped_share", "unix_milliseconds"] {
        assert!(text.contains(word), "`{word}` is missing");
    }
    assert_current("docs/pipeline-file.md", &text);
}

/// A word without a platform that needs it is a word too many: it shows in the page, and in the diff of whoever adds it.
#[test]
fn every_word_of_the_pipeline_file_is_used_somewhere() {
    let (text, _) = crate::vocabulary::page(&hourmark::pipeline::json_schema(), &in_repository("pipelines"));
    assert_current("docs/vocabulary.md", &text);
}

#[test]
fn the_simulator_s_page_is_current() {
    assert_current("docs/simulator.md", &reference::simulator(&read("src/simulate/guide.md")));
}

/// A document's fenced blocks as (language, text).
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, code) = block.split_once('\n').expect("a fence's language");
        blocks.push((language.to_owned(), code.to_owned()));
    }
    blocks
}

/// The commands of a block of shell, without prompts and remarks.
fn commands(code: &str) -> Vec<String> {
    let lines = code.lines().map(|line| line.trim().trim_start_matches("$ "));
    let lines = lines.map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Words of a command line: blanks part them, quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            _ => word.push(letter),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

#[test]
fn commands_in_the_documents_run() {
    let api = Api::start(&["--accounts", "2", "--campaigns", "2", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW)).with_campaigns();
    sandbox.run(&["run", "demo", "--set", "raw=7d"]).expect_code(0);
    let mut run = 0;
    for document in [
        "README.md",
        "docs/running.md",
        "docs/platforms.md",
        "docs/signing-in.md",
        "docs/rate-limits.md",
        "docs/quality.md",
        "docs/lake.md",
        "docs/cassettes.md",
        "docs/pipeline-file.md",
        "docs/simulator.md",
    ] {
        for (language, code) in blocks(&read(document)) {
            if !matches!(language.as_str(), "sh" | "console") {
                continue;
            }
            for line in commands(&code) {
                run_documented(&sandbox, document, &line);
                run += 1;
            }
            // What `hourmark new` left is not part of the next block.
            for entry in std::fs::read_dir(sandbox.path().join("pipelines")).expect("the folder") {
                let path = entry.expect("an entry").path();
                if !path.ends_with("demo.toml") {
                    std::fs::remove_file(path).expect("removed");
                }
            }
        }
    }
    assert!(run > 15, "only {run} commands were found");
}

/// Runs one command of a document, or what stands for it.
fn run_documented(sandbox: &Sandbox, document: &str, line: &str) {
    let words = words(line);
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        // This is `cargo test`; and the demo has a test of its own, by the program that is built already.
        ["cargo", "test"] | ["cargo", "run", "--release", "--", "demo"] => {}
        // Sets the token that the sandbox has set.
        ["export", assignment] => assert!(assignment.starts_with("HOURMARK_DEMO_TOKEN="), "{line}"),
        // Servers: they begin, and end when they are told to.
        ["hourmark", "simulate", rest @ ..] => simulates(rest.iter().filter(|word| **word != "&").copied().collect()),
        ["hourmark", "schedule", rest @ ..] => schedules(sandbox, rest),
        ["hourmark", "cassette", "serve", path, ..] => {
            let _ended_when_dropped = Served::start(sandbox, path);
        }
        ["hourmark", "cassette", "export", _, rest @ ..] => {
            let digest = a_unit(sandbox);
            sandbox.run(&[&["cassette", "export", digest.as_str()], rest].concat()).expect_code(0);
        }
        ["duckdb", "-c", sql] => asks_duckdb(sandbox, sql),
        ["hourmark", rest @ ..] | [_, "hourmark", rest @ ..] => {
            // The sandbox's own moment takes the place of the documented one.
            let moment = rest.iter().position(|word| *word == "--now").unwrap_or(rest.len());
            let ran = sandbox.run(&rest[..moment]);
            assert_eq!(ran.code, Some(0), "{document}: {line}\n{}\n{}", ran.out, ran.err);
        }
        _ => panic!("{document}: this test does not know how to run `{line}`"),
    }
}

/// The digest of a unit that has a cassette.
fn a_unit(sandbox: &Sandbox) -> String {
    let listed = sandbox.run(&["cassette", "list", "--format", "json"]).expect_code(0).out;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let mut digests = listed.as_array().expect("a list").iter().filter_map(|cassette| cassette["digest"].as_str());
    digests.next_back().expect("a unit").to_owned()
}

fn simulates(mut arguments: Vec<&str>) {
    // Its documented port may be taken here.
    if let Some(at) = arguments.iter().position(|word| *word == "--listen") {
        arguments.drain(at..at + 2);
    }
    if let Some(at) = arguments.iter().position(|word| *word == "--token") {
        arguments.drain(at..at + 2);
    }
    let api = Api::start(&arguments);
    assert!(api.get("/").contains("GET /v1/metrics"));
}

fn schedules(sandbox: &Sandbox, arguments: &[&str]) {
    let mut command = sandbox.command(&[&["schedule"], arguments].concat());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut process = Process(child);
    let mut lines = std::io::BufReader::new(process.0.stderr.take().expect("standard error"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
    assert_eq!(line.trim(), "demo: due at `5 * * * *` (UTC)");
    finished(Command::new("kill").args(["-TERM", &process.0.id().to_string()]));
    assert_eq!(process.0.wait().expect("its end").code(), Some(0));
}

fn asks_duckdb(sandbox: &Sandbox, sql: &str) {
    let Some(python) = python("the documents' `duckdb` command") else { return };
    let program = format!("import duckdb\nprint(duckdb.sql({sql:?}).fetchall())");
    finished(Command::new(python).args(["-c", &program]).current_dir(sandbox.path()));
}

/// A line without what differs from run to run: numbers, times, sizes, and how many hours have passed today.
fn shape(line: &str) -> String {
    let mut shape = line.trim_end().to_owned();
    for (pattern, shown) in [(" in 0.0s (", " in T ("), (" in 0m 0s (", " in T ("), (" in 0s (", " in T (")] {
        shape = numbers(&shape).replace(pattern, shown);
    }
    for unit in [" kB", " MB", " B"] {
        shape = shape.replace(&format!("0.0{unit}"), "SIZE").replace(&format!("0{unit}"), "SIZE");
    }
    for mark in ['█', '▒', '◌', '✗'] {
        shape = shape.replace(mark, "▓");
    }
    squeezed(&shape)
}

/// Every run of digits as one 0.
fn numbers(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if shown.ends_with('0') => {}
            '0'..='9' => shown.push('0'),
            _ => shown.push(letter),
        }
    }
    shown
}

/// Every run of one of the pictures' marks as one of it.
fn squeezed(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if matches!(letter, '▓' | '-' | ' ') && shown.ends_with(letter) {
            continue;
        }
        shown.push(letter);
    }
    shown.replace("0 |", "|").replace("0.0 |", "|").replace("| 0", "|").replace("▓ ▓", "▓").replace(" ▓", "▓")
}

#[test]
fn the_demo_shows_what_the_readme_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let hourmark = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
        command.current_dir(folder.path()).args(arguments).env_remove("HOURMARK_LAKE").env_remove("HOURMARK_STATE");
        Ran::of(command.stdin(Stdio::null()).output().expect("it runs"))
    };
    let ran = hourmark(&["demo"]).expect_code(0);
    let screen = |text: &str| -> Vec<String> {
        // Where the machine is slow there are lines about how far it is.
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let lines = lines.filter(|line| !line.starts_with("demo: ") || line.contains("hourly run"));
        let mut shapes: Vec<String> = lines.map(shape).collect();
        shapes.dedup();
        shapes
    };
    let printed = screen(&format!("{}\n{}", ran.err, ran.out));
    let readme = read("README.md");
    let (_, shown) = blocks(&readme)
        .into_iter()
        .find(|(language, code)| language == "text" && code.contains("hourly run done"))
        .expect("the README's screen");
    let shown = screen(&shown);
    for line in &shown {
        assert!(printed.contains(line), "the README shows `{line}`\n{}\n{}", ran.err, ran.out);
    }
    for line in &printed {
        assert!(shown.contains(line), "the README lacks `{line}`\n{}\n{}", ran.err, ran.out);
    }

    let count = hourmark(&["query", "select count(*) as n from demo", "--format", "csv"]).expect_code(0);
    let rows: u64 = count.out.lines().nth(1).and_then(|line| line.parse().ok()).expect("a count");
    assert!(rows > 3000, "{rows}");
    // Once more: nothing is lost, and nothing is there twice.
    hourmark(&["demo"]).expect_code(0);
    let twice =
        "select count(*) as n from (select 1 from demo group by account_id, campaign_id, hour having count(*) > 1)";
    let count = hourmark(&["query", twice, "--format", "csv"]).expect_code(0);
    assert_eq!(count.out, "n\n0\n");
}

/// Each promise names its tests, and they are there.
#[test]
fn every_promise_is_held_by_a_test() {
    let text = read("docs/correctness.md");
    let mut named = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")) {
        let before = named;
        for place in line.split('`').filter(|part| part.contains(".rs::")) {
            let (file, name) = place.split_once("::").expect("a file and a test");
            let source = read(file);
            assert!(source.contains(&format!("fn {name}(")), "{file} has no test `{name}`");
            named += 1;
        }
        assert!(named > before, "no test holds: {line}");
    }
    assert!(named > 40, "{named}");
}
