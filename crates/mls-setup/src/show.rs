//! Shows the plan before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use mls_config::Config;

use crate::file::{CONFIGURATION, FileContent};
use crate::migration::UNIT_DIRECTORY;
use crate::plan::{GROUPS, Plan};
use crate::system::{Scheduler, TargetSystem};

/// Describes all changes of the plan.
pub(crate) fn plan(plan: &Plan, system: &TargetSystem) -> String {
    let account = system.account(&plan.user);
    let mut lines = Vec::new();
    for file in plan.files.iter().filter(|file| !file.is_in_place(system, account.as_ref())) {
        lines.push(format!("  {}", file.path.display()));
        if let FileContent::Text(text) = &file.content {
            lines.extend(changes(&system.path(&file.path), text));
        }
    }
    lines.extend(plan.original_units.iter().map(|unit| {
        format!("  {UNIT_DIRECTORY}/{unit} of the Python original is moved to {unit}.original")
    }));
    lines.extend(plan.stale.iter().map(|path| format!("  {} is removed", path.display())));
    let is_missing = |path: &&PathBuf| !system.path(path).is_dir();
    let missing = plan.directories.iter().filter(is_missing);
    lines.extend(missing.map(|path| format!("  directory {}", path.display())));
    if account.is_none() {
        lines.push(format!("  user {}", plan.user));
    }
    for group in GROUPS {
        if system.members(group).is_some_and(|members| !members.contains(&plan.user)) {
            lines.push(format!("  user {} joins group {group}, to read the log", plan.user));
        }
    }
    lines.splice(..0, [String::new(), heading(system, lines.is_empty())]);
    lines.extend(jobs(plan, system));
    let notes = Config::without_effect(Path::new(CONFIGURATION), plan.configuration());
    let notes = notes.unwrap_or_default().into_iter().chain(plan.note.clone());
    lines.extend(notes.map(|note| format!("  note: {note}")));
    lines.join("\n") + "\n"
}

fn heading(system: &TargetSystem, is_empty: bool) -> String {
    let root = match system.root() {
        _ if system.is_running() => String::new(),
        root => format!(" in {}", root.display()),
    };
    if is_empty {
        return format!("Setup will change no file, directory, user or group{root}.");
    }
    format!("Setup will make these changes{root}:")
}

fn jobs(plan: &Plan, system: &TargetSystem) -> Vec<String> {
    if system.scheduler == Scheduler::Cron {
        return vec!["  systemd does not run here: cron starts the jobs".to_owned()];
    }
    let list = |units: &[&str]| {
        if units.is_empty() { "nothing".to_owned() } else { units.join(" ") }
    };
    vec![
        format!("  enabled: {}", list(&plan.switches.enable)),
        format!("  disabled: {}", list(&plan.switches.disable)),
    ]
}

/// Shows a new file without its comments. If the file exists, shows the lines that differ.
fn changes(path: &Path, new: &str) -> Vec<String> {
    let Ok(old) = fs::read_to_string(path) else {
        let lines = new.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        return lines.map(|line| shown("", line)).collect();
    };
    let only_in = |one: &str, other: &str, sign| -> Vec<String> {
        let lines = one.lines().filter(|line| !other.lines().any(|there| there == *line));
        lines.map(|line| shown(sign, line)).collect()
    };
    let mut lines = only_in(&old, new, "-");
    lines.extend(only_in(new, &old, "+"));
    lines
}

fn shown(sign: &str, line: &str) -> String {
    let key = line.split(['=', ':']).next().unwrap_or_default().trim();
    if key.eq_ignore_ascii_case("db_password") {
        return format!("      {sign}{key} = (not shown)");
    }
    format!("      {sign}{line}")
}
