//! The thresholds of the rules, and the attempts that are never reported.

use ipnet::IpNet;
use mls_config::config::Suspicious;

/// The thresholds of the rules, and the attempts that are never reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `guessed`: number of other names that must have failed at the network.
    pub guessed_names: u32,
    /// `guessed`: number of seconds before the login in which failures count.
    pub guessed_window: u32,
    /// `guessed`: number of other users who must have logged in from a network that counts as shared,
    /// or from a system that counts as local.
    pub shared_users: u32,
    /// `spread`: number of new countries.
    pub spread_countries: u32,
    /// `spread`: number of new autonomous systems.
    pub spread_systems: u32,
    /// `spread`: number of seconds in which these logins count.
    pub spread_window: u32,
    /// `targeted`: number of addresses that must have failed on the user.
    pub targeted_addresses: u32,
    /// Attempts from these networks are ignored.
    pub ignore_networks: Vec<IpNet>,
    /// Attempts with these user names are ignored. Letter case does not matter.
    pub ignore_users: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&Suspicious::default())
    }
}

/// The section `[suspicious]` of the configuration.
impl From<&Suspicious> for Settings {
    fn from(config: &Suspicious) -> Self {
        Self {
            guessed_names: config.guessed_names.max(1),
            guessed_window: config.guessed_window.seconds,
            shared_users: config.shared_users.max(1),
            spread_countries: config.spread_countries.max(2),
            spread_systems: config.spread_systems.max(2),
            spread_window: config.spread_window.seconds,
            targeted_addresses: config.targeted_addresses.max(1),
            ignore_networks: config.ignore_networks.clone(),
            ignore_users: config.ignore_users.clone(),
        }
    }
}
