//! Thresholds, and what is never reported.

use ipnet::IpNet;

/// Thresholds of the rules, and what is never reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `guessed`: number of other names that the network failed on.
    pub guessed_names: u32,
    /// `guessed`: number of seconds before the login in which the failures count.
    pub guessed_window: u32,
    /// `guessed`: a network from which so many other users have logged in is shared.
    pub shared_users: u32,
    /// `spread`: number of countries where the user was never seen before.
    pub spread_countries: u32,
    /// `spread`: number of autonomous systems where the user was never seen before.
    pub spread_systems: u32,
    /// `spread`: number of seconds in which these logins count.
    pub spread_window: u32,
    /// `targeted`: number of addresses that failed on the user.
    pub targeted_addresses: u32,
    /// Attempts from these networks are not looked at.
    pub ignore_networks: Vec<IpNet>,
    /// Attempts with these user names are not looked at; letter case does not matter.
    pub ignore_users: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guessed_names: 3,
            guessed_window: 24 * 3600,
            shared_users: 3,
            spread_countries: 4,
            spread_systems: 5,
            spread_window: 6 * 3600,
            targeted_addresses: 8,
            ignore_networks: Vec::new(),
            ignore_users: Vec::new(),
        }
    }
}
