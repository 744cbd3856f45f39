//! The pseudonyms of a run and their originals, for `--map` and `--verify`. The map grows with the
//! number of different originals.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use mls_event::clean;

use crate::class::Class;

/// The pseudonym of each original.
#[derive(Debug, Default)]
pub struct PseudonymMap {
    pairs: BTreeMap<Class, BTreeMap<Box<str>, Box<str>>>,
}

impl PseudonymMap {
    pub(crate) fn address(&mut self, ip: IpAddr, pseudonym: IpAddr) {
        self.insert(
            Class::Ip,
            &ip.to_canonical().to_string(),
            &pseudonym.to_canonical().to_string(),
        );
    }

    pub(crate) fn text(&mut self, class: Class, original: &[u8], pseudonym: &[u8]) {
        self.insert(class, &clean(original), &clean(pseudonym));
    }

    fn insert(&mut self, class: Class, original: &str, pseudonym: &str) {
        let class = self.pairs.entry(class).or_default();
        if !class.contains_key(original) {
            class.insert(original.into(), pseudonym.into());
        }
    }

    /// The originals of a class and their pseudonyms, sorted by original.
    pub fn of(&self, class: Class) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .get(&class)
            .into_iter()
            .flatten()
            .map(|(original, pseudonym)| (&**original, &**pseudonym))
    }

    /// Writes one line for each original: `CLASS`, tab, `PSEUDONYM`, tab, `ORIGINAL`. No text
    /// contains a control character. Secrets are omitted.
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let pairs = self.pairs.iter().filter(|(class, _)| **class != Class::Secret);
        for (class, pairs) in pairs {
            for (original, pseudonym) in pairs {
                writeln!(out, "{}\t{pseudonym}\t{original}", class.name())?;
            }
        }
        Ok(())
    }
}
