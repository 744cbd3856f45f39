//! Many mail servers in one database: what is stored, who may store it, and how it is read back.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

use std::process::Stdio;

use mls_tests::servers::{Kind, Server, make_certificates};
use mls_tests::stolen::assert_powerless;
use mls_tests::{Site, text};
use serde_json::Value;

/// A failure and a login with every member that a table can hold.
const RECORDS: &str = r#"{"v":1,"type":"auth","date":"2026-06-01T10:00:00.250+02:00","server":"mx1","service":"postfix/submission/smtpd","pid":12,"outcome":"failure","attempts":2,"mechanism":"PLAIN","ip":"2001:db8::1","port":4711,"client":"host.example.org","user":"it's \\ \"ünï\" '); --","reason":"authentication failure","pos":"a1b2:77","hostname":null,"reverse_dns_status":"Errno 1","country_code":"DE","asn":64496,"aso":"Example"}
{"v":1,"type":"auth","date":"2026-06-01T08:00:01Z","server":"mx2","service":"dovecot","pid":null,"outcome":"success","attempts":1,"mechanism":"PLAIN","ip":"192.0.2.1","client":null,"user":"anna","reason":null,"hostname":"a.example.org","reverse_dns_status":"OK","country_code":null,"asn":null,"aso":null}
"#;

fn succeed(site: &Site, command: &str) -> String {
    let output = site.shell(command);
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must end with `code`, and returns its messages.
fn fail(site: &Site, code: i32, command: &str) -> String {
    let output = site.shell(command);
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command}: {messages}");
    messages
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn dump_gives_back_what_load_has_stored() {
    let site = Site::new();
    site.write("records", RECORDS);
    let mut expected = records(RECORDS);
    let failure = &mut expected[0];
    failure["attempts"] = 1.into();
    failure["date"] = "2026-06-01T08:00:00.250+00:00".into();
    // The built-in table has no column for it.
    failure["pid"] = Value::Null;
    expected[1]["date"] = "2026-06-01T08:00:01+00:00".into();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let sql = |command: &str| {
            let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
            format!("mls-sql {name} --url '{}' {rest}", server.url())
        };
        succeed(&site, &sql("load --outcome failure,success --source mx1 < records"));
        let all = records(&succeed(&site, &sql("dump")));
        // Two attempts are two rows.
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
            let found = records(&succeed(&site, &sql(&format!("dump {filter}"))));
            assert_eq!(found.len(), count, "{kind:?} {filter}");
        }
        // By default only failures become rows.
        succeed(&site, &sql("load --table failures --source mx1 < records"));
        let found = succeed(&site, &sql("dump --table failures"));
        assert_eq!(records(&found).len(), 2, "{kind:?}");
    }
}

#[test]
fn dump_reads_more_rows_than_a_page_has_in_the_order_of_time() {
    let mut site = Site::new();
    site.log(950);
    succeed(&site, "mls-parse < mail.log > records; shuf records > shuffled");
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let url = server.url();
        succeed(&site, &format!("mls-sql load --url '{url}' < shuffled"));
        let dates = |text: &str| -> Vec<_> {
            let date = |record: &Value| {
                let date = record["date"].as_str().unwrap().to_owned();
                chrono::DateTime::parse_from_rfc3339(&date).unwrap()
            };
            records(text).iter().map(date).collect()
        };
        let dumped = dates(&succeed(&site, &format!("mls-sql dump --url '{url}'")));
        let mut expected = dates(&site.read("records"));
        expected.sort();
        assert_eq!(dumped, expected, "{kind:?}");
    }
}

#[test]
fn stream_without_the_asked_outcome_is_refused() {
    let site = Site::new();
    let (_, logins) = RECORDS.split_once('\n').unwrap();
    site.write("logins", logins);
    for command in ["load --url sqlite:e.db", "export", "export --dir sql"] {
        let messages = fail(&site, 65, &format!("mls-sql {command} < logins"));
        assert!(
            messages.contains("no record has the outcome failure (found 1 success)"),
            "{messages}"
        );
    }
    assert_eq!(succeed(&site, "ls -A sql"), "");
    site.write("mapping", r#"{"name": {"sql_column_def": "TEXT", "csv_column_name": "user"}}"#);
    let load = "mls-sql load --url sqlite:e.db --mapping mapping --outcome success < logins";
    assert!(fail(&site, 78, load).contains("no column for the outcome"));
}

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
        let messages = fail(&site, 78, &load);
        assert!(messages.contains("add it with mls-sql migrate"), "{messages}");
        let migrate = format!("MLS_INFO=1 mls-sql migrate --url '{url}'");
        let messages = text(&site.shell(&migrate).stderr);
        assert!(messages.contains("added 13 columns"), "{kind:?}: {messages}");
        let messages = text(&site.shell(&migrate).stderr);
        assert!(messages.contains("migrated nothing"), "{kind:?}: {messages}");
        succeed(&site, &load);
        assert_eq!(
            server.query("SELECT server, outcome, coalesce(source, '-') FROM maillogsentinel_events ORDER BY id"),
            "old\tfailure\t-\nmx1\tfailure\tmx1\nmx1\tfailure\tmx1\nmx2\tsuccess\tmx1\n",
            "{kind:?}"
        );
        if kind != Kind::Sqlite {
            // The rows that were there have no loader, the new ones have.
            let loaders = "SELECT count(loaded_by) FROM maillogsentinel_events";
            assert_eq!(server.query(loaders).trim(), "3", "{kind:?}");
        }
    }
}

/// The pipeline that loads `log` as `source`.
fn pipeline(url: &str, source: &str, log: &str, flags: &str) -> String {
    format!(
        "mls-tail --framed --cursor-file <(mls-sql cursor {flags} --url '{url}' --source {source}) {log} | \
         mls-parse | mls-sql load {flags} --url '{url}' --source {source}"
    )
}

#[test]
fn renamed_host_is_refused_until_its_source_is_renamed() {
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let (url, mut site) = (server.url(), Site::new());
        site.log(20);
        succeed(&site, &pipeline(&url, "old", "mail.log", ""));
        let messages = fail(&site, 78, &pipeline(&url, "new", "mail.log", ""));
        assert!(messages.contains("run mls-sql rename-source old new"), "{messages}");
        let count =
            || server.query("SELECT source, count(*) FROM maillogsentinel_events GROUP BY source");
        assert_eq!(count(), "old\t20\n", "{kind:?}");
        succeed(&site, &format!("mls-sql rename-source old new --url '{url}'"));
        site.log(5);
        succeed(&site, &pipeline(&url, "new", "mail.log", ""));
        assert_eq!(count(), "new\t25\n", "{kind:?}");
        let messages = fail(&site, 65, &format!("mls-sql rename-source old other --url '{url}'"));
        assert!(messages.contains("there is no source old"), "{messages}");
        // Another log of this machine is another source; so is the same one, if somebody says so.
        site.write("other.log", &format!("another first line\n{}", site.read("mail.log")));
        succeed(&site, &pipeline(&url, "other", "other.log", ""));
        succeed(&site, &pipeline(&url, "twice", "mail.log", "--adopt"));
        let messages = fail(&site, 65, &format!("mls-sql rename-source other new --url '{url}'"));
        assert!(messages.contains("source new exists already"), "{messages}");
    }
}

#[test]
fn source_that_disappears_while_it_is_renamed_is_missing() {
    let (server, mut site) = (Server::new(Kind::Sqlite), Site::new());
    let url = server.url();
    site.log(3);
    succeed(&site, &pipeline(&url, "old", "mail.log", ""));
    // No cursor is updated, as if another run had renamed it just now.
    let _ = server.query(
        "CREATE TRIGGER late BEFORE UPDATE ON maillogsentinel_events_cursor \
         BEGIN SELECT RAISE(IGNORE); END",
    );
    let messages = fail(&site, 65, &format!("mls-sql rename-source old new --url '{url}'"));
    assert!(messages.contains("there is no source old"), "{messages}");
    let sources = server.query("SELECT DISTINCT source FROM maillogsentinel_events");
    assert_eq!(sources, "old\n");
}

#[test]
fn second_machine_under_one_name_is_refused_until_it_adopts_the_source() {
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let (url, mut site) = (server.url(), Site::new());
        site.log(20);
        succeed(&site, &pipeline(&url, "mx1", "mail.log", ""));
        let _ = server.query("UPDATE maillogsentinel_events_cursor SET machine = 'another'");
        site.log(5);
        let messages = fail(&site, 78, &pipeline(&url, "mx1", "mail.log", ""));
        assert!(messages.contains("machine another has loaded source mx1"), "{messages}");
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        assert_eq!(count(), "20", "{kind:?}");
        succeed(&site, &pipeline(&url, "mx1", "mail.log", "--adopt"));
        succeed(&site, &pipeline(&url, "mx1", "mail.log", ""));
        assert_eq!(count(), "25", "{kind:?}");
    }
}

#[test]
fn stolen_server_of_a_fleet_can_neither_read_nor_change_nor_forge() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let schema = succeed(&site, "mls-sql schema --fleet --dialect postgresql");
    let _ = server.query(&schema);
    // The statements can run again.
    let _ = server.query(&schema);
    let _ = server.query(
        "CREATE ROLE mx1 LOGIN IN ROLE maillogsentinel_events_loader; \
         CREATE ROLE mx2 LOGIN IN ROLE maillogsentinel_events_loader; \
         CREATE ROLE digest LOGIN IN ROLE maillogsentinel_events_reader",
    );
    let url = |role: &str| server.url().replacen("mls@", &format!("{role}@"), 1);
    for role in ["mx1", "mx2"] {
        let mut site = Site::new();
        site.write("mail.log", &format!("the first line of {role}\n"));
        site.log(20);
        succeed(&site, &pipeline(&url(role), role, "mail.log", ""));
        site.log(5);
        succeed(&site, &pipeline(&url(role), role, "mail.log", ""));
    }
    let rows =
        "SELECT loaded_by, source, count(*) FROM maillogsentinel_events GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(server.query(rows), "mx1\tmx1\t25\nmx2\tmx2\t25\n");
    // A reader reads all; a server reads nothing.
    let dump = |role: &str| format!("mls-sql dump --url '{}'", url(role));
    assert_eq!(succeed(&site, &dump("digest")).lines().count(), 50);
    let messages = fail(&site, 78, &dump("mx1"));
    assert!(messages.contains("permission denied for table maillogsentinel_events"), "{messages}");
    assert!(messages.contains("mls-sql schema --fleet prints the grants"), "{messages}");
    let as_mx1 = |sql: &str| server.client("mls").args([sql, "-U", "mx1"]).output().unwrap();
    assert_powerless(as_mx1, "mx1", "mx2");
    // The function that creates partitions runs with the rights of the owner. It must not run what
    // a role has made, whose views and functions hide those of the catalog.
    let output = as_mx1(
        "CREATE FUNCTION pg_temp.evil() RETURNS oid LANGUAGE plpgsql AS $$ BEGIN \
           EXECUTE 'GRANT ALL ON maillogsentinel_events TO mx1'; RETURN 1; END $$; \
         CREATE TEMP VIEW pg_inherits AS SELECT pg_temp.evil() AS inhrelid, \
           'maillogsentinel_events'::regclass::oid AS inhparent; \
         CREATE TEMP VIEW pg_class AS SELECT pg_temp.evil() AS oid, 'x'::name AS relname; \
         GRANT SELECT ON pg_inherits, pg_class TO PUBLIC; \
         SELECT maillogsentinel_events_partition('2030-02-01')",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        server.query("SELECT relname FROM pg_class").contains("maillogsentinel_events_2030_02")
    );
    assert!(!as_mx1("SELECT * FROM maillogsentinel_events").status.success());
    let sequences = "SELECT source, sequence FROM maillogsentinel_events_cursor ORDER BY source";
    assert_eq!(server.query(sequences), "mx1\t2\nmx2\t2\n");
    // A source of its own does not disturb the source of the same name of another server.
    let mut thief = Site::new();
    thief.log(3);
    succeed(&thief, &pipeline(&url("mx1"), "mx2", "mail.log", ""));
    let all = format!("{rows}, 2");
    assert_eq!(server.query(&all), "mx1\tmx1\t25\nmx1\tmx2\t3\nmx2\tmx2\t25\n");
    let by_rows =
        "SELECT loaded_by, source, loaded_rows FROM maillogsentinel_events_cursor ORDER BY 1, 2";
    assert_eq!(server.query(by_rows), "mx1\tmx1\t25\nmx1\tmx2\t3\nmx2\tmx2\t25\n");
    // It can rename no source. The owner renames the source of the role that is meant.
    let rename = |role: &str, flags: &str| {
        format!("mls-sql rename-source mx2 new --url '{}' {flags}", url(role))
    };
    let messages = fail(&site, 78, &rename("mx1", ""));
    assert!(messages.contains("permission denied"), "{messages}");
    let messages = fail(&site, 65, &rename("mls", ""));
    assert!(messages.contains("several users have a source mx2: mx1, mx2; name one"), "{messages}");
    let messages = fail(&site, 65, &rename("mls", "--loaded-by mx3"));
    assert!(messages.contains("there is no source mx2 loaded by mx3"), "{messages}");
    // The thief has taken the new name, too.
    succeed(&thief, &pipeline(&url("mx1"), "new", "mail.log", "--adopt"));
    succeed(&site, &rename("mls", "--loaded-by mx2"));
    let expected = "mx1\tmx1\t25\nmx1\tmx2\t3\nmx1\tnew\t3\nmx2\tnew\t25\n";
    assert_eq!(server.query(&all), expected);
    assert_eq!(server.query(by_rows), expected);
    // The rows of other machines stay unknown to it.
    let output = as_mx1("SELECT * FROM maillogsentinel_events_of_machine('0123456789abcdef')");
    assert_eq!((output.status.success(), text(&output.stdout)), (true, String::new()));
}

#[test]
fn server_with_a_new_role_does_not_load_its_log_again() {
    let (mut site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&succeed(&site, "mls-sql schema --fleet --dialect postgresql"));
    let _ = server.query(
        "CREATE ROLE old LOGIN IN ROLE maillogsentinel_events_loader; \
         CREATE ROLE new LOGIN IN ROLE maillogsentinel_events_loader",
    );
    let url = |role: &str| server.url().replacen("mls@", &format!("{role}@"), 1);
    site.log(20);
    succeed(&site, &pipeline(&url("old"), "mx1", "mail.log", ""));
    let messages = fail(&site, 78, &pipeline(&url("new"), "mx1", "mail.log", ""));
    let cure = "UPDATE maillogsentinel_events_cursor SET loaded_by = 'NEW USER' WHERE source = 'mx1' AND loaded_by = 'old'";
    assert!(messages.contains(cure), "{messages}");
    let messages = fail(&site, 78, &pipeline(&url("new"), "mx2", "mail.log", ""));
    assert!(messages.contains("run mls-sql rename-source mx1 mx2"), "{messages}");
    let _ = server.query(&cure.replace("NEW USER", "new"));
    site.log(5);
    succeed(&site, &pipeline(&url("new"), "mx1", "mail.log", ""));
    let rows = "SELECT loaded_by, count(*) FROM maillogsentinel_events GROUP BY 1 ORDER BY 1";
    assert_eq!(server.query(rows), "new\t5\nold\t20\n");
}

#[test]
fn role_that_holds_the_lock_of_a_month_is_named_and_delays_no_other_month() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&succeed(&site, "mls-sql schema --fleet --dialect postgresql"));
    let _ = server.query(
        "CREATE ROLE mx1 LOGIN IN ROLE maillogsentinel_events_loader; \
         CREATE ROLE thief LOGIN IN ROLE maillogsentinel_events_loader; \
         ALTER FUNCTION maillogsentinel_events_partition SET lock_timeout = '1s'",
    );
    let url = |role: &str| server.url().replacen("mls@", &format!("{role}@"), 1);
    let mut thief = server.client("mls");
    let hold = "BEGIN; SELECT maillogsentinel_events_partition('2001-01-01'); SELECT pg_sleep(600)";
    let mut thief = thief.args([hold, "-U", "thief"]).stderr(Stdio::null()).spawn().unwrap();
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for(|| server.query(sleeps).trim() == "1");
    let event = |date: &str| {
        format!("{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"outcome\":\"failure\"}}\n")
    };
    site.write("now", &event(&chrono::Utc::now().to_rfc3339()));
    site.write("old", &event("2001-02-01T00:00:00Z"));
    let load = |file: &str| format!("mls-sql load --url '{}' < {file}", url("mx1"));
    succeed(&site, &load("now"));
    let messages = fail(&site, 75, &load("old"));
    let why = "partition maillogsentinel_events_2001_02 cannot be created while a transaction of another role holds a lock: thief (pid ";
    assert!(messages.contains(why), "{messages}");
    thief.kill().unwrap();
    thief.wait().unwrap();
    let _ = server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    );
    wait_for(|| server.query(sleeps).trim() == "0");
    succeed(&site, &load("old"));
    assert_eq!(server.query("SELECT count(*) FROM maillogsentinel_events").trim(), "2");
}

#[test]
fn error_of_the_table_of_cursors_is_not_called_another_pipeline() {
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        let (server, mut site) = (Server::new(kind), Site::new());
        site.log(3);
        succeed(&site, &pipeline(&server.url(), "mx1", "mail.log", ""));
        let _ = server.query(
            "ALTER TABLE maillogsentinel_events_cursor ADD CONSTRAINT few CHECK (loaded_rows < 4)",
        );
        site.log(3);
        let messages = fail(&site, 65, &pipeline(&server.url(), "mx1", "mail.log", ""));
        assert!(messages.contains("moving the position in"), "{kind:?}: {messages}");
        assert!(messages.contains("few"), "{kind:?}: {messages}");
        assert!(!messages.contains("another pipeline"), "{kind:?}: {messages}");
    }
}

#[test]
fn log_is_not_loaded_into_a_table_that_imported_files_have_filled() {
    for kind in Kind::ALL {
        let (server, mut site) = (Server::new(kind), Site::new());
        let url = server.url();
        site.log(3);
        for (table, source) in [("anonymous", ""), ("named", "--source mx1")] {
            let export = format!(
                "mls-parse < mail.log | mls-sql export --dialect {} --dir {table} --table {table} {source}",
                kind.dialect()
            );
            succeed(&site, &export);
            succeed(&site, &format!("mls-sql import {table} --table {table} --url '{url}'"));
            let load =
                |flags| pipeline(&url, "mx1", "mail.log", &format!("--table {table} {flags}"));
            let messages = fail(&site, 78, &load(""));
            assert!(messages.contains("has rows of SQL files"), "{kind:?}: {messages}");
            succeed(&site, &load("--adopt"));
            let count = server.query(&format!("SELECT count(*) FROM {table}"));
            assert_eq!(count.trim(), "6", "{kind:?}");
        }
        succeed(&site, &pipeline(&url, "mx1", "mail.log", "--table other"));
    }
}

#[test]
fn files_are_not_imported_into_a_table_that_this_machine_has_loaded() {
    for kind in Kind::ALL {
        let (server, mut site) = (Server::new(kind), Site::new());
        let url = server.url();
        site.log(3);
        let export = format!("mls-sql export --dialect {} --dir sql", kind.dialect());
        succeed(&site, &format!("mls-parse < mail.log | {export}"));
        succeed(&site, &pipeline(&url, "mx1", "mail.log", ""));
        let import = format!("mls-sql import sql --url '{url}'");
        let messages = fail(&site, 78, &import);
        let why = "mls-sql load has loaded a log of this machine into table maillogsentinel_events";
        assert!(messages.contains(why) && messages.contains("as source mx1,"), "{messages}");
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        assert_eq!(count(), "3", "{kind:?}");
        succeed(&site, &format!("{import} --adopt"));
        assert_eq!(count(), "6", "{kind:?}");
        // Nothing is new, so nothing can come twice.
        succeed(&site, &import);
        // The files of another machine hold other attempts. A file of this machine does not stop
        // them, whether its name is the first or the last.
        let another = "20260601_000000_mx9-00000000_000001_maillogsentinel_export.sql";
        succeed(&site, &format!("cp sql/* {another}; cp {another} sql/0.sql"));
        succeed(&site, &format!("cp {another} sql/; cp {another} sql/z.sql"));
        let messages = fail(&site, 78, &import);
        assert!(
            messages.contains("2 SQL files of this machine in sql, the first is 0.sql"),
            "{messages}"
        );
        assert_eq!(count(), "9", "{kind:?}");
        succeed(&site, &format!("rm sql/0.sql sql/z.sql; {import}"));
        let _ = server.query("UPDATE maillogsentinel_events_cursor SET machine = 'another'");
        succeed(&site, &format!("mls-parse < mail.log | {export}; {import}"));
        assert_eq!(count(), "12", "{kind:?}");
    }
}

#[test]
fn status_says_what_was_loaded_and_when() {
    for kind in Kind::ALL {
        let (server, mut site) = (Server::new(kind), Site::new());
        let url = server.url();
        let status =
            |site: &Site| succeed(site, &format!("mls-sql status --url '{url}' --source mx1"));
        let said = status(&site);
        assert!(said.contains("does not exist yet; mls-sql load creates it"), "{kind:?}: {said}");
        for rows in [3, 5] {
            site.log(rows);
            succeed(&site, &pipeline(&url, "mx1", "mail.log", ""));
        }
        let said = status(&site);
        assert!(said.contains("\nsource: mx1\nrows: 8\nlast_commit: "), "{kind:?}: {said}");
        let time = said.trim().rsplit(' ').next().unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
        let age = chrono::Utc::now() - time.to_utc();
        assert!((-1..60).contains(&age.num_seconds()), "{kind:?}: {said}");
    }
}

#[test]
fn export_files_of_two_hosts_with_one_name_differ() {
    if !mls_tests::is_root() {
        return mls_tests::skip("only root can change the name and the ID of a machine");
    }
    let mut site = Site::new();
    for machine in ["0", "1"] {
        site.log(2);
        site.write("id", &machine.repeat(32));
        let clock = mls_tests::wrong_clock("'@2026-06-01 00:00:00'");
        succeed(
            &site,
            &format!(
                "tail -n 4 mail.log | mls-parse > records; \
                 unshare --mount --uts bash -c 'hostname mx; mount --bind id /etc/machine-id; \
                   {} mls-sql export --dir sql < records'",
                clock.replace('\'', "\"")
            ),
        );
    }
    let names = succeed(&site, "ls sql");
    let names: Vec<_> = names.lines().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let without_machine = |name: &str| {
        let (time, rest) = name.split_once("_mx-").unwrap();
        (time.to_owned(), rest[8..].to_owned())
    };
    assert_eq!(without_machine(names[0]), without_machine(names[1]));
    succeed(&site, "mls-sql import sql --url sqlite:events.db");
    assert_eq!(succeed(&site, "mls-sql dump --url sqlite:events.db").lines().count(), 4);
}

#[test]
fn partitions_are_made_by_load_and_dropped_by_prune() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&succeed(&site, "mls-sql schema --fleet --dialect postgresql"));
    let event = |date: &str| {
        format!("{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"outcome\":\"failure\"}}\n")
    };
    let dates = ["2024-12-31T23:30:00-01:00", "2025-01-31T23:59:59Z", "2025-02-01T00:00:00Z"];
    // The clock of a machine that has just booted is no reason to stop.
    let wrong = ["1970-01-01T00:00:09Z", "9999-01-01T00:00:00Z"];
    site.write("records", &(wrong.map(event).concat() + &dates.map(event).concat()));
    let load = format!("mls-sql load --strict --url '{}' < records", server.url());
    let messages = fail(&site, 65, &load);
    assert!(messages.contains("date 1970-01-01T00:00:09Z has no partition"), "{messages}");
    let partitions = || {
        server.query(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                      WHERE inhparent = 'maillogsentinel_events'::regclass AND relname < 'maillogsentinel_events_2025_04' ORDER BY 1",
        )
    };
    // The schema has made the partitions of the coming months, and prune makes them again.
    let this_month = chrono::Utc::now().format("maillogsentinel_events_%Y_%m").to_string();
    let has_this_month = || server.query("SELECT relname FROM pg_class").contains(&this_month);
    assert!(has_this_month());
    let _ = server.query(&format!("DROP TABLE {this_month}"));
    assert_eq!(partitions(), "maillogsentinel_events_2025_01\nmaillogsentinel_events_2025_02\n");
    let prune = |before: &str| {
        succeed(
            &site,
            &format!("mls-sql prune --timezone UTC --before {before} --url '{}'", server.url()),
        )
    };
    prune("2025-01-31");
    assert_eq!(server.query("SELECT count(*) FROM maillogsentinel_events").trim(), "3");
    assert!(has_this_month());
    // The catalog says what a partition holds, not its name.
    let _ = server.query(
        "ALTER TABLE maillogsentinel_events_2025_02 RENAME TO maillogsentinel_events_1999_01; \
         ALTER TABLE maillogsentinel_events_2025_01 RENAME TO \"it's \"\"old\"\"\"",
    );
    prune("2025-02-01");
    assert_eq!(partitions(), "maillogsentinel_events_1999_01\n");
    assert_eq!(server.query("SELECT count(*) FROM maillogsentinel_events").trim(), "1");
}

#[test]
fn prune_removes_the_events_before_a_day() {
    let site = Site::new();
    site.write("records", RECORDS);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let url = server.url();
        succeed(&site, &format!("mls-sql load --outcome failure,success --url '{url}' < records"));
        let count =
            || server.query("SELECT count(*) FROM maillogsentinel_events").trim().to_owned();
        let prune = |before: &str| {
            succeed(
                &site,
                &format!("mls-sql prune --timezone UTC --before '{before}' --url '{url}'"),
            )
        };
        prune("2026-06-01");
        assert_eq!(count(), "3", "{kind:?}");
        prune("2026-06-01 08:00");
        assert_eq!(count(), "3", "{kind:?}");
        prune("2026-06-02");
        assert_eq!(count(), "0", "{kind:?}");
    }
}

#[test]
fn server_shows_a_certificate_and_gets_the_role_of_its_name() {
    let (mut site, mut server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&succeed(&site, "mls-sql schema --fleet --dialect postgresql"));
    let _ = server.query("CREATE ROLE mx1 LOGIN IN ROLE maillogsentinel_events_loader");
    let names = ["localhost", "mx1", "mx2"].map(str::to_owned);
    succeed(&site, &make_certificates(&names));
    let flags = server.ask_for_certificates(site.path(), &names[1..]);
    server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    site.log(20);
    let url = |name: &str| {
        format!(
            "postgres://mx1@localhost:{}/mls?sslmode=verify-full&sslrootcert=ca.pem&sslcert={name}.pem&sslkey={name}.key",
            server.port()
        )
    };
    succeed(&site, &pipeline(&url("mx1"), "mx1", "mail.log", ""));
    let rows = "SELECT loaded_by, count(*) FROM maillogsentinel_events GROUP BY 1";
    assert_eq!(server.query(rows), "mx1\t20\n");
    // The certificate of another server, and none at all.
    let load = |url: &str| format!("mls-parse < mail.log | mls-sql load --url '{url}'");
    let messages = fail(&site, 77, &load(&url("mx2")));
    let refused = |role: &str| format!("certificate authentication failed for user \"{role}\"");
    assert!(messages.contains(&refused("mx1")), "{messages}");
    let (without, _) =
        url("mx1").split_once("&sslcert").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let messages = fail(&site, 77, &load(&without));
    assert!(messages.contains("certificate"), "{messages}");
    assert_eq!(server.query(rows), "mx1\t20\n");
    // The same from the configuration.
    let conf = format!(
        "[database]\ndb_type = postgresql\nmode = load\nsource = mx1\ndb_host = localhost\ndb_port = {}\ndb_name = mls\n\
         db_user = mx1\nssl_root = ca.pem\nssl_cert = mx1.pem\nssl_key = mx1.key\n",
        server.port()
    );
    site.write("conf", &conf);
    let status = "mls-sql status --config conf";
    assert!(succeed(&site, status).contains("source: mx1\nrows: 20\n"));
    // An authority that has not signed the certificate of the server.
    site.write("wrong", &conf.replace("= ca.pem", "= mx2.pem"));
    let messages = fail(&site, 69, "mls-sql status --config wrong");
    assert!(messages.contains("certificate"), "{messages}");
    site.write("wrong", &conf.replace("mx1.key", "").replace("ssl_key = ", ""));
    let messages = fail(&site, 78, "mls-sql status --config wrong");
    assert!(messages.contains("ssl_cert and ssl_key belong together"), "{messages}");
    succeed(&site, "chmod 644 mx1.key");
    let messages = fail(&site, 77, status);
    assert!(messages.contains("everybody may read ssl_key mx1.key (mode 0644)"), "{messages}");
}

/// The attempts of one of 20 servers in the first week of June, one in half an hour. The address of
/// an attempt is one of the server, or one that many servers share.
fn week_of(server: u32, random: &mut u64) -> String {
    let mut below = |n: u64| {
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % n
    };
    let mut records = String::new();
    for minute in (0..7 * 1440).step_by(30) {
        // This server fails on the last day but one.
        if server == 13 && minute >= 5 * 1440 + 600 {
            break;
        }
        let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
        let ip = match below(4) {
            // The address 203.0.113.N tries the servers from N on.
            0 => format!("203.0.113.{}", 1 + below(server.into())),
            _ => format!("198.51.{server}.{}", below(20)),
        };
        let outcome = if below(10) == 0 { "success" } else { "failure" };
        let record = format!(
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-{day:02}T{hour:02}:{minute:02}:00Z\",\
             \"server\":\"mx{server:02}\",\"outcome\":\"{outcome}\",\"attempts\":{},\"ip\":\"{ip}\",\
             \"user\":\"user{}\"}}\n",
            1 + below(3),
            below(300)
        );
        records.push_str(&record);
    }
    records
}

#[test]
fn one_digest_over_twenty_servers_equals_counts_made_in_sql() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let url = server.url();
    let mut random = 7;
    for number in 1..=20 {
        site.write(&format!("mx{number:02}"), &week_of(number, &mut random));
    }
    succeed(
        &site,
        &format!(
            "for name in mx*; do mls-sql load --outcome failure,success --url '{url}' \
             --source $name < $name || exit 1; done"
        ),
    );
    let dump = format!("mls-sql dump --url '{url}'");
    let report = "mls-report --timezone UTC --date 2026-06-07";
    let digest = succeed(&site, &format!("{dump} | {report} --format json --top 1000"));
    let digest: Value = serde_json::from_str(&digest).unwrap();
    let day = "outcome = 'failure' AND event_time >= '2026-06-07T00:00:00Z' \
               AND event_time < '2026-06-08T00:00:00Z'";
    // Rows of the list, in its order, as the client of the database writes them.
    let rows = |list: &str, columns: &[&str]| -> String {
        let cell = |row: &Value, column: &&str| match &row[column] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let line =
            |row: &Value| columns.iter().map(|c| cell(row, c)).collect::<Vec<_>>().join("\t");
        digest[list]["top"].as_array().unwrap().iter().map(|row| line(row) + "\n").collect()
    };
    let table = "maillogsentinel_events";
    for (list, columns, sql) in [
        (
            "servers",
            &["server", "addresses", "attempts"][..],
            format!(
                "SELECT server, count(DISTINCT ip), count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1"
            ),
        ),
        (
            "addresses",
            &["ip", "attempts"],
            format!(
                "SELECT host(ip), count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 2 DESC, host(ip) COLLATE \"C\""
            ),
        ),
        (
            "users",
            &["user", "attempts"],
            format!(
                "SELECT username, count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 2 DESC, username COLLATE \"C\""
            ),
        ),
        (
            "widespread_attackers",
            &["ip", "servers", "attempts"],
            format!(
                "SELECT host(ip), count(DISTINCT server), count(*) FROM {table} WHERE {day} GROUP BY 1 \
                 HAVING count(DISTINCT server) >= 5 ORDER BY 2 DESC, 3 DESC, host(ip) COLLATE \"C\""
            ),
        ),
    ] {
        assert_eq!(rows(list, columns), server.query(&sql), "{list}");
    }
    let attempts = server.query(&format!("SELECT count(*) FROM {table} WHERE {day}"));
    assert_eq!(digest["attempts"].to_string(), attempts.trim());
    assert_eq!(digest["users"]["exact"], true);
    let silent = rows("silent_servers", &["server", "last_attempt"]);
    assert_eq!(silent, "mx13\t2026-06-06T09:30:00+00:00\n");

    // The text names the silent server, and the attackers that were seen on ten servers or more.
    let text = succeed(&site, &format!("{dump} | {report} --title 'All servers'"));
    assert!(text.contains("What stands out: mx13 has been silent for 38 h; "), "{text}");
    let many = server.query(&format!(
        "SELECT host(ip) FROM {table} WHERE {day} GROUP BY 1 HAVING count(DISTINCT server) >= 10"
    ));
    let (_, section) = text.split_once("Attackers on many servers").unwrap();
    let (section, _) = section.split_once("\n\n").unwrap();
    assert!(!many.is_empty());
    for ip in many.lines() {
        assert!(section.contains(ip), "{ip}: {section}");
    }
    // One of the servers.
    let one = succeed(&site, &format!("{dump} | {report} --server mx05 --format json"));
    let one: Value = serde_json::from_str(&one).unwrap();
    let attempts =
        server.query(&format!("SELECT count(*) FROM {table} WHERE {day} AND server = 'mx05'"));
    assert_eq!(one["attempts"].to_string(), attempts.trim());
}

/// Waits until something is so. A fault of the test ends here, not in an endless wait.
fn wait_for(is_so: impl Fn() -> bool) {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(50));
    let is_so = |_| is_so() || (pause(), false).1;
    assert!((0..1200).any(is_so), "waited a minute in vain");
}
