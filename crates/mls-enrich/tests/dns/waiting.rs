//! Order, limits and budgets while answers are slow or missing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dns_server::{DnsServer, Reply, arpa};
use crate::filter::{BEGIN, CHECKPOINT, END, Filter, auth, command, ip, name, run};

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
    // Queries without an answer are repeated. But one query for each record would be 3000 queries.
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
fn a_silent_server_delays_a_checkpoint_at_most_for_the_budget_while_the_input_stays_open() {
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
    assert!(stderr.contains("was too slow (more than --dns-budget, 0.5 s): 3 records"), "{stderr}");
}

#[test]
fn a_run_against_a_silent_server_ends_when_the_budget_is_spent() {
    let server = DnsServer::start(|_| (Reply::Silence, Duration::ZERO));
    let input: Vec<_> = (0..300).map(|n| auth(&format!("11.0.{}.{}", n / 250, n % 250))).collect();
    let output =
        run(command(server.address).args(["--dns-budget", "0.5", "--dns-timeout", "3600"]), &input);
    assert_eq!((output.code, output.lines.len()), (Some(0), 300));
    assert!(output.lines.iter().all(|line| line["reverse_dns_status"].is_null()));
    assert!(output.stderr.contains("--dns-budget, 0.5 s): 300 records"), "{}", output.stderr);
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
    // If the 2000 lookups ran one after the other, they would take 100 seconds.
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
fn a_slow_server_is_asked_for_the_addresses_with_more_records_first() {
    let server = DnsServer::start(|asked| match asked.split('.').nth(3) {
        Some("12") => (name("often.example.com"), Duration::ZERO),
        _ => (Reply::Silence, Duration::ZERO),
    });
    // At most 128 lookups run at the same time, and each silent lookup takes half a second. So 2000
    // silent lookups take longer than the budget.
    let rare = (0..2000).map(|n| auth(&format!("11.0.{}.{}", n / 200, n % 200)));
    let input: Vec<_> = rare.chain((0..300).map(|_| auth("12.0.0.1"))).collect();
    let limits = ["--dns-timeout", "0.5", "--dns-budget", "5"];
    let output = run(command(server.address).args(limits), &input);
    assert_eq!(output.by_ip()["12.0.0.1"], (Some("OK"), Some("often.example.com")));
    for words in
        ["was too slow (more than --dns-budget, 5 s): ", "with more records were looked up"]
    {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}
