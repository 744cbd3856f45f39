//! The hot loops of tools that read records: parsing a record, and adding members to it.
//!
//! `cargo bench --package mls-event`

use divan::{Bencher, black_box};
use mls_event::{Enrichment, Members, Record};

fn main() {
    divan::main();
}

const LINE: &str = r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45.123456+02:00","server":"mx1","service":"postfix/smtpd","pid":7,"outcome":"failure","attempts":1,"mechanism":"LOGIN","ip":"192.0.2.7","client":null,"user":"a@example.com","reason":"authentication failure"}"#;

#[divan::bench]
fn read_as_written() -> bool {
    Record::parse(black_box(LINE.as_bytes())).is_ok()
}

/// A line with an unknown member is read by the slower reader.
#[divan::bench]
fn read_with_another_member(bencher: Bencher<'_, '_>) {
    let line = LINE.replace("\"pid\"", "\"x\":1,\"pid\"");
    bencher.bench_local(|| Record::parse(black_box(line.as_bytes())).is_ok());
}

#[divan::bench]
fn members(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Members::parse(black_box(LINE.as_bytes())).is_ok());
}

#[divan::bench]
fn enrichment(bencher: Bencher<'_, '_>) {
    let added = Enrichment {
        hostname: Some("host.example.net".into()),
        reverse_dns_status: Some("OK".into()),
        country_code: Some("CN".into()),
        asn: Some(4837),
        aso: Some("Example, Inc.".into()),
    };
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        black_box(&added).write_members(&mut out);
    });
}
