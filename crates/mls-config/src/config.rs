//! `/etc/maillogsentinel.conf`. The file is read and checked once; after that, all values have
//! types.
//!
//! If `--config` names no file, a tool uses [`Config::default`]. [`SECTIONS`] lists every key.

mod declare;
mod effect;
mod example;
mod host;
mod ini;
mod journal_match;
mod keys;
mod server_zone;
#[cfg(test)]
mod tests;
mod threshold;
mod time_span;
mod value;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::denied::explained;
use mls_diag::{Exit, OrExit};

use declare::Base;
pub use declare::{ConfigKey, ConfigSection};
pub use example::example;
pub use host::is_host;
use ini::Ini;
pub use journal_match::JournalMatch;
pub use keys::{
    Alert, AsnAso, Block, Config, Database, DnsCache, Filter, General, Geolocation, Logins, Paths,
    Report, Retention, SECTIONS, Suspicious, Systemd,
};
pub use server_zone::ServerZone;
pub use threshold::Threshold;
pub use time_span::TimeSpan;
pub use value::{BlockFormat, DbMode, DbType, Password, SmtpTls, network, show_network};

/// The largest configuration file in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The largest number of unknown keys that are reported one by one.
const MAX_UNKNOWN: usize = 10;

/// Keys that only the Python original has, each as section and key. `schema_version` is ignored.
/// [`Config::translate`] converts the others.
const LEGACY_KEYS: [(&str, &str); 3] =
    [("meta", "schema_version"), ("general", "log_file_max_mb"), ("database", "path")];

impl Paths {
    /// The path of the file `name` in the state directory.
    #[must_use]
    pub fn in_state_dir(&self, name: &str) -> Option<PathBuf> {
        self.state_dir.as_ref().map(|dir| dir.join(name))
    }

    /// The cursor file of the pipeline that writes the CSV.
    #[must_use]
    pub fn csv_cursor(&self) -> Option<PathBuf> {
        self.in_state_dir("state.offset")
    }

    /// The cursor file of the pipeline that writes the CSV of successful logins.
    #[must_use]
    pub fn logins_cursor(&self) -> Option<PathBuf> {
        self.in_state_dir("logins.offset")
    }

    /// The cursor file of the pipeline that exports the CSV as SQL.
    #[must_use]
    pub fn sql_cursor(&self) -> Option<PathBuf> {
        self.in_state_dir("sql_state.offset")
    }
}

impl Config {
    /// Reads `path`. If the file does not exist, logs a warning and returns the defaults. Logs a
    /// warning for each unknown key.
    ///
    /// # Errors
    /// Exit 78 for a line that cannot be read, or for a value that is not allowed. The message names
    /// file, line, key, value, and the allowed values. Exit 77 for a file that holds a password and
    /// that everybody may read.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let Some(text) = read_file(path)? else {
            log::warn!("configuration file {} does not exist; using the defaults", path.display());
            return Self::parse(path, "");
        };
        let config = Self::parse(path, &text)?;
        if config.database.db_password.is_some() {
            refuse_if_others_may_read(path)?;
        }
        Ok(config)
    }

    /// Whether a pipeline loads attempts from the log into the database.
    #[must_use]
    pub fn loads(&self) -> bool {
        self.database.db_type.is_some() && self.database.mode == Some(DbMode::Load)
    }

    /// Whether somebody gets alerts by mail.
    #[must_use]
    pub fn mails_alerts(&self) -> bool {
        let alert = &self.alert;
        let raises_alerts = alert.ip.is_some()
            || alert.user.is_some()
            || alert.total.is_some()
            || self.logins.record;
        raises_alerts && !self.report.email.is_empty()
    }

    /// Reads the text of a configuration file; messages name `path`. Logs a warning for each unknown
    /// key.
    ///
    /// # Errors
    /// Exit 78 for a line that cannot be read, or for a value that its key does not allow.
    pub fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let mut ini = Ini::parse(path, text, SECTIONS)?;
        let (unknown, more) = ini.unknown(&known_keys(), MAX_UNKNOWN);
        for message in unknown {
            log::warn!("{message}");
        }
        if more > 0 {
            let more = mls_diag::count(
                more as u64,
                "more unknown section or key",
                "more unknown sections or keys",
            );
            log::warn!("configuration file {}: {more}", path.display());
        }
        Self::translate(&mut ini);
        let mut config = Self::read_keys(&ini)?;
        let working_dir = config.paths.working_dir.clone().unwrap_or_default();
        let state_dir = config.paths.state_dir.clone().unwrap_or_default();
        config.resolve(&Base { state_dir: working_dir.join(state_dir), working_dir });
        Ok(config)
    }

    /// Converts keys of the Python original that need a new value. An alias changes only a name.
    fn translate(ini: &mut Ini<'_>) {
        let [_, megabytes, sqlite] = LEGACY_KEYS;
        ini.translate(megabytes, ("general", "log_file_max_bytes"), |value| {
            // If the value is not a number, keep it: then the error names this line.
            value.parse().map_or(value.to_owned(), |n: u32| (u64::from(n) << 20).to_string())
        });
        // The last releases of the Python original support only SQLite.
        ini.translate(sqlite, ("database", "db_type"), |_| "sqlite".to_owned());
        ini.translate(sqlite, ("database", "db_path"), str::to_owned);
    }

    /// Returns one `section.key=value` per line, for scripts. Defaults, aliases and relative paths are
    /// resolved. Keys without a value and passwords are omitted. Lists are joined by `, `. A control
    /// character becomes `?`, so a value is one line.
    #[must_use]
    pub fn show(&self) -> String {
        let mut out = String::new();
        self.each(&mut |key, value| {
            if !value.is_empty() {
                out.extend([key, "=", &mls_event::clean_str(&value), "\n"]);
            }
        });
        out
    }
}

/// Reads the text of a file; `None` if the file does not exist.
fn read_file(path: &Path) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut text)) {
        Ok(_) if text.len() as u64 > MAX_SIZE => {
            Err(Exit::Config.error(format!("configuration file {shown} is larger than 1 MiB")))
        }
        Ok(_) => match String::from_utf8(text) {
            Ok(text) if !text.contains('\0') => Ok(Some(text)),
            _ => Err(Exit::Config.error(format!(
                "configuration file {shown} has a NUL byte or is not UTF-8 text; save it as UTF-8 in an editor"
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(explained(error, path))
            .with_context(|| format!("reading configuration file {shown}")),
    }
}

/// All names of all keys, each as section and key in lower case. Aliases are names too.
fn known_keys() -> Vec<(String, String)> {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    keys.flat_map(ini::names)
        .chain(LEGACY_KEYS)
        .map(|(section, key)| (section.to_lowercase(), key.to_lowercase()))
        .collect()
}

fn refuse_if_others_may_read(path: &Path) -> anyhow::Result<()> {
    let mode = std::fs::metadata(path).or_exit(Exit::NoInput)?.mode();
    if mode & 0o004 == 0 {
        return Ok(());
    }
    Err(Exit::NoPerm.error(format!(
        "configuration file {} holds db_password, but everybody may read it (mode {:04o}); move \
         the password to a file with mode 0600, and set db_password_file to the path of that file",
        path.display(),
        mode & 0o7777
    )))
}
