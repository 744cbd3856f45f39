//! For each autonomous system, the users who log in from there.

use crate::bounded::Bounded;
use crate::network::MAX_VISITORS;
use crate::observation::Name;

/// Largest number of autonomous systems with logins that are remembered.
pub(crate) const MAX_SYSTEMS: usize = 4096;

/// The key is the number of the autonomous system, without a country, because the exits of a VPN
/// can be in many countries and one system.
pub(crate) type Systems = Bounded<u32, Residents>;

/// Users who logged in from a system. Logins at a place that is suspicious for the user do not count.
#[derive(Clone)]
pub(crate) struct Residents {
    users: Vec<Name>,
}

impl Residents {
    pub(crate) fn new() -> Self {
        Self { users: Vec::with_capacity(1) }
    }

    /// Adds a user. If the list has [`MAX_VISITORS`] users, does nothing.
    pub(crate) fn add(&mut self, name: Name) {
        if self.users.len() < MAX_VISITORS && !self.users.contains(&name) {
            self.users.push(name);
        }
    }

    pub(crate) fn remove(&mut self, name: Name) {
        self.users.retain(|user| *user != name);
    }

    /// Returns the number of users other than `name`.
    pub(crate) fn others(&self, name: Name) -> usize {
        self.users.iter().filter(|user| **user != name).count()
    }
}
