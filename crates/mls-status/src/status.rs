//! The state of the service. serde prints it as JSON, and `text.rs` as text.

use chrono::{DateTime, Local, SecondsFormat};
use serde::{Serialize, Serializer};

/// The state of the service. A number that is not known is null, and a time that is not known or
/// does not exist is empty.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Status {
    pub(crate) healthy: bool,
    pub(crate) problems: Vec<String>,
    pub(crate) without_effect: Vec<String>,
    pub(crate) rows: Option<u64>,
    pub(crate) last_recorded: String,
    pub(crate) last_commit: String,
    pub(crate) not_recorded: Option<u64>,
    pub(crate) first_not_recorded: String,
    pub(crate) not_exported: Option<u64>,
    pub(crate) logins: Option<u64>,
    pub(crate) logins_not_recorded: Option<u64>,
    pub(crate) first_login_not_recorded: String,
    pub(crate) logins_not_checked: Option<u64>,
    /// `None` if attempts are not loaded into a database.
    #[serde(flatten)]
    pub(crate) database: Option<Database>,
    pub(crate) jobs: Vec<Job>,
    #[serde(skip)]
    pub(crate) text: TextOnly,
}

/// What this machine has loaded into the database.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Database {
    pub(crate) loaded: Option<u64>,
    pub(crate) not_loaded: Option<u64>,
    pub(crate) last_load: String,
    /// The name of the database, and the source. `None` if the database cannot be used.
    #[serde(skip)]
    pub(crate) name: Option<String>,
}

/// A scheduled job of systemd.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Job {
    #[serde(rename = "job")]
    pub(crate) name: &'static str,
    pub(crate) unit: String,
    #[serde(serialize_with = "or_null")]
    pub(crate) last_run: Option<DateTime<Local>>,
    /// `running`, `success`, `exit code N`, or another result of systemd.service(5).
    pub(crate) result: Option<String>,
    #[serde(serialize_with = "or_null")]
    pub(crate) next_run: Option<DateTime<Local>>,
    /// `None` if the service does not run all the time.
    #[serde(serialize_with = "or_null")]
    pub(crate) running_since: Option<DateTime<Local>>,
}

/// Values that are in the text, but not in the JSON.
#[derive(Debug, Default)]
pub(crate) struct TextOnly {
    pub(crate) last_login: String,
    /// The last hour with logins that the server could not check.
    pub(crate) last_not_checked: Option<String>,
    /// Whether rows are exported as SQL.
    pub(crate) exports: bool,
    /// What cron starts if systemd does not run.
    pub(crate) cron: Option<Vec<String>>,
    /// A line for each IP database.
    pub(crate) ip_databases: String,
}

pub(crate) fn rfc3339(time: DateTime<Local>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn or_null<S: Serializer>(time: &Option<DateTime<Local>>, to: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(to)
}
