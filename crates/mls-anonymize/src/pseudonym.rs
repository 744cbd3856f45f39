//! One original, one pseudonym: keyed functions of nothing but the text.

use std::io::Write;
use std::net::IpAddr;

use bstr::ByteSlice;
use data_encoding::{BASE32_NOPAD, BASE64};
use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use mls_event::clean;
use sha2::Sha256;

use crate::address::{CryptoPan, is_fixed};
use crate::class::Class;
use crate::key::Key;
use crate::pseudonym_map::PseudonymMap;

/// Originals and pseudonyms.
type Cache = HashMap<Box<[u8]>, Box<[u8]>, foldhash::fast::RandomState>;

/// Every pseudonym of one key. Texts are hashed with HMAC-SHA-256 (RFC 2104) under a key of their class; 60 bits of it are the
/// pseudonym, so that a million names have two alike once in two million logs.
pub struct Pseudonyms {
    pan: CryptoPan,
    macs: Vec<Hmac<Sha256>>,
    keep: Vec<Class>,
    /// What was computed lately. It saves time and changes nothing.
    cache: [Cache; Class::COUNT],
    /// What was replaced, for `--map` and `--verify`.
    pub(crate) map: Option<PseudonymMap>,
}

/// So many of a class are remembered, and none that is longer: memory does not grow with the log.
const CACHED: usize = 1 << 16;
const CACHED_LENGTH: usize = 255;

/// RFC 1035, section 2.3.4.
const NAME_LENGTH: usize = 255;

/// What every host name ends in (RFC 2606).
const INVALID: &[u8] = b".invalid";

impl Pseudonyms {
    /// The pseudonyms of `key`; texts of the classes in `keep` are their own.
    ///
    /// # Errors
    /// None that can be met: a key always has keys for its uses.
    pub fn new(key: &Key, keep: &[Class]) -> anyhow::Result<Self> {
        let classes = [
            Class::Ip,
            Class::Host,
            Class::User,
            Class::MessageId,
            Class::Subject,
            Class::Session,
            Class::Challenge,
            Class::Asn,
            Class::Secret,
            Class::QueueId,
        ];
        let macs = classes.map(|class| Ok(Hmac::new_from_slice(&key.for_purpose(class.name())?)?));
        Ok(Self {
            pan: CryptoPan::new(&key.for_purpose("Crypto-PAn")?),
            macs: macs.into_iter().collect::<anyhow::Result<_>>()?,
            keep: keep.to_vec(),
            cache: Default::default(),
            map: None,
        })
    }

    /// Whether texts of this class are handed on as they are.
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
        if let Some(map) = &mut self.map {
            if pseudonym != ip {
                map.address(ip, pseudonym);
            } else if !is_fixed(ip) {
                map.unchanged_address(ip);
            }
        }
        pseudonym
    }

    /// Appends the pseudonym of an address that stands as `text`.
    pub fn ip(&mut self, ip: IpAddr, text: &[u8], out: &mut Vec<u8>) {
        if self.keeps(Class::Ip) {
            return out.extend_from_slice(text);
        }
        // Writing to memory cannot fail.
        let _ = match self.address(ip) {
            IpAddr::V4(ip) => write!(out, "{ip}"),
            IpAddr::V6(ip) => write!(out, "{ip}"),
        };
    }

    /// Appends the pseudonym of a host or domain name: a label for each of its labels, where the last two together are one, and
    /// `.invalid`. Case does not matter. What is an address, with or without brackets, becomes one; `unknown` and the names of
    /// the machine itself stay.
    pub fn host(&mut self, name: &[u8], out: &mut Vec<u8>) {
        if self.keeps(Class::Host) && literal(name).is_none() {
            out.extend_from_slice(name);
        } else if let Some((before, ip, after)) = literal(name) {
            out.extend_from_slice(before);
            self.ip(ip, &name[before.len()..name.len() - after.len()], out);
            out.extend_from_slice(after);
        } else {
            let (name, dots) = name.split_at(name.trim_end_with(|c| c == '.').len());
            if is_nobodys(name) {
                out.extend_from_slice(name);
            } else {
                self.labels(&name.to_ascii_lowercase(), out);
            }
            out.extend_from_slice(dots);
        }
    }

    /// A name in lower case.
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

    /// Appends the pseudonym of a user name; of one that is a mail address, local part and domain apart.
    pub fn user(&mut self, name: &str, out: &mut Vec<u8>) {
        match name.rsplit_once('@') {
            Some((local, domain)) if is_domain(domain.as_bytes()) => {
                self.mail(Class::User, local.as_bytes(), domain.as_bytes(), out);
            }
            _ => self.text(Class::User, name.as_bytes(), out),
        }
    }

    /// Appends `LOCAL@DOMAIN`, where the local part is of `class`.
    pub fn mail(&mut self, class: Class, local: &[u8], domain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.text(class, local, out);
        out.push(b'@');
        self.host(domain, out);
        if let Some(map) = &mut self.map {
            map.text(class, &[local, b"@", domain].concat(), &out[start..]);
        }
    }

    /// Appends the pseudonym of any text: a letter and twelve more, or digits.
    pub fn text(&mut self, class: Class, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() || self.keeps(class) {
            out.extend_from_slice(text);
        } else if !self.cached(class, text, out) {
            let start = out.len();
            // As records have it, so that a log and its records have the same pseudonyms.
            self.hash(class, clean(text).as_bytes(), out);
            self.remember(class, text, &out[start..]);
        }
    }

    /// Appends the pseudonym of a secret, which `--keep` cannot keep.
    pub fn secret(&mut self, secret: &[u8], out: &mut Vec<u8>) {
        self.text(Class::Secret, secret, out);
    }

    /// Appends a queue ID for a queue ID, of the same length and alphabet (hexadecimal digits are among those of long ones).
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

    /// Appends the pseudonym of base64 that is no text: base64 of the same length.
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
        // Ten bytes are sixteen letters.
        BASE32_NOPAD.encode_mut(&hash[..10], &mut letters);
        letters.make_ascii_lowercase();
        out.push(class.letter());
        out.extend_from_slice(&letters[..12]);
    }
}

/// An address, and what stands around it: `[`, `[IPv6:`, `]`.
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

/// Names that say of no machine which it is.
fn is_nobodys(name: &[u8]) -> bool {
    name.is_empty()
        || [&b"unknown"[..], b"localhost", b"localhost.localdomain"]
            .iter()
            .any(|nobody| name.eq_ignore_ascii_case(nobody))
}

/// Whether the part of a mail address behind its `@` is a name or an address.
pub(crate) fn is_domain(text: &[u8]) -> bool {
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') || *b >= 0x80;
    !text.is_empty() && (text.iter().all(name) || literal(text).is_some())
}
