//! Setup on a test system (see `system`), with answers at a terminal or in a file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod dialogue;
mod migration;
mod rights;
mod system;
mod undo;

use std::fs;
use std::os::unix::fs::MetadataExt;

use mls_tests::{terminal, text};
use system::{DEFAULTS, System, WRITE, put};
use tempfile::TempDir;

#[test]
fn empty_answers_take_the_defaults_and_write_what_was_shown() {
    let Some(system) = System::new() else { return };
    let mut answers = DEFAULTS.to_vec();
    answers.push((WRITE, "y\n"));
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("journal for the systemd journal [/var/log/mail.log]"), "{said}");
    let conf = system.read("etc/maillogsentinel.conf");
    let log = "log_file = /var/log/maillogsentinel/maillogsentinel.log\n";
    assert!(
        conf.contains(log) && !conf.contains("\nemail = "),
        "only values that differ from the defaults are set: {conf}"
    );
    assert_eq!(
        fs::metadata(system.path("etc/maillogsentinel.conf")).unwrap().mode() & 0o777,
        0o644
    );
    for (unit, enabled) in [
        ("maillogsentinel.service", true),
        ("maillogsentinel-extract.timer", true),
        ("ipinfo-update.timer", true),
        ("maillogsentinel-report.timer", false),
        ("maillogsentinel-sql-import.timer", false),
        ("maillogsentinel-load.timer", false),
        ("maillogsentinel-load-follow.service", false),
        ("maillogsentinel-follow.service", false),
        ("maillogsentinel-logins.timer", false),
        ("maillogsentinel-logins-follow.service", false),
    ] {
        assert_eq!(system.enabled(unit), enabled, "{unit}");
    }
    assert!(
        system.path("usr/local/lib/systemd/system/maillogsentinel-extract.service").is_symlink(),
        "the second name of a unit"
    );
    assert!(
        system
            .read("etc/group")
            .contains("adm:x:4:maillogsentinel\nsystemd-journal:x:101:maillogsentinel\n")
    );
    let uid = fs::metadata(system.path("var/log/maillogsentinel")).unwrap().uid();
    assert!(system.read("etc/passwd").contains(&format!("maillogsentinel:x:{uid}:")));
    assert!(
        system
            .read("etc/logrotate.d/maillogsentinel")
            .contains("su maillogsentinel maillogsentinel\n")
    );
    let done = system.read("var/log/maillogsentinel_setup.log");
    assert!(
        done.contains("wrote /etc/maillogsentinel.conf")
            && done.contains("enabled maillogsentinel-extract.timer")
    );
    assert!(
        system.path("usr/local/bin/mls-tail").exists()
            && system.path("usr/local/bin/maillogsentinel").exists()
    );
}

#[test]
fn new_installation_loads_and_an_old_one_keeps_its_sql_files() {
    let Some(system) = System::new() else { return };
    let conf = "[database]\ndb_type = sqlite\n[systemd]\nextraction_schedule = follow\n";
    assert!(system.automated(conf).status.success());
    assert!(system.read("etc/maillogsentinel.conf").contains("\nmode = load\n"));
    assert!(system.enabled("maillogsentinel-load-follow.service"));
    assert!(!system.enabled("maillogsentinel-sql-export.timer"));
    assert!(!system.path("var/log/maillogsentinel/sql").exists());
    // The configuration of an older version has no `mode`, and an empty `mode` means SQL files.
    let conf = format!("{conf}[general]\nlog_file =\n");
    system.write("etc/maillogsentinel.conf", &conf);
    assert!(system.automated(&conf).status.success());
    assert_eq!(system.read("etc/maillogsentinel.conf"), conf);
    assert!(!system.enabled("maillogsentinel-load-follow.service"));
    assert!(system.enabled("maillogsentinel-sql-export.timer"));
}

#[test]
fn a_configuration_without_log_file_gets_the_default_one() {
    let Some(system) = System::new() else { return };
    let log = "log_file = /var/log/maillogsentinel/maillogsentinel.log\n";
    for (general, expected) in [("", log), ("[general]\nlog_file =\n", "log_file =\n")] {
        let conf = format!("[report]\nemail = a@localhost\n{general}");
        system.write("etc/maillogsentinel.conf", &conf);
        assert!(system.automated(&conf).status.success());
        let conf = system.read("etc/maillogsentinel.conf");
        assert!(conf.contains(expected), "{conf}");
    }
}

#[test]
fn automated_setup_asks_nothing_and_refuses_the_same_values_as_the_dialogue() {
    let Some(system) = System::new() else { return };
    fs::remove_file(system.path("var/log/mail.log")).unwrap();
    let output = system
        .automated("# Kept.\n[report]\nemail = admin@localhost\n[alert]\nip = 20/10m\n[database]\ndb_type = sqlite\nmode = files\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let conf = system.read("etc/maillogsentinel.conf");
    assert!(
        conf.starts_with("# Kept.\n[report]\nemail = admin@localhost\n[alert]\nip = 20/10m\n"),
        "{conf}"
    );
    assert!(
        conf.contains("mail_log = journal\n"),
        "without a mail log the journal is read: {conf}"
    );
    assert!(system.path("var/log/maillogsentinel/sql").is_dir(), "SQL files have a directory");
    assert!(system.enabled("maillogsentinel-sql-import.timer"));
    let before = system.snapshot();
    for (answers, why) in [
        ("[systemd]\nreport_schedule = $(reboot)\n", "report_schedule = $(reboot)"),
        ("[systemd]\nuser = root\n", "must not run as root"),
        ("[report]\nemail = nobody\n", "nobody"),
        ("[paths]\nworking_dir = /home/me\n", "home directories"),
        ("[block]\nenforce = nftables\n", "needs [alert] ip"),
        ("[paths]\nworking_dir = /srv/\"x\n", "must not have any of"),
        ("[paths]\nworking_dir = /srv/../etc\n", "without . and .."),
        ("[paths]\nworking_dir = /srv/a{b\n", "must not have any of"),
        ("[database]\ndb_type = oracle\n", "/answers:2: [database] db_type = \"oracle\""),
        ("[geolocation]\ncountry_db_path = /srv/a\"b %n/country.csv\n", "must not have any of"),
        (
            "[geolocation]\ncountry_db_path = /srv/country.csv, /srv/%n/country6.csv\n",
            "must not have any of",
        ),
        ("[ASN_ASO]\nasn_db_path = /srv/asn.csv,/tmp/asn6.csv\n", "or /tmp"),
        ("[geolocation]\nasn_db_path = /home/me/asn.csv\n", "home directories"),
        ("[report]\nsmtp_user = u\nsmtp_password_file = /home/me/secret\n", "home directories"),
        ("[database]\ndb_password_file = /root/secret\n", "home directories"),
        ("[database]\nssl_key = /tmp/key\n", "or /tmp"),
        ("[report]\nsmtp_user = u\n", "smtp_user and smtp_password_file belong together"),
        ("[database]\nssl_cert = /etc/passwd\n", "ssl_cert and ssl_key belong together"),
    ] {
        let output = system.automated(answers);
        assert_eq!(output.status.code(), Some(78), "{answers}");
        assert!(text(&output.stderr).contains(why), "{answers}: {}", text(&output.stderr));
        assert_eq!(system.snapshot(), before, "{answers}");
    }
    let output =
        system.automated("[logins]\nrecord = yes\n[systemd]\nextraction_schedule = follow\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (unit, enabled) in [
        ("maillogsentinel-follow.service", true),
        ("maillogsentinel-logins-follow.service", true),
        // Alerts have no recipient, so their service is not enabled.
        ("maillogsentinel-alert-follow.service", false),
        ("maillogsentinel.service", false),
        ("maillogsentinel-logins.service", false),
        ("maillogsentinel-logins.timer", false),
    ] {
        assert_eq!(system.enabled(unit), enabled, "{unit}");
    }
    assert!(!system.path("etc/systemd/system/maillogsentinel-extract.timer.d/setup.conf").exists());
    assert!(system.read("etc/maillogsentinel.conf.bak").starts_with("# Kept.\n"));
    let output = system.automated(
        "[report]\nemail = admin@localhost\n[logins]\nrecord = yes\n[systemd]\nextraction_schedule = follow\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(system.enabled("maillogsentinel-alert-follow.service"));
    assert!(!system.enabled("maillogsentinel-alert.path"));
    let output = system.automated("[report]\nemail = admin@localhost\n[logins]\nrecord = yes\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!system.enabled("maillogsentinel-alert-follow.service"));
    assert!(system.enabled("maillogsentinel-alert.timer"));
    let dropin = system.read("etc/systemd/system/maillogsentinel-alert.path.d/setup.conf");
    assert!(
        dropin.ends_with(
            "PathModified=\nPathModified=/var/log/maillogsentinel/maillogsentinel.csv\n\
             PathModified=/var/log/maillogsentinel/logins.csv\n"
        ),
        "{dropin}"
    );
    let output =
        system.automated("[ASN_ASO]\nasn_db_path = /srv/ip data/asn.csv,/srv/six/asn.csv\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let dropin = system.read("etc/systemd/system/ipinfo-update.service.d/setup.conf");
    assert!(
        dropin.ends_with("ReadWritePaths=\"/srv/ip data\"\nReadWritePaths=\"/srv/six\"\n"),
        "{dropin}"
    );
}

#[test]
fn a_dry_run_shows_and_writes_nothing_and_uninstall_leaves_data_and_configuration() {
    let Some(system) = System::new() else { return };
    let before = system.snapshot();
    let file = TempDir::new().unwrap();
    let file = file.path().join("a");
    put(&file, "[report]\nemail = admin@localhost\n");
    let output = system.run(&["--automated", file.to_str().unwrap(), "--dry-run"]);
    assert!(output.status.success() && text(&output.stdout).contains("email = admin@localhost"));
    assert_eq!(system.snapshot(), before);
    assert!(system.run(&["--automated", file.to_str().unwrap()]).status.success());
    system.write("var/log/maillogsentinel/maillogsentinel.csv", "data");
    assert!(system.run(&["--uninstall", "--yes"]).status.success());
    let left: Vec<_> =
        system.snapshot().into_keys().filter(|path| !before.contains_key(path)).collect();
    let left: Vec<_> = left
        .iter()
        .map(|path| path.strip_prefix(system.path("")).unwrap().to_str().unwrap())
        .collect();
    for kept in [
        "etc/maillogsentinel.conf",
        "var/log/maillogsentinel/maillogsentinel.csv",
        "var/log/maillogsentinel_setup.log",
    ] {
        assert!(left.contains(&kept), "{left:?}");
    }
    let stray = left.iter().filter(|path| {
        path.starts_with("etc/systemd") || (system.path(path).is_file() && path.starts_with("usr"))
    });
    assert_eq!(stray.count(), 0, "{left:?}");
}

#[test]
fn without_systemd_cron_starts_the_jobs() {
    let Some(system) = System::new() else { return };
    fs::remove_dir_all(system.path("etc/systemd")).unwrap();
    fs::create_dir(system.path("etc/cron.d")).unwrap();
    let output = system.automated("[systemd]\nextraction_schedule = follow\n");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("cron cannot follow a log"), "{}", text(&output.stderr));
    let output = system.automated("[systemd]\nreport_schedule = 2027-01-01\n");
    assert_eq!(output.status.code(), Some(78));
    // The cron job `maillogsentinel` records failures and logins.
    let conf = "[logins]\nrecord = yes\n[report]\nemail = a@localhost\n\
                [systemd]\nextraction_schedule = *:0/15\n\
                report_schedule = Mon..Fri 06:30\n";
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        system.read("etc/cron.d/maillogsentinel"),
        "# Written by setup.\nPATH=/usr/local/bin:/usr/bin:/bin\n\
         */15 * * * * maillogsentinel maillogsentinel\n\
         30 6 * * mon-fri maillogsentinel maillogsentinel --report\n\
         0 0 * * 1 maillogsentinel mls-ipdb --config /etc/maillogsentinel.conf update\n\
         */5 * * * * maillogsentinel maillogsentinel --alert\n\
         31 4 * * * maillogsentinel maillogsentinel --prune\n"
    );
    assert!(system.read("etc/passwd").contains("maillogsentinel:"));
    assert!(system.path("var/lib/maillogsentinel").is_dir());
    assert!(!system.path("etc/systemd").exists(), "nothing is written for systemd");
    // Now the machine has systemd, so timers replace the cron file.
    fs::create_dir_all(system.path("etc/systemd/system")).unwrap();
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!system.path("etc/cron.d/maillogsentinel").exists());
    assert!(system.enabled("maillogsentinel-extract.timer"));
    assert!(system.run(&["--uninstall", "--yes"]).status.success());
    assert!(!system.enabled("maillogsentinel-extract.timer"));
}
