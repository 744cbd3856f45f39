//! Measures the hot loop of mls-enrich: random lookups in loaded databases of realistic size.
//!
//! `cargo bench --package mls-location`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

use divan::Bencher;
use mls_config::Config;
use mls_location::{IpDatabaseFlags, IpDatabases};
use testdata::ipdb::{address, save};
use testdata::random::Random;

fn main() {
    divan::main();
}

/// Loads the databases into memory. Their files are deleted afterwards.
fn loaded(family: usize) -> IpDatabases {
    let dir = tempfile::tempdir().unwrap();
    for kind in 0..2 {
        save(dir.path(), 1, kind, family).unwrap();
    }
    let flags =
        IpDatabaseFlags { data_dir: Some(dir.path().to_owned()), ..IpDatabaseFlags::default() };
    let mut databases = flags.open(&Config::default()).unwrap();
    for _ in 0..1000 {
        databases.locate(address(1 << 24, 0)).unwrap();
    }
    databases
}

#[divan::bench(sample_size = 1000)]
fn ipv4(bencher: Bencher<'_, '_>) {
    let (mut databases, mut random) = (loaded(0), Random::new(2));
    bencher.bench_local(|| databases.locate(address(u128::from(random.number() >> 32), 0)).is_ok());
}

#[divan::bench(sample_size = 1000)]
fn ipv6(bencher: Bencher<'_, '_>) {
    let (mut databases, mut random) = (loaded(1), Random::new(2));
    bencher.bench_local(|| {
        databases.locate(address(1 << 125 | u128::from(random.number()) << 61, 1)).is_ok()
    });
}
