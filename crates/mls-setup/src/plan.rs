//! Plans all changes from the answers, before setup writes anything.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mls_config::Config;
use mls_diag::{Exit, OnFile, OrExit};

use crate::answers::Answers;
use crate::file::{CONFIGURATION, FileContent, NewFile, Readers};
use crate::installation::Installation;
use crate::jobs::{ENFORCE, records_logins, writes_metrics, writes_sql_files};
use crate::migration::UNIT_DIRECTORY;
use crate::step::Step;
use crate::system::{Scheduler, TargetSystem};
use crate::units::{self, SHIPPED_USER, Switches};
use crate::{cron, edit, logrotate};

/// The groups that may read the mail log and the journal.
pub(crate) const GROUPS: [&str; 2] = ["adm", "systemd-journal"];

/// The directories that systemd creates for the units.
pub(crate) const OWN_DIRECTORIES: [&str; 2] =
    ["/var/log/maillogsentinel", "/var/lib/maillogsentinel"];

/// The directory that systemd creates for the metrics. Everybody may read the directory.
pub(crate) const METRICS_DIRECTORY: &str = "/var/cache/maillogsentinel";

pub(crate) struct Plan {
    pub(crate) user: String,
    pub(crate) files: Vec<NewFile>,
    /// Files of an earlier setup that are no longer needed. Setup removes them.
    pub(crate) stale: Vec<PathBuf>,
    pub(crate) directories: Vec<PathBuf>,
    /// The members of `directories` that everybody may read. They contain only metrics.
    public_directories: Vec<PathBuf>,
    pub(crate) switches: Switches,
    /// Units of the Python original that would hide the units of the package.
    pub(crate) original_units: Vec<&'static str>,
    /// A hint about something that the administrator may not expect.
    pub(crate) note: Option<String>,
}

impl Plan {
    /// Plans the setup for these answers. `base` is the configuration before the answers change it.
    pub(crate) fn new(
        system: &TargetSystem,
        installation: &Installation,
        answers: &Answers,
        base: &str,
    ) -> anyhow::Result<Self> {
        let user = answers.get("systemd.user").to_owned();
        let account = system.account(&user);
        let private = private_directories(answers);
        let public = public_directories(answers, &private);
        let mut directories: Vec<PathBuf> = OWN_DIRECTORIES
            .map(PathBuf::from)
            .into_iter()
            .chain(private)
            .chain(public.clone())
            .collect();
        directories.sort();
        directories.dedup();
        let elsewhere = elsewhere(&directories);
        let mut files = vec![configuration(system, answers, base)?];
        let mut switches = Switches::default();
        match system.scheduler {
            Scheduler::Systemd => {
                files.extend(units::drop_ins(answers, account.as_ref(), &elsewhere));
                switches = Switches::new(answers);
            }
            Scheduler::Cron => files.push(cron::file(answers)),
        }
        files.extend(logrotate::file(answers, account.as_ref()));
        files.extend(installation.files()?);
        let is_stale = |path: &PathBuf| {
            system.path(path).exists() && files.iter().all(|file| file.path != *path)
        };
        let stale = scheduled_files().into_iter().filter(is_stale).collect();
        Ok(Self {
            user,
            files,
            stale,
            directories,
            public_directories: public,
            switches,
            original_units: Vec::new(),
            note: hidden_metrics(answers),
        })
    }

    pub(crate) fn configuration(&self) -> &str {
        let mut texts = self.files.iter().filter_map(|file| match &file.content {
            FileContent::Text(text) if file.path == Path::new(CONFIGURATION) => Some(text.as_str()),
            _ => None,
        });
        texts.next_back().unwrap_or_default()
    }

    pub(crate) fn steps(&self, system: &TargetSystem) -> Vec<Step> {
        let mut steps = Vec::new();
        let with_systemd = system.scheduler == Scheduler::Systemd;
        if with_systemd && system.is_running() {
            steps.push(Step::NoteRunningUnits);
        }
        for unit in &self.original_units {
            steps.push(Step::Disable(unit));
            let from = Path::new(UNIT_DIRECTORY).join(unit);
            let to = Path::new(UNIT_DIRECTORY).join(format!("{unit}.original"));
            steps.extend([Step::BackUp { from: from.clone(), to }, Step::Remove(from)]);
        }
        // Create the user first, because files and directories will belong to it.
        if self.user == SHIPPED_USER {
            steps.push(Step::CreateUser);
        }
        steps.extend(GROUPS.map(Step::JoinGroup));
        for file in &self.files {
            if file.path == Path::new(CONFIGURATION) && self.changes(system, file) {
                let to = format!("{CONFIGURATION}.bak").into();
                steps.push(Step::BackUp { from: CONFIGURATION.into(), to });
            }
            steps.push(Step::Write(file.clone()));
        }
        steps.extend(self.stale.iter().cloned().map(Step::Remove));
        for path in &self.directories {
            let mode = if self.public_directories.contains(path) { 0o755 } else { 0o750 };
            steps.push(Step::MakeDirectory { path: path.clone(), mode });
        }
        if with_systemd {
            self.switch_units(system, &mut steps);
        }
        steps
    }

    fn changes(&self, system: &TargetSystem, file: &NewFile) -> bool {
        !file.is_in_place(system, system.account(&self.user).as_ref())
    }

    fn switch_units(&self, system: &TargetSystem, steps: &mut Vec<Step>) {
        if system.is_running() {
            steps.push(Step::ReloadUnits);
        }
        steps.extend(self.switches.disable.iter().copied().map(Step::Disable));
        steps.extend(self.switches.enable.iter().copied().map(Step::Enable));
        if system.is_running() {
            steps.extend(self.switches.start.iter().copied().map(Step::Start));
        }
    }
}

/// The files for schedules and rotation that any setup can write.
pub(crate) fn scheduled_files() -> Vec<PathBuf> {
    let mut files = units::all_drop_ins();
    files.push(cron::CRON_FILE.into());
    files.push(logrotate::LOGROTATE_FILE.into());
    files
}

/// The configuration file: `base` with the changed answers.
fn configuration(system: &TargetSystem, answers: &Answers, base: &str) -> anyhow::Result<NewFile> {
    let mut text = base.to_owned();
    for (section, key, value) in answers.changed() {
        text = edit::set(&text, section, key, value);
    }
    // Check that the tools accept the new configuration. Do not warn about unknown keys again: the
    // reader of `base` has already warned.
    if text != base {
        Config::without_effect(Path::new(CONFIGURATION), &text)?;
    }
    let holds_password = text.lines().any(|line| {
        let key = line.split(['=', ':']).next().unwrap_or_default();
        key.trim_end().eq_ignore_ascii_case("db_password")
    });
    // If the old file was protected from other users, protect the new one too.
    let was_closed =
        fs::metadata(system.path(CONFIGURATION)).is_ok_and(|meta| meta.mode() & 0o004 == 0);
    let readers = if holds_password || was_closed { Readers::Service } else { Readers::Everybody };
    Ok(NewFile { path: CONFIGURATION.into(), content: FileContent::Text(text), readers })
}

/// Returns the directories that systemd does not create for the units.
fn elsewhere(directories: &[PathBuf]) -> Vec<PathBuf> {
    let is_own = |path: &Path| {
        OWN_DIRECTORIES.iter().chain([&METRICS_DIRECTORY]).any(|own| path.starts_with(own))
    };
    directories.iter().filter(|path| !is_own(path)).cloned().collect()
}

fn parent(file: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("/")).to_owned()
}

/// Directories that contain only metrics, which `node_exporter` reads.
fn public_directories(answers: &Answers, private: &[PathBuf]) -> Vec<PathBuf> {
    let directory = writes_metrics(answers).then(|| parent(answers.get("paths.metrics_file")));
    let is_private = |directory: &PathBuf| {
        OWN_DIRECTORIES
            .iter()
            .map(Path::new)
            .chain(private.iter().map(PathBuf::as_path))
            .any(|path| directory == path)
    };
    directory.into_iter().filter(|directory| !is_private(directory)).collect()
}

/// If the units hide the metrics from all other users, a sentence that says so.
fn hidden_metrics(answers: &Answers) -> Option<String> {
    let file = Path::new(answers.get("paths.metrics_file"));
    let own = OWN_DIRECTORIES.iter().find(|own| file.starts_with(own));
    own.filter(|_| writes_metrics(answers)).map(|own| {
        format!(
            "[paths] metrics_file is in {own}, which only the group of the service user can read; \
             set metrics_file to a file in {METRICS_DIRECTORY}, so that node_exporter can read it"
        )
    })
}

/// Directories of all files that the service writes, except the metrics.
fn private_directories(answers: &Answers) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        vec![answers.get("paths.working_dir").into(), answers.get("paths.state_dir").into()];
    found.push(parent(answers.get("paths.csv_filename")));
    if records_logins(answers) {
        found.push(parent(answers.get("paths.logins_filename")));
    }
    if answers.is_set("general.log_file") {
        found.push(parent(answers.get("general.log_file")));
    }
    if writes_sql_files(answers) {
        found.push(answers.get("database.sql_export_dir").into());
    }
    if answers.get("database.db_type") == "sqlite" {
        found.push(parent(answers.get("database.db_path")));
    }
    if answers.is_set(ENFORCE) {
        found.push(answers.get("block.directory").into());
    }
    for key in ["geolocation.country_db_path", "ASN_ASO.asn_db_path"] {
        found.extend(answers.list(key).map(parent));
    }
    found
}

/// Reads a configuration, and returns its values and its text.
pub(crate) fn read_configuration(path: &Path) -> anyhow::Result<(Answers, String)> {
    let text = fs::read_to_string(path).on_file("reading", path).or_exit(Exit::NoInput)?;
    Ok((Answers::new(&Config::parse(path, &text)?), text))
}
