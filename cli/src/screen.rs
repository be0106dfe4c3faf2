//! The two doors to the outside: standard output for data, standard error for everything else.
//!
//! In: text. Out: lines, with colours only where a terminal shows them.
//! Never: formats messages.
//! Tests: below.

use crate::error::Error;
use std::io::{self, IsTerminal as _, Write as _};

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// Canonical proto JSON; one line per message for streams.
    Json,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// How answers are printed.
    pub(crate) output: Output,
    /// Colours on standard output.
    pub(crate) out: Paint,
    /// Colours on standard error.
    pub(crate) err: Paint,
    /// Whether standard error is a terminal that can redraw.
    pub(crate) live: bool,
}

impl Screen {
    /// Looks at the terminal and at NO_COLOR (<https://no-color.org>).
    pub(crate) fn new(output: Output, no_color: bool) -> Screen {
        let plain = no_color || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let live = io::stderr().is_terminal();
        Screen {
            output,
            out: Paint(!plain && io::stdout().is_terminal()),
            err: Paint(!plain && live),
            live: live && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
        }
    }

    /// Prints data.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub(crate) fn data(&self, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        write!(out, "{text}{ended}").and_then(|()| out.flush()).map_err(Error::Output)
    }

    /// Says something beside the data. A closed standard error is nobody's loss.
    pub(crate) fn say(&self, text: &str) {
        let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Good.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Worth a look.
    pub(crate) fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// The main thing.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Beside the main thing.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Something to type.
    pub(crate) fn code(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Paint(false).bad("no"), "no");
        assert_eq!(Paint(true).bad("no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Paint(true).bad(""), "");
    }
}
