//! Suspicious logins: `mls-alert --framed | mls-mail` must mail each login once, even if a process
//! is killed at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testdata::random::Random;

use crate::site::{Site, row, text};

const LOGINS_HEADER: &str = "\"server\",\"date\",\"ip\",\"user\",\"hostname\",\"reverse_dns_status\",\"country_code\",\"asn\",\"aso\"\n";

const PIPELINE: &str = "mls-alert --config mls.conf --timezone UTC --framed | \
                        mls-mail --config mls.conf --smtp-timeout 2 --alert-interval 0";

fn site() -> Site {
    let site = Site::new(&json!({}), &[]);
    configure(&site, "");
    site
}

fn configure(site: &Site, more: &str) {
    site.configure_also(&format!("email = admin@example.com\n[logins]\nrecord = yes\n{more}"));
    append(site, "logins.csv", LOGINS_HEADER);
    site.append("");
}

fn append(site: &Site, name: &str, text: &str) {
    let path = site.dir.path().join(name);
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn ago(minutes: i64) -> String {
    before(chrono::Utc::now(), minutes)
}

fn before(at: chrono::DateTime<chrono::Utc>, minutes: i64) -> String {
    (at - chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%d %H:%M").to_string()
}

/// An address fails to log in with three names. Four minutes later, it logs in as `user`.
fn guess(site: &Site, ip: &str, user: &str, minutes: i64) {
    // Read the clock only once, because the minute may end between two reads.
    let now = chrono::Utc::now();
    let place = "dsl.example.net,OK,VN,64512,Example";
    let failure =
        |n| format!("mail,{},{ip},{ip}-{n},null,OK,VN,64512,Example\n", before(now, minutes + 4));
    site.append(&[0, 1, 2].map(failure).concat());
    let user = format!("\"{}\"", user.replace('"', "\"\""));
    append(site, "logins.csv", &format!("mail,{},{ip},{user},{place}\n", before(now, minutes)));
}

fn records(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_suspicious_login_is_mailed_once_with_its_evidence_and_what_to_do() {
    let site = site();
    guess(&site, "203.0.113.9", "dora@example.org", 30);
    let run = site.alerts();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [record] = &records(&run.out)[..] else { panic!("{}", run.out) };
    assert_eq!(
        (&record["kind"], &record["user"], &record["ip"], &record["hostname"]),
        (
            &json!("guessed"),
            &json!("dora@example.org"),
            &json!("203.0.113.9"),
            &json!("dsl.example.net")
        )
    );
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    let subject = message["headers"]["subject"].as_str().unwrap();
    assert!(
        subject.contains("1 account to check on ") && subject.ends_with(": dora@example.org"),
        "{subject}"
    );
    let body = text(message);
    for words in [
        "1 account to check now\n",
        "dora@example.org logged in from 203.0.113.9 (VN, AS64512 Example) on ",
        ", 4 minutes after the same address failed on 3 other names",
        "host name: dsl.example.net",
        "* Change the password.",
        "doveadm who 'dora@example.org'",
        "doveadm kick 'dora@example.org'",
        "postqueue -p",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
    assert_eq!(site.alerts().out, "");
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_login_that_is_recorded_late_is_reported_but_not_if_it_is_older_than_the_first_run() {
    let site = site();
    guess(&site, "203.0.113.1", "old", 3 * 1440);
    assert_eq!(site.alerts().out, "");
    // The login of `late` is older than the first run, but it is recorded after that run.
    guess(&site, "203.0.113.2", "late", 20 * 60);
    guess(&site, "203.0.113.3", "new", 1);
    let users = |out: &str| -> Vec<String> {
        records(out).iter().map(|record| record["user"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(users(&site.alerts().out), ["late", "new"]);
    // Failures that arrive later make an earlier login suspicious.
    let login = format!("mail,{},203.0.113.4,carl,null,OK,VN,64512,Example\n", ago(2));
    append(&site, "logins.csv", &login);
    assert_eq!(site.alerts().out, "");
    let failure = |n| format!("mail,{},203.0.113.4,x{n},null,OK,VN,64512,Example\n", ago(3));
    site.append(&[0, 1, 2].map(failure).concat());
    assert_eq!(users(&site.alerts().out), ["carl"]);
    assert_eq!(site.alerts().out, "");
}

#[test]
fn a_login_is_reported_once_although_both_csv_files_were_rotated() {
    let site = site();
    guess(&site, "203.0.113.9", "dora", 30);
    let run = site.run(
        "gzip maillogsentinel.csv && mv maillogsentinel.csv.gz maillogsentinel.csv.1.gz && mv logins.csv logins.csv.1",
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    site.append("");
    append(&site, "logins.csv", LOGINS_HEADER);
    assert_eq!(records(&site.alerts().out).len(), 1);
    assert_eq!(site.alerts().out, "");
}

#[test]
fn suspicious_logins_come_first_in_a_mail_and_do_not_wait_for_alerts_about_failures() {
    let site = site();
    configure(&site, "[alert]\nuser = 1/10m\n");
    let run = |pipeline: &str| {
        let run = site.run(pipeline, &[]);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
    };
    let once_in_ten_minutes = PIPELINE.replace("interval 0", "interval 600");
    site.append(&row(&ago(9), "zoe"));
    run(&once_in_ten_minutes);
    assert_eq!(site.messages().len(), 1);
    for n in 0..30 {
        guess(&site, &format!("203.0.113.{n}"), &format!("u{n}"), 5);
    }
    run(&once_in_ten_minutes);
    let [_, (message, _)] = &site.messages()[..] else { panic!("not two messages") };
    let subject = message["headers"]["subject"].as_str().unwrap();
    assert!(
        subject.contains("30 accounts to check on ") && subject.ends_with(", and 90 other alerts")
    );
    let body = text(message);
    assert!(body.starts_with("30 accounts to check now\n\n  u0\n"), "{body}");
    assert!(body.find("  u29\n") < body.find("1 failed login of user "), "{body}");
    assert!(body.contains("1 failed login of user 203.0.113.0-0 (1/10m)"), "{body}");
    // The ten minutes are not over, so the next alert waits.
    guess(&site, "203.0.113.200", "u200", 5);
    run(&once_in_ten_minutes);
    assert_eq!(site.messages().len(), 2);
    run(PIPELINE);
    assert_eq!(site.messages().len(), 3);
}

#[test]
fn a_hostile_user_name_stays_text() {
    let site = site();
    let hostile = "x\u{202e}$(reboot)`'\u{1b}[31m =?utf-8?Q?a=0ABcc:_all@x.org?=";
    guess(&site, "203.0.113.9", hostile, 5);
    let run = site.alerts();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!((&message["defects"], &message["headers"]["bcc"]), (&json!([]), &Value::Null));
    let body = text(message);
    assert!(!body.contains(['\u{202e}', '\u{1b}']), "{body}");
    assert!(
        !body.contains("doveadm kick") && body.contains("* End the sessions: (no command: "),
        "{body}"
    );
}

/// Returns the reported users of each message, by Message-ID.
fn reported(site: &Site) -> BTreeMap<String, BTreeSet<String>> {
    let mut reported = BTreeMap::new();
    for (message, _) in site.messages() {
        let id = message["headers"]["message-id"].as_str().unwrap().to_owned();
        let users = text(&message).lines().filter_map(|line| line.strip_prefix("  u"));
        reported.insert(id, users.map(str::to_owned).collect());
    }
    reported
}

/// Starts each stage of a pipeline as a process.
fn start(site: &Site, pipeline: &str) -> Vec<Child> {
    let mut stages: Vec<Child> = Vec::new();
    for stage in pipeline.split(" | ") {
        let before = stages.last_mut().map(|stage| stage.stdout.take().unwrap());
        let mut command = site.command(&format!("exec {stage}"), &[]);
        command.stdin(before.map_or_else(Stdio::null, Stdio::from));
        stages.push(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    }
    stages
}

#[test]
fn a_pipeline_killed_at_random_loses_no_suspicious_login_and_mails_none_twice() {
    let rounds: u64 = std::env::var("MLS_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    let mut random = Random::new(20_261_128);
    let site = site();
    let (mut users, mut died) = (0, 0);
    // Measure how long a run takes, so that the kills come during a run on a machine of any speed.
    let begun = Instant::now();
    assert_eq!(site.run(PIPELINE, &[]).code, 0);
    let run = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for _ in 0..rounds {
        for _ in 0..random.below(3) {
            let ip = format!("203.{}.{}.1", users / 250, users % 250);
            guess(&site, &ip, &format!("u{users}"), 1);
            users += 1;
        }
        let mut stages = start(&site, PIPELINE);
        std::thread::sleep(Duration::from_micros(random.below(run)));
        let victim = usize::try_from(random.below(3)).unwrap();
        for (n, stage) in stages.iter_mut().enumerate() {
            if n == victim || victim == 2 {
                stage.kill().unwrap();
            }
        }
        for mut stage in stages {
            died += u64::from(!stage.wait().unwrap().success());
        }
    }
    assert_eq!(site.run(PIPELINE, &[]).code, 0);
    let all: Vec<String> = reported(&site).into_values().flatten().collect();
    let mut sorted: Vec<usize> = all.iter().map(|user| user.parse().unwrap()).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..users).collect::<Vec<_>>());
    assert!(died > rounds / 4, "only {died} processes died in {rounds} rounds");
    println!("{rounds} rounds, {died} deaths, {users} suspicious logins");
}

#[test]
fn in_follow_mode_a_login_is_reported_as_soon_as_the_log_has_it() {
    let site = site();
    append(&site, "mail.log", "");
    std::fs::remove_file(site.csv()).unwrap();
    std::fs::remove_file(site.dir.path().join("logins.csv")).unwrap();
    let pipeline = |outcome: &str, csv: &str, cursor: &str| {
        format!(
            "mls-tail --framed --follow --cursor-file {cursor} mail.log | \
             mls-parse --timezone UTC --outcome {outcome} | mls-enrich --no-dns | \
             mls-csv --timezone UTC --outcome {outcome} --append {csv} --cursor-file {cursor}"
        )
    };
    let mut stages = start(&site, &pipeline("failure", "maillogsentinel.csv", "state.offset"));
    stages.extend(start(&site, &pipeline("success", "logins.csv", "logins.offset")));
    stages.extend(start(&site, "mls-alert --config mls.conf --timezone UTC --framed --follow"));
    let alerts = stages.last_mut().unwrap().stdout.take().unwrap();
    let mut lines = BufReader::new(alerts).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("\"type\":\"begin\""));
    let log = |user: &str, message: &str| {
        let now = chrono::Utc::now().to_rfc3339();
        append(&site, "mail.log", &format!("{now} vm postfix/smtpd[74]: {message}{user}\n"));
    };
    for user in ["a", "b", "c"] {
        log(
            user,
            "warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x, sasl_username=",
        );
    }
    let begun = Instant::now();
    log("dora", "4F1B2C3D: client=unknown[203.0.113.9], sasl_method=LOGIN, sasl_username=");
    let line = lines.next().unwrap();
    let elapsed = begun.elapsed();
    println!("reported after {elapsed:?}");
    assert!(line.contains("\"kind\":\"guessed\",\"key\":\"dora\""), "{line}");
    // On a machine that is not busy, the alert comes after two seconds.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    for mut stage in stages {
        stage.kill().unwrap();
        stage.wait().unwrap();
    }
}
