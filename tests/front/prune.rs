//! `--prune` removes old data.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mls_tests::text;

use crate::site::{Front, LOGIN};

#[test]
fn pruning_rotates_a_csv_with_old_rows_and_removes_it_when_all_of_them_are_old() {
    let mut front = Front::new("conf", "[retention]\ncsv_days = 10");
    // The rows are from June 2026, so they are older than 10 days.
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
    // The CSV has old rows again, but a rotated file of today exists. `--prune` must not overwrite
    // it.
    assert_eq!(front.run(&["--prune"]).status.code(), Some(75));
    front.site.write("F", "");
    front.succeeds(&["--prune"]);
    assert_eq!(front.site.files("F-").len(), 1);
    age(11);
    assert!(front.site.shell(r"touch --date='11 days ago' $'F-1\e]0;x'").status.success());
    let said = front.succeeds(&["--prune"]);
    let removed = format!("removed {}\n", front.site.path().join(rotated).display());
    assert!(said.contains(&removed) && said.contains(r"F-1\E]0;x"), "{said:?}");
    assert!(front.site.files("F-").is_empty());
}

/// The pipeline of `maillogsentinel-follow.service`, started again after exit 75, as systemd does.
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

/// Waits until the CSV has rows, and the CSV and its rotated files have `rows` rows in total.
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
    // All rows are old. While `--prune` runs, new lines arrive in the log.
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
        // With this line, the pipeline notices that `--prune` has rotated the CSV.
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
fn data_is_pruned_and_moved_away_without_the_directory_of_logins() {
    let more = "[logins]\nrecord = yes\n[retention]\nlogins_days = 10\ncsv_days = 10";
    let front = Front::new("conf", more);
    let conf = front.site.read("conf");
    front.site.write(
        "conf",
        &conf.replace("csv_filename = F", "csv_filename = F\nlogins_filename = gone/l.csv"),
    );
    front.site.append("mail.log", LOGIN);
    let output = front.run(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("gone does not exist; create it"), "{said}");
    assert_eq!(front.succeeds(&["--prune"]), "nothing is older than [retention] allows\n");
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(front.archive(), ["F", "state.offset", "x.log"]);
}

#[test]
fn recorded_logins_are_pruned_and_moved_away_with_the_failures() {
    let front = Front::new("conf", "[logins]\nrecord = yes\n[retention]\nlogins_days = 10");
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let row = "vm,2026-06-01 00:00,192.0.2.1,u7,null,null,null,null,null\n";
    front.site.write("logins.csv", &format!("{header}{row}"));
    front.site.append("mail.log", LOGIN);
    let said = front.succeeds(&["--status"]);
    assert!(said.contains("logins.csv: 1 row, "), "{said}");
    assert!(
        said.contains("logins in the log that are not recorded yet: 1, the first at 2026-06-01 "),
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
