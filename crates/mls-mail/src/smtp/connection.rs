//! A connection to a mail server: sends commands, reads replies, and starts TLS on request.
//!
//! Even with a hostile server, a connection holds at most [`MAX_REPLY`] bytes and ends at its
//! deadline.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mls_diag::count;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::MailServer;
use super::failure::Failure;
use super::reply::Reply;

/// Longest line of a reply in bytes. RFC 5321, section 4.5.3.1.5, allows 512.
const MAX_LINE: usize = 64 << 10;

/// Longest reply in bytes, over all its lines.
const MAX_REPLY: usize = 1 << 20;

pub(super) struct Connection {
    stream: Transport,
    /// Bytes that were received and not read yet.
    buffer: Vec<u8>,
    /// The time limit for each reply.
    timeout: Duration,
    /// The time when the connection must have ended.
    deadline: Instant,
}

enum Transport {
    Plain(TimedStream),
    Tls(Box<StreamOwned<ClientConnection, TimedStream>>),
}

/// A TCP stream whose reads and writes end at `until`. The time limits of a socket apply to each
/// system call, so a server that sends single bytes could keep its client waiting for ever.
struct TimedStream {
    tcp: TcpStream,
    until: Instant,
}

impl TimedStream {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for TimedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(self.left()?)?;
        self.tcp.read(bytes)
    }
}

impl Write for TimedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(self.left()?)?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// Tries the addresses of the host. Connects to the first address that answers.
    pub(super) fn open(server: &MailServer, deadline: Instant) -> Result<Self, Failure> {
        let timeout = server.timeout;
        let addresses = (&*server.host, server.port).to_socket_addrs();
        let mut last = io::Error::other("smtp_host has no IP address");
        for address in addresses.map_err(|why| Failure::lost(&why))? {
            let left = deadline.saturating_duration_since(Instant::now()).min(timeout);
            match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
                Ok(tcp) => {
                    let stream = Transport::Plain(TimedStream { tcp, until: deadline });
                    return Ok(Self { stream, buffer: Vec::new(), timeout, deadline });
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::lost(&last))
    }

    /// Returns whether the server sends no byte within `timeout`. A server that expects TLS is
    /// silent until the client begins.
    pub(super) fn is_silent(&self, timeout: Duration) -> bool {
        let Transport::Plain(stream) = &self.stream else { return false };
        let wait = stream.tcp.set_read_timeout(Some(timeout));
        let first = wait.and_then(|()| stream.tcp.peek(&mut [0]));
        first.is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        })
    }

    /// Continues in TLS. A known authority must have signed the certificate of the server.
    ///
    /// Bytes that arrived before the handshake are refused. Anybody on the network may have sent
    /// them, and they would look like replies inside TLS (RFC 3207, section 6; CVE-2011-0411).
    pub(super) fn start_tls(self, host: &str) -> Result<Self, Failure> {
        let Self { stream, buffer, timeout, deadline } = self;
        if !buffer.is_empty() {
            return Err(Failure::temporary(format!(
                "{} arrived before TLS began, maybe from an attacker on the network",
                count(buffer.len() as u64, "byte", "bytes")
            )));
        }
        let Transport::Plain(tcp) = stream else {
            return Err(Failure::temporary("TLS is in use already".to_owned()));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Failure::permanent(format!("smtp_host {host} cannot be the name in a certificate"))
        })?;
        let client = ClientConnection::new(Arc::new(tls_config()?), name)
            .map_err(|error| Failure::permanent(error.to_string()))?;
        let mut stream = StreamOwned::new(client, tcp);
        stream.sock.until = deadline.min(Instant::now() + timeout);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| Failure::tls(&error))?;
        }
        Ok(Self { stream: Transport::Tls(Box::new(stream)), buffer, timeout, deadline })
    }

    pub(super) fn command(&mut self, line: &str) -> Result<Reply, Failure> {
        if line.contains(['\r', '\n']) {
            return Err(Failure::permanent(format!("{line:?} is not one line")));
        }
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends bytes. A message is long, so only the deadline limits the time.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.sock().until = self.deadline;
        let sent = match &mut self.stream {
            Transport::Plain(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Transport::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| Failure::lost(&error))
    }

    pub(super) fn reply(&mut self) -> Result<Reply, Failure> {
        self.reply_within(self.timeout)
    }

    /// Reads a reply. Waits at most `timeout` for it.
    pub(super) fn reply_within(&mut self, timeout: Duration) -> Result<Reply, Failure> {
        self.sock().until = self.deadline.min(Instant::now() + timeout);
        let mut reply = Reply::default();
        let mut size = 0;
        loop {
            let line = self.line()?;
            size += line.len();
            if size > MAX_REPLY {
                return Err(Failure::temporary(format!(
                    "the server sent a reply of more than {MAX_REPLY} bytes"
                )));
            }
            if reply.add(&line)? {
                return Ok(reply);
            }
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut searched = 0;
        loop {
            if let Some(newline) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + newline).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            searched = self.buffer.len();
            if searched >= MAX_LINE {
                return Err(Failure::temporary(format!(
                    "the server sent a reply line of more than {MAX_LINE} bytes"
                )));
            }
            let mut chunk = [0; 4096];
            let n = match &mut self.stream {
                Transport::Plain(stream) => stream.read(&mut chunk),
                Transport::Tls(stream) => stream.read(&mut chunk),
            };
            match n {
                Ok(0) => {
                    return Err(Failure::temporary("the server closed the connection".to_owned()));
                }
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::lost(&error)),
            }
        }
    }

    fn sock(&mut self) -> &mut TimedStream {
        match &mut self.stream {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => &mut stream.sock,
        }
    }
}

fn tls_config() -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Failure::permanent(
            "this machine trusts no certificate authority: install ca-certificates".to_owned(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::permanent(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
