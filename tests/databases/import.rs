//! `mls-sql import` runs each file once, and a file that fails changes nothing.

use std::process::{Command, Stdio};

use mls_tests::Site;
use mls_tests::servers::{Kind, Server};

const INSERT: &str =
    "INSERT INTO maillogsentinel_events (event_time, username) VALUES ('2026-01-01 00:00:00', 'a')";

#[test]
fn a_failing_file_changes_nothing_and_a_changed_file_is_refused() {
    let site = Site::new();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        let count = || server.count("maillogsentinel_events");
        std::fs::create_dir_all(site.path().join("sql")).unwrap();
        site.write("sql/1.sql", &format!("BEGIN;\n{INSERT};\nCOMMIT;\n"));
        site.write(
            "sql/2.sql",
            &format!("{INSERT};\n{INSERT};\n\nINSERT INTO nowhere VALUES (1);\n"),
        );
        site.write("sql/3.sql", &format!("{INSERT};\n"));
        site.write("sql/.4.sql", "nonsense\n");
        site.write("sql/5.sql.part", "nonsense\n");
        let said = site.fail(65, &import);
        assert!(
            said.contains("sql/2.sql: statement 3 (line 4: INSERT INTO nowhere VALUES (1))"),
            "{said}"
        );
        assert_eq!(count(), 1, "{kind:?}");
        // Correct the file.
        site.write("sql/2.sql", &format!("{INSERT};\n{INSERT};\n"));
        site.succeed(&import);
        site.succeed(&import);
        assert_eq!(count(), 4, "{kind:?}");
        site.append("sql/1.sql", "-- changed\n");
        let said = site.fail(65, &import);
        assert!(said.contains("sql/1.sql has changed since it was imported"), "{said}");
        assert_eq!(count(), 4, "{kind:?}");
        std::fs::remove_file(site.path().join("sql/1.sql")).unwrap();
        site.succeed(&import);
        // MariaDB and MySQL cannot roll back CREATE TABLE, so the import refuses the file.
        site.write("sql/6.sql", "CREATE TABLE beside (a INT);\nINSERT INTO beside VALUES (1);\n");
        if kind == Kind::Mariadb {
            let said = site.fail(65, &import);
            assert!(
                said.contains("sql/6.sql")
                    && said.contains("statement 1 (line 1: CREATE TABLE beside (a INT))"),
                "{said}"
            );
        } else {
            site.succeed(&import);
            assert_eq!(server.query("SELECT a FROM beside").trim(), "1");
        }
        if kind == Kind::Postgresql {
            site.write(
                "sql/7.sql",
                "CREATE TYPE kind AS ENUM ('a');\nSELECT 'a'::kind;\nSELECT 'a'::kind;\nDROP TYPE kind;\n",
            );
            site.succeed(&import);
            // An import has no value for the placeholder `$1`.
            site.write("sql/8.sql", "SELECT $1 + 1;\n");
            let said = site.fail(65, &import);
            assert!(said.contains("parameters"), "{said}");
        }
        std::fs::remove_dir_all(site.path().join("sql")).unwrap();
    }
}

#[test]
fn a_file_with_a_nul_byte_is_refused_and_changes_nothing() {
    let site = Site::new();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("timeout 60 mls-sql import sql --url '{}'", server.url());
        site.write("sql/1.sql", &format!("{INSERT};\n{INSERT}\0;\n"));
        let said = site.fail(65, &import);
        assert!(said.contains("sql/1.sql: line 2: a NUL byte"), "{said}");
        site.write("sql/1.sql", &format!("{INSERT};\n"));
        site.succeed(&import);
        assert_eq!(server.count("maillogsentinel_events"), 1, "{kind:?}");
    }
}

#[test]
fn a_commit_after_a_byte_order_mark_commits_nothing() {
    let site = Site::new();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        let count = || server.count("maillogsentinel_events");
        site.write(
            "sql/1.sql",
            &format!("{INSERT};\n\u{feff}COMMIT;\nINSERT INTO nosuch VALUES (1);\n"),
        );
        let said = site.fail(65, &import);
        assert_eq!(count(), 0, "{kind:?}");
        assert!(said.contains("sql/1.sql: line 2: a byte order mark"), "{said}");
        // Some editors write a byte order mark at the beginning of a file, so it is allowed there.
        site.write("sql/1.sql", &format!("\u{feff}BEGIN;\n{INSERT};\nCOMMIT;\n"));
        site.succeed(&import);
        assert_eq!(count(), 1, "{kind:?}");
    }
}

/// A file of `pg_dump` sets an empty `search_path`: the next file would find no table.
#[test]
fn session_settings_of_a_file_end_with_the_file() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let path = "SELECT pg_catalog.set_config('search_path', '', false);";
    site.write(
        "sql/1.sql",
        &format!(
            "SET standard_conforming_strings = off;\n{path}\nCREATE TABLE public.t (a text);\n"
        ),
    );
    // `tcp_keepalives_idle` is set by mls-sql, so the reset must not change it.
    let insert = r"INSERT INTO t VALUES ('\'), (current_setting('tcp_keepalives_idle'));";
    site.write("sql/2.sql", insert);
    site.succeed(&format!("mls-sql import sql --url '{}'", server.url()));
    assert_eq!(server.query("SELECT a FROM t"), "\\\n30\n");
}

/// Here `begin` is a name, but the splitter takes it for a block. So it does not see the COMMIT.
#[test]
fn a_file_that_ends_its_transaction_unseen_by_the_splitter_is_refused_and_changes_nothing() {
    let site = Site::new();
    let trigger = "CREATE TABLE t (\"begin\" INT); CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM t WHERE begin; END;";
    let function = "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql AS 'SELECT 1';";
    for (kind, head) in [(Kind::Sqlite, trigger), (Kind::Postgresql, function)] {
        let server = Server::new(kind);
        let import = format!("mls-sql import sql --url '{}'", server.url());
        for end in ["COMMIT", "COMMIT; BEGIN", "ROLLBACK", "ROLLBACK; BEGIN"] {
            for (name, sql) in [
                ("1", format!("{INSERT}; {head} {end};\n{INSERT};\n")),
                ("2", format!("{INSERT}; {head} {end};")),
            ] {
                site.write(&format!("sql/{name}.sql"), &sql);
                let said = site.fail(65, &import);
                assert!(said.contains(&format!("{name}.sql")), "{said}");
                for table in ["maillogsentinel_events", "maillogsentinel_events_imports"] {
                    assert_eq!(server.count(table), 0, "{kind:?} {sql}");
                }
                std::fs::remove_file(site.path().join(format!("sql/{name}.sql"))).unwrap();
            }
        }
        site.write("sql/3.sql", &format!("{INSERT};\n{INSERT};\n"));
        site.succeed(&import);
        assert_eq!(server.count("maillogsentinel_events"), 2, "{kind:?}");
    }
}

#[test]
fn of_two_imports_at_once_one_exits_75() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("sql")).unwrap();
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let key = "mls-sql import maillogsentinel_events";
        // This process holds the lock until its standard input is closed.
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
        let said = site.fail(75, &import);
        assert!(said.contains("try again later"), "{said}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        site.succeed(&import);
    }
}
