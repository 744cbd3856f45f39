//! Addresses that no public DNS server knows. A query would disclose them to such a server.

use std::net::IpAddr;

/// Whether `ip` is private, loopback, link-local, for documentation or otherwise outside the public
/// Internet (the IANA special-purpose address registries, RFC 6890; multicast, RFC 5771 and RFC
/// 4291).
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            matches!(
                (a, b, c),
                (0 | 10 | 127 | 224.., ..)
                    | (100, 64..128, _)
                    | (169, 254, _)
                    | (172, 16..32, _)
                    | (192, 0, 0 | 2)
                    | (192, 168, _)
                    | (198, 18 | 19, _)
                    | (198, 51, 100)
                    | (203, 0, 113)
            )
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || (a, b) == (0x2001, 0x0db8)
                || (a == 0x3fff && b < 0x1000)
                || (a, b, c) == (0x0100, 0, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ranges_end_where_the_registries_say() {
        for (ip, private) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("100.63.255.255", false),
            ("100.64.0.1", true),
            ("100.128.0.0", false),
            ("127.0.0.1", true),
            ("169.254.1.1", true),
            ("172.15.255.255", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.0.2.1", true),
            ("192.0.3.1", false),
            ("192.168.0.1", true),
            ("198.17.255.255", false),
            ("198.19.0.1", true),
            ("198.51.100.7", true),
            ("198.51.101.7", false),
            ("203.0.113.9", true),
            ("223.255.255.255", false),
            ("239.1.2.3", true),
            ("::1", true),
            ("fdff::1", true),
            ("fe80::1", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("3fff:fff::1", true),
            ("3fff:1000::1", false),
            ("2001:4860:4860::8888", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), private, "{ip}");
        }
    }
}
