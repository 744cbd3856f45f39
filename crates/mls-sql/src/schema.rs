//! The table of events, and the two tables that make loading and importing exactly-once.
//!
//! | table | rows |
//! |---|---|
//! | `TABLE` | one for each failed login |
//! | `TABLE_cursor` | one for each source: the position up to which `TABLE` holds it |
//! | `TABLE_imports` | one for each imported SQL file |

use mls_stream::ndjson::Writer;

use crate::dialect::Dialect;
use crate::mapping::Mapping;
use mls_event::Column;

/// The name of the events' table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("maillogsentinel_events".to_owned())
    }
}

impl std::str::FromStr for Table {
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

impl Table {
    /// The name, without quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// `TABLE_cursor`
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}_cursor", self.0)
    }

    /// `TABLE_imports`
    #[must_use]
    pub fn imports(&self) -> String {
        format!("{}_imports", self.0)
    }

    /// Returns the statements that create the table of events and its indexes: by time, address,
    /// user and network.
    #[must_use]
    pub fn events_ddl(&self, dialect: Dialect, mapping: &Mapping) -> Vec<String> {
        let (mut lines, mut indexes) = (Vec::new(), Vec::new());
        for column in &mapping.columns {
            let name = dialect.name(&column.name);
            lines.push(format!("  {name} {}", column.definition));
            let Some(Column::Date | Column::Ip | Column::User | Column::Asn) = column.source else {
                continue;
            };
            let index = dialect.name(&format!("{}_{}", self.0, column.name));
            match dialect {
                // MySQL has no CREATE INDEX IF NOT EXISTS, and its indexes of texts need a length.
                Dialect::Mysql => {
                    let length = if column.definition.to_ascii_uppercase().contains("TEXT") {
                        "(191)"
                    } else {
                        ""
                    };
                    indexes.push(format!("  INDEX {index} ({name}{length})"));
                }
                // A B-tree refuses values of more than 2704 bytes, and attackers choose the names.
                Dialect::Postgresql if column.source == Some(Column::User) => {
                    indexes.push(self.index(dialect, &index, &format!("USING hash ({name})")));
                }
                _ => indexes.push(self.index(dialect, &index, &format!("({name})"))),
            }
        }
        if dialect == Dialect::Mysql {
            lines.append(&mut indexes);
        }
        let mut ddl = vec![create(dialect, &self.0, &lines.join(",\n"))];
        ddl.append(&mut indexes);
        ddl
    }

    /// Returns the statements that create the tables of cursors and imports.
    #[must_use]
    pub fn state_ddl(&self, dialect: Dialect) -> Vec<String> {
        let (key, text) = match dialect {
            Dialect::Sqlite | Dialect::Postgresql => ("TEXT NOT NULL PRIMARY KEY", "TEXT NOT NULL"),
            Dialect::Mysql => ("VARCHAR(255) NOT NULL PRIMARY KEY", "MEDIUMTEXT NOT NULL"),
        };
        let cursor = format!("  source {key},\n  sequence BIGINT NOT NULL,\n  position {text}");
        let imports = format!("  name {key},\n  sha256 {text},\n  imported {text}");
        vec![create(dialect, &self.cursor(), &cursor), create(dialect, &self.imports(), &imports)]
    }

    fn index(&self, dialect: Dialect, name: &str, what: &str) -> String {
        format!("CREATE INDEX IF NOT EXISTS {name} ON {} {what}", dialect.name(&self.0))
    }
}

fn create(dialect: Dialect, name: &str, lines: &str) -> String {
    let options = match dialect {
        // InnoDB has transactions; this collation stores all of UTF-8 and equates no two names.
        Dialect::Mysql => " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        _ => "",
    };
    format!("CREATE TABLE IF NOT EXISTS {} (\n{lines}\n){options}", dialect.name(name))
}

/// Prints the statements that create the tables.
pub(crate) fn print(table: &Table, dialect: Dialect, mapping: &Mapping) -> anyhow::Result<()> {
    let mut out = Writer::stdout()?;
    for statement in table.events_ddl(dialect, mapping).iter().chain(&table.state_ddl(dialect)) {
        out.line(format!("{statement};").as_bytes())?;
    }
    out.flush()
}
