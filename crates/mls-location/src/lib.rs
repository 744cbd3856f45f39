//! Country and autonomous system of an address, from local databases.
//!
//! [`Flags::open`] opens the installed databases, and [`Databases::locate`] looks an address up.
//! `mls-ipdb`(1) describes their formats. That tool also installs them; this crate does not use the
//! network.

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
pub use databases::{Databases, Location};
pub use installed::{Flags, ipv6_sibling};
pub use kind::DatabaseKind;
pub use mmdb::Mmdb;
pub use search::{MAX_ROW, MAX_SIZE, Unusable, open};
pub use survey::{Survey, sort};
