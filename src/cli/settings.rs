//! `hourmark.toml`, flags and variables, as one set of values. Flags win over variables, these over the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::pipeline::{self, Override, Pipeline};
use crate::run::Environment;
use crate::state::State;
use crate::time::Clock;

use super::arguments::Global;

/// The file that is read where no other is named.
const DEFAULT_FILE: &str = "hourmark.toml";
/// Units fetched at once where nothing else is said.
const DEFAULT_WORKERS: usize = 8;
/// More workers than this only wait for each other.
const MOST_WORKERS: usize = 1024;

/// The settings file's words.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lake: Option<PathBuf>,
    state: Option<PathBuf>,
    pipelines: Option<PathBuf>,
    workers: Option<usize>,
}

/// What a command works with.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) lake: PathBuf,
    pub(super) state: PathBuf,
    pub(super) pipelines: PathBuf,
    pub(super) workers: usize,
    pub(super) overrides: Vec<Override>,
    pub(super) clock: Clock,
}

impl Settings {
    pub(super) fn load(global: &Global) -> Result<Settings> {
        let (file, folder) = read_file(global.config.as_deref())?;
        let place = |flag: &Option<PathBuf>, set: Option<PathBuf>, default: &str| {
            flag.clone().or_else(|| set.map(|path| folder.join(path))).unwrap_or_else(|| PathBuf::from(default))
        };
        let workers = global.workers.or(file.workers).unwrap_or(DEFAULT_WORKERS);
        if workers == 0 || workers > MOST_WORKERS {
            return Err(Error::bad_input(format!("`workers` is {workers}: expected 1 to {MOST_WORKERS}")));
        }
        Ok(Settings {
            lake: place(&global.lake, file.lake, "data/lake"),
            state: place(&global.state, file.state, "data/state.db"),
            pipelines: place(&global.pipelines, file.pipelines, "pipelines"),
            workers,
            overrides: global.overrides.iter().map(|text| Override::parse(text)).collect::<Result<_>>()?,
            clock: global.now.map_or(Clock::System, Clock::Fixed),
        })
    }

    /// The environment of a run.
    pub(super) async fn environment(&self) -> Result<Environment> {
        let holder = format!("process {} on {}", std::process::id(), host());
        let lake = Lake::open(&self.lake).await?;
        let state = State::open(&self.state).await?;
        Ok(Environment { lake, state, clock: self.clock, workers: self.workers, holder })
    }

    /// The state for reading, where there is one.
    pub(super) async fn known_state(&self) -> Result<Option<State>> {
        State::open_read(&self.state).await
    }

    /// The pipelines that `names` mean, or all of the folder. A broken file is an error where it was asked for by name;
    /// among all it is reported together with the others.
    pub(super) fn pipelines(&self, names: &[String]) -> Result<Vec<Arc<Pipeline>>> {
        if !names.is_empty() {
            return names.iter().map(|name| self.pipeline(name)).collect();
        }
        let (pipelines, errors) = pipeline::load_folder(&self.pipelines, &self.overrides);
        for error in &errors {
            tracing::error!("{}", error.report());
        }
        if pipelines.is_empty() && !errors.is_empty() {
            return Err(Error::bad_input(format!("no usable pipeline in `{}`", self.pipelines.display())));
        }
        Ok(pipelines.into_iter().map(Arc::new).collect())
    }

    /// The pipeline of a name in the folder, or of a file.
    pub(super) fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>> {
        let path = self.pipeline_file(name);
        if !path.exists() {
            return Err(Error::bad_input(format!(
                "there is no pipeline `{name}`: `{}` does not exist",
                path.display()
            ))
            .hint(format!("`hourmark new {name}` writes one to begin with; the folder is set by --pipelines")));
        }
        pipeline::load(&path, &self.overrides).map(Arc::new)
    }

    /// The file that a name or path means.
    pub(super) fn pipeline_file(&self, name: &str) -> PathBuf {
        if name.ends_with(".toml") || name.contains(std::path::MAIN_SEPARATOR) {
            PathBuf::from(name)
        } else {
            self.pipelines.join(format!("{name}.toml"))
        }
    }
}

/// The settings file's words and the folder that its paths begin at.
fn read_file(named: Option<&Path>) -> Result<(File, PathBuf)> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((File::default(), PathBuf::new()));
        }
        Err(error) => {
            return Err(Error::bad_input(format!("cannot read the settings file `{}`", path.display())).because(error));
        }
    };
    let file = toml::from_str(&text).map_err(|error| {
        Error::bad_input(format!("the settings file `{}` is wrong: {}", path.display(), error.message()))
            .hint("it may hold `lake`, `state`, `pipelines` (paths) and `workers` (a number)")
    })?;
    Ok((file, folder))
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this host".to_owned())
}
