//! Makes the lists of a report. Each function reads its counts in one pass.

use std::io;
use std::net::IpAddr;

use chrono::{NaiveDateTime, SecondsFormat};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mls_config::zone::Zone;

use crate::counter::{Count, Counter};
use crate::history::{LocationRef, Past, address_and_server, location};
use crate::login_counter::LoginCounts;
use crate::ranking::Ranking;
use crate::report::{
    Address, Country, DistributedAttack, FEW, List, LoginTotal, MANY, NetworkTotal, Organisation,
    ServerCount, SilentServer, SlowAttacker, System, User, WidespreadAttacker,
};
use crate::seen::Seen;
use crate::servers::Servers;
use crate::tally::{Tally, value, values};

/// Replaces control characters by `?`.
pub(crate) fn shown(text: &str) -> String {
    mls_event::clean(text.as_bytes()).into_owned()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(shown)
}

/// Returns the countries, and the new countries.
pub(crate) fn countries(
    counter: Counter,
    before: &Seen,
    n: usize,
) -> io::Result<[List<Country>; 2]> {
    let (mut all, mut new) = (Ranking::new(n), Ranking::new(n));
    counter.for_each(|key, attempts| {
        let Some(name) = value(key) else { return all.add_unknown(*attempts) };
        all.add(*attempts, || shown(name));
        if !before.contains(name) {
            new.add(*attempts, || shown(name));
        }
    })?;
    Ok([all, new].map(|it| it.list(|country_code, attempts| Country { country_code, attempts })))
}

/// Lists of attempts by user, address, host name and country.
pub(crate) struct LoginLists {
    pub(crate) logins: List<LoginTotal>,
    pub(crate) users: List<User>,
    pub(crate) new_users: List<User>,
    pub(crate) distributed_attacks: List<DistributedAttack>,
}

#[derive(Default)]
struct UserTotal {
    user: String,
    attempts: u64,
    /// The address added last.
    ip: String,
    addresses: u64,
    /// Attempts whose address is known.
    from_addresses: u64,
}

impl UserTotal {
    /// Adds `n` attempts from an address. The caller must pass the addresses in order: then an
    /// address with several host names counts once.
    fn add(&mut self, ip: Option<&str>, n: u64) {
        self.attempts += n;
        let Some(ip) = ip else { return };
        self.from_addresses += n;
        if self.addresses == 0 || ip != self.ip {
            ip.clone_into(&mut self.ip);
            self.addresses += 1;
        }
    }
}

impl LoginLists {
    /// Makes the lists. If no attempt has a user name, `logins` has a row for each address. If any
    /// attempt has a user name, attempts without a user name have no row in `logins`.
    pub(crate) fn new(counts: LoginCounts, before: &Seen, n: usize) -> io::Result<Self> {
        let LoginCounts { counter, has_users } = counts;
        let (mut logins, mut users) = (Ranking::new(n), Ranking::new(n));
        let (mut new_users, mut attacks) = (Ranking::new(n), Ranking::new(n));
        let mut unknown = 0;
        let mut end = |total: &UserTotal| {
            if total.attempts == 0 {
                return;
            }
            users.add(total.attempts, || shown(&total.user));
            if !before.contains(&total.user) {
                new_users.add(total.attempts, || shown(&total.user));
            }
            if total.addresses >= MANY.into() {
                attacks.add((total.addresses, total.from_addresses), || total.user.clone());
            }
        };
        let mut total = UserTotal::default();
        counter.for_each(|key, attempts| {
            let [user, ip, ..] = values(key);
            if user.is_some() || !has_users && ip.is_some() {
                logins.add(*attempts, || key.to_owned());
            } else {
                logins.add_unknown(*attempts);
            }
            let Some(user) = user else {
                unknown += attempts;
                return;
            };
            if user != total.user {
                end(&total);
                user.clone_into(&mut total.user);
                (total.attempts, total.addresses, total.from_addresses) = (0, 0, 0);
            }
            total.add(ip, *attempts);
        })?;
        end(&total);
        users.add_unknown(unknown);
        let user = |user, attempts| User { user, attempts };
        Ok(Self {
            logins: logins.list(|key, attempts| {
                let [user, ip, hostname, country_code] = values(&key).map(owned);
                LoginTotal { user, ip, hostname, country_code, attempts }
            }),
            users: users.list(user),
            new_users: new_users.list(user),
            distributed_attacks: attacks.list(|user, (addresses, attempts)| DistributedAttack {
                user: shown(&user),
                addresses,
                attempts,
            }),
        })
    }
}

pub(crate) struct AddressLists {
    pub(crate) addresses: List<Address>,
    pub(crate) new: List<Address>,
    pub(crate) networks: List<NetworkTotal>,
    pub(crate) slow_attackers: List<SlowAttacker>,
    pub(crate) widespread_attackers: List<WidespreadAttacker>,
}

/// The attempts of one address on all servers.
#[derive(Default)]
struct AddressTotal {
    ip: String,
    past: Past,
    /// Number of servers that the address tried in the period.
    servers: u64,
}

impl AddressLists {
    /// Makes the lists. Also counts the addresses of each server.
    pub(crate) fn new(tally: &mut Tally, n: usize) -> io::Result<Self> {
        let (mut all, mut new) = (Ranking::new(n), Ranking::new(n));
        let (mut slow, mut widespread) = (Ranking::new(n), Ranking::new(n));
        let mut networks: Counter<NetworkCount> = Counter::new(50_000, 2 << 20);
        let least = tally.servers.fewest_of_widespread();
        let before = &tally.addresses_before;
        let mut known = 0;
        let mut end = |AddressTotal { ip, past, servers }: &AddressTotal| {
            // This address tried only before the period.
            if past.inside == 0 {
                return;
            }
            known += past.inside;
            all.add(past.inside, || (ip.clone(), past.location));
            if !before.contains(ip) {
                new.add(past.inside, || (ip.clone(), past.location));
            }
            if past.days() >= MANY && past.attempts <= FEW * past.days() {
                slow.add((past.days(), past.attempts), || ip.clone());
            }
            if *servers >= least {
                widespread.add((*servers, past.inside), || ip.clone());
            }
            if let Some(network) = ip.parse().ok().and_then(network) {
                let count = NetworkCount { addresses: 1, attempts: past.inside };
                networks.update(&network.to_string(), |total| total.merge(&count));
            }
        };
        let mut total = AddressTotal::default();
        let counter = tally.history.take_addresses();
        counter.for_each(|key, past| {
            let (ip, server) = address_and_server(key);
            if ip != total.ip {
                end(&total);
                ip.clone_into(&mut total.ip);
                (total.past, total.servers) = (Past::default(), 0);
            }
            total.past.merge(past);
            if past.inside > 0 {
                total.servers += 1;
                tally.servers.add_address(server);
            }
        })?;
        end(&total);
        let locations = &tally.history.locations;
        let address = |(ip, offset): (String, _), attempts| {
            let LocationRef { country_code, asn, aso } = location(locations, offset);
            let asn = asn.and_then(|asn| asn.parse().ok());
            let (country_code, aso) = (owned(country_code), owned(aso));
            Address { ip: shown(&ip), country_code, asn, aso, attempts }
        };
        all.add_unknown(tally.attempts.saturating_sub(known));
        Ok(Self {
            addresses: all.list(address),
            new: new.list(address),
            networks: network_list(networks, n)?,
            slow_attackers: slow.list(|ip, (days, attempts)| SlowAttacker {
                ip: shown(&ip),
                days,
                attempts,
            }),
            widespread_attackers: widespread.list(|ip, (servers, attempts)| WidespreadAttacker {
                ip: shown(&ip),
                servers,
                attempts,
            }),
        })
    }
}

/// Number of addresses of a network, and number of attempts.
#[derive(Default)]
struct NetworkCount {
    addresses: u64,
    attempts: u64,
}

impl Count for NetworkCount {
    fn merge(&mut self, later: &Self) {
        self.addresses.merge(&later.addresses);
        self.attempts.merge(&later.attempts);
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.addresses.write(out);
        self.attempts.write(out);
    }

    fn read(input: &mut impl io::Read) -> io::Result<Self> {
        Ok(Self { addresses: u64::read(input)?, attempts: u64::read(input)? })
    }
}

/// Returns the network of an address (/24 or /64), which one attacker probably controls.
fn network(ip: IpAddr) -> Option<IpNet> {
    Some(match ip {
        IpAddr::V4(ip) => Ipv4Net::new(ip, 24).ok()?.trunc().into(),
        IpAddr::V6(ip) => Ipv6Net::new(ip, 64).ok()?.trunc().into(),
    })
}

fn network_list(networks: Counter<NetworkCount>, n: usize) -> io::Result<List<NetworkTotal>> {
    let mut list: Ranking<Option<IpNet>, _> = Ranking::new(n);
    networks.for_each(|network, count| {
        list.add((count.attempts, count.addresses), || network.parse().ok());
    })?;
    let list = list.list(|network, (attempts, addresses)| {
        Some(NetworkTotal { network: network?, addresses, attempts })
    });
    let List { distinct, exact, unknown, top } = list;
    Ok(List { distinct, exact, unknown, top: top.into_iter().flatten().collect() })
}

/// The attempts of one autonomous system, and its most frequent organisation.
#[derive(Default)]
struct SystemTotal {
    asn: Option<u32>,
    attempts: u64,
    /// Attempts of the most frequent organisation.
    most: u64,
    aso: Option<String>,
}

/// Returns the autonomous systems and the organisations. A system without a number is listed by its
/// organisation. A system with a number gets the name of its most frequent organisation.
pub(crate) fn systems(
    counter: Counter,
    n: usize,
) -> io::Result<(List<System>, List<Organisation>)> {
    let mut systems = Ranking::new(n);
    let mut organisations: Counter = Counter::new(50_000, 3 << 20);
    let mut no_organisation = 0;
    let mut total = SystemTotal::default();
    let mut end = |total: &SystemTotal| match total {
        SystemTotal { attempts: 0, .. } => {}
        SystemTotal { asn: None, aso: None, attempts, .. } => systems.add_unknown(*attempts),
        SystemTotal { asn, aso, attempts, .. } => {
            systems.add(*attempts, || (*asn, aso.clone()));
        }
    };
    counter.for_each(|key, attempts| {
        let [asn, aso, ..] = values(key);
        match aso {
            Some(aso) => organisations.add(aso, *attempts),
            None => no_organisation += attempts,
        }
        let asn = asn.and_then(|asn| asn.parse().ok());
        if asn.is_none() || asn != total.asn {
            end(&total);
            total = SystemTotal { asn, ..SystemTotal::default() };
        }
        total.attempts += attempts;
        if (*attempts, aso) > (total.most, total.aso.as_deref()) {
            (total.most, total.aso) = (*attempts, owned(aso));
        }
    })?;
    end(&total);
    let mut list = Ranking::new(n);
    organisations.for_each(|aso, attempts| list.add(*attempts, || shown(aso)))?;
    list.add_unknown(no_organisation);
    let systems = systems.list(|(asn, aso), attempts| System { asn, aso, attempts });
    Ok((systems, list.list(|aso, attempts| Organisation { aso, attempts })))
}

/// Returns the servers, and the servers that are silent at `end`. If the input has only one server,
/// this server is never listed as silent.
pub(crate) fn servers(
    servers: &Servers,
    end: NaiveDateTime,
    zone: Zone,
    n: usize,
) -> (List<ServerCount>, List<SilentServer>) {
    let (mut all, mut silent) = (Ranking::new(n), Ranking::new(n));
    let rfc3339 = |at| zone.read(at).to_rfc3339_opts(SecondsFormat::Secs, false);
    let named = servers.named();
    for server in named {
        if server.attempts > 0 {
            all.add((server.attempts, server.addresses), || (shown(&server.name), server.last()));
        }
        if named.len() > 1
            && let Some(silence) = server.silence(end)
        {
            silent.add(silence.pause, || (shown(&server.name), server.attempts, silence));
        }
    }
    all.add_unknown(servers.unknown());
    let servers = all.list(|(server, last), (attempts, addresses)| ServerCount {
        server,
        addresses,
        last_attempt: last.map(rfc3339),
        attempts,
    });
    let silent = silent.list(|(server, attempts, silence), pause| SilentServer {
        server,
        last: silence.last,
        last_attempt: rfc3339(silence.last),
        pause_minutes: pause,
        usual_pause_minutes: silence.usual,
        attempts,
    });
    (servers, silent)
}
