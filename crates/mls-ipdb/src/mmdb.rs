//! Databases in MMDB form, read by maxminddb: `GeoLite2`, DB-IP, ip-location-db.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use crate::look::{Unusable, read};
use crate::row::Family;

/// An open MMDB database, in memory.
#[derive(Debug)]
pub(crate) struct Mmdb {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
}

/// A network in the database.
pub(crate) struct Network {
    pub(crate) family: Family,
    /// How many addresses it has.
    pub(crate) size: u128,
    pub(crate) has_country: bool,
    pub(crate) has_asn: bool,
}

type Found<'a, S> = maxminddb::LookupResult<'a, S>;

impl Mmdb {
    pub(crate) fn open(path: &Path) -> Result<Self, Unusable> {
        match Reader::from_source(read(path)?) {
            Ok(reader) => Ok(Self { path: path.to_owned(), reader }),
            Err(error) => Err(Unusable::Bad { path: path.to_owned(), what: error.to_string() }),
        }
    }

    /// Whether it can know of the address.
    pub(crate) fn serves(&self, ip: IpAddr) -> bool {
        self.reader.metadata().ip_version == 6 || ip.is_ipv4()
    }

    pub(crate) fn country(&self, ip: IpAddr) -> Result<Option<String>, Unusable> {
        self.look(ip, country)
    }

    pub(crate) fn system(&self, ip: IpAddr) -> Result<Option<(u32, Option<String>)>, Unusable> {
        self.look(ip, |found| {
            let Some(asn) = asn(found)? else { return Ok(None) };
            let name: Option<&str> =
                found.decode_path(&[PathElement::Key("autonomous_system_organization")])?;
            let name = name
                .filter(|name| !name.is_empty())
                .map(|name| mls_event::clean(name.as_bytes()).into_owned());
            Ok(Some((asn, name)))
        })
    }

    fn look<T>(
        &self,
        ip: IpAddr,
        read: impl Fn(&Found<'_, Vec<u8>>) -> Result<Option<T>, MaxMindDbError>,
    ) -> Result<Option<T>, Unusable> {
        let found = self.reader.lookup(ip).and_then(|found| read(&found));
        found.map_err(|error| Unusable::Bad { path: self.path.clone(), what: error.to_string() })
    }

    /// When it was made, as far as it says.
    pub(crate) fn built(&self) -> Option<SystemTime> {
        self.reader.metadata().build_time().ok()
    }
}

/// Checks a whole file and shows `each` network that it has data for.
pub(crate) fn visit(bytes: &[u8], mut each: impl FnMut(&Network)) -> Result<(), MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    let metadata = reader.metadata();
    let nodes = usize::try_from(metadata.node_count).unwrap_or(usize::MAX);
    // IPv4 is reached in a few ways where a file has it below its IPv6 names too.
    let most = u64::from(metadata.node_count) * 8;
    let flaw = match networks(bytes, nodes, metadata.record_size) {
        None => Some("its search tree leads back into itself, or is cut off"),
        Some(networks) if u64::from(networks) > most => {
            Some("its search tree is no tree: it has more networks than nodes")
        }
        Some(_) => None,
    };
    if let Some(flaw) = flaw {
        return Err(MaxMindDbError::InvalidDatabase { message: flaw.to_owned(), offset: None });
    }
    reader.verify()?;
    for found in reader.networks(WithinOptions::default())? {
        let found = found?;
        let network = found.network()?;
        let (family, bits) = if network.is_ipv4() { (Family::V4, 32) } else { (Family::V6, 128) };
        let size = 1u128.checked_shl(bits - u32::from(network.prefix())).unwrap_or(u128::MAX);
        each(&Network {
            family,
            size,
            has_country: country(&found)?.is_some(),
            has_asn: asn(&found)?.is_some(),
        });
    }
    Ok(())
}

/// How many networks the search tree has, one that is reached in several ways counted as often: a hundred nodes can make more than
/// could ever be looked at. `None` where it leads back into itself, or is cut off.
#[expect(clippy::many_single_char_names, reason = "the bytes of a node")]
fn networks(bytes: &[u8], nodes: usize, bits: u16) -> Option<u32> {
    const OPEN: u32 = u32::MAX;
    let width = usize::from(bits) / 4;
    // All of it is in the file: no count is believed that would need more memory than that.
    let tree = bytes.get(..nodes.checked_mul(width)?)?;
    let children = |node: usize| -> Option<[usize; 2]> {
        let records = match (bits, &tree[node * width..][..width]) {
            (24, &[a, b, c, d, e, f]) => [[0, a, b, c], [0, d, e, f]],
            (28, &[a, b, c, both, d, e, f]) => [[both >> 4, a, b, c], [both & 15, d, e, f]],
            (32, &[a, b, c, d, e, f, g, h]) => [[a, b, c, d], [e, f, g, h]],
            _ => return None,
        };
        Some(
            records.map(|record| usize::try_from(u32::from_be_bytes(record)).unwrap_or(usize::MAX)),
        )
    };
    // Of each node: 0 before it was seen, then OPEN, then how many networks are below it.
    let mut below = vec![0; nodes];
    let mut path = vec![0];
    while let Some(node) = path.last().copied() {
        let children = children(node)?;
        match *below.get(node)? {
            0 => {
                below[node] = OPEN;
                for child in children.into_iter().filter(|child| *child < nodes) {
                    match below[child] {
                        0 => path.push(child),
                        OPEN => return None,
                        _ => {}
                    }
                }
            }
            known => {
                if known == OPEN {
                    let [left, right] =
                        children.map(|child| below.get(child).copied().unwrap_or(1));
                    below[node] = left.saturating_add(right).min(OPEN - 1);
                }
                path.pop();
            }
        }
    }
    below.first().copied()
}

/// `GeoLite2` and DB-IP have the code inside a country; ip-location-db has nothing else.
fn country<S: AsRef<[u8]>>(found: &Found<'_, S>) -> Result<Option<String>, MaxMindDbError> {
    for path in [
        &[PathElement::Key("country"), PathElement::Key("iso_code")][..],
        &[PathElement::Key("country_code")],
    ] {
        if let Some(code) = found.decode_path::<&str>(path)?
            && code.len() == 2
            && code.bytes().all(|b| b.is_ascii_alphabetic())
        {
            return Ok(Some(code.to_ascii_uppercase()));
        }
    }
    Ok(None)
}

fn asn<S: AsRef<[u8]>>(found: &Found<'_, S>) -> Result<Option<u32>, MaxMindDbError> {
    let asn: Option<u32> = found.decode_path(&[PathElement::Key("autonomous_system_number")])?;
    Ok(asn.filter(|asn| *asn != 0))
}
