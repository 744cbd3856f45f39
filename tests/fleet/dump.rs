//! `mls-sql dump` prints the stored events.

use mls_tests::Site;
use mls_tests::servers::{Kind, Server};
use serde_json::Value;

use crate::{RECORDS, records};

#[test]
fn dump_gives_back_what_load_has_stored() {
    let site = Site::new();
    site.write("records", RECORDS);
    let mut expected = records(RECORDS);
    let failure = &mut expected[0];
    failure["attempts"] = 1.into();
    failure["date"] = "2026-06-01T08:00:00.250+00:00".into();
    // The built-in table has no column for the process ID.
    failure["pid"] = Value::Null;
    expected[1]["date"] = "2026-06-01T08:00:01+00:00".into();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let sql = |command: &str| {
            let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
            format!("mls-sql {name} --url '{}' {rest}", server.url())
        };
        site.succeed(&sql("load --outcome failure,success --source mx1 < records"));
        let all = records(&site.succeed(&sql("dump")));
        // The first record has two attempts: two rows.
        assert_eq!(all, [&expected[0], &expected[0], &expected[1]].map(Value::clone), "{kind:?}");
        for (filter, count) in [
            ("--outcome success", 1),
            ("--outcome failure", 2),
            ("--server mx1", 2),
            ("--server mx1 --server mx2", 3),
            ("--server mx3", 0),
            ("--source mx1", 3),
            ("--source mx2", 0),
            ("--timezone UTC --since '2026-06-01 08:00' --until '2026-06-01 08:01'", 3),
            ("--timezone UTC --until '2026-06-01 08:00'", 0),
            ("--timezone UTC --since 2026-06-02", 0),
            ("--timezone +02:00 --since 2026-06-01 --until 2026-06-01", 3),
        ] {
            let found = records(&site.succeed(&sql(&format!("dump {filter}"))));
            assert_eq!(found.len(), count, "{kind:?} {filter}");
        }
        // By default only failures become rows.
        site.succeed(&sql("load --table failures --source mx1 < records"));
        let found = site.succeed(&sql("dump --table failures"));
        assert_eq!(records(&found).len(), 2, "{kind:?}");
    }
}

#[test]
fn dump_reads_more_rows_than_a_page_has_in_the_order_of_time() {
    let mut site = Site::new();
    site.log(950);
    site.succeed("mls-parse < mail.log > records; shuf records > shuffled");
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let url = server.url();
        site.succeed(&format!("mls-sql load --url '{url}' < shuffled"));
        let dates = |text: &str| -> Vec<_> {
            let date = |record: &Value| {
                let date = record["date"].as_str().unwrap().to_owned();
                chrono::DateTime::parse_from_rfc3339(&date).unwrap()
            };
            records(text).iter().map(date).collect()
        };
        let dumped = dates(&site.succeed(&format!("mls-sql dump --url '{url}'")));
        let mut expected = dates(&site.read("records"));
        expected.sort();
        assert_eq!(dumped, expected, "{kind:?}");
    }
}

#[test]
fn wrong_mapping_date_or_row_is_reported_with_its_exit_code() {
    let site = Site::new();
    site.write("records", RECORDS);
    site.write("user", r#"{"username": {"sql_column_def": "TEXT", "csv_column_name": "user"}}"#);
    site.write("date", r#"{"event_time": {"sql_column_def": "TEXT", "csv_column_name": "date"}}"#);
    site.succeed("mls-sql load --url sqlite:e.db < records");
    site.succeed("sqlite3 e.db \"UPDATE maillogsentinel_events SET outcome = 'odd' WHERE id = 1\"");
    for (exit, command, why) in [
        (78, "dump --mapping user", "the mapping has no column for date"),
        (78, "dump --mapping date", "the mapping has no column that the database fills"),
        (64, "dump --since 1000-01-01 --timezone +02:00", "is not between the years"),
        (64, "prune --before 1000-01-01 --timezone +02:00", "is not between the years"),
        (65, "dump --strict", "e.db, table maillogsentinel_events, row 1: outcome \"odd\""),
    ] {
        let messages = site.fail(exit, &format!("mls-sql {command} --url sqlite:e.db"));
        assert!(messages.contains(why), "{command}: {messages}");
    }
}

#[test]
fn stream_without_the_asked_outcome_is_refused() {
    let site = Site::new();
    let (_, logins) = RECORDS.split_once('\n').unwrap();
    site.write("logins", logins);
    for command in ["load --url sqlite:e.db", "export", "export --dir sql"] {
        let messages = site.fail(65, &format!("mls-sql {command} < logins"));
        assert!(
            messages.contains("no record has the outcome failure (found 1 success)"),
            "{messages}"
        );
    }
    assert_eq!(site.succeed("ls -A sql"), "");
    site.write("mapping", r#"{"name": {"sql_column_def": "TEXT", "csv_column_name": "user"}}"#);
    let load = "mls-sql load --url sqlite:e.db --mapping mapping --outcome success < logins";
    assert!(site.fail(78, load).contains("no column for the outcome"));
}
