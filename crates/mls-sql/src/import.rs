//! SQL files into the database, each of them once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::hex;
use mls_state::lock::Lock;
use sha2::{Digest, Sha256};

use crate::connect_options::ConnectOptions;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::mapping::Mapping;
use crate::schema::Table;
use crate::statements::{Allowed, Statements};

/// Imports what is new in `dir`.
pub(crate) fn run(
    dir: &Path,
    database: &mut Database,
    options: &ConnectOptions,
    table: &Table,
    mapping: &Mapping,
) -> anyhow::Result<()> {
    let _lock = lock(database, options, table)?;
    database.prepare(table, mapping)?;
    let ledger = read_ledger(database, table)?;
    let (old, new): (Vec<_>, Vec<_>) =
        names(dir)?.into_iter().partition(|name| ledger.contains_key(name));
    for name in old {
        let (path, imported) = (dir.join(&name), &ledger[&name]);
        let now = hash(&path)?;
        if now != *imported {
            return Err(Exit::DataErr.error(format!(
                "{} has changed since it was imported (SHA-256 {now}, was {imported}): give a new file a new name",
                path.display()
            )));
        }
    }
    for name in new {
        import(database, table, &dir.join(&name), &name)?;
    }
    Ok(())
}

/// One import at a time. Where the file of a database is, a lock file is; a server keeps a lock for the connection.
fn lock(
    database: &mut Database,
    options: &ConnectOptions,
    table: &Table,
) -> anyhow::Result<Option<Lock>> {
    let key = database.dialect.text(&format!("mls-sql import {}", table.name()));
    let sql = match options {
        ConnectOptions::Sqlite(path) => return Lock::take(path).map(Some),
        ConnectOptions::Postgresql(_) => {
            format!("SELECT pg_try_advisory_lock(hashtext({key}))::text")
        }
        ConnectOptions::Mysql(_) => {
            format!("SELECT CAST(GET_LOCK(MD5(CONCAT(DATABASE(), {key})), 0) AS CHAR)")
        }
    };
    let got = database.texts(&sql).map_err(|error| database.failed(&error, "locking"))?;
    if got.first().is_some_and(|text| text == "true" || text == "1") {
        return Ok(None);
    }
    Err(Exit::TempFail
        .error(format!("another import into {} is at work; try again later", database.shown)))
}

/// SHA-256 of each imported file, by name.
fn read_ledger(database: &mut Database, table: &Table) -> anyhow::Result<HashMap<String, String>> {
    let name = database.dialect.name(&table.imports());
    let column =
        if database.dialect == Dialect::Mysql { "CONCAT(sha256, name)" } else { "sha256 || name" };
    let sql = format!("SELECT {column} FROM {name}");
    let rows = database
        .texts(&sql)
        .map_err(|error| database.failed(&error, "reading the imported files of"))?;
    Ok(rows
        .iter()
        .filter_map(|row| row.split_at_checked(64))
        .map(|(hash, name)| (name.into(), hash.into()))
        .collect())
}

/// The names of the SQL files, sorted. A hidden one is still being written.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let context = || format!("reading directory {}", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        if !entry.path().metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        match name.to_str() {
            Some(text)
                if Path::new(&name).extension().is_some_and(|end| end == "sql")
                    && !text.starts_with('.') =>
            {
                names.push(text.to_owned());
            }
            Some(_) => {}
            None => log::warn!("{}: the name is not UTF-8, skipped", dir.join(&name).display()),
        }
    }
    names.sort();
    Ok(names)
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hashing = Hashing { file: open(path)?, hash: Sha256::new() };
    io::copy(&mut hashing, &mut io::sink())
        .with_context(|| format!("reading {}", path.display()))
        .or_exit(Exit::IoErr)?;
    Ok(hashing.hex())
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("opening {}", path.display()))
}

/// A file that is hashed as it is read: what is run is what the ledger names.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Hashing {
    fn hex(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Runs one file, and writes it into the ledger, in one transaction.
fn import(database: &mut Database, table: &Table, path: &Path, name: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let allowed = if database.dialect == Dialect::Mysql { Allowed::Inserts } else { Allowed::All };
    let input =
        BufReader::with_capacity(1 << 16, Hashing { file: open(path)?, hash: Sha256::new() });
    let mut statements = Statements::new(input, database.dialect, allowed);
    database.begin()?;
    database.must("SAVEPOINT file", "beginning a transaction in")?;
    database.allow_commits(false)?;
    let fault = |error: &sqlx::Error, place: &str| {
        ErrorClass::of(error).exit_of_file().error(format!("{shown}, {place}: {error}"))
    };
    let mut run = || -> anyhow::Result<()> {
        while let Some(statement) =
            statements.next().with_context(|| shown.to_string()).or_exit(Exit::DataErr)?
        {
            database
                .execute_one(statement.text)
                .map_err(|error| fault(&error, &statement.place()))?;
        }
        // Gone with the transaction, where the file has rolled that back.
        let release = database.execute("RELEASE SAVEPOINT file");
        release.map(drop).map_err(|error| fault(&error, "which must not end its transaction"))
    };
    if let Err(error) = run() {
        // Where the connection is what has failed, the server rolls back by itself.
        if Exit::of(&error) != Exit::TempFail {
            let _ = database.execute("ROLLBACK");
        }
        return Err(error);
    }
    database.reset()?;
    let dialect = database.dialect;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let sha256 = statements.into_inner().into_inner().hex();
    let sql = format!(
        "INSERT INTO {} (name, sha256, imported) VALUES ({}, '{sha256}', '{now}')",
        dialect.name(&table.imports()),
        dialect.text(name)
    );
    database.must(&sql, &format!("noting {name} as imported into"))?;
    database.allow_commits(true)?;
    database.must("COMMIT", &format!("committing {name} to"))?;
    log::info!("{shown} is imported into {}", database.shown);
    Ok(())
}
