//! The machine that reports: its name and its address.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

/// Name and address for the head of a digest and the sender of a mail.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Server {
    /// Fully qualified where the machine knows it.
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
}

impl Server {
    /// Asks this machine.
    pub(crate) fn this() -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = if node.contains('.') { node } else { canonical(&node).unwrap_or(node) };
        let address = address(&name);
        Self { name, address }
    }
}

/// The full name that hosts(5) gives to `node`: the first name of its line is the canonical one.
fn canonical(node: &str) -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    hosts.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut names = line.split_whitespace().skip(1);
        let first = names.next()?;
        (first.contains('.')
            && (first.starts_with(&format!("{node}.")) || names.any(|name| name == node)))
        .then(|| first.to_owned())
    })
}

/// The address that the world sees; without a way to the world, the one that belongs to the name, for which hosts(5) is
/// asked, or a DNS server that answers at once or cannot be reached.
fn address(name: &str) -> Option<IpAddr> {
    of_default_route().or_else(|| Some((name, 0).to_socket_addrs().ok()?.next()?.ip()))
}

/// The source address of a packet to the world. Connecting a UDP socket asks the routing table and sends nothing;
/// 192.0.2.1 is for documentation (RFC 5737).
fn of_default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
