//! Queries DNS servers with hickory, on a separate thread.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::answer::{DnsAnswer, Status};
use crate::hostname::hostname;

/// The number of tries of a lookup. Each try gets an equal share of the timeout. So a lookup
/// succeeds even if a packet is lost, or if the first of two servers is down.
const TRIES: u8 = 2;

/// Takes addresses and returns answers. Dropping the resolver ends its thread and all lookups.
pub(crate) struct Resolver {
    requests: UnboundedSender<IpAddr>,
    answers: Receiver<(IpAddr, DnsAnswer)>,
    /// Readable when there are answers, for `poll`: the thread writes a byte for each answer.
    wakeup: UnixStream,
}

impl Resolver {
    /// Starts a thread that queries `server`. Without `server`, the thread uses `/etc/hosts` and
    /// the servers in `/etc/resolv.conf`. Each lookup takes at most `timeout`.
    pub(crate) fn start(server: Option<SocketAddr>, timeout: Duration) -> anyhow::Result<Self> {
        let resolver = resolver(server, timeout)?;
        let (requests, requests_end) = unbounded_channel();
        let (answers_end, answers) = channel();
        let (wakeup, waker) = UnixStream::pair().context("making a socket pair")?;
        wakeup.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let worker = Worker { resolver, timeout, answers: answers_end, waker: waker.into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("dns".into())
            .spawn(move || runtime.block_on(serve(requests_end, worker)))?;
        Ok(Self { requests, answers, wakeup })
    }

    pub(crate) fn look_up(&self, ip: IpAddr) {
        // This fails only if the thread has ended. `poll` reports the end as a hangup.
        let _ = self.requests.send(ip);
    }

    pub(crate) fn answers(&mut self) -> impl Iterator<Item = (IpAddr, DnsAnswer)> {
        while matches!(self.wakeup.read(&mut [0; 64]), Ok(1..)) {}
        self.answers.try_iter()
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

/// The data that each lookup on the thread needs.
#[derive(Clone)]
struct Worker {
    resolver: TokioResolver,
    timeout: Duration,
    answers: Sender<(IpAddr, DnsAnswer)>,
    waker: Arc<UnixStream>,
}

async fn serve(mut requests: UnboundedReceiver<IpAddr>, worker: Worker) {
    while let Some(ip) = requests.recv().await {
        let Worker { resolver, timeout, answers, waker } = worker.clone();
        tokio::spawn(async move {
            let lookup = tokio::spawn(lookup(resolver, ip, timeout));
            // If hostile data from the network causes a panic, only this lookup must fail.
            let answer = lookup.await.unwrap_or_else(|_| Status::ServerFailed.into());
            let name = answer.hostname.as_deref().unwrap_or("no name");
            log::debug!("DNS: {ip}: {}: {name}", answer.status.text());
            // Errors do no harm here. If the receiver was dropped, nobody needs the answer. If the
            // socket is full, it is already readable.
            let _ = answers.send((ip, answer));
            let _ = (&*waker).write(&[0]);
        });
    }
}

fn resolver(server: Option<SocketAddr>, timeout: Duration) -> anyhow::Result<TokioResolver> {
    let mut builder = if let Some(server) = server {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder
    } else {
        TokioResolver::builder_tokio().context("/etc/resolv.conf")?
    };
    let options = builder.options_mut();
    options.timeout = timeout / u32::from(TRIES);
    options.attempts = usize::from(TRIES - 1);
    // Query one server at a time. Use no cache here, because mls-enrich has its own cache, which
    // outlives the run.
    options.num_concurrent_reqs = 1;
    options.cache_size = 0;
    Ok(builder.build()?)
}

async fn lookup(resolver: TokioResolver, ip: IpAddr, timeout: Duration) -> DnsAnswer {
    let mut name = Name::from(ip);
    name.set_fqdn(true);
    match tokio::time::timeout(timeout, resolver.lookup(name.clone(), RecordType::PTR)).await {
        Ok(Ok(lookup)) => match hostname(&name, lookup.answers()) {
            Some(hostname) => DnsAnswer { status: Status::Ok, hostname: Some(hostname.into()) },
            None => Status::NoData.into(),
        },
        Ok(Err(error)) => Status::from(error).into(),
        Err(_) => Status::ServerFailed.into(),
    }
}
