//! Many mail servers load into one database, while processes are killed, networks are cut and the
//! database restarts. One server is offline for a week, one is renamed, one is cloned, one loses
//! its power, and the certificate of one is stolen.
//!
//! Each server has its own network, host name and machine ID (namespaces), a client certificate,
//! and a role in the database. It runs the pipeline of `maillogsentinel-load.service`.
//! `MLS_SERVERS` is the number of servers (at least 6), `MLS_ROUNDS` the number of rounds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue should stop")]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mls_tests::killing::{end, kill_some};
use mls_tests::servers::{Kind, Server, make_certificates};
use mls_tests::stolen::assert_powerless;
use mls_tests::{Site, is_root, network, skip, text, units};
use testdata::random::Random;

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
    /// The host name, which is also the name of the source in the database.
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
        network::add(&role, number);
        let host = Self { folder, name: role.clone(), role, machine, written: 0 };
        std::fs::File::create(host.folder.join("log/mail.log")).unwrap();
        host
    }

    /// Appends attempts to a log file: failed and successful logins in turn.
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

    /// The pipeline of `maillogsentinel-load.service`, on this server.
    fn pipeline(&self, site: &Site) -> Command {
        let script = units::script("maillogsentinel-load.service")
            .replace("/etc/maillogsentinel.conf", "conf")
            .replace("mls-enrich", "mls-enrich --no-dns");
        self.command(site, &script)
    }

    fn command(&self, site: &Site, script: &str) -> Command {
        let mut command = site.command("");
        // Take only the environment from this command.
        let environment: Vec<_> = command
            .get_envs()
            .map(|(key, value)| (key.to_owned(), value.unwrap().to_owned()))
            .collect();
        let [nsenter, network] = network::on(&self.role);
        command = Command::new(nsenter);
        command.arg(network).arg("unshare");
        command.envs(environment).current_dir(&self.folder).env("SCRIPT", script);
        let begin = format!(
            "hostname {} && mount --bind id /etc/machine-id && mount --bind ../hosts /etc/hosts && exec bash -o pipefail -c \"$SCRIPT\"",
            self.name
        );
        command.args(["--mount", "--uts", "bash", "-c", &begin]).stdin(Stdio::null());
        command
    }

    fn start(&self, site: &Site) -> Child {
        let mut command = self.pipeline(site);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs the pipeline again after each exit 75 (try later), as systemd does.
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

    /// Runs the pipeline, expects the exit code 78, and returns the error messages.
    fn is_refused(&self, site: &Site) -> String {
        let output = self.pipeline(site).output().unwrap();
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{}: {messages}", self.role);
        messages
    }
}

fn day(ago: u64) -> chrono::NaiveDate {
    chrono::Utc::now().date_naive() - chrono::Days::new(ago)
}

#[test]
fn fleet_is_exact_and_a_stolen_server_reads_nothing() {
    if !is_root() {
        return skip("only root can give a process a network, a host name and a machine ID");
    }
    if !network::is_inside("fleet_is_exact_and_a_stolen_server_reads_nothing") {
        return;
    }
    let (count, rounds) = (from_environment("MLS_SERVERS", 6), from_environment("MLS_ROUNDS", 5));
    let seed = from_environment("MLS_SEED", 20_261_128);
    let mut random = Random::new(u64::try_from(seed).unwrap());
    let site = Site::new();
    // The certificate is for `localhost`, so clients must use this name.
    site.write("hosts", &format!("{} localhost\n", network::SERVER));
    let (mut server, flags) = fleet(&site, count + 1);
    let dark = Host::new(&site, count, server.port());
    let died = lose_power(&site, &server, &dark);
    let mut hosts: Vec<_> = (0..count).map(|n| Host::new(&site, n, server.port())).collect();
    let yesterday = day(1).to_string();
    // One server is offline for a week. Its log is rotated each day.
    for ago in (2..9).rev() {
        let file = format!("mail.log-{}", day(ago - 1).format("%Y%m%d"));
        hosts[OFFLINE].log(&file, &day(ago).to_string(), 500);
    }
    network::unplug(&hosts[OFFLINE].role);
    let mut offline = hosts[OFFLINE].start(&site);
    let (mut kills, mut cuts, mut deaths, mut restarts) = (0, 0, 0, 0);
    for round in 0..rounds {
        let mut running = Vec::new();
        for (number, host) in hosts.iter_mut().enumerate() {
            host.log("mail.log", &yesterday, usize::try_from(random.below(200)).unwrap());
            if number != OFFLINE {
                running.push(host.start(&site));
            }
        }
        if round % 3 == 1 {
            std::thread::sleep(Duration::from_micros(random.below(400_000)));
            server.kill();
            server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
            restarts += 1;
        }
        let connected = hosts.iter().enumerate().filter(|(number, _)| *number != OFFLINE);
        for (mut shell, (_, host)) in running.into_iter().zip(connected) {
            let is_cut = random.below(3) == 0;
            if is_cut {
                network::unplug(&host.role);
                cuts += 1;
            }
            if random.below(3) > 0 {
                std::thread::sleep(Duration::from_micros(random.below(100_000)));
                kill_some(&shell, &mut random);
                kills += 1;
            }
            if is_cut {
                std::thread::sleep(Duration::from_micros(random.below(300_000)));
                network::plug(&host.role);
            }
            deaths += u32::from(!end(&mut shell));
        }
    }
    assert_eq!(offline.wait().unwrap().code(), Some(75));
    network::plug(&hosts[OFFLINE].role);
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
    // Wait until the database ends the session of the dead machine, which releases its locks.
    let sessions = connections(&dark, "true");
    while server.query(&sessions).trim() != "0" {
        assert!(died.elapsed() < Duration::from_secs(100), "{} still has a session", dark.role);
        std::thread::sleep(Duration::from_millis(200));
    }
    // The role `digest` can read the events of all servers.
    let output = site.shell(&format!(
        "mls-sql dump --url '{}' | mls-report --format json",
        server.url().replacen("mls@", "digest@", 1)
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let total: usize = hosts.iter().map(|host| host.written).sum();
    println!(
        "{count} servers, {rounds} rounds, {kills} kills, {cuts} cables pulled out, {deaths} pipelines died, {restarts} restarts of the \
         database, {total} attempts: each once"
    );
    assert!(cuts > 0, "no cable was pulled out: nothing was tested");
    assert!(deaths > 0, "nothing died: nothing was tested");
}

#[test]
fn run_of_a_test_that_does_not_exist_is_a_failure() {
    if !is_root() {
        return skip("only root can give a process a network");
    }
    let panic = std::panic::catch_unwind(|| network::is_inside("test_of_another_name"));
    let panic = panic.unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(message, "there is no test test_of_another_name");
}

/// Starts a database for all servers. Returns the database server, and the flags to start it again.
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
    let mut flags = server.ask_for_certificates(site.path(), &roles);
    flags.extend(["-c", "listen_addresses=*"].map(str::to_owned));
    let digest = "host all digest 127.0.0.1/32 trust\n";
    let hba = std::fs::read_to_string(server.directory().join("data/pg_hba.conf")).unwrap();
    server.write("data/pg_hba.conf", &(hba + digest));
    server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    (server, flags)
}

/// Cuts the power of a machine during a transaction. Returns the time of the power cut.
fn lose_power(site: &Site, server: &Server, host: &Host) -> Instant {
    let record = format!(
        r#"{{"v":1,"type":"auth","date":"{}T12:00:00Z","outcome":"failure","user":"{}"}}"#,
        day(1),
        "x".repeat(100)
    );
    let load =
        format!("(yes '{record}' | head -n 5000; exec sleep 600) | mls-sql load --config conf");
    let mut command = host.command(site, &load);
    let mut loader = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while server.query(&connections(host, "state = 'idle in transaction'")).trim() != "1" {
        assert!(begun.elapsed() < Duration::from_mins(1), "no transaction");
        std::thread::sleep(Duration::from_millis(50));
    }
    network::power_off(&host.role);
    loader.wait().unwrap();
    assert_eq!(server.query(&connections(host, "true")).trim(), "1");
    Instant::now()
}

fn connections(host: &Host, condition: &str) -> String {
    let role = &host.role;
    format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND {condition}")
}

/// Checks that each attempt is one row, and that each cursor has the right number of rows.
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

/// Renames a server. Its load must be refused until `mls-sql rename-source` is run.
fn rename(site: &Site, server: &Server, host: &mut Host) {
    let old = std::mem::replace(&mut host.name, "renamed".to_owned());
    let messages = host.is_refused(site);
    let rename = format!("mls-sql rename-source {old} renamed");
    assert!(messages.contains(&format!("if the host was renamed, run {rename}")), "{messages}");
    let output = site.shell(&format!("{rename} --url '{}'", server.url()));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A copy of a server has the same certificate and name, but another machine ID: it is refused.
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
    assert!(messages.contains("--take-over"), "{messages}");
}

/// With a stolen certificate, nobody must read or change events.
fn steal(site: &Site, server: &Server, host: &Host) {
    let run = |sql: &str| thief(site.path(), server, &host.role, sql);
    assert_powerless(run, &host.role, "mx0");
    // The role `mx0` needs the certificate of `mx0`.
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
