//! `gaps`: the hours that should be in the lake and are not, with the reason.

use serde_json::{Value, json};

use crate::error::{Error, Outcome, Result};
use crate::gaps::{self, Gap};
use crate::run::refresh_of;

use super::arguments::{GapsArguments, ListFormat};
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn gaps(settings: &Settings, screen: &Screen, arguments: &GapsArguments) -> Result<Outcome> {
    let Some(state) = settings.known_state().await? else {
        return Err(Error::bad_input(format!("nothing has run yet: there is no state `{}`", settings.state.display()))
            .hint("`hourmark run` or `hourmark demo` begins one; --state names another"));
    };
    let now = settings.clock.now();
    let mut found = 0;
    let mut documents = Vec::new();
    for pipeline in settings.pipelines(&arguments.pipelines)? {
        let refresh = refresh_of(Some(&state), pipeline.clone()).await?;
        let known = state.accounts(&pipeline.name).await?;
        let gaps = gaps::find(&state, &refresh, &known, now).await?;
        found += gaps.len();
        match arguments.format {
            ListFormat::Text => screen.result(&text(&pipeline.name, &gaps)),
            ListFormat::Json => documents.extend(gaps.iter().map(|gap| document(&pipeline.name, gap))),
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    Ok(if found == 0 { Outcome::Done } else { Outcome::GapsFound })
}

fn text(pipeline: &str, gaps: &[Gap]) -> String {
    if gaps.is_empty() {
        return format!("{pipeline}: no hour is missing");
    }
    let mut lines = vec![format!("{pipeline}: {}", counts(gaps))];
    for gap in gaps {
        let (account, window, hours) = (&gap.account, gap.window, gap.hours);
        lines.push(format!("  {account}  {window}  {hours} h  {}: {}", gap.kind.word(), gap.reason));
    }
    lines.push(format!("  `hourmark repair {pipeline}` asks for exactly these"));
    lines.join("\n")
}

/// `12 account-hours are missing, 3 suspicious`.
fn counts(gaps: &[Gap]) -> String {
    let mut parts: Vec<(&str, u32)> = Vec::new();
    for gap in gaps {
        match parts.iter_mut().find(|(word, _)| *word == gap.kind.word()) {
            Some((_, hours)) => *hours += gap.hours,
            None => parts.push((gap.kind.word(), gap.hours)),
        }
    }
    let mut words = parts.iter().map(|(word, hours)| (*hours, *word));
    let (hours, word) = words.next().unwrap_or_default();
    let rest: String = words.map(|(hours, word)| format!(", {hours} {word}")).collect();
    format!("{hours} account-hours are {word}{rest}")
}

fn document(pipeline: &str, gap: &Gap) -> Value {
    json!({
        "pipeline": pipeline,
        "account_id": gap.account,
        "from": gap.window.from(),
        "to": gap.window.to(),
        "hours": gap.hours,
        "kind": gap.kind.word(),
        "reason": gap.reason,
    })
}
