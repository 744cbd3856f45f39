//! The names of this machine and of the current user, from the C library (nsswitch.conf(5)).

#![warn(missing_docs)]

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

/// This machine. It is named at the top of a digest, in the sender of a mail, and in HELO.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Machine {
    /// The host name, fully qualified if the machine knows its domain.
    pub name: String,
    /// The source address of packets to the Internet.
    pub address: Option<IpAddr>,
}

impl Machine {
    /// Returns the name and the address of this machine.
    #[must_use]
    pub fn this() -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = if node.contains('.') { node } else { canonical(&node).unwrap_or(node) };
        let address = address(&name);
        Self { name, address }
    }
}

/// The name of the user that this process runs as.
#[must_use]
pub fn user() -> Option<String> {
    let user = uzers::get_user_by_uid(rustix::process::getuid().as_raw())?;
    user.name().to_str().map(str::to_owned)
}

/// Returns the canonical name of `node` from getaddrinfo(3), if this name has a domain.
fn canonical(node: &str) -> Option<String> {
    // The flag 2 is AI_CANONNAME on Linux and on the BSDs.
    let hints = dns_lookup::AddrInfoHints { flags: 2, ..dns_lookup::AddrInfoHints::default() };
    let found = dns_lookup::getaddrinfo(Some(node), None, Some(hints)).ok()?;
    found.filter_map(Result::ok).find_map(|info| info.canonname).filter(|name| name.contains('.'))
}

/// The source address of packets to the Internet. Without a route, the address of the host name.
fn address(name: &str) -> Option<IpAddr> {
    of_default_route().or_else(|| Some((name, 0).to_socket_addrs().ok()?.next()?.ip()))
}

/// Connecting a UDP socket looks up the route and sends no packet. 192.0.2.1 is an address for
/// documentation (RFC 5737).
fn of_default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_current_user_is_found() {
        let id = std::process::Command::new("id").arg("-un").output().unwrap();
        assert_eq!(user().unwrap(), String::from_utf8(id.stdout).unwrap().trim());
    }
}
