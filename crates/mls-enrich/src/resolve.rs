//! Asks DNS servers, by hickory, on a thread that is there as long as somebody has questions.

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
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::answer::{Answer, Status};
use crate::hostname::hostname;

/// A lookup is tried so often, with an equal share of its time: a lost packet, or the first of two servers that is down,
/// does not spoil it.
const TRIES: u8 = 2;

/// Takes addresses and gives answers. Dropping it ends the thread and gives up what it was asked.
pub(crate) struct Resolver {
    questions: UnboundedSender<IpAddr>,
    answers: Receiver<(IpAddr, Answer)>,
    /// Holds a byte when there are answers, for `poll`.
    bell: UnixStream,
}

impl Resolver {
    /// Starts a thread that asks `server`, or those of `/etc/resolv.conf` after `/etc/hosts`, for at most `timeout` a lookup.
    pub(crate) fn start(server: Option<SocketAddr>, timeout: Duration) -> anyhow::Result<Self> {
        let resolver = resolver(server, timeout).context("/etc/resolv.conf")?;
        let (questions, asked) = unbounded_channel();
        let (answered, answers) = channel();
        let (bell, rope) = UnixStream::pair().context("making a socket pair")?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let work = Work { resolver, timeout, answered, rope: rope.into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("dns".into())
            .spawn(move || runtime.block_on(serve(asked, work)))?;
        Ok(Self { questions, answers, bell })
    }

    pub(crate) fn ask(&self, ip: IpAddr) {
        // The thread ends when this end of the channel does.
        let _ = self.questions.send(ip);
    }

    /// The answers that have come.
    pub(crate) fn answers(&mut self) -> impl Iterator<Item = (IpAddr, Answer)> {
        while matches!(self.bell.read(&mut [0; 64]), Ok(1..)) {}
        self.answers.try_iter()
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[derive(Clone)]
struct Work {
    resolver: TokioResolver,
    timeout: Duration,
    answered: Sender<(IpAddr, Answer)>,
    rope: Arc<UnixStream>,
}

async fn serve(mut asked: UnboundedReceiver<IpAddr>, work: Work) {
    while let Some(ip) = asked.recv().await {
        let Work { resolver, timeout, answered, rope } = work.clone();
        tokio::spawn(async move {
            let lookup = tokio::spawn(lookup(resolver, ip, timeout));
            // A lookup that panics has failed: nothing that comes from the network may do more harm than that.
            let answer = lookup.await.unwrap_or_else(|_| Status::ServerFailed.into());
            // Who asked may have gone. A bell that is full rings already.
            let _ = answered.send((ip, answer));
            let _ = (&*rope).write(&[0]);
        });
    }
}

fn resolver(server: Option<SocketAddr>, timeout: Duration) -> Result<TokioResolver, NetError> {
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
        TokioResolver::builder_tokio()?
    };
    let options = builder.options_mut();
    options.timeout = timeout / u32::from(TRIES);
    options.attempts = usize::from(TRIES - 1);
    // One server at a time, and no cache: ours is the one that also outlives the run.
    options.num_concurrent_reqs = 1;
    options.cache_size = 0;
    builder.build()
}

/// Asks for the name of an address.
async fn lookup(resolver: TokioResolver, ip: IpAddr, timeout: Duration) -> Answer {
    let mut name = Name::from(ip);
    name.set_fqdn(true);
    match tokio::time::timeout(timeout, resolver.lookup(name.clone(), RecordType::PTR)).await {
        Ok(Ok(lookup)) => match hostname(&name, lookup.answers()) {
            Some(hostname) => Answer { status: Status::Ok, hostname: Some(hostname.into()) },
            None => Status::NoData.into(),
        },
        Ok(Err(error)) => Status::from(error).into(),
        Err(_) => Status::ServerFailed.into(),
    }
}
