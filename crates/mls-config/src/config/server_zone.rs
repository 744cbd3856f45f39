//! The time zone of one server of a central log.

use std::fmt;
use std::str::FromStr;

use crate::zone::Zone;

/// A server, and the time zone of its time stamps that have no offset: `mx1=Europe/Paris`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerZone {
    /// The server, as the log names it.
    name: String,
    /// The zone.
    pub zone: Zone,
    text: String,
}

impl ServerZone {
    /// Whether the server has this name. Letter case does not matter.
    #[must_use]
    pub fn is_of(&self, server: &[u8]) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(server)
    }
}

impl FromStr for ServerZone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').map(|(name, zone)| (name.trim(), zone.trim()));
        let Some((name, zone)) = parts.filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("{text:?} is not NAME=ZONE, such as mx1=Europe/Paris"));
        };
        let zone_value = zone.parse()?;
        Ok(Self { name: name.to_owned(), zone: zone_value, text: format!("{name}={zone}") })
    }
}

impl fmt::Display for ServerZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
