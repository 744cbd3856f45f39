//! What a configuration file says, and what it says wrong.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn load(text: &str, mode: u32) -> anyhow::Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.conf");
    mls_state::atomic::write(&path, text.as_bytes(), mode).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    Config::load(&path)
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = load("", 0o644).unwrap();
    assert_eq!(
        config.paths.csv.unwrap(),
        Path::new("/var/log/maillogsentinel/maillogsentinel.csv")
    );
    assert_eq!(config.paths.state_dir.unwrap(), Path::new("/var/lib/maillogsentinel"));
    assert_eq!(config.paths.mail_log.unwrap(), Path::new("/var/log/mail.log"));
    assert_eq!(config.geolocation.paths, [Path::new("/var/lib/maillogsentinel/country_aside.csv")]);
    assert_eq!(config.asn_aso.paths, [Path::new("/var/lib/maillogsentinel/asn.csv")]);
    assert_eq!(config.report.subject_prefix, "[MailLogSentinel]");
    assert_eq!((config.dns_cache.size, config.dns_cache.ttl_seconds), (100_000, 3600));
    assert_eq!(config.systemd.sql_export_schedule, "*:0/4");
}

#[test]
fn the_python_originals_file_is_read_as_it_is() {
    let config = load(
        "[paths]\nworking_dir = /srv/mls\nstate_dir = state\nmail_log = /var/log/mail.log\n\
         [report]\nemail = a@example.com\nreport_subject_prefix = [X] #1\n\
         [geolocation]\ncountry_db_path = /srv/c.csv\n[ASN_ASO]\nasn_db_path = /srv/a.csv, /srv/a6.csv\n\
         [sqlite_database]\ndb_type = sqlite3\ndb_path = /srv/x.db\n[sql_export_systemd]\nfrequency = daily\n\
         [General]\nlog_level = debug\n",
        0o644,
    )
    .unwrap();
    assert_eq!(config.paths.state_dir.unwrap(), Path::new("/srv/mls/state"));
    assert_eq!(config.report.subject_prefix, "[X] #1");
    assert_eq!(config.asn_aso.paths.len(), 2);
    assert_eq!(config.database.db_type, Some(DbType::Sqlite));
    assert_eq!(config.systemd.sql_export_schedule, "daily");
    assert_eq!(config.general.log_level, LevelFilter::Debug);
}

#[test]
fn the_file_that_later_versions_of_the_python_original_write_is_read_as_it_is() {
    let text = "[meta]\nschema_version = 1.0\n\n[general]\nlog_level = INFO\nlog_file_max_mb = 64\n\
         log_file_backup_count = 7\n\n[paths]\nworking_dir = /var/log/maillogsentinel\n\
         state_dir = /var/lib/maillogsentinel\nmail_log = /var/log/mail.log\ncsv_filename = m.csv\n\n\
         [permissions]\nservice_user = maillogsentinel\n\n[report]\nrecipient = a@example.com\n\
         subject_prefix = [MailLogSentinel]\nsender = b@example.com\n\n[dns_cache]\nenabled = true\nsize = 256\n\
         ttl = 60\n\n[geo]\ncountry_db_path = /srv/country.mmdb\nasn_db_path = /srv/asn.mmdb\n\n\
         [database]\npath = /srv/x.sqlite\n\n[timers]\nlog_extraction = *:0/5\nreport = *-*-* 06:00:00\n\
         ip_db_update = Mon *-*-* 03:00:00\nsql_export = *:0/30\nsql_import = *:0/20\n";
    let mut ini = Ini::parse(Path::new("x.conf"), text).unwrap();
    let config = Config::read(&mut ini).unwrap();
    assert_eq!(ini.unknown_keys(), Vec::<String>::new());
    assert_eq!(config.general.log_file_max_bytes, 64 << 20);
    assert_eq!(config.report.email, ["a@example.com"]);
    assert_eq!(config.report.sender_override.as_deref(), Some("b@example.com"));
    assert_eq!((config.dns_cache.size, config.dns_cache.ttl_seconds), (256, 60));
    assert_eq!(config.geolocation.paths, [Path::new("/srv/country.mmdb")]);
    assert_eq!(config.asn_aso.paths, [Path::new("/srv/asn.mmdb")]);
    assert_eq!(config.database.db_type, Some(DbType::Sqlite));
    assert_eq!(config.database.db_path.as_deref(), Some(Path::new("/srv/x.sqlite")));
    let schedules = config.systemd;
    assert_eq!(
        (schedules.extraction_schedule.as_str(), schedules.report_schedule.as_str()),
        ("*:0/5", "*-*-* 06:00:00")
    );
    assert_eq!(schedules.ip_update_schedule, "Mon *-*-* 03:00:00");
    assert_eq!(
        (schedules.sql_export_schedule.as_str(), schedules.sql_import_schedule.as_str()),
        ("*:0/30", "*:0/20")
    );
}

#[test]
fn a_wrong_value_names_file_line_key_value_and_what_is_allowed() {
    for (text, parts) in [
        (
            "[paths]\n\n[report]\nsmtp_tls = maybe\n",
            ["x.conf, line 4", "smtp_tls", "\"maybe\"", "none, starttls, tls"],
        ),
        ("[dns_cache]\nsize = many\n", ["x.conf, line 2", "size", "\"many\"", "a number"]),
        ("[alert]\nip = often\n", ["x.conf, line 2", "ip", "\"often\"", "20/10m"]),
        (
            "[dns_cache]\nenabled = perhaps\n",
            ["x.conf, line 2", "enabled", "\"perhaps\"", "yes, no"],
        ),
        (
            "[filter]\nignore_networks = 10.0.0.0/8, x\n",
            ["x.conf, line 2", "ignore_networks", "\"x\"", "192.0.2.0/24"],
        ),
    ] {
        let error = load(text, 0o644).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Config);
        for part in parts {
            assert!(error.to_string().contains(part), "{error} lacks {part}");
        }
    }
}

#[test]
fn a_password_that_everybody_may_read_is_refused() {
    let text = "[database]\ndb_password = secret\n";
    assert_eq!(Exit::of(&load(text, 0o644).unwrap_err()), Exit::NoPerm);
    assert!(!format!("{:?}", load(text, 0o640).unwrap()).contains("secret"));
}

const EXAMPLE: &str = include_str!("../../maillogsentinel.conf");

/// The lines of the example that are keys, without the sign that makes them comments.
fn keys_of_the_example() -> String {
    let is_key = |line: &&str| {
        line.starts_with('[')
            || line.strip_prefix('#').is_some_and(|key| key.starts_with(char::is_alphabetic))
    };
    EXAMPLE
        .lines()
        .filter(is_key)
        .map(|line| line.trim_start_matches('#').to_owned() + "\n")
        .collect()
}

#[test]
fn the_example_says_what_holds_without_it() {
    let text = keys_of_the_example();
    assert!(text.lines().count() > 50);
    let (mut example, mut empty) = (
        Ini::parse(Path::new("example"), &text).unwrap(),
        Ini::parse(Path::new("empty"), "").unwrap(),
    );
    let (example_config, config) =
        (Config::read(&mut example).unwrap(), Config::read(&mut empty).unwrap());
    assert_eq!(format!("{example_config:?}"), format!("{config:?}"));
    assert_eq!(example.unknown_keys(), Vec::<String>::new());
    let as_it_is = load(EXAMPLE, 0o644).unwrap();
    assert_eq!(format!("{as_it_is:?}"), format!("{config:?}"));
}

#[test]
fn the_example_has_every_key() {
    let mut ini = Ini::parse(Path::new("empty"), "").unwrap();
    Config::read(&mut ini).unwrap();
    let text = keys_of_the_example().to_lowercase();
    let known = Ini::parse(Path::new("example"), &text).unwrap();
    // What only the Python original calls so.
    let original = [
        ("meta", "schema_version"),
        ("permissions", "service_user"),
        ("paths", "log_file"),
        ("general", "log_file_max_mb"),
        ("report", "recipient"),
        ("report", "sender"),
        ("report", "report_subject_prefix"),
        ("report", "report_sender_override"),
        ("dns_cache", "ttl"),
        ("geo", "country_db_path"),
        ("geo", "asn_db_path"),
        ("geolocation", "asn_db_path"),
        ("geolocation", "asn_db_url"),
        ("database", "path"),
    ];
    let sections = [
        "timers",
        "sqlite_database",
        "sql_export_systemd",
        "sql_import_systemd",
        "sql_export_settings",
    ];
    for key in ini.asked() {
        assert!(
            known.has(key) || original.contains(&key) || sections.contains(&key.0),
            "[{}] {} is missing",
            key.0,
            key.1
        );
    }
}

#[test]
fn what_is_shown_can_be_read_again_and_is_the_same() {
    let text = "[paths]\nworking_dir = /srv/m l\nstate_dir = state\nmail_log = journal\ncsv_filename = x.csv\n\
                [report]\nemail = a@example.com,b@example.com\nsender_override = c@example.com\nsmtp_host = h\nsmtp_port = 1\n\
                smtp_tls = starttls\nsmtp_user = u\nsmtp_password_file = /p\nattach_csv = no\nsubject_prefix = [X] = #1\n\
                [geolocation]\ncountry_db_path = /c, /d\ncountry_db_url = http://c\n\
                [ASN_ASO]\nasn_db_path = /a\nasn_db_url = http://a\n\
                [general]\nlog_level = warning\nlog_file = l\nlog_file_max_bytes = 2\nlog_file_backup_count = 3\n\
                [dns_cache]\nenabled = no\nsize = 4\nttl_seconds = 5\n\
                [database]\ndb_type = mysql\ndb_path = /b\ndb_host = dh\ndb_port = 6\ndb_name = dn\ndb_user = du\n\
                db_password_file = /dp\nsql_export_dir = /e\ntable_name = t\ncolumn_mapping_file = /m\n\
                [filter]\nignore_networks = 192.0.2.0/24\nignore_users = u1, u2\n\
                [alert]\nip = 1/1m\nuser = 2/2h\ntotal = 3/3d\n[retention]\ncsv_days = 7\nsql_files_days = 8\n\
                [systemd]\nuser = bob\nextraction_schedule = follow\nreport_schedule = never\nip_update_schedule = daily\n\
                sql_export_schedule = *:0/6\nsql_import_schedule = *:0/7\n";
    let config = load(text, 0o644).unwrap();
    let shown = config.show();
    // The CSV is shown with its folder, which an absolute csv_filename has too.
    let mut again = String::new();
    for (section, rest) in shown.lines().map(|line| line.split_once('.').unwrap()) {
        again.extend(["[", section, "]\n", &rest.replace("csv=/", "csv_filename=/"), "\n"]);
    }
    assert_eq!(format!("{:?}", load(&again, 0o644).unwrap()), format!("{config:?}"));
    let text = text.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(shown.lines().count(), text, "a key is not shown: {shown}");
    assert!(!load("[database]\ndb_password = secret\n", 0o640).unwrap().show().contains("secret"));
}
