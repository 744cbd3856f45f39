use super::*;

fn split(sql: &str, dialect: Dialect) -> anyhow::Result<Vec<String>> {
    let allowed = if dialect == Dialect::Mysql { Allowed::Inserts } else { Allowed::All };
    let mut statements = Statements::new(sql.as_bytes(), dialect, allowed);
    let mut texts = Vec::new();
    while let Some(statement) = statements.next()? {
        texts.push(statement.text.to_owned());
    }
    Ok(texts)
}

#[test]
fn semicolon_in_quotes_or_comments_does_not_end_a_statement() {
    let sql = "\u{feff}BEGIN;\nINSERT INTO t VALUES ('a;''b');-- c;d\n/* e;f */ INSERT INTO \"x;y\" VALUES (1) ; ;\nCOMMIT;\n";
    for dialect in [Dialect::Sqlite, Dialect::Postgresql] {
        assert_eq!(
            split(sql, dialect).unwrap(),
            ["INSERT INTO t VALUES ('a;''b')", "INSERT INTO \"x;y\" VALUES (1) "]
        );
    }
}

#[test]
fn backslash_escapes_a_quote_only_in_dialects_that_say_so() {
    let sql = r"INSERT INTO t VALUES ('a\'); INSERT INTO t VALUES ('b');";
    assert_eq!(split(sql, Dialect::Sqlite).unwrap().len(), 2);
    assert_eq!(split(sql, Dialect::Postgresql).unwrap().len(), 2);
    assert!(split(sql, Dialect::Mysql).is_err());
    assert_eq!(split(r"INSERT INTO t VALUES (E'a\'; b');", Dialect::Postgresql).unwrap().len(), 1);
    assert_eq!(split(r"INSERT INTO t VALUES ('a\'; b');", Dialect::Mysql).unwrap().len(), 1);
}

#[test]
fn removing_a_comment_does_not_turn_minus_signs_into_a_comment() {
    for comment in ["#x\n", "/*x*/", "-- x\n"] {
        let sql = format!("INSERT INTO t VALUES (1 --{comment}2);");
        assert!(split(&sql, Dialect::Mysql).is_err(), "{sql}");
        let sql = format!("INSERT INTO t VALUES (1 - {comment}2);");
        assert_eq!(split(&sql, Dialect::Mysql).unwrap(), ["INSERT INTO t VALUES (1 -  2)"]);
    }
    assert!(split("INSERT INTO t SELECT 1 --;", Dialect::Mysql).is_err());
}

#[test]
fn body_of_a_trigger_or_function_is_one_statement() {
    let trigger = "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = CASE WHEN 1 THEN 2 END; DELETE FROM u; END; SELECT 1;";
    assert_eq!(split(trigger, Dialect::Sqlite).unwrap().len(), 2);
    assert_eq!(split(&format!("\u{feff}{trigger}"), Dialect::Sqlite).unwrap().len(), 2);
    assert_eq!(split(&trigger.replace("CREATE", "CREATE TEMP"), Dialect::Sqlite).unwrap().len(), 2);
    let procedure =
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC DELETE FROM t; DELETE FROM u; END; SELECT 1;";
    assert_eq!(split(procedure, Dialect::Postgresql).unwrap().len(), 2);
    assert_eq!(
        split("CREATE TABLE function (begin INT); SELECT 1;", Dialect::Sqlite).unwrap().len(),
        2
    );
    let function =
        "CREATE FUNCTION f() RETURNS int AS $x$ SELECT 1; $y$; $x$ LANGUAGE sql; SELECT $1;";
    assert_eq!(split(function, Dialect::Postgresql).unwrap().len(), 2);
    let long = format!("-- {}\nSELECT $x$ ; $a$ ; $x$;", "x".repeat(65_520));
    let mut statements = Statements::new(
        std::io::BufReader::with_capacity(65_536, long.as_bytes()),
        Dialect::Postgresql,
        Allowed::All,
    );
    assert!(statements.next().unwrap().is_some() && statements.next().unwrap().is_none());
    assert_eq!(split("SELECT $a$a$a$; SELECT 2;", Dialect::Postgresql).unwrap().len(), 2);
    assert_eq!(split("SELECT [a'b]; SELECT 2;", Dialect::Sqlite).unwrap().len(), 2);
    assert_eq!(split("-- a\rSELECT 1;", Dialect::Postgresql).unwrap(), ["SELECT 1"]);
    assert_eq!(split("-- a\rSELECT 1;", Dialect::Sqlite).unwrap(), [""; 0]);
    assert_eq!(split("/* a /* b; */ c; */ SELECT 1;", Dialect::Postgresql).unwrap(), ["SELECT 1"]);
}

#[test]
fn statements_that_a_transaction_cannot_undo_are_refused_with_their_lines() {
    for (sql, dialect, why) in [
        (
            "INSERT INTO t VALUES (1);\nDROP TABLE t;",
            Dialect::Mysql,
            "statement 2 (line 2: DROP TABLE t): a file for MySQL may",
        ),
        ("INSERT INTO t VALUES (1) /*!50000 , (2) */;", Dialect::Mysql, "line 1: MySQL would run"),
        (
            "COMMIT; INSERT INTO t VALUES (1);",
            Dialect::Sqlite,
            "statement 2 (line 1: INSERT INTO t VALUES (1)) comes after",
        ),
        (
            "SELECT 1; ROLLBACK;",
            Dialect::Postgresql,
            "statement 2 (line 1: ROLLBACK): a file is one transaction",
        ),
        ("SELECT 1; BEGIN;", Dialect::Sqlite, "statement 2 (line 1: BEGIN): a file is one"),
        (
            "COPY t FROM stdin;",
            Dialect::Postgresql,
            "statement 1 (line 1: COPY t FROM stdin): the rows of COPY",
        ),
        (
            "INSERT INTO t VALUES ('a",
            Dialect::Sqlite,
            "the file ends within the statement that begins in line 1",
        ),
    ] {
        let error = split(sql, dialect).unwrap_err();
        assert!(format!("{error:#}").starts_with(why), "{error:#}");
    }
}

#[test]
fn nul_byte_is_refused_everywhere() {
    for end in ["INSERT\0 2;", "INSERT '\0';", "-- \0", "/*\0*/", "\0"] {
        let sql = format!("INSERT 1;\n{end}");
        for dialect in [Dialect::Sqlite, Dialect::Postgresql, Dialect::Mysql] {
            let error = split(&sql, dialect).unwrap_err();
            assert!(
                error.to_string().starts_with("line 2: a NUL byte"),
                "{dialect:?} {sql:?}: {error:#}"
            );
        }
    }
}

#[test]
fn byte_order_mark_cannot_hide_a_statement() {
    for dialect in [Dialect::Sqlite, Dialect::Postgresql, Dialect::Mysql] {
        for sql in [
            "INSERT INTO t VALUES (1);\n\u{feff}COMMIT;\nINSERT INTO nosuch VALUES (1);",
            "INSERT INTO t VALUES (1);\nCOMMIT \u{feff};",
            "INSERT INTO t\n\u{feff}VALUES (1);",
            "INSERT INTO \"t\"\n\u{feff}VALUES (1);",
        ] {
            let error = split(sql, dialect).unwrap_err();
            assert!(
                error.to_string().starts_with("line 2: a byte order mark"),
                "{dialect:?} {sql:?}: {error:#}"
            );
        }
        // Inside a text or a comment, U+FEFF is an ordinary character.
        let sql = "\u{feff}INSERT INTO t VALUES ('\u{feff}'); -- \u{feff}\n/* \u{feff} */ INSERT INTO t VALUES (1);";
        let texts = ["INSERT INTO t VALUES ('\u{feff}')", "INSERT INTO t VALUES (1)"];
        assert_eq!(split(sql, dialect).unwrap(), texts);
    }
    let trigger = "CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u;\n\u{feff}END; COMMIT;";
    assert!(
        split(trigger, Dialect::Sqlite)
            .unwrap_err()
            .to_string()
            .starts_with("line 2: a byte order mark")
    );
}

#[test]
fn blanks_and_comments_alone_are_not_a_statement() {
    for sql in ["", "\n \n", "-- x", "/* x */;;", "BEGIN; COMMIT;"] {
        assert_eq!(split(sql, Dialect::Sqlite).unwrap(), [""; 0], "{sql:?}");
    }
}
