//! The same events make the same table in every database.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};
use serde_json::Value;
use testdata::log::{Generator, Stamps};

/// Names that have a special meaning for SQL, COPY, a shell or a terminal.
const HOSTILE: [&str; 18] = [
    "'); DROP TABLE maillogsentinel_events; --",
    "it's",
    "back\\slash",
    "\\'; SELECT 1; --",
    "\\N",
    "\\.",
    "NULL",
    "null",
    "N/A",
    "",
    " ",
    "trailing  ",
    "$$; SELECT $1",
    "élève@exémple.test",
    "😀🏴‍☠️",
    "E'\\x41'",
    "%s%n`id`",
    "/*! DROP */ -- #",
];

/// Events with all members that a record can have, one JSON object on each line.
pub(crate) fn events(count: u64) -> String {
    let site = Site::new();
    let mut generator = Generator::new(7, Stamps::Rfc3339);
    let mut log = Vec::new();
    for _ in 0..count * 20 {
        generator.line(&mut log);
    }
    site.write("mail.log", &text(&log));
    let output =
        site.shell("mls-parse --outcome failure < mail.log | mls-enrich --no-dns --country-db c.csv --asn-db a.csv");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut records = text(&output.stdout);
    for (n, name) in HOSTILE.iter().enumerate() {
        let name = Value::from(*name);
        writeln!(
            records,
            r#"{{"v":1,"type":"auth","date":"2026-06-0{}T23:59:59.999999-11:30","server":{name},"service":null,"pid":null,"outcome":"failure","attempts":2,"mechanism":null,"ip":"2001:db8::{:x}","client":null,"user":{name},"reason":null,"hostname":{name},"reverse_dns_status":"Errno 1","country_code":"XX","asn":4294967295,"aso":{name}}}"#,
            1 + n % 9,
            1 + n
        )
        .unwrap();
    }
    // This name is longer than any index allows, and it cannot be compressed.
    let endless: String =
        (0..9000_u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap()).collect();
    writeln!(
        records,
        r#"{{"v":1,"type":"auth","date":"1000-01-01T00:00:00Z","outcome":"failure","user":"{endless}"}}"#
    )
    .unwrap();
    records.push_str("{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T00:00:00Z\",\"outcome\":\"success\",\"user\":\"not a row\"}\n");
    records
}

/// The expected rows. Text is in hexadecimal, so that no database client changes it; `-` is unknown.
fn expected(records: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for record in records.lines() {
        let record: Value = serde_json::from_str(record).unwrap();
        if record["outcome"] != "failure" {
            continue;
        }
        let hex = |name: &str| match record[name].as_str() {
            None => "-".to_owned(),
            Some(text) => text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02X}")),
        };
        let date = chrono::DateTime::parse_from_rfc3339(record["date"].as_str().unwrap()).unwrap();
        let row = [
            hex("server"),
            date.to_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            record["ip"].as_str().unwrap_or("-").to_owned(),
            hex("user"),
            hex("hostname"),
            hex("reverse_dns_status"),
            hex("country_code"),
            record["asn"].as_u64().map_or("-".to_owned(), |asn| asn.to_string()),
            hex("aso"),
        ];
        rows.extend(std::iter::repeat_n(
            row.join("\t"),
            usize::try_from(record["attempts"].as_u64().unwrap_or(1)).unwrap(),
        ));
    }
    rows
}

pub(crate) fn rows(server: &Server, kind: Kind, table: &str) -> Vec<String> {
    let hex = |column: &str| match kind {
        Kind::Sqlite | Kind::Mariadb => {
            format!("CASE WHEN {column} IS NULL THEN '-' ELSE hex({column}) END")
        }
        Kind::Postgresql => {
            format!("coalesce(upper(encode(convert_to({column}, 'UTF8'), 'hex')), '-')")
        }
    };
    let (time, ip, asn) = match kind {
        Kind::Sqlite => ("rtrim(replace(event_time, 'T', ' '), 'Z')", "ip", "asn"),
        Kind::Postgresql => (
            "to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
            "host(ip)",
            "asn::text",
        ),
        Kind::Mariadb => ("date_format(event_time, '%Y-%m-%d %H:%i:%s.%f')", "ip", "asn"),
    };
    let [server_, user, host, status, country, aso] =
        ["server", "username", "hostname", "reverse_dns_status", "country_code", "aso"].map(hex);
    let sql = format!(
        "SELECT {server_}, {time}, coalesce({ip}, '-'), {user}, {host}, {status}, {country}, coalesce({asn}, '-'), {aso} \
         FROM {table} ORDER BY id"
    );
    server.query(&sql).lines().map(str::to_owned).collect()
}

/// Compares rows. If rows differ, the message shows only the first of them, not thousands of rows.
fn assert_same(found: &[String], expected: &[String], what: &str) {
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "{what}, row {n}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// `MLS_EVENTS` sets the number of events; `scripts/test --full` uses 200,000.
#[test]
fn the_same_events_make_the_same_table_everywhere_by_load_and_by_export_and_import() {
    let count = std::env::var("MLS_EVENTS").map_or(3000, |events| events.parse().unwrap());
    let records = events(count);
    let expected = expected(&records);
    assert!(expected.len() as u64 > count * 9 / 10, "{}", expected.len());
    let site = Site::new();
    site.write("records", &records);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let (url, dialect) = (server.url(), kind.dialect());
        site.succeed(&format!("mls-sql load --url '{url}' < records"));
        site.succeed(&format!(
            "mls-sql export --table imported --dialect {dialect} --dir sql-{dialect} < records && \
                 mls-sql import sql-{dialect} --table imported --url '{url}' && \
                 mls-sql import sql-{dialect} --table imported --url '{url}'"
        ));
        // Run the file in the client of the database, with other session settings than mls-sql
        // uses.
        let file = format!(
            "mls-sql schema --table by_hand --dialect {dialect}; mls-sql export --table by_hand --dialect {dialect} < records"
        );
        let mut client = match kind {
            Kind::Sqlite => server.client("mls"),
            Kind::Postgresql => {
                let mut client = server.client("mls");
                client
                    .arg("SET client_encoding = 'LATIN1'; SET standard_conforming_strings = off")
                    .args(["-f", "-"]);
                client
            }
            Kind::Mariadb => {
                let mut client = server.client("mls");
                client.arg("SELECT 1");
                let mode =
                    "--init-command=SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', NAMES latin1";
                let mut plain = Command::new(client.get_program());
                // Remove `-e`, so that the client reads standard input.
                let args: Vec<_> = client.get_args().collect();
                plain.arg(args[0]).arg(mode).args(&args[1..args.len() - 2]);
                plain
            }
        };
        let mut sql = site.command(&file).stdout(Stdio::piped()).spawn().unwrap();
        let output = client.stdin(sql.stdout.take().unwrap()).output().unwrap();
        assert!(
            sql.wait().unwrap().success() && output.status.success(),
            "{kind:?}: {}",
            text(&output.stderr)
        );
        for table in ["maillogsentinel_events", "imported", "by_hand"] {
            assert_same(&rows(&server, kind, table), &expected, &format!("{kind:?} {table}"));
        }
    }
}
