//! The table of events, and two more tables with which `load` and `import` store each row exactly
//! once.
//!
//! | table | rows |
//! |---|---|
//! | `TABLE` | one for each attempt |
//! | `TABLE_cursor` | one for each source: `TABLE` contains the events up to this position |
//! | `TABLE_imports` | one for each imported SQL file |

use mls_stream::ndjson::Writer;

use crate::dialect::Dialect;
use crate::field::Field;
use crate::mapping::{LOADED_BY, Mapping, TableColumn};
use mls_event::Column;

/// The name of the table of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName(String);

impl Default for TableName {
    fn default() -> Self {
        Self("maillogsentinel_events".to_owned())
    }
}

impl std::str::FromStr for TableName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "{name:?} is not a table name; use at most 40 letters, digits and _, and begin with a \
                 letter"
            ))
        }
    }
}

impl TableName {
    /// The name, without quotes.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn cursor(&self) -> String {
        format!("{}_cursor", self.0)
    }

    pub(crate) fn imports(&self) -> String {
        format!("{}_imports", self.0)
    }

    /// Returns the statements that create all tables.
    pub(crate) fn ddl(&self, dialect: Dialect, mapping: &Mapping) -> Vec<String> {
        [self.events_ddl(dialect, mapping), self.state_ddl(dialect)].concat()
    }

    /// Returns the statements that create the table of events and the indexes of this table. The
    /// indexes find rows by time, address, user, autonomous system, or log line (`source`, `pos`).
    pub(crate) fn events_ddl(&self, dialect: Dialect, mapping: &Mapping) -> Vec<String> {
        let column = |column: &TableColumn| {
            format!("  {} {}", dialect.name(&column.name), column.definition)
        };
        let mut lines: Vec<_> = mapping.columns.iter().map(column).collect();
        let mut indexes: Vec<_> = self.indexes(dialect, mapping).map(|index| index.ddl).collect();
        if dialect == Dialect::Mysql {
            // MySQL has no CREATE INDEX IF NOT EXISTS, so CREATE TABLE contains the indexes.
            lines.extend(indexes.drain(..).map(|index| format!("  {index}")));
        }
        let mut ddl = vec![create(dialect, &self.0, &lines.join(",\n"))];
        ddl.append(&mut indexes);
        ddl
    }

    pub(crate) fn indexes<'a>(
        &'a self,
        dialect: Dialect,
        mapping: &'a Mapping,
    ) -> impl Iterator<Item = Index> + 'a {
        let single = move |column: &TableColumn| {
            let name = dialect.name(&column.name);
            let key = match (dialect, column.field?) {
                // A B-tree refuses values of more than 2704 bytes. Attackers choose the user names
                // and can choose longer ones, so this index is a hash.
                (Dialect::Postgresql, Field::Csv(Column::User)) => format!("USING hash ({name})"),
                (_, Field::Csv(Column::Date | Column::Ip | Column::User | Column::Asn)) => {
                    // In MySQL, an index on a TEXT column needs a length.
                    let is_text = column.definition.to_ascii_uppercase().contains("TEXT");
                    let length = if dialect == Dialect::Mysql && is_text { "(191)" } else { "" };
                    format!("({name}{length})")
                }
                _ => return None,
            };
            Some(self.index(dialect, &column.name, &key))
        };
        mapping.columns.iter().filter_map(single).chain(self.line_index(dialect, mapping))
    }

    /// Returns the index on `source` and `pos`, which identify a log line. `None` if the mapping
    /// has no column for `source` or no column for `pos`.
    pub(crate) fn line_index(&self, dialect: Dialect, mapping: &Mapping) -> Option<Index> {
        let (source, pos) = (mapping.column(Field::Source)?, mapping.column(Field::Pos)?);
        let key = format!("({}, {})", dialect.name(source), dialect.name(pos));
        Some(self.index(dialect, pos, &key))
    }

    /// Returns the statements that create the tables of cursors and imports.
    pub(crate) fn state_ddl(&self, dialect: Dialect) -> Vec<String> {
        let (key, text) = match dialect {
            Dialect::Sqlite | Dialect::Postgresql => ("TEXT NOT NULL PRIMARY KEY", "TEXT NOT NULL"),
            Dialect::Mysql => ("VARCHAR(255) NOT NULL PRIMARY KEY", "MEDIUMTEXT NOT NULL"),
        };
        let additions =
            cursor_additions(dialect).map(|(name, definition)| format!("{name} {definition}"));
        let cursor = format!(
            "  source {key},\n  sequence BIGINT NOT NULL,\n  position {text},\n  {}",
            additions.join(",\n  ")
        );
        let imports = format!("  name {key},\n  sha256 {text},\n  imported {text}");
        vec![create(dialect, &self.cursor(), &cursor), create(dialect, &self.imports(), &imports)]
    }

    fn index(&self, dialect: Dialect, column: &str, key: &str) -> Index {
        let name = dialect.name(&format!("{}_{column}", self.0));
        let ddl = match dialect {
            Dialect::Mysql => format!("INDEX {name} {key}"),
            _ => format!("CREATE INDEX IF NOT EXISTS {name} ON {} {key}", dialect.name(&self.0)),
        };
        Index { name, ddl }
    }
}

pub(crate) struct Index {
    /// The name of the index, in quotes.
    pub(crate) name: String,
    /// The statement that creates the index. For MySQL, a part of `CREATE TABLE` or `ALTER TABLE`.
    pub(crate) ddl: String,
}

/// The columns of `TABLE_cursor` that older versions of mls-sql did not create: the machine that
/// loads the source, the database user, the number of loaded rows, and the time of the last commit.
pub(crate) fn cursor_additions(dialect: Dialect) -> [(&'static str, &'static str); 4] {
    let [machine, user, rows, time] = match dialect {
        Dialect::Sqlite => ["TEXT", "TEXT", "BIGINT", "TEXT"],
        Dialect::Postgresql => ["TEXT", "TEXT DEFAULT session_user", "BIGINT", "timestamptz"],
        Dialect::Mysql => {
            ["VARCHAR(64)", "VARCHAR(288) DEFAULT (CURRENT_USER())", "BIGINT", "DATETIME"]
        }
    };
    [("machine", machine), (LOADED_BY, user), ("loaded_rows", rows), ("committed_at", time)]
}

fn create(dialect: Dialect, name: &str, lines: &str) -> String {
    let options = match dialect {
        // InnoDB has transactions. utf8mb4 stores all of Unicode. With the collation utf8mb4_bin,
        // `Bob` and `bob` are different names.
        Dialect::Mysql => " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        _ => "",
    };
    format!("CREATE TABLE IF NOT EXISTS {} (\n{lines}\n){options}", dialect.name(name))
}

pub(crate) fn print(table: &TableName, dialect: Dialect, mapping: &Mapping) -> anyhow::Result<()> {
    let mut out = Writer::stdout()?;
    for statement in table.ddl(dialect, mapping) {
        out.line(format!("{statement};").as_bytes())?;
    }
    out.flush()
}
