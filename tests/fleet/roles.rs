//! The role of each server: what it may do, and how it logs in.

use std::process::Stdio;

use mls_tests::servers::{Kind, Server, make_certificates};
use mls_tests::stolen::assert_powerless;
use mls_tests::{Site, text};

use crate::sources::pipeline;

#[test]
fn stolen_server_of_a_fleet_can_neither_read_nor_change_nor_forge() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let schema = site.succeed("mls-sql schema --fleet --dialect postgresql");
    let _ = server.query(&schema);
    // The statements can run twice.
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
        site.succeed(&pipeline(&url(role), role, "mail.log", ""));
        site.log(5);
        site.succeed(&pipeline(&url(role), role, "mail.log", ""));
    }
    let rows =
        "SELECT loaded_by, source, count(*) FROM maillogsentinel_events GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(server.query(rows), "mx1\tmx1\t25\nmx2\tmx2\t25\n");
    // The role `digest` reads all rows. The role of a server reads no row.
    let dump = |role: &str| format!("mls-sql dump --url '{}'", url(role));
    assert_eq!(site.succeed(&dump("digest")).lines().count(), 50);
    let messages = site.fail(78, &dump("mx1"));
    assert!(messages.contains("permission denied for table maillogsentinel_events"), "{messages}");
    assert!(messages.contains("mls-sql schema --fleet prints the grants"), "{messages}");
    let as_mx1 = |sql: &str| server.client("mls").args([sql, "-U", "mx1"]).output().unwrap();
    assert_powerless(as_mx1, "mx1", "mx2");
    // The function that creates partitions runs with the rights of the table owner. A role can make
    // views with the names of catalog tables. The function must not use these views.
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
    // The role mx1 can use the source name `mx2`. The rows of the role mx2 must not change.
    let mut thief = Site::new();
    thief.log(3);
    thief.succeed(&pipeline(&url("mx1"), "mx2", "mail.log", ""));
    let all = format!("{rows}, 2");
    assert_eq!(server.query(&all), "mx1\tmx1\t25\nmx1\tmx2\t3\nmx2\tmx2\t25\n");
    let by_rows =
        "SELECT loaded_by, source, loaded_rows FROM maillogsentinel_events_cursor ORDER BY 1, 2";
    assert_eq!(server.query(by_rows), "mx1\tmx1\t25\nmx1\tmx2\t3\nmx2\tmx2\t25\n");
    // The role of a server cannot rename a source. The owner must say whose `mx2` is renamed.
    let rename = |role: &str, flags: &str| {
        format!("mls-sql rename-source mx2 new --url '{}' {flags}", url(role))
    };
    let messages = site.fail(78, &rename("mx1", ""));
    assert!(messages.contains("permission denied"), "{messages}");
    let messages = site.fail(65, &rename("mls", ""));
    assert!(messages.contains("several users have a source mx2: mx1, mx2; name one"), "{messages}");
    let messages = site.fail(65, &rename("mls", "--loaded-by mx3"));
    assert!(messages.contains("there is no source mx2 loaded by mx3"), "{messages}");
    // The thief also uses the name `new`. This must not stop the rename.
    thief.succeed(&pipeline(&url("mx1"), "new", "mail.log", "--allow-duplicates"));
    site.succeed(&rename("mls", "--loaded-by mx2"));
    let expected = "mx1\tmx1\t25\nmx1\tmx2\t3\nmx1\tnew\t3\nmx2\tnew\t25\n";
    assert_eq!(server.query(&all), expected);
    assert_eq!(server.query(by_rows), expected);
    // The role cannot see the rows of other machines.
    let output = as_mx1("SELECT * FROM maillogsentinel_events_of_machine('0123456789abcdef')");
    assert_eq!((output.status.success(), text(&output.stdout)), (true, String::new()));
}

#[test]
fn server_with_a_new_role_does_not_load_its_log_again() {
    let (mut site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&site.succeed("mls-sql schema --fleet --dialect postgresql"));
    let _ = server.query(
        "CREATE ROLE old LOGIN IN ROLE maillogsentinel_events_loader; \
         CREATE ROLE new LOGIN IN ROLE maillogsentinel_events_loader",
    );
    let url = |role: &str| server.url().replacen("mls@", &format!("{role}@"), 1);
    site.log(20);
    site.succeed(&pipeline(&url("old"), "mx1", "mail.log", ""));
    let messages = site.fail(78, &pipeline(&url("new"), "mx1", "mail.log", ""));
    let cure = "UPDATE maillogsentinel_events_cursor SET loaded_by = 'NEW USER' WHERE source = 'mx1' AND loaded_by = 'old'";
    assert!(messages.contains(cure), "{messages}");
    let messages = site.fail(78, &pipeline(&url("new"), "mx2", "mail.log", ""));
    assert!(messages.contains("run mls-sql rename-source mx1 mx2"), "{messages}");
    let _ = server.query(&cure.replace("NEW USER", "new"));
    site.log(5);
    site.succeed(&pipeline(&url("new"), "mx1", "mail.log", ""));
    let rows = "SELECT loaded_by, count(*) FROM maillogsentinel_events GROUP BY 1 ORDER BY 1";
    assert_eq!(server.query(rows), "new\t5\nold\t20\n");
}

#[test]
fn role_that_holds_the_lock_of_a_month_is_named_and_delays_no_other_month() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&site.succeed("mls-sql schema --fleet --dialect postgresql"));
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
    site.succeed(&load("now"));
    let messages = site.fail(75, &load("old"));
    let why = "partition maillogsentinel_events_2001_02 cannot be created while a transaction of another role holds a lock: thief (pid ";
    assert!(messages.contains(why), "{messages}");
    thief.kill().unwrap();
    thief.wait().unwrap();
    let _ = server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    );
    wait_for(|| server.query(sleeps).trim() == "0");
    site.succeed(&load("old"));
    assert_eq!(server.count("maillogsentinel_events"), 2);
}

#[test]
fn error_of_the_table_of_cursors_is_not_called_another_pipeline() {
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        let (server, mut site) = (Server::new(kind), Site::new());
        site.log(3);
        site.succeed(&pipeline(&server.url(), "mx1", "mail.log", ""));
        let _ = server.query(
            "ALTER TABLE maillogsentinel_events_cursor ADD CONSTRAINT few CHECK (loaded_rows < 4)",
        );
        site.log(3);
        let messages = site.fail(65, &pipeline(&server.url(), "mx1", "mail.log", ""));
        assert!(messages.contains("moving the position in"), "{kind:?}: {messages}");
        assert!(messages.contains("few"), "{kind:?}: {messages}");
        assert!(!messages.contains("another pipeline"), "{kind:?}: {messages}");
    }
}

#[test]
fn server_shows_a_certificate_and_gets_the_role_of_its_name() {
    let (mut site, mut server) = (Site::new(), Server::new(Kind::Postgresql));
    let _ = server.query(&site.succeed("mls-sql schema --fleet --dialect postgresql"));
    let _ = server.query("CREATE ROLE mx1 LOGIN IN ROLE maillogsentinel_events_loader");
    let names = ["localhost", "mx1", "mx2"].map(str::to_owned);
    site.succeed(&make_certificates(&names));
    let flags = server.ask_for_certificates(site.path(), &names[1..]);
    server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    site.log(20);
    let url = |name: &str| {
        format!(
            "postgres://mx1@localhost:{}/mls?sslmode=verify-full&sslrootcert=ca.pem&sslcert={name}.pem&sslkey={name}.key",
            server.port()
        )
    };
    site.succeed(&pipeline(&url("mx1"), "mx1", "mail.log", ""));
    let rows = "SELECT loaded_by, count(*) FROM maillogsentinel_events GROUP BY 1";
    assert_eq!(server.query(rows), "mx1\t20\n");
    // The database refuses the certificate of another server, and a connection without a
    // certificate.
    let load = |url: &str| format!("mls-parse < mail.log | mls-sql load --url '{url}'");
    let messages = site.fail(77, &load(&url("mx2")));
    let refused = |role: &str| format!("certificate authentication failed for user \"{role}\"");
    assert!(messages.contains(&refused("mx1")), "{messages}");
    let (without, _) =
        url("mx1").split_once("&sslcert").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let messages = site.fail(77, &load(&without));
    assert!(messages.contains("certificate"), "{messages}");
    assert_eq!(server.query(rows), "mx1\t20\n");
    // The configuration can name the same certificate.
    let conf = format!(
        "[database]\ndb_type = postgresql\nmode = load\nsource = mx1\ndb_host = localhost\ndb_port = {}\ndb_name = mls\n\
         db_user = mx1\nssl_root = ca.pem\nssl_cert = mx1.pem\nssl_key = mx1.key\n",
        server.port()
    );
    site.write("conf", &conf);
    let status = "mls-sql status --config conf";
    assert!(site.succeed(status).contains("source: mx1\nrows: 20\n"));
    // mx2.pem is not the authority that signed the certificate of the database server.
    site.write("wrong", &conf.replace("= ca.pem", "= mx2.pem"));
    let messages = site.fail(69, "mls-sql status --config wrong");
    assert!(messages.contains("certificate"), "{messages}");
    site.write("wrong", &conf.replace("mx1.key", "").replace("ssl_key = ", ""));
    let messages = site.fail(78, "mls-sql status --config wrong");
    assert!(messages.contains("ssl_cert and ssl_key belong together"), "{messages}");
    site.succeed("chmod 644 mx1.key");
    let messages = site.fail(77, status);
    assert!(messages.contains("everybody may read ssl_key mx1.key (mode 0644)"), "{messages}");
}

/// Waits until the condition is true. Panics after a minute.
fn wait_for(is_so: impl Fn() -> bool) {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(50));
    let is_so = |_| is_so() || (pause(), false).1;
    assert!((0..1200).any(is_so), "waited a minute in vain");
}
