//! The units of the service: which must be active, and what systemd says about them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Local, NaiveDateTime};
use mls_config::Config;

use crate::status::Job;
use crate::tools;

/// Patterns that match the names of all units, for `systemctl`.
const PATTERNS: [&str; 2] = ["maillogsentinel*", "ipinfo-update*"];

/// The jobs, and the names of their services without `.service`.
const JOBS: [(&str, &str); 10] = [
    ("extraction", "maillogsentinel"),
    ("logins", "maillogsentinel-logins"),
    ("load", "maillogsentinel-load"),
    ("digest", "maillogsentinel-report"),
    ("alerts", "maillogsentinel-alert"),
    ("metrics", "maillogsentinel-metrics"),
    ("SQL export", "maillogsentinel-sql-export"),
    ("SQL import", "maillogsentinel-sql-import"),
    ("IP databases", "ipinfo-update"),
    ("removal of old data", "maillogsentinel-prune"),
];

fn timer(service: &str) -> String {
    let name = if service == "maillogsentinel" { "maillogsentinel-extract" } else { service };
    format!("{name}.timer")
}

/// The service that does the job of `service` all the time. Some jobs have no such service.
fn follow(service: &str) -> String {
    format!("{service}-follow.service")
}

pub(crate) fn runs_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The units that must be active if systemd runs.
pub(crate) fn expected_units(config: &Config) -> Vec<String> {
    let schedule = config.systemd.extraction_schedule.as_deref();
    let is_immediate = schedule == Some("follow");
    let mut units = Vec::new();
    if schedule != Some("never") {
        let are_needed = [true, config.logins.record, config.loads()];
        let needed = JOBS.iter().zip(are_needed).filter(|(_, is_needed)| *is_needed);
        let unit = if is_immediate { follow } else { timer };
        units.extend(needed.map(|((_, service), _)| unit(service)));
    }
    if config.mails_alerts() {
        let alerts = "maillogsentinel-alert";
        units.push(if is_immediate { follow(alerts) } else { format!("{alerts}.path") });
    }
    if config.systemd.metrics_schedule.as_deref().is_some_and(|schedule| schedule != "never") {
        units.push(timer("maillogsentinel-metrics"));
    }
    units
}

/// What systemd says: the properties of each unit.
#[derive(Default)]
pub(crate) struct Units(BTreeMap<String, BTreeMap<String, String>>);

impl Units {
    /// Asks systemd.
    ///
    /// # Errors
    /// The message of systemctl.
    pub(crate) fn ask() -> Result<Self, String> {
        let mut systemctl = Command::new("systemctl");
        systemctl.env("TZ", "UTC").args(["show", "--no-pager"]).arg(
            "--property=Id,ActiveState,ActiveEnterTimestamp,ExecMainExitTimestamp,ExecMainStatus,\
             NextElapseUSecRealtime,Result",
        );
        // A pattern matches only units that systemd has in memory, see systemctl(1). Between two
        // runs, a service may not be in memory, so name the services.
        let services = JOBS.map(|(_, service)| format!("{service}.service"));
        let (shown, why) = tools::run(systemctl.args(services).args(PATTERNS));
        why.map_or_else(|| Ok(Self::parse(&shown)), Err)
    }

    /// Reads the output of `systemctl show`: a block of `NAME=VALUE` lines for each unit.
    fn parse(shown: &str) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let unit = |block: &str| {
            let properties: BTreeMap<_, _> =
                block.lines().filter_map(|line| line.split_once('=')).map(owned).collect();
            Some((properties.get("Id")?.clone(), properties))
        };
        Self(shown.split("\n\n").filter_map(unit).collect())
    }

    /// A property of a unit. Empty if the property is not known.
    fn get(&self, unit: &str, property: &str) -> &str {
        self.0.get(unit).and_then(|properties| properties.get(property)).map_or("", String::as_str)
    }

    /// A time such as `Mon 2026-06-01 00:00:45 UTC`.
    fn time(&self, unit: &str, property: &str) -> Option<DateTime<Local>> {
        let time = self.get(unit, property);
        let time = NaiveDateTime::parse_from_str(time, "%a %Y-%m-%d %H:%M:%S UTC").ok()?;
        Some(time.and_utc().with_timezone(&Local))
    }

    fn is_active(&self, unit: &str) -> bool {
        ["active", "reloading"].contains(&self.get(unit, "ActiveState"))
    }

    /// A sentence about each unit that failed, or that is not active but should be.
    pub(crate) fn problems(&self, config: &Config) -> Vec<String> {
        let mut problems = expected_units(config);
        problems.retain(|unit| !self.is_active(unit));
        for unit in &mut problems {
            *unit = format!(
                "{unit} is not active: run maillogsentinel --setup --interactive, or systemctl \
                 start {unit}"
            );
        }
        let failed = self.0.keys().filter(|unit| self.get(unit, "ActiveState") == "failed");
        problems
            .extend(failed.map(|unit| format!("{unit} failed: journalctl -u {unit} shows why")));
        problems
    }

    /// The jobs that are scheduled, or run all the time.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        JOBS.iter().filter_map(|(name, service)| self.job(name, service)).collect()
    }

    fn job(&self, name: &'static str, service: &str) -> Option<Job> {
        let (timer, follow) = (timer(service), follow(service));
        let service = format!("{service}.service");
        if self.is_active(&follow) {
            let running_since = self.time(&follow, "ActiveEnterTimestamp");
            return Some(Job { name, unit: follow, running_since, ..Job::default() });
        }
        let last_run = self.time(&service, "ExecMainExitTimestamp");
        let result = match (self.get(&service, "ActiveState"), self.get(&service, "Result")) {
            ("activating", _) => Some("running".to_owned()),
            _ if last_run.is_none() => None,
            (_, "exit-code") => Some(format!("exit code {}", self.get(&service, "ExecMainStatus"))),
            (_, result) => Some(result.to_owned()),
        };
        let next_run = self.time(&timer, "NextElapseUSecRealtime");
        let job = Job { name, unit: service, last_run, result, next_run, running_since: None };
        self.is_active(&timer).then_some(job)
    }
}

/// Returns a sentence for each line of a system crontab that starts a command, see crontab(5).
pub(crate) fn cron_jobs(table: &str) -> Vec<String> {
    let job = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let (when, command) = (words.get(..5)?, words.get(6..)?);
        let is_job =
            !command.is_empty() && line.starts_with(|c: char| c == '*' || c.is_ascii_digit());
        is_job.then(|| format!("cron starts \"{}\" at: {}", command.join(" "), when.join(" ")))
    };
    table.lines().filter_map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("conf"), text).unwrap()
    }

    #[test]
    fn the_configuration_says_which_units_must_be_active() {
        let all = "[report]\nemail = a@b.test\n[logins]\nrecord = yes\n\
                   [database]\ndb_type = sqlite\nmode = load\n[systemd]\n";
        for (text, units) in [
            ("", "extract.timer"),
            ("[systemd]\nextraction_schedule = follow", "follow.service"),
            ("[systemd]\nextraction_schedule = never\nmetrics_schedule = *:0/5", "metrics.timer"),
            ("[report]\nemail = a@b.test", "extract.timer"),
            ("[report]\nemail = a@b.test\n[alert]\nip = 9/1h", "extract.timer alert.path"),
            (all, "extract.timer logins.timer load.timer alert.path"),
            (
                &format!("{all}extraction_schedule = follow"),
                "follow.service logins-follow.service load-follow.service alert-follow.service",
            ),
        ] {
            let units: Vec<_> =
                units.split(' ').map(|unit| format!("maillogsentinel-{unit}")).collect();
            assert_eq!(expected_units(&config(text)), units, "{text}");
        }
    }

    #[test]
    fn every_job_has_a_service_and_a_timer() {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
        for (_, service) in JOBS {
            for unit in [format!("{service}.service"), timer(service)] {
                assert!(units.join(&unit).exists(), "{unit}");
            }
        }
    }

    /// What systemd 252 prints.
    const SHOWN: &str = "\
Result=exit-code
ExecMainExitTimestamp=Mon 2026-06-01 00:00:45 UTC
ExecMainStatus=78
Id=maillogsentinel.service
ActiveState=failed
ActiveEnterTimestamp=

Result=success
NextElapseUSecRealtime=Mon 2026-06-01 01:00:00 UTC
Id=maillogsentinel-extract.timer
ActiveState=active
ActiveEnterTimestamp=Sun 2026-05-31 12:00:00 UTC

Result=success
ExecMainExitTimestamp=
ExecMainStatus=0
Id=maillogsentinel-logins-follow.service
ActiveState=active
ActiveEnterTimestamp=Sun 2026-05-31 12:00:01 UTC

NextElapseUSecRealtime=
Id=maillogsentinel-prune.timer
ActiveState=active

Id=maillogsentinel-report.timer
ActiveState=inactive
";

    #[test]
    fn the_jobs_come_from_the_properties_of_their_units() {
        let units = Units::parse(SHOWN);
        let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).unwrap().into());
        let job = |name, unit: &str| Job { name, unit: unit.into(), ..Job::default() };
        let expected = [
            Job {
                last_run: time("2026-06-01T00:00:45Z"),
                result: Some("exit code 78".into()),
                next_run: time("2026-06-01T01:00:00Z"),
                ..job("extraction", "maillogsentinel.service")
            },
            Job {
                running_since: time("2026-05-31T12:00:01Z"),
                ..job("logins", "maillogsentinel-logins-follow.service")
            },
            job("removal of old data", "maillogsentinel-prune.service"),
        ];
        assert_eq!(units.jobs(), expected);
        assert_eq!(
            serde_json::to_string(&expected[2]).unwrap(),
            "{\"job\":\"removal of old data\",\"unit\":\"maillogsentinel-prune.service\",\
             \"last_run\":null,\"result\":null,\"next_run\":null,\"running_since\":null}"
        );
        for (state, result) in [("activating", "running"), ("inactive", "success")] {
            let shown = SHOWN.replace("=failed", &format!("={state}"));
            let units = Units::parse(&shown.replace("exit-code", "success"));
            assert_eq!(units.jobs()[0].result.as_deref(), Some(result));
        }
    }

    #[test]
    fn units_that_failed_or_are_not_active_are_problems() {
        let problems = |schedule| {
            let config = config(&format!("[systemd]\nextraction_schedule = {schedule}"));
            Units::parse(SHOWN).problems(&config)
        };
        let failed =
            "maillogsentinel.service failed: journalctl -u maillogsentinel.service shows why";
        assert_eq!(problems("hourly"), [failed]);
        let found = problems("follow");
        assert!(found[0].starts_with("maillogsentinel-follow.service is not active: run "));
        assert_eq!(found[1..], [failed]);
        assert_eq!(Units::parse("").problems(&config("")).len(), 1);
    }

    #[test]
    fn the_table_of_cron_becomes_sentences() {
        let table = "# Written by setup.\nPATH=/usr/bin\n0 * * * * mail maillogsentinel\n\
                     59 23  * * *  mail  maillogsentinel --report\n#1 2 3 4 5 a b\n1 2 3 4 5 a\n@daily a b c d e f\n";
        assert_eq!(
            cron_jobs(table),
            [
                "cron starts \"maillogsentinel\" at: 0 * * * *",
                "cron starts \"maillogsentinel --report\" at: 59 23 * * *"
            ]
        );
    }
}
