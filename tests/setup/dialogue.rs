//! The questions of setup and what their answers change.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mls_tests::terminal;

use crate::system::{DATABASE, DEFAULTS, RECIPIENTS, SCHEDULE, System, WRITE, impostor};

#[test]
#[expect(clippy::too_many_lines, reason = "one dialogue with every kind of wrong answer")]
fn wrong_answers_are_asked_again_with_a_reason() {
    let Some(system) = System::new() else { return };
    let (code, said) = terminal(
        &mut system.command(&["--interactive"]),
        &[
            ("Mail log", "mail.log\n"),
            ("absolute", "/nowhere/mail.log\n"),
            ("no directory /nowhere", "/home/x/mail.log\n"),
            ("home directories", "/var/log/a \"quoted\" log\n"),
            ("must not have", "/var/log/mail log's\n"),
            (SCHEDULE, "sometimes; $(touch /srv/x)\n"),
            ("schedule cannot be used", "*:0/10\n"),
            (RECIPIENTS, "nobody\n"),
            ("such as anna@example.org", "a@b@c\n"),
            ("a@b@c", "a@example.org, b@example.org\n"),
            ("When to send the digest", "25:00\n"),
            ("schedule cannot be used", "06:30\n"),
            ("Mail server", "mx.example.org\n"),
            ("Encryption", "ssl\n"),
            ("give one of starttls", "tls\n"),
            ("Port of the mail", "none\n"),
            ("User name at the mail", "\n"),
            ("Alert when one address", "20\n"),
            ("such as 20/10m", "20/10m\n"),
            ("logins of one user", "\n"),
            ("Block addresses", "iptables\n"),
            ("give nftables, postfix", "both\n"),
            ("Servers whose logins", "exim\n"),
            ("give postfix, dovecot", "postfix\n"),
            ("Record successful logins", "perhaps\n"),
            ("give one of yes, no", "yes\n"),
            ("When to write metrics", "*:0/5\n"),
            ("When to update", "never\n"),
            ("User that the service", "root\n"),
            ("must not run as root", "no body\n"),
            ("not a valid user name", "alice\n"),
            ("no user alice", "bob\n"),
            ("Days to keep", "a year\n"),
            ("give a whole number", "365\n"),
            (DATABASE, "oracle\n"),
            ("give one of", "sqlite\n"),
            ("How to fill", "files\n"),
            ("File of the SQLite", "/root/x.sqlite\n"),
            ("home directories", "/srv/my data/x.sqlite\n"),
            ("Days to keep attempts", "\n"),
            ("When to write SQL", "\n"),
            ("When to import", "never\n"),
            (WRITE, "y\n"),
        ],
    );
    assert_eq!(code, 0, "{said}");
    let conf = system.read("etc/maillogsentinel.conf");
    for line in [
        "mail_log = /var/log/mail log's",
        "extraction_schedule = *:0/10",
        "email = a@example.org, b@example.org",
        "smtp_host = mx.example.org",
        "smtp_tls = tls",
        "csv_days = 365",
        "ip = 20/10m",
        "enforce = nftables, postfix",
        "daemons = postfix",
        "record = yes",
        "report_schedule = 06:30",
        "ip_update_schedule = never",
        "user = bob",
        "db_type = sqlite",
        "mode = files",
        "db_path = /srv/my data/x.sqlite",
        "sql_import_schedule = never",
    ] {
        assert_eq!(conf.lines().filter(|l| *l == line).count(), 1, "{line} in {conf}");
    }
    let unused = "etc/systemd/system/maillogsentinel-sql-import.service.d/setup.conf";
    assert!(!system.path(unused).exists(), "a unit that is not used has no drop-in");
    let dropin = system.read("etc/systemd/system/maillogsentinel-sql-export.service.d/setup.conf");
    assert!(dropin.contains("User=bob\nGroup=bob\nReadWritePaths=\"/srv/my data\"\n"), "{dropin}");
    assert_eq!(fs::metadata(system.path("srv/my data")).unwrap().uid(), 1000);
    assert!(system.read("etc/group").contains("adm:x:4:bob\n"));
    assert!(
        system.enabled("maillogsentinel-sql-export.timer")
            && !system.enabled("maillogsentinel-sql-import.timer")
    );
    assert!(
        !system.enabled("ipinfo-update.timer") && system.enabled("maillogsentinel-report.timer")
    );
    for unit in [
        "maillogsentinel-alert.path",
        "maillogsentinel-alert.timer",
        "maillogsentinel-prune.timer",
        "maillogsentinel-metrics.timer",
        "maillogsentinel-logins.timer",
        "maillogsentinel-logins.service",
        "maillogsentinel-block.service",
        "maillogsentinel-block-nft.path",
        "maillogsentinel-block-nft.timer",
        "maillogsentinel-block-postfix.path",
    ] {
        assert!(system.enabled(unit), "{unit}");
    }
    let timer = system.read("etc/systemd/system/maillogsentinel-report.timer.d/setup.conf");
    assert!(timer.ends_with("[Timer]\nOnCalendar=\nOnCalendar=06:30\n"), "{timer}");

    let metrics = fs::metadata(system.path("var/cache/maillogsentinel")).unwrap();
    assert_eq!((metrics.uid(), metrics.mode() & 0o777), (1000, 0o755), "everybody reads metrics");
    // The path of this test system also begins with `/tmp/`, so replace the path.
    let said = said.replace(&system.0.path().display().to_string(), "ROOT");
    assert!(!said.contains("/tmp/"), "a message names a temporary file: {said}");

    // In a second run, the answers of the first run are the defaults, and nothing changes.
    let before = (conf, system.read("etc/passwd"));
    let keys = [
        "Mail log",
        SCHEDULE,
        RECIPIENTS,
        "When to send",
        "Mail server",
        "Encryption",
        "Port",
        "User name",
        "Alert when one",
        "logins of one user",
        "Block addresses",
        "Servers whose logins",
        "Record successful logins",
        "When to write metrics",
        "When to update",
        "User that",
        "Days to keep",
        DATABASE,
        "How to fill",
        "File of",
        "Days to keep attempts",
        "When to write",
        "When to import",
    ];
    let mut answers: Vec<_> = keys.iter().map(|key| (*key, "\n")).collect();
    answers.push((WRITE, "y\n"));
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert!(code == 0 && said.contains("[/srv/my data/x.sqlite]"), "{said}");
    assert_eq!((system.read("etc/maillogsentinel.conf"), system.read("etc/passwd")), before);
}

#[test]
fn a_server_as_database_is_asked_for_what_it_needs() {
    let Some(system) = System::new() else { return };
    system.write("etc/secret", "x");
    let mut answers = DEFAULTS.to_vec();
    answers.pop();
    answers.extend([
        (DATABASE, "postgresql\n"),
        ("How to fill", "\n"),
        ("Host of the database", "db.example.org\n"),
        ("Port of the database", "70000\n"),
        ("from 1 to 65535", "5433\n"),
        ("Name of the database", "\n"),
        ("User name at the database", "mls\n"),
        ("holds the password", "/home/me/secret\n"),
        ("home directories", "/etc/none\n"),
        ("no file", "/etc/secret\n"),
        ("File of the CA", "/etc/none\n"),
        ("no file", "/etc/secret\n"),
        ("File of the certificate", "/etc/secret\n"),
        ("File of the key", "/etc/secret\n"),
        ("Name of this mail server", "mx1\n"),
        ("Days to keep attempts in the database", "400\n"),
        (WRITE, "y\n"),
    ]);
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert_eq!(code, 0, "{said}");
    let conf = system.read("etc/maillogsentinel.conf");
    for line in [
        "mode = load",
        "source = mx1",
        "ssl_root = /etc/secret",
        "ssl_cert = /etc/secret",
        "ssl_key = /etc/secret",
        "database_days = 400",
        "db_host = db.example.org",
        "db_port = 5433",
        "db_name = maillogsentinel",
        "db_user = mls",
        "db_password_file = /etc/secret",
    ] {
        assert!(conf.lines().any(|l| l == line), "{line} in {conf}");
    }
    assert!(system.enabled("maillogsentinel-load.timer"));
    assert!(system.enabled("maillogsentinel-prune.timer"));
    for unit in ["load-follow.service", "sql-export.timer", "sql-import.timer"] {
        assert!(!system.enabled(&format!("maillogsentinel-{unit}")), "{unit}");
    }
}

#[test]
fn clearing_an_answer_clears_the_answers_that_depend_on_it() {
    let Some(system) = System::new() else { return };
    system.write("etc/secret", "x");
    system.write(
        "etc/maillogsentinel.conf",
        "[report]\nemail = a@localhost\nsmtp_host = mx.example.org\nsmtp_port = 587\nsmtp_tls = starttls\n\
         smtp_user = u\nsmtp_password_file = /etc/secret\n[alert]\nip = 20/10m\n[block]\nenforce = nftables\n\
         [database]\ndb_type = mariadb\nmode = load\ndb_host = db.example.org\nssl_cert = /etc/secret\nssl_key = /etc/secret\n",
    );
    let mut answers = DEFAULTS[..3].to_vec();
    answers.extend([
        ("When to send", "\n"),
        // Setup forgets port, encryption and password of the old mail server, `mx.example.org`.
        ("Mail server", "localhost\n"),
        ("Alert when one address", "none\n"),
        ("Alert when logins", "\n"),
    ]);
    answers.extend(&DEFAULTS[4..]);
    answers.pop();
    answers.extend([
        (DATABASE, "oracle\n"),
        ("give one of none, sqlite", "\n"),
        ("How to fill", "\n"),
        ("Host", "\n"),
        ("Port", "\n"),
        ("Name of the database", "\n"),
        ("User name", "\n"),
        ("holds the password", "\n"),
        ("File of the CA", "\n"),
        ("File of the certificate", "none\n"),
        ("Name of this mail server", "\n"),
        ("Days to keep attempts", "\n"),
        (WRITE, "y\n"),
    ]);
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert_eq!(code, 0, "{said}");
    let conf = system.read("etc/maillogsentinel.conf");
    for cleared in [
        "smtp_port",
        "smtp_tls",
        "smtp_user",
        "smtp_password_file",
        "ip",
        "enforce",
        "ssl_cert",
        "ssl_key",
    ] {
        let line = format!("{cleared} =");
        assert!(conf.lines().any(|there| there.trim_end() == line), "{cleared} in {conf}");
    }
}

#[test]
fn another_database_does_not_get_the_port_and_the_certificates_of_the_old_one() {
    let Some(system) = System::new() else { return };
    system.write("etc/secret", "x");
    system.write(
        "etc/maillogsentinel.conf",
        "[database]\ndb_type = postgresql\nmode = load\ndb_host = db.example.org\ndb_port = 5433\n\
         ssl_root = /etc/secret\nssl_cert = /etc/secret\nssl_key = /etc/secret\n",
    );
    for (kind, host) in [("\n", "localhost\n"), ("mysql\n", "\n")] {
        let mut answers = DEFAULTS.to_vec();
        answers.pop();
        answers.extend([
            (DATABASE, kind),
            ("How to fill", "\n"),
            ("Host of the database", host),
            ("(none: the usual one) [none]", "\n"),
            ("Name of the database", "\n"),
            ("User name at the database", "\n"),
            ("holds the password", "\n"),
            ("Name of this mail server", "\n"),
            ("Days to keep attempts", "\n"),
            (WRITE, "n\n"),
        ]);
        let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
        assert_eq!(code, 64, "{said}");
        for key in ["db_port", "ssl_root", "ssl_cert", "ssl_key"] {
            assert!(said.contains(&format!("+{key} =\r\n")), "{key} in {said}");
        }
    }
}

#[test]
fn containers_of_mail_servers_that_log_to_the_journal_are_offered() {
    let Some(system) = System::new() else { return };
    fs::remove_file(system.path("var/log/mail.log")).unwrap();
    let journal = "#!/bin/sh\ncase $* in\n\
                   *--field=CONTAINER_NAME) printf '%s\\n' web mail-1 dovecot-2;;\n\
                   *CONTAINER_NAME=mail-1) echo 'Jun  1 00:00:00 mx postfix/smtpd[7]: connect from x';;\n\
                   *) echo 'GET / HTTP/1.1';;\nesac\n";
    let (_dir, path) = impostor("journalctl", journal);
    let both = "CONTAINER_NAME=mail-1, CONTAINER_NAME=dovecot-2";
    for (answer, line) in
        [("none\n", "#journal_match =".to_owned()), ("\n", format!("journal_match = {both}"))]
    {
        let mut answers = DEFAULTS.to_vec();
        let offer = format!(
            "Containers that write mail logs to the journal (none: do not read them) [{both}]"
        );
        answers.insert(1, (&offer, answer));
        answers.push((WRITE, "y\n"));
        let (code, said) =
            terminal(system.command(&["--interactive"]).env("PATH", &path), &answers);
        assert_eq!(code, 0, "{said}");
        let conf = system.read("etc/maillogsentinel.conf");
        assert!(conf.lines().any(|l| l == line), "{line} in {conf}");
    }
}

#[test]
fn a_user_can_go_back_to_the_question_before() {
    let Some(system) = System::new() else { return };
    let mut answers = vec![
        ("Mail log", "<\n"),
        ("Mail log", "\n"),
        (SCHEDULE, "\n"),
        (RECIPIENTS, "a@example.org\n"),
        ("When to send", "<\n"),
        (RECIPIENTS, "none\n"),
        ("Alert when one address", "<\n"),
        (RECIPIENTS, "\n"),
    ];
    answers.extend(&DEFAULTS[3..]);
    answers.push((WRITE, "y\n"));
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert_eq!(code, 0, "{said}");
    assert!(!system.read("etc/maillogsentinel.conf").contains("\nemail = a@"), "{said}");
}

#[test]
fn a_configuration_that_is_named_gives_the_default_answers() {
    let Some(system) = System::new() else { return };
    system.write("etc/maillogsentinel.conf", "[report]\nemail = old@example.org\n");
    system.write("srv/new.conf", "# new\n[report]\nemail = new@example.org\n");
    let named = system.path("srv/new.conf");
    let mut answers = DEFAULTS.to_vec();
    answers.insert(4, ("logins of one user", "\n"));
    answers.splice(3..3, [("When to send the digest", "\n"), ("Mail server", "\n")]);
    answers.push((WRITE, "y\n"));
    let args = ["--interactive", "--config", named.to_str().unwrap()];
    let (code, said) = terminal(&mut system.command(&args), &answers);
    assert!(code == 0 && said.contains("[new@example.org]"), "{said}");
    assert!(system.read("etc/maillogsentinel.conf").starts_with("# new\n"), "{said}");
    let both = ["--automated", "x", "--config", "y"];
    assert_eq!(system.run(&both).status.code(), Some(64));
}
