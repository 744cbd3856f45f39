//! Hosts: names and addresses of servers.

use std::net::{IpAddr, Ipv6Addr};

/// Returns whether the text can be a host: an IP address, or a name such as `mail-1.example.org`. A
/// name has letters, digits, `-` and `_` in labels with dots between them (RFC 1123, section 2.1).
/// Letters of all scripts are allowed, because resolvers encode them. Resolvers also check the
/// length of a name. An IPv6 address may have brackets, or a zone such as `%eth0`.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_zone = address.split_once('%').map_or(address, |(address, _)| address);
    if address.parse::<IpAddr>().is_ok() || without_zone.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // A name whose last label is a number, such as `192.0.2.300`, would be a wrong IPv4 address.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

fn is_label(label: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    !label.is_empty()
        && label.chars().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        for host in [
            "localhost",
            "mail.example.org",
            "mail.example.org.",
            "smtp_relay",
            "3com.example",
            "127.0.0.1",
            "2001:db8::1",
            "[2001:db8::1]",
            "fe80::1%eth0",
            "münchen.example",
            "xn--mnchen-3ya.example",
        ] {
            assert!(is_host(host), "{host}");
        }
    }

    #[test]
    fn other_text_is_not_a_host() {
        for text in [
            "",
            ".",
            "20/10m",
            "mail.example.org:25",
            "smtp://mail.example.org",
            "mail..example.org",
            "-mail.example.org",
            "mail.example.org, backup.example.org",
            "admin@example.org",
            "300.1.2.3",
            "192.0.2",
            "25",
            "[mail.example.org]",
            "192.0.2.1%eth0",
            "a b",
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}
