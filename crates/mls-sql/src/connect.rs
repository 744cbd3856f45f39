//! Opens a connection to a database, with retries while the server is down.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use mls_diag::{Exit, certificate};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::connect_options::{self, ConnectOptions};
use crate::database::describe;
use crate::error_class::ErrorClass;
use crate::relay::Relay;

/// Pauses between attempts: 0.25, 0.5, 1, 2, 4 and 8 seconds. The sum (16 seconds) is longer than a
/// restart of a server takes.
const BACKOFF: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(250)).with_max_times(6);

/// Timeout of the first attempt. It is short, so that the administrator soon sees a warning if the
/// server does not answer.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of each later attempt to connect, and of closing a connection.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// If an attempt fails 20 seconds after the start or later, mls-sql does not retry.
const MAX_RETRY_TIME: Duration = Duration::from_secs(20);

/// An open connection. sqlx has different types for SQLite, PostgreSQL and MySQL.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgresql(PgConnection, Relay),
    Mysql(MySqlConnection, Relay),
}

/// Connects. While the server is down, tries again after growing pauses. If the server stays down,
/// the exit code is 75. For any other error, it is the code of the [`ErrorClass`].
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
        let text = certificate::explained(&format!("{error:#}"));
        let text = format!("{text}{}", cure(&text));
        let pause = pauses
            .next()
            .filter(|_| Exit::of(&error) == Exit::TempFail && begun.elapsed() < MAX_RETRY_TIME);
        let Some(pause) = pause else {
            return Err(Exit::of(&error).error(text));
        };
        if timeout == FIRST_TIMEOUT {
            log::warn!("{text}; retrying for {MAX_RETRY_TIME:?}");
        } else {
            log::info!("{text}; retrying in {pause:?}");
        }
        timeout = TIMEOUT;
        tokio::time::sleep(pause).await;
    }
}

/// Words in the text of an error, and the advice to add to that text.
const CURES: [(&str, &str); 9] = [
    (
        "Connection refused",
        "; no database server listens there: check that it runs, and check db_host and db_port in \
         [database], or --url",
    ),
    (
        "opening the socket: No such file or directory",
        "; no database server has this socket: check that it runs, and check db_host and db_port \
         in [database], or --url",
    ),
    (
        "response from SSLRequest",
        "; the server there does not speak the protocol of PostgreSQL: check db_host and db_port in \
         [database], or --url",
    ),
    (
        "no answer within",
        "; check that a database server of this kind runs there, and check db_host and db_port in \
         [database], or --url",
    ),
    (
        "failed to lookup address information",
        "; check db_host in [database], or --url, and the DNS of this machine",
    ),
    (
        "server does not support TLS",
        "; this connection must be encrypted: switch TLS on in the database server",
    ),
    ("UnknownIssuer", ", or set ssl_root in [database] to that file"),
    (
        "readonly database",
        "; SQLite writes files beside the database, so its directory must be writable too",
    ),
    (
        "disk I/O error",
        "; check whether the file system of the database is full (df), or the disk is broken",
    ),
];

fn cure(text: &str) -> &'static str {
    CURES.iter().find(|(words, _)| text.contains(words)).map_or("", |(_, cure)| *cure)
}

/// If the server has refused the login or the database, returns advice. For other errors, returns
/// an empty text.
fn cure_of_refusal(error: &sqlx::Error) -> &'static str {
    let sqlx::Error::Database(error) = error else { return "" };
    let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    match (number, error.code().as_deref()) {
        (Some(1044 | 1049), _) | (None, Some("3D000")) => {
            "; create the database and give this user rights on it (GRANT), or check db_name in \
             [database], or --url"
        }
        (Some(1045), _) | (None, Some("28P01")) => {
            "; check db_user and db_password_file in [database], or --url and --password-file"
        }
        (Some(1698), _) | (None, Some("28000")) => {
            "; the server does not know this user, or does not allow this way to log in: create \
             the user, or let it log in from this machine with a password (see CREATE USER, \
             pg_hba.conf). Then set db_host and db_password_file in [database], or use --url and \
             --password-file"
        }
        _ => "",
    }
}

async fn open(options: &ConnectOptions) -> anyhow::Result<Connection> {
    let connection = match options {
        ConnectOptions::Sqlite(path) => {
            let options = connect_options::sqlite(path)?.disable_statement_logging();
            SqliteConnection::connect_with(&options).await.map(Connection::Sqlite)
        }
        ConnectOptions::Postgresql(postgresql) => {
            let socket_name = format!(".s.PGSQL.{}", postgresql.get_port());
            let relay = start_relay(options, &socket_name).await?;
            let connection = open_postgresql(postgresql, &relay).await;
            connection
                .map_err(|error| relay.explain(error))
                .map(|connection| Connection::Postgresql(connection, relay))
        }
        ConnectOptions::Mysql(mysql) => {
            let relay = start_relay(options, MYSQL_SOCKET).await?;
            let connection = open_mysql(mysql, &relay).await;
            connection
                .map_err(|error| relay.explain(error))
                .map(|connection| Connection::Mysql(connection, relay))
        }
    };
    connection.map_err(|error| {
        let text = describe(&error) + cure_of_refusal(&error);
        ErrorClass::of(&error).exit().error(text)
    })
}

const MYSQL_SOCKET: &str = "mysql";

async fn start_relay(options: &ConnectOptions, socket_name: &str) -> anyhow::Result<Relay> {
    let endpoint = options.endpoint().context("a database in a file has no server")?;
    let relay = Relay::start(&endpoint, options.dialect(), socket_name).await;
    relay.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPerm.error(error),
        _ => Exit::TempFail.error(error),
    })
}

/// The settings of each session. A backslash in `'…'` is an ordinary character. If this machine
/// loses power or network, the keepalives make the server end the session after a minute. By
/// default the server waits for two hours, and the locks of the open transaction stay that long
/// (PostgreSQL manual 20.3.2).
pub(crate) const POSTGRESQL_SETTINGS: &str = "SET standard_conforming_strings = on; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

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
    sqlx::raw_sql(POSTGRESQL_SETTINGS).execute(&mut connection).await?;
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

#[cfg(test)]
mod tests {
    use mls_config::config::Database as Settings;

    use super::*;
    use crate::args::DatabaseFlags;

    #[test]
    fn unknown_host_refused_connection_and_missing_socket_have_their_own_cures() {
        // A host name with more than 63 characters between dots is not valid, so the resolver
        // asks no server.
        let no_host = format!("postgres://mls@{}.invalid/mls", "x".repeat(64));
        for (url, cure) in [
            (no_host.as_str(), "and the DNS of this machine"),
            ("mysql://mls@127.0.0.1:1/mls", "no database server listens there"),
            ("mysql://mls@h/mls?socket=/nonexistent/s", "no database server has this socket"),
        ] {
            let flags = DatabaseFlags { url: Some(url.to_owned()), password_file: None };
            let options = ConnectOptions::new(&flags, &Settings::default()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let error = runtime.unwrap().block_on(open(&options)).err().unwrap();
            assert_eq!(Exit::of(&error), Exit::TempFail, "{error:#}");
            let text = format!("{error:#}");
            assert!(super::cure(&text).contains(cure), "{text}");
        }
        let of_certificates = "attempting to establish a TLS connection: No such file or directory";
        assert_eq!(cure(of_certificates), "");
    }
}
