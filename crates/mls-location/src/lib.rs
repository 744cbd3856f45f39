//! Country and autonomous system of an address, from local databases.
//!
//! [`IpDatabaseFlags::open`] opens the installed databases, and [`IpDatabases::locate`] looks an address up.
//! `mls-ipdb`(1) describes the formats of the databases and installs databases. This crate does not
//! use the network.

#![warn(missing_docs)]

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod database;
mod databases;
mod installed;
mod kind;
mod loaded;
mod mmdb;
mod row;
mod search;
mod survey;

pub use database::FileFormat;
pub use databases::{IpDatabases, Location};
pub use installed::{IpDatabaseFlags, ipv6_sibling};
pub use kind::DatabaseKind;
pub use mmdb::Mmdb;
pub use search::{MAX_ROW, MAX_SIZE, Unusable, open};
pub use survey::{Survey, sort};
