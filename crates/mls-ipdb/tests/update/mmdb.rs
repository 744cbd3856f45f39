//! Databases in the MMDB format.

use std::process::Output;

use serde_json::Value as Json;
use testdata::mmdb::{MmdbValue, MmdbWriter};

use super::{gzip, stderr, tool};

#[test]
fn an_mmdb_tree_with_shared_branches_or_a_cycle_is_refused_at_once() {
    let mut mmdb = MmdbWriter::new(6);
    let value = mmdb.value(&MmdbValue::Map(vec![("country_code", MmdbValue::Text("FR"))]));
    mmdb.network("2a00::".parse().unwrap(), 100, value);
    let mut file = mmdb.file();
    // Both branches of each node lead to the next node, so there are 2^100 paths.
    let empty = 100_u32.to_be_bytes();
    for node in file.chunks_mut(8).take(100) {
        let (left, right) = node.split_at_mut(4);
        if left == empty { left.copy_from_slice(right) } else { right.copy_from_slice(left) }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("country.mmdb");
    mls_state::atomic::write(&path, &file, 0o644).unwrap();
    let output = tool().args(["verify", "--country-db"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("more networks than nodes"), "{}", stderr(&output));
    // A tree with a cycle.
    file[4..8].copy_from_slice(&[0; 4]);
    mls_state::atomic::write(&path, &file, 0o644).unwrap();
    assert_eq!(
        tool().args(["verify", "--country-db"]).arg(&path).output().unwrap().status.code(),
        Some(65)
    );
}

fn geolite_country() -> Vec<u8> {
    let in_country = |code| {
        MmdbValue::Map(vec![(
            "country",
            MmdbValue::Map(vec![
                ("geoname_id", MmdbValue::Number(7)),
                ("iso_code", MmdbValue::Text(code)),
            ]),
        )])
    };
    mmdb(&[
        ("11.0.0.0/8", in_country("US")),
        ("2a00::/16", in_country("de")),
        ("12.0.0.0/8", in_country("TOOLONG")),
    ])
}

/// A file with the given networks. If a network is IPv6, the tree has 128 bits.
fn mmdb(networks: &[(&str, MmdbValue)]) -> Vec<u8> {
    let six = networks.iter().any(|(network, _)| network.contains(':'));
    let mut file = MmdbWriter::new(if six { 6 } else { 4 });
    for (network, value) in networks {
        let (ip, prefix) = network.split_once('/').unwrap();
        let offset = file.value(value);
        file.network(ip.parse().unwrap(), prefix.parse().unwrap(), offset);
    }
    file.file()
}

fn system_mmdb() -> Vec<u8> {
    let system = |asn, name| {
        MmdbValue::Map(vec![
            ("autonomous_system_number", MmdbValue::Number(asn)),
            ("autonomous_system_organization", MmdbValue::Text(name)),
        ])
    };
    mmdb(&[
        ("11.0.0.0/8", system(64500, "Evil\u{1b}[2J Inc.")),
        ("12.0.0.0/8", system(0, "Not routed")),
    ])
}

#[test]
fn mmdb_files_of_both_layouts_are_looked_up_verified_and_installed() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        mls_state::atomic::write(&dir.path().join(name), bytes, 0o644).unwrap();
    };
    write("geolite.mmdb", &geolite_country());
    write(
        "location.mmdb",
        &mmdb(&[("11.0.0.0/8", MmdbValue::Map(vec![("country_code", MmdbValue::Text("CA"))]))]),
    );
    write("asn.mmdb.gz", &gzip(&system_mmdb()));
    let run = |args: &[&str]| tool().current_dir(dir.path()).args(args).output().unwrap();
    let lines = |output: &Output| -> Vec<Json> {
        output
            .stdout
            .split_inclusive(|b| *b == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    };

    let flags = ["--asn-db", "as.mmdb"];
    let output = run(&[&["update", "--from", "asn.mmdb.gz"], &flags[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&[
        &["lookup", "--country-db", "geolite.mmdb"],
        &flags[..],
        &["11.1.2.3", "12.0.0.1", "2a00::1", "2b00::1"],
    ]
    .concat());
    let [us, unknown, de, nowhere] = &lines(&output)[..] else { panic!("{output:?}") };
    assert_eq!(
        (&us["country_code"], &us["asn"], &us["aso"]),
        (&"US".into(), &64500.into(), &"Evil?[2J Inc.".into())
    );
    assert_eq!((&unknown["country_code"], &unknown["asn"]), (&Json::Null, &Json::Null));
    assert_eq!((&de["country_code"], &nowhere["country_code"]), (&"DE".into(), &Json::Null));
    let output =
        run(&["lookup", "11.1.2.3", "--country-db", "location.mmdb", "--asn-db", "as.mmdb"]);
    assert_eq!(lines(&output)[0]["country_code"], "CA");

    let output = run(&[&["verify", "--country-db", "geolite.mmdb"], &flags[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let report = &lines(&output)[0];
    assert_eq!((&report["rows"], &report["ipv4"]), (&3.into(), &0.0078.into()));
    assert!(report["date"].as_str().unwrap().starts_with("2026-05-2"), "{report}");

    let broken = geolite_country().len() / 3;
    write("broken.mmdb", &geolite_country()[..broken]);
    for args in [["update", "--from", "broken.mmdb"], ["update", "--from", "geolite.mmdb"]] {
        let output = run(&[&args[..], &["--data-dir", "."]].concat());
        assert!(matches!(output.status.code(), Some(65 | 78)), "{}", stderr(&output));
    }
    let output = run(&["lookup", "11.1.2.3", "--country-db", "broken.mmdb"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
}
