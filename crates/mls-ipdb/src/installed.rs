//! Where the databases are: flags, data directory, configuration, default paths, `~/.ipinfo`; the first that says.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mls_cli::Config;

use crate::databases::Databases;
use crate::look::{Csv, Unusable};

/// The flags that name databases.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Country database, `start,end,country` without header row; give it again for more files, such as one for IPv6
    #[arg(long, value_name = "FILE", global = true)]
    pub country_db: Vec<PathBuf>,
    /// AS database, `start,end,asn,organisation`; give it again for more files
    #[arg(long, value_name = "FILE", global = true)]
    pub asn_db: Vec<PathBuf>,
    /// Directory with `country_aside.csv` and `asn.csv`, and their fellows for IPv6
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// Where mls-ipdb update puts databases if nobody says otherwise.
const DEFAULT_DIR: &str = "/var/lib/maillogsentinel";

/// Where the Python original put them when it was not run as root, below the home directory.
const HOME_DIR: &str = ".ipinfo";

/// A kind of database: its name for people and its file name in a data directory.
struct Kind {
    name: &'static str,
    file: &'static str,
}

const COUNTRY: Kind = Kind { name: "country", file: "country_aside.csv" };
const ASN: Kind = Kind { name: "AS", file: "asn.csv" };

impl Flags {
    /// Opens what is installed. A kind of which no file is there is a warning, given once.
    ///
    /// # Errors
    /// Exit 65 or 66 for a file that a flag names and that cannot be used.
    pub fn open(&self, config: &Config) -> anyhow::Result<Databases> {
        let mut missing = Vec::new();
        let country = self.open_kind(&COUNTRY, &self.country_db, &config.geolocation.paths, &mut missing)?;
        let asn = self.open_kind(&ASN, &self.asn_db, &config.asn_aso.paths, &mut missing)?;
        if !missing.is_empty() {
            mls_cli::warn!("{}: what they would tell is null; mls-ipdb update fetches them", missing.join(", "));
        }
        Ok(Databases::new(country, asn))
    }

    fn open_kind(
        &self,
        kind: &Kind,
        flags: &[PathBuf],
        config: &[PathBuf],
        missing: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Csv>> {
        if !flags.is_empty() {
            return flags.iter().map(|path| Csv::open(path).map_err(Unusable::fatal)).collect();
        }
        let paths = self.paths(kind, config);
        let mut open = Vec::new();
        for path in paths.iter().flat_map(|path| [path.clone(), fellow(path)]) {
            match Csv::open(&path) {
                Ok(csv) => open.push(csv),
                Err(Unusable::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
                Err(why) => mls_cli::warn!("{why}; going on without it"),
            }
        }
        if open.is_empty() {
            let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            missing.push(format!("no {} database ({})", kind.name, shown.join(", ")));
        }
        Ok(open)
    }

    fn paths(&self, kind: &Kind, config: &[PathBuf]) -> Vec<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return vec![dir.join(kind.file)];
        }
        if !config.is_empty() {
            return config.to_vec();
        }
        let path = Path::new(DEFAULT_DIR).join(kind.file);
        let at_home = std::env::home_dir().map(|home| home.join(HOME_DIR).join(kind.file));
        vec![at_home.filter(|home| !path.exists() && home.exists()).unwrap_or(path)]
    }
}

/// The IPv6 database that lies beside an IPv4 one: `asn-ipv6.csv` beside `asn.csv`.
fn fellow(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-ipv6");
    let mut fellow = path.with_file_name(name);
    if let Some(ending) = path.extension() {
        fellow.set_extension(ending);
    }
    fellow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv6_fellow_lies_beside() {
        assert_eq!(fellow(Path::new("/x/asn.csv")), Path::new("/x/asn-ipv6.csv"));
        assert_eq!(fellow(Path::new("country")), Path::new("country-ipv6"));
    }
}
