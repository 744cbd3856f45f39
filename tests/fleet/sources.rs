//! Names of sources, and logs that must not be loaded twice.

use mls_tests::Site;
use mls_tests::servers::{Kind, Server};

pub(crate) fn pipeline(url: &str, source: &str, log: &str, flags: &str) -> String {
    // `mls-sql cursor` writes no rows, so it does not get the flag `--allow-duplicates`.
    let cursor_flags = flags.replace("--allow-duplicates", "");
    format!(
        "mls-tail --framed --cursor-file <(mls-sql cursor {cursor_flags} --url '{url}' --source {source}) {log} | \
         mls-parse | mls-sql load {flags} --url '{url}' --source {source}"
    )
}

#[test]
fn renamed_host_is_refused_until_its_source_is_renamed() {
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let (url, mut site) = (server.url(), Site::new());
        site.log(20);
        site.succeed(&pipeline(&url, "old", "mail.log", ""));
        let messages = site.fail(78, &pipeline(&url, "new", "mail.log", ""));
        assert!(messages.contains("run mls-sql rename-source old new"), "{messages}");
        let count =
            || server.query("SELECT source, count(*) FROM maillogsentinel_events GROUP BY source");
        assert_eq!(count(), "old\t20\n", "{kind:?}");
        site.succeed(&format!("mls-sql rename-source old new --url '{url}'"));
        site.log(5);
        site.succeed(&pipeline(&url, "new", "mail.log", ""));
        assert_eq!(count(), "new\t25\n", "{kind:?}");
        let messages = site.fail(65, &format!("mls-sql rename-source old other --url '{url}'"));
        assert!(messages.contains("there is no source old"), "{messages}");
        // A machine can load another log as another source. For the same log, this needs
        // `--allow-duplicates`.
        site.write("other.log", &format!("another first line\n{}", site.read("mail.log")));
        site.succeed(&pipeline(&url, "other", "other.log", ""));
        site.succeed(&pipeline(&url, "twice", "mail.log", "--allow-duplicates"));
        let messages = site.fail(65, &format!("mls-sql rename-source other new --url '{url}'"));
        assert!(messages.contains("source new exists already"), "{messages}");
    }
}

#[test]
fn source_that_disappears_while_it_is_renamed_is_reported_and_nothing_changes() {
    let (server, mut site) = (Server::new(Kind::Sqlite), Site::new());
    let url = server.url();
    site.log(3);
    site.succeed(&pipeline(&url, "old", "mail.log", ""));
    // The trigger prevents the update of the cursor, as if another run had just renamed the source.
    let _ = server.query(
        "CREATE TRIGGER late BEFORE UPDATE ON maillogsentinel_events_cursor \
         BEGIN SELECT RAISE(IGNORE); END",
    );
    let messages = site.fail(65, &format!("mls-sql rename-source old new --url '{url}'"));
    assert!(messages.contains("there is no source old"), "{messages}");
    let sources = server.query("SELECT DISTINCT source FROM maillogsentinel_events");
    assert_eq!(sources, "old\n");
}

#[test]
fn second_machine_under_one_name_is_refused_until_it_takes_the_source_over() {
    for kind in Kind::ALL {
        let server = Server::new(kind);
        let (url, mut site) = (server.url(), Site::new());
        site.log(20);
        site.succeed(&pipeline(&url, "mx1", "mail.log", ""));
        let _ = server.query("UPDATE maillogsentinel_events_cursor SET machine = 'another'");
        site.log(5);
        let messages = site.fail(78, &pipeline(&url, "mx1", "mail.log", ""));
        assert!(messages.contains("machine another has loaded source mx1"), "{messages}");
        let count = || server.count("maillogsentinel_events");
        assert_eq!(count(), 20, "{kind:?}");
        site.succeed(&pipeline(&url, "mx1", "mail.log", "--take-over"));
        site.succeed(&pipeline(&url, "mx1", "mail.log", ""));
        assert_eq!(count(), 25, "{kind:?}");
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
            site.succeed(&export);
            site.succeed(&format!("mls-sql import {table} --table {table} --url '{url}'"));
            let load =
                |flags| pipeline(&url, "mx1", "mail.log", &format!("--table {table} {flags}"));
            let messages = site.fail(78, &load(""));
            assert!(
                messages.contains("has rows without a committed position: from SQL files"),
                "{kind:?}: {messages}"
            );
            site.succeed(&load("--allow-duplicates"));
            assert_eq!(server.count(table), 6, "{kind:?}");
        }
        site.succeed(&pipeline(&url, "mx1", "mail.log", "--table other"));
    }
}

#[test]
fn files_are_not_imported_into_a_table_that_this_machine_has_loaded() {
    for kind in Kind::ALL {
        let (server, mut site) = (Server::new(kind), Site::new());
        let url = server.url();
        site.log(3);
        let export = format!("mls-sql export --dialect {} --dir sql", kind.dialect());
        site.succeed(&format!("mls-parse < mail.log | {export}"));
        site.succeed(&pipeline(&url, "mx1", "mail.log", ""));
        let import = format!("mls-sql import sql --url '{url}'");
        let messages = site.fail(78, &import);
        let why = "already in table maillogsentinel_events";
        assert!(messages.contains(why) && messages.contains("as source mx1."), "{messages}");
        let count = || server.count("maillogsentinel_events");
        assert_eq!(count(), 3, "{kind:?}");
        site.succeed(&format!("{import} --allow-duplicates"));
        assert_eq!(count(), 6, "{kind:?}");
        // All files were imported before, so the import adds no row.
        site.succeed(&import);
        // The import refuses `0.sql` and `z.sql`, because they are files of this machine. It
        // imports the file of another machine between them, because that file has other attempts.
        let another = "20260601_000000_mx9-00000000_000001_maillogsentinel_export.sql";
        site.succeed(&format!("cp sql/* {another}; cp {another} sql/0.sql"));
        site.succeed(&format!("cp {another} sql/; cp {another} sql/z.sql"));
        let messages = site.fail(78, &import);
        assert!(
            messages.contains("2 SQL files of this machine in sql (the first is 0.sql)"),
            "{messages}"
        );
        assert_eq!(count(), 9, "{kind:?}");
        site.succeed(&format!("rm sql/0.sql sql/z.sql; {import}"));
        let _ = server.query("UPDATE maillogsentinel_events_cursor SET machine = 'another'");
        site.succeed(&format!("mls-parse < mail.log | {export}; {import}"));
        assert_eq!(count(), 12, "{kind:?}");
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
        site.succeed(&format!(
            "tail -n 4 mail.log | mls-parse > records; \
                 unshare --mount --uts bash -c 'hostname mx; mount --bind id /etc/machine-id; \
                   {} mls-sql export --dir sql < records'",
            clock.replace('\'', "\"")
        ));
    }
    let names = site.succeed("ls sql");
    let names: Vec<_> = names.lines().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let without_machine = |name: &str| {
        let (time, rest) = name.split_once("_mx-").unwrap();
        (time.to_owned(), rest[8..].to_owned())
    };
    assert_eq!(without_machine(names[0]), without_machine(names[1]));
    site.succeed("mls-sql import sql --url sqlite:events.db");
    assert_eq!(site.succeed("mls-sql dump --url sqlite:events.db").lines().count(), 4);
}
