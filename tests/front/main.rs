//! The front end, run as a person or cron runs it, without systemd.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod database;
mod prune;
mod purge;
mod site;
mod status;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use mls_tests::{is_root, skip, text};
use site::{Front, LOGIN};

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
    // No mail server listens on port 1.
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
    for words in ["have changed since the last commit", "maillogsentinel --accept-changes"] {
        assert!(said.contains(words) && readme.contains(&format!("`{words}`")), "{said}");
    }
    front.succeeds(&["--accept-changes"]);
    assert_eq!(front.site.read("F").lines().count(), 8);
    front.succeeds(&[]);
}

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
    // If the service makes a link to another file, `--purge` as root must not change that file.
    front.site.write("secret", "secret");
    std::os::unix::fs::symlink(dir.join("secret"), dir.join("F-20260101")).unwrap();
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(fs::read_to_string(dir.join("secret")).unwrap(), "secret");
    assert!(!front.archive().contains(&"F-20260101".to_owned()));
}
