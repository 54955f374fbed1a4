//! What goes to the terminal: results to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

/// The terminal, or what stands in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    quiet: bool,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Screen {
        Screen { quiet }
    }

    /// A result: printed whatever was said about being quiet. A reader that went away (`| head`) is not an error.
    pub(super) fn result(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A remark beside the results: to standard error, and not at all when quiet.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet {
            Screen::complain(text);
        }
    }

    /// An error, always printed.
    pub(super) fn complain(text: &str) {
        let _gone = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Whether bars may be drawn.
    pub(super) fn draws(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Whether anything but results may be printed.
    pub(super) fn talks(&self) -> bool {
        !self.quiet
    }
}
