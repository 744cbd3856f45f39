//! The state of the service as text.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};
use mls_config::Config;
use mls_diag::{count, thousands};
use mls_event::Timestamp;

use crate::status::{Job, Status};

const WITHOUT_SYSTEMD: &str = "systemd does not run here: cron starts the jobs. Only the line \"last \
    commit of new log lines\" above shows whether the jobs work";

const NO_ALERTS: &str = "no alerts are mailed: to get alerts, set [report] email. Also set a \
    threshold in [alert], or set record = yes in [logins]";

/// Returns the first lines: they say whether the service works, and why not.
pub(crate) fn verdict(status: &Status) -> Vec<String> {
    if status.healthy {
        return vec!["healthy".to_owned()];
    }
    status.problems.iter().map(|problem| format!("not healthy: {problem}")).collect()
}

/// Returns the lines after the verdict.
pub(crate) fn details(status: &Status, config: &Config, now: DateTime<Local>) -> Vec<String> {
    let mut lines = attempts(status, config, now);
    lines.extend(status.jobs.iter().map(|job| sentence(job, now)));
    if let Some(jobs) = &status.text.cron {
        lines.push(WITHOUT_SYSTEMD.to_owned());
        lines.extend_from_slice(jobs);
    }
    lines.extend((!config.mails_alerts()).then(|| NO_ALERTS.to_owned()));
    lines.extend(status.without_effect.iter().map(|key| format!("note: {key}")));
    lines.extend(status.text.ip_databases.lines().map(str::to_owned));
    lines
}

/// Returns lines: how many attempts are recorded, exported and loaded, and how many not yet.
fn attempts(status: &Status, config: &Config, now: DateTime<Local>) -> Vec<String> {
    let csv = |path: &Option<PathBuf>, number, last: &str| {
        let path = path.as_deref().unwrap_or(Path::new("")).display();
        format!("{path}: {}{}", rows(number), with(", the last at ", last))
    };
    let waiting = |what, number, first: &str| {
        let first = Timestamp::parse(first).map(|first| at(first.at().into(), now));
        let first = with(", the first at ", &first.unwrap_or_default());
        format!("{what} in the log that are not recorded yet: {}{first}", shown(number))
    };
    let (paths, text) = (&config.paths, &status.text);
    let mut lines = vec![csv(&paths.csv_filename, status.rows, &status.last_recorded)];
    if config.logins.record {
        lines.push(csv(&paths.logins_filename, status.logins, &text.last_login));
    }
    lines.push(waiting("failures", status.not_recorded, &status.first_not_recorded));
    if config.logins.record {
        let first = &status.first_login_not_recorded;
        lines.push(waiting("logins", status.logins_not_recorded, first));
    }
    if status.logins_not_checked != Some(0) {
        let number = shown(status.logins_not_checked);
        let last = with(", the last after ", text.last_not_checked.as_deref().unwrap_or(""));
        lines.push(format!("logins that the mail server could not check: {number}{last}"));
    }
    let last = or_none(&status.last_commit);
    lines.push(format!("last commit of new log lines: {last}"));
    if text.exports {
        lines.push(format!("rows that are not exported yet: {}", shown(status.not_exported)));
    }
    if let Some(database) = &status.database {
        if let Some(name) = &database.name {
            let (rows, last) = (rows(database.loaded), or_none(&database.last_load));
            lines.push(format!("{name}: {rows}, last commit: {last}"));
        }
        let number = shown(database.not_loaded);
        lines.push(format!("attempts in the log that are not loaded yet: {number}"));
    }
    lines
}

/// Returns a sentence: what a job did, and when it runs next.
fn sentence(job: &Job, now: DateTime<Local>) -> String {
    let Job { name, unit, .. } = job;
    let at = |time: Option<_>| time.map(|time| at(time, now)).unwrap_or_default();
    if job.running_since.is_some() {
        return format!("{name}: {unit} runs all the time, since {}", at(job.running_since));
    }
    let last = match job.result.as_deref() {
        None => "no run since this machine was started".to_owned(),
        Some("running") => "a run is active now".to_owned(),
        Some("success") => format!("last run succeeded {}", at(job.last_run)),
        Some(result) => format!(
            "last run FAILED {}: {result}; journalctl -u {unit} shows why",
            at(job.last_run)
        ),
    };
    format!("{name}: {last}{}", with("; next run ", &at(job.next_run)))
}

fn shown(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), thousands)
}

fn rows(number: Option<u64>) -> String {
    let unknown = || "unknown number of rows".to_owned();
    number.map_or_else(unknown, |number| count(number, "row", "rows"))
}

fn or_none(time: &str) -> &str {
    if time.is_empty() { "none yet" } else { time }
}

/// Returns the words and the value, or nothing if the value is empty.
fn with(words: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{words}{value}") }
}

/// Returns a time and its distance: `2026-06-01 00:00:00 (3 h ago)`.
fn at(time: DateTime<Local>, now: DateTime<Local>) -> String {
    let seconds = (now - time).num_seconds();
    let distance = match seconds.unsigned_abs() {
        n @ ..120 => format!("{n} s"),
        n @ ..7200 => format!("{} min", n / 60),
        n @ ..172_800 => format!("{} h", n / 3600),
        n => format!("{} days", n / 86_400),
    };
    let distance = if seconds < 0 { format!("in {distance}") } else { format!("{distance} ago") };
    format!("{} ({distance})", time.format("%F %T"))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::status::Database;

    #[test]
    fn a_time_has_its_distance_in_words() {
        let now = Local::now();
        for (seconds, words) in [
            (0, "(0 s ago)"),
            (119, "(119 s ago)"),
            (120, "(2 min ago)"),
            (7200, "(2 h ago)"),
            (172_800, "(2 days ago)"),
            (-60, "(in 60 s)"),
            (-86_400, "(in 24 h)"),
        ] {
            let text = at(now - TimeDelta::seconds(seconds), now);
            assert!(text.ends_with(words), "{text}");
        }
    }

    #[test]
    fn a_job_has_its_last_result_and_its_next_run() {
        let now = Local::now();
        let job = Job {
            name: "digest",
            unit: "x.service".into(),
            last_run: Some(now - TimeDelta::minutes(3)),
            next_run: Some(now + TimeDelta::hours(3)),
            ..Job::default()
        };
        for (result, words) in [
            (None, "no run since this machine was started; next run "),
            (Some("running"), "a run is active now; next run "),
            (Some("success"), " (3 min ago); next run "),
            (Some("timeout"), " (3 min ago): timeout; journalctl -u x.service shows why; next"),
        ] {
            let job = Job { result: result.map(str::to_owned), unit: job.unit.clone(), ..job };
            let text = sentence(&job, now);
            assert!(text.starts_with("digest: ") && text.ends_with(" (in 3 h)"), "{text}");
            assert!(text.contains(words), "{text}");
        }
        let job = Job { running_since: Some(now), ..job };
        assert!(sentence(&job, now).starts_with("digest: x.service runs all the time, since 20"));
    }

    #[test]
    fn what_is_not_known_is_null_in_json_and_unknown_in_text() {
        let status = Status { database: Some(Database::default()), ..Status::default() };
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(
            json,
            "{\"healthy\":false,\"problems\":[],\"without_effect\":[],\"rows\":null,\
             \"last_recorded\":\"\",\"last_commit\":\"\",\"not_recorded\":null,\
             \"first_not_recorded\":\"\",\"not_exported\":null,\"logins\":null,\
             \"logins_not_recorded\":null,\"first_login_not_recorded\":\"\",\
             \"logins_not_checked\":null,\"loaded\":null,\"not_loaded\":null,\"last_load\":\"\",\
             \"jobs\":[]}"
        );
        let lines = details(&status, &Config::default(), Local::now());
        assert_eq!(lines.iter().filter(|line| line.contains("unknown")).count(), 4, "{lines:?}");
    }
}
