//! Pseudonyms. A pseudonym depends only on the key and the text, so one original has one pseudonym.

use std::net::IpAddr;

use bstr::ByteSlice;
use data_encoding::{BASE32_NOPAD, BASE64};
use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use mls_event::clean;
use sha2::Sha256;

use crate::address::{CryptoPan, is_fixed};
use crate::class::Class;
use crate::key::PseudonymKey;
use crate::pseudonym_map::PseudonymMap;

type PseudonymCache = HashMap<Box<[u8]>, Box<[u8]>, foldhash::fast::RandomState>;

/// Computes pseudonyms with one key. A text is hashed with HMAC-SHA-256 (RFC 2104) and the key of
/// its class. A pseudonym contains 60 bits of the hash: among a million names, the probability that
/// two have the same pseudonym is about one in two million.
pub struct Pseudonyms {
    pan: CryptoPan,
    macs: [Hmac<Sha256>; Class::ALL.len()],
    keep: Vec<Class>,
    cache: [PseudonymCache; Class::ALL.len()],
    /// What was replaced, for `--map` and `--verify`.
    pub(crate) map: Option<PseudonymMap>,
}

/// How many pseudonyms of a class are cached, and how long their originals may be. These limits keep
/// memory independent of the length of the log.
const CACHED: usize = 1 << 16;
const CACHED_LENGTH: usize = 255;

/// The longest host name (RFC 1035, section 2.3.4).
const NAME_LENGTH: usize = 255;

/// The top-level domain of every pseudonym of a host (RFC 2606).
const INVALID: &[u8] = b".invalid";

impl Pseudonyms {
    /// Makes pseudonyms with `key`. Texts of the classes in `keep` do not change.
    #[must_use]
    pub fn new(key: &PseudonymKey, keep: &[Class]) -> Self {
        Self {
            pan: CryptoPan::new(&key.for_purpose("Crypto-PAn")),
            macs: Class::ALL.map(|(_, name, _)| {
                Hmac::new_from_slice(&key.for_purpose(name))
                    .unwrap_or_else(|_| unreachable!("HMAC accepts a key of any length"))
            }),
            keep: keep.to_vec(),
            cache: Default::default(),
            map: None,
        }
    }

    /// Whether texts of this class do not change.
    #[must_use]
    pub fn keeps(&self, class: Class) -> bool {
        self.keep.contains(&class)
    }

    /// The pseudonym of an address.
    pub fn address(&mut self, ip: IpAddr) -> IpAddr {
        if self.keeps(Class::Ip) {
            return ip;
        }
        let pseudonym = self.pan.pseudonym(ip);
        if let Some(map) = self.map.as_mut().filter(|_| !is_fixed(ip)) {
            map.address(ip, pseudonym);
        }
        pseudonym
    }

    /// Appends the pseudonym of an address that is written as `text`.
    pub fn ip(&mut self, ip: IpAddr, text: &[u8], out: &mut Vec<u8>) {
        if self.keeps(Class::Ip) {
            return out.extend_from_slice(text);
        }
        mls_event::write_ip(out, self.address(ip));
    }

    /// Appends the pseudonym of a host or domain name: one label for the last two labels, one for
    /// each other label, and `.invalid`. Case does not matter. An address, with or without
    /// brackets, becomes an address. `unknown` and `localhost` do not change.
    pub fn host(&mut self, name: &[u8], out: &mut Vec<u8>) {
        if self.keeps(Class::Host) && literal(name).is_none() {
            out.extend_from_slice(name);
        } else if let Some((before, ip, after)) = literal(name) {
            out.extend_from_slice(before);
            self.ip(ip, &name[before.len()..name.len() - after.len()], out);
            out.extend_from_slice(after);
        } else {
            let (name, dots) = name.split_at(name.trim_end_with(|c| c == '.').len());
            if is_anonymous(name) {
                out.extend_from_slice(name);
            } else {
                self.labels(&name.to_ascii_lowercase(), out);
            }
            out.extend_from_slice(dots);
        }
    }

    /// Appends the pseudonym of `name`, which must be in lower case.
    fn labels(&mut self, name: &[u8], out: &mut Vec<u8>) {
        if self.cached(Class::Host, name, out) {
            return;
        }
        let start = out.len();
        self.hash(Class::Host, name, out);
        match memchr::memchr(b'.', name) {
            Some(dot) if name.len() <= NAME_LENGTH && name[dot + 1..].contains(&b'.') => {
                out.push(b'.');
                self.labels(&name[dot + 1..], out);
            }
            _ => out.extend_from_slice(INVALID),
        }
        self.remember(Class::Host, name, &out[start..]);
    }

    /// Appends the pseudonym of a user name. If it is a mail address, the local part and the domain
    /// are replaced separately.
    pub fn user(&mut self, name: &str, out: &mut Vec<u8>) {
        match name.rsplit_once('@') {
            Some((local, domain)) if is_domain(domain.as_bytes()) => {
                self.mail(Class::User, local.as_bytes(), domain.as_bytes(), out);
            }
            _ => self.text(Class::User, name.as_bytes(), out),
        }
    }

    /// Appends the pseudonym of `LOCAL@DOMAIN`. The local part belongs to `class`.
    pub fn mail(&mut self, class: Class, local: &[u8], domain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.text(class, local, out);
        out.push(b'@');
        self.host(domain, out);
        if let Some(map) = &mut self.map {
            map.text(class, &[local, b"@", domain].concat(), &out[start..]);
        }
    }

    /// Appends the pseudonym of any text: the letter of the class and twelve letters or digits.
    pub fn text(&mut self, class: Class, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() || self.keeps(class) {
            out.extend_from_slice(text);
        } else if !self.cached(class, text, out) {
            let start = out.len();
            // Hash the cleaned text, so that a log and its records get the same pseudonyms.
            self.hash(class, clean(text).as_bytes(), out);
            self.remember(class, text, &out[start..]);
        }
    }

    /// Appends a pseudonym of the same length as `id`. It consists of hexadecimal digits, which are
    /// valid in short and in long queue IDs.
    pub fn queue_id(&mut self, id: &[u8], out: &mut Vec<u8>) {
        let hash =
            self.macs[Class::QueueId as usize].clone().chain_update(id).finalize().into_bytes();
        let digits = hash.iter().cycle().map(|byte| b"0123456789ABCDEF"[usize::from(byte & 15)]);
        let start = out.len();
        out.extend(digits.take(id.len()));
        if let Some(map) = &mut self.map {
            map.text(Class::QueueId, id, &out[start..]);
        }
    }

    /// Appends the pseudonym of base64 that does not encode text: base64 of the same length.
    pub fn base64(&mut self, challenge: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let hash = self.macs[Class::Challenge as usize]
            .clone()
            .chain_update(challenge)
            .finalize()
            .into_bytes();
        let text = BASE64.encode(&hash[..30]);
        out.extend(text.bytes().cycle().take(challenge.len()));
        if let Some(map) = &mut self.map {
            map.text(Class::Challenge, challenge, &out[start..]);
        }
    }

    fn cached(&mut self, class: Class, text: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(pseudonym) = self.cache[class as usize].get(text) else { return false };
        out.extend_from_slice(pseudonym);
        true
    }

    fn remember(&mut self, class: Class, text: &[u8], pseudonym: &[u8]) {
        if let Some(map) = &mut self.map {
            map.text(class, text, pseudonym);
        }
        let cache = &mut self.cache[class as usize];
        if cache.len() >= CACHED {
            cache.clear();
        }
        if text.len() <= CACHED_LENGTH {
            cache.insert(text.into(), pseudonym.into());
        }
    }

    fn hash(&self, class: Class, text: &[u8], out: &mut Vec<u8>) {
        let hash = self.macs[class as usize].clone().chain_update(text).finalize().into_bytes();
        let mut letters = [0; 16];
        // Ten bytes become sixteen characters.
        BASE32_NOPAD.encode_mut(&hash[..10], &mut letters);
        letters.make_ascii_lowercase();
        out.push(class.letter());
        out.extend_from_slice(&letters[..12]);
    }
}

/// Reads an address literal. Returns the text before the address (`[`, `[IPv6:`), the address, and the
/// text after it (`]`, a zone).
fn literal(name: &[u8]) -> Option<(&[u8], IpAddr, &[u8])> {
    if !name.first().is_some_and(|b| b.is_ascii_hexdigit() || matches!(b, b'[' | b':')) {
        return None;
    }
    let inner = match name.strip_prefix(b"[") {
        Some(inner) => inner.strip_suffix(b"]")?,
        None => name,
    };
    let inner = inner.strip_prefix(b"IPv6:").unwrap_or(inner);
    let inner = &inner[..inner.find_byte(b'%').unwrap_or(inner.len())];
    let ip = inner.to_str().ok()?.parse().ok()?;
    let start = name.find(inner)?;
    Some((&name[..start], ip, &name[start + inner.len()..]))
}

/// Whether a host name does not identify a machine.
fn is_anonymous(name: &[u8]) -> bool {
    name.is_empty()
        || [&b"unknown"[..], b"localhost", b"localhost.localdomain"]
            .iter()
            .any(|anonymous| name.eq_ignore_ascii_case(anonymous))
}

/// Whether `text`, the part of a mail address after its `@`, is a name or an address.
pub(crate) fn is_domain(text: &[u8]) -> bool {
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') || *b >= 0x80;
    !text.is_empty() && (text.iter().all(name) || literal(text).is_some())
}
