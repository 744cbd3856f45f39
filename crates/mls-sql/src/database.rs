//! A connection: one statement at a time, and what the three servers do alike behind one door.

use std::time::{Duration, Instant};

use anyhow::Context;
use mls_diag::Exit;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row};
use tokio::runtime::Runtime;

use crate::connect_options::{self, ConnectOptions};
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::mapping::Mapping;
use crate::schema::Table;

/// Pauses between tries to connect: a server that restarts is back within them.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How long one try may take, and after how long there is no other.
const TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server may take over a statement. Where it has gone without a word nothing else tells; the kernel gives up one that
/// it sends to after about as long (tcp(7), `tcp_retries2`).
const ANSWER: Duration = Duration::from_mins(15);

/// A connection to a database.
pub(crate) struct Database {
    runtime: Runtime,
    connection: Connection,
    pub(crate) dialect: Dialect,
    /// What messages call it.
    pub(crate) shown: String,
    /// MySQL's `max_allowed_packet`: the longest statement and the byte before it.
    longest: Option<usize>,
    /// How long a statement may take.
    limit: Duration,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgresql(PgConnection),
    Mysql(MySqlConnection),
}

/// The same for each kind of connection: sqlx has a type of its own for each.
macro_rules! each {
    ($server:expr, $connection:ident => $do:expr) => {
        match $server {
            Connection::Sqlite($connection) => $do,
            Connection::Postgresql($connection) => $do,
            Connection::Mysql($connection) => $do,
        }
    };
}

impl Database {
    /// Lets `work` have a connection, and closes it: so SQLite leaves one file, and what it has written ahead in it.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect) and of `work`.
    pub(crate) fn with<T>(
        options: &ConnectOptions,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut database = Self::connect(options)?;
        let result = work(&mut database);
        let Self { runtime, connection, .. } = database;
        // All that counts is committed. A server that has gone is not waited for.
        let close = async { each!(connection, c => c.close().await) };
        let _ = runtime.block_on(async { tokio::time::timeout(TIMEOUT, close).await });
        result
    }

    /// Connects, trying again with growing pauses while the server is down.
    ///
    /// # Errors
    /// Exit 75 where it stays down, else what [`ErrorClass`] says.
    fn connect(options: &ConnectOptions) -> anyhow::Result<Self> {
        let shown = options.shown();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting tokio")?;
        let connection = runtime.block_on(async {
            let mut pauses = PAUSES.iter();
            let begun = Instant::now();
            loop {
                let result = match tokio::time::timeout(TIMEOUT, open(options)).await {
                    Ok(result) => result,
                    Err(_) => Err(Exit::TempFail.error("no answer")),
                };
                match (result, pauses.next()) {
                    (Err(error), Some(pause))
                        if Exit::of(&error) == Exit::TempFail && begun.elapsed() < PATIENCE =>
                    {
                        log::info!("connecting to {shown}: {error:#}; trying again in {pause:?}");
                        tokio::time::sleep(*pause).await;
                    }
                    (result, _) => return result,
                }
            }
        });
        let connection = connection.with_context(|| format!("connecting to {shown}"))?;
        let dialect = options.dialect();
        let limit = if dialect == Dialect::Sqlite { Duration::MAX } else { ANSWER };
        let mut database = Self { runtime, connection, dialect, shown, longest: None, limit };
        if database.dialect == Dialect::Mysql {
            let longest = database.texts("SELECT CAST(@@max_allowed_packet AS CHAR)");
            let longest = longest
                .map_err(|error| database.failed(&error, "asking for max_allowed_packet of"))?;
            database.longest = longest.first().and_then(|text| text.parse().ok());
        }
        Ok(database)
    }

    /// Runs one statement and returns how many rows it changed.
    ///
    /// # Errors
    /// The database's. A statement that it would not take for its length is not sent, and is an `InvalidArgument`: MySQL drops the
    /// connection at one, and what it says of it is lost.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        self.check_length(sql)?;
        let Self { runtime, connection, limit, .. } = self;
        within(*limit, runtime, async {
            each!(connection, c => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *c).await.map(|result| result.rows_affected())
            })
        })
    }

    /// The same for what a file has for a statement, however long it takes: prepared, PostgreSQL and MySQL refuse it if it is
    /// several, one of which could be a COMMIT that the splitter has not seen. SQLite takes them: see
    /// [`allow_commits`](Self::allow_commits).
    pub(crate) fn execute_one(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.check_length(sql)?;
        let Self { runtime, connection, .. } = self;
        let sql = AssertSqlSafe(sql);
        let result = runtime.block_on(async {
            match connection {
                Connection::Sqlite(c) => sqlx::raw_sql(sql).execute(c).await.map(drop),
                // What has no name of its own is lost to PostgreSQL when sqlx asks for a type that it does not know.
                Connection::Postgresql(c) => {
                    sqlx::query(sql).persistent(true).execute(c).await.map(drop)
                }
                Connection::Mysql(c) => {
                    sqlx::query(sql).persistent(false).execute(c).await.map(drop)
                }
            }
        });
        result.map_err(|error| match &error {
            sqlx::Error::Database(what) => match what.code().as_deref() {
                // SQLITE_CONSTRAINT_COMMITHOOK
                Some("531") => sqlx::Error::InvalidArgument(
                    "it ends the transaction, and a file is one".into(),
                ),
                // PostgreSQL's, of a $1: protocol_violation
                Some("08P01") => sqlx::Error::InvalidArgument(what.message().into()),
                _ => error,
            },
            _ => error,
        })
    }

    /// Takes back what a file has set for the session, as `pg_dump` does with `search_path`: our own tables would not be found.
    pub(crate) fn reset(&mut self) -> anyhow::Result<()> {
        if self.dialect == Dialect::Postgresql {
            self.must(&format!("RESET ALL; {POSTGRESQL_MODE}"), "resetting the session in")?;
        }
        Ok(())
    }

    /// Whether SQLite may commit: what ends a transaction otherwise is an error, and takes back all of it.
    pub(crate) fn allow_commits(&mut self, allowed: bool) -> anyhow::Result<()> {
        let Connection::Sqlite(connection) = &mut self.connection else { return Ok(()) };
        let mut handle = self.runtime.block_on(connection.lock_handle())?;
        if allowed {
            handle.remove_commit_hook();
        } else {
            handle.set_commit_hook(|| false);
        }
        Ok(())
    }

    fn check_length(&self, sql: &str) -> Result<(), sqlx::Error> {
        let Some(longest) = self.longest.filter(|longest| sql.len() + 1 >= *longest) else {
            return Ok(());
        };
        let bytes = sql.len();
        Err(sqlx::Error::InvalidArgument(format!(
            "{bytes} bytes are too long for the server's max_allowed_packet of {longest}"
        )))
    }

    /// The first column of the result, which must be text.
    pub(crate) fn texts(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let Self { runtime, connection, limit, .. } = self;
        within(*limit, runtime, async {
            each!(connection, c => {
                let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *c).await?;
                // Unchecked: MySQL calls text that is compared byte by byte binary.
                rows.iter().map(|row| row.try_get_unchecked::<String, _>(0)).collect()
            })
        })
    }

    /// Feeds `bytes` to PostgreSQL's `COPY … FROM STDIN`.
    pub(crate) fn copy(&mut self, statement: &str, bytes: &[u8]) -> Result<(), sqlx::Error> {
        let Connection::Postgresql(connection) = &mut self.connection else {
            return Err(sqlx::Error::Protocol("only PostgreSQL has COPY FROM STDIN".into()));
        };
        within(self.limit, &self.runtime, async {
            let mut copy = connection.copy_in_raw(statement).await?;
            match copy.send(bytes).await {
                Ok(_) => copy.finish().await.map(drop),
                Err(error) => Err(error),
            }
        })
    }

    /// The same as [`execute`](Self::execute), for statements that have no business failing.
    ///
    /// # Errors
    /// What [`ErrorClass`] says, naming the database and `doing`.
    pub(crate) fn must(&mut self, sql: &str, doing: &str) -> anyhow::Result<u64> {
        let result = self.execute(sql);
        result.map_err(|error| self.failed(&error, doing))
    }

    /// An error with its exit code, the database and what was being done.
    pub(crate) fn failed(&self, error: &sqlx::Error, doing: &str) -> anyhow::Error {
        ErrorClass::of(error).exit().error(format!("{doing} {}: {error}", self.shown))
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// See [`must`](Self::must).
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        let begin =
            if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "START TRANSACTION" };
        self.must(begin, "beginning a transaction in").map(drop)
    }

    /// Creates what is missing of the tables, and refuses what cannot hold events exactly once.
    ///
    /// # Errors
    /// Exit 78 for a table of the Python original, one that lacks a column, or one without transactions.
    pub(crate) fn prepare(&mut self, table: &Table, mapping: &Mapping) -> anyhow::Result<()> {
        let dialect = self.dialect;
        if dialect == Dialect::Postgresql {
            self.check_encoding()?;
        }
        let names = [table.name().to_owned(), table.cursor(), table.imports()];
        let mut missing = false;
        for name in &names {
            missing |= self.columns(name)?.is_empty();
        }
        if missing {
            self.create(table, mapping)?;
        }
        let columns = self.columns(table.name())?;
        self.check_columns(table, mapping, &columns)?;
        if dialect == Dialect::Mysql { self.check_engines(table) } else { Ok(()) }
    }

    /// Creates what is missing: all or nothing, where the database can take DDL back, and one at a time.
    fn create(&mut self, table: &Table, mapping: &Mapping) -> anyhow::Result<()> {
        let dialect = self.dialect;
        self.begin()?;
        if dialect == Dialect::Postgresql {
            let lock = format!(
                "SELECT pg_advisory_xact_lock(hashtext({}))::text",
                dialect.text(table.name())
            );
            self.texts(&lock).map_err(|error| self.failed(&error, "locking"))?;
        }
        if self.columns(table.name())?.is_empty() {
            for statement in table.events_ddl(dialect, mapping) {
                self.must(&statement, &format!("creating table {} in", table.name()))?;
            }
        }
        for statement in table.state_ddl(dialect) {
            self.must(&statement, "creating the tables of positions and imports in")?;
        }
        self.must("COMMIT", "creating tables in").map(drop)
    }

    /// In any other encoding a name of the attackers' may have no place.
    fn check_encoding(&mut self) -> anyhow::Result<()> {
        let encoding = self
            .texts("SHOW server_encoding")
            .map_err(|error| self.failed(&error, "looking at"))?;
        match encoding.first().map(String::as_str) {
            Some("UTF8") => Ok(()),
            other => Err(Exit::Config.error(format!(
                "{} has encoding {}, which cannot hold every name: create a database with ENCODING 'UTF8' TEMPLATE template0",
                self.shown,
                other.unwrap_or("unknown")
            ))),
        }
    }

    /// The names of a table's columns; none where there is no such table.
    pub(crate) fn columns(&mut self, table: &str) -> anyhow::Result<Vec<String>> {
        let (name, quoted) =
            (self.dialect.text(table), self.dialect.text(&self.dialect.name(table)));
        let sql = match self.dialect {
            Dialect::Sqlite => format!("SELECT name FROM pragma_table_info({name})"),
            Dialect::Postgresql => format!(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass({quoted}) AND attnum > 0 AND NOT attisdropped"
            ),
            Dialect::Mysql => format!(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = {name}"
            ),
        };
        self.texts(&sql)
            .map_err(|error| self.failed(&error, &format!("looking at table {table} in")))
    }

    fn check_columns(
        &self,
        table: &Table,
        mapping: &Mapping,
        columns: &[String],
    ) -> anyhow::Result<()> {
        let has = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        if has("asn_int") && has("asn_varchar") {
            return Err(Exit::Config.error(format!(
                "table {0} in {1} is one of the Python original: its columns asn_int and asn_varchar, and its CHECK on \
                 reverse_dns_status, take neither unknown values nor \"Errno 1\". Give another --table; once that is there, its \
                 rows can be copied: INSERT INTO … (server, event_time, ip, username, hostname, reverse_dns_status, \
                 country_code, asn, aso) SELECT server, event_time, ip, username, hostname, reverse_dns_status, country_code, \
                 asn_int, asn_varchar FROM {0}",
                table.name(),
                self.shown
            )));
        }
        let missing: Vec<_> =
            mapping.filled().map(|(name, _)| name).filter(|name| !has(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "table {} in {} has no column {}: give another --table, or a --mapping that fits this one",
            table.name(),
            self.shown,
            missing.join(", ")
        )))
    }

    /// `MyISAM` and its like keep half of a transaction that failed.
    fn check_engines(&mut self, table: &Table) -> anyhow::Result<()> {
        let names = [table.name(), &table.cursor(), &table.imports()]
            .map(|name| self.dialect.text(name))
            .join(", ");
        let sql = format!(
            "SELECT CONCAT(t.table_name, ' (', t.engine, ')') FROM information_schema.tables t LEFT JOIN information_schema.engines e \
             ON e.engine = t.engine WHERE t.table_schema = DATABASE() AND t.table_name IN ({names}) AND COALESCE(e.transactions, 'NO') <> 'YES'"
        );
        let tables =
            self.texts(&sql).map_err(|error| self.failed(&error, "looking at the tables of"))?;
        if tables.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "{} in {}: an engine without transactions cannot take rows exactly once; use ALTER TABLE … ENGINE=InnoDB",
            tables.join(", "),
            self.shown
        )))
    }
}

/// What comes of `work`, or that it has taken too long.
fn within<T>(
    limit: Duration,
    runtime: &Runtime,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late =
        || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer in {limit:?}"));
    runtime.block_on(async {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late().into()))
    })
}

async fn open(options: &ConnectOptions) -> anyhow::Result<Connection> {
    let server = match options {
        ConnectOptions::Sqlite(path) => {
            let options = connect_options::sqlite(path, true)?.disable_statement_logging();
            SqliteConnection::connect_with(&options).await.map(Connection::Sqlite)
        }
        ConnectOptions::Postgresql(options) => open_postgresql(options).await,
        ConnectOptions::Mysql(options) => open_mysql(options).await,
    };
    server.map_err(|error| {
        let exit = ErrorClass::of(&error).exit();
        exit.error(error)
    })
}

/// A session in which a backslash is one.
const POSTGRESQL_MODE: &str = "SET standard_conforming_strings = on";

async fn open_postgresql(options: &PgConnectOptions) -> Result<Connection, sqlx::Error> {
    let options = options
        .clone()
        .application_name("mls-sql")
        .statement_cache_capacity(1)
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(POSTGRESQL_MODE).execute(&mut connection).await?;
    Ok(Connection::Postgresql(connection))
}

/// A session in which every value either fits or is refused, and a quote is a quote.
const MYSQL_MODE: &str =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'";

async fn open_mysql(options: &MySqlConnectOptions) -> Result<Connection, sqlx::Error> {
    let options = options.clone().charset("utf8mb4").disable_statement_logging();
    let mut connection = MySqlConnection::connect_with(&options).await?;
    sqlx::raw_sql(MYSQL_MODE).execute(&mut connection).await?;
    Ok(Connection::Mysql(connection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_is_not_answered_is_given_up_for_this_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut database =
            Database::connect(&ConnectOptions::Sqlite(dir.path().join("x.db"))).unwrap();
        database.limit = Duration::from_millis(10);
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) || '' FROM n";
        let error = database.texts(endless).unwrap_err();
        assert_eq!(ErrorClass::of(&error), ErrorClass::Temporary);
        assert!(
            database.failed(&error, "asking").to_string().ends_with("no answer in 10ms"),
            "{error}"
        );
    }
}
