//! Prefix-preserving pseudonyms of addresses. If two addresses have exactly n first bits in common,
//! their pseudonyms also have exactly n first bits in common.
//!
//! The construction is Crypto-PAn (Xu, Fan, Ammar and Moon, "Prefix-Preserving IP Address
//! Anonymization", ICNP 2002). A pseudo-random function (AES-128) of the bits before bit i decides
//! whether bit i is flipped. IPv6 addresses work in the same way, with 128 bits.
//!
//! Published Crypto-PAn has a weakness: if bit i equals the padding, AES gets the same block for
//! bits i and i + 1, and flips both bits or no bit. About one public address in 5,000 would be its
//! own pseudonym. Here the bit number is mixed into the block, so that the flips are independent.
//!
//! A reader of the pseudonyms can still see how many first bits two addresses share. By chance, a
//! first octet can stay the same (one in 256, more often next to a range that is listed below). A
//! whole address can also stay the same (at worst one in 2^16, next to `192.168/16`). `--verify`
//! refuses a result with an unchanged address.
//!
//! This module adds one rule: a private address stays private, and no public address becomes
//! private. Bits that select a private, link-local, multicast or reserved range are not flipped.
//! For IPv4, these ranges are `10/8`, `100.64/10`, `169.254/16`, `172.16/12`, `192.168/16`, `224/4`
//! and `240/4`. For IPv6, they are `fc00::/7`, `fe80::/10` and `ff00::/8`. Addresses in `0/8` and
//! `127/8`, `::` and `::1` do not change. The function is still a prefix-preserving permutation,
//! and it maps each range to itself. A disadvantage is that the first bits of addresses next to
//! such a range stay visible. For example, readers can see that 192.169.0.1 begins with 192.169.
//! Ranges for documentation are not in the list, because no host has an address in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// A range that is mapped to itself: its first address and its prefix length.
type FixedRange<T> = (T, u32);

/// IPv4: ranges of RFC 6890 that hosts use, multicast and reserved addresses. The addresses of the
/// first two ranges do not change.
const V4: [FixedRange<Ipv4Addr>; 9] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6: unspecified, loopback, unique local, link-local and multicast.
const V6: [FixedRange<Ipv6Addr>; 5] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Computes pseudonyms with one key.
pub struct CryptoPan {
    aes: Aes128,
    pad: u128,
}

impl CryptoPan {
    /// The first half of `key` is the AES key. The second half, encrypted, is the padding, as in
    /// the implementation of the Crypto-PAn authors.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let (cipher, pad) = key.split_at(16);
        let aes = Aes128::new_from_slice(cipher)
            .unwrap_or_else(|_| unreachable!("an AES-128 key has 16 bytes"));
        let mut block = aes::Block::try_from(pad).unwrap_or_default();
        aes.encrypt_block(&mut block);
        Self { aes, pad: u128::from_be_bytes(block.into()) }
    }

    /// The pseudonym of `ip`. For an IPv4-mapped address, the IPv4 address in it is replaced.
    #[must_use]
    pub fn pseudonym(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => self.v4(ip).into(),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => self.v4(ip).to_ipv6_mapped().into(),
                None => self.v6(ip).into(),
            },
        }
    }

    fn v4(&self, ip: Ipv4Addr) -> Ipv4Addr {
        let bits = u128::from(ip.to_bits()) << 96;
        if is_fixed(ip.into()) {
            return ip;
        }
        let kept = V4
            .iter()
            .map(|(first, length)| kept(bits, u128::from(first.to_bits()) << 96, *length))
            .max();
        Ipv4Addr::from_bits((self.flip(bits, kept.unwrap_or(0), 32) >> 96) as u32)
    }

    fn v6(&self, ip: Ipv6Addr) -> Ipv6Addr {
        let kept =
            V6.iter().map(|(first, length)| kept(ip.to_bits(), first.to_bits(), *length)).max();
        Ipv6Addr::from_bits(self.flip(ip.to_bits(), kept.unwrap_or(0), 128))
    }

    /// Flips bits of `address` after the first `kept` bits. `address` is left-aligned and has `width`
    /// bits.
    fn flip(&self, address: u128, kept: u32, width: u32) -> u128 {
        self.flip_with(address, kept, width, u128::from)
    }

    /// Like [`Self::flip`], but `separate` gives the number that is mixed into the block for a bit
    /// (`|_| 0`: published Crypto-PAn).
    fn flip_with(
        &self,
        address: u128,
        kept: u32,
        width: u32,
        separate: impl Fn(u32) -> u128,
    ) -> u128 {
        // Encrypt eight blocks at a time, because processors pipeline AES.
        const AT_ONCE: u32 = 8;
        let mut flips = 0;
        let mut position = kept;
        while position < width {
            let blocks: [u128; AT_ONCE as usize] = std::array::from_fn(|i| {
                let position = position + u32::try_from(i).unwrap_or(0);
                let after = u128::MAX.checked_shr(position).unwrap_or(0);
                ((address & !after) | (self.pad & after)) ^ separate(position)
            });
            let mut blocks = blocks.map(|block| aes::Block::from(block.to_be_bytes()));
            self.aes.encrypt_blocks(&mut blocks);
            for block in blocks.iter().take((width - position) as usize) {
                flips |= u128::from(block[0] >> 7) << (127 - position);
                position += 1;
            }
        }
        address ^ flips
    }
}

/// Whether an address is its own pseudonym under every key: loopback, unspecified and `0/8`.
#[must_use]
pub fn is_fixed(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => matches!(ip.octets()[0], 0 | 127),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_loopback(),
    }
}

/// Returns how many first bits of `address` must stay, so that `address` does not enter or leave
/// the range `first`/`length`: the bits in common with `first`, and the first different bit.
fn kept(address: u128, first: u128, length: u32) -> u32 {
    ((address ^ first).leading_zeros() + 1).min(length)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "random bits")]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_not_their_own_pseudonyms() {
        let mut random = testdata::random::Random::new(11);
        let pan = CryptoPan::new(&KEY);
        let unchanged = (0..200_000).filter(|_| {
            // 64.0.0.0 to 95.255.255.255: far from the ranges in `V4`, so almost all bits can flip.
            let ip = Ipv4Addr::from_bits(0x4000_0000 | (random.number() as u32) & 0x1fff_ffff);
            pan.pseudonym(ip.into()) == IpAddr::V4(ip)
        });
        assert_eq!(unchanged.count(), 0);
    }

    /// The key of the sample trace of the Crypto-PAn authors.
    const KEY: [u8; 32] = [
        21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
        121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
    ];

    #[test]
    fn without_the_additions_the_result_equals_the_authors_sample_trace() {
        let pan = CryptoPan::new(&KEY);
        for (raw, sanitized) in [
            ("128.11.68.132", "135.242.180.132"),
            ("129.118.74.4", "134.136.186.123"),
            ("130.132.252.244", "133.68.164.234"),
            ("141.223.7.43", "141.167.8.160"),
            ("152.163.225.39", "151.140.114.167"),
            ("165.247.96.84", "162.9.99.234"),
            ("192.102.249.13", "252.138.62.131"),
            ("198.200.171.101", "249.199.68.213"),
            ("203.12.160.252", "244.248.163.4"),
            ("207.105.49.5", "241.118.205.138"),
            ("208.147.89.59", "227.237.98.191"),
            ("212.120.124.31", "228.135.163.231"),
            ("216.254.18.172", "235.7.16.162"),
            ("24.0.250.221", "100.15.198.226"),
            ("38.15.67.68", "64.3.66.187"),
            ("4.3.88.225", "124.60.155.63"),
            ("63.195.241.44", "95.179.238.44"),
            ("64.39.15.238", "0.219.7.41"),
            ("10.185.25.118", "117.161.29.118"),
        ] {
            let bits = u128::from(raw.parse::<Ipv4Addr>().unwrap().to_bits()) << 96;
            assert_eq!(
                Ipv4Addr::from_bits((pan.flip_with(bits, 0, 32, |_| 0) >> 96) as u32).to_string(),
                sanitized
            );
        }
        // IPv6: results of other implementations of Crypto-PAn.
        for (raw, sanitized) in [
            ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
            ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
            ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
            ("2001:db8::2", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c"),
        ] {
            let bits = raw.parse::<Ipv6Addr>().unwrap().to_bits();
            assert_eq!(
                Ipv6Addr::from_bits(pan.flip_with(bits, 0, 128, |_| 0)).to_string(),
                sanitized
            );
        }
    }

    /// The class of `ip`. The pseudonym of `ip` must have the same class.
    fn class(ip: IpAddr) -> &'static str {
        match ip {
            IpAddr::V4(ip) if ip.octets()[0] == 0 => "unspecified",
            IpAddr::V4(ip) if ip.is_private() => "private",
            IpAddr::V4(ip) if ip.is_link_local() => "link-local",
            IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64 => "shared",
            IpAddr::V6(ip) if ip.is_unique_local() => "private",
            IpAddr::V6(ip) if ip.is_unicast_link_local() => "link-local",
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => "mapped",
            ip if ip.is_unspecified() => "unspecified",
            ip if ip.is_loopback() => "loopback",
            ip if ip.is_multicast() => "multicast",
            IpAddr::V4(ip) if ip.octets()[0] >= 240 => "reserved",
            _ => "public",
        }
    }

    #[test]
    fn loopback_and_unspecified_addresses_do_not_change() {
        let pan = CryptoPan::new(&KEY);
        for ip in ["127.0.0.1", "127.0.1.11", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(pan.pseudonym(ip), ip);
        }
    }

    /// Random addresses, many of each class. Without this choice, most would be public.
    fn addresses() -> Vec<IpAddr> {
        let mut random = testdata::random::Random::new(7);
        let v4 = V4.map(|(first, length)| (first.to_bits(), length));
        (0..10_000)
            .map(|n| {
                let number = random.number();
                let wide = u128::from(number) << 64 | u128::from(random.number());
                match n % 6 {
                    0 => {
                        let (first, length) = v4[n % v4.len()];
                        Ipv4Addr::from_bits(first | (number as u32) >> length).into()
                    }
                    1 => {
                        let (first, length) = V6[n % V6.len()];
                        Ipv6Addr::from_bits(first.to_bits() | wide.checked_shr(length).unwrap_or(0))
                            .into()
                    }
                    2 => Ipv6Addr::from_bits(wide >> 3 | 1 << 125).into(),
                    // Many addresses in few networks.
                    3 => Ipv4Addr::from_bits(0xc600_0000 | (number as u32) & 0x3_0fff).into(),
                    _ => Ipv4Addr::from_bits(number as u32).into(),
                }
            })
            .collect()
    }

    fn common(a: IpAddr, b: IpAddr) -> Option<u32> {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
            (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
            _ => None,
        }
    }

    #[test]
    fn any_two_addresses_share_as_many_first_bits_as_their_pseudonyms() {
        let mut random = testdata::random::Random::new(1);
        let pan = CryptoPan::new(&std::array::from_fn(|_| random.number() as u8));
        let pairs: Vec<_> = addresses().into_iter().map(|ip| (ip, pan.pseudonym(ip))).collect();
        assert!(pairs.iter().filter(|(ip, pseudonym)| ip != pseudonym).count() > 8_000);
        for (i, (ip, pseudonym)) in pairs.iter().enumerate() {
            assert_eq!(class(*ip), class(*pseudonym), "{ip} became {pseudonym}");
            for (other, others) in &pairs[..i] {
                assert_eq!(common(*ip, *other), common(*pseudonym, *others), "{ip} and {other}");
            }
        }
    }
}
