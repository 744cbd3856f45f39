//! The settings for systemd: which units run, as which user, where they may write, and when.

use std::path::PathBuf;

use crate::answers::Answers;
use crate::file::NewFile;
use crate::jobs::{COMPANIONS, JOBS, When};
use crate::system::Account;

/// The user in the units of the package.
pub(crate) const SHIPPED_USER: &str = "maillogsentinel";

#[derive(Debug, Default)]
pub(crate) struct Switches {
    pub(crate) enable: Vec<&'static str>,
    pub(crate) disable: Vec<&'static str>,
    /// Units to start; all of them are enabled.
    pub(crate) start: Vec<&'static str>,
}

impl Switches {
    pub(crate) fn new(answers: &Answers) -> Self {
        let mut switches = Self::default();
        for job in &JOBS {
            let when = job.when(answers);
            let (on, all_the_time) = (matches!(when, When::At(_)), when == When::AllTheTime);
            switches.switch(job.timer, on, on);
            if job.is_wanted_by_units {
                switches.switch(job.service, on, false);
            }
            if let Some(follow) = job.follow {
                switches.switch(follow, all_the_time, false);
            }
        }
        for companion in &COMPANIONS {
            let on = (companion.is_needed)(answers);
            switches.switch(companion.unit, on, on);
        }
        switches
    }

    pub(crate) fn all_off() -> Self {
        let mut switches = Self::default();
        for job in &JOBS {
            switches.disable.push(job.timer);
            switches.disable.push(job.service);
            switches.disable.extend(job.follow);
        }
        switches.disable.extend(COMPANIONS.iter().map(|companion| companion.unit));
        switches
    }

    fn switch(&mut self, unit: &'static str, on: bool, start: bool) {
        if on {
            self.enable.push(unit);
        } else {
            self.disable.push(unit);
        }
        if start {
            self.start.push(unit);
        }
    }
}

/// Returns the drop-ins of the units in use.
pub(crate) fn drop_ins(
    answers: &Answers,
    account: Option<&Account>,
    directories: &[PathBuf],
) -> Vec<NewFile> {
    let user = answers.get("systemd.user");
    let mut settings = Vec::new();
    if user != SHIPPED_USER {
        let group = account.map_or(user, |account| &account.group);
        settings.extend([format!("User={user}"), format!("Group={group}")]);
    }
    let writable = |path: &PathBuf| format!("ReadWritePaths=\"{}\"", path.display());
    settings.extend(directories.iter().map(writable));
    let mut files = Vec::new();
    for job in &JOBS {
        if let When::At(schedule) = job.when(answers) {
            // An empty value removes the schedule of the package.
            let text = format!("[Timer]\nOnCalendar=\nOnCalendar={schedule}\n");
            files.push(drop_in(job.timer, &text));
        }
    }
    for companion in &COMPANIONS {
        let watched = (companion.watched)(answers);
        if !watched.is_empty() && (companion.is_needed)(answers) {
            let lines = watched.iter().map(|path| format!("PathModified={}\n", path.display()));
            let text = format!("[Path]\nPathModified=\n{}", lines.collect::<String>());
            files.push(drop_in(companion.unit, &text));
        }
    }
    if !settings.is_empty() {
        let text = format!("[Service]\n{}\n", settings.join("\n"));
        files.extend(services(answers).into_iter().map(|service| drop_in(service, &text)));
    }
    files
}

/// The services that run as the service user with these answers.
fn services(answers: &Answers) -> Vec<&'static str> {
    let mut services: Vec<_> = JOBS.iter().flat_map(|job| job.services(answers)).collect();
    let needed = COMPANIONS.iter().filter(|companion| (companion.is_needed)(answers));
    services.extend(needed.filter_map(|companion| companion.service));
    services.sort_unstable();
    services.dedup();
    services
}

fn drop_in(unit: &str, text: &str) -> NewFile {
    NewFile::text(drop_in_path(unit), format!("# Written by setup.\n{text}"))
}

fn drop_in_path(unit: &str) -> PathBuf {
    format!("/etc/systemd/system/{unit}.d/setup.conf").into()
}

/// Every drop-in that a setup may have written.
pub(crate) fn all_drop_ins() -> Vec<PathBuf> {
    let jobs = JOBS.iter().flat_map(|job| [job.timer, job.service].into_iter().chain(job.follow));
    let companions = COMPANIONS
        .iter()
        .flat_map(|companion| [companion.unit].into_iter().chain(companion.service));
    let mut units: Vec<_> = jobs.chain(companions).collect();
    units.sort_unstable();
    units.dedup();
    units.into_iter().map(drop_in_path).collect()
}
