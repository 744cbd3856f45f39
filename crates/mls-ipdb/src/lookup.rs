//! `mls-ipdb lookup`: a line of JSON for each address.

use std::net::IpAddr;

use mls_diag::Exit;
use mls_stream::ndjson::{Reader, Writer};
use serde::Serialize;

use crate::databases::{Databases, Location};
use crate::look::Unusable;

#[derive(Serialize)]
struct Answer {
    ip: IpAddr,
    #[serde(flatten)]
    location: Location,
}

/// Answers for `addresses`, or for the lines of standard input where there are none.
pub(crate) fn lookup(databases: &mut Databases, addresses: &[String]) -> anyhow::Result<()> {
    let mut writer = Writer::stdout()?;
    let mut bad = 0;
    if addresses.is_empty() {
        let mut reader = Reader::stdin()?;
        reader.watch_stdout()?;
        while let Some(line) = reader.next(|| writer.flush())? {
            match address(&String::from_utf8_lossy(line)) {
                Ok(ip) => answer(databases, ip, &mut writer)?,
                Err(why) => {
                    reader.bad(why);
                    bad += 1;
                }
            }
        }
    }
    for text in addresses {
        match address(text) {
            Ok(ip) => answer(databases, ip, &mut writer)?,
            Err(why) => {
                log::error!("{why}");
                bad += 1;
            }
        }
    }
    writer.flush()?;
    if bad > 0 {
        return Err(
            Exit::DataErr.error(format!("not an IP address: {bad}; all others were answered"))
        );
    }
    Ok(())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        format!("{shown:?} is not an IP address such as 192.0.2.7 or 2001:db8::7")
    })
}

fn answer(databases: &mut Databases, ip: IpAddr, writer: &mut Writer) -> anyhow::Result<()> {
    let ip = ip.to_canonical();
    let location = databases.locate(ip).map_err(Unusable::fatal)?;
    // Addresses, numbers and strings: there is nothing here that JSON could not hold.
    writer.line(&serde_json::to_vec(&Answer { ip, location }).unwrap_or_default())
}
