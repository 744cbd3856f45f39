//! A fleet of mail servers in one database, while pipelines are killed and the database restarts. One
//! server is offline for a week, one is renamed, one is cloned, and one is stolen.
//!
//! Each server is a pair of namespaces with its own host name and machine ID. It shows a client
//! certificate, has its own role in the database, and runs the pipeline of the unit. `MLS_SERVERS` is the
//! number of servers (at least 6), `MLS_ROUNDS` the number of rounds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue should stop")]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mls_tests::killing::{end, kill_some};
use mls_tests::servers::{Kind, Server, make_certificates};
use mls_tests::{Site, is_root, skip, text, units};
use testdata::random::Random;

/// The servers to which something happens.
const OFFLINE: usize = 1;
const RENAMED: usize = 2;
const CLONED: usize = 3;
const STOLEN: usize = 4;

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// A mail server: a folder with its log and its configuration.
struct Host {
    folder: PathBuf,
    role: String,
    /// The name of the machine, which is the name of its source.
    name: String,
    machine: String,
    written: usize,
}

impl Host {
    fn new(site: &Site, number: usize, port: u16) -> Self {
        let role = format!("mx{number}");
        let folder = site.path().join(&role);
        std::fs::create_dir_all(folder.join("log")).unwrap();
        let certificates = site.path().display();
        let conf = format!(
            "[paths]\nworking_dir = data\nmail_log = {}/log/mail.log\n[logins]\nrecord = yes\n\
             [database]\ndb_type = postgresql\nmode = load\ndb_host = localhost\ndb_port = {port}\n\
             db_name = mls\ndb_user = {role}\nssl_root = {certificates}/ca.pem\n\
             ssl_cert = {certificates}/{role}.pem\nssl_key = {certificates}/{role}.key\n",
            folder.display()
        );
        site.write(&format!("{role}/conf"), &conf);
        let machine = format!("{number:032x}");
        site.write(&format!("{role}/id"), &machine);
        let host = Self { folder, name: role.clone(), role, machine, written: 0 };
        std::fs::File::create(host.folder.join("log/mail.log")).unwrap();
        host
    }

    /// Appends attempts to a log file: failures and logins by turns.
    fn log(&mut self, file: &str, day: &str, count: usize) {
        use std::io::Write as _;
        let path = self.folder.join("log").join(file);
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        let mut lines = String::new();
        for _ in 0..count {
            let n = self.written;
            let (second, ip) = (n % 60, format!("60.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250));
            let head = format!("{day}T12:00:{second:02}+00:00 {} postfix/smtpd[74]:", self.role);
            let line = if n.is_multiple_of(2) {
                format!(
                    "{head} warning: unknown[{ip}]: SASL LOGIN authentication failed: x, sasl_username=u{n}\n"
                )
            } else {
                format!(
                    "{head} 4F{n:X}: client=unknown[{ip}], sasl_method=LOGIN, sasl_username=u{n}\n"
                )
            };
            lines.push_str(&line);
            self.written += 1;
        }
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// The pipeline of the unit, on this machine.
    fn pipeline(&self, site: &Site) -> Command {
        let script = units::script("maillogsentinel-load.service")
            .replace("/etc/maillogsentinel.conf", "conf")
            .replace("mls-enrich", "mls-enrich --no-dns");
        self.command(site, &script)
    }

    fn command(&self, site: &Site, script: &str) -> Command {
        let mut command = site.command("");
        // Only its environment is of use.
        let environment: Vec<_> = command
            .get_envs()
            .map(|(key, value)| (key.to_owned(), value.unwrap().to_owned()))
            .collect();
        command = Command::new("unshare");
        command.envs(environment).current_dir(&self.folder).env("SCRIPT", script);
        let begin = format!(
            "hostname {} && mount --bind id /etc/machine-id && exec bash -o pipefail -c \"$SCRIPT\"",
            self.name
        );
        command.args(["--mount", "--uts", "bash", "-c", &begin]).stdin(Stdio::null());
        command
    }

    fn start(&self, site: &Site) -> Child {
        let mut command = self.pipeline(site);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs the pipeline until it ends well, as systemd does.
    fn finish(&self, site: &Site) {
        for _ in 0..100 {
            let output = self.pipeline(site).output().unwrap();
            match output.status.code() {
                Some(0) => return,
                Some(75) => {}
                _ => panic!("{}: {}: {}", self.role, output.status, text(&output.stderr)),
            }
        }
        panic!("{}: another run never ended", self.role);
    }

    /// Runs the pipeline, which must end with 78, and returns its messages.
    fn is_refused(&self, site: &Site) -> String {
        let output = self.pipeline(site).output().unwrap();
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{}: {messages}", self.role);
        messages
    }
}

/// A day, as in a stamp of a log.
fn day(ago: u64) -> chrono::NaiveDate {
    chrono::Utc::now().date_naive() - chrono::Days::new(ago)
}

#[test]
fn fleet_is_exact_and_a_stolen_server_reads_nothing() {
    if !is_root() {
        return skip("only root can give a process a host name and a machine ID");
    }
    let (count, rounds) = (from_environment("MLS_SERVERS", 6), from_environment("MLS_ROUNDS", 5));
    let seed = from_environment("MLS_SEED", 20_261_128);
    let mut random = Random::new(u64::try_from(seed).unwrap());
    let site = Site::new();
    let (mut server, flags) = fleet(&site, count);
    let mut hosts: Vec<_> = (0..count).map(|n| Host::new(&site, n, server.port())).collect();
    let yesterday = day(1).to_string();
    // The week that one server is offline: its log is rotated each day.
    for ago in (2..9).rev() {
        let file = format!("mail.log-{}", day(ago - 1).format("%Y%m%d"));
        hosts[OFFLINE].log(&file, &day(ago).to_string(), 500);
    }
    let (mut kills, mut deaths, mut restarts) = (0, 0, 0);
    for round in 0..rounds {
        let mut running = Vec::new();
        for (number, host) in hosts.iter_mut().enumerate() {
            host.log("mail.log", &yesterday, usize::try_from(random.below(200)).unwrap());
            if number != OFFLINE {
                running.push(host.start(&site));
            }
        }
        if round % 3 == 1 {
            std::thread::sleep(std::time::Duration::from_micros(random.below(400_000)));
            server.kill();
            server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
            restarts += 1;
        }
        for mut shell in running {
            if random.below(3) > 0 {
                std::thread::sleep(std::time::Duration::from_micros(random.below(100_000)));
                kill_some(&shell, &mut random);
                kills += 1;
            }
            deaths += u32::from(!end(&mut shell));
        }
    }
    for host in &hosts {
        host.finish(&site);
    }
    assert_exact(&server, &hosts);
    rename(&site, &server, &mut hosts[RENAMED]);
    clone(&site, &hosts[CLONED]);
    steal(&site, &server, &hosts[STOLEN]);
    for host in &mut hosts {
        host.log("mail.log", &yesterday, 10);
        host.finish(&site);
    }
    assert_exact(&server, &hosts);
    // The reader sees the fleet as one.
    let output = site.shell(&format!(
        "mls-sql dump --url '{}' | mls-report --format json",
        server.url().replacen("mls@", "digest@", 1)
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let total: usize = hosts.iter().map(|host| host.written).sum();
    println!(
        "{count} servers, {rounds} rounds, {kills} kills, {deaths} pipelines died, {restarts} restarts of the \
         database, {total} attempts: each once"
    );
    assert!(deaths > 0, "nothing died: nothing was tested");
}

/// Starts a database for a fleet; the second value are its flags.
fn fleet(site: &Site, count: usize) -> (Server, Vec<String>) {
    let roles: Vec<_> = (0..count).map(|n| format!("mx{n}")).collect();
    let mut server = Server::new(Kind::Postgresql);
    let schema = site.shell("mls-sql schema --fleet --dialect postgresql");
    let create =
        |role| format!("CREATE ROLE {role} LOGIN IN ROLE maillogsentinel_events_loader;\n");
    let mut sql = text(&schema.stdout);
    sql.extend(roles.iter().map(create));
    sql += "CREATE ROLE digest LOGIN IN ROLE maillogsentinel_events_reader;\n";
    let _ = server.query(&sql);
    let mut names = roles.clone();
    names.push("localhost".to_owned());
    let output = site.shell(&make_certificates(&names));
    assert!(output.status.success(), "{}{}", text(&output.stderr), site.read("openssl.log"));
    let flags = server.ask_for_certificates(site.path(), &roles);
    let digest = "host all digest 127.0.0.1/32 trust\n";
    let hba = std::fs::read_to_string(server.directory().join("data/pg_hba.conf")).unwrap();
    server.write("data/pg_hba.conf", &(hba + digest));
    server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    (server, flags)
}

/// Expects each attempt of each server once, and the number of rows in each cursor.
fn assert_exact(server: &Server, hosts: &[Host]) {
    let expected: BTreeMap<_, _> =
        hosts.iter().map(|host| (host.role.as_str(), (host.name.as_str(), host.written))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(role, (name, n))| format!("{role}\t{name}\t{n}\t{n}\n")).collect();
    let expected = expected.concat();
    let rows = "SELECT loaded_by, source, count(*), count(DISTINCT username) FROM maillogsentinel_events GROUP BY 1, 2 ORDER BY loaded_by COLLATE \"C\"";
    assert_eq!(server.query(rows), expected);
    let cursors = "SELECT loaded_by, source, loaded_rows, loaded_rows FROM maillogsentinel_events_cursor ORDER BY loaded_by COLLATE \"C\"";
    assert_eq!(server.query(cursors), expected);
}

/// A server gets another name. It does not load its log again, and continues after `rename-source`.
fn rename(site: &Site, server: &Server, host: &mut Host) {
    let old = std::mem::replace(&mut host.name, "renamed".to_owned());
    let messages = host.is_refused(site);
    let rename = format!("mls-sql rename-source {old} renamed");
    assert!(messages.contains(&format!("was the host renamed? Then run {rename}")), "{messages}");
    let output = site.shell(&format!("{rename} --url '{}'", server.url()));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A copy of a server has its certificate, its name and its log, but another machine ID.
fn clone(site: &Site, host: &Host) {
    let clone = Host {
        folder: site.path().join("clone"),
        role: host.role.clone(),
        name: host.name.clone(),
        machine: "c".repeat(32),
        written: 0,
    };
    let output = site.shell(&format!("cp -a {} clone", host.folder.display()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    site.write("clone/id", &clone.machine);
    let messages = clone.is_refused(site);
    assert!(messages.contains(&format!("has loaded source {}", host.name)), "{messages}");
    assert!(messages.contains("--adopt"), "{messages}");
}

/// Somebody has the certificate of a server.
fn steal(site: &Site, server: &Server, host: &Host) {
    let run = |sql: &str| thief(site.path(), server, &host.role, sql);
    for sql in [
        "SELECT * FROM maillogsentinel_events",
        "SELECT count(*) FROM maillogsentinel_events",
        "COPY maillogsentinel_events TO STDOUT",
        "INSERT INTO maillogsentinel_events (event_time) VALUES (now()) RETURNING username",
        "UPDATE maillogsentinel_events SET username = 'x'",
        "DELETE FROM maillogsentinel_events",
        "TRUNCATE maillogsentinel_events",
        "DROP TABLE maillogsentinel_events",
        "INSERT INTO maillogsentinel_events (event_time, loaded_by) VALUES (now(), 'mx0')",
        "INSERT INTO maillogsentinel_events_cursor (source, sequence, position, loaded_by) VALUES ('mx0', 1, '', 'mx0')",
        "UPDATE maillogsentinel_events_cursor SET loaded_by = 'mx0'",
        "DELETE FROM maillogsentinel_events_cursor",
        "SELECT * FROM maillogsentinel_events_imports",
        "SET ROLE mx0",
        "SET SESSION AUTHORIZATION mx0",
        "ALTER TABLE maillogsentinel_events_cursor DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_sources ON maillogsentinel_events_cursor",
        "CREATE TRIGGER t AFTER INSERT ON maillogsentinel_events EXECUTE FUNCTION now()",
        "BEGIN; LOCK TABLE maillogsentinel_events IN ACCESS EXCLUSIVE MODE",
    ] {
        let output = run(sql);
        let messages = text(&output.stderr);
        let is_refused =
            ["permission denied", "must be owner"].iter().any(|why| messages.contains(why));
        assert!(!output.status.success() && is_refused, "{sql}: {messages}");
        assert_eq!(text(&output.stdout), "", "{sql}");
    }
    // Without the partitions, too.
    let partition = chrono::Utc::now().format("maillogsentinel_events_%Y_%m");
    assert!(!run(&format!("SELECT * FROM {partition}")).status.success());
    // It sees its own cursor only, and cannot move others.
    let output = run("SELECT DISTINCT loaded_by FROM maillogsentinel_events_cursor");
    assert_eq!(text(&output.stdout).trim(), host.role);
    for sql in [
        "UPDATE maillogsentinel_events_cursor SET sequence = 99 WHERE source = 'mx0'",
        "UPDATE maillogsentinel_events_cursor SET position = 'x' WHERE loaded_by <> session_user",
    ] {
        assert!(run(sql).status.success(), "{sql}");
    }
    // The role of another server needs another certificate.
    let output = thief_as(site.path(), server, &host.role, "mx0", "SELECT 1");
    let messages = text(&output.stderr);
    assert!(messages.contains("certificate authentication failed for user \"mx0\""), "{messages}");
}

fn thief(certificates: &Path, server: &Server, role: &str, sql: &str) -> Output {
    thief_as(certificates, server, role, role, sql)
}

/// Runs a statement with the certificate of `role`, as the user `user`.
fn thief_as(certificates: &Path, server: &Server, role: &str, user: &str, sql: &str) -> Output {
    let url = format!(
        "postgres://{user}@localhost:{}/mls?sslmode=verify-full&sslrootcert=ca.pem&sslcert={role}.pem&sslkey={role}.key",
        server.port()
    );
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &url, "-c", sql]);
    psql.current_dir(certificates).output().unwrap()
}
