//! Runs statements on a connection to SQLite, PostgreSQL or MySQL, with the same functions for all.

use std::time::Duration;

use anyhow::Context;
use mls_diag::Exit;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, Connection as _, Row};
use tokio::runtime::Runtime;

use crate::connect::{self, Connection, POSTGRESQL_SETTINGS, TIMEOUT};
use crate::connect_options::ConnectOptions;
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::schema::TableName;

/// How long a server may take for a statement. Without this limit, mls-sql would wait forever if
/// the machine of the server dies: the kernel limits only the time for sending, also to about 15
/// minutes (tcp(7), `tcp_retries2`).
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(15);

/// A connection to a database.
pub(crate) struct Database {
    runtime: Runtime,
    connection: Connection,
    pub(crate) dialect: Dialect,
    /// The table of events.
    pub(crate) table: TableName,
    /// The name of the database in messages.
    pub(crate) shown: String,
    /// MySQL's `max_allowed_packet` in bytes: each statement must be shorter.
    max_packet: Option<usize>,
    /// How long a statement may take.
    limit: Duration,
}

/// Runs `$do` on the connection. The relay explains an error if it has ended the connection.
macro_rules! each {
    ($connection_enum:expr, $connection:ident => $do:expr) => {
        match $connection_enum {
            Connection::Sqlite($connection) => $do,
            Connection::Postgresql($connection, relay) => $do.map_err(|error| relay.explain(error)),
            Connection::Mysql($connection, relay) => $do.map_err(|error| relay.explain(error)),
        }
    };
}

impl Database {
    /// Connects, runs `work`, and closes the connection. When SQLite closes a database, it moves
    /// the write-ahead log into the database file, so that the database is one file again.
    pub(crate) fn with<T>(
        options: &ConnectOptions,
        table: &TableName,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut database = Self::connect(options, table)?;
        let result = work(&mut database);
        let Self { runtime, connection, .. } = database;
        // The work is finished. Do not wait long for a server that does not answer.
        let close = async {
            let (_, relay) = match connection {
                Connection::Sqlite(c) => (c.close().await, None),
                Connection::Postgresql(c, relay) => (c.close().await, Some(relay)),
                Connection::Mysql(c, relay) => (c.close().await, Some(relay)),
            };
            if let Some(relay) = relay {
                relay.finish().await;
            }
        };
        let _ = runtime.block_on(async { tokio::time::timeout(TIMEOUT, close).await });
        result
    }

    /// Works like [`with`](Self::with), but does not create an SQLite file. If the file does not
    /// exist, fails with exit 66.
    pub(crate) fn existing<T>(
        options: &ConnectOptions,
        table: &TableName,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if !options.exists() {
            let shown = options.shown();
            return Err(Exit::NoInput.error(format!(
                "there is no database {shown}; check --url, or db_path in [database] (mls-sql load \
                 creates the database)"
            )));
        }
        Self::with(options, table, work)
    }

    fn connect(options: &ConnectOptions, table: &TableName) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting tokio")?;
        let connection = runtime.block_on(connect::connect(options))?;
        let (dialect, table, shown) = (options.dialect(), table.clone(), options.shown());
        let limit = if dialect == Dialect::Sqlite { Duration::MAX } else { STATEMENT_TIMEOUT };
        let max_packet = None;
        let mut database = Self { runtime, connection, dialect, table, shown, max_packet, limit };
        if dialect == Dialect::Mysql {
            let sql = "SELECT CAST(@@max_allowed_packet AS CHAR)";
            let max_packet = database.texts(sql, "asking for max_allowed_packet of")?;
            database.max_packet = max_packet.first().and_then(|text| text.parse().ok());
        }
        Ok(database)
    }

    /// Runs one statement and returns how many rows it changed. If the statement is longer than
    /// MySQL's `max_allowed_packet`, fails with `InvalidArgument` and does not send the statement:
    /// MySQL would drop the connection, and the error message of MySQL would be lost.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        self.check_length(sql)?;
        let Self { runtime, connection, limit, .. } = self;
        within(*limit, runtime, async {
            each!(connection, c => {
                let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *c).await;
                result.map(|result| result.rows_affected())
            })
        })
    }

    /// Runs one statement of an SQL file, without a time limit. PostgreSQL and MySQL get a prepared
    /// statement, and refuse it if the text contains a second statement: a COMMIT that the splitter
    /// did not see. For SQLite see [`allow_commits`](Self::allow_commits).
    pub(crate) fn execute_one(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.check_length(sql)?;
        let Self { runtime, connection, .. } = self;
        let sql = AssertSqlSafe(sql);
        let result = runtime.block_on(async {
            match connection {
                Connection::Sqlite(c) => sqlx::raw_sql(sql).execute(c).await.map(drop),
                // `persistent(true)` gives the statement a name. PostgreSQL would forget a
                // statement without a name when sqlx asks for an unknown type.
                Connection::Postgresql(c, relay) => {
                    let result = sqlx::query(sql).persistent(true).execute(c).await;
                    result.map(drop).map_err(|error| relay.explain(error))
                }
                Connection::Mysql(c, relay) => {
                    let result = sqlx::query(sql).persistent(false).execute(c).await;
                    result.map(drop).map_err(|error| relay.explain(error))
                }
            }
        });
        result.map_err(error_of_file)
    }

    /// Undoes the session settings of an SQL file. For example, a file of `pg_dump` empties
    /// `search_path`, so that PostgreSQL does not find our tables.
    pub(crate) fn reset(&mut self) -> anyhow::Result<()> {
        if self.dialect == Dialect::Postgresql {
            self.must(&format!("RESET ALL; {POSTGRESQL_SETTINGS}"), "resetting the session in")?;
        }
        Ok(())
    }

    /// Allows or forbids SQLite to commit. While commits are forbidden, a COMMIT fails, and SQLite
    /// rolls back the transaction. For other databases, does nothing.
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
        let Some(max_packet) = self.max_packet.filter(|max_packet| sql.len() + 1 >= *max_packet)
        else {
            return Ok(());
        };
        let bytes = sql.len();
        Err(sqlx::Error::InvalidArgument(format!(
            "a statement of {bytes} bytes is too long for max_allowed_packet = {max_packet}; \
             increase max_allowed_packet in the database server"
        )))
    }

    /// Returns the first column of a query's result. The column must be text. Skips rows in which
    /// this column is NULL.
    pub(crate) fn texts(&mut self, sql: &str, doing: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.rows(sql, doing)?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// Returns a query's result. Each column must be text.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        doing: &str,
    ) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let Self { runtime, connection, limit, .. } = self;
        let rows = within(*limit, runtime, async {
            each!(connection, c => {
                let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *c).await;
                // Do not check the type: MySQL declares text with a binary collation as bytes.
                rows.and_then(|rows| {
                    let text = |row, n| Row::try_get_unchecked::<Option<String>, _>(row, n);
                    let texts = |row| (0..Row::len(row)).map(|n| text(row, n)).collect();
                    rows.iter().map(texts).collect()
                })
            })
        });
        rows.map_err(|error| self.failed(&error, doing))
    }

    /// Runs a `COPY … FROM STDIN` of PostgreSQL with `bytes` as its input.
    pub(crate) fn copy(&mut self, statement: &str, bytes: &[u8]) -> Result<(), sqlx::Error> {
        let Connection::Postgresql(connection, relay) = &mut self.connection else {
            return Err(sqlx::Error::Protocol("only PostgreSQL has COPY FROM STDIN".into()));
        };
        let result = within(self.limit, &self.runtime, async {
            let mut copy = connection.copy_in_raw(statement).await?;
            match copy.send(bytes).await {
                Ok(_) => copy.finish().await.map(drop),
                Err(error) => Err(error),
            }
        });
        result.map_err(|error| relay.explain(error))
    }

    /// Works like [`execute`](Self::execute), but the error has the exit code of its
    /// [`ErrorClass`]. The text of the error begins with `doing` and names the database.
    pub(crate) fn must(&mut self, sql: &str, doing: &str) -> anyhow::Result<u64> {
        let result = self.execute(sql);
        result.map_err(|error| self.failed(&error, doing))
    }

    /// Adds its exit code, the name of the database and `doing` (`reading rows from`) to an error.
    pub(crate) fn failed(&self, error: &sqlx::Error, doing: &str) -> anyhow::Error {
        let class = ErrorClass::of(error);
        let cure = match class {
            ErrorClass::Privilege if self.dialect == Dialect::Mysql => {
                "; grant this right to the user of the database (GRANT)"
            }
            ErrorClass::Privilege => {
                "; grant this right to the user of the database (GRANT). For a fleet of mail \
                 servers, mls-sql schema --fleet prints the grants"
            }
            _ => "",
        };
        class.exit().error(format!("{doing} {}: {}{cure}", self.shown, describe(error)))
    }

    /// Returns the name of the table of events, in quotes.
    pub(crate) fn events(&self) -> String {
        self.dialect.name(self.table.name())
    }

    /// Returns the name of the table of cursors, in quotes.
    pub(crate) fn cursors(&self) -> String {
        self.dialect.name(&self.table.cursor())
    }

    /// Begins a transaction that may write.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        let begin =
            if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "START TRANSACTION" };
        self.must(begin, "beginning a transaction in").map(drop)
    }
}

/// Returns the text of an error. sqlx adds the line number in PostgreSQL's source code; this
/// function does not.
pub(crate) fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => match error.hint() {
                Some(hint) => format!("{} ({hint})", error.message()),
                None => error.message().to_owned(),
            },
            None => error.to_string(),
        },
        // Remove ` (sqlx…`: the position in the source code of sqlx, which sqlx adds.
        sqlx::Error::Protocol(text) => text.split(" (sqlx").next().unwrap_or(text).to_owned(),
        _ => error.to_string(),
    }
}

/// Turns errors that only a statement of an SQL file can cause into `InvalidArgument`, so that the
/// exit code is 65.
fn error_of_file(error: sqlx::Error) -> sqlx::Error {
    let sqlx::Error::Database(what) = &error else { return error };
    match what.code().as_deref() {
        // SQLITE_CONSTRAINT_COMMITHOOK: `allow_commits` has forbidden a COMMIT.
        Some("531") => sqlx::Error::InvalidArgument(
            "this statement ends the transaction, but a file is one transaction; remove it".into(),
        ),
        // PostgreSQL's protocol_violation: a placeholder such as $1 has no value.
        Some("08P01") => sqlx::Error::InvalidArgument(what.message().into()),
        _ => error,
    }
}

/// Runs `work`, and gives up after `limit`.
fn within<T>(
    limit: Duration,
    runtime: &Runtime,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late =
        || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit:?}"));
    runtime.block_on(async {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late().into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_without_an_answer_times_out_as_a_temporary_error() {
        let dir = tempfile::tempdir().unwrap();
        let options = ConnectOptions::Sqlite(dir.path().join("x.db"));
        let mut database = Database::connect(&options, &TableName::default()).unwrap();
        database.limit = Duration::from_millis(10);
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) || '' FROM n";
        let error = database.texts(endless, "asking").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::TempFail);
        assert!(error.to_string().ends_with("no answer within 10ms"), "{error}");
    }
}
