//! Converts SQL files that the Python original has exported (`sql_exporter.py`, `run_sql_export`).
//!
//! All these files are moved to the directory `original`. The files that the original has not
//! imported are first written again for the current table, and the next import runs the new files.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use mls_config::config::DbType;
use mls_diag::{Exit, OnFile, OrExit, count};
use mls_event::Column;
use mls_state::regular;

use super::data::{DataMigration, rename};
use super::legacy_csv::pipeline;
use crate::terminal::say;

/// The end of the name of each SQL file that the Python original wrote.
const ENDING: &str = "_maillogsentinel_export.sql";

/// The directory for files that were imported or converted.
const DONE: &str = "original";

pub(super) fn convert(site: &DataMigration<'_>) -> anyhow::Result<()> {
    let database = &site.config.database;
    let dir = database.sql_export_dir.clone().unwrap_or_default();
    let files = files(&dir).on_file("reading", &dir)?;
    if files.is_empty() {
        return Ok(());
    }
    let done = dir.join(DONE);
    fs::create_dir_all(&done).on_file("creating", &done).or_exit(Exit::CantCreat)?;
    let imported =
        regular::open(&site.state_dir.join("sql_imported_files.log")).and_then(io::read_to_string);
    let imported = imported.unwrap_or_default();
    let mut converted = 0;
    for name in &files {
        if !imported.lines().any(|line| line.trim() == name) {
            rewrite(site, &dir, name, database.db_type.unwrap_or(DbType::Sqlite))?;
            converted += 1;
        }
        rename(&dir.join(name), &done.join(name))?;
    }
    say(&format!(
        "SQL files: converted {} for the next import; already imported: {}; the old files are in {}\n",
        count(converted, "file", "files"),
        files.len() as u64 - converted,
        done.display()
    ))
}

/// Returns names such as `20260601_0004_maillogsentinel_export.sql`, sorted.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = regular::if_there(fs::read_dir(dir))? else { return Ok(vec![]) };
    let is_original = |name: &String| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        name.strip_suffix(ENDING).is_some_and(|time| {
            time.len() == 13
                && time.split_once('_').is_some_and(|(day, time)| digits(day) && digits(time))
        })
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(is_original).collect();
    names.sort();
    Ok(names)
}

/// Writes the rows of an old SQL file into a new one for the current table.
fn rewrite(site: &DataMigration<'_>, dir: &Path, name: &str, kind: DbType) -> anyhow::Result<()> {
    let path = dir.join(name);
    let time = name.strip_suffix(ENDING).unwrap_or(name);
    let target = dir.join(format!("{time}00_original_000000{ENDING}"));
    let part = dir.join(format!(".{time}.part"));
    let mut decode = site.tool("mls-csv");
    decode.args(["--decode", "--legacy", "--strict"]);
    let mut export = site.tool("mls-sql");
    let dialect = match kind {
        DbType::Sqlite => "sqlite",
        DbType::Postgresql => "postgresql",
        DbType::Mysql => "mysql",
    };
    export.args(["export", "--dialect", dialect]);
    if let Some(table) = &site.config.database.table_name {
        export.args(["--table", table]);
    }
    if let Some(mapping) = &site.config.database.column_mapping_file {
        export.arg("--mapping").arg(mapping);
    }
    let out = File::create(&part).on_file("writing", &part);
    export.stdout(out.or_exit(Exit::CantCreat)?);
    let file = regular::open(&path).on_file("reading", &path)?;
    let columns = Columns::new(site)?;
    pipeline(decode, export, |stdin| {
        for line in BufReader::new(file).lines() {
            let line = line?;
            if line.starts_with("INSERT INTO ") {
                let row = columns.row(&line).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("this line is not a row of the Python original: {line}"),
                    )
                })?;
                stdin.write_all(row.as_bytes())?;
            }
        }
        Ok(())
    })
    .on_file("converting", &path)?;
    rename(&part, &target)
}

/// Pairs of a table column and the CSV column that it contains.
struct Columns(Vec<(String, String)>);

impl Columns {
    /// Reads the mapping file of the original. If there is no file, uses the original's default
    /// mapping.
    fn new(site: &DataMigration<'_>) -> anyhow::Result<Self> {
        let Some(file) = &site.config.database.column_mapping_file else {
            let renamed = [
                ("event_time", "date"),
                ("username", "user"),
                ("asn_int", "asn"),
                ("asn_varchar", "aso"),
            ];
            let same = Column::ALL.map(|column| (column.name(), column.name()));
            let owned = |(table, csv): (&str, &str)| (table.to_owned(), csv.to_owned());
            return Ok(Self(renamed.into_iter().chain(same).map(owned).collect()));
        };
        let text = fs::read(file).on_file("mapping file", file)?;
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).on_file("mapping file", file).or_exit(Exit::Config)?;
        let pairs = map.into_iter().filter_map(|(name, entry)| {
            Some((name, entry.get("csv_column_name")?.as_str()?.to_owned()))
        });
        Ok(Self(pairs.collect()))
    }

    /// Turns an `INSERT INTO t ("a", "b") VALUES ('x', 1);` into a line of the original's CSV.
    fn row(&self, statement: &str) -> Option<String> {
        let (names, values) = statement.split_once('(')?.1.split_once(") VALUES (")?;
        let values = literals(values.trim_end().strip_suffix(");")?)?;
        let names: Vec<&str> = names.split(", ").map(|name| name.trim_matches('"')).collect();
        if names.len() != values.len() {
            return None;
        }
        let cell = |column: Column| {
            let of = |name: &&str| self.0.iter().any(|(n, csv)| n == *name && csv == column.name());
            let value = names.iter().position(of).map(|n| values[n].as_str());
            format!("\"{}\"", value.unwrap_or_default().replace('"', "\"\""))
        };
        Some(Column::ALL.map(cell).join(";") + "\n")
    }
}

/// Reads the values of a list such as `'it''s', 5, NULL`. NULL becomes an empty value.
fn literals(text: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let value;
        (value, rest) = if let Some(mut inside) = rest.strip_prefix('\'') {
            let mut value = String::new();
            loop {
                let (part, after) = inside.split_once('\'')?;
                value += part;
                match after.strip_prefix('\'') {
                    Some(more) => {
                        value.push('\'');
                        inside = more;
                    }
                    None => break (value, after),
                }
            }
        } else {
            let end = rest.find(", ").unwrap_or(rest.len());
            let word = &rest[..end];
            (if word == "NULL" { String::new() } else { word.to_owned() }, &rest[end..])
        };
        values.push(value);
        if rest.is_empty() {
            return Some(values);
        }
        rest = rest.strip_prefix(", ")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_sql_reads_them() {
        let read = |text| literals(text).unwrap();
        assert_eq!(read("'a', 5, NULL, ''"), ["a", "5", "", ""]);
        assert_eq!(read("'it''s', 'x), (''y', '''', 'a, b'"), ["it's", "x), ('y", "'", "a, b"]);
        for text in ["'a", "'a' 'b'", "'a',5"] {
            assert_eq!(literals(text), None, "{text}");
        }
    }
}
