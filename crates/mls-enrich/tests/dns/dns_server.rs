//! A DNS server on loopback. A test chooses the answers. The server counts the queries.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, PTR};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

/// The labels of a name. A label may contain any byte.
pub(crate) type Labels = Vec<Vec<u8>>;

/// The answer to a query.
#[derive(Clone)]
pub(crate) enum Reply {
    Names(Vec<Labels>),
    /// An alias, and the name of the alias, if the server adds this name to the answer.
    Alias(Labels, Option<Labels>),
    Code(ResponseCode),
    Silence,
}

/// Returns the answer for a name (a text with a dot at the end), and the delay of the answer.
pub(crate) type Zone = Arc<dyn Fn(&str) -> (Reply, Duration) + Send + Sync>;

pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<HashMap<String, usize>>>,
    /// If the runtime is dropped, the server stops.
    _runtime: Runtime,
}

impl DnsServer {
    pub(crate) fn start(zone: impl Fn(&str) -> (Reply, Duration) + Send + Sync + 'static) -> Self {
        let questions = Arc::new(Mutex::new(HashMap::new()));
        let handler = Handler { zone: Arc::new(zone), questions: Arc::clone(&questions) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = runtime.block_on(async {
            let (socket, listener) = sockets().await;
            let address = socket.local_addr().unwrap();
            let mut server = Server::new(handler);
            server.register_socket(socket);
            server.register_listener(listener, Duration::from_secs(5), 64);
            tokio::spawn(async move { server.block_until_done().await });
            address
        });
        Self { address, questions, _runtime: runtime }
    }

    /// A server with an answer for each address.
    pub(crate) fn of(zone: Vec<(IpAddr, Reply)>) -> Self {
        let zone: HashMap<String, Reply> =
            zone.into_iter().map(|(ip, reply)| (arpa(ip), reply)).collect();
        Self::start(move |name| {
            let reply = zone.get(name).cloned().unwrap_or(Reply::Code(ResponseCode::NXDomain));
            (reply, Duration::ZERO)
        })
    }

    /// How often each name was queried.
    pub(crate) fn questions(&self) -> HashMap<String, usize> {
        self.questions.lock().unwrap().clone()
    }
}

/// Sockets on a port that is free for UDP and TCP.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        match TcpListener::bind(socket.local_addr().unwrap()).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            listener => return (socket, listener.unwrap()),
        }
    }
}

/// Returns the name of a reverse lookup, for example `1.2.0.192.in-addr.arpa.` for `192.0.2.1`.
pub(crate) fn arpa(ip: IpAddr) -> String {
    let mut name = Name::from(ip);
    name.set_fqdn(true);
    name.to_ascii()
}

pub(crate) fn labels(name: &str) -> Labels {
    name.split('.').map(|label| label.as_bytes().to_vec()).collect()
}

struct Handler {
    zone: Zone,
    questions: Arc<Mutex<HashMap<String, usize>>>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let asked = Name::from(info.query.name().clone());
        let name = asked.to_ascii();
        *self.questions.lock().unwrap().entry(name.clone()).or_default() += 1;
        let (reply, delay) = (self.zone)(&name);
        tokio::time::sleep(delay).await;

        let mut metadata = Metadata::response_from_request(info.metadata);
        metadata.recursion_available = true;
        let fqdn = |labels: &Labels| {
            let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
            name.set_fqdn(true);
            name
        };
        let record = |owner: &Name, data| Record::from_rdata(owner.clone(), 60, data);
        let answers = match &reply {
            Reply::Names(names) => {
                names.iter().map(|name| record(&asked, RData::PTR(PTR(fqdn(name))))).collect()
            }
            Reply::Alias(target, answer) => {
                let target = fqdn(target);
                let mut answers = vec![record(&asked, RData::CNAME(CNAME(target.clone())))];
                answers
                    .extend(answer.iter().map(|name| record(&target, RData::PTR(PTR(fqdn(name))))));
                answers
            }
            Reply::Code(code) => {
                metadata.response_code = *code;
                Vec::new()
            }
            Reply::Silence => return Header { metadata, counts: HeaderCounts::default() }.into(),
        };
        let builder = MessageResponseBuilder::from_message_request(request);
        response.send_response(builder.build(metadata, &answers, [], [], [])).await.unwrap()
    }
}
