//! `/etc/maillogsentinel.conf`: read once, checked once, typed from here on.
//!
//! The file is INI as Python's `configparser` reads it. It is read only where `--config` names it; [`Config::default`] is
//! what holds without it. `Config::read` has every key.

mod ini;
mod show;
#[cfg(test)]
mod tests;
mod threshold;

use std::path::{Path, PathBuf};

use anyhow::Context;
use ipnet::IpNet;

use ini::Ini;
use log::LevelFilter;
use mls_diag::{Exit, OrExit};
pub use threshold::Threshold;

/// The configuration. Fields are named after their sections and keys.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the section of the same name")]
pub struct Config {
    pub paths: Paths,
    pub report: Report,
    pub geolocation: Databases,
    pub asn_aso: Databases,
    pub general: General,
    pub dns_cache: DnsCache,
    pub database: Database,
    pub filter: Filter,
    pub alert: Alert,
    pub retention: Retention,
    pub systemd: Systemd,
}

/// `[paths]`. All are `None` without a configuration file.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// `working_dir`
    pub working_dir: Option<PathBuf>,
    /// `mail_log`; `journal` is the systemd journal
    pub mail_log: Option<PathBuf>,
    /// `csv_filename` in `working_dir`
    pub csv: Option<PathBuf>,
    /// `state_dir`; relative ones are below `working_dir`, as the Python original has it
    pub state_dir: Option<PathBuf>,
}

impl Paths {
    /// The cursor file of the pipeline that writes the CSV.
    #[must_use]
    pub fn csv_cursor(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().map(|dir| dir.join("state.offset"))
    }

    /// The cursor file of the pipeline that exports the CSV as SQL.
    #[must_use]
    pub fn sql_cursor(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().map(|dir| dir.join("sql_state.offset"))
    }
}

/// `[report]`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Report {
    pub email: Vec<String>,
    pub subject_prefix: String,
    pub sender_override: Option<String>,
    pub smtp_host: Option<String>,
    pub smtp_port: Option<u16>,
    pub smtp_tls: Option<SmtpTls>,
    pub smtp_user: Option<String>,
    pub smtp_password_file: Option<PathBuf>,
    pub attach_csv: bool,
}

/// `smtp_tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the value of the same name")]
pub enum SmtpTls {
    None,
    StartTls,
    Tls,
}

/// `[geolocation]` and `[ASN_ASO]`: where a kind of IP database is, and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Databases {
    /// `country_db_path` or `asn_db_path`, a comma list
    pub paths: Vec<PathBuf>,
    /// `country_db_url` or `asn_db_url`, a comma list
    pub urls: Vec<String>,
}

/// `[general]`.
#[derive(Clone, Debug)]
pub struct General {
    /// `log_level`, for `log_file`
    pub log_level: LevelFilter,
    /// `log_file`; relative ones are below `working_dir`
    pub log_file: Option<PathBuf>,
    /// `log_file_max_bytes`, for the logrotate rule
    pub log_file_max_bytes: u64,
    /// `log_file_backup_count`, for the logrotate rule
    pub log_file_backup_count: u32,
}

/// The values of `log_level`: the levels of Python's `logging` module.
const LOG_LEVELS: &[(&str, LevelFilter)] = &[
    ("DEBUG", LevelFilter::Debug),
    ("INFO", LevelFilter::Info),
    ("WARNING", LevelFilter::Warn),
    ("ERROR", LevelFilter::Error),
    ("CRITICAL", LevelFilter::Error),
];

impl Default for General {
    fn default() -> Self {
        Self {
            log_level: LevelFilter::Info,
            log_file: None,
            log_file_max_bytes: 1_000_000,
            log_file_backup_count: 5,
        }
    }
}

/// `[dns_cache]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct DnsCache {
    pub enabled: bool,
    pub size: usize,
    pub ttl_seconds: u64,
}

impl Default for DnsCache {
    fn default() -> Self {
        Self { enabled: true, size: 100_000, ttl_seconds: 3600 }
    }
}

/// `[database]`.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Database {
    pub db_type: Option<DbType>,
    /// Without a configuration file `None`
    pub db_path: Option<PathBuf>,
    pub db_host: Option<String>,
    pub db_port: Option<u16>,
    pub db_name: Option<String>,
    pub db_user: Option<String>,
    pub db_password: Option<String>,
    pub db_password_file: Option<PathBuf>,
    pub sql_export_dir: Option<PathBuf>,
    pub table_name: Option<String>,
    pub column_mapping_file: Option<PathBuf>,
}

impl std::fmt::Debug for Database {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("db_type", &self.db_type)
            .field("db_host", &self.db_host)
            .finish_non_exhaustive()
    }
}

/// `db_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the value of the same name")]
pub enum DbType {
    Sqlite,
    Postgresql,
    Mysql,
}

/// `[filter]`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Filter {
    pub ignore_networks: Vec<IpNet>,
    pub ignore_users: Vec<String>,
}

/// `[alert]`: `None` never alerts.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Alert {
    pub ip: Option<Threshold>,
    pub user: Option<Threshold>,
    pub total: Option<Threshold>,
}

/// `[retention]`: `None` keeps files for ever.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Retention {
    pub csv_days: Option<u32>,
    pub sql_files_days: Option<u32>,
}

/// `[systemd]`: calendar expressions as systemd.time(7) has them, and who runs it all.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Systemd {
    pub user: String,
    pub extraction_schedule: String,
    pub report_schedule: String,
    pub ip_update_schedule: String,
    pub sql_export_schedule: String,
    pub sql_import_schedule: String,
}

impl Config {
    /// Reads `path`. A file that does not exist is a warning and the defaults; an unknown key is a warning.
    ///
    /// # Errors
    /// Exit 78 for a value that its key does not allow, naming file, line, key, value and what is allowed; 77 for a file
    /// with a password that others may read.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                log::warn!(
                    "configuration file {} does not exist; the defaults are used",
                    path.display()
                );
                String::new()
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Exit::Config
                    .error(format!("configuration file {} is not UTF-8 text", path.display())));
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("reading configuration file {}", path.display()));
            }
        };
        // Editors of another system put a byte order mark in front.
        let mut ini = Ini::parse(path, text.trim_start_matches('\u{feff}'))?;
        let config = Self::read(&mut ini)?;
        for message in ini.unknown_keys() {
            log::warn!("configuration file {}, {message}", path.display());
        }
        if config.database.db_password.is_some() {
            refuse_if_others_may_read(path)?;
        }
        Ok(config)
    }

    fn read(ini: &mut Ini) -> anyhow::Result<Self> {
        // What the Python original writes for itself.
        ini.text("meta", "schema_version")?;
        let working_dir =
            ini.path("paths", "working_dir")?.unwrap_or_else(|| "/var/log/maillogsentinel".into());
        let state_dir =
            ini.path("paths", "state_dir")?.unwrap_or_else(|| "/var/lib/maillogsentinel".into());
        let state_dir = working_dir.join(state_dir);
        let csv =
            ini.path("paths", "csv_filename")?.unwrap_or_else(|| "maillogsentinel.csv".into());
        let log_file = ini.first(&[("general", "log_file"), ("paths", "log_file")], Ini::path)?;

        Ok(Self {
            report: Self::read_report(ini)?,
            geolocation: Databases {
                paths: ini
                    .paths(&[("geolocation", "country_db_path"), ("geo", "country_db_path")])?
                    .unwrap_or_else(|| vec![state_dir.join("country_aside.csv")]),
                urls: ini.texts(&[("geolocation", "country_db_url")])?,
            },
            asn_aso: Databases {
                paths: ini
                    .paths(&[
                        ("asn_aso", "asn_db_path"),
                        ("geolocation", "asn_db_path"),
                        ("geo", "asn_db_path"),
                    ])?
                    .unwrap_or_else(|| vec![state_dir.join("asn.csv")]),
                urls: ini.texts(&[("asn_aso", "asn_db_url"), ("geolocation", "asn_db_url")])?,
            },
            general: {
                let default = General::default();
                let megabytes = ini
                    .number("general", "log_file_max_mb")?
                    .map(|megabytes: u32| u64::from(megabytes) << 20);
                General {
                    log_level: ini
                        .one_of("general", "log_level", LOG_LEVELS)?
                        .unwrap_or(default.log_level),
                    log_file: log_file.map(|path| working_dir.join(path)),
                    log_file_max_bytes: ini
                        .number("general", "log_file_max_bytes")?
                        .or(megabytes)
                        .unwrap_or(default.log_file_max_bytes),
                    log_file_backup_count: ini
                        .number("general", "log_file_backup_count")?
                        .unwrap_or(default.log_file_backup_count),
                }
            },
            dns_cache: {
                let default = DnsCache::default();
                DnsCache {
                    enabled: ini.boolean("dns_cache", "enabled")?.unwrap_or(default.enabled),
                    size: ini.number("dns_cache", "size")?.unwrap_or(default.size),
                    ttl_seconds: ini
                        .first(&[("dns_cache", "ttl_seconds"), ("dns_cache", "ttl")], Ini::number)?
                        .unwrap_or(default.ttl_seconds),
                }
            },
            database: Self::read_database(ini, &working_dir, &state_dir)?,
            filter: Filter {
                ignore_networks: ini.list(
                    "filter",
                    "ignore_networks",
                    "networks such as 192.0.2.0/24, or addresses",
                    |text| {
                        text.parse()
                            .ok()
                            .or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()))
                    },
                )?,
                ignore_users: ini.texts(&[("filter", "ignore_users")])?,
            },
            alert: Alert {
                ip: ini.threshold("alert", "ip")?,
                user: ini.threshold("alert", "user")?,
                total: ini.threshold("alert", "total")?,
            },
            retention: Retention {
                csv_days: ini.number("retention", "csv_days")?,
                sql_files_days: ini.number("retention", "sql_files_days")?,
            },
            systemd: Self::read_systemd(ini)?,
            paths: Paths {
                working_dir: Some(working_dir.clone()),
                mail_log: Some(
                    ini.path("paths", "mail_log")?.unwrap_or_else(|| "/var/log/mail.log".into()),
                ),
                csv: Some(working_dir.join(csv)),
                state_dir: Some(state_dir),
            },
        })
    }

    fn read_report(ini: &mut Ini) -> anyhow::Result<Report> {
        Ok(Report {
            email: {
                let list = |ini: &mut Ini, section, key| {
                    let addresses =
                        ini.list(section, key, "addresses separated by commas", |text| {
                            text.contains('@').then(|| text.to_owned())
                        })?;
                    Ok((!addresses.is_empty()).then_some(addresses))
                };
                ini.first(&[("report", "email"), ("report", "recipient")], list)?
                    .unwrap_or_default()
            },
            subject_prefix: ini
                .first(
                    &[("report", "subject_prefix"), ("report", "report_subject_prefix")],
                    Ini::text,
                )?
                .unwrap_or_else(|| "[MailLogSentinel]".into()),
            sender_override: ini.first(
                &[
                    ("report", "sender_override"),
                    ("report", "report_sender_override"),
                    ("report", "sender"),
                ],
                Ini::text,
            )?,
            smtp_host: ini.text("report", "smtp_host")?,
            smtp_port: ini.number("report", "smtp_port")?,
            smtp_tls: ini.one_of(
                "report",
                "smtp_tls",
                &[("none", SmtpTls::None), ("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls)],
            )?,
            smtp_user: ini.text("report", "smtp_user")?,
            smtp_password_file: ini.path("report", "smtp_password_file")?,
            attach_csv: ini.boolean("report", "attach_csv")?.unwrap_or(true),
        })
    }

    fn read_systemd(ini: &mut Ini) -> anyhow::Result<Systemd> {
        let mut value = |keys: &[_], default: &str| -> anyhow::Result<String> {
            Ok(ini.first(keys, Ini::text)?.unwrap_or_else(|| default.into()))
        };
        Ok(Systemd {
            user: value(
                &[("systemd", "user"), ("permissions", "service_user")],
                "maillogsentinel",
            )?,
            extraction_schedule: value(
                &[("systemd", "extraction_schedule"), ("timers", "log_extraction")],
                "hourly",
            )?,
            report_schedule: value(
                &[("systemd", "report_schedule"), ("timers", "report")],
                "23:59",
            )?,
            ip_update_schedule: value(
                &[("systemd", "ip_update_schedule"), ("timers", "ip_db_update")],
                "weekly",
            )?,
            sql_export_schedule: value(
                &[
                    ("systemd", "sql_export_schedule"),
                    ("sql_export_systemd", "frequency"),
                    ("timers", "sql_export"),
                ],
                "*:0/4",
            )?,
            sql_import_schedule: value(
                &[
                    ("systemd", "sql_import_schedule"),
                    ("sql_import_systemd", "frequency"),
                    ("timers", "sql_import"),
                ],
                "*:0/5",
            )?,
        })
    }

    fn read_database(
        ini: &mut Ini,
        working_dir: &Path,
        state_dir: &Path,
    ) -> anyhow::Result<Database> {
        let kinds = &[
            ("sqlite", DbType::Sqlite),
            ("sqlite3", DbType::Sqlite),
            ("postgresql", DbType::Postgresql),
            ("mysql", DbType::Mysql),
        ];
        // Later versions of the Python original know SQLite only.
        let original = ini.path("database", "path")?;
        let db_type = ini.first(
            &[("database", "db_type"), ("sqlite_database", "db_type")],
            |ini, section, key| ini.one_of(section, key, kinds),
        )?;
        Ok(Database {
            db_type: db_type.or(original.is_some().then_some(DbType::Sqlite)),
            db_path: ini
                .first(&[("database", "db_path"), ("sqlite_database", "db_path")], Ini::path)?
                .or(original)
                .or_else(|| Some(state_dir.join("maillogsentinel.db"))),
            db_host: ini.text("database", "db_host")?,
            db_port: ini.number("database", "db_port")?,
            db_name: ini.text("database", "db_name")?,
            db_user: ini.text("database", "db_user")?,
            db_password: ini.text("database", "db_password")?,
            db_password_file: ini.path("database", "db_password_file")?,
            sql_export_dir: {
                let folder = ini.path("database", "sql_export_dir")?;
                Some(working_dir.join(folder.unwrap_or_else(|| "sql".into())))
            },
            table_name: ini.first(
                &[("database", "table_name"), ("sql_export_settings", "table_name")],
                Ini::text,
            )?,
            column_mapping_file: ini.first(
                &[
                    ("database", "column_mapping_file"),
                    ("sql_export_settings", "column_mapping_file"),
                ],
                Ini::path,
            )?,
        })
    }
}

fn refuse_if_others_may_read(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).or_exit(Exit::NoInput)?.mode();
    if mode & 0o004 == 0 {
        return Ok(());
    }
    Err(Exit::NoPerm.error(format!(
        "configuration file {} holds db_password and everybody may read it (mode {:04o}): put the password into a file of \
         mode 0600 and name that in db_password_file",
        path.display(),
        mode & 0o7777
    )))
}
