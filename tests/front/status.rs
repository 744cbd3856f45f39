//! `--status` says whether the service works.

use std::fs;
use std::process::Command;

use mls_tests::{is_root, skip, text};

use crate::site::Front;

#[test]
fn status_says_first_whether_the_service_is_healthy_and_why_not() {
    let mut front = Front::new("conf", "");
    front.site.log(3);
    front.succeeds(&[]);
    front.site.log(2);
    let said = front.succeeds(&["--status"]);
    assert!(said.starts_with("healthy\n"), "{said}");
    assert!(said.contains("F: 3 rows, the last at 2026-06-01T"), "{said}");
    assert!(said.contains("not recorded yet: 2, the first at 2026-06-01 "), "{said}");
    assert!(said.contains("c.csv"), "{said}");
    assert!(said.contains("last commit of new log lines: 20"), "{said}");
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
    for name in ["not_recorded", "logins_not_checked"] {
        assert_eq!(value[name], serde_json::Value::Null, "{value}");
    }
    assert_eq!((&value["rows"], &value["logins_not_recorded"]), (&3.into(), &0.into()));
}

#[test]
fn a_name_sends_no_escapes_to_the_terminal_and_a_fifo_has_an_unknown_number_of_rows() {
    let front = Front::new("conf", "");
    let make = |name: &str| {
        let path = front.site.path().join(name);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    make("F");
    make("state/\u{1b}]0;x\u{7}\u{9b}2J\u{202e}");
    let said = text(&front.run(&["--status"]).stdout);
    assert!(said.contains("/state/?]0;x??2J\u{fffd} is not a regular file: name another file in the configuration, or remove it\n"), "{said}");
    assert!(said.contains("/F: unknown number of rows\n"), "{said}");
    let json = text(&front.run(&["--status", "--json"]).stdout);
    for said in [said, json.clone()] {
        let is_escape = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(is_escape), "{said:?}");
    }
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(value["problems"].to_string().contains("/state/?]0;x??2J"), "{json}");
    assert_eq!((&value["rows"], &value["last_recorded"]), (&serde_json::Value::Null, &"".into()));
}

#[test]
fn a_problem_is_the_exit_code_even_if_nobody_reads_it() {
    let front = Front::new("conf", "");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = front.site.command("exec mls-status --config none").stdout(writer).status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[test]
fn a_number_that_is_needed_and_not_known_is_a_problem() {
    let front = Front::new("conf", "");
    front.site.append("state/sql_state.offset", "x");
    let output = front.run(&["--status"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not healthy: the rows that are not exported yet cannot be counted: "),
        "{said}"
    );
    assert!(said.contains("sql_state.offset"), "{said}");
    assert!(said.contains("rows that are not exported yet: unknown\n"), "{said}");
}

/// The service user can replace its state files with links. If the tools ran as root, they would
/// follow these links.
#[test]
fn root_is_refused_if_the_service_has_another_user() {
    if !is_root() {
        return skip("only root can be refused");
    }
    let front = Front::new("conf", "");
    let config = fs::read_to_string(&front.config).unwrap();
    front.site.write("conf", &config.replace("user = root\n", "user = nobody\n"));
    let output = front.site.command("mls-status --config conf").output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    let said = text(&output.stderr);
    assert!(said.contains("root must run maillogsentinel --status"), "{said}");
    assert_eq!(text(&output.stdout), "");
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
fn a_wrong_server_stops_only_the_tools_that_use_it_and_status_names_it() {
    let mut front = Front::new(
        "conf",
        "[report]\nemail = a@example.org\nsmtp_host = mx:25\n\
         [database]\ndb_type = postgresql\nmode = load\ndb_host = db:5432",
    );
    front.site.log(1);
    let output = front.run(&[]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    assert_eq!(front.site.read("F").lines().count(), 2);
    for args in [&["--status"][..], &["--debug", "--status"]] {
        let said = text(&front.run(args).stdout);
        for why in [
            "the database cannot be used: [database] db_host = \"db:5432\" is not allowed; give a host",
            "no mail can be sent: [report] smtp_host = \"mx:25\" is not allowed; give a host",
        ] {
            assert!(said.contains(&format!("not healthy: {why}")), "{args:?}: {said}");
        }
    }
}

#[test]
fn status_has_one_line_about_alerts_and_counts_one_row() {
    let mut front = Front::new("conf", "[alert]\nip = 9/1h");
    front.site.log(1);
    front.succeeds(&[]);
    let said = front.succeeds(&["--status"]);
    assert!(said.contains("F: 1 row, the last at 2026-06-01T"), "{said}");
    assert_eq!(said.matches("no alerts are mailed").count(), 1, "{said}");
    // If alerts are mailed, the status must not say that none are mailed.
    front.site.append("conf", "[report]\nemail = a@example.org\n");
    let said = text(&front.run(&["--status"]).stdout);
    assert!(!said.contains("alerts: maillogsentinel"), "{said}");
    assert!(!said.contains("none are mailed"), "{said}");
}

#[test]
fn before_setup_the_missing_configuration_is_named_once() {
    let front = Front::new("conf", "");
    fs::remove_file(&front.config).unwrap();
    for args in [&[][..], &["--report"], &["--purge"], &["--test-mail"], &["--status"]] {
        let output = front.run(args);
        let said = text(&output.stdout) + &text(&output.stderr);
        let code = if args == ["--status"] { 1 } else { 78 };
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(said.contains("there is no "), "{args:?}: {said}");
        assert!(
            said.contains("conf: run maillogsentinel --setup --interactive"),
            "{args:?}: {said}"
        );
    }
    let output = front.run(&["--status", "--json"]);
    assert_eq!(text(&output.stderr), "");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["healthy"], false);
}

#[test]
fn a_wrong_configuration_and_a_missing_user_are_named_once() {
    let front = Front::new("conf", "nonsense = 1");
    let output = front.run(&["--status"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr).matches("nonsense").count(), 1, "{}", text(&output.stderr));
    let conf = front.site.read("conf");
    front.site.write("conf", &format!("{conf}\n[alert]\nip = many\n"));
    let output = front.run(&["--status"]);
    let said = text(&output.stderr);
    assert_eq!(
        (output.status.code(), said.matches("ip = \"many\"").count()),
        (Some(78), 1),
        "{said}"
    );
    if !is_root() {
        return skip("only root changes to the service user");
    }
    front.site.write("conf", &conf.replace("user = root", "user = nobody-at-all"));
    fs::remove_file(front.site.path().join("x.log")).unwrap();
    let output = front.run(&["--status"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(
        said,
        "not healthy: not set up, because there is no user nobody-at-all: run maillogsentinel \
         --setup --interactive\n"
    );
    assert!(!front.site.path().join("x.log").exists(), "root made a file");
}
