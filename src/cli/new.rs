//! `new`: a pipeline file to begin with: the starter, a built-in one as it is, or a copy of another.

use std::path::Path;

use crate::error::{Error, Outcome, Result};
use crate::pipeline::{self, BuiltIn, built_in, copied};
use crate::secret::SecretSource;

use super::arguments::NewArguments;
use super::screen::Screen;
use super::settings::Settings;

pub(super) fn new(settings: &Settings, screen: &Screen, arguments: &NewArguments) -> Result<Outcome> {
    if arguments.list {
        screen.result(&list());
        screen
            .remark("`hourmark new NAME` writes one of them as it is, `hourmark new OTHER --like NAME` begins a copy");
        return Ok(Outcome::Done);
    }
    let name = arguments.name.as_deref().unwrap_or_default();
    let path = settings.pipelines.join(format!("{name}.toml"));
    refuse_bad_name(settings, name)?;
    let (text, origin) = match &arguments.like {
        Some(like) => {
            let (old, text) = model(settings, like)?;
            (copied(&text, &old, name), format!(", a copy of `{old}`"))
        }
        None => match built_in().find(|file| file.name == name) {
            Some(file) => (file.text.to_owned(), format!(", built in: {}", file.description())),
            None => (pipeline::starter(name), String::new()),
        },
    };
    write(&path, &text)?;
    screen.result(&format!("wrote {}{origin}", path.display()));
    let secrets = secrets(&text);
    if !secrets.is_empty() {
        screen.remark(&format!("its secrets are read from {}", secrets.join(", ")));
    }
    screen.remark(&format!("edit it, then: hourmark check {}", path.display()));
    Ok(Outcome::Done)
}

/// The starter under this name must be a file that the next command accepts.
fn refuse_bad_name(settings: &Settings, name: &str) -> Result<()> {
    let checked = pipeline::parse(&format!("{name}.toml"), &pipeline::starter(name), &[], &settings.quotas);
    match checked {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::bad_input(format!("`{name}` cannot be a pipeline's name"))
            .hint("expected lower-case letters, digits and `_`, a letter first, as in `hourmark new acme_ads`")),
    }
}

/// The name and text of the pipeline file that `like` means: one of the folder, a path, or a built-in one.
fn model(settings: &Settings, like: &str) -> Result<(String, String)> {
    let path = settings.pipeline_file(like);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            // A copy of what is broken would be broken as well, and nobody would know since when.
            pipeline::parse(&path.display().to_string(), &text, &[], &settings.quotas)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match built_in().find(|file| file.name == like) {
            Some(file) => Ok((file.name.to_owned(), file.text.to_owned())),
            None => {
                let names: Vec<&str> = built_in().map(|file| file.name).collect();
                Err(Error::bad_input(format!("there is no pipeline `{like}`: `{}` does not exist", path.display()))
                    .hint(format!("built in are: {}", names.join(", "))))
            }
        },
        Err(error) => Err(Error::bad_input(format!("cannot read `{}`", path.display())).because(error)),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::bad_input(format!("`{}` is there already", path.display()))
            .hint("choose another name, or remove the file"),
        _ => Error::bad_input(format!("cannot write `{}`", path.display())).because(error),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)
}

/// The built-in files with a line about each.
fn list() -> String {
    let all: Vec<BuiltIn> = built_in().collect();
    let width = all.iter().map(|file| file.name.len()).max().unwrap_or(0);
    let lines: Vec<String> = all.iter().map(|file| format!("{:width$}  {}", file.name, file.description())).collect();
    lines.join("\n")
}

/// Where the file says that secrets are: `env:NAME` and `file:PATH`, each once, in the file's order.
pub(super) fn secrets(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    if let Ok(document) = text.parse::<toml::Table>() {
        document.values().for_each(|value| secrets_in(value, &mut found));
    }
    found
}

fn secrets_in(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if SecretSource::parse(text).is_some() && !found.contains(text) => {
            found.push(text.clone());
        }
        toml::Value::Array(values) => values.iter().for_each(|value| secrets_in(value, found)),
        toml::Value::Table(table) => table.values().for_each(|value| secrets_in(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_once_and_not_from_comments() {
        let text = "[auth] # token = \"env:OLD\"\ntoken = \"env:A_B\" # or \"file:x\"\n\
                    [api]\nheaders = { a = \"env:A_B\", b = [\"file:c/d\"], c = \"env:\" }\n";
        assert_eq!(secrets(text), ["env:A_B", "file:c/d"]);
    }
}
