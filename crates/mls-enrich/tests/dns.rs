//! Reverse DNS against real servers on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod dns_server;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use dns_server::{DnsServer, Reply, arpa, labels};
use hickory_server::proto::op::ResponseCode;
use serde_json::{Value, json};

const BEGIN: &str = r#"{"v":1,"type":"begin","base":0}"#;
const CHECKPOINT: &str = r#"{"v":1,"type":"checkpoint","cursor":{"at":1}}"#;
const END: &str = r#"{"v":1,"type":"end"}"#;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn auth(ip: &str) -> String {
    format!(
        r#"{{"v":1,"type":"auth","date":"2026-06-01T00:00:45+02:00","outcome":"failure","ip":"{ip}"}}"#
    )
}

fn name(text: &str) -> Reply {
    Reply::Names(vec![labels(text)])
}

struct Output {
    code: Option<i32>,
    stderr: String,
    lines: Vec<Value>,
}

impl Output {
    /// Status and hostname by address.
    fn by_ip(&self) -> HashMap<&str, (Option<&str>, Option<&str>)> {
        let auth = self.lines.iter().filter(|line| line["type"] == "auth");
        auth.map(|line| {
            (
                line["ip"].as_str().unwrap(),
                (line["reverse_dns_status"].as_str(), line["hostname"].as_str()),
            )
        })
        .collect()
    }
}

fn command(server: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mls-enrich"));
    // A database without these addresses, so that there is no warning.
    command.args([
        "--dns-server",
        &server.to_string(),
        "--country-db",
        "none.csv",
        "--asn-db",
        "none.csv",
    ]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(command: &mut Command, lines: &[String]) -> Output {
    let mut child = command.spawn().unwrap();
    let (mut input, text) = (child.stdin.take().unwrap(), lines.join("\n") + "\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let lines = output
        .stdout
        .split_inclusive(|b| *b == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap());
    Output {
        code: output.status.code(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        lines: lines.collect(),
    }
}

/// A running filter, fed line by line.
struct Filter {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Filter {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (input, output) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends the input and returns the text of stderr.
    fn end(self) -> String {
        let Self { mut child, input, .. } = self;
        drop(input);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(child.wait().unwrap().success());
        stderr
    }
}

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
fn output_keeps_the_order_of_the_input_and_each_address_is_looked_up_once() {
    let server = DnsServer::start(|asked| {
        let n: u64 = asked.split('.').next().unwrap().parse().unwrap();
        (name(&format!("n{n}.example.com")), Duration::from_millis(n * 7919 % 97))
    });
    let mut input: Vec<_> = (0..3000).map(|n| auth(&format!("11.0.0.{}", n % 250))).collect();
    input.insert(100, r#"{"v":1,"type":"alert","unknown":[1, 2]}"#.into());
    let output = run(&mut command(server.address), &input);
    assert_eq!(output.lines.len(), input.len());
    for (line, input) in output.lines.iter().zip(&input) {
        let input: Value = serde_json::from_str(input).unwrap();
        assert_eq!(line["ip"], input["ip"]);
        if let Some(ip) = line["ip"].as_str() {
            let n = ip.rsplit('.').next().unwrap();
            assert_eq!(line["hostname"], format!("n{n}.example.com"));
        }
    }
    let questions = server.questions();
    assert_eq!(questions.len(), 250);
    // A query without an answer is repeated, but one query for each record would be 3000.
    assert!(questions.values().sum::<usize>() < 600, "{questions:?}");
}

#[test]
fn a_checkpoint_stays_after_the_records_before_it_for_any_order_of_answers() {
    let server = DnsServer::start(|asked| {
        let slow = asked.starts_with("1.");
        (name("x.example.com"), Duration::from_millis(if slow { 400 } else { 0 }))
    });
    let input = [
        BEGIN.into(),
        auth("11.0.0.1"),
        CHECKPOINT.into(),
        auth("11.0.0.2"),
        CHECKPOINT.into(),
        END.into(),
    ];
    let output = run(&mut command(server.address), &input);
    let kinds: Vec<_> = output.lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["begin", "auth", "checkpoint", "auth", "checkpoint", "end"]);
    assert_eq!(output.lines[1]["reverse_dns_status"], "OK");
    assert_eq!(output.lines[2].to_string(), CHECKPOINT);
}

#[test]
fn a_silent_server_holds_a_checkpoint_no_longer_than_the_budget_while_the_input_stays_open() {
    let server = DnsServer::start(|_| (Reply::Silence, Duration::ZERO));
    let mut filter = Filter::start(command(server.address).args([
        "--dns-budget",
        "0.5",
        "--dns-timeout",
        "3600",
    ]));
    filter.write(BEGIN);
    assert_eq!(filter.read()["type"], "begin");
    filter.write(&auth("11.0.0.1"));
    filter.write(&auth("11.0.0.1"));
    filter.write(CHECKPOINT);
    for _ in 0..2 {
        let record = filter.read();
        assert_eq!(
            (&record["type"], &record["reverse_dns_status"]),
            (&json!("auth"), &json!(null))
        );
    }
    assert_eq!(filter.read()["type"], "checkpoint");
    // The budget is spent, so this address is not looked up.
    filter.write(&auth("11.0.0.2"));
    assert_eq!(filter.read()["reverse_dns_status"], json!(null));
    assert!(!server.questions().contains_key(&arpa(ip("11.0.0.2"))));
    let stderr = filter.end();
    assert!(stderr.contains("took longer than --dns-budget of 0.5 seconds: 3 records"), "{stderr}");
}

#[test]
fn a_run_against_a_silent_server_ends_when_the_budget_is_spent() {
    let server = DnsServer::start(|_| (Reply::Silence, Duration::ZERO));
    let input: Vec<_> = (0..300).map(|n| auth(&format!("11.0.{}.{}", n / 250, n % 250))).collect();
    let output =
        run(command(server.address).args(["--dns-budget", "0.5", "--dns-timeout", "3600"]), &input);
    assert_eq!((output.code, output.lines.len()), (Some(0), 300));
    assert!(output.lines.iter().all(|line| line["reverse_dns_status"].is_null()));
    assert!(
        output.stderr.contains("--dns-budget of 0.5 seconds: 300 records"),
        "{}",
        output.stderr
    );
}

#[test]
fn answers_that_keep_coming_do_not_spend_the_budget_of_a_pipeline_that_follows_a_log() {
    let server = DnsServer::start(|_| (name("x.example.com"), Duration::from_millis(50)));
    let mut filter = Filter::start(command(server.address).args(["--dns-budget", "1.5"]));
    filter.write(&auth("11.0.0.0"));
    for n in 1..60 {
        // For three seconds there is always a lookup in flight.
        filter.write(&auth(&format!("11.0.0.{n}")));
        assert_eq!(filter.read()["reverse_dns_status"], "OK");
    }
    filter.read();
    assert_eq!(filter.end(), "");
}

#[test]
fn a_record_is_written_when_its_answer_arrives_while_the_input_is_quiet() {
    let server = DnsServer::start(|_| (name("x.example.com"), Duration::from_millis(50)));
    let mut filter = Filter::start(&mut command(server.address));
    filter.write(&auth("11.0.0.1"));
    assert_eq!(filter.read()["hostname"], "x.example.com");
    filter.write(&auth("11.0.0.1"));
    assert_eq!(filter.read()["hostname"], "x.example.com");
    filter.end();
}

#[test]
fn new_input_is_read_while_an_old_lookup_hangs() {
    let server = DnsServer::start(|asked| {
        if asked.starts_with("1.") {
            (Reply::Silence, Duration::ZERO)
        } else {
            (name("x.example"), Duration::ZERO)
        }
    });
    let mut filter = Filter::start(command(server.address).args([
        "--dns-budget",
        "3600",
        "--dns-timeout",
        "3600",
    ]));
    filter.write(&auth("11.0.0.1"));
    while server.questions().is_empty() {
        std::thread::yield_now();
    }
    filter.write(&auth("11.0.0.2"));
    while server.questions().len() < 2 {
        std::thread::yield_now();
    }
    filter.child.kill().unwrap();
    filter.child.wait().unwrap();
}

#[test]
fn input_above_the_queue_limit_waits_in_the_pipe_and_nothing_is_lost() {
    let server = DnsServer::start(|_| (name("x.example.com"), Duration::from_millis(20)));
    let padding = "y".repeat(2000);
    let input: Vec<_> = (0..4000)
        .map(|n| {
            auth(&format!("11.0.{}.{}", n % 500 / 250, n % 250))
                .replace('}', &format!(r#","pad":"{padding}"}}"#))
        })
        .collect();
    let output = run(&mut command(server.address), &input);
    assert_eq!(output.lines.len(), 4000);
    assert!(output.lines.iter().all(|line| line["reverse_dns_status"] == "OK"));
}

#[test]
fn many_lookups_are_in_flight_at_a_time() {
    // One after the other, they would take 100 seconds.
    let server = DnsServer::start(|_| (name("x.example.com"), Duration::from_millis(50)));
    let input: Vec<_> = (0..2000).map(|n| auth(&format!("11.0.{}.{}", n / 250, n % 250))).collect();
    let output = run(command(server.address).args(["--dns-budget", "20"]), &input);
    assert!(
        output.lines.iter().all(|line| line["reverse_dns_status"] == "OK"),
        "{}",
        output.stderr
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

fn configured(dir: &Path, dns_cache: &str) -> String {
    let conf = dir.join("mls.conf");
    let text = format!("[paths]\nstate_dir = {}\n[dns_cache]\n{dns_cache}\n", dir.display());
    mls_state::atomic::write(&conf, text.as_bytes(), 0o644).unwrap();
    conf.to_str().unwrap().to_owned()
}

fn zone_of_all_kinds() -> DnsServer {
    DnsServer::of(vec![
        (ip("11.0.0.1"), name("one.example.com")),
        (ip("11.0.0.2"), Reply::Names(vec![])),
        (ip("11.0.0.4"), Reply::Code(ResponseCode::ServFail)),
    ])
}

#[test]
fn a_second_run_looks_up_only_what_the_server_failed_to_answer() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    let input = ["11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4", "11.0.0.4"].map(auth);
    let first = run(command(server.address).args(["--config", &conf]), &input);
    let before = server.questions();
    let second = run(command(server.address).args(["--config", &conf]), &input);
    assert_eq!((second.by_ip(), &second.stderr), (first.by_ip(), &first.stderr));
    let after = server.questions();
    let repeated: Vec<_> =
        after.iter().filter(|(name, times)| before[*name] != **times).map(|(n, _)| n).collect();
    assert_eq!(repeated, [&arpa(ip("11.0.0.4"))]);
}

#[test]
fn a_disabled_or_expired_cache_is_not_used() {
    for setting in ["enabled = no", "size = 0", "ttl_seconds = 0"] {
        let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
        let conf = configured(dir.path(), setting);
        for run_number in 1..=2 {
            run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
            assert_eq!(server.questions()[&arpa(ip("11.0.0.1"))], run_number, "{setting}");
        }
    }
}

#[test]
fn a_corrupt_cache_is_dropped_and_an_unwritable_one_is_only_a_warning() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    mls_state::atomic::write(
        &dir.path().join("dns-cache.ndjson"),
        b"{\"ip\":\"11.0.0.1\",\"expi",
        0o640,
    )
    .unwrap();
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert_eq!(output.by_ip()["11.0.0.1"].0, Some("OK"));
    assert!(output.stderr.contains("dns-cache.ndjson is dropped"), "{}", output.stderr);
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert!(!output.stderr.contains("dropped"), "{}", output.stderr);

    let gone = configured(dir.path(), "").replace("mls.conf", "gone.conf");
    let text = fs::read_to_string(dir.path().join("mls.conf")).unwrap();
    let text = text.replace(dir.path().to_str().unwrap(), "/proc/nowhere");
    mls_state::atomic::write(Path::new(&gone), text.as_bytes(), 0o644).unwrap();
    let output = run(command(server.address).args(["--config", &gone]), &[auth("11.0.0.1")]);
    assert_eq!((output.code, output.by_ip()["11.0.0.1"].0), (Some(0), Some("OK")));
    assert!(output.stderr.contains("cannot be written"), "{}", output.stderr);
}

#[test]
fn runs_at_once_do_not_damage_the_cache() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (conf, address) = (&conf, server.address);
            scope.spawn(move || {
                let input: Vec<_> = (0..250).map(|m| auth(&format!("11.1.{n}.{m}"))).collect();
                run(command(address).args(["--config", conf]), &input);
            });
        }
    });
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert!(!output.stderr.contains("dropped"), "{}", output.stderr);
    assert_eq!(output.by_ip()["11.0.0.1"].0, Some("OK"));
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
        assert!(lines[0].ends_with("run mls-ipdb update to fetch them"), "{stderr}");
        assert!(lines.len() == 2 && lines[1].starts_with(summary), "{stderr}");
    }
}

#[test]
fn a_slow_server_is_asked_for_the_addresses_with_more_records_first() {
    let server = DnsServer::start(|asked| match asked.split('.').nth(3) {
        Some("12") => (name("often.example.com"), Duration::ZERO),
        _ => (Reply::Silence, Duration::ZERO),
    });
    // Silent lookups take all places for half a second. One after the other, all would take longer
    // than the budget.
    let rare = (0..2000).map(|n| auth(&format!("11.0.{}.{}", n / 200, n % 200)));
    let input: Vec<_> = rare.chain((0..300).map(|_| auth("12.0.0.1"))).collect();
    let limits = ["--dns-timeout", "0.5", "--dns-budget", "5"];
    let output = run(command(server.address).args(limits), &input);
    assert_eq!(output.by_ip()["12.0.0.1"], (Some("OK"), Some("often.example.com")));
    for words in ["took longer than --dns-budget of 5 seconds", "with more records were looked up"]
    {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}
