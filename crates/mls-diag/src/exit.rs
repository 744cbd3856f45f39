//! Exit codes (`sysexits.h`, as Postfix and sendmail use them), and errors with an exit code.

use std::fmt;
use std::io;
use std::path::Path;

/// A code of `sysexits.h`, or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The tool ran without an error, and printed a problem that it found. No error is logged.
    Problem = 1,
    /// The command line is wrong.
    Usage = 64,
    /// The input is wrong.
    DataErr = 65,
    /// An input file does not exist or cannot be read.
    NoInput = 66,
    /// A service or program that is needed cannot be used.
    Unavailable = 69,
    /// A bug in the tool.
    Software = 70,
    /// An output file cannot be created.
    CantCreat = 73,
    /// Reading or writing failed.
    IoErr = 74,
    /// A temporary failure: a lock is held, a server is down. A later run may succeed.
    TempFail = 75,
    /// Permission denied.
    NoPerm = 77,
    /// The configuration is wrong, or the administrator must decide what to do with a state file.
    Config = 78,
}

impl Exit {
    /// An error with this code.
    pub fn error(self, message: impl fmt::Display) -> anyhow::Error {
        Coded { exit: self, error: anyhow::anyhow!("{message}") }.into()
    }

    /// The exit code of the first error in the chain that has one. An I/O error has the code of its
    /// kind. If no error has a code, [`Exit::Software`].
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(|cause| {
                let coded = cause.downcast_ref::<Coded>().map(|coded| coded.exit);
                coded.or_else(|| cause.downcast_ref::<io::Error>().map(Self::of_io))
            })
            .unwrap_or(Self::Software)
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::PermissionDenied => Self::NoPerm,
            _ => Self::IoErr,
        }
    }
}

/// Adds an exit code to the error of a result.
pub trait OrExit<T> {
    /// If the error reaches `main`, the process ends with `exit`.
    ///
    /// # Errors
    /// The error of the result.
    fn or_exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| Coded { exit, error: error.into() }.into())
    }
}

/// Adds the name of a file to the error of a result.
pub trait OnFile<T> {
    /// Adds `doing` and the path to the message: if `doing` is `reading`, `reading FILE: …`.
    ///
    /// # Errors
    /// The error of the result.
    fn on_file(self, doing: &str, path: &Path) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OnFile<T> for Result<T, E> {
    fn on_file(self, doing: &str, path: &Path) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(format!("{doing} {}", path.display())))
    }
}

#[derive(Debug)]
struct Coded {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Coded {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_code_survives_context_and_the_message_occurs_once() {
        let inner: io::Result<()> = Err(io::Error::other("disk on fire"));
        let error = inner
            .on_file("writing", Path::new("x.csv"))
            .or_exit(Exit::TempFail)
            .context("run")
            .unwrap_err();
        assert_eq!(Exit::of(&error), Exit::TempFail);
        assert_eq!(format!("{error:#}"), "run: writing x.csv: disk on fire");
    }

    #[test]
    fn an_io_error_without_a_code_gets_the_code_for_its_kind() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Exit::of(&anyhow::Error::from(error).context("opening x")), Exit::NoPerm);
    }
}
