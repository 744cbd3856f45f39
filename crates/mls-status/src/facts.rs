//! Collects the facts about the service.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mls_config::Config;
use mls_event::display_text;
use mls_state::cursor_file::CursorFile;

use crate::status::{Database, Status, TextOnly, rfc3339};
use crate::systemd::{self, Units};
use crate::tools::{Attempts, Tools};

/// Looks at everything that the service needs. `path` is the file of the configuration.
pub(crate) fn collect(path: &Path, config: &Config) -> Status {
    let tools = Tools(path);
    let (mut status, unknown) = attempts(&tools, config);
    status.without_effect = Config::without_effect_in(path);
    let mut problems = schedule(&mut status, config);
    problems.extend(irregular(config));
    problems.extend(unknown);
    if config.loads() {
        let (database, why) = database(&tools);
        status.database = Some(database);
        problems.extend(why);
    }
    if !config.report.email.is_empty() {
        // A dry run checks everything that mls-mail needs, but does not connect to the mail server.
        let (_, why) = tools.run("mls-mail --test --dry-run");
        problems.extend(why.map(|why| format!("no mail can be sent: {why}")));
    }
    let (databases, why) = tools.run("mls-ipdb verify");
    status.text.ip_databases = databases;
    if why.is_some() && config.systemd.ip_update_schedule.as_deref() != Some("never") {
        let user = config.systemd.user.as_deref().unwrap_or_default();
        problems.push(format!(
            "the country and AS databases are missing or damaged: as root, run runuser -u {user} \
             -- mls-ipdb --config {} update",
            path.display()
        ));
    }
    Status { healthy: problems.is_empty(), problems, ..status }
}

/// Counts the attempts that are recorded and exported, and the attempts that are not yet. If a
/// number is needed and cannot be found, also returns a problem.
fn attempts(tools: &Tools<'_>, config: &Config) -> (Status, Vec<String>) {
    let paths = &config.paths;
    let mut problems = Vec::new();
    let mut known = |what: &str, found: anyhow::Result<Attempts>| {
        found.unwrap_or_else(|why| {
            problems.push(format!("{what}: {why:#}"));
            Attempts::default()
        })
    };
    let mut if_needed = |is_needed: bool, what, stages: &[&str]| {
        if is_needed { known(what, tools.attempts(stages)) } else { Attempts::none() }
    };
    let records_logins = config.logins.record;
    let has_exported = paths.sql_cursor().is_some_and(|cursor| cursor.exists());
    let exports = !config.loads() && (config.database.db_type.is_some() || has_exported);
    let stages = ["mls-tail --framed", "mls-parse --outcome failure"];
    let failures = if_needed(true, "the mail log cannot be read", &stages);
    let stages = ["mls-tail --framed --logins", "mls-parse --outcome success"];
    let successes =
        if_needed(records_logins, "successful logins cannot be read from the mail log", &stages);
    let stages = ["mls-tail --framed --csv", "mls-csv --decode"];
    let exported =
        if_needed(exports, "the rows that are not exported yet cannot be counted", &stages);
    let mut rows = |csv: Option<&PathBuf>| {
        let csv = csv.map_or(Path::new(""), PathBuf::as_path);
        known(&format!("the rows of {} cannot be counted", csv.display()), tools.rows(csv))
    };
    let recorded = rows(paths.csv_filename.as_ref());
    let logins = rows(paths.logins_filename.as_ref().filter(|_| records_logins));
    let cursor = paths.csv_cursor().unwrap_or_default();
    let committed = fs::metadata(&cursor).and_then(|cursor| cursor.modified());
    let unchecked = CursorFile::load(&cursor).ok();
    let unchecked = unchecked.map(|cursor| cursor.map(|it| it.unchecked).unwrap_or_default());
    let status = Status {
        rows: recorded.count,
        last_recorded: recorded.last,
        last_commit: committed.map(|time| rfc3339(time.into())).unwrap_or_default(),
        not_recorded: failures.count,
        first_not_recorded: failures.first,
        not_exported: exported.count,
        logins: logins.count,
        logins_not_recorded: successes.count,
        first_login_not_recorded: successes.first,
        logins_not_checked: unchecked.as_ref().map(|unchecked| unchecked.total),
        text: TextOnly {
            last_login: logins.last,
            last_not_checked: unchecked.and_then(|it| it.hours.into_keys().next_back()),
            exports,
            ..TextOnly::default()
        },
        ..Status::default()
    };
    (status, problems)
}

/// Finds out what starts the jobs: systemd or cron. Returns the problems.
fn schedule(status: &mut Status, config: &Config) -> Vec<String> {
    if !systemd::runs_here() {
        let table = fs::read_to_string("/etc/cron.d/maillogsentinel").unwrap_or_default();
        status.text.cron = Some(systemd::cron_jobs(&table));
        return Vec::new();
    }
    match Units::ask() {
        Ok(units) => {
            status.jobs = units.jobs();
            units.problems(config)
        }
        Err(why) => vec![format!("systemctl failed (is dbus installed?): {why}")],
    }
}

/// Returns a sentence for each FIFO, socket or device among the files of the service. The tools refuse
/// to open such a file.
fn irregular(config: &Config) -> BTreeSet<String> {
    let paths = &config.paths;
    let lock = |csv: &PathBuf| csv.with_added_extension("lock");
    let csvs = [&paths.csv_filename, &paths.logins_filename].into_iter().flatten();
    let entries = paths.state_dir.iter().filter_map(|directory| fs::read_dir(directory).ok());
    let entries = entries.flatten().flatten().map(|entry| entry.path());
    csvs.flat_map(|csv| [csv.clone(), lock(csv)])
        .chain(paths.state_dir.clone())
        .chain(config.general.log_file.clone())
        .chain(entries)
        .filter(|path| fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()))
        .map(|path| {
            format!(
                "{} is not a regular file: name another file in the configuration, or remove it",
                path.display()
            )
        })
        .collect()
}

/// Returns what is in the database, or why it cannot be used.
fn database(tools: &Tools<'_>) -> (Database, Option<String>) {
    let (said, why) = tools.run("mls-sql status");
    if let Some(why) = why {
        let why = format!("the database cannot be used: {why}");
        return (Database::default(), Some(why));
    }
    let value = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        display_text(value.unwrap_or("")).into_owned()
    };
    let last_load = value("last_commit");
    // If there is a time but no number of rows, an older version has committed too. It did not
    // count rows, so the number is not known.
    let loaded = value("rows").parse().ok().or(last_load.is_empty().then_some(0));
    let not_loaded = tools.attempts(&[
        "mls-sql cursor",
        "mls-tail --framed --cursor-file=/dev/stdin",
        "mls-parse --outcome=recorded",
    ]);
    let (not_loaded, why) = match not_loaded {
        Ok(found) => (found.count, None),
        Err(why) => {
            (None, Some(format!("the attempts that are not loaded yet cannot be counted: {why:#}")))
        }
    };
    let name = Some(format!("{}, source {}", value("database"), value("source")));
    (Database { loaded, not_loaded, last_load, name }, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_regular_are_named_once_and_links_to_regular_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::File::create(path("file")).unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("nothing"), path("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("F.lock")).unwrap();
        let mut config = Config::default();
        config.paths.state_dir = Some(directory.path().to_owned());
        config.paths.csv_filename = Some(path("F"));
        config.general.log_file = Some("/dev/null".into());
        let lock = format!(
            "{} is not a regular file: name another file in the configuration, or remove it",
            path("F.lock").display()
        );
        let found: Vec<_> = irregular(&config).into_iter().collect();
        assert_eq!(
            found,
            [
                "/dev/null is not a regular file: name another file in the configuration, or remove it",
                &lock
            ]
        );
    }
}
