//! One scenario from its beginning to its end: the server, the program, the lake, and what must not be said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use url::form_urlencoded;

use super::answer::SERVER;
use super::lake::{self, Table};
use super::scenario::{Case, Scenario, with_ending};
use super::server::Server;

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Shorter texts are parts of everything.
const SHORTEST_SECRET: usize = 6;
/// So many of the last lines that the program printed are shown with a failure.
const SHOWN_LINES: usize = 30;

/// Runs the scenario; gives everything that is not as it should be.
pub fn run(case: &Case) -> Vec<String> {
    let scenario = match Scenario::load(&case.file) {
        Ok(scenario) => scenario,
        Err(said) => return vec![said],
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&case.fixtures.folder, scenario.exchange.clone());
    let output = match program(case, &scenario, folder.path(), &server.address) {
        Ok(output) => output,
        Err(said) => return [server.problems(), vec![said]].concat(),
    };
    let printed = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();

    let mut problems = server.problems();
    if output.status.code() != Some(scenario.exit) {
        problems.push(format!("the exit code is {:?}, expected {}", output.status.code(), scenario.exit));
    }
    for text in scenario.said.iter().filter(|text| !printed.contains(text.as_str())) {
        problems.push(format!("it did not say `{text}`"));
    }
    let lake = folder.path().join("data/lake");
    let name = &case.fixtures.name;
    for (rows, dataset) in [(&scenario.rows, name.clone()), (&scenario.campaigns, format!("{name}__campaigns"))] {
        let Some(rows) = rows else { continue };
        match std::fs::read_to_string(case.fixtures.folder.join(rows)) {
            Ok(text) => problems.extend(lake::differences(&lake.join(dataset), &Table::parse(&text))),
            Err(error) => problems.push(format!("`{rows}`: {error}")),
        }
    }
    problems.extend(leaks(case, &scenario, folder.path(), &printed));
    if problems.is_empty() {
        problems.extend(replayed(case, &scenario, folder.path(), &server));
    }
    if !problems.is_empty() {
        let lines: Vec<&str> = printed.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n  | ");
        problems.push(format!("  it printed\n  | {last}"));
    }
    problems
}

/// After a backfill that brought rows: its answers bring them again without a request, whatever they came in.
fn replayed(case: &Case, scenario: &Scenario, folder: &Path, server: &Server) -> Vec<String> {
    let (Some(rows), [first, ..]) = (&scenario.rows, scenario.args.as_slice()) else { return Vec::new() };
    if first != "backfill" || scenario.exit != 0 {
        return Vec::new();
    }
    let dataset = folder.join("data/lake").join(&case.fixtures.name);
    for file in all_files(&dataset) {
        if file.extension().is_some_and(|ending| ending == "parquet") {
            std::fs::remove_file(file).expect("removed");
        }
    }
    // Wide enough for every account's clock.
    let words = ["replay", "--from", "2026-01-01", "--to", "2026-12-01"].map(str::to_owned);
    let output = match command_of(case, scenario, folder, &server.address, &words) {
        Ok(output) => output,
        Err(said) => return vec![format!("replay: {said}")],
    };
    let mut problems = server.problems();
    if output.status.code() != Some(0) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        problems.push(format!("replay: the exit code is {:?}\n{said}", output.status.code()));
    }
    match std::fs::read_to_string(case.fixtures.folder.join(rows)) {
        Ok(text) => problems.extend(lake::differences(&dataset, &Table::parse(&text))),
        Err(error) => problems.push(format!("`{rows}`: {error}")),
    }
    problems.into_iter().map(|said| format!("after a replay: {said}")).collect()
}

/// Runs the program in `folder` to its end.
fn program(case: &Case, scenario: &Scenario, folder: &Path, server: &str) -> Result<Output, String> {
    let pipelines = folder.join("pipelines");
    std::fs::create_dir(&pipelines).expect("a folder");
    let file = pipelines.join(format!("{}.toml", case.fixtures.name));
    std::fs::copy(&case.fixtures.pipeline, file).expect("the pipeline file");
    for (path, content) in &scenario.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    command_of(case, scenario, folder, server, &scenario.args)
}

/// The program with `arguments`, run in `folder` to its end.
fn command_of(
    case: &Case,
    scenario: &Scenario,
    folder: &Path,
    server: &str,
    arguments: &[String],
) -> Result<Output, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
    let names = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("HOURMARK_"));
    for name in names.collect::<Vec<_>>() {
        command.env_remove(name);
    }
    let (first, rest) = arguments.split_first().ok_or("`args` is empty")?;
    command.current_dir(folder).arg(first).arg(&case.fixtures.name).args(rest).args(["--now", &scenario.now]);
    // Responses are kept so that they can be looked through for secrets.
    command.args(["--set", "raw=7d"]);
    for (key, value) in &scenario.set {
        command.args(["--set", &format!("{key}={}", value.replace(SERVER, server))]);
    }
    // A host far from UTC, and from every account.
    command.envs(&scenario.env).env("TZ", "Pacific/Chatham");
    finish(command)
}

fn finish(mut command: Command) -> Result<Output, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("the program does not start: {error}"))?;
    let began = Instant::now();
    let (mut out, mut err) = (child.stdout.take().expect("output"), child.stderr.take().expect("output"));
    let out = std::thread::spawn(move || everything(&mut out));
    let err = std::thread::spawn(move || everything(&mut err));
    let status = loop {
        if let Some(status) = child.try_wait().expect("its end") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _gone = child.kill();
            let _reaped = child.wait();
            let said = String::from_utf8_lossy(&err.join().expect("a thread")).into_owned();
            return Err(format!("it did not end within {PATIENCE:?}\n{said}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Ok(Output { status, stdout: out.join().expect("a thread"), stderr: err.join().expect("a thread") })
}

fn everything(from: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("output");
    bytes
}

/// Secrets that were printed or written.
fn leaks(case: &Case, scenario: &Scenario, folder: &Path, printed: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut written: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let keep = kept_token(&case.fixtures.pipeline).map(|path| folder.join(path));
    for path in all_files(&folder.join("data")).into_iter().filter(|path| Some(path) != keep.as_ref()) {
        let bytes = std::fs::read(&path).expect("a file");
        // Cassettes are compressed.
        let plain = zstd::decode_all(bytes.as_slice()).unwrap_or(bytes);
        written.push((path, plain));
    }
    for (name, secret) in secrets(case, scenario) {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in BTreeSet::from([secret, encoded]) {
            if printed.contains(&form) {
                problems.push(format!("the secret {name} was printed"));
            }
            for (path, bytes) in &written {
                if bytes.windows(form.len()).any(|window| window == form.as_bytes()) {
                    problems.push(format!("the secret {name} is in `{}`", path.display()));
                }
            }
        }
    }
    problems
}

/// The values of variables and secret files, and the tokens that a token endpoint gives. Numbers are ids.
fn secrets(case: &Case, scenario: &Scenario) -> Vec<(String, String)> {
    let mut secrets: Vec<(String, String)> = Vec::new();
    let given = scenario.env.iter().chain(scenario.files.iter());
    secrets.extend(given.map(|(name, value)| (format!("`{name}`"), value.trim().to_owned())));
    for path in with_ending(&case.fixtures.folder, "json") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let asked = scenario.exchange.iter().any(|exchange| exchange.answers.contains(&name));
        if !asked || !name.starts_with("token") {
            continue;
        }
        let answer: Value =
            std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        for key in ["access_token", "refresh_token", "id_token"] {
            let value = answer["body"][key].as_str().map(str::to_owned);
            secrets.extend(value.map(|value| (format!("`{key}` of {name}"), value)));
        }
    }
    secrets.retain(|(_, value)| value.len() >= SHORTEST_SECRET && !value.bytes().all(|byte| byte.is_ascii_digit()));
    secrets
}

/// Where the pipeline file wants a token to be kept: that file holds it.
fn kept_token(pipeline: &Path) -> Option<String> {
    let document: toml::Table = std::fs::read_to_string(pipeline).ok()?.parse().ok()?;
    document.get("auth")?.get("keep")?.as_str().map(str::to_owned)
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files
}
