//! Tests with real databases. The same events must give the same table in each database, for any
//! text in the events. This is true for `load`, and for `export` with `import`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod import;
mod refused_logins;
mod refused_rows;
mod same_table;

use std::collections::BTreeSet;

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};

#[test]
fn a_database_file_with_a_name_like_a_uri_is_opened_as_a_file() {
    let mut site = Site::new();
    site.log(3);
    let load = "mls-parse < mail.log | mls-sql load --url 'sqlite:./file:x.db?mode=memory'";
    site.fail(64, &load.replace("./", ""));
    assert_eq!(site.files("file:"), [""; 0]);
    site.succeed(load);
    let count = "sqlite3 './file:x.db?mode=memory' 'SELECT count(*) FROM maillogsentinel_events'";
    assert_eq!(text(&site.shell(count).stdout).trim(), "3");
}

/// The first load drops the indexes, loads the rows, and creates the indexes again.
#[test]
fn a_first_load_leaves_the_indexes_of_the_schema() {
    let mut site = Site::new();
    site.log(3);
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let columns = match kind {
            Kind::Sqlite => "name FROM sqlite_master WHERE type = 'index' AND tbl_name",
            Kind::Postgresql => "indexname FROM pg_indexes WHERE tablename",
            Kind::Mariadb => {
                "DISTINCT index_name FROM information_schema.statistics WHERE table_name"
            }
        };
        let indexes = || {
            let found = server.query(&format!("SELECT {columns} = 'maillogsentinel_events'"));
            found.lines().filter(|name| !name.contains("pkey")).map(str::to_owned).collect()
        };
        let load = format!("mls-sql load --url '{}'", server.url());
        site.succeed(&format!("{load} < /dev/null"));
        let empty: BTreeSet<String> = indexes();
        assert!(empty.contains("maillogsentinel_events_ip"), "{empty:?}");
        let _ = server.query("DROP TABLE maillogsentinel_events");
        site.succeed(&format!("mls-parse < mail.log | {load}"));
        assert_eq!(indexes(), empty, "{kind:?}");
        assert_eq!(server.count("maillogsentinel_events"), 3);
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
        assert!(site.fail(78, &load).contains("the Python original created table"));
        let _ = server.query("DROP TABLE maillogsentinel_events");
        let _ = server.query("CREATE TABLE maillogsentinel_events (id INT, server VARCHAR(9))");
        assert!(site.fail(78, &load).contains(
            "does not have every column of the mapping (missing: event_time, ip, username"
        ));
        let _ = server.query("DROP TABLE maillogsentinel_events");
        if kind == Kind::Mariadb {
            let _ = server.query(
                "CREATE TABLE maillogsentinel_events (server TEXT, event_time DATETIME(6), ip TEXT, username TEXT, hostname TEXT, \
                 reverse_dns_status TEXT, country_code TEXT, asn INT, aso TEXT, source VARCHAR(255), pos VARCHAR(64), \
                 outcome VARCHAR(16), service TEXT, mechanism TEXT, reason TEXT, client TEXT, port INT) ENGINE=MyISAM",
            );
            assert!(site.fail(78, &load).contains("maillogsentinel_events (MyISAM)"));
            let _ = server.query("DROP TABLE maillogsentinel_events");
        }
        site.succeed(&load);
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
        site.succeed(&load);
        let rows = server.query(
            "SELECT count(*) FROM maillogsentinel_events WHERE asn_int IS NULL AND asn_varchar IS NULL",
        );
        assert_eq!(rows.trim(), "2", "{kind:?}");
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
    site.succeed(certificates);
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
    site.succeed(&load("ca.pem", "mls-sql load --password-file password"));
    site.succeed(&load("ca.pem", "mls-sql load --password-file <(echo 'open sesame')"));
    assert_eq!(server.count("maillogsentinel_events"), 2);
    let said = site.fail(77, &load("ca.pem", "mls-sql load --password-file wrong"));
    assert!(said.contains("password authentication failed") && !said.contains("sesame"), "{said}");
    let said = site.fail(69, &load("other.pem", "mls-sql load --password-file password"));
    assert!(said.contains("certificate"), "{said}");
    assert!(site.shell("chmod 644 password").status.success());
    let said = site.fail(77, &load("ca.pem", "mls-sql load --password-file password"));
    assert!(said.contains("everybody may read --password-file"), "{said}");
    // A configuration file works too. A server on `localhost` needs no trusted certificate.
    assert!(site.shell("chmod 600 password").status.success());
    site.write(
        "conf",
        &format!(
            "[database]\ndb_type = postgresql\ndb_host = localhost\ndb_port = {}\ndb_name = mls\ndb_user = guarded\n\
             db_password_file = password\ntable_name = configured\n",
            server.port()
        ),
    );
    site.succeed("mls-parse < mail.log | mls-sql load --config conf");
    assert_eq!(server.count("configured"), 1);
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
            site.succeed(&pipeline("mx1"));
            site.succeed(&pipeline("mx2"));
        }
        assert_eq!(server.count("maillogsentinel_events"), 40, "{kind:?}");
        assert_eq!(
            server
                .query("SELECT source, sequence FROM maillogsentinel_events_cursor ORDER BY source")
                .trim(),
            "mx1\t1\nmx2\t1"
        );
        // Another pipeline has committed, so a pipeline from an old position must fail.
        let stale = format!(
            "mls-tail --framed --cursor-file <(true) mx1.log | mls-parse | {sql} --source mx1"
        );
        let said = site.fail(75, &stale);
        assert!(said.contains("If another pipeline has committed"), "{said}");
        assert!(said.contains("commit 0, but source mx1 in "), "{said}");
        assert_eq!(server.count("maillogsentinel_events"), 40, "{kind:?}");
    }
}

#[test]
fn queries_of_the_guide_run_in_postgresql() {
    let server = Server::new(Kind::Postgresql);
    let mut site = Site::new();
    site.log(30);
    site.succeed(&format!("mls-parse < mail.log | mls-sql load --url '{}'", server.url()));
    let queries: Vec<&str> = include_str!("../../crates/GUIDE.md")
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
        site.succeed(&format!(
            "mls-parse < mail.log > events; mls-sql export --dir sql < events; mls-sql {command}"
        ));
    }
    assert_eq!((site.files("one.db-"), site.files("two.db-")), (vec![], vec![]));
    for name in ["one.db", "two.db"] {
        let rows =
            site.shell(&format!("sqlite3 {name} 'SELECT count(*) FROM maillogsentinel_events'"));
        assert_ne!(text(&rows.stdout).trim(), "0", "{name}");
    }
}
