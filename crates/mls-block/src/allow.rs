//! Addresses that are never blocked: the administrator's networks, local addresses, and addresses from
//! which users log in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mls_config::zone::Zone;

use crate::logins::{AddressLogins, RecentLogins};
use crate::offender::{Offender, Offenders};

/// Addresses outside the public Internet: this machine, private and shared networks, link-local,
/// multicast and reserved addresses (the IANA special-purpose address registries, RFC 6890).
const LOCAL: [IpNet; 14] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v6([0; 8], 127),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const fn v4(ip: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_octets(ip), length))
}

const fn v6(ip: [u16; 8], length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_segments(ip), length))
}

pub(crate) struct Allow {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) logins: RecentLogins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllowReason<'a> {
    Local(IpNet),
    Network(IpNet),
    Login(&'a AddressLogins),
}

impl Allow {
    /// The reason why `ip`, one of the `offenders`, must not be blocked; `None` if it may be
    /// blocked.
    pub(crate) fn reason(
        &self,
        ip: IpAddr,
        offender: &Offender,
        offenders: &Offenders,
    ) -> Option<AllowReason<'_>> {
        self.network(ip.into()).or_else(|| {
            let login = self.logins.before(ip, offender)?;
            (!offenders.is_suspect(ip, offender.alerted)).then_some(AllowReason::Login(login))
        })
    }

    /// Whether the whole `network` may be blocked: no address in it is allowed or has logins.
    pub(crate) fn is_free(&self, network: IpNet) -> bool {
        self.network(network).is_none() && !self.logins.are_in(network)
    }

    /// The allowed network that shares an address with `network`.
    fn network(&self, network: IpNet) -> Option<AllowReason<'_>> {
        let overlaps = |other: &&IpNet| other.contains(&network) || network.contains(*other);
        let local = LOCAL.iter().find(overlaps).map(|network| AllowReason::Local(*network));
        local.or_else(|| self.networks.iter().find(overlaps).map(|net| AllowReason::Network(*net)))
    }
}

impl AllowReason<'_> {
    /// A part of a sentence about `ip`, with dates in `zone`.
    pub(crate) fn show(self, ip: IpAddr, zone: Zone) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self::Local(network) => write!(f, "{network} is a private or reserved network"),
            Self::Network(network) => write!(f, "{network} is on the allow list"),
            Self::Login(login) => {
                let at = crate::show_time(login.last, zone);
                let from = if ip.is_ipv4() { "this address" } else { "its /64 network" };
                write!(f, "{:?} logged in from {from}, the last time at {at}", login.user)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use mls_config::config::Threshold;

    use super::*;

    #[test]
    fn local_addresses_and_the_administrators_networks_are_never_blocked() {
        let networks = vec!["203.0.113.0/25".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
        let allow = Allow { networks, logins: RecentLogins::default() };
        let threshold = Threshold { count: 1, seconds: 1 };
        let offender =
            Offender { offences: 1, since: 0, until: 9, alerted: 0, attempts: 1, threshold };
        let offenders = Offenders::default();
        let reason = |ip: &str| allow.reason(ip.parse().unwrap(), &offender, &offenders);
        for ip in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.255.255",
            "100.100.0.1",
            "169.254.1.1",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(matches!(reason(ip), Some(AllowReason::Local(_))), "{ip}");
        }
        for ip in ["203.0.113.1", "2001:db8:1:2::3"] {
            assert!(matches!(reason(ip), Some(AllowReason::Network(_))), "{ip}");
        }
        for ip in ["203.0.113.129", "2001:db8:2::1", "8.8.8.8", "172.32.0.1", "2001:4860::1"] {
            assert_eq!(reason(ip), None, "{ip}");
        }
        assert!(!allow.is_free("203.0.113.0/24".parse().unwrap()));
        assert!(allow.is_free("198.51.100.0/24".parse().unwrap()));
    }
}
