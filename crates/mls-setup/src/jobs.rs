//! The jobs that run again and again: one table for systemd and for cron.

use std::path::{Path, PathBuf};

use crate::answers::Answers;

/// Patterns that match the names of all units, for `systemctl`.
pub(crate) const PATTERNS: [&str; 2] = ["maillogsentinel*", "ipinfo-update*"];

/// A job that a schedule starts.
pub(crate) struct Job {
    pub(crate) service: &'static str,
    pub(crate) timer: &'static str,
    /// The configuration key of the schedule.
    pub(crate) schedule: &'static str,
    /// If the schedule is `follow`, this service does the job all the time.
    pub(crate) follow: Option<&'static str>,
    /// If the service is enabled, the digest starts it first.
    pub(crate) is_wanted_by_units: bool,
    /// Whether this configuration needs the job.
    pub(crate) is_needed: fn(&Answers) -> bool,
    /// The command for crontab(5).
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

/// A [`TIMED`] job: the name of its units, the key of its schedule, its command, and when it is needed.
macro_rules! timed {
    ($name:literal, $schedule:expr, $command:literal $(, if $is_needed:expr)?) => {
        Job {
            service: concat!($name, ".service"),
            timer: concat!($name, ".timer"),
            schedule: $schedule,
            $(is_needed: $is_needed,)?
            command: $command,
            ..TIMED
        }
    };
}

pub(crate) const JOBS: [Job; 10] = [
    EXTRACTION,
    Job {
        service: "maillogsentinel-logins.service",
        timer: "maillogsentinel-logins.timer",
        follow: Some("maillogsentinel-logins-follow.service"),
        is_needed: records_logins,
        // One run of `maillogsentinel` records failures and logins, so use the command of
        // `EXTRACTION`.
        ..EXTRACTION
    },
    Job {
        service: "maillogsentinel-load.service",
        timer: "maillogsentinel-load.timer",
        follow: Some("maillogsentinel-load-follow.service"),
        is_wanted_by_units: false,
        is_needed: loads,
        // The run of `EXTRACTION` also loads the database, so use its command.
        ..EXTRACTION
    },
    timed! {
        "maillogsentinel-report", "systemd.report_schedule", "maillogsentinel --report",
        if |answers| answers.is_set("report.email")
    },
    timed! {
        "ipinfo-update", "systemd.ip_update_schedule", "mls-ipdb --config /etc/maillogsentinel.conf update"
    },
    timed! {
        "maillogsentinel-sql-export", "systemd.sql_export_schedule", "maillogsentinel --sql-export",
        if writes_sql_files
    },
    timed! {
        "maillogsentinel-sql-import", "systemd.sql_import_schedule", "maillogsentinel --sql-import",
        if writes_sql_files
    },
    timed! {
        "maillogsentinel-alert", "systemd.alert_schedule", "maillogsentinel --alert",
        if |answers| mails_alerts(answers) && !follows(answers)
    },
    timed! { "maillogsentinel-metrics", METRICS_SCHEDULE, "maillogsentinel --metrics" },
    timed! {
        "maillogsentinel-prune", "systemd.prune_schedule", "maillogsentinel --prune",
        if removes_data
    },
];

/// The service that writes the metrics for Prometheus. systemd creates and removes the directory of
/// the metrics.
pub(crate) const METRICS_SERVICE: &str = "maillogsentinel-metrics.service";

pub(crate) const METRICS_TIMER: &str = "maillogsentinel-metrics.timer";

/// The configuration key of its schedule.
pub(crate) const METRICS_SCHEDULE: &str = "systemd.metrics_schedule";

/// A job that only a timer starts.
const TIMED: Job = Job { follow: None, is_wanted_by_units: false, ..EXTRACTION };

fn mails_alerts(answers: &Answers) -> bool {
    let has_threshold =
        ["alert.ip", "alert.user", "alert.total"].iter().any(|key| answers.is_set(key));
    (has_threshold || records_logins(answers)) && answers.is_set("report.email")
}

/// Whether attempts are recorded continuously, so that alerts are sent at once.
fn follows(answers: &Answers) -> bool {
    EXTRACTION.when(answers) == When::AllTheTime
}

pub(crate) fn writes_metrics(answers: &Answers) -> bool {
    answers.get(METRICS_SCHEDULE) != "never"
}

pub(crate) fn records_logins(answers: &Answers) -> bool {
    answers.get("logins.record") == "yes"
}

fn removes_data(answers: &Answers) -> bool {
    answers.is_set("retention.csv_days")
        || answers.is_set("retention.sql_files_days")
        || (records_logins(answers) && answers.is_set("retention.logins_days"))
        || (has_database(answers) && answers.is_set("retention.database_days"))
}

pub(crate) fn has_database(answers: &Answers) -> bool {
    answers.is_set("database.db_type")
}

/// The key that says how attempts get into the database.
pub(crate) const MODE: &str = "database.mode";

/// Whether attempts are loaded into the database from the log.
pub(crate) fn loads(answers: &Answers) -> bool {
    has_database(answers) && answers.get(MODE) == "load"
}

/// Whether SQL files are exported from the CSV and imported.
pub(crate) fn writes_sql_files(answers: &Answers) -> bool {
    has_database(answers) && !loads(answers)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When<'a> {
    Never,
    AllTheTime,
    At(&'a str),
}

impl Job {
    pub(crate) fn when<'a>(&self, answers: &'a Answers) -> When<'a> {
        match answers.get(self.schedule) {
            _ if !(self.is_needed)(answers) => When::Never,
            "never" => When::Never,
            "follow" if self.follow.is_some() => When::AllTheTime,
            schedule => When::At(schedule),
        }
    }

    /// The services that the job needs with these answers.
    pub(crate) fn services(&self, answers: &Answers) -> Vec<&'static str> {
        match self.when(answers) {
            When::Never => vec![],
            When::At(_) => vec![self.service],
            // Setup runs the timed service once, too.
            When::AllTheTime => self.follow.into_iter().chain([self.service]).collect(),
        }
    }
}

/// A unit that no schedule of the configuration starts.
pub(crate) struct Companion {
    pub(crate) unit: &'static str,
    /// If the unit is a service, the unit itself, else the service that the unit starts. `None` if
    /// this service does not run as the service user.
    pub(crate) service: Option<&'static str>,
    /// The files that a path unit watches.
    pub(crate) watched: fn(&Answers) -> Vec<PathBuf>,
    pub(crate) is_needed: fn(&Answers) -> bool,
}

/// All companions. Only systemd uses them.
pub(crate) const COMPANIONS: [Companion; 6] = [
    Companion {
        unit: "maillogsentinel-alert.path",
        service: Some("maillogsentinel-alert.service"),
        watched: |answers| {
            let logins = records_logins(answers).then_some("paths.logins_filename");
            let files = ["paths.csv_filename"].into_iter().chain(logins);
            files.map(|key| answers.get(key).into()).collect()
        },
        is_needed: |answers| mails_alerts(answers) && !follows(answers),
    },
    companion_service("maillogsentinel-alert-follow.service", |answers| {
        mails_alerts(answers) && follows(answers)
    }),
    companion_service("maillogsentinel-block.service", |answers| answers.is_set(ENFORCE)),
    Companion {
        unit: "maillogsentinel-block-nft.path",
        service: Some("maillogsentinel-block-nft.service"),
        watched: |answers| vec![Path::new(answers.get("paths.state_dir")).join("block.state")],
        is_needed: |answers| enforces(answers, "nftables"),
    },
    Companion {
        unit: "maillogsentinel-block-nft.timer",
        service: None,
        watched: |_| Vec::new(),
        is_needed: |answers| enforces(answers, "nftables"),
    },
    Companion {
        unit: "maillogsentinel-block-postfix.path",
        service: None,
        watched: |answers| vec![Path::new(answers.get("block.directory")).join("blocked.cidr")],
        is_needed: |answers| enforces(answers, "postfix"),
    },
];

const fn companion_service(unit: &'static str, is_needed: fn(&Answers) -> bool) -> Companion {
    Companion { unit, service: Some(unit), watched: |_| Vec::new(), is_needed }
}

/// The key with the programs that block addresses.
pub(crate) const ENFORCE: &str = "block.enforce";

fn enforces(answers: &Answers, name: &str) -> bool {
    answers.list(ENFORCE).any(|there| there == name)
}

/// Whether a unit runs until somebody stops it.
pub(crate) fn runs_all_the_time(unit: &str) -> bool {
    JOBS.iter().any(|job| job.follow == Some(unit))
        || COMPANIONS.iter().any(|companion| companion.unit == unit)
}
