//! Alerts while the input continues.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn an_alert_is_written_while_the_input_is_open() {
    let mut alert = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["--user", "2/1m"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = alert.stdin.take().unwrap();
    let record = "{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T10:00:00Z\",\"outcome\":\"failure\",\"attempts\":2,\"user\":\"x\"}\n";
    stdin.write_all(record.as_bytes()).unwrap();
    // The input is open, so mls-alert must write the alert before it waits for more input.
    let mut line = String::new();
    BufReader::new(alert.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(
        line.contains("\"kind\":\"user\",\"key\":\"x\",\"attempts\":2,\"threshold\":\"2/1m\""),
        "{line}"
    );
    drop(stdin);
    assert!(alert.wait().unwrap().success());
}

#[test]
fn a_suspicious_login_is_reported_when_it_is_recorded_and_sigterm_ends_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let quoted = format!("\"{}\"\n", header.trim_end().replace(',', "\",\""));
    let row = |user: &str| {
        let now = chrono::Utc::now().format("%Y-%m-%d %H:%M");
        format!("mail,{now},203.0.113.9,{user},null,OK,VN,64512,Example\n")
    };
    write("failures.csv", &format!("{header}{}{}{}", row("a"), row("b"), row("c")));
    write("logins.csv", &quoted);
    let mut alert = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["failures.csv", "--logins", "logins.csv", "--timezone", "UTC"])
        .args(["--follow", "--framed", "--cursor-file", "C"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(alert.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |words: &str| {
        let line = lines.next().unwrap();
        assert!(line.contains(words), "{words}: {line}");
    };
    next("\"type\":\"begin\"");
    write("logins.csv", &row("dora"));
    next("\"kind\":\"guessed\",\"key\":\"dora\"");
    write("logins.csv", &row("emil"));
    next("\"kind\":\"guessed\",\"key\":\"emil\"");
    let kill = Command::new("kill").arg(alert.id().to_string()).status().unwrap();
    assert!(kill.success());
    next("\"type\":\"end\"");
    assert!(alert.wait().unwrap().success());
}

#[test]
fn bad_rows_after_good_ones_do_not_end_a_run_that_follows() {
    let directory = tempfile::tempdir().unwrap();
    let append = |name: &str, text: &str| {
        let path = directory.path().join(name);
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let quoted = format!("\"{}\"\n", header.trim_end().replace(',', "\",\""));
    let row = |hours: i64, user: &str| {
        let date = (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).format("%Y-%m-%d %H:%M");
        format!("mail,{date},203.0.113.9,{user},null,OK,VN,64512,Example\n")
    };
    // The failures are hours old, so the next pass does not read them again.
    let failures: String = ["a", "b", "c"].map(|user| row(5, user)).concat();
    append("failures.csv", &format!("{header}{failures}"));
    append("logins.csv", &format!("{quoted}{}", row(0, "dora")));
    let mut alert = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["failures.csv", "--logins", "logins.csv", "--timezone", "UTC", "--follow"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut alerts = BufReader::new(alert.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut messages = BufReader::new(alert.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(alerts.next().unwrap().contains("\"key\":\"dora\""));
    append("failures.csv", "not a row\n");
    let message = messages.next().unwrap();
    assert!(message.contains("failures.csv, line 2"), "{message}");
    append("logins.csv", &row(0, "emil"));
    assert!(alerts.next().unwrap().contains("\"key\":\"emil\""));
    alert.kill().unwrap();
    alert.wait().unwrap();
}

/// Random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// The suspicious logins that alert records name: rule, user and day.
fn suspicious(records: &str, found: &mut BTreeSet<(String, String, String)>) {
    for line in records.lines() {
        let alert: serde_json::Value = serde_json::from_str(line).unwrap();
        let member = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
        if ["guessed", "spread", "targeted"].contains(&member("kind").as_str()) {
            found.insert((member("kind"), member("key"), member("date")[..10].to_owned()));
        }
    }
}

#[test]
fn a_run_that_follows_finds_the_same_logins_as_runs_over_all_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let append = |name: &str, text: &str| {
        let mut file = std::fs::File::options().append(true).create(true).open(path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let quoted = format!("\"{}\"\n", header.trim_end().replace(',', "\",\""));
    append(
        "mls.conf",
        &format!(
            "[paths]\nworking_dir = {0}\nstate_dir = {0}\n[logins]\nrecord = yes\n",
            directory.path().display()
        ),
    );
    append("maillogsentinel.csv", header);
    append("logins.csv", &quoted);
    let run = |cursor: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mls-alert"));
        command
            .args(["--config", "mls.conf", "--timezone", "UTC", "--user", "1/20d"])
            .args(["--cursor-file", cursor])
            .current_dir(directory.path());
        command
    };
    let mut running = run("C").arg("--follow").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut followed, mut expected) = (BTreeSet::new(), BTreeSet::new());
    let mut random = Random(7);
    let mut at = chrono::Utc::now() - chrono::TimeDelta::hours(20);
    for step in 0..60 {
        for _ in 0..random.below(12) {
            at += chrono::TimeDelta::seconds(i64::try_from(random.below(60)).unwrap());
            // Sometimes a row is up to 2.7 hours late. Then mls-alert may have to read all rows
            // again.
            let late = if random.below(40) == 0 { random.below(10_000) } else { random.below(50) };
            let date = at - chrono::TimeDelta::seconds(i64::try_from(late).unwrap());
            let (country, ip) = (random.below(20), random.below(3));
            let row = format!(
                "m,{},192.0.{country}.{ip},u{},null,OK,C{country},{},O\n",
                date.format("%Y-%m-%d %H:%M"),
                random.below(8),
                64_500 + country,
            );
            let is_login = random.below(3) == 0;
            append(if is_login { "logins.csv" } else { "maillogsentinel.csv" }, &row);
        }
        if step % 17 == 16 {
            let (name, first) =
                [("maillogsentinel.csv", header), ("logins.csv", &*quoted)][step % 2];
            std::fs::rename(path(name), path(&format!("{name}-202601{step}"))).unwrap();
            append(name, first);
        }
        // This row has a unique name and the newest date. So the alert about this name shows that
        // all rows before it were read.
        let date = (at + chrono::TimeDelta::minutes(1)).format("%Y-%m-%d %H:%M");
        append(
            "maillogsentinel.csv",
            &format!("m,{date},198.51.100.1,step{step},null,OK,US,1,O\n"),
        );
        for line in lines.by_ref() {
            suspicious(&line, &mut followed);
            if line.contains(&format!("\"key\":\"step{step}\"")) {
                break;
            }
        }
        let output = run(&format!("C{step}")).output().unwrap();
        assert!(output.status.success());
        suspicious(str::from_utf8(&output.stdout).unwrap(), &mut expected);
        assert_eq!(followed, expected, "after step {step}");
    }
    assert!(expected.len() > 5, "{} findings: {expected:?}", expected.len());
    running.kill().unwrap();
    running.wait().unwrap();
}
