//! A directory with a configuration, in which the pipelines of the systemd units run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use mls_state::cursor_file::CursorFile;
use tempfile::TempDir;

use crate::mailbox::Mailbox;
use crate::{assert_each_once, output_of, text, tools, units};

/// A directory with a mail log, a configuration, and the data that the pipelines make.
pub struct Service {
    dir: TempDir,
    /// The server that gets the mail of the service.
    pub mailbox: Mailbox,
    failures: usize,
    logins: usize,
    errors: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

impl Service {
    /// A service with an empty log. The pipelines write to the directory `data`.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let service = Self { dir, mailbox: Mailbox::start(), failures: 0, logins: 0, errors: 0 };
        for directory in ["log0", "data", "bin"] {
            fs::create_dir(service.path().join(directory)).unwrap();
        }
        let link = |to: &Path, name: &str| symlink(to, service.path().join(name)).unwrap();
        link(Path::new("log0"), "log");
        // Link only this script, because `scripts/test` in `PATH` would hide test(1).
        let front = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/maillogsentinel");
        link(&front.canonicalize().unwrap(), "bin/maillogsentinel");
        for (file, content) in [
            ("log/mail.log", ""),
            ("c.csv", "1.0.0.0,255.255.255.255,XX\n"),
            ("a.csv", "1.0.0.0,255.255.255.255,64496,Example\n"),
        ] {
            service.append(file, content);
        }
        service.configure();
        service
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn configure(&self) {
        let dir = self.path().display();
        let port = self.mailbox.port();
        let user = text(&Command::new("id").arg("-un").output().unwrap().stdout);
        let config = format!(
            "[paths]\nworking_dir = {dir}/data\nstate_dir = {dir}/data/state\n\
             mail_log = {dir}/log/mail.log\ncsv_filename = F\nlogins_filename = L\n\
             metrics_file = {dir}/data/metrics.prom\n\
             [report]\nemail = admin@example.com\nsender_override = mls@example.com\n\
             smtp_host = 127.0.0.1\nsmtp_port = {port}\nattach_csv = no\n\
             [geolocation]\ncountry_db_path = {dir}/c.csv\n[ASN_ASO]\nasn_db_path = {dir}/a.csv\n\
             [database]\ndb_type = sqlite\ndb_path = {dir}/data/events.db\n\
             [logins]\nrecord = yes\n[alert]\nip = 1/1h\nuser = 1/1h\n\
             [block]\nenforce = nftables\nnetwork_from = 0\ntime = 7d\n\
             [retention]\ncsv_days = 5\n[systemd]\nuser = {user}\n"
        );
        self.write("conf", &config);
    }

    /// Lets `mls-ipdb update` fetch the IP databases from a server on this port.
    pub fn fetch_databases_from(&self, port: u16) {
        let config = fs::read_to_string(self.path().join("conf")).unwrap();
        let url = |name: &str| format!("{name}_db_url = http://127.0.0.1:{port}/{name}\n");
        let config = config
            .replace("country_db_path", &format!("{}country_db_path", url("country")))
            .replace("asn_db_path", &format!("{}asn_db_path", url("asn")));
        self.write("conf", &config);
    }

    fn write(&self, name: &str, content: &str) {
        let mut file = fs::File::create(self.path().join(name)).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    }

    /// Makes the directories that systemd makes before a unit starts.
    pub fn make_directories(&self) {
        fs::create_dir_all(self.path().join("data/state")).unwrap();
    }

    /// Lets the tools write an operational log.
    pub fn write_operational_log(&self) {
        self.append("conf", "[general]\nlog_file = x.log\n");
    }

    /// Makes `user` the service user, who runs the pipelines and owns the data.
    pub fn work_as(&self, user: &str) {
        let config = fs::read_to_string(self.path().join("conf")).unwrap();
        let (before, _) = config.split_once("user = root").unwrap();
        self.write("conf", &format!("{before}user = {user}\n"));
        self.write_operational_log();
        self.make_directories();
        self.succeed(&format!("chmod 755 . && chown -R {user} data"));
    }

    /// Adds `count` failures, `count` logins and `count` errors of the server to the log. All users
    /// are different, and the addresses of the failures are different.
    pub fn log(&mut self, count: usize) {
        let lines = self.lines(count);
        self.append("log/mail.log", &lines);
    }

    /// Returns the lines of [`log`](Self::log), for a test that writes them itself.
    pub fn lines(&mut self, count: usize) -> String {
        use std::fmt::Write;
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
        let mut text = String::new();
        for _ in 0..count {
            let n = self.failures;
            let ip = address(n);
            let head = format!("{now} vm postfix/smtpd[74]:");
            writeln!(text, "{head} warning: unknown[{ip}]: SASL LOGIN authentication failed: x, sasl_username=u{n}").unwrap();
            writeln!(text, "{head} 4F{n:X}: client=unknown[198.51.100.7], sasl_method=LOGIN, sasl_username=l{n}").unwrap();
            writeln!(text, "{head} warning: unknown[198.51.100.7]: SASL LOGIN authentication failed: Connection lost to authentication server, sasl_username=e{n}").unwrap();
            self.failures += 1;
            self.logins += 1;
            self.errors += 1;
        }
        text
    }

    /// The number of failures in all written lines.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Appends text to a file.
    pub fn append(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    }

    /// The shell script that a unit runs, with the configuration of this service.
    #[must_use]
    pub fn script(&self, service: &str) -> String {
        units::script(service)
            .replace("/etc/maillogsentinel.conf", "conf")
            // Do not use a name server, and do not delay alerts.
            .replace("mls-enrich", "mls-enrich --no-dns")
            .replace("mls-mail", "mls-mail --alert-interval 0")
            // The SQL files already fill the default table with these rows, so load into another
            // table.
            .replace("mls-sql cursor", "mls-sql cursor --table loaded")
            .replace("mls-sql load", "mls-sql load --table loaded")
    }

    /// A shell command in the directory, which is not started yet.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let path = format!(
            "{}:{}/bin:{}:/usr/sbin",
            tools().display(),
            self.path().display(),
            std::env::var("PATH").unwrap()
        );
        let mut shell = Command::new("bash");
        shell
            .args(["-o", "pipefail", "-c", command])
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .env("PATH", path)
            .env("TZ", "UTC");
        shell
    }

    /// Runs a shell command to its end.
    #[must_use]
    pub fn shell(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    /// Runs a shell command that must succeed and returns what it printed.
    #[expect(clippy::must_use_candidate, reason = "most callers only want it to succeed")]
    pub fn succeed(&self, command: &str) -> String {
        output_of(command, &self.shell(command))
    }

    /// Repeats a script while another run has the lock (exit code 75).
    ///
    /// # Panics
    /// If the exit code is not 0 or 75, or is 75 for half a minute.
    pub fn settle(&self, script: &str) {
        for _ in 0..600 {
            let output = self.shell(script);
            match output.status.code() {
                Some(0) => return,
                Some(75) => std::thread::sleep(Duration::from_millis(50)),
                _ => panic!("{script}: {}: {}", output.status, text(&output.stderr)),
            }
        }
        panic!("{script}: another run never ended");
    }

    /// Repeats the pipeline of a unit while another run has the lock.
    pub fn run(&self, service: &str) {
        self.settle(&self.script(service));
    }

    /// Expects each failure once in the CSV and its rotated files.
    pub fn assert_failures(&self) {
        assert_each_once("u", &self.users_of_csv("F"), self.failures);
    }

    /// Expects each login once in the CSV of logins and its rotated files.
    pub fn assert_logins(&self) {
        assert_each_once("l", &self.users_of_csv("L"), self.logins);
    }

    /// Expects each login that the server could not check to be counted once.
    pub fn assert_errors(&self) {
        let cursor = CursorFile::load(&self.path().join("data/state/state.offset")).unwrap();
        let counted = cursor.unwrap().unchecked;
        assert_eq!(counted.total, self.errors as u64);
        assert_eq!(counted.hours.values().sum::<u64>(), counted.total, "{counted:?}");
    }

    fn users_of_csv(&self, name: &str) -> Vec<String> {
        let rows = self.succeed(&format!(
            "for f in data/{name} data/{name}-*[0-9] data/{name}-*.gz; do [ ! -e $f ] || gzip -cdf $f; done"
        ));
        let rows = rows.lines().filter(|row| !row.replace('"', "").starts_with("server,"));
        rows.map(|row| row.split(',').nth(3).unwrap_or(row).to_owned()).collect()
    }

    /// Expects each failure once in the database.
    pub fn assert_database(&self) {
        let users =
            self.succeed("sqlite3 data/events.db 'SELECT username FROM maillogsentinel_events'");
        let users: Vec<_> = users.lines().map(str::to_owned).collect();
        assert_each_once("u", &users, self.failures);
    }

    /// Expects each failure and each login once in the table that the log is loaded into.
    pub fn assert_loaded(&self) {
        let users = |outcome: &str| -> Vec<_> {
            let query = format!("SELECT username FROM loaded WHERE outcome = '{outcome}'");
            let users = self.succeed(&format!("sqlite3 data/events.db \"{query}\""));
            users.lines().map(str::to_owned).collect()
        };
        assert_each_once("u", &users("failure"), self.failures);
        assert_each_once("l", &users("success"), self.logins);
        let rows = self.succeed("sqlite3 data/events.db 'SELECT loaded_rows FROM loaded_cursor'");
        assert_eq!(
            rows.trim(),
            (self.failures + self.logins).to_string(),
            "the cursor counts rows"
        );
    }

    /// Expects each failure and each error to be counted in exactly one digest.
    pub fn assert_digests(&self) {
        let number = |text: &str| text.replace(',', "").parse::<usize>().unwrap();
        let (mut totals, mut errors) = (Vec::new(), Vec::new());
        for message in self.mailbox.messages() {
            let total = message.text.lines().find(|line| line.starts_with("Total attempts "));
            totals.extend(total.map(|line| number(line.rsplit(' ').next().unwrap())));
            let text = message.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let before = text.split_once(" could not be checked").map(|(before, _)| before);
            errors.extend(before.map(|before| number(before.rsplit(' ').nth(1).unwrap())));
        }
        assert_eq!(totals.iter().sum::<usize>(), self.failures, "{totals:?}");
        assert_eq!(errors.iter().sum::<usize>(), self.errors, "{errors:?}");
    }

    /// Expects the counter of the metrics to have each failure once, without the `before` failures
    /// that are older than the counter.
    ///
    /// # Panics
    /// If the counter has another value.
    pub fn assert_metrics(&self, before: usize) {
        let metrics = fs::read_to_string(self.path().join("data/metrics.prom")).unwrap();
        let name = "maillogsentinel_failed_logins_total ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), self.failures - before);
    }

    /// Expects one alert about each user and one alert about each address. A mail lists the first
    /// 1000 alerts and the number of all others.
    pub fn assert_alerts(&self) {
        let (mut users, mut alerts) = (Vec::new(), 0);
        for message in self.mailbox.messages() {
            // Skip the header, because the subject can be an alert too.
            let Some((_, body)) = message.text.split_once("\n\n") else { continue };
            for line in body.lines().filter(|line| line.contains(" (1/1h) at ")) {
                alerts += 1;
                let user = line.split_once(" failed logins of user ");
                users.extend(user.and_then(|(_, rest)| rest.split(' ').next()).map(str::to_owned));
            }
            let rest = body.lines().find_map(|line| {
                line.strip_prefix("and ")?.split_once(" more: mls-alert ")?.0.parse::<usize>().ok()
            });
            alerts += rest.unwrap_or(0);
        }
        let named = users.len();
        users.sort();
        users.dedup();
        assert_eq!(users.len(), named, "an alert about a user came twice");
        assert_eq!(alerts, 2 * self.failures, "{named} users were named");
    }

    /// Returns the blocked addresses. Each must be an attacker, and the list must not be torn.
    ///
    /// # Panics
    /// If an address never attacked, or the last line is incomplete.
    #[must_use]
    pub fn blocked(&self) -> Vec<String> {
        let list = fs::read_to_string(self.path().join("data/state/block/blocked.txt"));
        let list = list.unwrap_or_default();
        assert!(list.is_empty() || list.ends_with('\n'), "{list}");
        let known: std::collections::BTreeSet<_> =
            (0..self.failures).map(|n| format!("{}/32", address(n))).collect();
        for line in list.lines() {
            assert!(known.contains(line), "blocked though it never attacked: {line}");
        }
        list.lines().map(str::to_owned).collect()
    }

    /// Expects every attacker to be blocked.
    pub fn assert_blocked(&self) {
        let list = self.blocked();
        assert_eq!(list.len(), self.failures, "not everybody is blocked");
    }
}

/// Returns a different public address for each number.
fn address(n: usize) -> String {
    format!("{}.{}.{}.{}", 60 + n / 8_000_000, n / 40_000 % 200, n / 200 % 200, 1 + n % 200)
}
