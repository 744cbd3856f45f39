//! Functions that `tests/fuzz` calls with any input bytes. If a check fails, they panic.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use std::net::IpAddr;
use std::path::Path;

use crate::kind::DatabaseKind;
use crate::mmdb::{self, Mmdb};
use crate::row::RangeRow;
use crate::search::Csv;
use crate::survey::Survey;

/// Reads a CSV database in the file `path`. If the file can be loaded, the search on disk and the
/// search in memory must give the same results.
pub fn csv(path: &Path, text: &[u8]) {
    let file = std::fs::File::open(path).expect("the file of the text");
    let survey = Survey::of_csv(&file, text.len() as u64);
    // An unsorted file may be unusable, because mls-ipdb installs only sorted files.
    let is_usable = survey.is_ok_and(|survey| survey.sorted);
    let Ok(mut csv) = Csv::open(path) else {
        assert!(!is_usable, "a database that was checked cannot be opened");
        return;
    };
    for kind in DatabaseKind::ALL {
        let _ = csv.check_kind(kind);
    }
    let mut numbers = vec![0, u128::from(u32::MAX), u128::MAX];
    for row in text.split(|b| *b == b'\n').filter_map(RangeRow::parse).take(4) {
        numbers.extend([
            row.start,
            row.end,
            row.end.saturating_add(1),
            row.start.saturating_sub(1),
        ]);
    }
    let last = csv.family().last();
    numbers.retain(|number| *number <= last);
    let find = |csv: &mut Csv| -> Vec<_> {
        let numbers = numbers.iter().copied();
        numbers
            .map(|number| {
                csv.find(number).map(|fields| {
                    fields.map(|fields| (fields.country(), fields.asn(), fields.organisation()))
                })
            })
            .collect()
    };
    let on_disk = find(&mut csv);
    if csv.load().is_ok() {
        let loaded = find(&mut csv);
        for (on_disk, loaded) in on_disk.into_iter().zip(loaded) {
            assert_eq!(on_disk.expect("a sorted file"), loaded.expect("rows in memory"));
        }
    } else {
        assert!(!is_usable, "a sorted file that cannot be loaded");
    }
}

/// Reads an MMDB database. Each lookup must end, and no name may have control characters.
pub fn mmdb(content: &[u8]) {
    let checked = mmdb::visit(content, |network| assert!(network.size > 0));
    let Ok(mmdb) = Mmdb::new(Path::new("any.mmdb"), content.to_vec()) else {
        assert!(checked.is_err(), "a database that was checked cannot be opened");
        return;
    };
    for ip in ["0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "2001:db8::1", "ffff::"] {
        let ip: IpAddr = ip.parse().expect("an address");
        if !mmdb.serves(ip) {
            continue;
        }
        let (country, system) = (mmdb.country(ip), mmdb.system(ip));
        if let Ok(Some((_, Some(name)))) = &system {
            assert!(!name.contains(char::is_control), "{name:?}");
        }
        if checked.is_ok() {
            assert!(country.is_ok() && system.is_ok(), "{country:?} {system:?}");
        }
    }
    for kind in DatabaseKind::ALL {
        let _ = mmdb.check_kind(kind);
    }
}
