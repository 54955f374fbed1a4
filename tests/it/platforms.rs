//! Every platform's pipeline file against its recorded answers: `tests/fixtures/NAME/` holds answer files, scenarios (one
//! whole run of the program each) and the rows that the lake must hold afterwards.
//!
//! | file | what |
//! |---|---|
//! | `scenario` | scenario files as types, and which there are |
//! | `answer`, `packed` | an answer file as the bytes that are sent |
//! | `matching` | which exchange a request is, or how it differs from the nearest |
//! | `server` | the server of one scenario |
//! | `lake` | the rows of a lake, by two readers |
//! | `harness` | one scenario from its beginning to its end |
//! | `vendors` | what two vendors' OpenAPI files say of the requests |
//! | `verdicts` | what each answer means by its file's name |
//! | `own` | tests of the harness itself |

mod answer;
pub mod harness;
pub mod lake;
mod matching;
mod own;
mod packed;
pub mod scenario;
mod server;
mod vendors;
pub mod verdicts;

use std::path::Path;
use std::sync::Mutex;

use scenario::{Case, cases, fixtures};

/// So many scenarios run at once.
const AT_ONCE: usize = 2;

/// The repository's pipeline files and their fixtures.
fn shipped() -> Vec<scenario::Fixtures> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fixtures(&root.join("pipelines"), &root.join("tests/fixtures"))
}

/// All scenarios of all platforms. `HOURMARK_SCENARIO=name` (or `name/day`) runs only these.
#[test]
fn every_scenario_of_every_platform() {
    let wanted = std::env::var("HOURMARK_SCENARIO").unwrap_or_default();
    let all: Vec<Case> = shipped().iter().flat_map(cases).filter(|case| case.name().starts_with(&wanted)).collect();
    let failed = run_all(&all);
    assert!(failed.is_empty(), "{} of {} scenarios failed\n\n{}", failed.len(), all.len(), failed.join("\n\n"));
}

/// Runs `all`, a few at a time; gives what is wrong with each that failed.
fn run_all(all: &[Case]) -> Vec<String> {
    let queue = Mutex::new(all.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().expect("the queue").next() else { return };
                    let problems = harness::run(case);
                    if !problems.is_empty() {
                        let said = format!("== {}\n{}", case.name(), problems.join("\n"));
                        failed.lock().expect("failures").push(said);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("failures");
    failed.sort();
    failed
}

#[test]
fn every_platform_shows_each_kind_of_answer_and_its_rules_say_what_each_means() {
    let mut wrong = Vec::new();
    for fixtures in shipped() {
        wrong.extend(verdicts::problems(&fixtures).into_iter().map(|said| format!("{}: {said}", fixtures.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A folder of fixtures without a pipeline file would never be run, and a misspelt name would go unseen.
#[test]
fn every_folder_of_fixtures_belongs_to_a_pipeline_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join("tests/fixtures")).expect("fixtures") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let pipeline = root.join("pipelines").join(format!("{name}.toml"));
            assert!(pipeline.exists(), "`{}` has no pipeline file", path.display());
        }
    }
}
