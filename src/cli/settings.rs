//! `hourmark.toml`, flags and variables, as one set of values. Flags win over variables, these over the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::pipeline::{self, Override, Pipeline, SharedQuotas};
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
    /// [`SharedQuotas`] reads them, with a line for each mistake.
    #[serde(rename = "quotas")]
    _quotas: Option<IgnoredAny>,
}

/// What a command works with.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) lake: PathBuf,
    pub(super) state: PathBuf,
    pub(super) pipelines: PathBuf,
    pub(super) workers: usize,
    pub(super) overrides: Vec<Override>,
    /// The quotas that pipelines share.
    pub(super) quotas: SharedQuotas,
    pub(super) clock: Clock,
}

impl Settings {
    pub(super) fn load(global: &Global) -> Result<Settings> {
        let (file, quotas, folder) = read_file(global.config.as_deref())?;
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
            quotas,
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
    /// among all it is reported, and the others are given.
    pub(super) fn pipelines(&self, names: &[String]) -> Result<Vec<Arc<Pipeline>>> {
        self.usable(names).map(|(pipelines, _)| pipelines)
    }

    /// As [`Settings::pipelines`], and how many files of the folder were reported as broken.
    pub(super) fn usable(&self, names: &[String]) -> Result<(Vec<Arc<Pipeline>>, usize)> {
        if !names.is_empty() {
            let named: Result<Vec<Arc<Pipeline>>> = names.iter().map(|name| self.pipeline(name)).collect();
            return named.map(|pipelines| (pipelines, 0));
        }
        let (pipelines, mut errors) = pipeline::load_folder(&self.pipelines, &self.overrides, &self.quotas);
        if pipelines.is_empty() && errors.len() == 1 {
            return Err(errors.remove(0));
        }
        for error in &errors {
            tracing::error!("{}", error.report());
        }
        if pipelines.is_empty() {
            let folder = self.pipelines.display();
            return Err(match errors.len() {
                0 => Error::bad_input(format!("no pipelines in `{folder}`"))
                    .hint("`hourmark new NAME` writes one to begin with, `hourmark demo` shows a whole run"),
                count => Error::bad_input(format!("none of the {count} pipeline files in `{folder}` can be used")),
            });
        }
        Ok((pipelines.into_iter().map(Arc::new).collect(), errors.len()))
    }

    /// The pipeline of a name in the folder, or of a file.
    pub(super) fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>> {
        let path = self.pipeline_file(name);
        if !path.exists() {
            return Err(Error::bad_input(format!(
                "there is no pipeline `{name}`: `{}` does not exist",
                path.display()
            ))
            .hint(self.known(name)));
        }
        pipeline::load(&path, &self.overrides, &self.quotas).map(Arc::new)
    }

    /// What there is instead of the pipeline `name`.
    fn known(&self, name: &str) -> String {
        if pipeline::built_in().any(|file| file.name == name) {
            return format!("it is built in: `hourmark new {name}` writes it there");
        }
        let mut names: Vec<String> = std::fs::read_dir(&self.pipelines)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        if names.is_empty() {
            return "`hourmark new NAME` writes one to begin with; --pipelines names the folder".to_owned();
        }
        names.sort_by(|a, b| strsim::jaro(b, name).total_cmp(&strsim::jaro(a, name)));
        let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
        format!("there are: {}; `hourmark new NAME` writes another; --pipelines names the folder", shown.join(", "))
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

/// The settings file's words, its quotas, and the folder that its paths begin at.
fn read_file(named: Option<&Path>) -> Result<(File, SharedQuotas, PathBuf)> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((File::default(), SharedQuotas::default(), PathBuf::new()));
        }
        Err(error) => {
            return Err(Error::bad_input(format!("cannot read the settings file `{}`", path.display()))
                .because(error)
                .hint(
                    "it was named by --config or HOURMARK_CONFIG; without them `hourmark.toml` is read where it is",
                ));
        }
    };
    let file: File = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // The parser names a type of the language that it is written in.
        let said = error.message().replace("expected usize", "expected a whole number");
        Error::bad_input(format!("the settings file `{}` is wrong in line {line}: {said}", path.display()))
            .hint("it may hold `lake`, `state`, `pipelines` (paths), `workers` (a number) and tables `[quotas.NAME]`")
    })?;
    let quotas = SharedQuotas::parse(&path.display().to_string(), &text)?;
    Ok((file, quotas, folder))
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this host".to_owned())
}
