//! The table that is printed.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::measure::Cost;

/// One line: a workload, who did it, and what it took.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) who: &'a str,
    pub(crate) rows: u64,
    pub(crate) cost: &'a Cost,
    /// What the platform spent beside.
    pub(crate) platform_cpu: f64,
    /// What is compared with.
    pub(crate) floor: Option<&'a Cost>,
}

/// Prints `lines` under `title`.
pub(crate) fn print(title: &str, lines: &[Line<'_>]) {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header([
        "who",
        "rows",
        "wall s",
        "CPU s",
        "rows/s",
        "rows/CPU s",
        "CPU s/M rows",
        "peak MB",
        "wall ratio",
        "CPU ratio",
        "platform CPU s",
    ]);
    for line in lines {
        let (wall, cpu) = (line.cost.wall.as_secs_f64(), line.cost.cpu.as_secs_f64());
        let rows = line.rows as f64;
        let ratio = |ours: f64, other: fn(&Cost) -> f64| {
            line.floor.map_or_else(|| "1".to_owned(), |floor| format!("{:.2}", ours / other(floor)))
        };
        table.add_row([
            line.who.to_owned(),
            line.rows.to_string(),
            format!("{wall:.2}"),
            format!("{cpu:.2}"),
            format!("{:.0}", rows / wall),
            format!("{:.0}", rows / cpu),
            format!("{:.2}", cpu / rows * 1e6),
            format!("{:.1}", line.cost.peak as f64 / 1e6),
            ratio(wall, |cost| cost.wall.as_secs_f64()),
            ratio(cpu, |cost| cost.cpu.as_secs_f64()),
            format!("{:.2}", line.platform_cpu),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n{table}");
}
