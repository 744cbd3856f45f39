//! Compares lookups with the ranges in the databases, which are as large as published databases.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use testdata::ipdb::{IpRange, RangeValue, address, save};
use testdata::random::Random;

fn expected(ranges: &[Vec<IpRange>; 2], number: u128, family: usize) -> Json {
    let mut answer = json!({ "ip": address(number, family).to_string(), "country_code": null, "asn": null, "aso": null });
    for ranges in ranges {
        let after = ranges.partition_point(|range| range.start <= number);
        let range = after.checked_sub(1).map(|at| &ranges[at]).filter(|range| number <= range.end);
        match range.map(|range| range.entry) {
            Some(RangeValue::Country(code)) => answer["country_code"] = code.into(),
            Some(RangeValue::System(asn, name)) => {
                let plain = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                answer["asn"] = asn.into();
                answer["aso"] =
                    plain.map_or(name.to_owned(), |name| name.replace("\"\"", "\"")).into();
            }
            None => {}
        }
    }
    answer
}

#[test]
fn a_hundred_thousand_lookups_are_right_also_at_the_ends_of_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let of_family =
        [0, 1].map(|family| [0, 1].map(|kind| save(dir.path(), 7, kind, family).unwrap()));
    let mut random = Random::new(11);
    let mut asked = Vec::new();
    for n in 0..100_000 {
        let family = usize::from(n % 4 == 0);
        let anywhere = u128::from(random.number()) << 64 | u128::from(random.number());
        let number = if n % 2 == 0 {
            // Half of the addresses are the first or last of a range, or next to it.
            let range = random.pick(&of_family[family][n / 2 % 2]);
            [range.start - 1, range.start, range.end, range.end + 1][n / 4 % 4]
        } else if family == 0 {
            anywhere >> 96
        } else {
            anywhere >> 3 | 1 << 125
        };
        asked.push((number, family));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_mls-ipdb"))
        .args(["lookup", "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = BufWriter::new(child.stdin.take().unwrap());
    let addresses: Vec<_> =
        asked.iter().map(|(number, family)| address(*number, *family)).collect();
    let writer = std::thread::spawn(move || {
        for ip in &addresses {
            writeln!(input, "{ip}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let mut found = 0;
    let mut answers = output.stdout.split_inclusive(|b| *b == b'\n');
    for (number, family) in &asked {
        let answer: Json = serde_json::from_slice(answers.next().unwrap()).unwrap();
        assert_eq!(answer, expected(&of_family[*family], *number, *family));
        found += usize::from(!answer["asn"].is_null());
    }
    assert!(answers.next().is_none());
    assert!(
        (50_000..95_000).contains(&found),
        "{found} found: too many or too few to prove anything"
    );
}

#[test]
fn a_single_address_is_found_without_loading_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let ranges = [0, 1].map(|kind| save(dir.path(), 7, kind, 0).unwrap());
    for n in [0, 1, 100_000, 236_999] {
        let number = ranges[0][n].start;
        let ip = address(number, 0).to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_mls-ipdb"))
            .args(["lookup", &ip, "--data-dir"])
            .arg(dir.path())
            .output()
            .unwrap();
        assert_eq!(
            serde_json::from_slice::<Json>(&output.stdout).unwrap(),
            expected(&ranges, number, 0)
        );
    }
}

#[test]
fn damage_that_no_search_reads_is_found_when_the_database_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.csv");
    let addresses =
        (0..600).map(|n| format!("2.0.{}.{}", n / 256, n % 256)).collect::<Vec<_>>().join("\n");
    // The padding moves the damage to other offsets. So the test also finds a program that reads
    // the file in parts and begins a part in the middle of a row.
    for padding in 0..22 {
        let rows = (0..30_000).map(|n| {
            let start = (1 << 24) + n * 1000;
            match n {
                0 => format!("{start},{},FR,{}", start + 999, "x".repeat(padding)),
                2000 => "damage".to_owned(),
                _ => format!("{start},{},FR", start + 999),
            }
        });
        let text = rows.collect::<Vec<_>>().join("\n");
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let at = text.find("damage").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mls-ipdb"))
            .args(["lookup", "--country-db"])
            .arg(&path)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(addresses.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{stderr}");
        assert!(stderr.contains(&format!("byte {at}: \"damage\" is not a row")), "{stderr}");
    }
}
