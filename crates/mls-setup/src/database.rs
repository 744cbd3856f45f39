//! The test of the connection to the database, before anything is written.

use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context;

use crate::edit;
use crate::installation::Installation;
use crate::plan::Plan;
use crate::system::Account;

/// Connects to the database with the configuration of a plan, and returns what was found, as text for the
/// user. A server that is down is not an error: the service tries again later.
pub(crate) fn found(
    installation: &Installation,
    plan: &Plan,
    account: Option<&Account>,
) -> anyhow::Result<String> {
    let mut file = tempfile::NamedTempFile::new().context("creating a temporary file")?;
    // Clear `log_file`: root could create a log file that the service cannot write.
    let text = edit::set(plan.configuration(), "general", "log_file", "");
    file.write_all(text.as_bytes()).context("writing a temporary file")?;
    let mut command = Command::new(installation.program("mls-sql"));
    command.args(["status", "--config"]).arg(file.path()).current_dir("/");
    // Run mls-sql as the service user. Root could create files beside an SQLite database, and the
    // service could not write these files.
    if let Some(Account { uid, gid, .. }) = account {
        chown(file.path(), Some(*uid), Some(*gid))
            .context("changing the owner of a temporary file")?;
        command.uid(*uid).gid(*gid);
    }
    let output = match command.output() {
        Ok(output) => output,
        // In a setup from source, mls-sql is not installed yet, and the service user may have no
        // access to the source tree.
        Err(error) => {
            return Ok(format!("The database was not tested: mls-sql cannot start: {error}\n"));
        }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Ok(format!("The database cannot be used yet:\n{}\n", indented(&said)));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(format!("The connection to the database works:\n{}\n", indented(&said)))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
