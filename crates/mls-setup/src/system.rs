//! The machine that is set up: where its files are, who its users are, and what starts jobs on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::Context;
use mls_diag::{Exit, OrExit};

/// The running machine, or a directory with the files of another machine.
pub(crate) struct TargetSystem {
    root: PathBuf,
    pub(crate) scheduler: Scheduler,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheduler {
    Systemd,
    Cron,
}

/// A user of passwd(5), with the name of the primary group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) group: String,
}

impl TargetSystem {
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("--root {}", root.display()))
            .or_exit(Exit::Usage)?;
        // A system that is not running uses systemd if it has the directory for units of systemd.
        let sign = if root == Path::new("/") { "run/systemd/system" } else { "etc/systemd/system" };
        let scheduler = if root.join(sign).is_dir() { Scheduler::Systemd } else { Scheduler::Cron };
        Ok(Self { root, scheduler })
    }

    /// Whether this is the machine that setup runs on.
    pub(crate) fn is_running(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path at which this process finds the file `path` of the system.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn account(&self, user: &str) -> Option<Account> {
        let line = self.entry("passwd", 0, user)?;
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        let group = self.name("group", gid)?;
        Some(Account { uid, gid, group })
    }

    /// The account of the service user. Exit 78 if there is no such user.
    pub(crate) fn service(&self, user: &str) -> anyhow::Result<Account> {
        self.account(user).ok_or_else(|| {
            Exit::Config
                .error(format!("there is no user {user}: create it, or change [systemd] user"))
        })
    }

    /// The name of the user (`passwd`) or group (`group`) with this number.
    pub(crate) fn name(&self, database: &str, id: u32) -> Option<String> {
        let line = self.entry(database, 2, &id.to_string())?;
        line.split(':').next().map(str::to_owned)
    }

    /// Names of the members of a group; `None` if there is no such group.
    pub(crate) fn members(&self, group: &str) -> Option<Vec<String>> {
        let line = self.entry("group", 0, group)?;
        let members = line.rsplit(':').next().unwrap_or_default();
        Some(members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Reads the line of the user or group whose field number `field` is `value`. On a running
    /// machine, users and groups may come from LDAP or another source.
    fn entry(&self, database: &str, field: usize, value: &str) -> Option<String> {
        if self.is_running() {
            let output = Command::new("getent").args([database, "--", value]).output().ok()?;
            let line = String::from_utf8(output.stdout).ok()?;
            return output.status.success().then(|| line.trim_end().to_owned());
        }
        let text = fs::read_to_string(self.path("/etc").join(database)).ok()?;
        let line = text.lines().find(|line| line.split(':').nth(field) == Some(value))?;
        Some(line.to_owned())
    }

    pub(crate) fn systemctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("systemctl");
        if !self.is_running() {
            command.arg("--root").arg(&self.root);
        }
        command.arg("--quiet").args(args);
        command
    }

    /// Whether `systemctl is-enabled` reports a unit as enabled.
    pub(crate) fn is_enabled(&self, unit: &str) -> bool {
        let output = self.systemctl(&["is-enabled", unit]).args(["--no-legend"]).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The command `useradd` or a similar one, for this system.
    pub(crate) fn shadow(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        if !self.is_running() {
            command.arg("--prefix").arg(&self.root);
        }
        // These programs are in /usr/sbin. The PATH of sudo has this directory, but the PATH of a
        // user may not.
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(args).env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command
    }
}

/// Runs a command until it ends. The error contains the standard error of the command.
pub(crate) fn run(mut command: Command) -> anyhow::Result<Output> {
    let name = describe(&command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {name}"))
        .or_exit(Exit::Unavailable)?;
    if output.status.success() {
        return Ok(output);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Exit::Unavailable.error(format!("{name}: {}: {}", output.status, in_one_line(&why))))
}

/// Joins lines for a message, in which a line break would become `?`.
pub(crate) fn in_one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_holds_the_lines_of_a_command_in_one_line() {
        let mut command = Command::new("sh");
        command.args(["-c", "printf 'one\\n  two\\n\\n' >&2; exit 3"]);
        let error = format!("{:#}", run(command).unwrap_err());
        assert!(error.ends_with("exit status: 3: one; two"), "{error}");
    }
}
