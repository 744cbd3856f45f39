//! Delivers mail to a real SMTP server, which accepts, refuses or defers the mail, does not answer,
//! or closes the connection. Python's `email` parses the mail. Needs python3-aiosmtpd and openssl.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod alerts;
mod digests;
mod hostile;
mod protocol;
mod site;
mod suspicious;

use std::fs;

use serde_json::{Value, json};
use site::{HEADER, ONE_DAY, Site, parse, part, row, sha256, text};

#[test]
fn the_digest_arrives_whole_in_both_forms_with_the_csv_and_only_once() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also(
        "email = Chef <admin@example.com>, second@example.com\nsubject_prefix = [MLS]\nattach_csv = yes\n",
    );
    site.append(&row("2026-06-01 10:00", "<b>élève</b>"));
    let run = site.digest(&ONE_DAY);
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
    let list = headers["list-id"].as_str().unwrap();
    assert!(list.starts_with("<digest.maillogsentinel.") && list.ends_with('>'), "{list}");
    let subject = headers["subject"].as_str().unwrap();
    assert!(
        subject.starts_with("[MLS] ") && subject.ends_with(": 1 failed login 2026-06-01"),
        "{subject}"
    );
    let types: Vec<_> = message["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/csv"]
    );
    assert!(text(message).contains("<b>élève</b>  192.0.2.1  CN  1 time\n"), "{}", text(message));
    assert!(text(message).contains("Please see attached: maillogsentinel.csv\n"));
    let html = part(message, "text/html").unwrap()["text"].as_str().unwrap();
    assert!(html.contains("&#60;b&#62;élève&#60;/b&#62;") && !html.contains("<b>élève"), "{html}");
    let csv = part(message, "text/csv").unwrap();
    assert_eq!(csv["filename"], "maillogsentinel.csv");
    assert_eq!(csv["sha256"], sha256(&site.csv()));

    let again = site.digest(&ONE_DAY);
    assert_eq!(again.code, 0);
    assert!(again.err.contains("it is not sent again"), "{}", again.err);
    assert_eq!(site.messages().len(), 1);
    site.append(&row("2026-06-01 11:00", "more"));
    assert_eq!(site.digest(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn without_attach_csv_a_line_says_so() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\nattach_csv = no\n");
    site.append(&row("2026-06-01 10:00", "a"));
    assert_eq!(site.digest(&ONE_DAY).code, 0);
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(text(message).contains("Not attached: maillogsentinel.csv (attach_csv = no)\n"));
    assert_eq!(part(message, "text/csv"), None);
}

#[test]
fn a_large_csv_arrives_compressed_and_whole() {
    let site = Site::new(&json!({}), &[]);
    let rows: String = (0..100_000).map(|i| row("2026-06-01 10:00", &format!("u{i}"))).collect();
    site.append(&rows);
    let run = site.digest(&ONE_DAY);
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
    let rows = [
        HEADER.to_owned(),
        row("2026-06-01 10:00", &long),
        row("2026-06-01 10:00", ".\u{fffd}日本語"),
    ]
    .concat();
    mls_state::atomic::write(&csv, rows.as_bytes(), 0o600).unwrap();
    // The value of `subject_prefix` has two lines. The second line must not become a header.
    site.configure_also(
        "email = admin@example.com\nsubject_prefix = [é]\n  Bcc: victim@example.com\n",
    );
    let run = site.digest(&[&ONE_DAY[..], &[csv.to_str().unwrap()]].concat());
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!(message["headers"]["bcc"], Value::Null);
    assert!(
        message["headers"]["subject"].as_str().unwrap().starts_with("[é]?Bcc: victim@example.com ")
    );
    assert_eq!((&message["defects"], &message["ascii"]), (&json!([]), &json!(true)));
    assert!(message["longest"].as_u64().unwrap() <= 998, "{}", message["longest"]);
    let attached = part(message, "text/csv").unwrap();
    assert_eq!(attached["filename"], name);
    assert_eq!(attached["sha256"], sha256(&csv));
    assert!(text(message).contains(".\u{fffd}日本語"));
}

#[test]
fn a_refused_address_does_not_affect_other_recipients() {
    let site =
        Site::new(&json!({"RCPT gone@example.com": ["550 5.1.1 no such mailbox here"]}), &[]);
    site.configure_also("email = gone@example.com, admin@example.com\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(
        run.err.contains("gone@example.com") && run.err.contains("5.1.1 no such mailbox here"),
        "{}",
        run.err
    );
    let [(_, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!(site.digest(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_permanent_refusal_is_reported_with_the_text_of_the_server() {
    let site = Site::new(&json!({"DATA": ["554 5.7.1 smells of spam"]}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69);
    assert!(run.err.contains("554") && run.err.contains("5.7.1 smells of spam"), "{}", run.err);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_deferral_is_tried_again_in_the_same_run() {
    let site = Site::new(&json!({"RCPT": ["451 4.7.1 greylisted", "250 OK"]}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn after_repeated_deferrals_a_later_run_sends_the_rest() {
    let mut site = Site::new(&json!({"RCPT slow@example.com": ["450 4.2.1 try later"]}), &[]);
    let email = "email = slow@example.com, admin@example.com\n";
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 75);
    assert!(
        run.err.contains("slow@example.com") && run.err.contains("4.2.1 try later"),
        "{}",
        run.err
    );
    site.serve(&json!({}), &[]);
    site.configure_also(email);
    fs::remove_file(site.dir.path().join("1.eml")).unwrap();
    assert_eq!(site.digest(&ONE_DAY).code, 0);
    let [(_, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["slow@example.com"]));
}

/// Sends a digest, which must exit with 75 (try later). No mail must arrive.
fn fails_for_now(site: &Site) {
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 75, "{}", run.err);
    assert!(run.err.contains("mls-mail: error: mail server localhost:"), "{}", run.err);
    let others = run.err.lines().filter(|line| !line.starts_with("mls-mail: error: "));
    for line in others {
        assert!(line.contains("has not sent a greeting yet"), "{}", run.err);
    }
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
fn a_missing_server_is_a_temporary_failure() {
    let mut site = Site::new(&json!({}), &[]);
    site.stop();
    fails_for_now(&site);
}

#[test]
fn a_message_that_may_have_arrived_is_not_repeated_at_once_and_later_has_the_same_id() {
    for answer in ["drop", "stall"] {
        let mut site = Site::new(&json!({"DATA": [answer]}), &[]);
        site.append(&row("2026-06-01 10:00", "a"));
        let run = site.digest(&ONE_DAY);
        assert_eq!(run.code, 75, "{}", run.err);
        let first = site.messages();
        assert_eq!(first.len(), 1);
        site.serve(&json!({}), &[]);
        assert_eq!(site.digest(&ONE_DAY).code, 0);
        let [(second, _)] = &site.messages()[..] else { panic!("not one message") };
        assert_eq!(first[0].0["headers"]["message-id"], second["headers"]["message-id"]);
    }
}

#[test]
fn tls_and_starttls_require_a_certificate_of_a_known_authority() {
    for (option, setting) in [("smtps", "tls"), ("starttls", "starttls")] {
        let site = Site::new(&json!({}), &["--tls", option]);
        site.configure_also(&format!("email = admin@example.com\nsmtp_tls = {setting}\n"));
        site.append(&row("2026-06-01 10:00", "a"));
        let run = site.digest(&ONE_DAY);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{option}");
        assert_eq!(site.messages()[0].1["tls"], true);

        // Trust only an authority that did not sign the certificate.
        fs::rename(site.dir.path().join("cert.pem"), site.dir.path().join("ca.pem")).unwrap();
        site.append(&row("2026-06-01 11:00", "b"));
        let run = site.digest(&ONE_DAY);
        assert_eq!(run.code, 69, "{option}: {}", run.err);
        assert!(run.err.contains("UnknownIssuer; this machine does not trust"), "{}", run.err);
        assert!(run.err.contains("(update-ca-certificates)"), "{}", run.err);
        assert_eq!(site.messages().len(), 1);
    }
}

#[test]
fn each_error_of_a_connection_names_its_cure() {
    let mut site = Site::new(&json!({}), &["--tls", "smtps"]);
    let fails = |site: &Site, settings: &str, exit: i32, why: &str| {
        site.configure_also(&format!("email = admin@example.com\n{settings}\n"));
        let run = site.run("mls-mail --config mls.conf --smtp-timeout 2 --test", &[]);
        assert_eq!(run.code, exit, "{settings}: {}", run.err);
        assert!(run.err.contains(why), "{settings}: {}", run.err);
    };
    let silent = "has not sent a greeting yet; if the server expects TLS on this port (as on port 465), set [report] smtp_tls = tls";
    for setting in ["none", "starttls"] {
        fails(&site, &format!("smtp_tls = {setting}"), 75, silent);
    }
    let name = "certificate not valid for name \"127.0.0.1\"; certificate is only valid for \
                DnsName(\"localhost\"); use a host name that is in the certificate of the server";
    fails(&site, "smtp_tls = tls\nsmtp_host = 127.0.0.1", 69, name);
    site.let_certificate_expire();
    site.serve(&json!({}), &["--tls", "smtps"]);
    let expired = "certificate expired; renew the certificate of the server, or correct the clock";
    fails(&site, "smtp_tls = tls", 69, expired);

    site.serve(&json!({}), &[]);
    let plain =
        "the server does not use TLS from the start on this port: set [report] smtp_tls = starttls";
    fails(&site, "smtp_tls = tls", 75, plain);
    let starttls = "the server does not offer STARTTLS on this port: set [report] smtp_port to a port with STARTTLS";
    fails(&site, "smtp_tls = starttls", 69, starttls);
    mls_state::atomic::write(&site.dir.path().join("secret"), b"secret\n", 0o600).unwrap();
    let login = format!("smtp_user = a\nsmtp_password_file = {}/secret", site.dir.path().display());
    fails(&site, &login, 69, "many servers offer logins only with TLS: set [report] smtp_tls");
    site.serve(&json!({"MAIL": ["stall"]}), &[]);
    fails(
        &site,
        "",
        75,
        "the server did not answer in time; check [report] smtp_port and smtp_tls",
    );
    site.stop();
    fails(
        &site,
        "",
        75,
        "no mail server listens on this port: check [report] smtp_host and smtp_port",
    );
}

#[test]
fn a_server_without_the_required_starttls_gets_nothing() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\nsmtp_tls = starttls\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains("STARTTLS"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_password_comes_from_a_file_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new(&json!({}), &["--auth", "mls", "se cret"]);
    let secret = site.dir.path().join("secret");
    site.configure_also(&format!(
        "email = admin@example.com\nsmtp_user = mls\nsmtp_password_file = {}\n",
        secret.display()
    ));
    site.append(&row("2026-06-01 10:00", "a"));
    mls_state::atomic::write(&secret, b"se cret\n", 0o644).unwrap();
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 77, "{}", run.err);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(site.digest(&ONE_DAY).code, 0);
    assert_eq!(site.messages().len(), 1);

    site.append(&row("2026-06-01 11:00", "b"));
    mls_state::atomic::write(&secret, b"wrong\n", 0o600).unwrap();
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains("535") && !run.err.contains("wrong"), "{}", run.err);
}

/// Creates the digest with the arguments `$@`.
const MESSAGE: &str = "mls-report --config mls.conf --timezone UTC --format mail \"$@\"";

#[test]
fn a_dry_run_and_an_output_file_have_the_message_and_send_and_store_nothing() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let eml = site.dir.path().join("digest.eml");
    for args in [&["--date", "2026-06-01"][..], &["--since-last"]] {
        let dry = site.run(&format!("{MESSAGE} | mls-mail --config mls.conf --dry-run"), args);
        assert_eq!((dry.code, dry.err.as_str()), (0, ""));
        assert!(text(&parse(dry.out.as_bytes())).contains(": 1\n"));
        assert_eq!(site.run(&format!("{MESSAGE} --output digest.eml"), args).code, 0);
        assert!(text(&parse(&fs::read(&eml).unwrap())).contains(": 1\n"));
    }
    assert!(!site.dir.path().join("mail.ledger").exists());
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_test_mail_is_short_and_is_sent_each_time() {
    let site = Site::new(&json!({}), &[]);
    for _ in 0..2 {
        assert_eq!(site.run("mls-mail --config mls.conf --test", &[]).code, 0);
    }
    let messages = site.messages();
    assert_eq!(messages.len(), 2);
    assert!(text(&messages[0].0).starts_with("This is a test of mls-mail on "));
    assert_eq!(messages[0].0["parts"].as_array().unwrap().len(), 1);
}
