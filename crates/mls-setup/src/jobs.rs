//! What is done again and again: one table for systemd and for cron.

use crate::answers::Answers;

/// Names of all units, for `systemctl`.
pub(crate) const PATTERNS: [&str; 2] = ["maillogsentinel*", "ipinfo-update*"];

/// A job that a schedule starts.
pub(crate) struct Job {
    pub(crate) service: &'static str,
    pub(crate) timer: &'static str,
    /// The key of its schedule.
    pub(crate) schedule: &'static str,
    /// The service that does the job all the time, if the schedule is `follow`.
    pub(crate) follow: Option<&'static str>,
    /// Whether the service has an `[Install]` section: other units want it.
    pub(crate) is_wanted_by_units: bool,
    /// Whether the configuration gives it something to do.
    pub(crate) is_needed: fn(&Answers) -> bool,
    /// The same for crontab(5).
    pub(crate) command: &'static str,
}

const EXTRACTION: Job = Job {
    service: "maillogsentinel.service",
    timer: "maillogsentinel-extract.timer",
    schedule: "systemd.extraction_schedule",
    follow: Some("maillogsentinel-follow.service"),
    is_wanted_by_units: true,
    is_needed: |_| true,
    command: "maillogsentinel",
};

/// All of them.
pub(crate) const JOBS: [Job; 5] = [
    EXTRACTION,
    Job {
        service: "maillogsentinel-report.service",
        timer: "maillogsentinel-report.timer",
        schedule: "systemd.report_schedule",
        is_needed: |answers| answers.is_set("report.email"),
        command: "maillogsentinel --report",
        ..TIMED
    },
    Job {
        service: "ipinfo-update.service",
        timer: "ipinfo-update.timer",
        schedule: "systemd.ip_update_schedule",
        command: "mls-ipdb --config /etc/maillogsentinel.conf update",
        ..TIMED
    },
    Job {
        service: "maillogsentinel-sql-export.service",
        timer: "maillogsentinel-sql-export.timer",
        schedule: "systemd.sql_export_schedule",
        is_needed: has_database,
        command: "maillogsentinel --sql-export",
        ..TIMED
    },
    Job {
        service: "maillogsentinel-sql-import.service",
        timer: "maillogsentinel-sql-import.timer",
        schedule: "systemd.sql_import_schedule",
        is_needed: has_database,
        command: "maillogsentinel --sql-import",
        ..TIMED
    },
];

/// A job that only a timer starts.
const TIMED: Job = Job { follow: None, is_wanted_by_units: false, ..EXTRACTION };

fn has_database(answers: &Answers) -> bool {
    answers.is_set("database.db_type")
}

/// What a schedule comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When<'a> {
    Never,
    AllTheTime,
    At(&'a str),
}

impl Job {
    /// When it runs.
    pub(crate) fn when<'a>(&self, answers: &'a Answers) -> When<'a> {
        match answers.get(self.schedule) {
            _ if !(self.is_needed)(answers) => When::Never,
            "never" => When::Never,
            "follow" if self.follow.is_some() => When::AllTheTime,
            schedule => When::At(schedule),
        }
    }

    /// The services that run it with these answers.
    pub(crate) fn services(&self, answers: &Answers) -> Vec<&'static str> {
        match self.when(answers) {
            When::Never => vec![],
            When::At(_) => vec![self.service],
            // Setup runs the timed service once.
            When::AllTheTime => self.follow.into_iter().chain([self.service]).collect(),
        }
    }
}

/// Whether a unit is a service that does not end by itself.
pub(crate) fn runs_all_the_time(unit: &str) -> bool {
    JOBS.iter().any(|job| job.follow == Some(unit))
}
