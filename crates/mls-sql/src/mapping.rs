//! Maps members of records to columns of the table.
//!
//! ```json
//! { "id":         { "sql_column_def": "INTEGER PRIMARY KEY", "csv_column_name": null },
//!   "event_time": { "sql_column_def": "TEXT NOT NULL",       "csv_column_name": "date" } }
//! ```
//!
//! The file has a member for each column of the table, in order. If the database fills a column,
//! its `csv_column_name` is null. For any other column, `csv_column_name` is
//!
//! - a column of the CSV: `server`, `date`, `ip`, `user`, `hostname`, `reverse_dns_status`,
//!   `country_code`, `asn` or `aso`;
//! - another member of the record (mls-event(5)): `pos`, `outcome`, `service`, `pid`, `mechanism`,
//!   `reason`, `client`, `port` or `queue_id`. If a record does not have the member, for example
//!   because it was read from a CSV, the column is NULL;
//! - `source`: the name that `--source` gives.
//!
//! At least one `csv_column_name` must not be null. mls-sql copies `sql_column_def` into the DDL
//! unchanged.
//!
//! A mapping of the Python original works too. It has `csv_id_placeholder` where this version has
//! null. Its definitions are for MySQL and do not allow NULL. So mls-sql uses the column names of
//! this mapping with the definitions of the built-in mapping.
//!
//! The built-in mapping has a column for each of the ten columns of the Python original: `id`,
//! which the database fills, `event_time` (`date`), `username` (`user`), and the other columns
//! under their CSV names. It also has `source`, `loaded_by`, `pos`, `outcome`, `service`,
//! `mechanism`, `reason`, `client` and `port`. PostgreSQL, MySQL and MariaDB fill `loaded_by` with
//! the user who inserted the row. `mls-sql schema` prints all columns.

use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};
use mls_event::Column;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dialect::Dialect;
use crate::field::Field;

/// The column that the database fills with the name of the user who inserts the row.
pub(crate) const LOADED_BY: &str = "loaded_by";

/// The table's columns, in order.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The columns. At least one column has a field.
    pub columns: Vec<TableColumn>,
}

/// One column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// The name of the column.
    pub name: String,
    /// The text after the name in `CREATE TABLE`.
    pub definition: String,
    /// The value in this column; `None` if the database fills the column.
    pub field: Option<Field>,
}

impl Mapping {
    /// The built-in mapping. Text columns have no length limit: with a limit, a row with a longer
    /// name would be lost.
    pub(crate) fn built_in(dialect: Dialect) -> Self {
        let [id, time, ip, number, text] = match dialect {
            Dialect::Sqlite => ["INTEGER PRIMARY KEY", "TEXT NOT NULL", "TEXT", "INTEGER", "TEXT"],
            Dialect::Postgresql => [
                "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "timestamptz NOT NULL",
                "inet",
                "bigint",
                "text",
            ],
            Dialect::Mysql => [
                "BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY",
                "DATETIME(6) NOT NULL",
                "VARCHAR(45)",
                "INT UNSIGNED",
                "MEDIUMTEXT",
            ],
        };
        // Attackers do not choose these values, so a length limit loses no row. In MySQL, an index
        // needs a column with a length limit.
        let [key, pos, outcome, loaded_by] = match dialect {
            Dialect::Sqlite => ["TEXT", "TEXT", "TEXT NOT NULL DEFAULT 'failure'", "TEXT"],
            Dialect::Postgresql => {
                ["text", "text", "text NOT NULL DEFAULT 'failure'", "text DEFAULT session_user"]
            }
            Dialect::Mysql => [
                "VARCHAR(255)",
                "VARCHAR(64)",
                "VARCHAR(16) NOT NULL DEFAULT 'failure'",
                "VARCHAR(288) DEFAULT (CURRENT_USER())",
            ],
        };
        let csv = |column| Some(Field::Csv(column));
        let columns = [
            ("id", id, None),
            ("server", text, csv(Column::Server)),
            ("event_time", time, csv(Column::Date)),
            ("ip", ip, csv(Column::Ip)),
            ("username", text, csv(Column::User)),
            ("hostname", text, csv(Column::Hostname)),
            ("reverse_dns_status", text, csv(Column::ReverseDnsStatus)),
            ("country_code", text, csv(Column::CountryCode)),
            ("asn", number, csv(Column::Asn)),
            ("aso", text, csv(Column::Aso)),
            ("source", key, Some(Field::Source)),
            (LOADED_BY, loaded_by, None),
            ("pos", pos, Some(Field::Pos)),
            ("outcome", outcome, Some(Field::Outcome)),
            ("service", text, Some(Field::Service)),
            ("mechanism", text, Some(Field::Mechanism)),
            ("reason", text, Some(Field::Reason)),
            ("client", text, Some(Field::Client)),
            ("port", number, Some(Field::Port)),
        ];
        let column = |(name, definition, field): (&str, &str, _)| TableColumn {
            name: name.to_owned(),
            definition: definition.to_owned(),
            field,
        };
        Self { columns: columns.map(column).into() }
    }

    /// Reads a mapping file for a dialect. Exit 66 if the file cannot be read; exit 78 if the file
    /// is not a valid mapping.
    pub(crate) fn load(path: &Path, dialect: Dialect) -> anyhow::Result<Self> {
        let text = std::fs::read(path).on_file("mapping file", path)?;
        Self::parse(&text, dialect).on_file("mapping file", path).or_exit(Exit::Config)
    }

    pub(crate) fn parse(text: &[u8], dialect: Dialect) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct MappingEntry {
            sql_column_def: String,
            csv_column_name: Option<String>,
        }
        let map: Map<String, Value> =
            serde_json::from_slice(text).context("it is not a JSON object of columns")?;
        let mut columns = Vec::with_capacity(map.len());
        let mut is_original = false;
        for (name, value) in map {
            let entry: MappingEntry =
                serde_json::from_value(value).with_context(|| format!("column {name:?}"))?;
            is_original |= entry.csv_column_name.as_deref() == Some("csv_id_placeholder");
            let field = match entry.csv_column_name.as_deref() {
                None | Some("csv_id_placeholder") => None,
                Some(csv) => Some(Field::from_name(csv).with_context(|| {
                    let known = Field::all().map(Field::name).collect::<Vec<_>>().join(", ");
                    format!("column {name:?}: csv_column_name {csv:?} is not one of {known}")
                })?),
            };
            anyhow::ensure!(
                !name.is_empty() && !name.contains('\0'),
                "{name:?} is not a column name"
            );
            anyhow::ensure!(
                !entry.sql_column_def.contains('\0'),
                "column {name:?}: sql_column_def has a NUL character"
            );
            columns.push(TableColumn { name, definition: entry.sql_column_def, field });
        }
        let mut mapping = Self { columns };
        if is_original {
            mapping.take_built_in_definitions(dialect);
        }
        anyhow::ensure!(mapping.filled().next().is_some(), "no column has a csv_column_name");
        Ok(mapping)
    }

    /// Gives each column the built-in definition of the column with the same field.
    fn take_built_in_definitions(&mut self, dialect: Dialect) {
        let built_in = Self::built_in(dialect).columns;
        for column in &mut self.columns {
            let same = built_in.iter().find(|known| known.field == column.field);
            column.definition = same.map_or_else(String::new, |known| known.definition.clone());
        }
    }

    /// Returns the name of the column that the database fills with the number of each row.
    pub(crate) fn id(&self) -> Option<&str> {
        let id = self.columns.iter().find(|c| c.field.is_none() && c.name != LOADED_BY);
        id.map(|id| id.name.as_str())
    }

    /// Returns the name and the field of each column that has a field.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (&str, Field)> {
        self.columns.iter().filter_map(|column| Some((column.name.as_str(), column.field?)))
    }

    /// Returns the name of the column for a field.
    pub(crate) fn column(&self, field: Field) -> Option<&str> {
        self.filled().find(|(_, filled)| *filled == field).map(|(name, _)| name)
    }

    /// Returns the names of the columns that have a field, in quotes and separated by commas.
    pub(crate) fn names(&self, dialect: Dialect) -> String {
        self.filled().map(|(name, _)| dialect.name(name)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_mapping_keeps_its_names_and_order() {
        let text = br#"{
            "id": {"sql_column_def": "INT UNSIGNED AUTO_INCREMENT", "csv_column_name": "csv_id_placeholder"},
            "asn_varchar": {"sql_column_def": "VARCHAR(255) NOT NULL", "csv_column_name": "aso"},
            "at": {"sql_column_def": "DATETIME NOT NULL", "csv_column_name": "date"}}"#;
        for dialect in [Dialect::Sqlite, Dialect::Postgresql, Dialect::Mysql] {
            let mapping = Mapping::parse(text, dialect).unwrap();
            let filled: Vec<_> = mapping.filled().collect();
            let expected = [("asn_varchar", Column::Aso), ("at", Column::Date)];
            assert_eq!(filled, expected.map(|(name, column)| (name, Field::Csv(column))));
            let built_in = Mapping::built_in(dialect);
            let definition = |n: usize| built_in.columns[n].definition.as_str();
            let definitions: Vec<_> =
                mapping.columns.iter().map(|column| column.definition.as_str()).collect();
            assert_eq!(definitions, [definition(0), definition(9), definition(2)]);
        }
    }

    #[test]
    fn error_in_a_mapping_names_the_column() {
        for (text, why) in [
            ("[]", "not a JSON object"),
            (r#"{"a": {"csv_column_name": "user"}}"#, r#"column "a""#),
            (r#"{"a": {"sql_column_def": "TEXT", "csv_column_name": null}}"#, "no column has"),
            (
                r#"{"a": {"sql_column_def": "TEXT\u0000", "csv_column_name": "user"}}"#,
                r#"column "a""#,
            ),
        ] {
            let error = Mapping::parse(text.as_bytes(), Dialect::Sqlite).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
