//! The configuration that holds, for scripts: defaults, aliases and relative paths resolved, and no password.

use std::fmt::Display;
use std::path::Path;

use super::{Config, DbType, SmtpTls};

impl Config {
    /// One `section.key=value` a line, without the keys that have no value. Lists are joined by `, `; a control character in a
    /// value is `?`, so a value is never more than a line.
    #[must_use]
    pub fn show(&self) -> String {
        let mut out = String::new();
        let mut put = |key: &str, value: &dyn Display| {
            let value = value.to_string();
            if !value.is_empty() {
                out.extend([key, "=", &mls_event::clean(value.as_bytes()), "\n"]);
            }
        };
        let Self { paths, report, geolocation, asn_aso, general, dns_cache, database, .. } = self;
        put("paths.working_dir", &path(paths.working_dir.as_deref()));
        put("paths.state_dir", &path(paths.state_dir.as_deref()));
        put("paths.mail_log", &path(paths.mail_log.as_deref()));
        put("paths.csv", &path(paths.csv.as_deref()));
        put("report.email", &report.email.join(", "));
        put("report.subject_prefix", &report.subject_prefix);
        put("report.sender_override", &text(report.sender_override.as_ref()));
        put("report.smtp_host", &text(report.smtp_host.as_ref()));
        put("report.smtp_port", &text(report.smtp_port));
        put("report.smtp_tls", &text(report.smtp_tls.map(smtp_tls)));
        put("report.smtp_user", &text(report.smtp_user.as_ref()));
        put("report.smtp_password_file", &path(report.smtp_password_file.as_deref()));
        put("report.attach_csv", &switch(report.attach_csv));
        for (section, kind, databases) in
            [("geolocation", "country", geolocation), ("ASN_ASO", "asn", asn_aso)]
        {
            let paths: Vec<_> =
                databases.paths.iter().map(|one| one.display().to_string()).collect();
            put(&format!("{section}.{kind}_db_path"), &paths.join(", "));
            put(&format!("{section}.{kind}_db_url"), &databases.urls.join(", "));
        }
        put("general.log_level", &log_level(general.log_level));
        put("general.log_file", &path(general.log_file.as_deref()));
        put("general.log_file_max_bytes", &general.log_file_max_bytes);
        put("general.log_file_backup_count", &general.log_file_backup_count);
        put("dns_cache.enabled", &switch(dns_cache.enabled));
        put("dns_cache.size", &dns_cache.size);
        put("dns_cache.ttl_seconds", &dns_cache.ttl_seconds);
        put("database.db_type", &text(database.db_type.map(db_type)));
        put("database.db_path", &path(database.db_path.as_deref()));
        put("database.db_host", &text(database.db_host.as_ref()));
        put("database.db_port", &text(database.db_port));
        put("database.db_name", &text(database.db_name.as_ref()));
        put("database.db_user", &text(database.db_user.as_ref()));
        put("database.db_password_file", &path(database.db_password_file.as_deref()));
        put("database.sql_export_dir", &path(database.sql_export_dir.as_deref()));
        put("database.table_name", &text(database.table_name.as_ref()));
        put("database.column_mapping_file", &path(database.column_mapping_file.as_deref()));
        put(
            "filter.ignore_networks",
            &self
                .filter
                .ignore_networks
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        );
        put("filter.ignore_users", &self.filter.ignore_users.join(", "));
        put("alert.ip", &text(self.alert.ip));
        put("alert.user", &text(self.alert.user));
        put("alert.total", &text(self.alert.total));
        put("retention.csv_days", &text(self.retention.csv_days));
        put("retention.sql_files_days", &text(self.retention.sql_files_days));
        put("systemd.user", &self.systemd.user);
        put("systemd.extraction_schedule", &self.systemd.extraction_schedule);
        put("systemd.report_schedule", &self.systemd.report_schedule);
        put("systemd.ip_update_schedule", &self.systemd.ip_update_schedule);
        put("systemd.sql_export_schedule", &self.systemd.sql_export_schedule);
        put("systemd.sql_import_schedule", &self.systemd.sql_import_schedule);
        out
    }
}

fn text(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn path(value: Option<&Path>) -> String {
    text(value.map(Path::display))
}

fn switch(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn smtp_tls(value: SmtpTls) -> &'static str {
    match value {
        SmtpTls::None => "none",
        SmtpTls::StartTls => "starttls",
        SmtpTls::Tls => "tls",
    }
}

fn db_type(value: DbType) -> &'static str {
    match value {
        DbType::Sqlite => "sqlite",
        DbType::Postgresql => "postgresql",
        DbType::Mysql => "mysql",
    }
}

fn log_level(value: log::LevelFilter) -> &'static str {
    super::LOG_LEVELS.iter().find(|(_, level)| *level == value).map_or("INFO", |(name, _)| name)
}
