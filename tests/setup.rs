//! Setup, answered at a terminal, on a system that does not run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mls_tests::{has, is_root, skip, terminal, text, tools};
use tempfile::TempDir;

fn put(path: &Path, content: &str) {
    fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}

/// The root of a system with a mail log.
struct System(TempDir);

const SCHEDULE: &str = "When to read it";
const RECIPIENTS: &str = "Recipients of the daily digest";
const DATABASE: &str = "Database to copy";
const WRITE: &str = "Write this?";

/// The questions of the shortest dialogue, each with an empty answer.
const DEFAULTS: [(&str, &str); 11] = [
    ("Mail log", "\n"),
    (SCHEDULE, "\n"),
    (RECIPIENTS, "\n"),
    ("Alert when one address", "\n"),
    ("Servers whose logins", "\n"),
    ("Record successful logins", "\n"),
    ("When to write metrics", "\n"),
    ("When to fetch", "\n"),
    ("User that the service", "\n"),
    ("Days to keep", "\n"),
    (DATABASE, "\n"),
];

impl System {
    /// `None` if setup cannot be run on it.
    fn new() -> Option<Self> {
        if !is_root() || !has("systemctl") || !has("useradd") {
            skip("only root can set a system up, with systemd and the shadow suite");
            return None;
        }
        let system = Self(TempDir::new().unwrap());
        for directory in [
            "etc/systemd/system",
            "etc/logrotate.d",
            "var/log",
            "var/lib",
            "var/cache",
            "srv",
            "run/systemd/journal",
            "usr",
        ] {
            fs::create_dir_all(system.path(directory)).unwrap();
        }
        system.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n");
        system.write("etc/group", "root:x:0:\nadm:x:4:\nsystemd-journal:x:101:\nbob:x:1000:\n");
        system.write("etc/shadow", "root:*:1::::::\nbob:*:1::::::\n");
        system.write("var/log/mail.log", "");
        fs::set_permissions(system.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        Some(system)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        put(&self.path(name), content);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tools().join("mls-setup"));
        command.arg("--root").arg(self.0.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn automated(&self, conf: &str) -> Output {
        let file = TempDir::new().unwrap();
        let path = file.path().join("answers");
        put(&path, conf);
        self.run(&["--automated", path.to_str().unwrap()])
    }

    /// Every file with its mode, owner and content, except what the tools of the user database keep
    /// for themselves.
    fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.path("")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.ends_with('-')
                    || [".pwd.lock", "shadow", "gshadow"].contains(&name.as_str())
                {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    directories.push(path.clone());
                    String::new()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    text(&fs::read(&path).unwrap())
                };
                all.insert(path, format!("{:o} {} {content}", meta.mode(), meta.uid()));
            }
        }
        all
    }

    fn enabled(&self, unit: &str) -> bool {
        ["timers.target.wants", "multi-user.target.wants", "maillogsentinel-report.service.wants"]
            .iter()
            .any(|wants| self.path("etc/systemd/system").join(wants).join(unit).is_symlink())
    }
}

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
            ("not a schedule", "*:0/10\n"),
            (RECIPIENTS, "nobody\n"),
            ("addresses separated by commas", "a@b@c\n"),
            ("a@b@c", "a@example.org, b@example.org\n"),
            ("When to send the digest", "25:00\n"),
            ("not a schedule", "06:30\n"),
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
            ("give postfix or dovecot", "postfix\n"),
            ("Record successful logins", "perhaps\n"),
            ("give one of yes, no", "yes\n"),
            ("When to write metrics", "*:0/5\n"),
            ("When to fetch", "never\n"),
            ("User that the service", "root\n"),
            ("must not run as root", "no body\n"),
            ("not the name of a user", "alice\n"),
            ("no user alice", "bob\n"),
            ("Days to keep", "a year\n"),
            ("number of days", "365\n"),
            (DATABASE, "oracle\n"),
            ("give one of", "sqlite\n"),
            ("How: load", "files\n"),
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
    // The root of this test is a temporary directory too.
    let said = said.replace(&system.0.path().display().to_string(), "ROOT");
    assert!(!said.contains("/tmp/"), "a message names a temporary file: {said}");

    // Again: the last answers are the defaults, and nothing changes.
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
        "When to fetch",
        "User that",
        "Days to keep",
        DATABASE,
        "How: load",
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
        ("How: load", "\n"),
        ("Host of the database", "db.example.org\n"),
        ("Port of the database", "70000\n"),
        ("from 1 to 65535", "5433\n"),
        ("Name of the database", "\n"),
        ("User name at the database", "mls\n"),
        ("holds the password", "/home/me/secret\n"),
        ("home directories", "/etc/none\n"),
        ("no file", "/etc/secret\n"),
        ("File of the authority", "/etc/none\n"),
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
fn a_cleared_answer_takes_those_with_it_that_need_it() {
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
        // What was set for the other mail server is asked for this one too.
        ("Mail server", "localhost\n"),
        ("Encryption", "none\n"),
        ("Port", "none\n"),
        ("User name", "none\n"),
        ("Alert when one address", "none\n"),
        ("Alert when logins", "\n"),
    ]);
    answers.extend(&DEFAULTS[4..]);
    answers.pop();
    answers.extend([
        (DATABASE, "oracle\n"),
        ("give one of none, sqlite", "\n"),
        ("How: load", "\n"),
        ("Host", "\n"),
        ("Port", "\n"),
        ("Name of the database", "\n"),
        ("User name", "\n"),
        ("holds the password", "\n"),
        ("authority", "\n"),
        ("File of the certificate", "none\n"),
        ("Name of this mail server", "\n"),
        ("Days to keep attempts", "\n"),
        (WRITE, "y\n"),
    ]);
    let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
    assert_eq!(code, 0, "{said}");
    let conf = system.read("etc/maillogsentinel.conf");
    for cleared in
        ["smtp_port", "smtp_user", "smtp_password_file", "ip", "enforce", "ssl_cert", "ssl_key"]
    {
        let line = format!("{cleared} =");
        assert!(conf.lines().any(|there| there.trim_end() == line), "{cleared} in {conf}");
    }
    assert!(conf.contains("smtp_tls = none\n"), "{conf}");
}

#[test]
fn node_exporter_can_read_metrics_in_another_directory() {
    let Some(system) = System::new() else { return };
    let metrics = |file: &str| {
        let conf =
            format!("[paths]\nmetrics_file = {file}\n[systemd]\nmetrics_schedule = hourly\n");
        let output = system.automated(&conf);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let directory = Path::new(file.trim_start_matches('/')).parent().unwrap();
        fs::metadata(system.path("").join(directory)).unwrap().mode() & 0o777
    };
    assert_eq!(metrics("/srv/node/metrics/mls.prom"), 0o755);
    assert_eq!(fs::metadata(system.path("srv/node")).unwrap().mode() & 0o777, 0o755);
    let dropin = system.read("etc/systemd/system/maillogsentinel-metrics.service.d/setup.conf");
    assert!(dropin.contains("ReadWritePaths=\"/srv/node/metrics\""), "{dropin}");
    assert_eq!(metrics("/var/lib/maillogsentinel/mls.prom"), 0o750, "with other files");
}

#[test]
fn ctrl_c_at_any_question_leaves_everything_as_it_was() {
    let Some(system) = System::new() else { return };
    let before = system.snapshot();
    for n in 0..=DEFAULTS.len() {
        let mut answers = DEFAULTS[..n].to_vec();
        answers.push(DEFAULTS.get(n).map_or((WRITE, "\x03"), |(question, _)| (question, "\x03")));
        let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("nothing was written"), "{said}");
        assert_eq!(system.snapshot(), before);
    }
    let mut answers = DEFAULTS.to_vec();
    answers.push((WRITE, "\n"));
    assert_eq!(
        terminal(&mut system.command(&["--interactive"]), &answers).0,
        64,
        "no is the default"
    );
    assert_eq!(system.snapshot(), before);
}

/// A program that takes the place of one that setup calls.
fn impostor(name: &str, script: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    put(&dir.path().join(name), script);
    fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    (dir, path)
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
fn ctrl_c_while_it_writes_undoes_all_changes() {
    let Some(system) = System::new() else { return };
    system.write("etc/maillogsentinel.conf", "# mine\n[report]\nemail = old@example.org\n");
    let before = system.snapshot();
    // Everything is in place except the units.
    let stop = "#!/bin/bash\ncase $* in *' enable '*) echo now > /dev/tty; sleep 100;; *is-enabled*) exit 1;; esac\n";
    let (_dir, path) = impostor("systemctl", stop);
    let mut answers = DEFAULTS.to_vec();
    answers.insert(4, ("logins of one user", "\n"));
    answers.splice(3..3, [("When to send the digest", "\n"), ("Mail server", "\n")]);
    answers.extend([(WRITE, "y\n"), ("now", "\x03")]);
    let (code, said) = terminal(system.command(&["--interactive"]).env("PATH", path), &answers);
    assert!(
        code == 130 && said.contains("undoing the changes") && !said.contains("could not"),
        "{code}: {said}"
    );
    let after = system.snapshot();
    let changed: Vec<_> =
        after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
    assert!(changed.is_empty() && after.len() == before.len(), "{changed:?}");
}

#[test]
fn a_step_that_fails_undoes_the_earlier_steps() {
    let Some(system) = System::new() else { return };
    let before = system.snapshot();
    let (_dir, path) = impostor("systemctl", "#!/bin/sh\nexit 1\n");
    let file = TempDir::new().unwrap();
    let file = file.path().join("a");
    put(&file, "");
    let output = system
        .command(&["--automated", file.to_str().unwrap()])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(system.snapshot(), before, "{}", text(&output.stderr));
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
    // An older version has written this configuration.
    system.write("etc/maillogsentinel.conf", conf);
    assert!(system.automated(conf).status.success());
    assert_eq!(system.read("etc/maillogsentinel.conf"), conf);
    assert!(!system.enabled("maillogsentinel-load-follow.service"));
    assert!(system.enabled("maillogsentinel-sql-export.timer"));
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
        // Nobody gets mail.
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
fn a_password_in_the_configuration_is_read_by_nobody_else() {
    let Some(system) = System::new() else { return };
    let output = system.automated("[database]\ndb_password = hush\n");
    // The answers themselves are too open here.
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        !text(&output.stdout).contains("hush") && !text(&output.stderr).contains("hush"),
        "it is shown"
    );
    assert_eq!(fs::metadata(system.path("etc/maillogsentinel.conf")).unwrap().mode() & 0o007, 0);
}

#[test]
fn a_configuration_that_is_closed_is_open_to_the_service() {
    let Some(system) = System::new() else { return };
    let conf = "[report]\nemail = admin@localhost\n[systemd]\nuser = bob\n";
    for (mode, there, expected) in
        [(0o600, "", 0o640), (0o600, conf, 0o640), (0o640, "", 0o640), (0o644, "", 0o644)]
    {
        system.write("etc/maillogsentinel.conf", there);
        let path = system.path("etc/maillogsentinel.conf");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        let output = system.automated(conf);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let meta = fs::metadata(&path).unwrap();
        let group = if expected == 0o640 { 1000 } else { 0 };
        assert_eq!(
            (meta.mode() & 0o777, meta.uid(), meta.gid()),
            (expected, 0, group),
            "{mode:o} {there:?}"
        );
    }
}

#[test]
fn a_directory_of_the_service_cannot_redirect_a_chown() {
    let Some(system) = System::new() else { return };
    for directory in ["srv/bob", "srv/precious"] {
        fs::create_dir(system.path(directory)).unwrap();
    }
    std::os::unix::fs::chown(system.path("srv/bob"), Some(1000), Some(1000)).unwrap();
    std::os::unix::fs::symlink(system.path("srv/precious"), system.path("srv/bob/link")).unwrap();
    let output =
        system.automated("[paths]\nworking_dir = /srv/bob/link/new\n[systemd]\nuser = bob\n");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert!(fs::read_dir(system.path("srv/precious")).unwrap().next().is_none());
    let output = system.automated("[paths]\nworking_dir = /srv/bob/new\n[systemd]\nuser = bob\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::metadata(system.path("srv/bob/new")).unwrap().uid(), 1000);
}

#[test]
fn a_new_user_gets_new_directories_inside_those_of_the_old_user() {
    let Some(system) = System::new() else { return };
    let output = system.automated("[systemd]\nuser = bob\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let passwd = system.read("etc/passwd") + "eve:x:1001:1001::/:/bin/sh\n";
    system.write("etc/passwd", &passwd);
    let group = system.read("etc/group") + "eve:x:1001:\n";
    system.write("etc/group", &group);
    let conf = "[systemd]\nuser = eve\n[database]\ndb_type = sqlite\nmode = files\n";
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // systemd gives the whole directory to the new user when a service starts.
    let owner = |path: &str| fs::metadata(system.path(path)).unwrap().uid();
    assert_eq!(owner("var/log/maillogsentinel"), 1000);
    assert_eq!(owner("var/log/maillogsentinel/sql"), 1000);
}

/// As in Ubuntu, where the group syslog may write to `/var/log`.
#[test]
fn a_group_that_may_write_next_to_the_log_cannot_redirect_root() {
    let Some(system) = System::new() else { return };
    let directory = system.path("var/log");
    std::os::unix::fs::chown(&directory, Some(0), Some(4)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o775)).unwrap();
    fs::create_dir(directory.join("audit")).unwrap();
    system.write("srv/precious", "");
    std::os::unix::fs::symlink(
        system.path("srv/precious"),
        directory.join("maillogsentinel_setup.log"),
    )
    .unwrap();
    let file = TempDir::new().unwrap();
    let file = file.path().join("answers");
    put(&file, "");
    let output = system.run(&["--automated", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(system.read("srv/precious"), "");
    assert!(text(&output.stderr).contains("could not log its actions"), "{}", text(&output.stderr));
    assert_eq!(fs::metadata(directory.join("audit")).unwrap().uid(), 0);
    let made = fs::metadata(directory.join("maillogsentinel")).unwrap();
    assert!(system.read("etc/passwd").contains(&format!(
        "maillogsentinel:x:{}:{}:",
        made.uid(),
        made.gid()
    )));
    assert_eq!(made.mode() & 0o777, 0o750);
    // Nothing else is left there, and a log that is root's is written to.
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 4);
    fs::remove_file(directory.join("maillogsentinel_setup.log")).unwrap();
    for n in 1..=2 {
        assert!(system.automated(&format!("[report]\nemail = a{n}@localhost\n")).status.success());
        let done = system.read("var/log/maillogsentinel_setup.log");
        assert_eq!(done.matches("wrote /etc/maillogsentinel.conf\n").count(), n, "{done}");
    }
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
fn an_answer_can_lead_back_to_the_question_before() {
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
    // One command records failures and logins.
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
    // The same machine with systemd: its timers take the place of cron.
    fs::create_dir_all(system.path("etc/systemd/system")).unwrap();
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!system.path("etc/cron.d/maillogsentinel").exists());
    assert!(system.enabled("maillogsentinel-extract.timer"));
    assert!(system.run(&["--uninstall", "--yes"]).status.success());
    assert!(!system.enabled("maillogsentinel-extract.timer"));
}

#[test]
fn units_can_be_enabled_under_the_names_of_the_python_original() {
    let Some(system) = System::new() else { return };
    assert!(system.automated("[systemd]\nextraction_schedule = never\n").status.success());
    for (name, unit) in [
        ("maillogsentinel.timer", "maillogsentinel-extract.timer"),
        ("maillogsentinel-report.timer", "maillogsentinel-report.timer"),
        ("ipinfo-update.timer", "ipinfo-update.timer"),
    ] {
        let mut systemctl = Command::new("systemctl");
        systemctl.arg("--root").arg(system.path("")).args(["--quiet", "enable", name]);
        assert!(systemctl.status().unwrap().success(), "{name}");
        assert!(system.enabled(unit), "{name}");
    }
}

#[test]
fn an_original_keeps_its_user_and_settings_and_its_units_are_moved_away() {
    let Some(system) = System::new() else { return };
    system.write(
        "etc/maillogsentinel.conf",
        "[paths]\nworking_dir = /var/log/maillogsentinel\nstate_dir = /var/lib/maillogsentinel\n\
         mail_log = /var/log/mail.log\n[report]\nemail = a@example.org\n[User]\nrun_as_user = bob\n\
         [systemd]\nextraction_schedule = *:0/10\n",
    );
    for name in ["maillogsentinel.service", "maillogsentinel-extract.timer", "ipinfo-update.timer"]
    {
        system.write(&format!("etc/systemd/system/{name}"), "[Unit]\n# the original\n");
    }
    let output = system.run(&["--migrate"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("maillogsentinel.service of the Python original is moved"), "{said}");
    assert!(said.contains("its data was not migrated"), "{said}");
    for name in ["maillogsentinel.service", "ipinfo-update.timer"] {
        assert!(!system.path(&format!("etc/systemd/system/{name}")).exists(), "{name}");
        let kept = system.read(&format!("etc/systemd/system/{name}.original"));
        assert_eq!(kept, "[Unit]\n# the original\n");
    }
    let conf = system.read("etc/maillogsentinel.conf");
    assert!(conf.contains("log_file = /var/log/maillogsentinel/maillogsentinel.log\n"), "{conf}");
    let settings = system.read("etc/systemd/system/maillogsentinel.service.d/setup.conf");
    assert!(settings.contains("User=bob\n"), "{settings}");
    let timer = system.read("etc/systemd/system/maillogsentinel-extract.timer.d/setup.conf");
    assert!(timer.contains("OnCalendar=*:0/10\n"), "{timer}");
    assert!(
        system.enabled("maillogsentinel-extract.timer") && system.enabled("ipinfo-update.timer")
    );
    let migrated = system.snapshot();
    assert!(system.run(&["--migrate"]).status.success());
    assert_eq!(system.snapshot(), migrated, "the second run changes nothing");
}

#[test]
fn a_failed_migration_puts_the_units_of_the_original_back() {
    let Some(system) = System::new() else { return };
    system.write("etc/maillogsentinel.conf", "[User]\nrun_as_user = bob\n");
    system.write("etc/systemd/system/maillogsentinel.service", "[Unit]\n");
    // A directory of the service cannot be made below a file.
    system.write("var/lib/maillogsentinel", "");
    let before = system.snapshot();
    let output = system.run(&["--migrate"]);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert_eq!(system.snapshot(), before);
}
