//! The paths of the databases: from flags, data directory, configuration, default paths, or
//! `~/.ipinfo`, in this order.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mls_config::Config;

use crate::database::IpDatabase;
use crate::databases::IpDatabases;
use crate::kind::DatabaseKind;
use crate::search::Unusable;

const HEADING: &str =
    "Location of the databases [default: /var/lib/maillogsentinel, else ~/.ipinfo]";

/// The flags that name databases.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IpDatabaseFlags {
    /// Country database, CSV or .mmdb; give it again for more files, such as one for IPv6
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub country_db: Vec<PathBuf>,
    /// AS database, CSV or .mmdb; give it again for more files
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub asn_db: Vec<PathBuf>,
    /// Directory with `country_aside.csv`, `asn.csv`, and files for IPv6 such as `asn-ipv6.csv`
    #[arg(long, value_name = "DIR", global = true, help_heading = HEADING)]
    pub data_dir: Option<PathBuf>,
}

const DEFAULT_DIR: &str = "/var/lib/maillogsentinel";

/// If the Python original did not run as root, it used this directory in the home directory.
const HOME_DIR: &str = ".ipinfo";

impl IpDatabaseFlags {
    /// Opens the installed databases. If the country database or the AS database is missing,
    /// [`IpDatabases::warning`] returns a warning.
    ///
    /// # Errors
    /// Exit 65 or 66 if a flag names a file that cannot be used.
    pub fn open(&self, config: &Config) -> anyhow::Result<IpDatabases> {
        let mut missing = Vec::new();
        let [country, asn] =
            DatabaseKind::ALL.map(|kind| self.open_kind(kind, config, &mut missing));
        Ok(IpDatabases { country: country?, asn: asn?, missing, ..IpDatabases::default() })
    }

    fn open_kind(
        &self,
        kind: DatabaseKind,
        config: &Config,
        missing: &mut Vec<String>,
    ) -> anyhow::Result<Vec<IpDatabase>> {
        let (paths, named) = (self.paths(kind, config), !self.of(kind).is_empty());
        let mut open = Vec::new();
        for (path, must) in
            paths.iter().flat_map(|path| [(path.clone(), named), (ipv6_sibling(path), false)])
        {
            let opened = IpDatabase::open(&path).and_then(|mut database| {
                database.check_kind(kind)?;
                Ok(database)
            });
            match opened {
                Ok(database) => open.push(database),
                Err(why) if must => return Err(why.fatal()),
                Err(Unusable::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
                Err(why) => log::warn!("{why}; continuing without this database"),
            }
        }
        if open.is_empty() {
            let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            missing.push(format!("no {} database ({})", kind.name(), shown.join(", ")));
        }
        Ok(open)
    }

    fn of(&self, kind: DatabaseKind) -> &[PathBuf] {
        match kind {
            DatabaseKind::Country => &self.country_db,
            DatabaseKind::System => &self.asn_db,
        }
    }

    /// The paths of the databases of a kind: at least one path, without [IPv6 files](ipv6_sibling).
    #[must_use]
    pub fn paths(&self, kind: DatabaseKind, config: &Config) -> Vec<PathBuf> {
        if !self.of(kind).is_empty() {
            return self.of(kind).to_vec();
        }
        if let Some(dir) = &self.data_dir {
            return vec![dir.join(kind.file())];
        }
        let configured = match kind {
            DatabaseKind::Country => &config.geolocation.country_db_path,
            DatabaseKind::System => &config.asn_aso.asn_db_path,
        };
        if !configured.is_empty() {
            return configured.clone();
        }
        let path = Path::new(DEFAULT_DIR).join(kind.file());
        let in_home = std::env::home_dir().map(|home| home.join(HOME_DIR).join(kind.file()));
        vec![in_home.filter(|home| !path.exists() && home.exists()).unwrap_or(path)]
    }
}

/// Returns the path of the IPv6 database for an IPv4 database: for `asn.csv`, it is `asn-ipv6.csv`.
#[must_use]
pub fn ipv6_sibling(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-ipv6");
    let mut ipv6_sibling = path.with_file_name(name);
    if let Some(ending) = path.extension() {
        ipv6_sibling.set_extension(ending);
    }
    ipv6_sibling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv6_file_has_its_own_name() {
        assert_eq!(ipv6_sibling(Path::new("/x/asn.csv")), Path::new("/x/asn-ipv6.csv"));
        assert_eq!(ipv6_sibling(Path::new("country")), Path::new("country-ipv6"));
    }

    #[test]
    fn flags_come_before_the_data_directory_and_that_before_the_configuration() {
        let mut config = Config::default();
        let mut flags = IpDatabaseFlags::default();
        let paths =
            |flags: &IpDatabaseFlags, config: &Config| flags.paths(DatabaseKind::System, config);
        assert!(paths(&flags, &config)[0].ends_with("asn.csv"));
        config.asn_aso.asn_db_path = vec!["configured.csv".into()];
        assert_eq!(paths(&flags, &config), [Path::new("configured.csv")]);
        flags.data_dir = Some("dir".into());
        assert_eq!(paths(&flags, &config), [Path::new("dir/asn.csv")]);
        flags.asn_db = vec!["a.csv".into(), "b.mmdb".into()];
        assert_eq!(paths(&flags, &config), [Path::new("a.csv"), Path::new("b.mmdb")]);
    }
}
