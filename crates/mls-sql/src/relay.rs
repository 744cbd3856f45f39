//! A relay between sqlx and a server. It limits how much memory a server can make sqlx use.
//!
//! sqlx buffers an answer of any length that the server announces: up to two gigabytes from
//! PostgreSQL, without a limit from MySQL. The relay cannot read messages inside TLS, so it counts
//! bytes. Between two requests, a server may send at most [`MAX_ANSWER`] bytes. No statement of
//! mls-sql needs a longer answer.
//!
//! The relay also refuses bytes that arrive before the server may send them. An attacker on the
//! network could add bytes to the answer that starts TLS. Some clients read the added bytes as part
//! of the encrypted session (CVE-2021-23222). sqlx 0.9 does not: it reads one byte of this answer
//! from PostgreSQL, and discards added bytes from MySQL. But a later version of sqlx could read
//! them. The relay reports the attack as an error.
//!
//! sqlx connects to the relay through a socket in a directory that only this user can enter.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::dialect::Dialect;

/// How many bytes a server may send between two requests.
const MAX_ANSWER: usize = 8 << 20;

/// How many bytes the first packet of a MySQL server may have. Real packets have about a hundred.
const MAX_GREETING: usize = 64 << 10;

const BUFFER: usize = 64 << 10;

/// The first request of a PostgreSQL client that wants TLS (manual 55.7, `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The address at which a server listens.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Tcp(String, u16),
    Socket(PathBuf),
}

/// A relay to one server, for one connection.
pub(crate) struct Relay {
    directory: TempDir,
    guard: Arc<Mutex<Guard>>,
    /// If this set is dropped, its tasks stop.
    tasks: JoinSet<io::Result<()>>,
}

impl Relay {
    /// Connects to the server and starts a task. The task accepts one connection at `socket_name`
    /// in [`directory`](Self::directory).
    pub(crate) async fn start(
        endpoint: &Endpoint,
        dialect: Dialect,
        socket_name: &str,
    ) -> io::Result<Self> {
        let guard = Arc::new(Mutex::new(Guard::new(dialect)));
        let mut tasks = JoinSet::new();
        // The directory has mode 0700, so no other user can reach the socket.
        let directory = tempfile::Builder::new().prefix("mls-sql-").tempdir()?;
        let listener = UnixListener::bind(directory.path().join(socket_name))?;
        match endpoint {
            Endpoint::Tcp(host, port) => {
                let server = TcpStream::connect((host.as_str(), *port)).await?;
                server.set_nodelay(true)?;
                tasks.spawn(relay(listener, server, Arc::clone(&guard)));
            }
            Endpoint::Socket(path) => {
                let server = UnixStream::connect(path).await.map_err(|error| {
                    io::Error::new(error.kind(), format!("opening the socket: {error}"))
                })?;
                tasks.spawn(relay(listener, server, Arc::clone(&guard)));
            }
        }
        Ok(Self { directory, guard, tasks })
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Waits until the server has received the last request and has closed the connection.
    pub(crate) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// If the relay has ended the connection, returns the reason. If not, returns `error`.
    pub(crate) fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        match lock(&self.guard).violation.clone() {
            Some(why) => io::Error::new(io::ErrorKind::InvalidData, why).into(),
            None => error,
        }
    }
}

fn lock(guard: &Mutex<Guard>) -> std::sync::MutexGuard<'_, Guard> {
    guard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts one connection from sqlx. Copies in both directions until sqlx and the server close.
async fn relay<S: AsyncRead + AsyncWrite + Send + 'static>(
    listener: UnixListener,
    server: S,
    guard: Arc<Mutex<Guard>>,
) -> io::Result<()> {
    let (client, _) = listener.accept().await?;
    drop(listener);
    let (requests, to_client) = client.into_split();
    let (answers, to_server) = tokio::io::split(server);
    let requests = tokio::spawn(forward_requests(requests, to_server, Arc::clone(&guard)));
    forward_answers(answers, to_client, guard).await?;
    // sqlx closes its side after it has read what the server sent.
    requests.await?
}

async fn forward_requests(
    mut requests: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    guard: Arc<Mutex<Guard>>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = requests.read(&mut buffer).await?;
        if n == 0 {
            return server.shutdown().await;
        }
        lock(&guard).request(&buffer[..n]);
        server.write_all(&buffer[..n]).await?;
    }
}

/// Closes the connection to sqlx when the server closes its connection, and after a violation.
async fn forward_answers(
    mut answers: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    guard: Arc<Mutex<Guard>>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = answers.read(&mut buffer).await?;
        if n == 0 || lock(&guard).answer(&buffer[..n]).is_err() {
            return client.shutdown().await;
        }
        client.write_all(&buffer[..n]).await?;
    }
}

/// Checks whether the server may send the bytes that it sends.
struct Guard {
    dialect: Dialect,
    first_request: Vec<u8>,
    /// How many bytes of requests were sent.
    requested: usize,
    /// How many bytes the server has sent since the last request.
    answered: usize,
    /// The first bytes of the current answer.
    head: Vec<u8>,
    violation: Option<String>,
}

impl Guard {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            first_request: Vec::new(),
            requested: 0,
            answered: 0,
            head: Vec::new(),
            violation: None,
        }
    }

    fn request(&mut self, bytes: &[u8]) {
        let missing = SSL_REQUEST.len() - self.first_request.len();
        self.first_request.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.requested = self.requested.saturating_add(bytes.len());
        self.answered = 0;
        self.head.clear();
    }

    /// Fails if the server may not send these bytes; [`violation`](Self::violation) says why.
    fn answer(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let missing = 4 - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.answered += bytes.len();
        if self.violation.is_none() {
            self.violation = self.check();
        }
        if self.violation.is_some() { Err(()) } else { Ok(()) }
    }

    fn check(&self) -> Option<String> {
        if self.answered > MAX_ANSWER {
            return Some(format!(
                "the server sent more than {MAX_ANSWER} bytes in answer to one request; it is not a \
                 database server, or somebody has changed the data on the network"
            ));
        }
        let allowed = match (self.dialect, self.requested) {
            // The server sends the first packet. It begins with the length, in three bytes.
            (Dialect::Mysql, 0) => match self.head[..] {
                [a, b, c, _] => {
                    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
                    (4 + length).min(MAX_GREETING)
                }
                _ => 4,
            },
            (Dialect::Postgresql, 0) => 0,
            // After `S`, the client begins TLS. So the server may send only the byte `S`.
            (Dialect::Postgresql, 8)
                if self.first_request == SSL_REQUEST && self.head.first() == Some(&b'S') =>
            {
                1
            }
            _ => MAX_ANSWER,
        };
        (self.answered > allowed).then(|| {
            "the server sent bytes before the request for them; somebody may have injected them into \
             the connection"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(dialect: Dialect, steps: &[(&str, &[u8])]) -> Option<String> {
        let mut guard = Guard::new(dialect);
        for (who, bytes) in steps {
            match *who {
                "client" => guard.request(bytes),
                _ => drop(guard.answer(bytes)),
            }
        }
        guard.violation
    }

    #[test]
    fn bytes_after_the_answer_that_starts_tls_are_refused() {
        let ask: (&str, &[u8]) = ("client", &SSL_REQUEST);
        let refused = |steps: &[(&str, &[u8])]| {
            guard(Dialect::Postgresql, steps).is_some_and(|why| why.contains("injected"))
        };
        assert!(refused(&[ask, ("server", b"SE")]));
        assert!(refused(&[ask, ("server", b"S"), ("server", b"E")]));
        assert!(refused(&[("server", b"R"), ask]));
        assert!(!refused(&[ask, ("server", b"S"), ("client", b"\x16"), ("server", b"\x16\x03")]));
        assert!(!refused(&[ask, ("server", b"N"), ("client", b"\0"), ("server", b"R\0")]));
        // A server without free memory answers with a whole error message.
        assert!(!refused(&[ask, ("server", b"E\0\0\0\x08abcd")]));
    }

    #[test]
    fn mysql_server_may_send_one_packet_before_it_is_asked() {
        let refused = |steps: &[(&str, &[u8])]| guard(Dialect::Mysql, steps).is_some();
        let greeting = |length: u8| [&[length, 0, 0, 0][..], &vec![10; length.into()]].concat();
        assert!(!refused(&[("server", &greeting(90))]));
        let (head, rest) = (greeting(90)[..2].to_vec(), greeting(90)[2..].to_vec());
        assert!(!refused(&[("server", &head), ("server", &rest), ("client", b"x")]));
        assert!(refused(&[("server", &[greeting(90), greeting(1)].concat())]));
        assert!(refused(&[("server", &vec![0xff; 70_000])]));
    }

    #[test]
    fn answer_without_an_end_is_refused() {
        let half = vec![b'x'; MAX_ANSWER / 2 + 1];
        let ask: (&str, &[u8]) = ("client", b"SELECT");
        for dialect in [Dialect::Postgresql, Dialect::Mysql] {
            assert!(guard(dialect, &[ask, ("server", &half), ask, ("server", &half)]).is_none());
            let why = guard(dialect, &[ask, ("server", &half), ("server", &half)]).unwrap();
            assert!(why.contains("more than 8388608 bytes"), "{why}");
        }
    }
}
