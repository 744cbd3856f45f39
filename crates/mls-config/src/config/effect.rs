//! Finds keys that the file sets but that have no effect, because of the values of other keys.

use std::path::Path;

use super::ini::Ini;
use super::{Config, DbType, SECTIONS};

/// When keys have an effect.
struct EffectRule {
    /// The keys, each as `section.key`. `section.` means all keys of the section.
    keys: &'static [&'static str],
    has_effect: fn(&Config) -> bool,
    /// Why the keys have no effect.
    why: &'static str,
}

/// Declares the rules. A rule has keys, the condition for an effect, and the reason if there is no
/// effect. If several rules say that a key has no effect, the first rule counts.
macro_rules! rules {
    ($([$($key:literal)+] if $has_effect:expr, else $why:literal;)+) => {
        const RULES: &[EffectRule] =
            &[$(EffectRule { keys: &[$($key),+], has_effect: $has_effect, why: $why }),+];
    };
}

rules! {
    ["report." "alert.user" "alert.total" "systemd.report_schedule"] if has_recipients,
        else "[report] email is empty, so no mail is sent";
    ["alert.ip"] if |config| has_recipients(config) || blocks(config),
        else "[report] email and [block] enforce are empty";
    ["systemd.alert_schedule"] if Config::mails_alerts,
        else "[report] email is empty, or no key of [alert] has a threshold and [logins] record is \
              no";
    ["systemd.alert_schedule"]
        if |config| config.systemd.extraction_schedule.as_deref() != Some("follow"),
        else "[systemd] extraction_schedule is follow, so alerts are mailed at once";
    ["block."] if blocks,
        else "[block] enforce is empty, so nothing is blocked";
    ["suspicious." "paths.logins_filename" "retention.logins_days"]
        if |config| config.logins.record,
        else "[logins] record is no";
    ["database." "retention.database_days" "retention.sql_files_days"
     "systemd.sql_export_schedule" "systemd.sql_import_schedule"]
        if |config| config.database.db_type.is_some(),
        else "[database] db_type is empty";
    ["database.sql_export_dir" "retention.sql_files_days" "systemd.sql_export_schedule"
     "systemd.sql_import_schedule"] if |config| !config.loads(),
        else "[database] mode is load, so no SQL files are written";
    ["database.db_path"] if |config| config.database.db_type == Some(DbType::Sqlite),
        else "[database] db_type is not sqlite";
    ["database.db_host" "database.db_port" "database.db_name" "database.db_user"
     "database.db_password" "database.db_password_file" "database.ssl_root" "database.ssl_cert"
     "database.ssl_key"] if |config| config.database.db_type != Some(DbType::Sqlite),
        else "[database] db_type is sqlite";
    ["paths.journal_match"] if reads_journal,
        else "[paths] mail_log is not journal";
    ["paths.mail_log_olddir"] if |config| !reads_journal(config),
        else "[paths] mail_log is journal";
    ["general.log_level" "general.log_file_max_bytes" "general.log_file_backup_count"]
        if |config| config.general.log_file.is_some(),
        else "[general] log_file is empty";
    ["retention."] if |config| config.systemd.prune_schedule.as_deref() != Some("never"),
        else "[systemd] prune_schedule is never";
    ["systemd.prune_schedule"] if removes_data,
        else "[retention] keeps all data";
}

fn removes_data(config: &Config) -> bool {
    let retention = &config.retention;
    let removes_logins = config.logins.record && retention.logins_days.is_some();
    let removes_events = config.database.db_type.is_some() && retention.database_days.is_some();
    retention.csv_days.is_some()
        || retention.sql_files_days.is_some()
        || removes_logins
        || removes_events
}

fn has_recipients(config: &Config) -> bool {
    !config.report.email.is_empty()
}

fn blocks(config: &Config) -> bool {
    !config.block.enforce.is_empty()
}

fn reads_journal(config: &Config) -> bool {
    config.paths.mail_log.as_deref() == Some(Path::new("journal"))
}

impl Config {
    /// Returns a sentence about each key that `text` sets without effect: `[alert] user has no
    /// effect: …`. The rules are for an installation that setup made. Messages name `path`.
    ///
    /// # Errors
    /// The errors of [`parse`](Config::parse).
    pub fn without_effect(path: &Path, text: &str) -> anyhow::Result<Vec<String>> {
        let mut ini = Ini::parse(path, text, SECTIONS)?;
        Self::translate(&mut ini);
        let config = Self::read_keys(&ini)?;
        let keys = SECTIONS.iter().flat_map(|section| section.keys);
        let idle = keys.filter(|key| ini.sets(key)).filter_map(|key| {
            let (section, name) = (key.section, key.name);
            let full = format!("{section}.{name}");
            let is_about = |rule: &&EffectRule| {
                rule.keys.iter().any(|there| {
                    *there == full || (there.ends_with('.') && full.starts_with(there))
                })
            };
            let rule = RULES.iter().filter(is_about).find(|rule| !(rule.has_effect)(&config))?;
            Some(format!("[{section}] {name} has no effect: {}", rule.why))
        });
        Ok(idle.collect())
    }

    /// Returns a sentence about each key without effect in a file; none if the file is unusable.
    #[must_use]
    pub fn without_effect_in(path: &Path) -> Vec<String> {
        let text = super::read_file(path).ok().flatten().unwrap_or_default();
        Self::without_effect(path, &text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(text: &str) -> Vec<String> {
        Config::without_effect(Path::new("conf"), text).unwrap()
    }

    #[test]
    fn each_key_of_the_rules_exists() {
        let keys: Vec<_> = SECTIONS.iter().flat_map(|section| section.keys).collect();
        for name in RULES.iter().flat_map(|rule| rule.keys) {
            let exists = |key: &&&super::super::ConfigKey| {
                let full = format!("{}.{}", key.section, key.name);
                full == **name || (name.ends_with('.') && full.starts_with(name))
            };
            assert!(keys.iter().any(|key| exists(&key)), "{name}");
        }
    }

    #[test]
    fn a_key_without_effect_is_named_with_its_reason() {
        for (text, expected) in [
            ("[alert]\nuser = 9/1h", "[alert] user has no effect: [report] email is empty"),
            ("[alert]\nip = 9/1h", "[alert] ip has no effect: [report] email and [block] enforce"),
            ("[report]\nsmtp_host = mx", "[report] smtp_host has no effect: [report] email"),
            ("[block]\ntime = 2h", "[block] time has no effect: [block] enforce is empty"),
            (
                "[suspicious]\nguessed_names = 5",
                "[suspicious] guessed_names has no effect: [logins]",
            ),
            ("[database]\ndb_name = x", "[database] db_name has no effect: [database] db_type"),
            (
                "[database]\ndb_type = sqlite\ndb_host = x",
                "[database] db_host has no effect: [database] db_type is sqlite",
            ),
            (
                "[report]\nemail = a@b.test\n[alert]\nip = 9/1h\n[systemd]\nextraction_schedule = follow\n\
                 alert_schedule = hourly",
                "[systemd] alert_schedule has no effect: [systemd] extraction_schedule is follow",
            ),
            (
                "[paths]\nmail_log = journal\nmail_log_olddir = old",
                "[paths] mail_log_olddir has no",
            ),
            (
                "[database]\ndb_type = mysql\nmode = load\nsql_export_dir = /srv/sql",
                "[database] sql_export_dir has no effect: [database] mode is load",
            ),
            (
                "[database]\ndb_type = sqlite\nmode = load\n[systemd]\nsql_import_schedule = hourly",
                "[systemd] sql_import_schedule has no effect: [database] mode is load",
            ),
            (
                "[retention]\ndatabase_days = 90",
                "[retention] database_days has no effect: [database] db_type is empty",
            ),
            (
                "[database]\ndb_type = sqlite\nssl_root = /etc/ca.pem",
                "[database] ssl_root has no effect: [database] db_type is sqlite",
            ),
            // An old name of a key.
            ("[timers]\nreport = 07:00", "[systemd] report_schedule has no effect"),
        ] {
            let found = idle(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn keys_with_an_effect_and_defaults_are_not_named() {
        for text in [
            "",
            &super::super::example(),
            "[report]\nemail = a@b.test\nsmtp_host = mx\n[alert]\nip = 9/1h\nuser = 9/1h",
            "[block]\nenforce = nftables\ntime = 2h\n[alert]\nip = 9/1h",
            "[logins]\nrecord = yes\n[suspicious]\nguessed_names = 5\n[retention]\nlogins_days = 9",
            "[database]\ndb_type = mysql\ndb_host = x\n[systemd]\nsql_export_schedule = hourly",
            "[database]\ndb_type = mysql\nmode = files\nsql_export_dir = /srv/sql",
            "[database]\ndb_type = mysql\nmode = load\nssl_key = /etc/key\n[retention]\ndatabase_days = 9",
            "[retention]\ncsv_days = 9\n[dns_cache]\nsize = 9\n[parse]\ndaemons = postfix",
        ] {
            assert_eq!(idle(text), [""; 0], "{text}");
        }
    }
}
