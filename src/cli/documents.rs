//! Shell completions and manual pages, from the same definitions as the help texts.

use std::path::Path;

use clap::CommandFactory;

use crate::error::{Error, Outcome, Result};

use super::arguments::Cli;
use super::screen::Screen;

pub(super) fn completions(screen: &Screen, shell: clap_complete::Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hourmark", &mut script);
    screen.result(String::from_utf8_lossy(&script).trim_end());
    Ok(Outcome::Done)
}

pub(super) fn man_pages(screen: &Screen, folder: &Path) -> Result<Outcome> {
    let failed = |error: std::io::Error| {
        Error::bad_input(format!("cannot write manual pages to `{}`", folder.display())).because(error)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    screen.remark(&format!("manual pages are in `{}`", folder.display()));
    Ok(Outcome::Done)
}
