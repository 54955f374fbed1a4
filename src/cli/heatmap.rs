//! The hours of a pipeline as a picture: a line per date, a character per hour (UTC), all accounts together.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::refresh::HourState;

/// How many account-hours of one cell are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    missing: u32,
    provisional: u32,
    settling: u32,
    end: u32,
}

/// The picture's data.
#[derive(Debug, Default)]
pub(super) struct Heatmap {
    days: BTreeMap<NaiveDate, [Cell; 24]>,
}

impl Heatmap {
    /// Counts one account's hour that begins in UTC clock hour `hour` of `date`.
    pub(super) fn add(&mut self, date: NaiveDate, hour: usize, state: HourState) {
        let Some(cell) = self.days.entry(date).or_default().get_mut(hour) else { return };
        match state {
            HourState::Missing => cell.missing += 1,
            HourState::Provisional => cell.provisional += 1,
            HourState::Settling => cell.settling += 1,
            HourState::Final => cell.end += 1,
        }
    }

    /// The picture, newest date first, with a legend.
    pub(super) fn draw(&self) -> String {
        let mut lines = vec!["  hours (UTC)  0     6     12    18".to_owned()];
        for (date, cells) in self.days.iter().rev() {
            let line: String = cells.iter().map(mark).collect();
            lines.push(format!("  {date}   {}", line.trim_end()));
        }
        lines.push(
            "  █ final  ▓ settling  ▒ provisional  ◌ some accounts missing  ✗ missing  (blank: not asked for)"
                .to_owned(),
        );
        lines.join("\n")
    }
}

/// The worst state of a cell decides: one account's missing hour must be seen among a thousand.
fn mark(cell: &Cell) -> char {
    let present = cell.provisional + cell.settling + cell.end;
    match cell {
        Cell { missing: 0, .. } if present == 0 => ' ',
        Cell { missing: 1.., .. } if present > 0 => '◌',
        Cell { missing: 1.., .. } => '✗',
        Cell { provisional: 1.., .. } => '▒',
        Cell { settling: 1.., .. } => '▓',
        _ => '█',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_state_of_an_hour_is_shown() {
        let mut map = Heatmap::default();
        let date: NaiveDate = "2026-11-20".parse().expect("a date");
        map.add(date, 0, HourState::Final);
        map.add(date, 1, HourState::Final);
        map.add(date, 1, HourState::Settling);
        map.add(date, 2, HourState::Provisional);
        map.add(date, 3, HourState::Missing);
        map.add(date, 4, HourState::Missing);
        map.add(date, 4, HourState::Final);
        let picture = map.draw();
        assert!(picture.contains("2026-11-20   █▓▒✗◌\n"), "{picture}");
    }
}
