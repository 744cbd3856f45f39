//! The front end, run as a person or cron runs it, without systemd.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use mls_tests::{Site, is_root, skip, terminal, text};

/// A site with a configuration, and a home directory for the caller.
struct Front {
    site: Site,
    config: PathBuf,
}

impl Front {
    fn new(name: &str, more: &str) -> Self {
        let site = Site::new();
        let dir = site.path().display().to_string();
        let user = text(&Command::new("id").arg("-un").output().unwrap().stdout);
        site.write(
            name,
            &format!(
                "[paths]\nworking_dir = {dir}\nstate_dir = {dir}/state\nmail_log = {dir}/mail.log\ncsv_filename = F\n\
                 [geolocation]\ncountry_db_path = {dir}/c.csv\n[ASN_ASO]\nasn_db_path = {dir}/a.csv\n\
                 [general]\nlog_file = x.log\n[systemd]\nuser = {user}\n{more}\n"
            ),
        );
        fs::create_dir(site.path().join("state")).unwrap();
        fs::create_dir(site.path().join("home")).unwrap();
        let config = site.path().join(name);
        Self { site, config }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/maillogsentinel"));
        command.arg("--config").arg(&self.config).args(args);
        command.env("HOME", self.site.path().join("home")).env_remove("SUDO_UID");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    fn archive(&self) -> Vec<String> {
        let home = self.site.path().join("home");
        let directory = fs::read_dir(home).unwrap().next().unwrap().unwrap().path();
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn without_a_command_it_extracts_once_and_a_name_with_quotes_and_spaces_does_no_harm() {
    let mut front = Front::new("it's \"a\" $(touch x) & conf", "");
    front.site.log(20);
    front.succeeds(&[]);
    front.site.assert_exact();
    front.site.log(5);
    front.succeeds(&[]);
    front.succeeds(&[]);
    front.site.assert_exact();
    assert!(!front.site.path().join("x").exists() && !Path::new("x").exists());
}

#[test]
fn each_run_prints_a_summary_also_if_nothing_is_new() {
    let mut front = Front::new(
        "conf",
        "[database]\ndb_type = sqlite\n[retention]\ncsv_days = 9000\n[logins]\nrecord = no",
    );
    front.site.log(3);
    for (args, first, second) in [
        (&[][..], "recorded 3 failed logins in ", "recorded 0 failed logins in "),
        (&["--sql-export"], "exported 3 ", "exported nothing"),
        (&["--sql-import"], "imported 1 of 1 SQL file ", "imported 0 of 1 SQL file "),
    ] {
        for expected in [first, second] {
            let said = text(&front.run(args).stderr);
            assert!(said.contains(expected), "{args:?}: {said}");
            assert!(said.lines().all(|line| line.contains(": info: ")), "{said}");
        }
    }
    let said = front.succeeds(&["--prune"]);
    assert_eq!(said, "nothing is older than [retention] allows\n");
}

#[test]
fn the_exit_code_comes_from_the_stage_that_failed() {
    let mut front = Front::new("conf", "");
    front.site.log(1);
    front.succeeds(&[]);
    front.site.append("state/state.offset", "x");
    assert_eq!(front.run(&[]).status.code(), Some(78), "a restart cannot repair a damaged cursor");
    assert_eq!(front.run(&["--report", "--prune"]).status.code(), Some(64));
    assert_eq!(front.run(&["--nonsense"]).status.code(), Some(64));
}

#[test]
fn a_unit_without_a_pipeline_is_an_error_of_every_command_that_runs_it() {
    let front = Front::new("conf", "");
    for directory in ["scripts", "systemd"] {
        fs::create_dir(front.site.path().join(directory)).unwrap();
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = front.site.path().join("scripts/maillogsentinel");
    fs::copy(tree.join("scripts/maillogsentinel"), &script).unwrap();
    for unit in ["maillogsentinel", "maillogsentinel-report"] {
        front.site.write(&format!("systemd/{unit}.service"), "[Service]\nExecStart=/bin/true\n");
    }
    let path =
        format!("{}:{}", tree.join("target/debug").display(), std::env::var("PATH").unwrap());
    for args in [&[][..], &["--report"]] {
        let mut command = Command::new(&script);
        let output = command
            .arg("--config")
            .arg(&front.config)
            .args(args)
            .env("PATH", &path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(65), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("has no pipeline"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_digest_that_cannot_be_sent_is_preceded_by_an_extraction_and_a_debug_run_shows_both() {
    // Port 1 refuses: no mail server is there.
    let mut front = Front::new(
        "conf",
        "[report]\nemail = a@example.test\nsmtp_host = 127.0.0.1\nsmtp_port = 1",
    );
    front.site.log(3);
    let output = front.run(&["--debug", "--report"]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    front.site.assert_exact();
    let said = text(&output.stderr);
    for part in ["mls-tail --config", "mls-csv: info: ", "mls-report --config", "127.0.0.1:1"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn a_purge_moves_a_log_with_the_name_of_the_csv_once() {
    let mut front = Front::new("conf", "");
    let config = front.site.read("conf").replace("log_file = x.log", "log_file = F.log");
    front.site.write("conf", &config);
    front.site.log(4);
    front.succeeds(&[]);
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(front.archive(), ["F", "F.log", "state.offset"]);
}

#[test]
fn a_purge_moves_everything_home_and_the_next_run_starts_over() {
    let mut front = Front::new("conf", "");
    front.site.log(4);
    front.succeeds(&[]);
    let silent = front.command(&["--purge"]).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(silent.status.code(), Some(64), "it asks, and nobody is there");
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("Go on?", "n\n")]);
    assert!(code == 64 && said.contains("nothing was changed"), "{code}: {said}");
    front.site.assert_exact();
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("Go on?", "y\n")]);
    assert!(code == 0 && said.contains("Archived in"), "{code}: {said}");
    assert_eq!(front.archive(), ["F", "state.offset", "x.log"]);
    assert!(front.site.files("F").iter().all(|name| name == "F.lock"), "the CSV is still there");
    front.succeeds(&[]);
    front.site.assert_exact();
}

#[test]
fn a_purge_does_not_wait_and_does_not_disturb_a_running_pipeline() {
    let mut front = Front::new("conf", "");
    front.site.log(4);
    front.succeeds(&[]);
    let lock = front.site.command("exec 9>>F.lock; flock 9; echo locked; read x; echo done");
    let mut lock = { lock }
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 7];
    std::io::Read::read_exact(lock.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(front.run(&["--yes", "--reset"]).status.code(), Some(75));
    front.site.assert_exact();
    drop(lock.stdin.take());
    lock.wait().unwrap();
    front.succeeds(&["--yes", "--reset"]);
}

#[test]
fn pruning_rotates_a_csv_with_old_rows_and_removes_it_when_all_of_them_are_old() {
    let mut front = Front::new("conf", "[retention]\ncsv_days = 10");
    // The rows are of June 2026; the log is read as it is.
    front.site.log(3);
    front.succeeds(&[]);
    let said = front.succeeds(&["--prune"]);
    assert!(said.starts_with("rotated ") && front.site.files("F-").len() == 1, "{said}");
    front.site.log(2);
    front.succeeds(&[]);
    assert_eq!(front.site.read("F").lines().count(), 1 + 2);
    let rotated = front.site.files("F-")[0].clone();
    let age = |days: u32| {
        assert!(
            front.site.shell(&format!("touch --date='{days} days ago' {rotated}")).status.success()
        );
    };
    age(9);
    // It has old rows too, and today's name exists: nothing is overwritten.
    assert_eq!(front.run(&["--prune"]).status.code(), Some(75));
    front.site.write("F", "");
    front.succeeds(&["--prune"]);
    assert_eq!(front.site.files("F-").len(), 1);
    age(11);
    assert!(
        front
            .succeeds(&["--prune"])
            .contains(&format!("removed {}", front.site.path().join(rotated).display()))
    );
    assert!(front.site.files("F-").is_empty());
}

/// The pipeline of `maillogsentinel-follow.service`, started again where it ends with 75, as systemd does it.
struct Following(Child);

impl Following {
    fn new(front: &Front) -> Self {
        let unit =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/maillogsentinel-follow.service");
        let unit = fs::read_to_string(unit).unwrap().replace("\\\n", " ").replace("$$", "$");
        let script = unit.split_once("-c '").unwrap().1.split_once("'\n").unwrap().0;
        let script = script.replace("/etc/maillogsentinel.conf", front.config.to_str().unwrap());
        let restarted = format!(
            "trap : TERM; while :; do ({script}); code=$?; [ $code = 75 ] || exit $code; done"
        );
        Self(front.site.command(&restarted).process_group(0).spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args([signal, "--", &group]).output();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

/// Waits until the CSV and its rotated files have this number of rows, and the CSV has some.
fn until_rows(front: &Front, rows: usize) {
    let begun = Instant::now();
    let count = |name: &str| {
        front.site.read(name).lines().filter(|line| !line.starts_with("server,")).count()
    };
    let rotated = || front.site.files("F-").iter().map(|name| count(name)).sum::<usize>();
    while count("F") == 0 || count("F") + rotated() != rows {
        assert!(begun.elapsed() < Duration::from_secs(30), "row {rows} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn pruning_a_followed_log_respects_the_days_and_keeps_each_row_once() {
    let mut front = Front::new(
        "conf",
        "extraction_schedule = follow\n[database]\ndb_type = sqlite\n[retention]\ncsv_days = 10",
    );
    front.site.log(3);
    let mut pipeline = Following::new(&front);
    until_rows(&front, 3);
    // All rows are old, and they come all the time.
    let prune = |front: &mut Front| {
        let lines: Vec<_> = (0..200).map(|_| front.site.failures(1)).collect();
        let said = std::thread::scope(|scope| {
            scope.spawn(|| {
                for line in &lines {
                    front.site.append("mail.log", line);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            front.succeeds(&["--prune"])
        });
        // At the latest now, the pipeline notices that its CSV is gone.
        front.site.log(1);
        said
    };
    assert!(prune(&mut front).contains("rotated "));
    until_rows(&front, 204);
    let rotated = front.site.files("F-")[0].clone();
    let removed = front.site.read(&rotated);
    assert!(
        front
            .site
            .shell(&format!("mv {rotated} F-1; touch --date='11 days ago' F-1"))
            .status
            .success()
    );
    assert!(prune(&mut front).contains("removed "));
    until_rows(&front, 405 - (removed.lines().count() - 1));
    pipeline.signal("-TERM");
    assert!(pipeline.0.wait().unwrap().success());
    assert_eq!((front.site.files("F-1"), front.site.files("F.recovered")), (vec![], vec![]));
    let rotated: Vec<_> = front.site.files("F-").iter().map(|name| front.site.read(name)).collect();
    front.site.write("all", &(removed + &rotated.concat() + &front.site.read("F")));
    front.succeeds(&["--sql-export"]);
    front.succeeds(&["--sql-import"]);
    let database = "sqlite3 state/maillogsentinel.db 'SELECT username FROM maillogsentinel_events'";
    let exported = text(&front.site.shell(database).stdout);
    front.site.assert_exact_users(exported.lines());
    assert!(front.site.shell("mv all F").status.success());
    front.site.assert_exact();
}

#[test]
fn status_says_first_whether_the_service_is_healthy_and_why_not() {
    let mut front = Front::new("conf", "");
    front.site.log(3);
    front.succeeds(&[]);
    front.site.log(2);
    let said = front.succeeds(&["--status"]);
    assert!(said.starts_with("healthy\n"), "{said}");
    assert!(said.contains("F: 3 rows, the last of 2026-06-01T"), "{said}");
    assert!(said.contains("not recorded yet: 2, the first of 2026-06-01 "), "{said}");
    assert!(said.contains("c.csv"), "{said}");
    assert!(said.contains("the last run that found new lines ended: 20"), "{said}");
    assert!(!said.contains("exported"), "there is no database: {said}");
    let json = |front: &Front| {
        let output = front.run(&["--status", "--json"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), value)
    };
    let (code, value) = json(&front);
    assert_eq!((code, &value["healthy"], &value["rows"]), (0, &true.into(), &3.into()));
    assert_eq!(value["not_recorded"], 2);
    assert!(value["first_not_recorded"].as_str().unwrap().starts_with("2026-06-01T"), "{value}");
    assert!(value["jobs"].is_array(), "{value}");
    assert!(value["last_commit"].as_str().unwrap().starts_with("20"), "{value}");

    front.site.append("state/state.offset", "x");
    fs::remove_file(front.site.path().join("c.csv")).unwrap();
    let output = front.run(&["--status"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("not healthy: the mail log cannot be read"), "{said}");
    assert!(said.contains("not healthy: the country and AS databases are missing"), "{said}");
    let (code, value) = json(&front);
    assert_eq!((code, value["problems"].as_array().unwrap().len()), (1, 2), "{value}");
    assert_eq!(value["not_recorded"], serde_json::Value::Null);
}

#[test]
fn status_names_logins_that_the_server_could_not_check() {
    let front = Front::new("conf", "");
    let head = "2026-06-01T07:00:01+00:00 vm postfix/smtpd[7]: warning: unknown[192.0.2.1]:";
    let error = format!(
        "{head} SASL LOGIN authentication failed: Connection lost to authentication server\n"
    );
    front.site.append("mail.log", &error.repeat(3));
    front.succeeds(&[]);
    assert_eq!(front.site.read("F").lines().count(), 1);
    let said = front.succeeds(&["--status"]);
    assert!(
        said.contains("the mail server could not check: 3, the last after 2026-06-01 "),
        "{said}"
    );
    let json = front.succeeds(&["--status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["logins_not_checked"], &value["not_recorded"]), (&3.into(), &0.into()));
}

#[test]
fn status_names_keys_that_have_no_effect() {
    let front = Front::new("conf", "[alert]\nuser = 9/1h\n[dns_cache]\nenabled = no");
    let sentence = "[alert] user has no effect: [report] email is empty, so no mail is sent";
    let said = front.succeeds(&["--status"]);
    assert!(said.contains(&format!("note: {sentence}\n")), "{said}");
    assert_eq!(said.matches("has no effect").count(), 1, "{said}");
    let json = front.succeeds(&["--status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["without_effect"], serde_json::json!([sentence]));
}

#[test]
fn the_command_in_readme_accepts_an_edited_csv() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let mut front = Front::new("conf", "");
    front.site.log(3);
    front.succeeds(&[]);
    front.site.write("F", &front.site.read("F").replace("u1", "U1"));
    front.site.log(4);
    let output = front.run(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for words in ["have changed since the last commit", "maillogsentinel --adopt"] {
        assert!(said.contains(words) && readme.contains(&format!("`{words}`")), "{said}");
    }
    front.succeeds(&["--adopt"]);
    assert_eq!(front.site.read("F").lines().count(), 8);
    front.succeeds(&[]);
}

#[test]
fn two_purges_within_a_second_leave_nothing_in_hidden_directories() {
    let mut front = Front::new("conf", "");
    for n in 1..=3 {
        front.site.log(1);
        front.succeeds(&[]);
        front.succeeds(&["--yes", "--purge"]);
        let home = fs::read_dir(front.site.path().join("home")).unwrap();
        assert_eq!(home.count(), n);
        let state = fs::read_dir(front.site.path().join("state")).unwrap().flatten();
        let names: Vec<_> = state.map(|entry| entry.file_name()).collect();
        assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{names:?}");
    }
}

#[test]
fn a_running_pipeline_is_reported_before_a_purge_asks() {
    let mut front = Front::new("conf", "");
    front.site.log(1);
    front.succeeds(&[]);
    let mut lock = front.site.command("exec 9>>F.lock; flock 9; echo locked; read x");
    let mut lock = lock
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(lock.stdout.as_mut().unwrap(), &mut [0; 7]).unwrap();
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("at work", "")]);
    assert!(code == 75 && !said.contains("Go on?"), "{said}");
    drop(lock.stdin.take());
    lock.wait().unwrap();
}

const LOGIN: &str = "2026-06-01T10:00:00+00:00 vm postfix/smtps/smtpd[7]: 4A1B2C3D: client=home.example[192.0.2.7], \
                     sasl_method=PLAIN, sasl_username=u7\n";

#[test]
fn logins_are_recorded_with_the_failures_if_the_configuration_says_so() {
    for (record, rows) in [("no", 0), ("yes", 1)] {
        let mut front = Front::new("conf", &format!("[logins]\nrecord = {record}"));
        front.site.log(3);
        front.site.append("mail.log", LOGIN);
        front.succeeds(&[]);
        front.succeeds(&[]);
        front.site.assert_exact();
        assert_eq!(front.site.path().join("logins.csv").exists(), rows == 1, "record = {record}");
        let logins = if rows == 1 { front.site.read("logins.csv") } else { String::new() };
        assert_eq!(logins.matches("u7").count(), rows, "{logins}");
    }
}

#[test]
fn recorded_logins_are_pruned_and_purged_with_the_failures() {
    let front = Front::new("conf", "[logins]\nrecord = yes\n[retention]\nlogins_days = 10");
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let row = "vm,2026-06-01 00:00,192.0.2.1,u7,null,null,null,null,null\n";
    front.site.write("logins.csv", &format!("{header}{row}"));
    front.site.append("mail.log", LOGIN);
    let said = front.succeeds(&["--status"]);
    assert!(said.contains("logins.csv: 1 rows"), "{said}");
    assert!(
        said.contains("logins in the log that are not recorded yet: 1, the first of 2026-06-01 "),
        "{said}"
    );
    assert!(front.succeeds(&["--prune"]).starts_with("rotated "));
    let rotated = front.site.files("logins.csv-")[0].clone();
    assert!(front.site.shell(&format!("touch --date='11 days ago' {rotated}")).status.success());
    assert!(front.succeeds(&["--prune"]).starts_with("removed "));
    front.site.write("logins.csv", &format!("{header}{row}"));
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(front.archive(), ["logins.csv", "x.log"]);
}

#[test]
fn a_run_by_root_leaves_no_file_of_root() {
    if !is_root() {
        return skip("only root can drop to another user");
    }
    let mut front = Front::new("conf", "");
    front.site.log(3);
    let config = fs::read_to_string(&front.config).unwrap().replace("user = root", "user = nobody");
    front.site.write("conf", &config);
    let dir = front.site.path();
    for directory in [dir.to_owned(), dir.join("state")] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&directory, Some(65534), Some(65534)).unwrap();
    }
    front.succeeds(&[]);
    for file in ["F", "F.lock", "state/state.offset", "x.log"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().uid(), 65534, "{file}");
    }
    // A link in a directory of the service cannot make root change another file.
    front.site.write("secret", "secret");
    std::os::unix::fs::symlink(dir.join("secret"), dir.join("F-20260101")).unwrap();
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(fs::read_to_string(dir.join("secret")).unwrap(), "secret");
    assert!(!front.archive().contains(&"F-20260101".to_owned()));
}

#[test]
fn rows_go_through_sql_files_into_a_database_once_and_a_purge_names_those_that_did_not() {
    let mut front =
        Front::new("conf", "[database]\ndb_type = sqlite\n[retention]\nsql_files_days = 1");
    let count = |front: &Front| {
        let output = front.site.shell(
            "sqlite3 state/maillogsentinel.db 'SELECT count(*) FROM maillogsentinel_events'",
        );
        text(&output.stdout).trim().to_owned()
    };
    for n in [3, 2] {
        front.site.log(n);
        front.succeeds(&[]);
        front.succeeds(&["--sql-export"]);
        front.succeeds(&["--sql-import"]);
        front.succeeds(&["--sql-export"]);
        front.succeeds(&["--sql-import"]);
    }
    assert_eq!((count(&front), front.site.files("sql").len()), ("5".into(), 1));
    // A file that was never imported is not removed before it is.
    front.site.log(4);
    front.succeeds(&[]);
    assert!(front.succeeds(&["--status"]).contains("not exported yet: 4"));
    front.succeeds(&["--sql-export"]);
    assert!(front.site.shell("touch --date='3 days ago' sql/*.sql").status.success());
    assert_eq!(front.succeeds(&["--prune"]).matches("removed ").count(), 3);
    assert_eq!(count(&front), "9");
    front.site.log(1);
    front.succeeds(&[]);
    let said = front.succeeds(&["--yes", "--purge"]);
    assert!(said.contains("1 rows were not exported"), "{said}");
    assert_eq!(front.archive(), ["F", "sql_state.offset", "state.offset", "x.log"]);
}

#[test]
fn attempts_are_loaded_from_the_log_and_status_shows_the_progress() {
    let mut front = Front::new(
        "conf",
        "[database]\ndb_type = sqlite\nmode = load\nsource = mx1\n[retention]\ndatabase_days = 9000\n[logins]\nrecord = no",
    );
    let count = |front: &Front| {
        let output = front.site.shell(
            "sqlite3 state/maillogsentinel.db 'SELECT count(*) FROM maillogsentinel_events'",
        );
        text(&output.stdout).trim().to_owned()
    };
    let status = |front: &Front| text(&front.run(&["--status"]).stdout);
    front.site.log(3);
    let said = status(&front);
    assert!(said.contains("it does not exist yet; mls-sql load creates it, source mx1: 0 rows, last commit: none yet"), "{said}");
    assert!(said.contains("not loaded yet: 3\n"), "{said}");
    for _ in 0..2 {
        front.succeeds(&[]);
    }
    assert_eq!(count(&front), "3");
    front.site.log(2);
    let said = status(&front);
    assert!(said.contains(", source mx1: 3 rows, last commit: 20"), "{said}");
    assert!(said.contains("not loaded yet: 2\n"), "{said}");
    let said = text(&front.run(&["--status", "--json"]).stdout);
    assert!(said.contains(",\"loaded\":3,\"not_loaded\":2,\"last_load\":\"20"), "{said}");
    let output = front.run(&["--sql-export"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    front.succeeds(&["--prune"]);
    let said = front.succeeds(&["--yes", "--purge"]);
    assert!(said.contains("The database keeps its rows and its position in the log"), "{said}");
    front.succeeds(&[]);
    assert_eq!(count(&front), "5");
    // The log is older than the days to keep.
    let conf = front.site.read("conf").replace("9000", "1");
    front.site.write("conf", &conf);
    let said = text(&front.run(&["--prune"]).stderr);
    assert!(said.contains("removed 5 events from table maillogsentinel_events"), "{said}");
    assert_eq!(count(&front), "0");
    front.site.write("state/maillogsentinel.db", "no database");
    let said = status(&front);
    assert!(said.contains("the database cannot be used: mls-sql --config "), "{said}");
}
