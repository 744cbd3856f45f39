//! The steps of a setup, and how each step is undone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit};

use crate::directory::{self, Maker};
use crate::file::{NewFile, Saved, beside, remove_if_there};
use crate::jobs;
use crate::plan::OWN_DIRECTORIES;
use crate::system::{Account, Scheduler, System, run};

/// A step. It names the service's user, because an earlier step may create that user.
#[derive(Debug)]
pub(crate) enum Step {
    /// The first step: its undo starts the units again that run now.
    NoteRunningUnits,
    CreateUser(String),
    JoinGroup {
        user: String,
        group: String,
    },
    /// Keeps a copy of a file, with its owner and mode.
    BackUp {
        from: PathBuf,
        to: PathBuf,
    },
    Write {
        file: NewFile,
        user: String,
    },
    Remove(PathBuf),
    /// Creates a directory that the service's user writes to.
    MakeDirectory {
        path: PathBuf,
        user: String,
        mode: u32,
    },
    ReloadUnits,
    Disable(String),
    Enable(String),
    /// Starts a unit, or restarts it if it runs.
    Start(String),
}

/// How a step is undone.
#[derive(Debug)]
pub(crate) enum Undo {
    ReloadAndRestart(Vec<String>),
    RemoveUser(String),
    LeaveGroup { user: String, group: String },
    Restore { path: PathBuf, saved: Saved },
    Discard(PathBuf),
    MakeParent(PathBuf),
    RemoveParent(PathBuf),
    RemoveDirectory { path: PathBuf, maker: Maker, account: Account },
    Enable(String),
    Disable(String),
    Stop(String),
}

impl Step {
    /// Applies the step. It records each undo before the change, so that a step that fails halfway
    /// is undone as well. Returns a text for the log; `None` if there was nothing to do.
    pub(crate) fn apply(
        &self,
        system: &System,
        undo: &mut Vec<Undo>,
    ) -> anyhow::Result<Option<String>> {
        match self {
            Self::NoteRunningUnits => note_running_units(system, undo),
            Self::CreateUser(user) => create_user(system, user, undo),
            Self::JoinGroup { user, group } => join_group(system, user, group, undo),
            Self::BackUp { from, to } => back_up(system, from, to, undo),
            Self::Write { file, user } => write(system, file, user, undo),
            Self::Remove(path) => remove(system, path, undo),
            Self::MakeDirectory { path, user, mode } => {
                make_directory(system, path, user, *mode, undo)
            }
            Self::ReloadUnits => run(system.systemctl(&["daemon-reload"])).map(|_| None),
            Self::Disable(unit) => disable(system, unit, undo),
            Self::Enable(unit) => enable(system, unit, undo),
            Self::Start(unit) => {
                undo.push(Undo::Stop(unit.clone()));
                run(system.systemctl(&["restart", unit])).map(|_| None)
            }
        }
    }
}

impl Undo {
    /// Undoes a change. A signal to the foreground processes of the terminal does not reach its
    /// commands.
    pub(crate) fn run(self, system: &System) -> anyhow::Result<()> {
        let command = match self {
            Self::Restore { path, saved } => {
                return saved.write(&path).with_context(|| path.display().to_string());
            }
            Self::Discard(path) => {
                remove_if_there(&path)?;
                return Ok(remove_if_there(&beside(&path))?);
            }
            Self::MakeParent(path) => return Ok(create_directory(&path)?),
            Self::RemoveParent(path) => return Ok(fs::remove_dir(path)?),
            Self::RemoveDirectory { path, maker, account } => {
                return directory::remove(system, &path, maker, &account);
            }
            Self::RemoveUser(user) => return remove_user(system, &user),
            Self::ReloadAndRestart(units) => {
                run(background(system.systemctl(&["daemon-reload"])))?;
                if units.is_empty() {
                    return Ok(());
                }
                let mut command = system.systemctl(&["restart"]);
                command.args(units);
                command
            }
            Self::LeaveGroup { user, group } => leave_group(system, &user, &group),
            Self::Enable(unit) => system.systemctl(&["enable", &unit]),
            Self::Disable(unit) => system.systemctl(&["disable", &unit]),
            Self::Stop(unit) => system.systemctl(&["stop", &unit]),
        };
        run(background(command)).map(drop)
    }
}

fn background(mut command: std::process::Command) -> std::process::Command {
    command.process_group(0);
    command
}

fn note_running_units(system: &System, undo: &mut Vec<Undo>) -> anyhow::Result<Option<String>> {
    let mut command = system.systemctl(&["list-units", "--state=active", "--plain", "--no-legend"]);
    command.args(jobs::PATTERNS);
    let output = run(command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let units = text.lines().filter_map(|line| line.split_whitespace().next());
    // A service that a timer has started ends by itself.
    let lasting = |unit: &&str| !unit.ends_with(".service") || jobs::runs_all_the_time(unit);
    undo.push(Undo::ReloadAndRestart(units.filter(lasting).map(str::to_owned).collect()));
    Ok(None)
}

fn create_user(
    system: &System,
    user: &str,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<Option<String>> {
    if system.account(user).is_some() {
        return Ok(None);
    }
    undo.push(Undo::RemoveUser(user.to_owned()));
    run(system.shadow(
        "useradd",
        &[
            "--system",
            if system.members(user).is_some() { "--no-user-group" } else { "--user-group" },
            "--no-create-home",
            "--home-dir",
            "/var/lib/maillogsentinel",
            "--shell",
            "/usr/sbin/nologin",
            "--comment",
            "MailLogSentinel",
            user,
        ],
    ))?;
    Ok(Some(format!("created user {user}")))
}

fn remove_user(system: &System, user: &str) -> anyhow::Result<()> {
    if system.account(user).is_some() {
        run(background(system.shadow("userdel", &[user])))?;
    }
    if system.members(user).is_some() {
        run(background(system.shadow("groupdel", &[user])))?;
    }
    Ok(())
}

fn join_group(
    system: &System,
    user: &str,
    group: &str,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<Option<String>> {
    // Without systemd there may be no journal, and then no group that reads it.
    let Some(members) = system.members(group) else { return Ok(None) };
    if members.iter().any(|member| member == user) {
        return Ok(None);
    }
    undo.push(Undo::LeaveGroup { user: user.to_owned(), group: group.to_owned() });
    run(system.shadow("usermod", &["--append", "--groups", group, user]))?;
    Ok(Some(format!("added user {user} to group {group}")))
}

fn leave_group(system: &System, user: &str, group: &str) -> std::process::Command {
    let mut command = std::process::Command::new("gpasswd");
    if !system.is_running() {
        command.arg("--root").arg(system.root());
    }
    command.args(["--delete", user, group]);
    command
}

fn back_up(
    system: &System,
    from: &Path,
    to: &Path,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<Option<String>> {
    let host_path = system.path(to);
    let Some(saved) = Saved::read(&system.path(from))? else { return Ok(None) };
    note_file(&host_path, undo)?;
    saved.write(&host_path).with_context(|| format!("writing {}", to.display()))?;
    Ok(Some(format!("copied {} to {}", from.display(), to.display())))
}

/// Records how to restore the current state of a file.
fn note_file(host_path: &Path, undo: &mut Vec<Undo>) -> anyhow::Result<()> {
    let saved = Saved::read(host_path).with_context(|| host_path.display().to_string())?;
    // The undo removes the temporary name of the new file first, and then restores the old file.
    undo.push(match saved {
        Some(saved) => Undo::Restore { path: host_path.to_owned(), saved },
        None => Undo::Discard(host_path.to_owned()),
    });
    Ok(())
}

fn write(
    system: &System,
    file: &NewFile,
    user: &str,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<Option<String>> {
    let account = system.account(user);
    if file.is_in_place(system, account.as_ref()) {
        return Ok(None);
    }
    let name = file.path.display();
    let host_path = system.path(&file.path);
    make_parents(host_path.parent(), undo)
        .with_context(|| format!("making the directory of {name}"))
        .or_exit(Exit::CantCreat)?;
    note_file(&host_path, undo)?;
    file.write(system, account.as_ref())
        .with_context(|| format!("writing {name}"))
        .or_exit(Exit::CantCreat)?;
    Ok(Some(format!("wrote {name}")))
}

fn make_parents(path: Option<&Path>, undo: &mut Vec<Undo>) -> std::io::Result<()> {
    let Some(path) = path.filter(|path| !path.is_dir()) else { return Ok(()) };
    make_parents(path.parent(), undo)?;
    create_directory(path)?;
    undo.push(Undo::RemoveParent(path.to_owned()));
    Ok(())
}

/// Creates a directory with a mode that does not depend on the umask.
fn create_directory(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn remove(system: &System, path: &Path, undo: &mut Vec<Undo>) -> anyhow::Result<Option<String>> {
    let host_path = system.path(path);
    let Some(saved) = Saved::read(&host_path)? else { return Ok(None) };
    undo.push(Undo::Restore { path: host_path.clone(), saved });
    fs::remove_file(&host_path).with_context(|| format!("removing {}", path.display()))?;
    // Remove the directory together with its last drop-in.
    if let Some(parent) =
        host_path.parent().filter(|parent| parent.extension().is_some_and(|e| e == "d"))
        && fs::read_dir(parent)?.next().is_none()
        && !ALWAYS_THERE.iter().any(|path| system.path(path) == parent)
    {
        undo.push(Undo::MakeParent(parent.to_owned()));
        fs::remove_dir(parent)?;
    }
    Ok(Some(format!("removed {}", path.display())))
}

/// Directories of other programs. Their names look like those of drop-in directories.
const ALWAYS_THERE: [&str; 2] = ["/etc/logrotate.d", "/etc/cron.d"];

fn make_directory(
    system: &System,
    path: &Path,
    user: &str,
    mode: u32,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<Option<String>> {
    if system.path(path).is_dir() {
        return Ok(None);
    }
    if let Some(parent) = path.parent().filter(|parent| !system.path(parent).is_dir()) {
        make_directory(system, parent, user, mode, undo)?;
    }
    let mut account = system
        .account(user)
        .ok_or_else(|| Exit::Config.error(format!("there is no user {user}")))?;
    if let Some((uid, gid)) = previous_owner(system, path) {
        (account.uid, account.gid) = (uid, gid);
    }
    let maker = directory::make(system, path, &account, mode)?;
    undo.push(Undo::RemoveDirectory { path: path.to_owned(), maker, account });
    Ok(Some(format!("made directory {}", path.display())))
}

/// Returns the user and group of the service's own directory that `path` is in.
///
/// If the service's user changes, the directory still belongs to the old user. When a service
/// starts, systemd gives the directory and its content to the new user.
fn previous_owner(system: &System, path: &Path) -> Option<(u32, u32)> {
    let mut parents = path.ancestors().skip(1);
    let own = parents.find(|parent| OWN_DIRECTORIES.iter().any(|own| *parent == Path::new(own)))?;
    let meta = fs::symlink_metadata(system.path(own)).ok()?;
    let is_users = system.scheduler == Scheduler::Systemd && meta.is_dir() && meta.uid() != 0;
    is_users.then_some((meta.uid(), meta.gid()))
}

fn disable(system: &System, unit: &str, undo: &mut Vec<Undo>) -> anyhow::Result<Option<String>> {
    if system.is_running() {
        // If no unit uses a failed unit any more, systemd does not list it as failed.
        let _ = run(system.systemctl(&["stop", unit]));
        let _ = run(system.systemctl(&["reset-failed", unit]));
        if unit == jobs::METRICS_TIMER {
            // Otherwise node_exporter would still export old numbers.
            let _ = run(system.systemctl(&["clean", "--what=cache", jobs::METRICS_SERVICE]));
        }
    }
    if !system.is_enabled(unit) {
        return Ok(None);
    }
    undo.push(Undo::Enable(unit.to_owned()));
    run(system.systemctl(&["disable", unit]))?;
    Ok(Some(format!("disabled {unit}")))
}

fn enable(system: &System, unit: &str, undo: &mut Vec<Undo>) -> anyhow::Result<Option<String>> {
    if system.is_enabled(unit) {
        return Ok(None);
    }
    undo.push(Undo::Disable(unit.to_owned()));
    run(system.systemctl(&["enable", unit]))?;
    Ok(Some(format!("enabled {unit}")))
}
