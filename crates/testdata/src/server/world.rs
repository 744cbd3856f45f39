//! The networks of a simulated Internet: their addresses, owners and countries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::random::Random;

/// Countries. The countries near the mail server come first.
pub(crate) const COUNTRIES: [&str; 36] = [
    "FR", "BE", "DE", "CH", "ES", "IT", "GB", "NL", "PT", "IE", "US", "CA", "MA", "TN", "SN", "SE",
    "PL", "CZ", "RO", "GR", "TR", "VN", "CN", "RU", "UA", "IN", "ID", "BR", "AR", "MX", "CO", "ZA",
    "NG", "EG", "TH", "KR",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Home,
    Mobile,
    /// Servers for rent: exits of VPNs, and attackers.
    Hosting,
    /// A VPN with one AS and exits in many countries.
    Vpn,
    /// A mail provider that fetches mailboxes.
    Fetcher,
}

/// A network: an IPv4 /16 and an IPv6 /32 in one country.
#[derive(Clone, Debug)]
pub(crate) struct ProviderNetwork {
    pub(crate) purpose: Purpose,
    pub(crate) country: &'static str,
    pub(crate) asn: u32,
    pub(crate) aso: String,
    number: u32,
}

impl ProviderNetwork {
    fn block(&self) -> u32 {
        // From 5.0.0.0 to 9.255.255.255 there are no special addresses.
        0x0500_0000 + (self.number << 16)
    }

    pub(crate) fn v4(&self, host: u64) -> IpAddr {
        let host = u32::try_from(1 + host % 65_000).unwrap_or(1);
        Ipv4Addr::from_bits(self.block() | host).into()
    }

    /// An IPv6 address: the /64 with this number, and any host in it.
    pub(crate) fn v6(&self, subnet: u64, host: u64) -> IpAddr {
        let prefix = (0x2a00_u128 << 112) | u128::from(self.number) << 96;
        Ipv6Addr::from_bits(prefix | u128::from(subnet & 0xffff_ffff) << 64 | u128::from(host | 1))
            .into()
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) networks: Vec<ProviderNetwork>,
}

impl World {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut world = Self { networks: Vec::new() };
        for (i, country) in COUNTRIES.iter().enumerate() {
            for n in 0..5 + random.below(4) {
                let asn = world.next_asn();
                world.add(Purpose::Home, country, asn, format!("{country} Telecom {n}"));
            }
            for n in 0..2 + random.below(2) {
                let asn = world.next_asn();
                world.add(Purpose::Mobile, country, asn, format!("{country} Mobile {n}"));
            }
            if i % 2 == 0 {
                for n in 0..2 {
                    let asn = world.next_asn();
                    world.add(Purpose::Hosting, country, asn, format!("{country} Hosting {n}"));
                }
            }
        }
        world.provider(Purpose::Vpn, "Roving VPN", &COUNTRIES[..24]);
        world.provider(Purpose::Fetcher, "Big Mail LLC", &["US", "IE", "NL"]);
        world.provider(Purpose::Fetcher, "Collector Inc", &["DE"]);
        world
    }

    fn next_asn(&self) -> u32 {
        64_600 + u32::try_from(self.networks.len()).unwrap_or_default() * 3
    }

    /// Adds one AS with a network in each of `countries`.
    fn provider(&mut self, purpose: Purpose, name: &str, countries: &[&'static str]) {
        let asn = self.next_asn();
        for country in countries {
            self.add(purpose, country, asn, name.to_owned());
        }
    }

    fn add(&mut self, purpose: Purpose, country: &'static str, asn: u32, aso: String) {
        let number = u32::try_from(self.networks.len()).unwrap_or_default();
        self.networks.push(ProviderNetwork { purpose, country, asn, aso, number });
    }

    /// The indexes of the networks with these purposes, in `country` or in all countries.
    pub(crate) fn of(&self, purposes: &[Purpose], country: Option<&str>) -> Vec<usize> {
        let fits = |network: &ProviderNetwork| {
            purposes.contains(&network.purpose)
                && country.is_none_or(|country| country == network.country)
        };
        (0..self.networks.len()).filter(|i| fits(&self.networks[*i])).collect()
    }

    /// The network that `ip` belongs to; none for an internal address.
    pub(crate) fn find(&self, ip: IpAddr) -> Option<&ProviderNetwork> {
        let number = match ip {
            IpAddr::V4(ip) => (ip.to_bits() >> 16).checked_sub(0x0500)?,
            IpAddr::V6(ip) if ip.to_bits() >> 112 == 0x2a00 => {
                u32::try_from(ip.to_bits() >> 96 & 0xffff).ok()?
            }
            IpAddr::V6(_) => return None,
        };
        self.networks.get(number as usize)
    }

    /// Writes databases of countries and AS, as mls-enrich reads them.
    pub(crate) fn save(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let mut files = BTreeMap::<&str, Vec<u8>>::new();
        for network in &self.networks {
            let first = network.block();
            let v4 = format!("{first},{}", first | 0xffff);
            let prefix = (0x2a00_u128 << 112) | u128::from(network.number) << 96;
            let v6 = format!("{prefix},{}", prefix | ((1 << 96) - 1));
            let [countries, countries6, systems, systems6] = crate::ipdb::FILES;
            for (countries, systems, range) in
                [(countries, systems, v4), (countries6, systems6, v6)]
            {
                let file = files.entry(countries).or_default();
                writeln!(file, "{range},{}", network.country)?;
                let file = files.entry(systems).or_default();
                writeln!(file, "{range},{},{}", network.asn, network.aso)?;
            }
        }
        for (name, text) in files {
            File::create(directory.join(name))?.write_all(&text)?;
        }
        Ok(())
    }
}
