//! The options of a connection: address, credentials and TLS.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use mls_config::config::{Database as Settings, DbType, Password, is_host};
use mls_config::secret;
use mls_diag::Exit;
use mls_diag::denied::explained;
use mls_state::regular;
use rustix::process::{Resource, Rlimit, setrlimit};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::args::DatabaseFlags;
use crate::dialect::Dialect;
use crate::relay::Endpoint;

/// How long to wait for a locked SQLite database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(crate) enum ConnectOptions {
    Sqlite(PathBuf),
    Postgresql(PgConnectOptions),
    Mysql(MySqlConnectOptions),
}

/// Sets the address, the user and the client's certificate. It is a macro because sqlx has
/// different types of options for PostgreSQL and MySQL.
macro_rules! with_server {
    ($options:expr, $settings:expr) => {{
        check_server($settings)?;
        let mut options = $options;
        match $settings.db_host.as_deref() {
            Some(socket) if socket.starts_with('/') => options = options.socket(socket),
            Some(host) => options = options.host(host),
            None => {}
        }
        if let Some(port) = $settings.db_port {
            options = options.port(port.get());
        }
        if let Some(user) = &$settings.db_user {
            options = options.username(user);
        }
        if let Some((cert, key)) = client_certificate($settings)? {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        options
    }};
}

impl ConnectOptions {
    /// Reads `--url`. If `--url` is missing, reads `[database]` of the configuration.
    pub(crate) fn new(flags: &DatabaseFlags, settings: &Settings) -> anyhow::Result<Self> {
        let options = match &flags.url {
            Some(url) => Self::from_url(url)?,
            None => Self::from_settings(settings)?,
        };
        let password = match (&flags.password_file, &settings.db_password_file) {
            (Some(file), _) => Some(secret::read("--password-file", file)?),
            (None, Some(file)) => Some(secret::read("db_password_file", file)?),
            (None, None) => settings.db_password.clone().map(|Password(password)| password),
        };
        if password.is_some() {
            // Forbid core files, which would contain the password. Every process may lower its
            // limits, so ignore the result.
            let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        }
        Ok(match (options, password) {
            (Self::Postgresql(options), Some(password)) => {
                Self::Postgresql(options.password(&password))
            }
            (Self::Mysql(options), Some(password)) => Self::Mysql(options.password(&password)),
            (options, _) => options,
        })
    }

    fn from_url(url: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        // An error message must not show a password. So refuse every text with a `:` before an
        // `@`, even if the text is not a valid URL.
        let with_password = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let hidden = query
            .split('&')
            .filter_map(|pair| pair.split('=').next())
            .any(|key| key == "password" || key.contains('%'));
        if scheme != "sqlite" && (with_password || hidden) {
            return Err(Exit::Usage.error(
                "--url contains a password, and every user of this machine can read command \
                 lines; use --password-file",
            ));
        }
        let chosen = rest.contains("sslmode=") || rest.contains("ssl-mode=");
        match scheme {
            "sqlite" if !rest.is_empty() => {
                sqlite_file(Path::new(rest), "sqlite:").map_err(|why| bad_url(&why))
            }
            "postgres" | "postgresql" => {
                let mut options = PgConnectOptions::from_str(url).map_err(|why| bad_url(&why))?;
                check_port(options.get_port())?;
                if options.get_database().is_none() {
                    // psql also uses the name of the user if the name of the database is missing.
                    let user = options.get_username().to_owned();
                    options = options.database(&user);
                }
                Ok(Self::Postgresql(if chosen { options } else { verified_postgresql(options) }))
            }
            "mysql" | "mariadb" => {
                let options = MySqlConnectOptions::from_str(url).map_err(|why| bad_url(&why))?;
                check_port(options.get_port())?;
                if options.get_database().is_none() {
                    return Err(bad_url(&NO_NAME));
                }
                Ok(Self::Mysql(if chosen { options } else { verified_mysql(options) }))
            }
            _ => Err(bad_url(
                &"use sqlite:FILE, postgres://USER@HOST/NAME or mysql://USER@HOST/NAME",
            )),
        }
    }

    fn from_settings(settings: &Settings) -> anyhow::Result<Self> {
        let name = settings.db_name.as_deref().unwrap_or("maillogsentinel");
        match settings.db_type.unwrap_or(DbType::Sqlite) {
            DbType::Sqlite => {
                let path = settings.db_path.as_deref();
                let path = path.ok_or_else(|| {
                    Exit::Usage.error("no database; give --url, or --config with a database")
                })?;
                sqlite_file(path, "")
                    .map_err(|why| Exit::Config.error(format!("[database] db_path: {why}")))
            }
            DbType::Postgresql => {
                let options = with_server!(PgConnectOptions::new().database(name), settings);
                let mut options = verified_postgresql(options);
                if let Some(root) = &settings.ssl_root {
                    options = options.ssl_root_cert(root).ssl_mode(PgSslMode::VerifyFull);
                }
                Ok(Self::Postgresql(options))
            }
            DbType::Mysql => {
                let options = with_server!(MySqlConnectOptions::new().database(name), settings);
                let mut options = verified_mysql(options);
                if let Some(root) = &settings.ssl_root {
                    options = options.ssl_ca(root).ssl_mode(MySqlSslMode::VerifyIdentity);
                }
                Ok(Self::Mysql(options))
            }
        }
    }

    /// Returns `false` if an SQLite file does not exist. Returns `true` in all other cases.
    pub(crate) fn exists(&self) -> bool {
        // If the check fails, return `true`: opening the file also fails and reports why.
        !matches!(self, Self::Sqlite(path) if !path.try_exists().unwrap_or(true))
    }

    /// Returns where the server listens; `None` for SQLite.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgresql(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                let directory = options.get_socket().cloned();
                let directory =
                    directory.or_else(|| host.starts_with('/').then(|| PathBuf::from(host)));
                Some(match directory {
                    Some(directory) => Endpoint::Socket(directory.join(format!(".s.PGSQL.{port}"))),
                    None => Endpoint::Tcp(unbracketed(host).to_owned(), port),
                })
            }
            Self::Mysql(options) => Some(match options.get_socket() {
                Some(path) => Endpoint::Socket(path.clone()),
                None => {
                    Endpoint::Tcp(unbracketed(options.get_host()).to_owned(), options.get_port())
                }
            }),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgresql(_) => Dialect::Postgresql,
            Self::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Returns the text for messages: `PostgreSQL database mail at mx1.test, port 5432`.
    pub(crate) fn shown(&self) -> String {
        let (kind, database) = match self {
            Self::Sqlite(path) => return path.display().to_string(),
            Self::Postgresql(options) => ("PostgreSQL", options.get_database()),
            Self::Mysql(options) => ("MySQL", options.get_database()),
        };
        let place = match self.endpoint() {
            Some(Endpoint::Tcp(host, port)) => format!("{host}, port {port}"),
            Some(Endpoint::Socket(path)) => path.display().to_string(),
            None => String::new(),
        };
        format!("{kind} database {} at {place}", database.unwrap_or_default())
    }
}

/// Checks `db_host`: a host name, an IP address or the absolute path of a socket. Checks that the
/// files `ssl_root` and `ssl_cert` can be read.
fn check_server(settings: &Settings) -> anyhow::Result<()> {
    let host = settings.db_host.as_deref().filter(|host| !host.starts_with('/'));
    if let Some(other) = host.filter(|host| !is_host(host)) {
        return Err(Exit::Config.error(format!(
            "[database] db_host = {other:?} is not allowed; give a host name, an IP address, or the \
             absolute path of a socket (for PostgreSQL, of its directory); the port is in db_port"
        )));
    }
    for (key, file) in [("ssl_root", &settings.ssl_root), ("ssl_cert", &settings.ssl_cert)] {
        let Some(path) = file else { continue };
        std::fs::File::open(path)
            .map_err(|error| explained(error, path))
            .with_context(|| format!("[database] {key}: reading {}", path.display()))?;
    }
    Ok(())
}

/// Returns the paths `ssl_cert` and `ssl_key`: the certificate that this machine shows, and the key
/// of the certificate. If only one path is set, exit 78. If everybody may read the key, exit 77.
fn client_certificate(settings: &Settings) -> anyhow::Result<Option<(&Path, &Path)>> {
    let (cert, key) = match (&settings.ssl_cert, &settings.ssl_key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return Ok(None),
        _ => {
            return Err(Exit::Config
                .error("[database] ssl_cert and ssl_key belong together: set both or neither"));
        }
    };
    secret::check_readers("ssl_key", key)?;
    Ok(Some((cert, key)))
}

const NO_NAME: &str = "the name of the database is missing; append /NAME";

fn check_port(port: u16) -> anyhow::Result<()> {
    if port == 0 { Err(bad_url(&"give a port from 1 to 65535")) } else { Ok(()) }
}

fn bad_url(why: &dyn std::fmt::Display) -> anyhow::Error {
    Exit::Usage.error(format!("--url is not the URL of a database: {why}"))
}

/// Refuses `:memory:` and names that begin with `file:`. With such a name, SQLite can create a
/// database in memory, so rows could be lost when the tool ends.
fn sqlite_file(path: &Path, before: &str) -> Result<ConnectOptions, String> {
    let name = path.to_string_lossy();
    if name == ":memory:" || name.starts_with("file:") {
        return Err(format!(
            "SQLite does not read {name} as the name of a file; use {before}/path/to/file.db, or \
             {before}./{name} if the file has that name"
        ));
    }
    Ok(ConnectOptions::Sqlite(path.to_owned()))
}

/// Returns the options to open an SQLite file. With WAL, readers never wait for the writer. With
/// `synchronous = FULL`, a commit survives a power failure.
pub(crate) fn sqlite(path: &Path) -> anyhow::Result<SqliteConnectOptions> {
    // If SQLite created the file, everybody could read it. So create the file here. It contains
    // user names, and some users type their password in place of their name.
    regular::append(path)?;
    Ok(SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Inserts change pages of the indexes in random order. With the default cache of 2 MB,
        // SQLite would read and write most of these pages many times. A negative value is in KiB.
        .pragma("cache_size", "-10000")
        .busy_timeout(BUSY_TIMEOUT))
}

/// Requires that a server on another machine proves its identity. A server on this machine does
/// not need to: nobody on the network can reach a local connection.
fn verified_postgresql(options: PgConnectOptions) -> PgConnectOptions {
    let local = options.get_socket().is_some() || is_local(options.get_host());
    options.ssl_mode(if local { PgSslMode::Prefer } else { PgSslMode::VerifyFull })
}

fn verified_mysql(options: MySqlConnectOptions) -> MySqlConnectOptions {
    let local = options.get_socket().is_some() || is_local(options.get_host());
    options.ssl_mode(if local { MySqlSslMode::Preferred } else { MySqlSslMode::VerifyIdentity })
}

/// Returns the host of a URL without the brackets around an IPv6 address.
fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_local(host: &str) -> bool {
    let host = unbracketed(host);
    host == "localhost"
        || host.starts_with('/')
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_on_another_machine_must_prove_its_identity_unless_the_url_says_otherwise() {
        let postgresql = |url: &str| match ConnectOptions::from_url(url).unwrap() {
            ConnectOptions::Postgresql(options) => format!("{:?}", options.get_ssl_mode()),
            other => panic!("{other:?}"),
        };
        assert_eq!(postgresql("postgres://u@db.example.com/x"), "VerifyFull");
        assert_eq!(postgresql("postgres://u@192.0.2.1/x"), "VerifyFull");
        assert_eq!(postgresql("postgres://u@db.example.com/x?sslmode=require"), "Require");
        for local in [
            "postgres://u@localhost/x",
            "postgres://u@[::1]:5433/x",
            "postgres://u@h/x?host=/run/postgresql",
        ] {
            assert_eq!(postgresql(local), "Prefer", "{local}");
        }
        let mysql = |url: &str| match ConnectOptions::from_url(url).unwrap() {
            ConnectOptions::Mysql(options) => format!("{:?}", options.get_ssl_mode()),
            other => panic!("{other:?}"),
        };
        assert_eq!(mysql("mysql://u@db.example.com/x"), "VerifyIdentity");
        assert_eq!(mysql("mysql://u@127.0.0.1/x"), "Preferred");
    }

    #[test]
    fn url_may_omit_the_database_only_for_postgresql_where_it_is_named_like_the_user() {
        let options = ConnectOptions::from_url("postgres://anna@127.0.0.1:5433").unwrap();
        assert_eq!(options.shown(), "PostgreSQL database anna at 127.0.0.1, port 5433");
        for (url, why) in
            [("mysql://u@h", "append /NAME"), ("postgres://u@h:0/x", "give a port from 1 to 65535")]
        {
            let error = ConnectOptions::from_url(url).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Usage);
            assert!(error.to_string().ends_with(why), "{error}");
        }
    }

    #[test]
    fn wrong_host_or_file_of_authorities_is_refused_with_its_key() {
        let postgresql = || Settings { db_type: Some(DbType::Postgresql), ..Settings::default() };
        for (settings, exit, why) in [
            (
                Settings { db_host: Some("db.test:5432".into()), ..postgresql() },
                Exit::Config,
                "[database] db_host = \"db.test:5432\" is not allowed; give a host name",
            ),
            (
                Settings { ssl_root: Some("/nonexistent".into()), ..postgresql() },
                Exit::NoInput,
                "[database] ssl_root: reading /nonexistent",
            ),
        ] {
            let error = ConnectOptions::from_settings(&settings).unwrap_err();
            assert_eq!(Exit::of(&error), exit);
            assert!(format!("{error:#}").starts_with(why), "{error:#}");
        }
    }

    #[test]
    fn path_that_sqlite_does_not_read_as_a_file_name_is_refused() {
        for path in [":memory:", "file:x.db", "file:/x.db?mode=memory", "file:"] {
            for url in [format!("sqlite:{path}"), format!("sqlite://{path}")] {
                assert_eq!(
                    Exit::of(&ConnectOptions::from_url(&url).unwrap_err()),
                    Exit::Usage,
                    "{url}"
                );
            }
            let settings = Settings { db_path: Some(path.into()), ..Settings::default() };
            let error = ConnectOptions::from_settings(&settings).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Config, "{path}");
            assert!(error.to_string().starts_with("[database] db_path"), "{error}");
        }
        for path in ["./file:x.db", "./:memory:", "/file:x.db", "files", "x.db?mode=memory"] {
            assert!(
                matches!(ConnectOptions::from_url(&format!("sqlite:{path}")), Ok(ConnectOptions::Sqlite(file)) if file == Path::new(path))
            );
        }
    }

    #[test]
    fn password_on_the_command_line_is_refused_and_not_repeated() {
        for url in [
            "postgres://u:sec/secret@h/x",
            "mysql://u:sec?secret@h/x",
            "postgres://h/x?passw%6frd=secret",
            "postgres://u:secret@h/x",
            "mysql://u:secret@h/x",
            "postgres://h/x?user=u&password=secret",
        ] {
            let error = ConnectOptions::from_url(url).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Usage);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
