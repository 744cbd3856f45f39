//! What mls-mail must do for other and for older mail servers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::site::{ONE_DAY, Site, part, row, text};

#[test]
fn server_that_does_not_know_ehlo_gets_helo() {
    let site = Site::new(&json!({"EHLO": ["502 5.5.2 command not recognized"]}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn login_of_an_old_server_is_understood() {
    let site =
        Site::new(&json!({"EHLO": ["250-mail\r\n250 AUTH=LOGIN"]}), &["--auth", "mls", "secret"]);
    mls_state::atomic::write(&site.dir.path().join("secret"), b"secret\n", 0o600).unwrap();
    let secret = site.dir.path().join("secret");
    site.configure_also(&format!(
        "email = admin@example.com\nsmtp_user = mls\nsmtp_password_file = {}\n",
        secret.display()
    ));
    let run = site.run("mls-mail --config mls.conf --smtp-timeout 2 --test", &[]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(site.messages().len(), 1);
}

/// Sends each of `replies`, and reads one command after each reply. Returns the commands.
fn play(mut stream: TcpStream, replies: &[&str]) -> Vec<String> {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut commands = Vec::new();
    for reply in replies {
        stream.write_all(reply.as_bytes()).unwrap();
        let Some(Ok(line)) = lines.next() else { break };
        commands.push(line);
    }
    commands
}

#[test]
fn server_that_asks_for_the_login_again_gets_it_and_nothing_is_sent_before_it_agrees() {
    let login = "AG1scwBzZWNyZXQ=";
    for (last, is_agreed) in [("235 2.7.0 welcome\r\n", true), ("334 \r\n", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            play(stream, &["220 mail\r\n", "250-mail\r\n250 AUTH PLAIN\r\n", "334 \r\n", last])
        });
        let site = Site::without_server();
        let secret = site.dir.path().join("secret");
        mls_state::atomic::write(&secret, b"secret\n", 0o600).unwrap();
        site.configure_also(&format!(
            "email = admin@example.com\nsmtp_host = 127.0.0.1\nsmtp_port = {port}\nsmtp_user = mls\nsmtp_password_file = {}\n",
            secret.display()
        ));
        let run = site.run("mls-mail --config mls.conf --smtp-timeout 1 --test", &[]);
        // The server closes the connection after the last reply, so the run fails.
        assert_eq!(run.code, 75, "{}", run.err);
        let commands = server.join().unwrap();
        assert_eq!(commands[1..3], [format!("AUTH PLAIN {login}"), login.to_owned()]);
        let mail = commands.get(3).is_some_and(|line| line.starts_with("MAIL FROM:"));
        assert_eq!(mail, is_agreed, "{commands:?}");
    }
}

#[test]
fn ipv6_address_of_the_server_may_have_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return mls_tests::skip("this machine has no IPv6");
    };
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        play(stream, &["220 mail\r\n", "550 no\r\n", "550 5.7.1 no mail\r\n"])
    });
    let site = Site::without_server();
    site.configure_also(&format!(
        "email = admin@example.com\nsmtp_host = [::1]\nsmtp_port = {port}\n"
    ));
    let run = site.run("mls-mail --config mls.conf --smtp-timeout 1 --test", &[]);
    assert_eq!(run.code, 69, "{}", run.err);
    assert!(run.err.contains(&format!("mail server [::1]:{port} did not accept")), "{}", run.err);
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn attachment_that_is_too_large_for_the_server_becomes_a_line() {
    let site = Site::new(&json!({}), &["--size", "60000"]);
    let rows: String = (0..1500).map(|n| row("2026-06-01 10:00", &format!("u{n}"))).collect();
    site.append(&rows);
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("Not attached: the message with its attachment"), "{}", run.err);
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(text(message).contains("Total attempts 2026-06-01: 1,500"));
    assert_eq!(part(message, "text/csv"), None);
    let parts = message["parts"].as_array().unwrap();
    let last = parts.last().unwrap()["text"].as_str().unwrap();
    assert!(last.starts_with("Not attached: ") && last.contains("at most 60000"), "{last}");
    assert_eq!(message["defects"], json!([]));
}

#[test]
fn message_that_is_too_large_for_the_server_is_refused_with_both_sizes() {
    let site = Site::new(&json!({}), &["--size", "100"]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69);
    let sizes = run.err.split_once("the message has ").unwrap().1;
    let (length, limit) = sizes.split_once(" bytes, and the mail server takes at most ").unwrap();
    assert!(length.replace(',', "").parse::<u64>().unwrap() > 1000, "{}", run.err);
    assert!(limit.starts_with("100"), "{}", run.err);
    // The digest is too large even without the attachment.
    assert!(!run.err.contains("left out"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn international_domain_is_sent_in_ascii_and_an_international_mailbox_needs_smtputf8() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = Chef <root@bücher.example>, élève@bücher.example\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!(run.code, 69);
    assert!(run.err.contains("does not offer SMTPUTF8"), "{}", run.err);
    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["root@xn--bcher-kva.example"]));
    assert_eq!(message["headers"]["to"], "Chef <root@xn--bcher-kva.example>");
    assert_eq!(message["ascii"], true);
}

#[test]
fn server_with_smtputf8_gets_the_international_mailbox() {
    let site = Site::new(&json!({}), &["--smtputf8"]);
    site.configure_also("email = élève@bücher.example\n");
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(_, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["élève@xn--bcher-kva.example"]));
}

#[test]
fn message_of_a_script_gets_its_missing_fields() {
    let site = Site::new(&json!({}), &[]);
    let run = site.run(
        "printf 'Subject: hello\\nBcc: other@example.com\\n\\n.\\nfrom a script\\n' | \
         mls-mail --config mls.conf --smtp-timeout 2",
        &[],
    );
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(message, envelope)] = &site.messages()[..] else { panic!("not one message") };
    assert_eq!(envelope["to"], json!(["admin@example.com"]));
    assert_eq!(message["headers"]["subject"], "hello");
    assert_eq!((&message["headers"]["bcc"], &message["defects"]), (&Value::Null, &json!([])));
    assert_eq!(text(message), ".\nfrom a script\n");
}

#[test]
fn message_whose_writer_died_is_not_sent() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.run(
        "mls-report --config mls.conf --since-last --format mail | head -c 2000 | \
         mls-mail --config mls.conf --smtp-timeout 2",
        &[],
    );
    assert_eq!(run.code, 75, "{}", run.err);
    assert!(run.err.contains("the message ends too early"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);
    assert_eq!(site.digest(&["--since-last"]).code, 0);
    assert!(text(&site.messages()[0].0).contains(": 1\n"));
}
