//! Runs SQL files in the database, each of them exactly once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::cursor_file::{hex, sha256_of};
use mls_state::lock::Lock;
use mls_state::regular;
use sha2::{Digest, Sha256};

use crate::connect_options::ConnectOptions;
use crate::cursor;
use crate::database::{Database, describe};
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::export;
use crate::mapping::Mapping;
use crate::statements::{Allowed, Statements};

/// Runs the files in `dir` that were not imported yet.
pub(crate) fn run(
    dir: &Path,
    allow_duplicates: bool,
    database: &mut Database,
    options: &ConnectOptions,
    mapping: &Mapping,
) -> anyhow::Result<()> {
    let _lock = lock(database, options)?;
    database.prepare(mapping)?;
    let names = names(dir)?;
    let imported = hashes_of_imported(database, &names)?;
    for (name, imported) in &imported {
        check_unchanged(&dir.join(name), imported)?;
    }
    let new = names.iter().filter(|name| !imported.contains_key(*name));
    let loaded = if allow_duplicates { None } else { cursor::source_of_this_machine(database)? };
    let (new, refused): (Vec<_>, Vec<_>) =
        new.partition(|name| loaded.is_none() || export::is_of_another_machine(name));
    for name in &new {
        import(database, &dir.join(name), name)?;
    }
    mls_diag::summary(format_args!(
        "imported {} of {} in {} into {}",
        new.len(),
        mls_diag::count(names.len() as u64, "SQL file", "SQL files"),
        dir.display(),
        database.shown
    ));
    match (loaded, refused.first()) {
        (Some(source), Some(first)) => Err(Exit::Config.error(format!(
            "did not import {} of this machine in {} (the first is {first}). The files can hold \
             attempts that are already in table {} in {}, because mls-sql load has loaded a log of \
             this machine there, as source {source}. If the table already has these attempts, move \
             the files to another directory. If it does not, run mls-sql import once with \
             --allow-duplicates. To use mls-sql load and SQL files together, write the SQL files \
             for another table (--table, or [database] table_name)",
            mls_diag::count(refused.len() as u64, "SQL file", "SQL files"),
            dir.display(),
            database.table.name(),
            database.shown
        ))),
        _ => Ok(()),
    }
}

fn check_unchanged(path: &Path, imported: &str) -> anyhow::Result<()> {
    let now = sha256_of(open(path)?).on_file("reading", path).or_exit(Exit::IoErr)?;
    if now == imported {
        return Ok(());
    }
    Err(Exit::DataErr.error(format!(
        "{} has changed since it was imported (SHA-256 {now}, was {imported}); if it is a new \
         file, give it a new name. If not, restore the old file",
        path.display()
    )))
}

/// Takes a lock, so that only one import runs at a time. For SQLite, the lock is a lock file. Other
/// databases give a lock that ends with the connection.
fn lock(database: &mut Database, options: &ConnectOptions) -> anyhow::Result<Option<Lock>> {
    let key = database.dialect.text(&format!("mls-sql import {}", database.table.name()));
    let sql = match options {
        ConnectOptions::Sqlite(path) => return Lock::take(path).map(Some),
        ConnectOptions::Postgresql(_) => {
            format!("SELECT pg_try_advisory_lock(hashtext({key}))::text")
        }
        ConnectOptions::Mysql(_) => {
            format!("SELECT CAST(GET_LOCK(MD5(CONCAT(DATABASE(), {key})), 0) AS CHAR)")
        }
    };
    let got = database.texts(&sql, "locking")?;
    if got.first().is_some_and(|text| text == "true" || text == "1") {
        return Ok(None);
    }
    Err(Exit::TempFail
        .error(format!("another import into {} is running; try again later", database.shown)))
}

/// The maximum number of names in one query. It limits the answer, even after many imports.
const NAMES_AT_ONCE: usize = 500;

/// Returns the SHA-256 of each file in `names` that was imported, by the name of the file.
fn hashes_of_imported(
    database: &mut Database,
    names: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let (dialect, imports) = (database.dialect, database.dialect.name(&database.table.imports()));
    let mut imported = BTreeMap::new();
    for names in names.chunks(NAMES_AT_ONCE) {
        let names: Vec<_> = names.iter().map(|name| dialect.text(name)).collect();
        let sql =
            format!("SELECT name, sha256 FROM {imports} WHERE name IN ({})", names.join(", "));
        let rows = database.rows(&sql, "reading the imported files of")?;
        imported.extend(rows.into_iter().filter_map(|row| {
            let [name, hash] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, hash?))
        }));
    }
    Ok(imported)
}

/// Returns the names of the SQL files, sorted. Skips hidden files, because they are not complete.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).on_file("reading directory", dir)? {
        let entry = entry.on_file("reading directory", dir)?;
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
            None => log::warn!(
                "{}: skipped, because the name is not UTF-8; rename the file",
                dir.join(&name).display()
            ),
        }
    }
    names.sort();
    Ok(names)
}

fn open(path: &Path) -> anyhow::Result<File> {
    regular::open(path).on_file("opening", path)
}

/// Hashes a file while it is read, so that the hash belongs to the statements that were run.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Runs one file and records it as imported, in one transaction.
fn import(database: &mut Database, path: &Path, name: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let allowed = if database.dialect == Dialect::Mysql { Allowed::Inserts } else { Allowed::All };
    let input =
        BufReader::with_capacity(1 << 16, Hashing { file: open(path)?, hash: Sha256::new() });
    let mut statements = Statements::new(input, database.dialect, allowed);
    database.begin()?;
    database.must("SAVEPOINT file", "beginning a transaction in")?;
    database.allow_commits(false)?;
    let fault = |error: &sqlx::Error, place: &str| {
        ErrorClass::of(error).exit_of_file().error(format!("{shown}: {place}: {}", describe(error)))
    };
    let mut run = || -> anyhow::Result<()> {
        while let Some(statement) =
            statements.next().with_context(|| shown.to_string()).or_exit(Exit::DataErr)?
        {
            database
                .execute_one(statement.text)
                .map_err(|error| fault(&error, &statement.place()))?;
        }
        // If the file has ended the transaction, the savepoint does not exist any more.
        let release = database.execute("RELEASE SAVEPOINT file");
        release.map(drop).map_err(|error| fault(&error, "the file must not end its transaction"))
    };
    if let Err(error) = run() {
        // If the connection has failed, the server rolls back by itself.
        if Exit::of(&error) != Exit::TempFail {
            let _ = database.execute("ROLLBACK");
        }
        return Err(error);
    }
    database.reset()?;
    let dialect = database.dialect;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let sha256 = hex(&statements.into_inner().into_inner().hash.finalize());
    let sql = format!(
        "INSERT INTO {} (name, sha256, imported) VALUES ({}, '{sha256}', '{now}')",
        dialect.name(&database.table.imports()),
        dialect.text(name)
    );
    database.must(&sql, &format!("recording {name} as imported into"))?;
    database.allow_commits(true)?;
    database.must("COMMIT", &format!("committing {name} to"))?;
    log::debug!("{shown} was imported into {}", database.shown);
    Ok(())
}
