//! The whole path of rows, measured: the program against the simulated API, beside a client that only downloads and
//! parses the same pages.
//!
//! ```text
//! cargo bench --bench pipeline                      every workload at its usual size
//! cargo bench --bench pipeline -- load --rows 10    one workload, ten million rows
//! ```
//!
//! Program, floor client and API are processes of their own, so that each one's processor time and memory are its own.
//! Machines differ and are noisy: what counts are the ratios of one run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../api.rs"]
mod api;
mod floor;
mod load;
mod measure;
mod platform;
mod queries;
mod republish;
mod table;

use std::process::ExitCode;

/// What is asked for on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Workloads, by name; all where none is named.
    workloads: Vec<String>,
    /// Millions of rows, where not the usual number.
    rows: Option<f64>,
    /// How often each side is measured; the best counts.
    rounds: usize,
    /// Prints memory over time.
    memory: bool,
}

impl Order {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Order, String> {
        let mut order = Order { workloads: Vec::new(), rows: None, rounds: 3, memory: false };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().ok_or(format!("`{argument}` needs a number"))?;
                text.parse::<f64>().map_err(|_| format!("`{argument} {text}`: expected a number"))
            };
            match argument.as_str() {
                "--rows" => order.rows = Some(number()?),
                "--rounds" => order.rounds = number()?.max(1.0) as usize,
                "--memory" => order.memory = true,
                "load" | "big-units" | "growth" | "latency" | "batches" | "unchanged" | "republish" | "queries" => {
                    order.workloads.push(argument);
                }
                other => {
                    let known = "load, big-units, growth, latency, batches, unchanged, republish, queries";
                    return Err(format!("`{other}`: expected {known}"));
                }
            }
        }
        Ok(order)
    }

    fn wants(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|name| name == workload)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    // `cargo test --benches` only asks whether it is there.
    if std::env::args().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    if arguments.next_if(|argument| argument == "floor").is_some() {
        return floor::main(arguments);
    }
    let order = match Order::parse(arguments) {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    load::run(&order);
    republish::run(&order);
    queries::run(&order);
    ExitCode::SUCCESS
}
