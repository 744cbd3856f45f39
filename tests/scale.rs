//! Measures how many rows a second `mls-sql load` writes into the PostgreSQL of a fleet: at the
//! beginning and at the end of a load, or into a table that already has many rows.
//!
//! `MLS_ROWS` is the number of lines in the log. `MLS_TABLE` is the number of rows in the table
//! before the load. The defaults are small: a normal run only tests the measurement itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should stop")]
#![expect(clippy::cast_precision_loss, reason = "rates are rounded")]

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};
use testdata::random::Random;

const MONTHS: i64 = 12;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn a_large_load_is_complete_and_its_speed_is_printed() {
    let (lines, before) =
        (from_environment("MLS_ROWS", 20_000), from_environment("MLS_TABLE", 1000));
    let (site, mut server) = (Site::new(), Server::new(Kind::Postgresql));
    server.kill();
    server.start_with(&["-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"]);
    let schema = text(&site.shell("mls-sql schema --fleet --dialect postgresql").stdout);
    let _ = server.query(&schema);
    fill(&server, &schema, before);
    write_log(&site, lines);
    let begun = Instant::now();
    let mut pipeline = site.command(&format!(
        "mls-tail --framed --cursor-file <(mls-sql cursor --url '{0}' --source mx1) mail.log | \
         mls-parse --timezone UTC | mls-sql load --url '{0}' --source mx1",
        server.url()
    ));
    let mut pipeline = pipeline.spawn().unwrap();
    // For each commit: the time since the start, and the number of committed rows.
    let mut commits = vec![(Duration::ZERO, 0)];
    while pipeline.try_wait().unwrap().is_none() {
        let rows = server.query("SELECT loaded_rows FROM maillogsentinel_events_cursor");
        let rows = rows.trim().parse().unwrap_or(0);
        if commits.last().is_some_and(|(_, last)| rows > *last) {
            commits.push((begun.elapsed(), rows));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(pipeline.wait().unwrap().success());
    commits.push((begun.elapsed(), lines));
    let count = server.query("SELECT count(*) FROM maillogsentinel_events");
    assert_eq!(count.trim(), (before + lines).to_string());
    let total = begun.elapsed().as_secs_f64();
    let database_size = server.query("SELECT pg_size_pretty(pg_database_size('mls'))");
    println!(
        "{lines} rows into a table of {before}: {:.0} rows/s in all, {:.0} in the first tenth, {:.0} in the last; \
         the database has {}",
        lines as f64 / total,
        rate(&commits, 0, lines / 10),
        rate(&commits, lines - lines / 10, lines),
        database_size.trim()
    );
}

/// Rows a second, from the first commit with at least `from` rows to the first commit with at least
/// `to` rows.
fn rate(commits: &[(Duration, u64)], from: u64, to: u64) -> f64 {
    let at = |rows: u64| commits.iter().find(|(_, n)| *n >= rows).unwrap();
    let (begin, end) = (at(from), at(to));
    let rows = (end.1 - begin.1) as f64;
    rows / end.0.saturating_sub(begin.0).as_secs_f64().max(0.001)
}

/// Fills the table with rows of the last twelve months. Making the indexes at the end is faster.
fn fill(server: &Server, schema: &str, rows: u64) {
    for index in ["ip", "username", "asn", "pos"] {
        let _ = server.query(&format!("DROP INDEX IF EXISTS maillogsentinel_events_{index}"));
    }
    let _ = server.query(&format!(
        "INSERT INTO maillogsentinel_events (server, event_time, ip, username, reverse_dns_status, country_code, asn, aso, source, pos, outcome, service, mechanism, reason) \
         SELECT 'mx' || n % 20, now() - interval '{MONTHS} months' * (n::float8 / {}), \
           ('10.' || n * 7919 % 256 || '.' || n * 104729 % 256 || '.' || n % 256)::inet, 'user' || n * 7919 % 100000, 'OK', 'DE', \
           64496 + n % 1000, 'Example ' || n % 1000, 'mx' || n % 20, md5(n::text), 'failure', 'postfix/smtpd', 'LOGIN', 'authentication failure' \
         FROM generate_series(1::bigint, {rows}) n",
        rows.max(1)
    ));
    let _ = server.query(schema);
    let _ = server.query("ANALYZE maillogsentinel_events");
}

/// Writes a log of the last twelve months. It has many addresses and user names, like attacks by
/// botnets.
fn write_log(site: &Site, lines: u64) {
    let mut random = Random::new(1);
    let file = std::fs::File::create(site.path().join("mail.log")).unwrap();
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let begin = chrono::Utc::now() - chrono::Duration::days(MONTHS * 30);
    let step = chrono::Duration::days(MONTHS * 30).num_microseconds().unwrap()
        / i64::try_from(lines).unwrap();
    for n in 0..lines {
        let at = begin + chrono::Duration::microseconds(step * i64::try_from(n).unwrap());
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
        let ip = random.below(1 << 22);
        writeln!(
            file,
            "{at} mx1 postfix/smtpd[{}]: warning: unknown[60.{}.{}.{}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=user{}",
            1000 + n % 9000, ip >> 16, (ip >> 8) & 255, ip & 255, random.below(100_000)
        )
        .unwrap();
    }
    file.flush().unwrap();
}
