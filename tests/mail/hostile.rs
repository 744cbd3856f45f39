//! Hostile mail servers, and an attacker on the network.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use mls_tests::hostile::{Attacked, MAX_RESIDENT, attacked, endless, serve};
use serde_json::json;

use crate::site::{ONE_DAY, Site, row, text};

/// Sends a test mail to the server at `port`.
fn test_mail(port: u16) -> Attacked {
    let site = Site::without_server();
    site.configure_also(&format!(
        "email = a@example.com\nsmtp_host = 127.0.0.1\nsmtp_port = {port}\n"
    ));
    attacked(&mut site.command("exec mls-mail --config mls.conf --smtp-timeout 2 --test", &[]))
}

fn assert_fails_for_now(attacked: &Attacked, why: &str) {
    assert_eq!(attacked.code, Some(75), "{attacked:?}");
    assert!(attacked.said.contains(why), "{attacked:?}");
    assert!(attacked.peak > 0 && attacked.peak < MAX_RESIDENT, "{attacked:?}");
}

/// Greets, and reads the first command.
fn greet(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 mail.example.com\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map(drop)
}

#[test]
fn endless_line_is_refused() {
    let port = serve(|stream| endless(stream, &"2".repeat(65_536).into_bytes()));
    assert_fails_for_now(&test_mail(port), "a reply line of more than 65536 bytes");
}

#[test]
fn endless_reply_is_refused() {
    let line = [&b"250-"[..], &[b'x'; 1000], b"\r\n"].concat();
    let lines = line.repeat(64);
    let port = serve(move |mut stream| {
        greet(&mut stream)?;
        endless(stream, &lines)
    });
    assert_fails_for_now(&test_mail(port), "a reply of more than 1048576 bytes");
}

#[test]
fn greeting_in_single_bytes_ends_at_the_time_limit_of_a_reply() {
    let port = serve(|mut stream| {
        loop {
            stream.write_all(b"2")?;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let begun = std::time::Instant::now();
    assert_fails_for_now(&test_mail(port), "the server did not answer in time");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn truncated_reply_is_a_temporary_failure() {
    let port = serve(|mut stream| {
        greet(&mut stream)?;
        stream.write_all(b"250-mail.exa")
    });
    assert_fails_for_now(&test_mail(port), "the server closed the connection");
}

#[test]
fn message_without_an_answer_may_have_been_delivered() {
    let port = serve(|mut stream| {
        greet(&mut stream)?;
        for reply in ["250 mail", "250 ok", "250 ok", "354 go on"] {
            writeln!(stream, "{reply}\r")?;
            BufReader::new(&stream).read_line(&mut String::new())?;
        }
        Ok(())
    });
    assert_fails_for_now(&test_mail(port), "so the message may have been delivered");
}

#[test]
fn server_of_another_protocol_is_a_temporary_failure() {
    let port = serve(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_fails_for_now(&test_mail(port), "is not a reply of a mail server");
}

#[test]
fn replies_injected_before_tls_are_refused_and_the_digest_waits() {
    let replies = "250-mail\r\n250 SIZE 1000000\r\n250 OK\r\n250 OK\r\n354 go\r\n250 OK\r\n221 bye";
    let mut site = Site::new(&json!({"INJECT": [replies]}), &["--tls", "starttls"]);
    let email = "email = admin@example.com\nsmtp_tls = starttls\n";
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "a"));
    let run = site.digest(&["--since-last"]);
    assert_eq!(run.code, 75, "{}", run.err);
    assert!(run.err.contains("bytes arrived before TLS began"), "{}", run.err);
    assert_eq!(site.messages().len(), 0);

    site.serve(&json!({}), &["--tls", "starttls"]);
    site.configure_also(email);
    let run = site.digest(&ONE_DAY);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let [(first, envelope), _] = &site.messages()[..] else { panic!("not two messages") };
    assert_eq!(envelope["tls"], true);
    assert!(text(first).contains(": 1\n"), "{}", text(first));
}
