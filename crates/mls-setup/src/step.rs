//! The steps of a setup, and how each step is undone.

use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};

use crate::directory::{self, Maker};
use crate::file::{NewFile, Saved, beside, remove_if_there};
use crate::jobs;
use crate::plan::OWN_DIRECTORIES;
use crate::system::{Account, Scheduler, TargetSystem, run};

pub(crate) enum Step {
    /// The first step. Notes which units run now. If setup is undone, starts these units again.
    NoteRunningUnits,
    CreateUser,
    JoinGroup(&'static str),
    /// Copies a file with its owner and mode.
    BackUp {
        from: PathBuf,
        to: PathBuf,
    },
    Write(NewFile),
    Remove(PathBuf),
    /// Creates a directory that the service user writes to.
    MakeDirectory {
        path: PathBuf,
        mode: u32,
    },
    ReloadUnits,
    Disable(&'static str),
    Enable(&'static str),
    /// Starts a unit, or restarts it if it runs.
    Start(&'static str),
}

pub(crate) enum Undo {
    ReloadAndRestart(Vec<String>),
    RemoveUser(String),
    LeaveGroup { user: String, group: &'static str },
    Restore { path: PathBuf, saved: Saved },
    Discard(PathBuf),
    MakeParent(PathBuf),
    RemoveParent(PathBuf),
    RemoveDirectory { path: PathBuf, maker: Maker, account: Account },
    Enable(&'static str),
    Disable(&'static str),
    Stop(&'static str),
}

/// The changes of a setup, and how each of them is undone.
pub(crate) struct Changes<'a> {
    pub(crate) system: &'a TargetSystem,
    /// Only the name of the service user, because a step may create this user later.
    user: &'a str,
    pub(crate) undo: Vec<Undo>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(system: &'a TargetSystem, user: &'a str) -> Self {
        Self { system, user, undo: Vec::new() }
    }

    /// Applies a step. Records the undo before a change that can fail halfway, so that such a
    /// change is undone too. Returns a text for the log; `None` if there was nothing to do.
    pub(crate) fn apply(&mut self, step: &Step) -> anyhow::Result<Option<String>> {
        match step {
            Step::NoteRunningUnits => self.note_running_units(),
            Step::CreateUser => self.create_user(self.user),
            Step::JoinGroup(group) => self.join_group(self.user, group),
            Step::BackUp { from, to } => self.back_up(from, to),
            Step::Write(file) => self.write(file),
            Step::Remove(path) => self.remove(path),
            Step::MakeDirectory { path, mode } => self.make_directory(path, *mode),
            Step::ReloadUnits => run(self.system.systemctl(&["daemon-reload"])).map(|_| None),
            Step::Disable(unit) => self.disable(unit),
            Step::Enable(unit) => self.enable(unit),
            Step::Start(unit) => {
                self.undo.push(Undo::Stop(unit));
                run(self.system.systemctl(&["restart", unit])).map(|_| None)
            }
        }
    }

    fn note_running_units(&mut self) -> anyhow::Result<Option<String>> {
        let mut command =
            self.system.systemctl(&["list-units", "--state=active", "--plain", "--no-legend"]);
        command.args(jobs::PATTERNS);
        let output = run(command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let units = text.lines().filter_map(|line| line.split_whitespace().next());
        // Do not restart a service that a timer has started: such a service ends by itself.
        let lasting = |unit: &&str| !unit.ends_with(".service") || jobs::runs_all_the_time(unit);
        self.undo.push(Undo::ReloadAndRestart(units.filter(lasting).map(str::to_owned).collect()));
        Ok(None)
    }

    fn create_user(&mut self, user: &str) -> anyhow::Result<Option<String>> {
        if self.system.account(user).is_some() {
            return Ok(None);
        }
        self.undo.push(Undo::RemoveUser(user.to_owned()));
        run(self.system.shadow(
            "useradd",
            &[
                "--system",
                if self.system.members(user).is_some() {
                    "--no-user-group"
                } else {
                    "--user-group"
                },
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

    fn join_group(&mut self, user: &str, group: &'static str) -> anyhow::Result<Option<String>> {
        // Without systemd, the group `systemd-journal` may not exist.
        let Some(members) = self.system.members(group) else { return Ok(None) };
        if members.iter().any(|member| member == user) {
            return Ok(None);
        }
        self.undo.push(Undo::LeaveGroup { user: user.to_owned(), group });
        run(self.system.shadow("usermod", &["--append", "--groups", group, user]))?;
        Ok(Some(format!("added user {user} to group {group}")))
    }

    fn back_up(&mut self, from: &Path, to: &Path) -> anyhow::Result<Option<String>> {
        let host_path = self.system.path(to);
        let saved = Saved::read(&self.system.path(from)).on_file("reading", from)?;
        let Some(saved) = saved else { return Ok(None) };
        self.note_file(&host_path)?;
        saved.write(&host_path).on_file("writing", to)?;
        Ok(Some(format!("copied {} to {}", from.display(), to.display())))
    }

    /// Records how to restore the current state of a file.
    fn note_file(&mut self, host_path: &Path) -> anyhow::Result<()> {
        let saved = Saved::read(host_path).on_file("reading", host_path)?;
        // The undo also removes the temporary file, if the new file was not written completely.
        self.undo.push(match saved {
            Some(saved) => Undo::Restore { path: host_path.to_owned(), saved },
            None => Undo::Discard(host_path.to_owned()),
        });
        Ok(())
    }

    fn write(&mut self, file: &NewFile) -> anyhow::Result<Option<String>> {
        let account = self.system.account(self.user);
        if file.is_in_place(self.system, account.as_ref()) {
            return Ok(None);
        }
        let name = file.path.display();
        let host_path = self.system.path(&file.path);
        self.make_parents(host_path.parent())
            .with_context(|| format!("creating the directory of {name}"))
            .or_exit(Exit::CantCreat)?;
        self.note_file(&host_path)?;
        file.write(self.system, account.as_ref())
            .with_context(|| format!("writing {name}"))
            .or_exit(Exit::CantCreat)?;
        Ok(Some(format!("wrote {name}")))
    }

    fn make_parents(&mut self, path: Option<&Path>) -> std::io::Result<()> {
        let Some(path) = path.filter(|path| !path.is_dir()) else { return Ok(()) };
        self.make_parents(path.parent())?;
        create_directory(path)?;
        self.undo.push(Undo::RemoveParent(path.to_owned()));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> anyhow::Result<Option<String>> {
        let host_path = self.system.path(path);
        let saved = Saved::read(&host_path).on_file("reading", path)?;
        let Some(saved) = saved else { return Ok(None) };
        self.undo.push(Undo::Restore { path: host_path.clone(), saved });
        fs::remove_file(&host_path).on_file("removing", path)?;
        // If the directory has no other drop-in, remove the directory too.
        if let Some(parent) =
            host_path.parent().filter(|parent| parent.extension().is_some_and(|e| e == "d"))
            && fs::read_dir(parent).on_file("reading", parent)?.next().is_none()
            && !ALWAYS_THERE.iter().any(|path| self.system.path(path) == parent)
        {
            self.undo.push(Undo::MakeParent(parent.to_owned()));
            fs::remove_dir(parent).on_file("removing", parent)?;
        }
        Ok(Some(format!("removed {}", path.display())))
    }

    fn make_directory(&mut self, path: &Path, mode: u32) -> anyhow::Result<Option<String>> {
        if self.system.path(path).is_dir() {
            return Ok(None);
        }
        if let Some(parent) = path.parent().filter(|parent| !self.system.path(parent).is_dir()) {
            self.make_directory(parent, mode)?;
        }
        let mut account = self.system.service(self.user)?;
        if let Some((uid, gid)) = previous_owner(self.system, path) {
            (account.uid, account.gid) = (uid, gid);
        }
        let maker = directory::make(self.system, path, &account, mode)?;
        self.undo.push(Undo::RemoveDirectory { path: path.to_owned(), maker, account });
        Ok(Some(format!("created directory {}", path.display())))
    }

    fn disable(&mut self, unit: &'static str) -> anyhow::Result<Option<String>> {
        if self.system.is_running() {
            // If a unit is no longer used, it must not stay failed: mls-status would report it.
            let _ = run(self.system.systemctl(&["stop", unit]));
            let _ = run(self.system.systemctl(&["reset-failed", unit]));
            if unit == jobs::METRICS_TIMER {
                // node_exporter must not continue to export old numbers.
                let _ =
                    run(self.system.systemctl(&["clean", "--what=cache", jobs::METRICS_SERVICE]));
            }
        }
        if !self.system.is_enabled(unit) {
            return Ok(None);
        }
        self.undo.push(Undo::Enable(unit));
        run(self.system.systemctl(&["disable", unit]))?;
        Ok(Some(format!("disabled {unit}")))
    }

    fn enable(&mut self, unit: &'static str) -> anyhow::Result<Option<String>> {
        if self.system.is_enabled(unit) {
            return Ok(None);
        }
        self.undo.push(Undo::Disable(unit));
        run(self.system.systemctl(&["enable", unit]))?;
        Ok(Some(format!("enabled {unit}")))
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReloadAndRestart(units) => {
                write!(f, "reloading systemd and restarting these units: {}", units.join(" "))
            }
            Self::RemoveUser(user) => write!(f, "removing user {user}"),
            Self::LeaveGroup { user, group } => write!(f, "removing {user} from group {group}"),
            Self::Restore { path, .. } => write!(f, "restoring {}", path.display()),
            Self::Discard(path) | Self::RemoveParent(path) | Self::RemoveDirectory { path, .. } => {
                write!(f, "removing {}", path.display())
            }
            Self::MakeParent(path) => write!(f, "creating {}", path.display()),
            Self::Enable(unit) => write!(f, "enabling {unit}"),
            Self::Disable(unit) => write!(f, "disabling {unit}"),
            Self::Stop(unit) => write!(f, "stopping {unit}"),
        }
    }
}

impl Undo {
    /// Undoes a change. The commands run in their own process group, so Ctrl-C at the terminal does
    /// not end them.
    pub(crate) fn run(self, system: &TargetSystem) -> anyhow::Result<()> {
        let command = match self {
            Self::Restore { path, saved } => {
                return Ok(saved.write(&path)?);
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
            Self::LeaveGroup { user, group } => leave_group(system, &user, group),
            Self::Enable(unit) => system.systemctl(&["enable", unit]),
            Self::Disable(unit) => system.systemctl(&["disable", unit]),
            Self::Stop(unit) => system.systemctl(&["stop", unit]),
        };
        run(background(command)).map(drop)
    }
}

fn background(mut command: std::process::Command) -> std::process::Command {
    command.process_group(0);
    command
}

fn remove_user(system: &TargetSystem, user: &str) -> anyhow::Result<()> {
    if system.account(user).is_some() {
        run(background(system.shadow("userdel", &[user])))?;
    }
    if system.members(user).is_some() {
        run(background(system.shadow("groupdel", &[user])))?;
    }
    Ok(())
}

fn leave_group(system: &TargetSystem, user: &str, group: &str) -> std::process::Command {
    let mut command = std::process::Command::new("gpasswd");
    if !system.is_running() {
        command.arg("--root").arg(system.root());
    }
    command.args(["--delete", user, group]);
    command
}

/// Creates a directory with a mode that does not depend on the umask.
fn create_directory(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Directories of other programs, which setup must not remove. Like directories of drop-ins, they
/// end with `.d`.
const ALWAYS_THERE: [&str; 2] = ["/etc/logrotate.d", "/etc/cron.d"];

/// If `path` is in a directory of [`OWN_DIRECTORIES`], returns the user and group of this
/// directory.
///
/// If the service user changes, the directory still belongs to the old user, so the old user must
/// create `path`. When a service starts, systemd gives the directory and its content to the new
/// user.
fn previous_owner(system: &TargetSystem, path: &Path) -> Option<(u32, u32)> {
    let mut parents = path.ancestors().skip(1);
    let own = parents.find(|parent| OWN_DIRECTORIES.iter().any(|own| *parent == Path::new(own)))?;
    let meta = fs::symlink_metadata(system.path(own)).ok()?;
    let is_users = system.scheduler == Scheduler::Systemd && meta.is_dir() && meta.uid() != 0;
    is_users.then_some((meta.uid(), meta.gid()))
}
