//! Programs and files that are not hourmark's own. A test that lacks one says so on a line of its own and passes;
//! `.ci/run` installs them all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A Python that has DuckDB and pyarrow: `HOURMARK_TEST_PYTHON`, or `python3` where that has both.
pub fn python(test: &str) -> Option<PathBuf> {
    let found = named("HOURMARK_TEST_PYTHON").or_else(|| Some(PathBuf::from("python3")).filter(|python| reads(python)));
    if found.is_none() {
        skip(test, "a Python with duckdb and pyarrow; HOURMARK_TEST_PYTHON names one");
    }
    found
}

/// Prism, which mocks an API from its OpenAPI file: `HOURMARK_TEST_PRISM`, or `prism` on the PATH.
pub fn prism(test: &str) -> Option<PathBuf> {
    let on_path = || {
        let answers = Command::new("prism").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        answers.is_ok_and(|status| status.success()).then(|| PathBuf::from("prism"))
    };
    let found = named("HOURMARK_TEST_PRISM").or_else(on_path);
    if found.is_none() {
        skip(test, "Prism (npm: @stoplight/prism-cli); HOURMARK_TEST_PRISM names it");
    }
    found
}

/// A vendor's OpenAPI file below `HOURMARK_SPECS`, or below `shared/specs` beside the repository.
pub fn spec(test: &str, file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specs");
    let path = named("HOURMARK_SPECS").unwrap_or(beside).join(file);
    if !path.exists() {
        skip(test, &format!("the vendor's OpenAPI file `{file}`; HOURMARK_SPECS names the folder"));
        return None;
    }
    Some(path)
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn reads(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import duckdb, pyarrow.dataset"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Written past the test harness, which would keep it to itself where the test passes.
pub fn skip(test: &str, what: &str) {
    let _gone = writeln!(std::io::stderr(), "skipped: {test} needs {what}");
}

/// Runs a script of `tests/readers` in `folder` and gives what it printed.
#[track_caller]
pub fn script(python: &Path, folder: &Path, name: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name);
    finished(Command::new(python).arg(path).args(arguments).current_dir(folder))
}

/// Runs a command that must succeed and gives its standard output.
#[track_caller]
pub fn finished(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n{out}\n{err}");
    out.into_owned()
}

/// A process that ends with the value, a panic included.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
