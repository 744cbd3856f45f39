//! Tests of reading, showing and describing the configuration.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;

use log::LevelFilter;

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
        config.paths.csv_filename.unwrap(),
        Path::new("/var/log/maillogsentinel/maillogsentinel.csv")
    );
    assert_eq!(config.paths.state_dir.unwrap(), Path::new("/var/lib/maillogsentinel"));
    assert_eq!(config.paths.mail_log.unwrap(), Path::new("/var/log/mail.log"));
    assert_eq!(
        config.geolocation.country_db_path,
        [Path::new("/var/lib/maillogsentinel/country_aside.csv")]
    );
    assert_eq!(config.asn_aso.asn_db_path, [Path::new("/var/lib/maillogsentinel/asn.csv")]);
    assert_eq!(config.report.subject_prefix, "[MailLogSentinel]");
    assert_eq!((config.dns_cache.size, config.dns_cache.ttl_seconds), (100_000, 3600));
    assert_eq!(config.systemd.sql_export_schedule.as_deref(), Some("*:0/4"));
}

#[test]
fn the_legacy_file_is_read() {
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
    assert_eq!(config.asn_aso.asn_db_path.len(), 2);
    assert_eq!(config.database.db_type, Some(DbType::Sqlite));
    assert_eq!(config.systemd.sql_export_schedule.as_deref(), Some("daily"));
    assert_eq!(config.general.log_level, LevelFilter::Debug);
}

#[test]
fn the_file_of_the_last_legacy_releases_is_read() {
    let text = "[meta]\nschema_version = 1.0\n\n[general]\nlog_level = INFO\nlog_file_max_mb = 64\n\
         log_file_backup_count = 7\n\n[paths]\nworking_dir = /var/log/maillogsentinel\n\
         state_dir = /var/lib/maillogsentinel\nmail_log = /var/log/mail.log\ncsv_filename = m.csv\n\n\
         [permissions]\nservice_user = maillogsentinel\n\n[report]\nrecipient = a@example.com\n\
         subject_prefix = [MailLogSentinel]\nsender = b@example.com\n\n[dns_cache]\nenabled = true\nsize = 256\n\
         ttl = 60\n\n[geo]\ncountry_db_path = /srv/country.mmdb\nasn_db_path = /srv/asn.mmdb\n\n\
         [database]\npath = /srv/x.sqlite\n\n[timers]\nlog_extraction = *:0/5\nreport = *-*-* 06:00:00\n\
         ip_db_update = Mon *-*-* 03:00:00\nsql_export = *:0/30\nsql_import = *:0/20\n";
    let ini = Ini::parse(Path::new("x.conf"), text, SECTIONS).unwrap();
    assert_eq!(ini.unknown(&known_keys(), 3), (vec![], 0));
    let config = load(text, 0o644).unwrap();
    assert_eq!(config.general.log_file_max_bytes, 64 << 20);
    assert_eq!(config.report.email, ["a@example.com"]);
    assert_eq!(config.report.sender_override.as_deref(), Some("b@example.com"));
    assert_eq!((config.dns_cache.size, config.dns_cache.ttl_seconds), (256, 60));
    assert_eq!(config.geolocation.country_db_path, [Path::new("/srv/country.mmdb")]);
    assert_eq!(config.asn_aso.asn_db_path, [Path::new("/srv/asn.mmdb")]);
    assert_eq!(config.database.db_type, Some(DbType::Sqlite));
    assert_eq!(config.database.db_path.as_deref(), Some(Path::new("/srv/x.sqlite")));
    let schedules = config.systemd;
    for (schedule, expected) in [
        (schedules.extraction_schedule, "*:0/5"),
        (schedules.report_schedule, "*-*-* 06:00:00"),
        (schedules.ip_update_schedule, "Mon *-*-* 03:00:00"),
        (schedules.sql_export_schedule, "*:0/30"),
        (schedules.sql_import_schedule, "*:0/20"),
    ] {
        assert_eq!(schedule.as_deref(), Some(expected));
    }
}

#[test]
fn a_wrong_value_names_file_line_key_value_and_what_is_allowed() {
    for (text, parts) in [
        (
            "[paths]\n\n[report]\nsmtp_tls = maybe\n",
            ["x.conf:4", "smtp_tls", "\"maybe\"", "none, starttls, tls"],
        ),
        ("[dns_cache]\nsize = many\n", ["x.conf:2", "size", "\"many\"", "a whole number"]),
        ("[report]\nsmtp_port = 0\n", ["x.conf:2", "smtp_port", "\"0\"", "from 1 to 65535"]),
        ("[database]\ndb_port = 65536\n", ["x.conf:2", "db_port", "\"65536\"", "from 1 to 65535"]),
        ("[retention]\ncsv_days = 0\n", ["x.conf:2", "csv_days", "\"0\"", "from 1 to 65535"]),
        ("[alert]\nip = often\n", ["x.conf:2", "ip", "\"often\"", "20/10m"]),
        ("[dns_cache]\nenabled = perhaps\n", ["x.conf:2", "enabled", "\"perhaps\"", "yes or no"]),
        (
            "[filter]\nignore_networks = 10.0.0.0/8, x\n",
            ["x.conf:2", "ignore_networks", "\"x\"", "192.0.2.0/24"],
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

/// The lines of the example that are sections or keys, without the `#` before a key.
fn keys_of_the_example() -> String {
    let is_key = |line: &&str| {
        line.starts_with('[')
            || line.strip_prefix('#').is_some_and(|key| key.starts_with(char::is_alphabetic))
    };
    example()
        .lines()
        .filter(is_key)
        .map(|line| line.trim_start_matches('#').to_owned() + "\n")
        .collect()
}

#[test]
fn the_values_of_the_example_are_the_defaults() {
    let text = keys_of_the_example();
    let keys: usize = SECTIONS.iter().map(|section| section.keys.len()).sum();
    assert_eq!(text.lines().filter(|line| line.contains('=')).count(), keys);
    let defaults = load("", 0o644).unwrap();
    assert_eq!(load(&text, 0o640).unwrap(), defaults);
    assert_eq!(load(&example(), 0o644).unwrap(), defaults);
}

/// `UPDATE_EXAMPLE=1 cargo test --package mls-config` writes the file.
#[test]
fn the_example_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/maillogsentinel.conf");
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        mls_state::atomic::write(Path::new(path), example().as_bytes(), 0o644).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), example());
}

#[test]
fn every_alias_is_a_section_and_a_key_and_all_names_are_distinct() {
    let mut names = known_keys();
    for section in SECTIONS {
        for key in section.keys {
            assert!(key.aliases.iter().all(|alias| alias.split('.').count() == 2), "{}", key.name);
            assert!(!key.description.is_empty());
        }
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn without_a_file_paths_and_schedules_have_no_defaults() {
    let config = Config::default();
    assert_eq!(config.paths.csv_filename, None);
    assert_eq!(config.asn_aso.asn_db_path, [""; 0].map(PathBuf::from));
    assert_eq!(config.systemd.extraction_schedule, None);
    assert_eq!((config.dns_cache.size, config.report.attach_csv), (100_000, true));
}

#[test]
fn lines_end_in_lf_or_cr_lf_or_cr() {
    let text = "\u{feff}# first\n[paths]\nmail_log = /x\n\n[report]\nemail = a@b,\n  c@d\n; last\n";
    let config = load(text, 0o644).unwrap();
    assert_eq!(config.report.email, ["a@b", "c@d"]);
    for end in ["\r\n", "\r"] {
        assert_eq!(load(&text.replace('\n', end), 0o644).unwrap(), config);
    }
}

#[test]
fn a_whole_section_may_be_indented() {
    let text = "[report]\n  email = a@b\n  smtp_host = h\n [dns_cache]\n size : 7\n";
    let config = load(text, 0o644).unwrap();
    assert_eq!(config.report.email, ["a@b"]);
    assert_eq!(config.report.smtp_host.as_deref(), Some("h"));
    assert_eq!(config.dns_cache.size, 7);
}

#[test]
fn a_line_that_cannot_be_read_is_refused_with_its_number() {
    for (text, message) in [
        (
            "[report]\nemail = a@b\n\n  smtp_host = h\n",
            "x.conf:4: smtp_host begins with blanks, so it would continue the value of email; remove the blanks",
        ),
        ("[paths]\nmail_log\n", "x.conf:2: \"mail_log\" is not KEY = VALUE"),
        (
            "[paths\nmail_log = /x\n",
            "x.conf:1: \"[paths\" is not the name of a section; end it with ]",
        ),
        (
            "mail_log = /x\n",
            "x.conf:1: \"mail_log = /x\" is not in a section; put a line such as [paths] before it",
        ),
        (
            "[paths]\nmail_log = \"/var/log/mail.log\"\n",
            "is not allowed; give the whole path, without quotes, ~ and variables",
        ),
        (
            "[paths]\nmail_log = ~/mail.log\n",
            "[paths] mail_log = \"~/mail.log\" is not allowed; give the whole path, without quotes, ~ and variables",
        ),
        (
            "[paths]\nmail_log = /var/log/mail.log  # the log\n",
            "without quotes, ~ and variables; a comment needs a line of its own",
        ),
        (
            "[general]\nlog_file_max_mb = x\n",
            "x.conf:2: [general] log_file_max_bytes = \"x\" is not allowed; give a whole number from 0 to 18446744073709551615",
        ),
    ] {
        let error = load(text, 0o644).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Config);
        assert!(error.to_string().ends_with(message), "{error}");
    }
    let error = load(&"#\n".repeat(600_000), 0o644).unwrap_err();
    assert!(error.to_string().ends_with("is larger than 1 MiB"), "{error}");
}

#[test]
fn text_in_another_encoding_and_zero_bytes_are_refused() {
    let path = tempfile::NamedTempFile::new().unwrap();
    for text in
        [&b"[paths]\nmail_log = /x\0y\n"[..], b"\xff\xfe[\0", b"[report]\nsmtp_user = \xe9\n"]
    {
        mls_state::atomic::write(path.path(), text, 0o600).unwrap();
        let error = Config::load(path.path()).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Config);
        assert!(error.to_string().ends_with("save it as UTF-8 in an editor"), "{error}");
    }
}

#[test]
fn unknown_keys_are_named_with_their_lines_up_to_a_number() {
    let mut text = "[pathes]\nx = 1\n[paths]\nmail_logs = /x\n".to_owned();
    for n in 0..20_000 {
        writeln!(text, "wrong_key_{n} = 1").unwrap();
    }
    let ini = Ini::parse(Path::new("x.conf"), &text, SECTIONS).unwrap();
    let (unknown, more) = ini.unknown(&known_keys(), 3);
    assert_eq!(more, 19_999);
    assert_eq!(
        unknown[0],
        "configuration file x.conf:1: unknown section [pathes]; did you mean paths?"
    );
    assert_eq!(
        unknown[1],
        "configuration file x.conf:4: unknown key mail_logs in [paths]; did you mean mail_log?"
    );
    assert_eq!(unknown[2], "configuration file x.conf:5: unknown key wrong_key_0 in [paths]");
}

#[test]
fn the_shown_configuration_is_read_again_as_the_same() {
    let text = "[paths]\nworking_dir = /srv/m l\nstate_dir = state\nmail_log = journal\ncsv_filename = x.csv\nlogins_filename = y.csv\n\
                metrics_file = z.prom\n[parse]\ndaemons = dovecot\nserver_zones = mx1=Europe/Paris, mx2 = +02:00\n[report]\nemail = a@example.com,b@example.com\nsender_override = c@example.com\nsmtp_host = h\nsmtp_port = 1\n\
                smtp_tls = starttls\nsmtp_user = u\nsmtp_password_file = /p\nattach_csv = no\nsubject_prefix = [X] = #1\n\
                [geolocation]\ncountry_db_path = /c, /d\ncountry_db_url = http://c\n\
                [ASN_ASO]\nasn_db_path = /a\nasn_db_url = http://a\n\
                [general]\nlog_level = warning\nlog_file = l\nlog_file_max_bytes = 2\nlog_file_backup_count = 3\n\
                [dns_cache]\nenabled = no\nsize = 4\nttl_seconds = 5\n\
                [database]\ndb_type = mysql\ndb_path = /b\ndb_host = dh\ndb_port = 6\ndb_name = dn\ndb_user = du\n\
                db_password_file = /dp\nsql_export_dir = /e\ntable_name = t\ncolumn_mapping_file = /m\n\
                [filter]\nignore_networks = 192.0.2.0/24\nignore_users = u1, u2\n\
                [logins]\nrecord = yes\n[suspicious]\nguessed_names = 4\nguessed_window = 5h\nshared_users = 6\n\
                spread_countries = 7\nspread_systems = 8\nspread_window = 9h\ntargeted_addresses = 10\n\
                ignore_networks = 192.0.2.1/32\nignore_users = u3\n\
                [alert]\nip = 1/1m\nuser = 2/2h\ntotal = 3/3d\nby_server = yes\n\
                [block]\nenforce = nftables, postfix\nallow = 192.0.2.0/24, 2001:db8::/32\ntime = 90s\nmax_time = 2h\nnetwork_from = 9\n\
                max_entries = 10\ndirectory = /bd\nformats = json, nft\n[retention]\ncsv_days = 7\nlogins_days = 9\nsql_files_days = 8\n\
                [systemd]\nuser = bob\nextraction_schedule = follow\nreport_schedule = never\nip_update_schedule = daily\n\
                sql_export_schedule = *:0/6\nsql_import_schedule = *:0/7\nalert_schedule = *:0/8\nprune_schedule = 05:00\n\
                metrics_schedule = *:0/9\n";
    let config = load(text, 0o644).unwrap();
    let shown = config.show();
    let mut again = String::new();
    for (section, rest) in shown.lines().map(|line| line.split_once('.').unwrap()) {
        again.extend(["[", section, "]\n", rest, "\n"]);
    }
    assert_eq!(load(&again, 0o644).unwrap(), config);
    let text = text.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(shown.lines().count(), text, "a key is not shown: {shown}");
    assert!(!load("[database]\ndb_password = secret\n", 0o640).unwrap().show().contains("secret"));
}

#[test]
fn host_bits_of_a_network_are_cleared_and_a_mapped_address_is_ipv4() {
    for (text, expected) in [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
    ] {
        assert_eq!(network(text).unwrap().to_string(), expected);
    }
    assert!(network("192.0.2.0/33").is_err() && network("mail").is_err());
}
