//! An HTTP and HTTPS server on loopback. It sends the bytes that a test chooses, also wrong bytes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SerialNumber};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request: its path, and its headers by their names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

/// What the server does after it has sent the bytes of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    /// The server sends nothing until the client gives up.
    Stall,
}

pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

impl Answer {
    /// A correct answer.
    pub(crate) fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        Self::raw(status, &format!("{headers}Content-Length: {}\r\n", body.len()), body)
    }

    /// An answer with any headers, correct or wrong.
    pub(crate) fn raw(status: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
        Self { bytes: [head.as_bytes(), body].concat(), then: Then::Close }
    }

    pub(crate) fn stall(self) -> Self {
        Self { then: Then::Stall, ..self }
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Server {
    pub(crate) fn http(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(|stream| Box::new(stream), answer)
    }

    /// Starts a server with TLS. A new authority signs its certificate for `localhost`. Also
    /// returns the certificate of the authority as PEM.
    pub(crate) fn https(
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> (Self, String) {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.serial_number = Some(SerialNumber::from(2));
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let config = Arc::new(config);
        let tls = move |stream| -> Box<dyn Stream> {
            Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream))
        };
        (Self::start(tls, answer), pem)
    }

    /// The threads end with the process of the test.
    fn start(
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer, seen) =
                    (wrap(stream.unwrap()), Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, answer.as_ref(), &seen));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    stream: Box<dyn Stream>,
    answer: &dyn Fn(&Request) -> Answer,
    seen: &Mutex<Vec<Request>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines[0].split(' ').nth(1)?.to_owned();
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let request = Request { path, headers };
    seen.lock().unwrap().push(request.clone());
    let answer = answer(&request);
    // The client may have closed the connection.
    stream.get_mut().write_all(&answer.bytes).ok()?;
    stream.get_mut().flush().ok()?;
    if answer.then == Then::Stall {
        let _ = stream.read(&mut [0]);
    }
    Some(())
}
