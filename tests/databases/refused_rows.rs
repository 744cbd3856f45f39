//! Rows that a table refuses: when such a row is a bad record, and when it stops the load.

use mls_tests::Site;
use mls_tests::servers::{Kind, Server};
use testdata::random::Random;

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
        let said = site.fail(65, &load);
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
    // This name is longer than a B-tree allows, and it cannot be compressed.
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
        site.succeed(&load.replace("records", "/dev/null"));
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
        // Without `delimiter`, the client would end the statement at the first semicolon.
        let sql = if kind == Kind::Mariadb { format!("delimiter //\n{sql}//") } else { sql };
        let _ = server.query(&sql);
        let said = site.succeed(&format!("{{ {load}; }} 2>&1"));
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
        let count = || server.count("maillogsentinel_events");
        let _ = server.query(may);
        let said = site.fail(78, &load);
        assert!(said.contains("partition"), "{said}");
        assert_eq!(count(), 0, "{kind:?}");
        let _ = server.query(june);
        site.succeed(&load);
        assert_eq!(count(), 2, "{kind:?}");
    }
}

#[test]
fn table_that_fails_is_reported_although_the_stream_was_cut_off() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let event = format!(
        r#"{{"v":1,"type":"auth","date":"2026-06-07T00:00:00Z","outcome":"failure","user":"{}"}}"#,
        "x".repeat(1000)
    );
    // The records fill one batch, but not two. So the error comes at the end of the stream.
    let begin = r#"{"v":1,"type":"begin","base":0}"#;
    site.write("records", &format!("{begin}\n{}", (event + "\n").repeat(300)));
    let load = format!("mls-sql load --url '{}' < records", server.url());
    let said = site.fail(75, &load);
    assert!(said.contains("the input stopped before its end record"), "{said}");
    let _ = server.query(
        "ALTER TABLE maillogsentinel_events RENAME TO whole; \
         CREATE TABLE maillogsentinel_events (LIKE whole INCLUDING DEFAULTS) \
         PARTITION BY RANGE (event_time)",
    );
    let said = site.fail(78, &load);
    assert!(said.contains("no partition"), "{said}");
}

/// If a statement is longer than `max_allowed_packet`, MariaDB and MySQL close the connection, so
/// the error message is lost.
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
    let said = site.succeed(&format!("{{ {load}; }} 2>&1"));
    assert_eq!(said.matches("max_allowed_packet = 1048576").count(), 1, "{said}");
    assert_eq!(lengths(), "200000\n900000\n1\n");
    // The only row of this stream is too long. Such a row must not stop the load forever.
    site.write("records", &stream(1, &[&too_long]));
    site.succeed(&load);
    site.write("records", &too_long);
    site.fail(65, &format!("mls-sql load --strict --url '{url}' < records"));
    assert_eq!(server.query("SELECT sequence FROM maillogsentinel_events_cursor").trim(), "2");
    // An import must not skip a statement. The statement in `1.sql` has the largest allowed length,
    // and the statement in `2.sql` is one byte longer.
    std::fs::create_dir(site.path().join("sql")).unwrap();
    let head = "INSERT INTO maillogsentinel_events (event_time, username) VALUES (now(), '";
    for (name, length) in [("sql/1.sql", (1 << 20) - 2), ("sql/2.sql", (1 << 20) - 1)] {
        site.write(name, &format!("{head}{}');", "d".repeat(length - head.len() - 2)));
    }
    let said = site.fail(65, &format!("mls-sql import sql --allow-duplicates --url '{url}'"));
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
    let said = site.fail(78, &format!("{source} | mls-sql load --mapping mapping --url '{url}'"));
    assert!(said.contains("accepts no row"), "{said}");
    // A framed stream must be refused if its begin record or its last checkpoint is missing.
    let load = format!("mls-sql load --table other --url '{url}'");
    for (cut, why) in [
        ("sed 1d", "without its begin record"),
        ("grep -v checkpoint", "records without a checkpoint"),
    ] {
        let said = site.fail(65, &format!("{source} | {cut} | {load}"));
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(server.count("other"), 0);
    assert_eq!(server.count("maillogsentinel_events_cursor"), 0);
}
