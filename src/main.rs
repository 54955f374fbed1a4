//! The program `hourmark`. Everything is in the library; this file only hands over the words of the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    hourmark::cli::main()
}
