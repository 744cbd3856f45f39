//! Real databases. The same events make the same table in each of them, with `load` and with `export`
//! and `import`, for any text in the events.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};
use serde_json::Value;
use testdata::log::{Generator, Stamps};
use testdata::random::Random;

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
fn events(count: u64) -> String {
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
    // Longer than any index allows, and not compressible.
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

/// The rows of the table.
fn rows(server: &Server, kind: Kind, table: &str) -> Vec<String> {
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

/// Compares rows. The message shows only the rows that differ, not thousands of rows.
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
        succeed(&site, &format!("mls-sql load --url '{url}' < records"));
        succeed(
            &site,
            &format!(
                "mls-sql export --table imported --dialect {dialect} --dir sql-{dialect} < records && \
                 mls-sql import sql-{dialect} --table imported --url '{url}' && \
                 mls-sql import sql-{dialect} --table imported --url '{url}'"
            ),
        );
        // Run the file in the client of the database, with session settings as different from ours as
        // possible.
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
                // Without -e it reads standard input.
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

fn succeed(site: &Site, command: &str) -> String {
    let output = site.shell(command);
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// Runs a command that must end with `code`, and returns its messages.
fn fail(site: &Site, code: i32, command: &str) -> String {
    let output = site.shell(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command}: {said}");
    said
}

#[test]
fn a_row_that_a_table_refuses_is_a_bad_record_and_the_others_are_loaded() {
    let mut site = Site::new();
    site.log(40);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let definition =
            if kind == Kind::Sqlite { "TEXT CHECK (length(name) < 3)" } else { "VARCHAR(2)" };
        site.write(
            "mapping",
            &format!(
                r#"{{"name": {{"sql_column_def": "{definition}", "csv_column_name": "user"}}}}"#
            ),
        );
        let load = format!(
            "mls-parse < mail.log | mls-sql load --strict --mapping mapping --url '{}'",
            server.url()
        );
        let said = fail(&site, 65, &load);
        assert!(said.contains("u10") && said.contains("20 more bad records"), "{said}");
        let names = server.query("SELECT name FROM maillogsentinel_events ORDER BY name");
        assert_eq!(
            names.lines().collect::<Vec<_>>(),
            (0..10).map(|n| format!("u{n}")).collect::<Vec<_>>(),
            "{kind:?}"
        );
    }
}

/// Clients choose the names, so a refused name must not block the load forever.
#[test]
fn a_row_that_a_trigger_or_an_index_refuses_is_a_bad_record() {
    let site = Site::new();
    let event = |user: &str| {
        format!(
            r#"{{"v":1,"type":"auth","date":"2026-06-01T00:00:00Z","outcome":"failure","user":"{user}"}}"#
        ) + "\n"
    };
    // Longer than a B-tree allows, and not compressible.
    let mut random = Random::new(20_261_127);
    let long: String =
        (0..6000).map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap())).collect();
    site.write(
        "records",
        &format!("{}{}{}{}", event("a"), event("refused"), event(&long), event("b")),
    );
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let load = format!("mls-sql load --url '{}' < records", server.url());
        succeed(&site, &load.replace("records", "/dev/null"));
        let head = "CREATE TRIGGER t BEFORE INSERT ON maillogsentinel_events FOR EACH ROW";
        let (sql, names) = match kind {
            Kind::Sqlite => (
                format!(
                    "{head} WHEN NEW.username = 'refused' BEGIN SELECT RAISE(ABORT, 'not this'); END"
                ),
                format!("a\n{long}\nb\n"),
            ),
            Kind::Postgresql => (
                format!(
                    "CREATE INDEX by_name ON maillogsentinel_events (username); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql \
                     AS $$ BEGIN RAISE EXCEPTION 'not this'; END $$; {head} WHEN (NEW.username = 'refused') EXECUTE FUNCTION f()"
                ),
                "a\nb\n".to_owned(),
            ),
            Kind::Mariadb => (
                format!(
                    "{head} IF NEW.username = 'refused' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this'; END IF"
                ),
                format!("a\n{long}\nb\n"),
            ),
        };
        // The client of MariaDB would end it at the first semicolon.
        let sql = if kind == Kind::Mariadb { format!("delimiter //\n{sql}//") } else { sql };
        let _ = server.query(&sql);
        let said = succeed(&site, &load);
        assert!(said.contains("refuses") && said.contains("not this"), "{said}");
        assert_eq!(
            server.query("SELECT username FROM maillogsentinel_events ORDER BY id"),
            names,
            "{kind:?}"
        );
    }
}

#[test]
fn a_row_without_a_partition_stops_the_load_until_the_partition_exists() {
    let site = Site::new();
    let event = |month: u32| {
        format!(
            r#"{{"v":1,"type":"auth","date":"2026-0{month}-07T00:00:00Z","outcome":"failure","user":"u{month}"}}"#
        ) + "\n"
    };
    site.write("records", &(event(5) + &event(6)));
    let column = |csv: &str| {
        format!(r#""{csv}": {{"sql_column_def": "made by hand", "csv_column_name": "{csv}"}}"#)
    };
    site.write("mapping", &format!("{{{}, {}}}", column("date"), column("user")));
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        let server = Server::new(kind);
        let load = format!("mls-sql load --mapping mapping --url '{}' < records", server.url());
        let (may, june) = if kind == Kind::Postgresql {
            (
                "CREATE TABLE maillogsentinel_events (date timestamptz, \"user\" text) PARTITION BY RANGE (date); \
                 CREATE TABLE may PARTITION OF maillogsentinel_events FOR VALUES FROM ('2026-05-01') TO ('2026-06-01')",
                "CREATE TABLE june PARTITION OF maillogsentinel_events FOR VALUES FROM ('2026-06-01') TO ('2026-07-01')",
            )
        } else {
            (
                "CREATE TABLE maillogsentinel_events (date datetime, user text) PARTITION BY RANGE (month(date)) \
                 (PARTITION may VALUES LESS THAN (6))",
                "ALTER TABLE maillogsentinel_events ADD PARTITION (PARTITION june VALUES LESS THAN (7))",
            )
        };
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        let _ = server.query(may);
        let said = fail(&site, 78, &load);
        assert!(said.contains("partition"), "{said}");
        assert_eq!(count(), "0", "{kind:?}");
        let _ = server.query(june);
        succeed(&site, &load);
        assert_eq!(count(), "2", "{kind:?}");
    }
}

#[test]
fn table_that_fails_is_reported_although_the_stream_was_cut_off() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let event = format!(
        r#"{{"v":1,"type":"auth","date":"2026-06-07T00:00:00Z","outcome":"failure","user":"{}"}}"#,
        "x".repeat(1000)
    );
    // More than one batch and less than two, so that only the end of the stream finds the error.
    let begin = r#"{"v":1,"type":"begin","base":0}"#;
    site.write("records", &format!("{begin}\n{}", (event + "\n").repeat(300)));
    let load = format!("mls-sql load --url '{}' < records", server.url());
    let said = fail(&site, 75, &load);
    assert!(said.contains("the input stopped before its end record"), "{said}");
    let _ = server.query(
        "ALTER TABLE maillogsentinel_events RENAME TO whole; \
         CREATE TABLE maillogsentinel_events (LIKE whole INCLUDING DEFAULTS) \
         PARTITION BY RANGE (event_time)",
    );
    let said = fail(&site, 78, &load);
    assert!(said.contains("no partition"), "{said}");
}

/// MariaDB and MySQL close the connection at a longer statement, so its error message is lost.
#[test]
fn rows_above_max_allowed_packet_are_sent_one_by_one_and_a_single_longer_row_is_a_bad_record() {
    let site = Site::new();
    let mut server = Server::new(Kind::Mariadb);
    server.kill();
    server.start_with(&["--max-allowed-packet=1M"]);
    let url = server.url();
    let event = |user: &str| {
        format!(
            r#"{{"v":1,"type":"auth","date":"2026-06-01T00:00:00Z","outcome":"failure","user":"{user}"}}"#
        )
    };
    // Text that is not ASCII is sent in hexadecimal, which is twice as long.
    let (long, too_long) = (event(&"a".repeat(900_000)), event(&"\u{e9}".repeat(300_000)));
    let stream = |base: u64, records: &[&str]| {
        let begin = format!(r#"{{"v":1,"type":"begin","base":{base}}}"#);
        let end = format!(r#"{{"v":1,"type":"checkpoint","cursor":{base}}}"#)
            + "\n"
            + r#"{"v":1,"type":"end"}"#;
        format!("{begin}\n{}\n{end}\n", records.join("\n"))
    };
    let load = format!("mls-sql load --url '{url}' < records");
    let lengths =
        || server.query("SELECT length(username) FROM maillogsentinel_events ORDER BY id");
    site.write(
        "records",
        &stream(0, &[&event(&"b".repeat(200_000)), &long, &too_long, &event("c")]),
    );
    let said = succeed(&site, &load);
    assert_eq!(said.matches("max_allowed_packet of 1048576").count(), 1, "{said}");
    assert_eq!(lengths(), "200000\n900000\n1\n");
    // A single long row does not mean that the table is wrong, so it must not stop the load forever.
    site.write("records", &stream(1, &[&too_long]));
    succeed(&site, &load);
    site.write("records", &too_long);
    fail(&site, 65, &format!("mls-sql load --strict --url '{url}' < records"));
    assert_eq!(server.query("SELECT sequence FROM maillogsentinel_events_cursor").trim(), "2");
    // An import omits no statement of a file. The first has the largest allowed length.
    std::fs::create_dir(site.path().join("sql")).unwrap();
    let head = "INSERT INTO maillogsentinel_events (event_time, username) VALUES (now(), '";
    for (name, length) in [("sql/1.sql", (1 << 20) - 2), ("sql/2.sql", (1 << 20) - 1)] {
        site.write(name, &format!("{head}{}');", "d".repeat(length - head.len() - 2)));
    }
    let said = fail(&site, 65, &format!("mls-sql import sql --adopt --url '{url}'"));
    assert!(
        said.contains("sql/2.sql: statement 1") && said.contains("max_allowed_packet"),
        "{said}"
    );
    assert_eq!(lengths(), format!("200000\n900000\n1\n{}\n", (1 << 20) - 4 - head.len()));
}

#[test]
fn a_load_that_would_lose_every_row_commits_nothing() {
    let mut site = Site::new();
    site.log(5);
    let server = Server::new(Kind::Sqlite);
    let url = server.url();
    site.write(
        "mapping",
        r#"{"name": {"sql_column_def": "TEXT CHECK (length(name) < 1)", "csv_column_name": "user"}}"#,
    );
    let source = format!(
        "mls-tail --framed --cursor-file <(mls-sql cursor --url '{url}') mail.log | mls-parse"
    );
    let said = fail(&site, 78, &format!("{source} | mls-sql load --mapping mapping --url '{url}'"));
    assert!(said.contains("refuses every row"), "{said}");
    // A framed stream without its begin record is not a plain stream. One without its last checkpoint
    // is not complete.
    let load = format!("mls-sql load --table other --url '{url}'");
    for (cut, why) in [
        ("sed 1d", "without its begin record"),
        ("grep -v checkpoint", "that no checkpoint covers"),
    ] {
        let said = fail(&site, 65, &format!("{source} | {cut} | {load}"));
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(server.query("SELECT count(*) FROM other").trim(), "0");
    assert_eq!(server.query("SELECT count(*) FROM maillogsentinel_events_cursor").trim(), "0");
}

#[test]
fn a_database_file_with_a_name_like_a_uri_is_opened_as_a_file() {
    let mut site = Site::new();
    site.log(3);
    let load = "mls-parse < mail.log | mls-sql load --url 'sqlite:./file:x.db?mode=memory'";
    fail(&site, 64, &load.replace("./", ""));
    assert_eq!(site.files("file:"), [""; 0]);
    succeed(&site, load);
    let count = "sqlite3 './file:x.db?mode=memory' 'SELECT count(*) FROM maillogsentinel_events'";
    assert_eq!(text(&site.shell(count).stdout).trim(), "3");
}

#[test]
fn a_failing_file_changes_nothing_and_a_changed_file_is_refused() {
    let site = Site::new();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        let insert = "INSERT INTO maillogsentinel_events (event_time, username) VALUES ('2026-01-01 00:00:00', 'a')";
        std::fs::create_dir_all(site.path().join("sql")).unwrap();
        site.write("sql/1.sql", &format!("BEGIN;\n{insert};\nCOMMIT;\n"));
        site.write(
            "sql/2.sql",
            &format!("{insert};\n{insert};\n\nINSERT INTO nowhere VALUES (1);\n"),
        );
        site.write("sql/3.sql", &format!("{insert};\n"));
        site.write("sql/.4.sql", "nonsense\n");
        site.write("sql/5.sql.part", "nonsense\n");
        let said = fail(&site, 65, &import);
        assert!(
            said.contains("sql/2.sql: statement 3 (line 4: INSERT INTO nowhere VALUES (1))"),
            "{said}"
        );
        assert_eq!(count(), "1", "{kind:?}");
        // The corrected file.
        site.write("sql/2.sql", &format!("{insert};\n{insert};\n"));
        succeed(&site, &import);
        succeed(&site, &import);
        assert_eq!(count(), "4", "{kind:?}");
        site.append("sql/1.sql", "-- changed\n");
        let said = fail(&site, 65, &import);
        assert!(said.contains("sql/1.sql has changed since it was imported"), "{said}");
        assert_eq!(count(), "4", "{kind:?}");
        std::fs::remove_file(site.path().join("sql/1.sql")).unwrap();
        succeed(&site, &import);
        // A transaction can roll back other statements too, except in MySQL.
        site.write("sql/6.sql", "CREATE TABLE beside (a INT);\nINSERT INTO beside VALUES (1);\n");
        if kind == Kind::Mariadb {
            let said = fail(&site, 65, &import);
            assert!(
                said.contains("sql/6.sql")
                    && said.contains("statement 1 (line 1: CREATE TABLE beside (a INT))"),
                "{said}"
            );
        } else {
            succeed(&site, &import);
            assert_eq!(server.query("SELECT a FROM beside").trim(), "1");
        }
        if kind == Kind::Postgresql {
            site.write(
                "sql/7.sql",
                "CREATE TYPE kind AS ENUM ('a');\nSELECT 'a'::kind;\nSELECT 'a'::kind;\nDROP TYPE kind;\n",
            );
            succeed(&site, &import);
            // A placeholder has no value.
            site.write("sql/8.sql", "SELECT $1 + 1;\n");
            let said = fail(&site, 65, &import);
            assert!(said.contains("parameters"), "{said}");
        }
        std::fs::remove_dir_all(site.path().join("sql")).unwrap();
    }
}

#[test]
fn a_file_with_a_nul_byte_is_refused_and_changes_nothing() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("sql")).unwrap();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("timeout 60 mls-sql import sql --url '{}'", server.url());
        let insert = "INSERT INTO maillogsentinel_events (event_time, username) VALUES ('2026-01-01 00:00:00', 'a')";
        site.write("sql/1.sql", &format!("{insert};\n{insert}\0;\n"));
        let said = fail(&site, 65, &import);
        assert!(said.contains("sql/1.sql: line 2: a NUL byte"), "{said}");
        site.write("sql/1.sql", &format!("{insert};\n"));
        succeed(&site, &import);
        assert_eq!(
            server.query("SELECT count(*) FROM maillogsentinel_events").trim(),
            "1",
            "{kind:?}"
        );
    }
}

#[test]
fn a_commit_after_a_byte_order_mark_commits_nothing() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("sql")).unwrap();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        let insert = "INSERT INTO maillogsentinel_events (event_time, username) VALUES ('2026-01-01 00:00:00', 'a')";
        site.write(
            "sql/1.sql",
            &format!("{insert};\n\u{feff}COMMIT;\nINSERT INTO nosuch VALUES (1);\n"),
        );
        let said = fail(&site, 65, &import);
        assert_eq!(count(), "0", "{kind:?}");
        assert!(said.contains("sql/1.sql: line 2: a byte order mark"), "{said}");
        // Editors write a byte order mark at the beginning of a file.
        site.write("sql/1.sql", &format!("\u{feff}BEGIN;\n{insert};\nCOMMIT;\n"));
        succeed(&site, &import);
        assert_eq!(count(), "1", "{kind:?}");
    }
}

/// A file of `pg_dump` begins with an empty `search_path`, so no table would be found.
#[test]
fn session_settings_of_a_file_end_with_the_file() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    std::fs::create_dir(site.path().join("sql")).unwrap();
    let path = "SELECT pg_catalog.set_config('search_path', '', false);";
    site.write(
        "sql/1.sql",
        &format!(
            "SET standard_conforming_strings = off;\n{path}\nCREATE TABLE public.t (a text);\n"
        ),
    );
    // The last value is one of mls-sql, which the reset must not undo.
    let insert = r"INSERT INTO t VALUES ('\'), (current_setting('tcp_keepalives_idle'));";
    site.write("sql/2.sql", insert);
    succeed(&site, &format!("mls-sql import sql --url '{}'", server.url()));
    assert_eq!(server.query("SELECT a FROM t"), "\\\n30\n");
}

/// The COMMIT is in the body of a trigger or in a text whose end the splitter does not see.
#[test]
fn a_file_that_ends_its_transaction_unseen_by_the_splitter_is_refused_and_changes_nothing() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("sql")).unwrap();
    let insert = "INSERT INTO maillogsentinel_events (event_time, username) VALUES ('2026-01-01 00:00:00', 'a');";
    let trigger = "CREATE TABLE t (\"begin\" INT); CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM t WHERE begin; END;";
    let function = "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql AS 'SELECT 1';";
    for (kind, head) in [(Kind::Sqlite, trigger), (Kind::Postgresql, function)] {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        for end in ["COMMIT", "COMMIT; BEGIN", "ROLLBACK", "ROLLBACK; BEGIN"] {
            for (name, sql) in [
                ("1", format!("{insert} {head} {end};\n{insert}\n")),
                ("2", format!("{insert} {head} {end};")),
            ] {
                site.write(&format!("sql/{name}.sql"), &sql);
                let said = fail(&site, 65, &import);
                assert!(said.contains(&format!("{name}.sql")), "{said}");
                for table in ["maillogsentinel_events", "maillogsentinel_events_imports"] {
                    assert_eq!(
                        server.query(&format!("SELECT count(*) FROM {table}")).trim(),
                        "0",
                        "{kind:?} {sql}"
                    );
                }
                std::fs::remove_file(site.path().join(format!("sql/{name}.sql"))).unwrap();
            }
        }
        site.write("sql/3.sql", &format!("{insert}\n{insert}\n"));
        succeed(&site, &import);
        assert_eq!(
            server.query("SELECT count(*) FROM maillogsentinel_events").trim(),
            "2",
            "{kind:?}"
        );
    }
}

#[test]
fn each_kind_of_unusable_table_has_its_own_message() {
    let mut site = Site::new();
    site.log(1);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let load = format!("mls-parse < mail.log | mls-sql load --url '{}'", server.url());
        let _ = server.query(
            "CREATE TABLE maillogsentinel_events (id INT, asn_int INT, asn_varchar VARCHAR(255))",
        );
        assert!(fail(&site, 78, &load).contains("the Python original created table"));
        let _ = server.query("DROP TABLE maillogsentinel_events");
        let _ = server.query("CREATE TABLE maillogsentinel_events (id INT, server VARCHAR(9))");
        assert!(fail(&site, 78, &load).contains("has no column event_time, ip, username"));
        let _ = server.query("DROP TABLE maillogsentinel_events");
        if kind == Kind::Mariadb {
            let _ = server.query(
                "CREATE TABLE maillogsentinel_events (server TEXT, event_time DATETIME(6), ip TEXT, username TEXT, hostname TEXT, \
                 reverse_dns_status TEXT, country_code TEXT, asn INT, aso TEXT, source VARCHAR(255), pos VARCHAR(64), \
                 outcome VARCHAR(16), service TEXT, mechanism TEXT, reason TEXT, client TEXT, port INT) ENGINE=MyISAM",
            );
            assert!(fail(&site, 78, &load).contains("maillogsentinel_events (MyISAM)"));
            let _ = server.query("DROP TABLE maillogsentinel_events");
        }
        succeed(&site, &load);
        assert_eq!(server.query("SELECT username FROM maillogsentinel_events").trim(), "u0");
    }
}

#[test]
fn a_legacy_column_mapping_works_with_every_database() {
    let mut site = Site::new();
    site.log(2);
    site.write(
        "mapping.json",
        r#"{"id": {"sql_column_def": "INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY", "csv_column_name": "csv_id_placeholder"},
            "event_time": {"sql_column_def": "DATETIME NOT NULL", "csv_column_name": "date"},
            "username": {"sql_column_def": "VARCHAR(1) NOT NULL", "csv_column_name": "user"},
            "reverse_dns_status": {"sql_column_def": "ENUM('OK', 'ERRNO 1') NOT NULL", "csv_column_name": "reverse_dns_status"},
            "asn_int": {"sql_column_def": "INT UNSIGNED NOT NULL", "csv_column_name": "asn"},
            "asn_varchar": {"sql_column_def": "VARCHAR(255) NOT NULL", "csv_column_name": "aso"}}"#,
    );
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let load = format!(
            "mls-parse < mail.log | mls-sql load --mapping mapping.json --url '{}'",
            server.url()
        );
        succeed(&site, &load);
        let rows = server.query(
            "SELECT count(*) FROM maillogsentinel_events WHERE asn_int IS NULL AND asn_varchar IS NULL",
        );
        assert_eq!(rows.trim(), "2", "{kind:?}");
    }
}

#[test]
fn of_two_imports_at_once_one_exits_75() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("sql")).unwrap();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let key = "mls-sql import maillogsentinel_events";
        // The client keeps the lock until its standard input ends.
        let mut holder = match kind {
            Kind::Sqlite => {
                let mut holder = Command::new("flock");
                holder.arg(server.directory().join("events.db.lock")).args([
                    "sh",
                    "-c",
                    "echo held; cat",
                ]);
                holder
            }
            Kind::Postgresql => {
                let mut holder = server.client("mls");
                holder
                    .arg(format!("SELECT 'held' || pg_advisory_lock(hashtext('{key}'))::text"))
                    .args(["-f", "-"]);
                holder
            }
            Kind::Mariadb => {
                let mut holder = server.client("mls");
                let args: Vec<_> = holder.get_args().map(std::ffi::OsStr::to_owned).collect();
                holder = Command::new("mariadb");
                holder.args(&args[..args.len() - 1]).arg("--unbuffered");
                holder
            }
        };
        let mut child = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        if kind == Kind::Mariadb {
            use std::io::Write;
            let lock =
                format!("SELECT CONCAT('held', GET_LOCK(MD5(CONCAT(DATABASE(), '{key}')), 9));\n");
            child.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        }
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
            &mut line,
        )
        .unwrap();
        assert!(line.starts_with("held"), "{kind:?}: {line}");
        let import = format!("mls-sql import sql --url '{}'", server.url());
        let said = fail(&site, 75, &import);
        assert!(said.contains("try again later"), "{said}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        succeed(&site, &import);
    }
}

#[test]
fn passwords_come_from_files_or_the_environment_and_the_server_must_prove_its_identity() {
    let mut site = Site::new();
    site.log(1);
    let mut server = Server::new(Kind::Postgresql);
    let _ = server.query("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'open sesame'");
    server.kill();
    let directory = server.directory().to_owned();
    let certificates = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem && \
                        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr && \
                        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem && \
                        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem";
    succeed(&site, certificates);
    for name in ["server.key", "server.pem"] {
        server.write(name, &site.read(name));
    }
    server.write(
        "data/pg_hba.conf",
        "hostssl all guarded 127.0.0.1/32 scram-sha-256\nhost all mls 127.0.0.1/32 trust\n",
    );
    let (key, certificate) = (directory.join("server.key"), directory.join("server.pem"));
    server.start_with(&[
        "-c",
        "ssl=on",
        "-c",
        &format!("ssl_key_file={}", key.display()),
        "-c",
        &format!("ssl_cert_file={}", certificate.display()),
    ]);
    site.write("password", "open sesame\n");
    site.write("wrong", "close sesame\n");
    assert!(site.shell("chmod 600 password wrong").status.success());
    let load = |authority: &str, how: &str| {
        format!(
            "mls-parse < mail.log | {how} --url 'postgres://guarded@localhost:{}/mls?sslmode=verify-full&sslrootcert={authority}'",
            server.port()
        )
    };
    succeed(&site, &load("ca.pem", "mls-sql load --password-file password"));
    succeed(&site, &load("ca.pem", "mls-sql load --password-file <(echo 'open sesame')"));
    assert_eq!(server.query("SELECT count(*) FROM maillogsentinel_events").trim(), "2");
    let said = fail(&site, 77, &load("ca.pem", "mls-sql load --password-file wrong"));
    assert!(said.contains("password authentication failed") && !said.contains("sesame"), "{said}");
    let said = fail(&site, 69, &load("other.pem", "mls-sql load --password-file password"));
    assert!(said.contains("certificate"), "{said}");
    assert!(site.shell("chmod 644 password").status.success());
    let said = fail(&site, 77, &load("ca.pem", "mls-sql load --password-file password"));
    assert!(said.contains("everybody may read --password-file"), "{said}");
    // The same with a configuration file instead of a URL. A UNIX socket needs no certificate.
    assert!(site.shell("chmod 600 password").status.success());
    site.write(
        "conf",
        &format!(
            "[database]\ndb_type = postgresql\ndb_host = localhost\ndb_port = {}\ndb_name = mls\ndb_user = guarded\n\
             db_password_file = password\ntable_name = configured\n",
            server.port()
        ),
    );
    succeed(&site, "mls-parse < mail.log | mls-sql load --config conf");
    assert_eq!(server.query("SELECT count(*) FROM configured").trim(), "1");
}

#[test]
fn two_mail_servers_load_into_one_database_and_a_late_second_pipeline_cannot_commit() {
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let mut site = Site::new();
        site.log(20);
        std::fs::rename(site.path().join("mail.log"), site.path().join("mx1.log")).unwrap();
        site.write("mx2.log", &format!("the first line of mx2\n{}", site.read("mx1.log")));
        let sql = format!("mls-sql load --url '{}'", server.url());
        let pipeline = |source: &str| {
            format!(
                "mls-tail --framed --cursor-file <(mls-sql cursor --url '{}' --source {source}) {source}.log | mls-parse | {sql} --source {source}",
                server.url()
            )
        };
        for _ in 0..2 {
            succeed(&site, &pipeline("mx1"));
            succeed(&site, &pipeline("mx2"));
        }
        assert_eq!(
            server.query("SELECT count(*) FROM maillogsentinel_events").trim(),
            "40",
            "{kind:?}"
        );
        assert_eq!(
            server
                .query("SELECT source, sequence FROM maillogsentinel_events_cursor ORDER BY source")
                .trim(),
            "mx1\t1\nmx2\t1"
        );
        // Two pipelines start from the same position. After the first commit, the second must fail.
        let stale = format!(
            "mls-tail --framed --cursor-file <(true) mx1.log | mls-parse | {sql} --source mx1"
        );
        let said = fail(&site, 75, &stale);
        assert!(said.contains("another pipeline has committed for source mx1"), "{said}");
        assert_eq!(
            server.query("SELECT count(*) FROM maillogsentinel_events").trim(),
            "40",
            "{kind:?}"
        );
    }
}

#[test]
fn queries_of_the_guide_run_in_postgresql() {
    let server = Server::new(Kind::Postgresql);
    let mut site = Site::new();
    site.log(30);
    succeed(&site, &format!("mls-parse < mail.log | mls-sql load --url '{}'", server.url()));
    let queries: Vec<&str> = include_str!("../crates/GUIDE.md")
        .split("psql mail -c \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(queries.len(), 4);
    for query in queries {
        assert!(server.query(query).trim().ends_with("30"), "{query}");
    }
}

#[test]
fn an_sqlite_database_is_a_single_file_after_each_run() {
    let mut site = Site::new();
    site.log(3);
    for command in [
        "load --url sqlite:one.db < events",
        "import sql --url sqlite:two.db",
        "cursor --url sqlite:one.db",
    ] {
        succeed(
            &site,
            &format!(
                "mls-parse < mail.log > events; mls-sql export --dir sql < events; mls-sql {command}"
            ),
        );
    }
    assert_eq!((site.files("one.db-"), site.files("two.db-")), (vec![], vec![]));
    for name in ["one.db", "two.db"] {
        let rows =
            site.shell(&format!("sqlite3 {name} 'SELECT count(*) FROM maillogsentinel_events'"));
        assert_ne!(text(&rows.stdout).trim(), "0", "{name}");
    }
}
