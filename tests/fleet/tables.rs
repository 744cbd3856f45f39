//! Tables of older versions, partitions, retention and status.

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};

use crate::RECORDS;
use crate::sources::pipeline;

#[test]
fn migrate_adds_columns_to_tables_of_an_older_version_once() {
    let site = Site::new();
    site.write("records", RECORDS);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let url = server.url();
        let old = match kind {
            Kind::Sqlite => ["INTEGER PRIMARY KEY", "TEXT", "INTEGER"],
            Kind::Postgresql => {
                ["bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "text", "bigint"]
            }
            Kind::Mariadb => ["BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY", "TEXT", "BIGINT"],
        };
        let ([id, string, number], time) = (
            old,
            match kind {
                Kind::Sqlite => "TEXT",
                Kind::Postgresql => "timestamptz",
                Kind::Mariadb => "DATETIME(6)",
            },
        );
        let key = if kind == Kind::Mariadb { "VARCHAR(255)" } else { "TEXT" };
        let _ = server.query(&format!(
            "CREATE TABLE maillogsentinel_events (id {id}, server {string}, event_time {time}, ip {string}, username {string}, \
             hostname {string}, reverse_dns_status {string}, country_code {string}, asn {number}, aso {string}); \
             CREATE TABLE maillogsentinel_events_cursor (source {key} NOT NULL PRIMARY KEY, sequence BIGINT NOT NULL, position {string}); \
             INSERT INTO maillogsentinel_events (server, event_time) VALUES ('old', '2026-01-01 00:00:00')"
        ));
        let load =
            format!("mls-sql load --url '{url}' --outcome failure,success --source mx1 < records");
        let messages = site.fail(78, &load);
        assert!(messages.contains("run mls-sql migrate"), "{messages}");
        let migrate = format!("MLS_INFO=1 mls-sql migrate --url '{url}'");
        let messages = text(&site.shell(&migrate).stderr);
        assert!(messages.contains("added 13 columns"), "{kind:?}: {messages}");
        let messages = text(&site.shell(&migrate).stderr);
        assert!(messages.contains("migrated nothing"), "{kind:?}: {messages}");
        site.succeed(&load);
        assert_eq!(
            server.query("SELECT server, outcome, coalesce(source, '-') FROM maillogsentinel_events ORDER BY id"),
            "old\tfailure\t-\nmx1\tfailure\tmx1\nmx1\tfailure\tmx1\nmx2\tsuccess\tmx1\n",
            "{kind:?}"
        );
        if kind != Kind::Sqlite {
            // Only the new rows have a value in `loaded_by`.
            let loaders = "SELECT count(loaded_by) FROM maillogsentinel_events";
            assert_eq!(server.query(loaders).trim(), "3", "{kind:?}");
        }
    }
}

#[test]
fn status_says_what_was_loaded_and_when() {
    for kind in Kind::ALL {
        let (server, mut site) = (Server::new(kind), Site::new());
        let url = server.url();
        let status =
            |site: &Site| site.succeed(&format!("mls-sql status --url '{url}' --source mx1"));
        let said = status(&site);
        assert!(said.contains("does not exist yet; mls-sql load creates it"), "{kind:?}: {said}");
        for rows in [3, 5] {
            site.log(rows);
            site.succeed(&pipeline(&url, "mx1", "mail.log", ""));
        }
        let said = status(&site);
        assert!(said.contains("\nsource: mx1\nrows: 8\nlast_commit: "), "{kind:?}: {said}");
        let time = said.trim().rsplit(' ').next().unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
        let age = chrono::Utc::now() - time.to_utc();
        assert!((-1..60).contains(&age.num_seconds()), "{kind:?}: {said}");
        let _ = server.query("DROP TABLE maillogsentinel_events_cursor");
        let said = status(&site);
        assert!(said.contains("table maillogsentinel_events_cursor does not exist yet"), "{said}");
    }
}

#[test]
fn partitions_are_made_by_load_and_dropped_by_prune() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&site.succeed("mls-sql schema --fleet --dialect postgresql"));
    let event = |date: &str| {
        format!("{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"outcome\":\"failure\"}}\n")
    };
    let dates = ["2024-12-31T23:30:00-01:00", "2025-01-31T23:59:59Z", "2025-02-01T00:00:00Z"];
    // Just after boot, the clock of a machine can be wrong. A wrong date must not stop the load.
    let wrong = ["1970-01-01T00:00:09Z", "9999-01-01T00:00:00Z"];
    site.write("records", &(wrong.map(event).concat() + &dates.map(event).concat()));
    let load = format!("mls-sql load --strict --url '{}' < records", server.url());
    let messages = site.fail(65, &load);
    assert!(messages.contains("stdin:1: date 1970-01-01T00:00:09Z is before 2000 or more than 10 years in the future, so the table has no partition for it"), "{messages}");
    let partitions = || {
        server.query(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                      WHERE inhparent = 'maillogsentinel_events'::regclass AND relname < 'maillogsentinel_events_2025_04' ORDER BY 1",
        )
    };
    // The schema creates the partitions of the next months. If one is missing, prune creates it.
    let this_month = chrono::Utc::now().format("maillogsentinel_events_%Y_%m").to_string();
    let has_this_month = || server.query("SELECT relname FROM pg_class").contains(&this_month);
    assert!(has_this_month());
    let _ = server.query(&format!("DROP TABLE {this_month}"));
    assert_eq!(partitions(), "maillogsentinel_events_2025_01\nmaillogsentinel_events_2025_02\n");
    let prune = |before: &str| {
        site.succeed(&format!(
            "mls-sql prune --timezone UTC --before {before} --url '{}'",
            server.url()
        ))
    };
    prune("2025-01-31");
    assert_eq!(server.count("maillogsentinel_events"), 3);
    assert!(has_this_month());
    // mls-sql takes the dates of a partition from the catalog, not from its name.
    let _ = server.query(
        "ALTER TABLE maillogsentinel_events_2025_02 RENAME TO maillogsentinel_events_1999_01; \
         ALTER TABLE maillogsentinel_events_2025_01 RENAME TO \"it's \"\"old\"\"\"",
    );
    prune("2025-02-01");
    assert_eq!(partitions(), "maillogsentinel_events_1999_01\n");
    assert_eq!(server.count("maillogsentinel_events"), 1);
}

#[test]
fn prune_removes_the_events_before_a_day() {
    let site = Site::new();
    site.write("records", RECORDS);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let url = server.url();
        site.succeed(&format!("mls-sql load --outcome failure,success --url '{url}' < records"));
        let count = || server.count("maillogsentinel_events");
        let prune = |before: &str| {
            site.succeed(&format!("mls-sql prune --timezone UTC --before '{before}' --url '{url}'"))
        };
        prune("2026-06-01");
        assert_eq!(count(), 3, "{kind:?}");
        prune("2026-06-01 08:00");
        assert_eq!(count(), 3, "{kind:?}");
        prune("2026-06-02");
        assert_eq!(count(), 0, "{kind:?}");
    }
}
