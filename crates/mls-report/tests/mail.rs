//! Mail, delivered to a real server on loopback that accepts, refuses, defers, stalls and drops, and read back by Python's
//! `email`. Needs python3-aiosmtpd and openssl.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const HEADER: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";

/// The Python that has Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// A mail server in a directory of its own, and the configuration of a reporter that uses it.
struct Site {
    dir: TempDir,
    server: Option<Child>,
    report: String,
}

/// What a run did.
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Site {
    /// A server that follows `script`.
    fn new(script: &Value, options: &[&str]) -> Self {
        let mut site = Self { dir: tempfile::tempdir().unwrap(), server: None, report: String::new() };
        if options.contains(&"--tls") {
            site.make_certificates();
        }
        site.serve(script, options);
        site
    }

    /// Ends the server that runs and starts another one.
    fn serve(&mut self, script: &Value, options: &[&str]) {
        self.stop();
        let mut server = Command::new(PYTHON)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/server.py"))
            .arg(self.dir.path())
            .arg(script.to_string())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        self.server = Some(server);
        assert!(!port.is_empty(), "the mail server did not start: is python3-aiosmtpd installed?");
        self.configure(&format!("smtp_host = localhost\nsmtp_port = {}\n", port.trim()));
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().unwrap();
        }
    }

    /// Writes the configuration: the server, and what else the test needs.
    fn configure(&mut self, server: &str) {
        server.clone_into(&mut self.report);
        self.configure_also("email = admin@example.com\n");
    }

    fn configure_also(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "[paths]\nworking_dir = {dir}\nstate_dir = {dir}\n[report]\nsender_override = mls@example.com\n{}{more}",
            self.report
        );
        mls_cli::atomic::write(&self.dir.path().join("mls.conf"), text.as_bytes(), 0o644).unwrap();
    }

    fn csv(&self) -> std::path::PathBuf {
        self.dir.path().join("maillogsentinel.csv")
    }

    fn append(&self, rows: &str) {
        let mut file = fs::File::options().append(true).create(true).open(self.csv()).unwrap();
        if file.metadata().unwrap().len() == 0 {
            file.write_all(HEADER.as_bytes()).unwrap();
        }
        file.write_all(rows.as_bytes()).unwrap();
    }

    fn run(&self, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_mls-report"))
            .args(["--config", self.dir.path().join("mls.conf").to_str().unwrap(), "--timezone", "UTC"])
            .args(["--smtp-timeout", "2"])
            .args(args)
            .stdin(Stdio::null())
            .env("SSL_CERT_FILE", self.dir.path().join("ca.pem"))
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The messages that arrived, in order, each with its envelope.
    fn messages(&self) -> Vec<(Value, Value)> {
        (1..)
            .map_while(|n| {
                let raw = fs::read(self.dir.path().join(format!("{n}.eml"))).ok()?;
                let envelope = fs::read(self.dir.path().join(format!("{n}.json"))).unwrap();
                Some((parse(&raw), serde_json::from_slice(&envelope).unwrap()))
            })
            .collect()
    }

    /// A certificate authority that only this test knows, and a certificate of it for localhost.
    fn make_certificates(&self) {
        let run = |args: &[&str]| {
            let output = Command::new("openssl").args(args).current_dir(self.dir.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        run(&[&key[..], &["-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
        run(&[
            &key[..],
            &[
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=CA:FALSE",
            ],
            &["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem"],
        ]
        .concat());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A message as Python reads it.
fn parse(raw: &[u8]) -> Value {
    let mut python = Command::new(PYTHON)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/parse.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(raw).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn part<'a>(message: &'a Value, kind: &str) -> Option<&'a Value> {
    message["parts"].as_array().unwrap().iter().find(|part| part["type"] == kind)
}

fn text(message: &Value) -> &str {
    part(message, "text/plain").unwrap()["text"].as_str().unwrap()
}

fn row(date: &str, user: &str) -> String {
    format!("mail,{date},192.0.2.1,{user},null,Errno 1,CN,1,O\n")
}

fn sha256(path: &Path) -> String {
    mls_cli::cursor_file::sha256(&fs::read(path).unwrap())
}

const ONE_DAY: [&str; 3] = ["--date", "2026-06-01", "--mail"];

#[test]
fn the_digest_arrives_whole_in_both_forms_with_the_csv_and_only_once() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also(
        "email = Chef <admin@example.com>, second@example.com\nsubject_prefix = [MLS]\nattach_csv = yes\n",
    );
    site.append(&row("2026-06-01 10:00", "<b>élève</b>"));
    let run = site.run(&ONE_DAY);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));

    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(
        *envelope,
        json!({"from": "mls@example.com", "to": ["admin@example.com", "second@example.com"], "tls": false})
    );
    assert_eq!(message["defects"], json!([]));
    assert_eq!(message["ascii"], true);
    let headers = &message["headers"];
    assert_eq!(headers["from"], "mls@example.com");
    assert_eq!(headers["to"], "Chef <admin@example.com>, second@example.com");
    assert_eq!(headers["auto-submitted"], "auto-generated");
    let subject = headers["subject"].as_str().unwrap();
    assert!(subject.starts_with("[MLS] ") && subject.ends_with(": 1 failed login 2026-06-01"), "{subject}");
    let types: Vec<_> =
        message["parts"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/csv"]);
    assert!(text(message).contains("<b>élève</b>  192.0.2.1  null  CN  1 times\n"), "{}", text(message));
    assert!(text(message).contains("Please see attached: maillogsentinel.csv\n"));
    let html = part(message, "text/html").unwrap()["text"].as_str().unwrap();
    assert!(html.contains("&#60;b&#62;élève&#60;/b&#62;") && !html.contains("<b>élève"), "{html}");
    let csv = part(message, "text/csv").unwrap();
    assert_eq!(csv["filename"], "maillogsentinel.csv");
    assert_eq!(csv["sha256"], sha256(&site.csv()));

    let again = site.run(&ONE_DAY);
    assert_eq!(again.code, 0);
    assert!(again.err.contains("it is not sent again"), "{}", again.err);
    assert_eq!(site.messages().len(), 1);
    site.append(&row("2026-06-01 11:00", "more"));
    assert_eq!(site.run(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn without_attach_csv_a_line_says_so() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\nattach_csv = no\n");
    site.append(&row("2026-06-01 10:00", "a"));
    assert_eq!(site.run(&ONE_DAY).code, 0);
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(text(message).contains("Not attached: maillogsentinel.csv (attach_csv = no)\n"));
    assert_eq!(part(message, "text/csv"), None);
}

#[test]
fn a_large_csv_arrives_compressed_and_whole() {
    let site = Site::new(&json!({}), &[]);
    let rows: String = (0..100_000).map(|i| row("2026-06-01 10:00", &format!("u{i}"))).collect();
    site.append(&rows);
    let run = site.run(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(text(message).contains("Please see attached: maillogsentinel.csv.gz\n"));
    let attached = part(message, "application/gzip").unwrap();
    assert_eq!(attached["filename"], "maillogsentinel.csv.gz");
    assert_eq!(attached["sha256"], sha256(&site.csv()));
    assert_eq!((&message["defects"], &message["ascii"]), (&json!([]), &json!(true)));
}

#[test]
fn hostile_headers_names_and_lines_stay_correct_mime() {
    let site = Site::new(&json!({}), &[]);
    let name = "opfer\u{2028}é\"; x=y.csv";
    let csv = site.dir.path().join(name);
    let long = "x".repeat(5000);
    let rows = [HEADER.to_owned(), row("2026-06-01 10:00", &long), row("2026-06-01 10:00", ".\u{fffd}日本語")].concat();
    mls_cli::atomic::write(&csv, rows.as_bytes(), 0o600).unwrap();
    // A value of two lines is how a header could be smuggled into the configuration.
    site.configure_also("email = admin@example.com\nsubject_prefix = [é]\n  Bcc: victim@example.com\n");
    let run = site.run(&[&ONE_DAY[..], &[csv.to_str().unwrap()]].concat());
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!(message["headers"]["bcc"], Value::Null);
    assert!(message["headers"]["subject"].as_str().unwrap().starts_with("[é]?Bcc: victim@example.com "));
    assert_eq!((&message["defects"], &message["ascii"]), (&json!([]), &json!(true)));
    assert!(message["longest"].as_u64().unwrap() <= 998, "{}", message["longest"]);
    let attached = part(message, "text/csv").unwrap();
    assert_eq!(attached["filename"], name);
    assert_eq!(attached["sha256"], sha256(&csv));
    assert!(text(message).contains(".\u{fffd}日本語"));
}

#[test]
fn one_refused_address_keeps_the_mail_from_nobody_else() {
    let site = Site::new(&json!({"RCPT gone@example.com": ["550 5.1.1 no such mailbox here"]}), &[]);
    site.configure_also("email = gone@example.com, admin@example.com\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains("gone@example.com") && run.err.contains("5.1.1 no such mailbox here"), "{}", run.err);
    let [(_, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!(site.run(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn what_the_server_refuses_for_good_is_said_in_its_words() {
    let site = Site::new(&json!({"DATA": ["554 5.7.1 smells of spam"]}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 69);
    assert!(run.err.contains("554") && run.err.contains("5.7.1 smells of spam"), "{}", run.err);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_deferral_is_tried_again_in_the_same_run() {
    let site = Site::new(&json!({"RCPT": ["451 4.7.1 greylisted", "250 OK"]}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_server_that_goes_on_deferring_is_left_for_a_later_run_which_sends_the_rest() {
    let mut site = Site::new(&json!({"RCPT slow@example.com": ["450 4.2.1 try later"]}), &[]);
    let email = "email = slow@example.com, admin@example.com\n";
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 75);
    assert!(run.err.contains("slow@example.com") && run.err.contains("4.2.1 try later"), "{}", run.err);
    site.serve(&json!({}), &[]);
    site.configure_also(email);
    fs::remove_file(site.dir.path().join("1.eml")).unwrap();
    assert_eq!(site.run(&ONE_DAY).code, 0);
    let [(_, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["slow@example.com"]));
}

/// Nothing arrives, and another run may succeed.
fn fails_for_now(site: &Site) {
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 75, "{}", run.err);
    assert!(run.err.starts_with("mls-report: error: mail server localhost:"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_server_that_stalls_is_a_temporary_failure() {
    fails_for_now(&Site::new(&json!({"CONNECT": ["stall"]}), &[]));
}

#[test]
fn a_server_that_drops_the_connection_is_a_temporary_failure() {
    fails_for_now(&Site::new(&json!({"MAIL": ["drop"]}), &[]));
}

#[test]
fn a_server_that_is_not_there_is_a_temporary_failure() {
    let mut site = Site::new(&json!({}), &[]);
    site.stop();
    fails_for_now(&site);
}

#[test]
fn a_message_that_may_have_arrived_is_not_repeated_at_once_and_later_has_the_same_id() {
    for answer in ["drop", "stall"] {
        let mut site = Site::new(&json!({"DATA": [answer]}), &[]);
        site.append(&row("2026-06-01 10:00", "a"));
        let run = site.run(&ONE_DAY);
        assert_eq!(run.code, 75, "{}", run.err);
        let first = site.messages();
        assert_eq!(first.len(), 1);
        site.serve(&json!({}), &[]);
        assert_eq!(site.run(&ONE_DAY).code, 0);
        let [(second, _)] = &site.messages()[..] else { panic!("not one message") };
        assert_eq!(first[0].0["headers"]["message-id"], second["headers"]["message-id"]);
    }
}

#[test]
fn tls_and_starttls_are_spoken_with_servers_that_a_known_authority_vouches_for() {
    for (option, setting) in [("smtps", "tls"), ("starttls", "starttls")] {
        let site = Site::new(&json!({}), &["--tls", option]);
        site.configure_also(&format!("email = admin@example.com\nsmtp_tls = {setting}\n"));
        site.append(&row("2026-06-01 10:00", "a"));
        let run = site.run(&ONE_DAY);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{option}");
        assert_eq!(site.messages()[0].1["tls"], true);

        // Another authority, which did not sign the certificate.
        fs::rename(site.dir.path().join("cert.pem"), site.dir.path().join("ca.pem")).unwrap();
        site.append(&row("2026-06-01 11:00", "b"));
        let run = site.run(&ONE_DAY);
        assert_eq!(run.code, 69, "{option}: {}", run.err);
        assert!(run.err.contains("certificate"), "{}", run.err);
        assert_eq!(site.messages().len(), 1);
    }
}

#[test]
fn a_server_without_the_starttls_that_is_asked_for_gets_nothing() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\nsmtp_tls = starttls\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains("STARTTLS"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_password_comes_from_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new(&json!({}), &["--auth", "mls", "se cret"]);
    let secret = site.dir.path().join("secret");
    site.configure_also(&format!(
        "email = admin@example.com\nsmtp_user = mls\nsmtp_password_file = {}\n",
        secret.display()
    ));
    site.append(&row("2026-06-01 10:00", "a"));
    mls_cli::atomic::write(&secret, b"se cret\n", 0o644).unwrap();
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 77, "{}", run.err);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(site.run(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 1);

    site.append(&row("2026-06-01 11:00", "b"));
    mls_cli::atomic::write(&secret, b"wrong\n", 0o600).unwrap();
    let run = site.run(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains("535") && !run.err.contains("wrong"), "{}", run.err);
}

#[test]
fn every_attempt_is_in_exactly_one_digest() {
    let since_last = ["--since-last", "--mail"];
    let total = |message: &Value| -> String {
        text(message)
            .lines()
            .find(|line| line.starts_with("Total attempts "))
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut site = Site::new(&json!({}), &[]);
    site.append(&(row("2026-06-01 10:00", "a") + &row("2026-06-01 10:00", "b")));
    assert_eq!(site.run(&since_last).code, 0);
    // One that came late, one in the minute of the digest, and one that the sink is still writing.
    site.append(&row("2026-05-01 10:00", "late"));
    site.append("mail,2026-06-01 10:0");
    assert_eq!(site.run(&since_last).code, 0);
    site.append("1,192.0.2.1,whole,null,OK,CN,1,O\n");

    // Nobody takes mail for a while; then a digest that was begun is sent as it was begun, and what came since in another.
    site.stop();
    assert_eq!(site.run(&since_last).code, 75);
    site.append(&row("2026-06-01 10:02", "meanwhile"));
    let delivered = site.messages();
    assert_eq!(delivered.iter().map(|(message, _)| total(message)).collect::<Vec<_>>(), ["2", "1"]);
    site.serve(&json!({}), &[]);
    let run = site.run(&since_last);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let messages = site.messages();
    assert_eq!(messages.iter().map(|(message, _)| total(message)).collect::<Vec<_>>(), ["1", "1"]);
    assert!(text(&messages[0].0).contains("whole") && text(&messages[1].0).contains("meanwhile"));
    // New is what no earlier digest had.
    assert!(text(&messages[1].0).contains("  1 user name:\n   1. meanwhile"), "{}", text(&messages[1].0));

    // Without anything new there is a digest of nothing.
    assert_eq!(site.run(&since_last).code, 0);
    assert_eq!(total(&site.messages()[2].0), "0");
}

#[test]
fn a_digest_goes_on_in_the_file_that_the_csv_was_rotated_to() {
    let site = Site::new(&json!({}), &[]);
    let since_last = ["--since-last", "--mail"];
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.run(&since_last).code, 0);
    site.append(&row("2026-06-01 10:00", "second"));
    fs::rename(site.csv(), site.csv().with_extension("csv.1")).unwrap();
    site.append(&row("2026-06-01 10:00", "third"));
    let run = site.run(&since_last);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    site.append(&row("2026-06-01 10:00", "fourth"));
    assert_eq!(site.run(&since_last).code, 0);
    let digests: Vec<Vec<bool>> = (site.messages().iter())
        .map(|(message, _)| ["first", "second", "third", "fourth"].map(|user| text(message).contains(user)).to_vec())
        .collect();
    assert_eq!(digests, [[true, false, false, false], [false, true, true, false], [false, false, false, true]]);
}

#[test]
fn a_digest_that_is_sent_again_is_read_from_where_its_rows_were_rotated_to() {
    let mut site = Site::new(&json!({}), &[]);
    let since_last = ["--since-last", "--mail"];
    site.stop();
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.run(&since_last).code, 75);
    site.append(&row("2026-06-01 10:00", "second"));
    fs::rename(site.csv(), site.csv().with_extension("csv.1")).unwrap();
    site.append(&row("2026-06-01 10:00", "third"));
    site.serve(&json!({}), &[]);
    let run = site.run(&since_last);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let digests: Vec<Vec<bool>> = (site.messages().iter())
        .map(|(message, _)| ["first", "second", "third"].map(|user| text(message).contains(user)).to_vec())
        .collect();
    assert_eq!(digests, [[true, false, false], [false, true, true]]);
}

#[test]
fn a_csv_that_was_replaced_is_read_by_date_and_nothing_is_silent_about_it() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2020-06-01 10:00", "old"));
    assert_eq!(site.run(&["--since-last", "--mail"]).code, 0);
    fs::remove_file(site.csv()).unwrap();
    site.append(&(row("2020-06-01 10:00", "rewritten") + &row("2199-01-01 00:00", "new")));
    let run = site.run(&["--since-last", "--mail"]);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("is not the file that the last digest ended in"), "{}", run.err);
    let messages = site.messages();
    assert!(text(&messages[1].0).contains(": 1\n") && text(&messages[1].0).contains("1. new"));
}

#[test]
fn rows_that_a_sink_has_not_committed_wait() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let length = fs::metadata(site.csv()).unwrap().len();
    let cursor = site.dir.path().join("state.offset");
    let data = mls_cli::cursor_file::Data::describe(&fs::File::open(site.csv()).unwrap(), length).unwrap();
    mls_cli::cursor_file::CursorFile::next(0, Value::Null, Some(data)).store(&cursor).unwrap();
    site.append(&row("2026-06-01 10:00", "uncommitted"));
    let run = site.run(&["--since-last", "--committed-by", cursor.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains(": 1\n") && !run.out.contains("uncommitted"), "{}", run.out);
}

#[test]
fn a_dry_run_shows_the_message_and_an_output_file_keeps_it_and_neither_sends_or_remembers() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let eml = site.dir.path().join("digest.eml");
    for args in [&["--date", "2026-06-01"][..], &["--since-last"]] {
        let dry = site.run(&[args, &["--mail", "--dry-run"]].concat());
        assert_eq!((dry.code, dry.err.as_str()), (0, ""));
        assert!(text(&parse(dry.out.as_bytes())).contains(": 1\n"));
        assert_eq!(site.run(&[args, &["--mail", "--output", eml.to_str().unwrap()]].concat()).code, 0);
        assert!(text(&parse(&fs::read(&eml).unwrap())).contains(": 1\n"));
    }
    assert!(!site.dir.path().join("report.sent").exists());
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_test_mail_is_short_and_goes_out_each_time() {
    let site = Site::new(&json!({}), &[]);
    for _ in 0..2 {
        assert_eq!(site.run(&["--test-mail"]).code, 0);
    }
    let messages = site.messages();
    assert_eq!(messages.len(), 2);
    assert!(text(&messages[0].0).starts_with("This is a test of mls-report on "));
    assert_eq!(messages[0].0["parts"].as_array().unwrap().len(), 1);
}

#[test]
fn an_alert_is_mailed_once_for_a_key_and_its_time() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\n[alert]\nip = 3/10m\nuser = 2/10m\n");
    let at =
        |minutes: i64| (chrono::Utc::now() - chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%d %H:%M").to_string();
    site.append(&(row(&at(31), "a") + &row(&at(31), "b") + &row(&at(30), "c")));
    let alert = ["--alert", "--mail"];
    let run = site.run(&alert);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let records: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [record] = &records[..] else { panic!("{}", run.out) };
    assert!(run.out.starts_with("{\"v\":1,\"type\":\"alert\","));
    assert_eq!((&record["kind"], &record["key"], &record["attempts"]), (&json!("ip"), &json!("192.0.2.1"), &json!(3)));
    assert_eq!(record["threshold"], "3/10m");
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(message["headers"]["subject"].as_str().unwrap().contains("alert: 3 failed logins from 192.0.2.1 (3/10m)"));

    // Nothing new; then more within the ten minutes; then more after them.
    assert_eq!(site.run(&alert).out, "");
    site.append(&row(&at(25), "d"));
    assert_eq!(site.run(&alert).out, "");
    assert_eq!(site.messages().len(), 1);
    site.append(&(row(&at(19), "e") + &row(&at(18), "e") + &row(&at(17), "f")));
    assert_eq!(site.run(&alert).out.lines().count(), 2);
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn an_alert_that_could_not_be_mailed_is_mailed_by_the_next_run() {
    let mut site = Site::new(&json!({"MAIL": ["550 no"]}), &[]);
    let alert = "email = admin@example.com\n[alert]\ntotal = 1/10m\n";
    site.configure_also(alert);
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string();
    site.append(&row(&now, "a"));
    assert_eq!(site.run(&["--alert", "--mail"]).code, 69);
    site.serve(&json!({}), &[]);
    site.configure_also(alert);
    assert_eq!(site.run(&["--alert", "--mail"]).code, 0);
    assert_eq!(site.messages().len(), 1);
}
