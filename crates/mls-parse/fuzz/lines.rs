//! `cargo fuzz run lines`, in crates/mls-parse: no line panics, and what is printed reads back as itself.
#![no_main]

use std::sync::LazyLock;

use clap::Parser;
use libfuzzer_sys::fuzz_target;
use mls_stream::blocks::Place;
use mls_event::{Body, Record};
use mls_parse::{Args, Scanner};

static ARGS: LazyLock<Args> = LazyLock::new(|| {
    Args::parse_from(["mls-parse", "--daemon=postfix,dovecot", "--outcome=failure,success,aborted", "--timezone=Europe/Paris"])
});

fuzz_target!(|lines: &[u8]| {
    let mut scanner = Scanner::new(&ARGS, &Default::default()).expect("a scanner");
    let mut out = Vec::new();
    scanner.block(lines, Place { segment: None, offset: 0, before: b"" }, &mut out);
    for line in out.split_inclusive(|b| *b == b'\n') {
        let Ok(Record::Auth(auth)) = Record::parse(line) else { panic!("not an auth record") };
        let mut again = Vec::new();
        auth.write_line(&mut again);
        assert_eq!(line, again);
    }
});
