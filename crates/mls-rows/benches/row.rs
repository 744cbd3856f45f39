//! Measures the hot loops of mls-csv: writing an event as a row, and reading a row.
//!
//! `cargo bench --package mls-rows`

use divan::{Bencher, black_box};
use mls_config::zone::Zone;
use mls_event::{Outcome, Record};
use mls_rows::row::{self, Decoder, Style};

fn main() {
    divan::main();
}

const EVENT: &[u8] = br#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45.123456+02:00","server":"mx1","service":"postfix/smtpd","pid":7,"outcome":"failure","attempts":1,"mechanism":"LOGIN","ip":"192.0.2.7","client":null,"user":"=a@example.com","reason":"x","hostname":"host.example.net","reverse_dns_status":"OK","country_code":"CN","asn":4837,"aso":"Example, Inc."}"#;
const ROW: &[u8] =
    b"mx1,2026-06-01 00:00,192.0.2.7,'=a@example.com,host.example.net,OK,CN,4837,\"Example, Inc.\"";

#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let Ok(Record::Auth(event)) = Record::parse(EVENT) else { return };
    let mut row = Vec::new();
    let style = Style { outcome: Outcome::Failure, zone: Zone::Local, seconds: false };
    bencher.bench_local(|| {
        row.clear();
        row::write(&mut row, black_box(&event), style);
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let mut decoder = Decoder::new(Zone::Local);
    bencher.bench_local(|| decoder.decode(black_box(ROW)).is_ok());
}
