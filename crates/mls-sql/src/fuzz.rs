//! The checks of `tests/fuzz`. Each function gets any bytes, and panics if a check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use mls_event::{Auth, Outcome, Timestamp, clean};

use crate::dialect::Dialect;
use crate::mapping::Mapping;
use crate::row_encoder::{RowEncoder, RowFormat};
use crate::statements::{Allowed, Statements};

const DIALECTS: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgresql, Dialect::Mysql];

fn split(text: &[u8], dialect: Dialect) -> anyhow::Result<Vec<String>> {
    let mut statements = Statements::new(text, dialect, Allowed::All);
    let mut texts = Vec::new();
    while let Some(statement) = statements.next()? {
        let _ = statement.place();
        texts.push(statement.text.to_owned());
    }
    Ok(texts)
}

/// Splits an SQL file. Splitting one of its statements again must return the same statement.
pub fn statements(text: &[u8]) {
    for dialect in DIALECTS {
        for statement in split(text, dialect).unwrap_or_default() {
            // A vertical tab counts as text, because not all servers read it as a blank.
            assert!(!statement.trim_ascii().is_empty() && !statement.contains('\0'));
            let again = split(statement.as_bytes(), dialect).expect("a statement");
            assert_eq!(again, [statement], "{dialect:?}");
        }
    }
}

/// Checks that a name and the text of a client stay inside their quotes, and that one event becomes
/// one row.
pub fn literals(bytes: &[u8]) {
    let text = clean(bytes);
    let date = Timestamp::parse("2026-06-01T00:00:45Z").expect("a time");
    let mut event = Auth::new(date, Outcome::Failure);
    event.user = Some(text.as_ref().into());
    for dialect in DIALECTS {
        let insert = format!("INSERT INTO {} VALUES ", dialect.name(&text));
        let mapping = Mapping::built_in(dialect);
        let mut rows = RowEncoder::new(RowFormat::Values(dialect), &mapping, None);
        rows.push(&event).expect("a date");
        let rows = rows.take();
        let sql = [insert.as_bytes(), rows.bytes(0..1), b";SELECT 1"].concat();
        let statements = split(&sql, dialect).expect("two statements");
        assert_eq!(statements.len(), 2, "{dialect:?}");
        assert_eq!(statements[1], "SELECT 1", "{dialect:?}");
    }
    let mapping = Mapping::built_in(Dialect::Postgresql);
    let mut rows = RowEncoder::new(RowFormat::Copy, &mapping, None);
    rows.push(&event).expect("a date");
    let rows = rows.take();
    let line = rows.bytes(0..1);
    assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    assert_eq!(line.split(|b| *b == b'\t').count(), mapping.filled().count());
}

/// Checks that a valid mapping file fills a column, and that the names of its columns stay inside
/// quotes.
pub fn mapping(text: &[u8]) {
    for dialect in DIALECTS {
        let Ok(mapping) = Mapping::parse(text, dialect) else { continue };
        assert!(mapping.filled().next().is_some());
        let sql = format!("INSERT INTO t ({}) VALUES (1);SELECT 1", mapping.names(dialect));
        // `split` refuses a byte order mark outside quotes. In `sql`, each such mark is in quotes.
        assert_eq!(split(sql.as_bytes(), dialect).expect("two statements").len(), 2, "{dialect:?}");
    }
}
