//! Reverse DNS against real servers on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cache;
mod dns_server;
mod filter;
mod waiting;

use std::collections::HashMap;
use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use cache::configured;
use dns_server::{DnsServer, Reply, labels};
use filter::{CHECKPOINT, Filter, auth, command, ip, name, run};
use hickory_server::proto::op::ResponseCode;
use serde_json::json;

#[test]
fn every_outcome_has_its_status() {
    let server = DnsServer::of(vec![
        (ip("11.0.0.1"), name("mail.example.com")),
        (ip("11.0.0.2"), Reply::Code(ResponseCode::NXDomain)),
        (ip("11.0.0.3"), Reply::Code(ResponseCode::ServFail)),
        (ip("11.0.0.4"), Reply::Code(ResponseCode::Refused)),
        (ip("11.0.0.5"), Reply::Names(vec![])),
        (ip("11.0.0.6"), Reply::Silence),
        (ip("11.0.0.7"), Reply::Code(ResponseCode::NotImp)),
        (ip("2a00::1"), name("six.example.com")),
    ]);
    let input = [
        "11.0.0.1",
        "11.0.0.2",
        "11.0.0.3",
        "11.0.0.4",
        "11.0.0.5",
        "11.0.0.6",
        "11.0.0.7",
        "2a00::1",
        "192.168.0.1",
    ]
    .map(auth);
    let output = run(command(server.address).args(["--dns-timeout", "1"]), &input);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(
        output.by_ip(),
        HashMap::from([
            ("11.0.0.1", (Some("OK"), Some("mail.example.com"))),
            ("11.0.0.2", (Some("Errno 1"), None)),
            ("11.0.0.3", (Some("Errno 2"), None)),
            ("11.0.0.4", (Some("Errno 3"), None)),
            ("11.0.0.5", (Some("Errno 4"), None)),
            ("11.0.0.6", (Some("Errno 2"), None)),
            ("11.0.0.7", (Some("Errno 3"), None)),
            ("2a00::1", (Some("OK"), Some("six.example.com"))),
            ("192.168.0.1", (None, None)),
        ])
    );
}

#[test]
fn hostile_names_become_printable_text() {
    let longest: dns_server::Labels =
        vec![vec![b'a'; 63], vec![b'b'; 63], vec![b'c'; 63], vec![b'd'; 61]];
    let many = (0..200).rev().map(|n| labels(&format!("host-{n:03}.example.com"))).collect();
    let block = |n: u8| labels(&format!("{n}.0-15.0.0.11.in-addr.arpa"));
    let server = DnsServer::start(move |asked| {
        let reply = match asked.split('.').next().unwrap() {
            "1" if asked.contains("0-15") => name("aliased.example.com"),
            "1" => Reply::Alias(block(1), None),
            "2" => Reply::Alias(block(2), Some(labels("added.example.com"))),
            "3" => Reply::Alias(block(3), None),
            "4" => Reply::Names(vec![vec![b"\x1b]0;x\x07".to_vec(), b"a\r\nb".to_vec()]]),
            "5" => Reply::Names(vec![longest.clone()]),
            "6" => Reply::Names(vec![vec!["höst".as_bytes().to_vec(), b"\xfe\xff".to_vec()]]),
            "7" => name("8.8.8.8"),
            "8" => Reply::Names(Vec::clone(&many)),
            "9" => Reply::Names(vec![vec![b"trusted.example".to_vec(), b"evil".to_vec()]]),
            "10" => Reply::Names(vec![vec![]]),
            _ => Reply::Code(ResponseCode::NXDomain),
        };
        (reply, Duration::ZERO)
    });
    let input: Vec<_> = (1..=10).map(|n| auth(&format!("11.0.0.{n}"))).collect();
    let output = run(&mut command(server.address), &input);
    let found: Vec<_> =
        output.lines.iter().map(|line| (&line["reverse_dns_status"], &line["hostname"])).collect();
    let long =
        format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let expected = [
        ("OK", json!("aliased.example.com")),
        ("OK", json!("added.example.com")),
        ("Errno 4", json!(null)),
        ("OK", json!("?]0;x?.a??b")),
        ("OK", json!(long)),
        ("OK", json!("höst.\u{fffd}\u{fffd}")),
        ("Errno 4", json!(null)),
        ("OK", json!("host-000.example.com")),
        ("OK", json!("trusted?example.evil")),
        ("Errno 4", json!(null)),
    ];
    for (n, (found, (status, hostname))) in (1..).zip(found.iter().zip(&expected)) {
        // The status of an alias that leads to itself depends on the resolver.
        if n != 3 {
            assert_eq!((found.0, found.1), (&json!(status), hostname), "11.0.0.{n}");
        }
    }
    assert_ne!(found[2].0, &json!("OK"));
}

#[test]
fn a_malformed_answer_counts_as_a_failed_server() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        for noise in (0u8..).cycle() {
            let Ok((length, from)) = socket.recv_from(&mut packet) else { return };
            // The id and the header are right, so the resolver parses the rest.
            let mut answer = packet[..length].to_vec();
            answer[2] |= 0x80;
            answer[7] = 9;
            answer.extend((0..60).map(|n| noise.wrapping_mul(31).wrapping_add(n * 7)));
            let _ = socket.send_to(&answer, from);
        }
    });
    let input: Vec<_> = (1..=40).map(|n| auth(&format!("11.0.0.{n}"))).collect();
    let output = run(command(address).args(["--dns-timeout", "1"]), &input);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.lines.len(), 40);
    assert!(
        output.lines.iter().all(|line| line["reverse_dns_status"] == "Errno 2"),
        "{:?}",
        output.lines
    );
}

#[test]
fn private_addresses_are_looked_up_only_with_dns_private() {
    let server = DnsServer::start(|_| (name("inside.example"), Duration::ZERO));
    let input = ["10.1.2.3", "192.0.2.1", "fe80::1", "2001:db8::1"].map(auth);
    let output = run(&mut command(server.address), &input);
    assert!(output.lines.iter().all(|line| line["reverse_dns_status"].is_null()));
    assert!(server.questions().is_empty());
    let output = run(command(server.address).arg("--dns-private"), &input);
    assert!(output.lines.iter().all(|line| line["hostname"] == "inside.example"));
}

#[test]
fn no_dns_sends_no_query() {
    let server = DnsServer::start(|_| (name("x.example"), Duration::ZERO));
    let output = run(command(server.address).arg("--no-dns"), &[auth("11.0.0.1")]);
    assert!(
        output.lines[0]["reverse_dns_status"].is_null() && output.lines[0]["hostname"].is_null()
    );
    assert!(server.questions().is_empty());
}

#[test]
fn a_run_without_lookups_starts_no_thread() {
    let server = DnsServer::start(|_| (name("x.example"), Duration::ZERO));
    let mut filter = Filter::start(&mut command(server.address));
    let threads = |filter: &Filter| {
        fs::read_dir(format!("/proc/{}/task", filter.child.id())).unwrap().count()
    };
    filter.write(CHECKPOINT);
    filter.write(&auth("10.0.0.1"));
    filter.read();
    filter.read();
    assert_eq!(threads(&filter), 1);
    filter.write(&auth("11.0.0.1"));
    filter.read();
    assert_eq!(threads(&filter), 2);
    filter.end();
}

#[test]
fn a_run_logs_a_summary_and_warns_about_missing_databases_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let conf = configured(dir.path(), "");
    let enrich = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mls-enrich"));
        command.args(["--no-dns", "--config", &conf]).env("MLS_INFO", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        run(&mut command, &[auth("11.0.0.1")]).stderr
    };
    let summary = "mls-enrich: info: enriched 1 record (0 with a country, 0 with an AS, 0 with a hostname) in ";
    for level in ["warning", "info"] {
        let stderr = enrich();
        let lines: Vec<_> = stderr.lines().collect();
        assert!(
            lines[0].starts_with(&format!("mls-enrich: {level}: no country database (")),
            "{stderr}"
        );
        assert!(lines[0].ends_with("run mls-ipdb update to download databases"), "{stderr}");
        assert!(lines.len() == 2 && lines[1].starts_with(summary), "{stderr}");
    }
}
