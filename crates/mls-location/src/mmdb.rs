//! Databases in the MMDB format, read by maxminddb: `GeoLite2`, DB-IP, ip-location-db.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use crate::kind::DatabaseKind;
use crate::row::Family;
use crate::search::{Unusable, read};

/// The number of networks that are read to recognize the kind of a database.
const SAMPLE: usize = 1000;

/// An open MMDB database, in memory.
#[derive(Debug)]
pub struct Mmdb {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
}

pub(crate) struct MmdbNetwork {
    pub(crate) family: Family,
    /// Number of addresses.
    pub(crate) size: u128,
    pub(crate) has_country: bool,
    pub(crate) has_asn: bool,
}

type MmdbLookup<'a, S> = maxminddb::LookupResult<'a, S>;

impl Mmdb {
    /// Opens the file `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not an MMDB database.
    pub fn open(path: &Path) -> Result<Self, Unusable> {
        Self::new(path, read(path)?)
    }

    /// Opens `content`, the content of the file `path`.
    pub(crate) fn new(path: &Path, content: Vec<u8>) -> Result<Self, Unusable> {
        match Reader::from_source(content) {
            Ok(reader) => Ok(Self { path: path.to_owned(), reader }),
            Err(error) => Err(Unusable::Bad { path: path.to_owned(), what: error.to_string() }),
        }
    }

    /// Whether the database can contain addresses of the family of `ip`.
    pub(crate) fn serves(&self, ip: IpAddr) -> bool {
        self.reader.metadata().ip_version == 6 || ip.is_ipv4()
    }

    pub(crate) fn country(&self, ip: IpAddr) -> Result<Option<String>, Unusable> {
        self.find(ip, country)
    }

    pub(crate) fn system(&self, ip: IpAddr) -> Result<Option<(u32, Option<String>)>, Unusable> {
        self.find(ip, |found| {
            let Some(asn) = asn(found)? else { return Ok(None) };
            let name: Option<&str> =
                found.decode_path(&[PathElement::Key("autonomous_system_organization")])?;
            let name = name
                .filter(|name| !name.is_empty())
                .map(|name| mls_event::clean(name.as_bytes()).into_owned());
            Ok(Some((asn, name)))
        })
    }

    fn find<T>(
        &self,
        ip: IpAddr,
        read: impl Fn(&MmdbLookup<'_, Vec<u8>>) -> Result<Option<T>, MaxMindDbError>,
    ) -> Result<Option<T>, Unusable> {
        let found = self.reader.lookup(ip).and_then(|found| read(&found));
        found.map_err(|error| Unusable::Bad { path: self.path.clone(), what: error.to_string() })
    }

    /// Fails if the first networks show that the database is of the other kind.
    pub(crate) fn check_kind(&self, kind: DatabaseKind) -> Result<(), Unusable> {
        let bad = |what: String| Unusable::Bad { path: self.path.clone(), what };
        let failed = |error: MaxMindDbError| bad(error.to_string());
        let (mut has_country, mut has_asn) = (false, false);
        let networks = self.reader.networks(WithinOptions::default()).map_err(failed)?;
        for found in networks.take(SAMPLE) {
            let found = found.map_err(failed)?;
            has_country |= country(&found).map_err(failed)?.is_some();
            has_asn |= asn(&found).map_err(failed)?.is_some();
        }
        if kind.is_other(has_country, has_asn) { Err(bad(kind.wrong())) } else { Ok(()) }
    }

    /// The time at which the database was built; `None` if the file does not contain this time.
    #[must_use]
    pub fn built(&self) -> Option<SystemTime> {
        self.reader.metadata().build_time().ok()
    }
}

/// Checks a whole file and calls `each` for each network that has data.
pub(crate) fn visit(
    bytes: &[u8],
    mut each: impl FnMut(&MmdbNetwork),
) -> Result<(), MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    let metadata = reader.metadata();
    let nodes = usize::try_from(metadata.node_count).unwrap_or(usize::MAX);
    // In some files, several IPv6 prefixes lead to the IPv4 networks, so a network can count
    // several times. Allow eight networks for each node.
    let most = u64::from(metadata.node_count) * 8;
    let flaw = match networks(bytes, nodes, metadata.record_size) {
        None => Some("its search tree has a cycle or is cut off"),
        Some(networks) if u64::from(networks) > most => {
            Some("its search tree is damaged: it has more networks than nodes")
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
        each(&MmdbNetwork {
            family,
            size,
            has_country: country(&found)?.is_some(),
            has_asn: asn(&found)?.is_some(),
        });
    }
    Ok(())
}

/// Counts the networks in the search tree. A network counts once for each path to the network. So a
/// tree of only a hundred nodes can have more networks than a program can ever visit. Returns
/// `None` if the tree has a cycle or is cut off.
#[expect(clippy::many_single_char_names, reason = "the bytes of a node")]
fn networks(bytes: &[u8], nodes: usize, bits: u16) -> Option<u32> {
    const OPEN: u32 = u32::MAX;
    let width = usize::from(bits) / 4;
    // If `nodes` is too large for the file, stop here. So a wrong `nodes` cannot make this function
    // allocate more memory than the size of the file.
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
    // Per node: 0 before the visit, OPEN during it, then the number of networks below the node.
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

/// Returns the country code. In `GeoLite2` and DB-IP, the code is the member `iso_code` of
/// `country`. In ip-location-db, it is the member `country_code`.
fn country<S: AsRef<[u8]>>(found: &MmdbLookup<'_, S>) -> Result<Option<String>, MaxMindDbError> {
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

fn asn<S: AsRef<[u8]>>(found: &MmdbLookup<'_, S>) -> Result<Option<u32>, MaxMindDbError> {
    let asn: Option<u32> = found.decode_path(&[PathElement::Key("autonomous_system_number")])?;
    Ok(asn.filter(|asn| *asn != 0))
}
