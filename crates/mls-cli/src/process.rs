//! The process of a tool: arguments, configuration, `run`, exit code.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser, value_parser};

use mls_config::Config;
use mls_diag::{Exit, diag};
use mls_state::regular;
use mls_stream::{ndjson, signals};

use crate::file_argument;
use crate::flags::strict;

/// The command line of a tool.
///
/// `mls_cli` adds the flags `--config` and `--strict`. The constants below say whether it does.
pub trait Args: Parser {
    /// Whether this crate adds `--strict`. With this flag, a bad record leads to exit code 65.
    const STRICT: bool = false;

    /// Whether this crate adds `--config FILE`: the values in FILE are the defaults of the flags.
    /// If this constant is false, a tool can have its own flag `--config`.
    const CONFIG: bool = true;

    /// Whether the tool or its subcommand `subcommand` reads standard input. If so, the message
    /// about a file on the command line adds the command `TOOL < FILE`.
    #[must_use]
    fn reads_stdin(subcommand: Option<&str>) -> bool {
        Self::STRICT && subcommand.is_none()
    }
}

/// Returns the command line of a tool with the flags that this crate adds.
#[must_use]
pub fn command<A: Args>() -> Command {
    let mut command = A::command();
    if A::STRICT {
        command = command.arg(strict());
    }
    if A::CONFIG {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .global(true)
            .help(
                "Configuration file; its values are the defaults of the options. Without \
                --config, no file is read",
            );
        let show_config = Arg::new("show_config")
            .long("show-config")
            .action(ArgAction::SetTrue)
            .requires("config")
            .global(true)
            .help("Print the configuration that the tool uses, without passwords, and exit");
        command = command.args([config, show_config]);
    }
    command
}

/// Passes values such as `-1` to the parser of each flag. The message of this parser says which
/// numbers are allowed. The message of clap does not.
fn with_negative_numbers(command: Command) -> Command {
    let allow = |arg: Arg| {
        let is_flag_with_value = arg.get_long().is_some() && arg.get_action().takes_values();
        if is_flag_with_value { arg.allow_negative_numbers(true) } else { arg }
    };
    command.mut_args(allow).mut_subcommands(with_negative_numbers)
}

const STDOUT: &str = "writing standard output";

/// Runs a tool and returns its exit code. If the tool panics because of a bug, the exit code is 70.
pub fn main<A: Args>(run: fn(A, Config) -> anyhow::Result<()>) -> ExitCode {
    let code = catch_unwind(AssertUnwindSafe(|| process(run)));
    ExitCode::from(code.unwrap_or(Exit::Software as u8))
}

fn parse<A: Args>(
    command: &mut Command,
    words: &[OsString],
) -> clap::error::Result<(A, ArgMatches)> {
    let found = command.try_get_matches_from_mut(words)?;
    Ok((A::from_arg_matches(&found)?, found))
}

fn process<A: Args>(run: fn(A, Config) -> anyhow::Result<()>) -> u8 {
    let mut command = command::<A>();
    diag::start(command.get_name());
    let words: Vec<_> = std::env::args_os().collect();
    let mut parsed = parse::<A>(&mut command, &words);
    if parsed.is_err() {
        // Change the options only after an error: at each start, the change would triple the work
        // of a short run.
        command = with_negative_numbers(self::command::<A>());
        parsed = parse::<A>(&mut command, &words);
    }
    let (args, found) = match parsed {
        Ok(parsed) => parsed,
        // clap chooses between stdout and stderr, and whether to use colours.
        Err(mut error) => {
            file_argument::explain::<A>(&mut error, &command, &words);
            let code = if error.use_stderr() { Exit::Usage as u8 } else { 0 };
            return match error.print() {
                Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
                    log::error!("{STDOUT}: {why}");
                    Exit::IoErr as u8
                }
                _ => code,
            };
        }
    };
    signals::survive_file_size_limit();
    let show = is_given(&found, "show_config");
    let path = found.get_one::<PathBuf>("config").filter(|_| A::CONFIG);
    let result = configure(path, show).and_then(|config| {
        if show {
            for sentence in path.map(|path| Config::without_effect_in(path)).unwrap_or_default() {
                log::info!("{sentence}");
            }
            std::io::stdout().write_all(config.show().as_bytes()).context(STDOUT)
        } else {
            run(args, config)
        }
    });
    let bad = diag::finish();
    match result {
        Ok(()) if bad > 0 && is_given(&found, "strict") => Exit::DataErr as u8,
        Ok(()) => 0,
        // The reader of our output has exited, so there is nothing to report.
        Err(error) if ndjson::output_closed(&error) => 0,
        Err(error) => {
            let exit = Exit::of(&error);
            if exit != Exit::Problem {
                log::error!("{error:#}");
            }
            exit as u8
        }
    }
}

/// Returns whether a flag without value is given, to the tool or to its subcommand.
fn is_given(found: &ArgMatches, flag: &str) -> bool {
    matches!(found.try_get_one(flag), Ok(Some(true)))
        || found.subcommand().is_some_and(|(_, found)| is_given(found, flag))
}

fn configure(path: Option<&PathBuf>, show: bool) -> anyhow::Result<Config> {
    let Some(path) = path else { return Ok(Config::default()) };
    let config = Config::load(path)?;
    // root may run --show-config. Do not create a log file that belongs to root in the directory of
    // the service.
    if !show && let Some(path) = &config.general.log_file {
        // A user who runs a tool by hand may have no right to write to the log of the service.
        match regular::open_with(File::options().append(true).create(true).mode(0o640), path) {
            Ok(file) => diag::log_to(file, config.general.log_level),
            Err(error) => log::warn!(
                "log_file {} cannot be opened, so this run logs only to standard error: {error}",
                path.display()
            ),
        }
    }
    Ok(config)
}
