//! Private database servers. Each has a free port and a directory. Dropping a [`Server`] stops it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{is_root, text};

/// A database server, or a file of SQLite.
pub struct Server {
    dir: TempDir,
    kind: Kind,
    port: u16,
    child: Option<Child>,
}

/// The database system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    /// A file without a server.
    Sqlite,
    Postgresql,
    Mariadb,
}

impl Kind {
    /// All database systems.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgresql, Self::Mariadb];

    /// The name for `mls-sql --dialect`.
    #[must_use]
    pub fn dialect(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mysql",
        }
    }
}

impl Server {
    /// Starts a new server.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { dir: TempDir::new().unwrap(), kind, port, child: None };
        let data = server.data();
        match kind {
            Kind::Sqlite => return server,
            Kind::Postgresql => {
                // PostgreSQL refuses to run as root, so another user runs it.
                if is_root() {
                    run(Command::new("chown").arg("postgres:").arg(server.dir.path()));
                }
                run(as_owner(&postgresql().join("initdb"))
                    .args(["--auth=trust", "--username=mls", "--encoding=UTF8"])
                    .args(["--no-sync", "--pgdata", data.to_str().unwrap()]));
            }
            Kind::Mariadb => run(Command::new("mariadb-install-db")
                .args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ])
                .arg(format!("--datadir={}", data.display()))
                .arg(server.tmpdir())
                .args(is_root().then_some("--user=root"))),
        }
        server.start();
        let _ = server.query("CREATE DATABASE mls");
        server
    }

    /// The option for temporary files. Each server needs its own directory, because several servers
    /// can run at once.
    fn tmpdir(&self) -> String {
        format!("--tmpdir={}", self.dir.path().display())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The directory of the server, for example for certificates.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file that only the server may read.
    pub fn write(&self, name: &str, content: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
        if self.kind == Kind::Postgresql && is_root() {
            run(Command::new("chown").arg("postgres:").arg(path));
        }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server and waits until it answers.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the server with further flags, and waits until it answers.
    pub fn start_with(&mut self, flags: &[&str]) {
        let (data, port) = (self.data(), self.port.to_string());
        let mut command = match self.kind {
            Kind::Sqlite => return,
            Kind::Postgresql => {
                let mut command = as_owner(&postgresql().join("postgres"));
                command
                    .arg("-D")
                    .arg(&data)
                    .args(["-p", &port, "-c", "listen_addresses=127.0.0.1", "-k"])
                    .arg(self.dir.path());
                command
            }
            Kind::Mariadb => {
                let mut command = Command::new("mariadbd");
                command
                    .env("PATH", sbin())
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()));
                command
                    .arg(format!("--port={port}"))
                    .args(["--bind-address=127.0.0.1"])
                    .arg(self.tmpdir());
                command.arg(format!("--socket={}", self.dir.path().join("socket").display()));
                command.args(is_root().then_some("--user=root"));
                command
            }
        };
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        self.child = Some(command.args(flags).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.try_query("SELECT 1", "").0 {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the server does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops PostgreSQL and configures it to show a certificate and to require one from the roles
    /// `names`. The directory `certificates` must have `localhost.key`, `localhost.pem` and
    /// `ca.pem`.
    ///
    /// Returns the flags for [`start_with`](Self::start_with).
    #[must_use]
    pub fn ask_for_certificates(&mut self, certificates: &Path, names: &[String]) -> Vec<String> {
        self.kill();
        for name in ["localhost.key", "localhost.pem", "ca.pem"] {
            self.write(name, &std::fs::read_to_string(certificates.join(name)).unwrap());
        }
        let roles = names.join(",");
        self.write(
            "data/pg_hba.conf",
            &format!("hostssl all {roles} all cert\nhost all mls 127.0.0.1/32 trust\n"),
        );
        let file = |name: &str| self.directory().join(name).display().to_string();
        [
            "ssl=on".to_owned(),
            format!("ssl_key_file={}", file("localhost.key")),
            format!("ssl_cert_file={}", file("localhost.pem")),
            format!("ssl_ca_file={}", file("ca.pem")),
        ]
        .into_iter()
        .flat_map(|flag| ["-c".to_owned(), flag])
        .collect()
    }

    /// Stops the server at once, as a power failure does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGQUIT makes the postmaster of PostgreSQL stop its child processes at once.
            let signal = if self.kind == Kind::Postgresql { "-QUIT" } else { "-KILL" };
            run(Command::new("kill").args([signal, &child.id().to_string()]));
            child.wait().unwrap();
        }
    }

    /// The value for `mls-sql --url`.
    #[must_use]
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}", self.dir.path().join("events.db").display()),
            Kind::Postgresql => format!("postgres://mls@127.0.0.1:{}/mls", self.port),
            Kind::Mariadb => format!("mysql://root@127.0.0.1:{}/mls", self.port),
        }
    }

    /// Runs SQL with the database's client. Returns one row a line, with tabs between the columns.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        let database = if sql.starts_with("CREATE DATABASE") { "" } else { "mls" };
        let (succeeded, output) = self.try_query(sql, database);
        assert!(succeeded, "{sql}: {output}");
        output
    }

    /// The number of rows of a table.
    #[must_use]
    pub fn count(&self, table: &str) -> u64 {
        self.query(&format!("SELECT count(*) FROM {table}")).trim().parse().unwrap()
    }

    fn try_query(&self, sql: &str, database: &str) -> (bool, String) {
        let output = self.client(database).arg(sql).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The client of the database. The caller must add the SQL as the last argument.
    #[must_use]
    pub fn client(&self, database: &str) -> Command {
        let port = self.port.to_string();
        let mut command;
        match self.kind {
            Kind::Sqlite => {
                command = Command::new("sqlite3");
                command
                    .args(["-batch", "-separator", "\t", "-cmd", ".timeout 10000"])
                    .arg(self.dir.path().join("events.db"));
            }
            Kind::Postgresql => {
                let database = if database.is_empty() { "postgres" } else { database };
                command = Command::new("psql");
                command.args([
                    "-X",
                    "-q",
                    "-A",
                    "-t",
                    "-F",
                    "\t",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "mls",
                ]);
                command.args(["-p", &port, "-d", database, "-c"]);
            }
            Kind::Mariadb => {
                command = Command::new("mariadb");
                command.args([
                    "--no-defaults",
                    "-N",
                    "-B",
                    "-h",
                    "127.0.0.1",
                    "-u",
                    "root",
                    "-P",
                    &port,
                ]);
                if !database.is_empty() {
                    command.args(["-D", database]);
                }
                command.arg("-e");
            }
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The shell command that makes a certificate authority `ca.pem`. For each name, it also makes a
/// certificate `NAME.pem` and a key `NAME.key`.
#[must_use]
pub fn make_certificates(names: &[String]) -> String {
    format!(
        "key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'; \
         openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>> openssl.log && \
         for name in {}; do \
           openssl req $key -subj /CN=$name -addext subjectAltName=DNS:$name -keyout $name.key -out $name.csr 2>> openssl.log && \
           openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy \
             -out $name.pem 2>> openssl.log || exit 1; \
         done; chmod 600 *.key",
        names.join(" ")
    )
}

/// The directory of the programs of the newest PostgreSQL.
fn postgresql() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    versions
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("postgres").exists())
        .max()
        .unwrap()
}

fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

fn sbin() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}
