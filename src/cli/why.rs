//! `status --why`: at which ages hours are read again, and what that follows from.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::error::Result;
use crate::gaps::age_text;
use crate::refresh::{Learned, Mark, Movement, Refresh};
use crate::state::State;
use crate::time::{Instant, short};

/// The marks of one pipeline and their reasons.
pub(super) struct Why<'a> {
    refresh: &'a Refresh,
    movements: BTreeMap<u64, Movement>,
    learned: Learned,
    since: Option<Instant>,
}

impl<'a> Why<'a> {
    pub(super) async fn read(state: &State, refresh: &'a Refresh) -> Result<Why<'a>> {
        let name = &refresh.pipeline().name;
        let (learned, since) = state.learned(name).await?;
        Ok(Why { refresh, movements: state.movements(name).await?, learned, since })
    }

    fn marks(&self) -> &[Mark] {
        // No account has an empty id: these are the marks of those without marks of their own.
        self.refresh.marks("")
    }

    fn movement(&self, age: Duration) -> Movement {
        self.movements.get(&age.as_secs()).copied().unwrap_or_default()
    }

    fn reason(&self, mark: &Mark) -> String {
        let added = self.learned.added.contains(&mark.age.as_secs());
        match (self.refresh.pipeline().window.learn, mark.sampled, added) {
            (false, _, _) => "declared".to_owned(),
            (true, true, _) => "hardly anything moves: one block in 16 is read, to notice when it does".to_owned(),
            (true, false, true) => "added, because hours still moved beyond the mark before".to_owned(),
            (true, false, false) if self.movement(mark.age).share().is_none() => {
                "declared; not enough was read at it to say more".to_owned()
            }
            (true, false, false) => "declared, and hours move".to_owned(),
        }
    }

    pub(super) fn text(&self) -> String {
        let rules = &self.refresh.pipeline().window;
        let learn = match (rules.learn, self.since) {
            (false, _) => "as the file declares (`window.learn` would let them follow what moves)".to_owned(),
            (true, None) => "as the file declares; nothing else was learnt yet".to_owned(),
            (true, Some(since)) => format!("as learnt, last at {}", short(since)),
        };
        let mut lines = vec![format!("{}: hours are read again {learn}", self.refresh.pipeline().name)];
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["  age", "read again", "had moved", "share", "why"]);
        for mark in self.marks() {
            let Movement { hours, changed } = self.movement(mark.age);
            let share =
                if hours == 0 { "-".to_owned() } else { format!("{:.1} %", changed as f64 * 100.0 / hours as f64) };
            let age = format!("  {}", age_text(mark.age));
            table.add_row([age, hours.to_string(), changed.to_string(), share, self.reason(mark)]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        lines.extend(table.lines().map(|line| line.trim_end().to_owned()));
        for (account, ages) in &rules.account_refresh {
            let ages: Vec<String> = ages.iter().map(|age| age_text(*age)).collect();
            lines.push(format!("  account {account} has ages of its own: {}", ages.join(", ")));
        }
        lines.push("  ages below a day count from the hour's end, others from the end of its block".to_owned());
        lines.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let marks: Vec<Value> = self
            .marks()
            .iter()
            .map(|mark| {
                let Movement { hours, changed } = self.movement(mark.age);
                json!({
                    "age_seconds": mark.age.as_secs(), "sampled": mark.sampled, "read_again": hours, "moved": changed,
                    "why": self.reason(mark),
                })
            })
            .collect();
        json!({ "learn": self.refresh.pipeline().window.learn, "learned_at": self.since, "marks": marks })
    }
}
