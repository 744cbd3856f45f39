//! The main pipeline with real input, and the behaviour of tools when readers or inputs fail.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use mls_tests::{Site, text};
use serde_json::Value;
use testdata::log::{Generator, Stamps};

const LOG: &str = include_str!("data/postfix-3.7.11-debian12.log");
const EXPECTED: &str = include_str!("data/postfix-3.7.11-debian12.expected.ndjson");

fn records(ndjson: &[u8]) -> Vec<Value> {
    text(ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares the records in `found` with the expected records. `date` converts an expected date.
fn assert_expected(found: &[Value], date: impl Fn(&str) -> String) {
    let expected: Vec<Value> =
        EXPECTED.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((expected.len(), found.len()), (47, 47));
    for (mut expected, found) in expected.into_iter().zip(found) {
        let expected = expected.as_object_mut().unwrap();
        expected.remove("line");
        assert_eq!(expected.remove("client").unwrap(), "unknown");
        assert_eq!(found["client"], Value::Null);
        expected["date"] = date(expected["date"].as_str().unwrap()).into();
        let is_error = expected["reason"] == "Connection lost to authentication server";
        assert_eq!(found["outcome"], if is_error { "error" } else { "failure" });
        for (member, value) in expected {
            assert_eq!(found[member], *value, "{member} of {found}");
        }
    }
}

#[test]
fn every_failure_of_the_captured_log_is_found_and_nothing_else() {
    let site = Site::new();
    site.write("mail.log", LOG);
    let output = site.shell("mls-tail mail.log | mls-parse --outcome failure,error");
    assert!(output.status.success());
    assert_expected(&records(&output.stdout), str::to_owned);
}

#[test]
fn bsd_timestamps_give_the_same_records_with_the_latest_year_that_is_not_in_the_future() {
    let site = Site::new();
    let bsd: Vec<String> =
        LOG.lines().map(|line| format!("Nov 21 {}{}\n", &line[11..19], &line[32..])).collect();
    site.write("mail.log", &bsd.concat());
    for (reference, year) in [
        ("2026-11-21T07:41:36Z", 2026),
        ("2026-11-21T07:10:32Z", 2025),
        ("2031-01-01T00:00:00Z", 2030),
    ] {
        let output = site.shell(&format!(
            "mls-tail mail.log | mls-parse --outcome failure,error --timezone UTC --reference-time {reference}"
        ));
        assert_expected(&records(&output.stdout), |date| format!("{year}{}+00:00", &date[4..19]));
    }
}

#[test]
fn the_count_by_mechanism_is_exact_in_a_million_lines() {
    let site = Site::new();
    let mut generator = Generator::new(7, Stamps::Mixed);
    let mut log = Vec::new();
    (0..1_000_000).for_each(|_| generator.line(&mut log));
    let mut parse = site
        .command("mls-parse --timezone UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = parse.stdin.take().unwrap();
    let feed = std::thread::spawn(move || stdin.write_all(&log).unwrap());
    let output = parse.wait_with_output().unwrap();
    feed.join().unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut six = 0_u64;
    for record in records(&output.stdout) {
        *counts.entry(record["mechanism"].as_str().unwrap().to_owned()).or_default() += 1;
        six += u64::from(record["ip"].as_str().unwrap().contains(':'));
    }
    assert_eq!(counts, *generator.failures());
    let all: u64 = counts.values().sum();
    assert!(
        (48_000..52_000).contains(&all) && (all / 11..all / 9).contains(&six),
        "{all} failures, {six} of IPv6"
    );
}

#[test]
fn a_reader_that_exits_ends_the_pipeline_without_a_message() {
    let mut site = Site::new();
    let many = site.failures(20_000);
    site.write("mail.log", &many);
    for command in [
        "mls-tail mail.log | head -1",
        "mls-tail --framed mail.log | head -1",
        "mls-tail mail.log | mls-parse | head -1",
        "mls-tail mail.log | mls-parse | mls-enrich --no-dns --country-db c.csv --asn-db a.csv | head -1",
        "mls-tail mail.log | mls-parse | mls-csv | head -1",
        "mls-tail mail.log | mls-parse | mls-csv | mls-csv --decode | head -1",
        "mls-tail --cursor-file S mail.log | head -1",
    ] {
        let output = site.shell(command);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        assert_eq!(
            (text(&output.stderr), text(&output.stdout).lines().count()),
            (String::new(), 1),
            "{command}"
        );
    }
    assert!(
        site.files("S").iter().all(|name| name == "S.lock"),
        "a cursor was saved for lines that nobody has read"
    );
}

#[test]
fn a_reader_that_exits_is_noticed_while_the_input_is_quiet() {
    let mut site = Site::new();
    let one = site.failures(1);
    site.write("mail.log", &one);
    let made = site.shell(
        "mls-parse < mail.log > event; mls-csv < event > row; echo 192.0.2.1 > address; mkfifo in",
    );
    assert!(made.status.success());
    let takes_a_line = "read -r line";
    for (tool, input, reader) in [
        ("mls-parse", "mail.log", takes_a_line),
        ("mls-enrich --no-dns --country-db c.csv --asn-db a.csv", "event", takes_a_line),
        ("mls-csv", "event", takes_a_line),
        ("mls-csv --decode", "row", takes_a_line),
        // `true` reads no line, because mls-sql prints only a complete transaction.
        ("mls-sql export --dialect sqlite", "event", "true"),
        ("mls-anonymize", "mail.log", takes_a_line),
        ("mls-ipdb --country-db c.csv --asn-db a.csv lookup", "address", takes_a_line),
    ] {
        // The input stays open, so only the exit of the reader can end the tool.
        let command = format!("exec 3<>in; cat {input} >&3; timeout 30 {tool} <&3 | {reader}");
        let output = site.shell(&command);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new()),
            "{command}"
        );
    }
}

#[test]
fn random_bytes_are_an_input_that_cannot_be_read() {
    let site = Site::new();
    let mut random = testdata::random::Random::new(3);
    let noise: Vec<u8> = (0..300_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    std::fs::File::create(site.path().join("mail.log")).unwrap().write_all(&noise).unwrap();
    for (tool, code) in [
        ("mls-tail mail.log", 0),
        ("mls-parse < mail.log", 65),
        (
            "mls-parse --daemon postfix,dovecot --outcome failure,success,aborted --stats < mail.log",
            65,
        ),
        ("mls-enrich --no-dns < mail.log", 65),
        ("mls-csv < mail.log", 65),
        ("mls-csv --decode < mail.log", 65),
        ("mls-report < mail.log", 65),
    ] {
        let output = site.shell(tool);
        assert_eq!(output.status.code(), Some(code), "{tool}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("panicked"), "{tool}");
    }
}

#[test]
fn random_bytes_among_records_are_bad_records_and_do_not_end_the_run() {
    let site = Site::new();
    let mut random = testdata::random::Random::new(3);
    let noise: Vec<u8> = (0..300_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    let record = br#"{"v":1,"type":"auth","date":"2026-06-01T00:00:00Z","outcome":"failure"}"#;
    let input = [&record[..], b"\n", &noise, b"\n", record, b"\n"].concat();
    std::fs::File::create(site.path().join("records")).unwrap().write_all(&input).unwrap();
    for (tool, lines) in
        [("mls-enrich --no-dns", 1), ("mls-csv", 2), ("mls-report --date 2026-06-01", 3)]
    {
        let output = site.shell(&format!("{tool} < records"));
        assert_eq!(output.status.code(), Some(0), "{tool}: {}", text(&output.stderr));
        assert!(text(&output.stdout).lines().count() >= lines, "{tool}");
        let strict = site.shell(&format!("{tool} --strict < records"));
        assert_eq!(strict.status.code(), Some(65), "{tool}");
    }
}

#[test]
fn every_unreadable_log_is_named_and_the_others_are_read() {
    let mut site = Site::new();
    site.log(3);
    let output = site.shell("mls-tail one mail.log two");
    let said = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout).lines().count()),
        (Some(66), site.read("mail.log").lines().count()),
        "{said}"
    );
    assert!(said.contains("/one does not exist") && said.contains("/two does not exist"), "{said}");
}

#[test]
fn gzip_input_is_refused_with_its_name_and_not_read_as_lines() {
    let mut site = Site::new();
    site.log(3);
    assert!(
        site.shell(
            "mls-parse < mail.log | mls-csv > row; gzip -k mail.log row; cp mail.log.gz packed"
        )
        .status
        .success()
    );
    for (command, name) in [
        ("mls-parse < mail.log.gz", "stdin"),
        ("cat mail.log.gz | mls-parse", "stdin"),
        ("mls-csv --append new < row.gz", "stdin"),
        ("mls-csv --decode < row.gz", "stdin"),
        ("mls-anonymize < mail.log.gz", "stdin"),
        ("mls-anonymize --verify < mail.log.gz", "stdin"),
        ("mls-enrich --no-dns < row.gz", "stdin"),
        ("mls-sql load --url sqlite:e.db < row.gz", "stdin"),
        ("mls-anonymize --input packed", "packed"),
    ] {
        let output = site.shell(command);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(65), 0),
            "{command}: {}",
            text(&output.stderr)
        );
        let message = format!(": error: {name} is compressed by gzip: decompress it first");
        assert!(text(&output.stderr).contains(&message), "{command}: {}", text(&output.stderr));
    }
    let output = site.shell("mls-anonymize --input mail.log.gz | mls-parse | wc -l");
    assert_eq!((text(&output.stdout).trim(), text(&output.stderr).as_str()), ("3", ""));
}

#[test]
fn no_stage_needs_more_memory_for_a_longer_log() {
    let site = Site::new();
    let mut generator = Generator::new(9, Stamps::Rfc3339);
    let mut log = Vec::new();
    (0..700_000).for_each(|_| generator.line(&mut log));
    std::fs::File::create(site.path().join("mail.log")).unwrap().write_all(&log).unwrap();
    // RLIMIT_DATA counts what a process allocates, not the pages of the program.
    let limit = "prlimit --data=33554432 --";
    let databases = "--no-dns --country-db c.csv --asn-db a.csv";
    let output = site.shell(&format!(
        "{limit} mls-tail --framed --cursor-file S mail.log | {limit} mls-parse | {limit} mls-enrich {databases} | \
         {limit} mls-csv --append F --cursor-file S && gzip mail.log && {limit} mls-tail mail.log.gz | wc -c"
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), log.len().to_string());
}

#[test]
fn decoded_csv_equals_the_encoded_records() {
    let site = Site::new();
    site.write("mail.log", LOG);
    let output = site.shell(
        "mls-parse < mail.log | mls-enrich --no-dns --country-db c.csv --asn-db a.csv > E; \
         mls-csv --seconds --timezone UTC < E | mls-csv --decode --timezone UTC",
    );
    let (encoded, decoded) = (records(site.read("E").as_bytes()), records(&output.stdout));
    assert_eq!((encoded.len(), decoded.len()), (44, 44));
    for (encoded, decoded) in encoded.iter().zip(&decoded) {
        for member in
            ["server", "ip", "user", "hostname", "reverse_dns_status", "country_code", "asn", "aso"]
        {
            assert_eq!(encoded[member], decoded[member], "{member}");
        }
        assert_eq!(
            encoded["date"].as_str().unwrap()[..19],
            decoded["date"].as_str().unwrap()[..19]
        );
        let Value::Object(members) = decoded else { panic!("{decoded} is not an object") };
        for member in ["service", "pid", "mechanism", "client", "reason"] {
            assert_eq!(members[member], Value::Null);
        }
    }
}

#[test]
fn mls_parse_continues_if_the_program_that_gets_its_rejects_exits() {
    let site = Site::new();
    let line = "2026-06-01T00:00:00+00:00 vm postfix/smtpd[7]: warning: x[-]: SASL A authentication failed\n";
    site.write("mail.log", &line.repeat(3000));
    let output = site.shell("timeout 60 mls-parse --rejects >(head -n 1 > /dev/null) < mail.log");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("Broken pipe"), "{}", text(&output.stderr));
}
