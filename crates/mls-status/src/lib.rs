//! `mls-status` says whether the service works, and why not.
//!
//! # Reads
//! mls-status reads the configuration and the files of the service. It asks systemd about the
//! units, and runs the other tools. These tools count attempts that are recorded and that are not
//! recorded yet. They check the database,
//!
//! # Writes
//! mls-status writes sentences for people to standard output. The first line is `healthy`, or there is
//! a line `not healthy: …` for each problem. With `--json` it writes one JSON object in one line:
//!
//! | members | content |
//! |---|---|
//! | `healthy`, `problems` | whether there is no problem; a sentence for each problem |
//! | `without_effect` | a sentence for each key of the configuration that has no effect |
//! | `rows`, `last_recorded` | number of rows in the CSV; time of the last one |
//! | `last_commit` | when the position in the log was committed last |
//! | `not_recorded`, `first_not_recorded` | number of failures in the log that are not in the CSV yet; time of the first one |
//! | `not_exported` | number of rows that are not exported as SQL yet |
//! | `logins`, `logins_not_recorded`, `first_login_not_recorded` | `rows`, `not_recorded` and `first_not_recorded` for successful logins |
//! | `logins_not_checked` | number of logins that the mail server could not check |
//! | `loaded`, `not_loaded`, `last_load` | rows that this machine has loaded into the database; attempts in the log that are not loaded yet; time of the last commit. Only if `[database]` mode is load |
//! | `jobs` | each job that systemd starts: `job`, `unit`, `last_run`, `result`, `next_run`, `running_since` |
//!
//! Times are RFC 3339. A number that is not known is null. A time that is not known is an empty string,
//! or null in a job.
//!
//! # Guarantees
//! - mls-status changes no data and no state. The tools that it runs write their messages to
//!   `[general] log_file`.
//! - No control character of a file or a name reaches the terminal.
//! - Exit code 0 means that there is no problem, and 1 that there is one.
//!
//! # Example
//! ```text
//! sudo -u maillogsentinel mls-status --json | jq .not_recorded
//! ```

mod args;
mod facts;
mod status;
mod systemd;
mod text;
mod tools;

use std::path::Path;

use chrono::Local;
use mls_config::Config;
use mls_diag::Exit;
use mls_event::{clean_str, display_text};
use mls_stream::ndjson::{Writer, output_closed};

pub use args::Args;
use status::Status;

/// Runs the tool.
///
/// # Errors
/// Exit 1 if there is a problem; then the problem is printed. Exit 78 if the configuration is
/// wrong. Exit 74 or 77 if it cannot be read. Exit 77 if root runs mls-status although the service
/// has another user.
pub fn run(Args { config: path, json }: Args, _: Config) -> anyhow::Result<()> {
    let (mut status, config) = look(&path)?;
    for problem in &mut status.problems {
        *problem = display_text(problem).into_owned();
    }
    // The exit code does not depend on whether somebody reads the output.
    match print(&status, config.as_ref(), json) {
        Err(error) if !output_closed(&error) => Err(error),
        _ if status.healthy => Ok(()),
        _ => Err(Exit::Problem.error("there is a problem")),
    }
}

fn print(status: &Status, config: Option<&Config>, json: bool) -> anyhow::Result<()> {
    let mut out = Writer::stdout()?;
    if json {
        out.line(clean_str(&serde_json::to_string(status)?).as_bytes())?;
    } else {
        let details = config.map(|config| text::details(status, config, Local::now()));
        for line in text::verdict(status).into_iter().chain(details.into_iter().flatten()) {
            out.line(display_text(&line).as_bytes())?;
        }
    }
    out.flush()
}

/// Returns the state of the service. If the service is set up, also returns the configuration.
fn look(path: &Path) -> anyhow::Result<(Status, Option<Config>)> {
    let not_set_up = |why: String| {
        let problem = format!("not set up{why}: run maillogsentinel --setup --interactive");
        (Status { problems: vec![problem], ..Status::default() }, None)
    };
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Ok(not_set_up(format!(", because there is no {}", path.display())));
    }
    let config = Config::load(path)?;
    if uzers::get_effective_uid() == 0 {
        // Root must not run the tools: they would follow links that the service user made.
        let name = config.systemd.user.as_deref().unwrap_or_default();
        match uzers::get_user_by_name(name) {
            None if name.is_empty() => return Ok(not_set_up(String::new())),
            None => return Ok(not_set_up(format!(", because there is no user {name}"))),
            Some(user) if user.uid() != 0 => {
                let why = "root must run maillogsentinel --status instead of mls-status: \
                           maillogsentinel changes to the service user";
                return Err(Exit::NoPerm.error(why));
            }
            Some(_) => {}
        }
    }
    Ok((facts::collect(path, &config), Some(config)))
}
