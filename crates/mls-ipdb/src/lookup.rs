//! `mls-ipdb lookup`: a line of JSON for each address.

use std::net::IpAddr;

use mls_diag::Exit;
use mls_location::{IpDatabases, Location, Unusable};
use mls_stream::ndjson::{Reader, Writer};
use serde::Serialize;

#[derive(Serialize)]
struct LocatedAddress {
    ip: IpAddr,
    #[serde(flatten)]
    location: Location,
}

/// Looks up `addresses`. If the list is empty, looks up the addresses on standard input.
pub(crate) fn lookup(databases: &mut IpDatabases, addresses: &[String]) -> anyhow::Result<()> {
    if let Some(warning) = databases.warning() {
        log::warn!("{warning}");
    }
    if databases.is_empty() {
        return Err(Exit::NoInput
            .error("there is no IP database; run mls-ipdb update to download databases"));
    }
    let mut writer = Writer::stdout()?;
    let (mut bad, mut answered) = (0, 0);
    if addresses.is_empty() {
        let mut reader = Reader::stdin()?;
        reader.watch_stdout()?;
        while let Some(line) = reader.next(|| writer.flush())? {
            match address(&String::from_utf8_lossy(line)) {
                Ok(ip) => {
                    answered += 1;
                    answer(databases, ip, &mut writer)?;
                }
                Err(why) => {
                    reader.bad(why);
                    bad += 1;
                }
            }
        }
    }
    for text in addresses {
        match address(text) {
            Ok(ip) => {
                answered += 1;
                answer(databases, ip, &mut writer)?;
            }
            Err(why) => {
                log::error!("{why}");
                bad += 1;
            }
        }
    }
    writer.flush()?;
    mls_diag::summary(format_args!(
        "looked up {}",
        mls_diag::count(answered, "address", "addresses")
    ));
    if bad > 0 {
        let wrong = mls_diag::count(bad, "address is wrong", "addresses are wrong");
        return Err(Exit::DataErr.error(format!("{wrong}; all other addresses were looked up")));
    }
    Ok(())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        format!("{shown:?} is not an IP address such as 192.0.2.7 or 2001:db8::7")
    })
}

fn answer(databases: &mut IpDatabases, ip: IpAddr, writer: &mut Writer) -> anyhow::Result<()> {
    let ip = ip.to_canonical();
    let location = databases.locate(ip).map_err(Unusable::fatal)?;
    // Addresses, numbers and strings can always be written as JSON.
    writer.line(&serde_json::to_vec(&LocatedAddress { ip, location }).unwrap_or_default())
}
