//! The front end loads rows into a database.

use mls_tests::text;

use crate::site::Front;

#[test]
fn rows_go_through_sql_files_into_a_database_once_and_starting_over_names_those_that_did_not() {
    let mut front =
        Front::new("conf", "[database]\ndb_type = sqlite\n[retention]\nsql_files_days = 1");
    let count = |front: &Front| {
        let output = front.site.shell(
            "sqlite3 state/maillogsentinel.db 'SELECT count(*) FROM maillogsentinel_events'",
        );
        text(&output.stdout).trim().to_owned()
    };
    for n in [3, 2] {
        front.site.log(n);
        front.succeeds(&[]);
        front.succeeds(&["--sql-export"]);
        front.succeeds(&["--sql-import"]);
        front.succeeds(&["--sql-export"]);
        front.succeeds(&["--sql-import"]);
    }
    assert_eq!((count(&front), front.site.files("sql").len()), ("5".into(), 1));
    // A file is not removed before it is imported.
    front.site.log(4);
    front.succeeds(&[]);
    assert!(front.succeeds(&["--status"]).contains("not exported yet: 4"));
    front.succeeds(&["--sql-export"]);
    assert!(front.site.shell("touch --date='3 days ago' sql/*.sql").status.success());
    assert_eq!(front.succeeds(&["--prune"]).matches("removed ").count(), 3);
    assert_eq!(count(&front), "9");
    front.site.log(1);
    front.succeeds(&[]);
    let said = front.succeeds(&["--yes", "--purge"]);
    assert!(said.contains("Not exported as SQL yet: 1 row. "), "{said}");
    assert_eq!(front.archive(), ["F", "sql_state.offset", "state.offset", "x.log"]);
}

#[test]
fn attempts_are_loaded_from_the_log_and_status_shows_the_progress() {
    let mut front = Front::new(
        "conf",
        "[database]\ndb_type = sqlite\nmode = load\nsource = mx1\n[retention]\ndatabase_days = 9000\n[logins]\nrecord = no",
    );
    let count = |front: &Front| {
        let output = front.site.shell(
            "sqlite3 state/maillogsentinel.db 'SELECT count(*) FROM maillogsentinel_events'",
        );
        text(&output.stdout).trim().to_owned()
    };
    let status = |front: &Front| text(&front.run(&["--status"]).stdout);
    front.site.log(3);
    let said = status(&front);
    assert!(said.contains("it does not exist yet; mls-sql load creates it, source mx1: 0 rows, last commit: none yet"), "{said}");
    assert!(said.contains("not loaded yet: 3\n"), "{said}");
    for _ in 0..2 {
        front.succeeds(&[]);
    }
    assert_eq!(count(&front), "3");
    front.site.log(2);
    let said = status(&front);
    assert!(said.contains(", source mx1: 3 rows, last commit: 20"), "{said}");
    assert!(said.contains("not loaded yet: 2\n"), "{said}");
    let said = text(&front.run(&["--status", "--json"]).stdout);
    assert!(said.contains(",\"loaded\":3,\"not_loaded\":2,\"last_load\":\"20"), "{said}");
    let output = front.run(&["--sql-export"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    front.succeeds(&["--prune"]);
    let said = front.succeeds(&["--yes", "--purge"]);
    assert!(said.contains("The database keeps its rows and its position in the log"), "{said}");
    front.succeeds(&[]);
    assert_eq!(count(&front), "5");
    // Now the rows are older than `[retention]` allows.
    let conf = front.site.read("conf").replace("9000", "1");
    front.site.write("conf", &conf);
    let said = text(&front.run(&["--prune"]).stderr);
    assert!(said.contains("removed 5 rows from table maillogsentinel_events"), "{said}");
    assert_eq!(count(&front), "0");
    front.site.write("state/maillogsentinel.db", "no database");
    let said = status(&front);
    assert!(said.contains("the database cannot be used: "), "{said}");
    assert!(said.contains("file is not a database"), "{said}");
}
