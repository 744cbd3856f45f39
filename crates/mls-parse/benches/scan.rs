//! Measures the hot loop of mls-parse with one megabyte of log, and the grammar with one message.

use clap::Parser;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use mls_parse::{Args, Scanner, grammar};
use mls_stream::blocks::BlockPosition;
use testdata::log::{Generator, Stamps};

fn main() {
    divan::main();
}

/// A log of about one megabyte. One line in twenty is a failed login.
fn log(stamps: Stamps) -> Vec<u8> {
    let mut generator = Generator::new(1, stamps);
    let mut log = Vec::new();
    while log.len() < 1 << 20 {
        generator.line(&mut log);
    }
    log
}

#[divan::bench(args = [Stamps::Rfc3339, Stamps::Bsd])]
fn a_megabyte(bencher: Bencher<'_, '_>, stamps: Stamps) {
    let log = log(stamps);
    let args =
        Args::parse_from(["mls-parse", "--timezone=UTC", "--reference-time=2026-06-02T00:00:00Z"]);
    // `Scanner::new` fails only if a regular expression is wrong, which cannot happen here.
    let Ok(mut scanner) = Scanner::new(&args, &mls_config::config::Filter::default()) else {
        return;
    };
    let mut out = Vec::new();
    bencher.counter(BytesCount::of_slice(&log)).bench_local(|| {
        out.clear();
        scanner.block(
            black_box(&log),
            BlockPosition { segment: None, offset: 0, before: b"" },
            &mut out,
        );
    });
}

#[divan::bench]
fn a_message() -> bool {
    let message =
        b"warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=a@example.com";
    grammar::pieces(black_box(message), &grammar::POSTFIX).is_some()
}
