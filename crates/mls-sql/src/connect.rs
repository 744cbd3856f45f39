//! Opens a connection to a database, with retries while the server is down.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use mls_diag::Exit;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::connect_options::{self, ConnectOptions};
use crate::database::describe;
use crate::error_class::ErrorClass;
use crate::relay::{Protocol, Relay};

/// Pauses between attempts: 0.25, 0.5, 1, 2, 4 and 8 seconds. A restart of a server takes less time.
const BACKOFF: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(250)).with_max_times(6);

/// Timeout of the first attempt. It is short, so that an administrator soon sees the warning that a
/// server does not answer.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of each other attempt, and of closing a connection.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// After this time there are no more attempts.
const MAX_RETRY_TIME: Duration = Duration::from_secs(20);

/// What errors say if no server is there.
const REFUSED: &str = "Connection refused";
const UNKNOWN_HOST: &str = "failed to lookup address information";
/// What to do then.
const ABSENT: &str = "; no database server is there: check that it runs, and db_host and db_port in [database], or --url";

/// An open connection. sqlx has one type for each database.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgresql(PgConnection, Relay),
    Mysql(MySqlConnection, Relay),
}

/// Connects. While the server is down, tries again after growing pauses.
///
/// # Errors
/// Exit 75 if the server stays down, else the exit code of the error's [`ErrorClass`].
pub(crate) async fn connect(options: &ConnectOptions) -> anyhow::Result<Connection> {
    let (shown, begun) = (options.shown(), Instant::now());
    let (mut timeout, mut pauses) = (FIRST_TIMEOUT, BACKOFF.build());
    loop {
        let result = match tokio::time::timeout(timeout, open(options)).await {
            Ok(result) => result,
            Err(_) => Err(Exit::TempFail.error(format!("no answer within {timeout:?}"))),
        };
        let error = match result {
            Ok(connection) => return Ok(connection),
            Err(error) => error.context(format!("connecting to {shown}")),
        };
        let pause = pauses
            .next()
            .filter(|_| Exit::of(&error) == Exit::TempFail && begun.elapsed() < MAX_RETRY_TIME);
        let Some(pause) = pause else {
            let text = format!("{error:#}");
            let is_absent = [REFUSED, UNKNOWN_HOST].iter().any(|words| text.contains(words));
            return Err(if is_absent { Exit::TempFail.error(text + ABSENT) } else { error });
        };
        if timeout == FIRST_TIMEOUT {
            log::warn!("{error:#}; retrying for {MAX_RETRY_TIME:?}");
        } else {
            log::info!("{error:#}; retrying in {pause:?}");
        }
        timeout = TIMEOUT;
        tokio::time::sleep(pause).await;
    }
}

async fn open(options: &ConnectOptions) -> anyhow::Result<Connection> {
    let connection = match options {
        ConnectOptions::Sqlite(path) => {
            let options = connect_options::sqlite(path, true)?.disable_statement_logging();
            SqliteConnection::connect_with(&options).await.map(Connection::Sqlite)
        }
        ConnectOptions::Postgresql(postgresql) => {
            let socket_name = format!(".s.PGSQL.{}", postgresql.get_port());
            let relay = start_relay(options, Protocol::Postgresql, &socket_name).await?;
            let connection = open_postgresql(postgresql, &relay).await;
            connection
                .map_err(|error| relay.explain(error))
                .map(|connection| Connection::Postgresql(connection, relay))
        }
        ConnectOptions::Mysql(mysql) => {
            let relay = start_relay(options, Protocol::Mysql, MYSQL_SOCKET).await?;
            let connection = open_mysql(mysql, &relay).await;
            connection
                .map_err(|error| relay.explain(error))
                .map(|connection| Connection::Mysql(connection, relay))
        }
    };
    connection.map_err(|error| ErrorClass::of(&error).exit().error(describe(&error)))
}

const MYSQL_SOCKET: &str = "mysql";

async fn start_relay(
    options: &ConnectOptions,
    protocol: Protocol,
    socket_name: &str,
) -> anyhow::Result<Relay> {
    let endpoint = options.endpoint().context("a database in a file has no server")?;
    Relay::start(&endpoint, protocol, socket_name).await.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPerm.error(error),
        _ => Exit::TempFail.error(error),
    })
}

/// In this mode, a backslash in a plain literal is a backslash.
pub(crate) const POSTGRESQL_MODE: &str = "SET standard_conforming_strings = on";

/// If this machine loses its power or its network, the server ends the session after a minute. By
/// default it waits two hours, and the transaction holds its locks (PostgreSQL manual 20.3.2).
const POSTGRESQL_KEEPALIVE: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
                                    SET tcp_keepalives_count = 3";

async fn open_postgresql(
    options: &PgConnectOptions,
    relay: &Relay,
) -> Result<PgConnection, sqlx::Error> {
    let options = options
        .clone()
        .socket(relay.directory())
        .application_name("mls-sql")
        .statement_cache_capacity(1)
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(POSTGRESQL_MODE).execute(&mut connection).await?;
    sqlx::raw_sql(POSTGRESQL_KEEPALIVE).execute(&mut connection).await?;
    Ok(connection)
}

/// In this mode, MySQL refuses values that do not fit, and a double quote starts a literal.
const MYSQL_MODE: &str =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'";

async fn open_mysql(
    options: &MySqlConnectOptions,
    relay: &Relay,
) -> Result<MySqlConnection, sqlx::Error> {
    let options = options
        .clone()
        .socket(relay.directory().join(MYSQL_SOCKET))
        .charset("utf8mb4")
        .disable_statement_logging();
    let mut connection = MySqlConnection::connect_with(&options).await?;
    sqlx::raw_sql(MYSQL_MODE).execute(&mut connection).await?;
    Ok(connection)
}
