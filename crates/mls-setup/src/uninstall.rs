//! `--uninstall`: removes what setup installed. Configuration, data and user stay.

use std::path::{Path, PathBuf};

use mls_diag::Exit;

use crate::args::Args;
use crate::installation::{Installation, installed_files};
use crate::plan::scheduled_files;
use crate::signals::Signals;
use crate::step::Step;
use crate::system::{Scheduler, TargetSystem, run as run_command};
use crate::terminal::{Terminal, say};
use crate::transaction;
use crate::units::{SHIPPED_USER, Switches};

/// Shows what will be removed, asks, and removes it.
pub(crate) fn run(
    args: &Args,
    system: &TargetSystem,
    installation: &Installation,
    signals: &Signals,
) -> anyhow::Result<()> {
    let files = files(system);
    let switches = Switches::all_off();
    let mut lines =
        vec!["Timers and services of MailLogSentinel are stopped and disabled.".to_owned()];
    if !files.is_empty() {
        lines.push("These files are removed:".to_owned());
        lines.extend(files.iter().map(|path| format!("  {}", path.display())));
    }
    say(&(lines.join("\n") + "\n"))?;
    let user = system.account(SHIPPED_USER).map_or("", |_| "; userdel maillogsentinel");
    say(&format!(
        "Configuration, data and user stay. To remove them when you no longer need them:\n  \
         rm -rf {0}/etc/maillogsentinel.conf{{,.bak}} {0}/var/{{log,lib,cache}}/maillogsentinel \
         {0}/var/log/maillogsentinel_setup.log{user}\n",
        system.root().display().to_string().trim_end_matches('/')
    ))?;
    if matches!(installation, Installation::Package { .. }) {
        say("The package stays. To remove it: apt-get remove maillogsentinel\n")?;
    }
    if args.dry_run {
        return Ok(());
    }
    if !args.yes && !Terminal::new(signals).confirm("Uninstall MailLogSentinel?")? {
        return Err(Exit::Usage.error("not confirmed; nothing was changed"));
    }
    transaction::apply(system, SHIPPED_USER, &steps(system, &switches, files), signals)?;
    if system.is_running() && system.scheduler == Scheduler::Systemd {
        forget(system, &switches);
    }
    say("Everything that setup installed is removed, except configuration, data and user.\n")
}

/// The files that setup wrote and that still exist.
fn files(system: &TargetSystem) -> Vec<PathBuf> {
    let there = |path: &PathBuf| system.path(path).symlink_metadata().is_ok();
    let mut files: Vec<PathBuf> = scheduled_files().into_iter().filter(there).collect();
    files.extend(
        installed_files(system.root())
            .into_iter()
            .map(|path| Path::new("/").join(path.strip_prefix(system.root()).unwrap_or(&path))),
    );
    files
}

fn steps(system: &TargetSystem, switches: &Switches, files: Vec<PathBuf>) -> Vec<Step> {
    let mut steps = Vec::new();
    let with_systemd = system.scheduler == Scheduler::Systemd;
    if with_systemd {
        if system.is_running() {
            steps.push(Step::NoteRunningUnits);
        }
        steps.extend(switches.disable.iter().copied().map(Step::Disable));
    }
    steps.extend(files.into_iter().map(Step::Remove));
    if with_systemd && system.is_running() {
        steps.push(Step::ReloadUnits);
    }
    steps
}

/// Removes the times at which the timers last started jobs. With these times, a later setup would
/// at once start each job that was due since the uninstallation. Cleans only timers: for a service,
/// this command would remove the state directory.
fn forget(system: &TargetSystem, switches: &Switches) {
    for unit in &switches.disable {
        if Path::new(unit).extension().is_some_and(|kind| kind == "timer") {
            let _ = run_command(system.systemctl(&["clean", "--what=state", unit]));
        }
    }
}
