//! Scenario files as types, and which there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A pipeline file and the folder of its fixtures.
#[derive(Debug, Clone)]
pub struct Fixtures {
    /// The pipeline's name.
    pub name: String,
    pub pipeline: PathBuf,
    pub folder: PathBuf,
}

/// One scenario of a pipeline.
#[derive(Debug, Clone)]
pub struct Case {
    pub fixtures: Fixtures,
    /// The scenario's file.
    pub file: PathBuf,
}

impl Case {
    /// `pipeline/scenario`
    pub fn name(&self) -> String {
        format!("{}/{}", self.fixtures.name, self.file.file_stem().unwrap_or_default().to_string_lossy())
    }
}

/// One whole run of the program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line: what it shows.
    pub about: String,
    /// The program's clock.
    pub now: String,
    /// The command; the pipeline's name is appended after the first word.
    pub args: Vec<String>,
    /// The expected exit code.
    pub exit: i32,
    /// The rows that the lake must hold.
    pub rows: Option<String>,
    /// The rows that the campaigns' own dataset must hold.
    pub campaigns: Option<String>,
    /// What must be said on standard error or output.
    #[serde(default)]
    pub said: Vec<String>,
    /// Variables, the secrets among them.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files in the working folder.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// `--set`; `{server}` is the scripted server's address.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// What is asked, and what is answered.
    #[serde(default)]
    pub exchange: Vec<Exchange>,
}

/// A request that the program must send, as often as there are answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    /// Decoded; compared as a sorted list. `*` fits anything.
    #[serde(default)]
    pub query: Vec<(String, String)>,
    /// With this value; `*` for any, empty for absent.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub json: Option<Value>,
    pub form: Option<Vec<(String, String)>>,
    pub answers: Vec<String>,
}

impl Exchange {
    /// `GET /v5/accounts`
    pub fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Scenario {
    pub fn load(path: &Path) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("`{}`: {error}", path.display()))
    }
}

/// The pipeline files of a folder that have fixtures, by name.
pub fn fixtures(pipelines: &Path, fixtures: &Path) -> Vec<Fixtures> {
    let mut found = Vec::new();
    for pipeline in with_ending(pipelines, "toml") {
        let name = pipeline.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = fixtures.join(&name);
        if folder.is_dir() {
            found.push(Fixtures { name, pipeline, folder });
        }
    }
    found
}

/// The scenarios of a pipeline.
pub fn cases(fixtures: &Fixtures) -> Vec<Case> {
    let files = with_ending(&fixtures.folder, "toml");
    files.into_iter().map(|file| Case { fixtures: fixtures.clone(), file }).collect()
}

/// The files of a folder with this ending, by name.
pub fn with_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}
