//! The process of a tool: arguments, configuration, `run`, exit code.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use mls_config::Config;
use mls_diag::{Exit, diag};
use mls_stream::{ndjson, signals};

/// The flags that every tool has.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Configuration file with the defaults of the flags; without this flag no file is read
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Print the effective configuration, one `section.key=value` per line, and exit
    #[arg(long, global = true, hide = true, requires = "config")]
    pub show_config: bool,
}

/// The flag of tools that read records.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Strict {
    /// Exit with 65 if any record was bad, after all other records were processed
    #[arg(long)]
    pub strict: bool,
}

/// A tool's command line.
pub trait Args: Parser {
    /// The flags that every tool has.
    fn common(&self) -> &Common;

    /// Whether a bad record changes the exit code.
    fn strict(&self) -> bool {
        false
    }
}

/// Runs a tool and returns its exit code. Never panics: a bug is exit 70.
pub fn main<A: Args>(run: fn(A, Config) -> anyhow::Result<()>) -> ExitCode {
    let code = catch_unwind(AssertUnwindSafe(|| process(run)));
    ExitCode::from(code.unwrap_or(Exit::Software as u8))
}

fn process<A: Args>(run: fn(A, Config) -> anyhow::Result<()>) -> u8 {
    let name = A::command().get_name().to_owned();
    diag::start(&name);
    let args = match A::try_parse() {
        Ok(args) => args,
        // clap chooses between stdout and stderr, and whether to use colours.
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage as u8 } else { 0 };
            return match error.print() {
                Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Exit::IoErr as u8,
                _ => code,
            };
        }
    };
    signals::survive_file_size_limit();
    let strict = args.strict();
    let result = configure(args.common()).and_then(|config| {
        if args.common().show_config {
            Ok(std::io::stdout().write_all(config.show().as_bytes())?)
        } else {
            run(args, config)
        }
    });
    let bad = diag::finish();
    match result {
        Ok(()) if strict && bad > 0 => Exit::DataErr as u8,
        Ok(()) => 0,
        // The reader of our output has exited, so there is nothing to report.
        Err(error) if ndjson::output_closed(&error) => 0,
        Err(error) => {
            log::error!("{error:#}");
            Exit::of(&error) as u8
        }
    }
}

fn configure(common: &Common) -> anyhow::Result<Config> {
    let Some(path) = &common.config else { return Ok(Config::default()) };
    let config = Config::load(path)?;
    // root may run --show-config. Do not create a log file that belongs to root in the directory of
    // the service.
    if !common.show_config
        && let Some(path) = &config.general.log_file
    {
        diag::log_to(path, config.general.log_level);
    }
    Ok(config)
}
