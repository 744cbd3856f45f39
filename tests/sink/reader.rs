//! Another tool reads the CSV only up to the last commit.

use std::fs;

use mls_tests::{Site, text};

#[test]
fn committed_by_hides_uncommitted_rows_from_another_reader() {
    let mut site = Site::new();
    let export = "mls-tail --framed --cursor-file S2 --committed-by S F | mls-csv --decode --timezone UTC | \
                  mls-csv --append F2 --cursor-file S2 --timezone UTC";
    let copied = |site: &Site| {
        let output = site.shell(export);
        assert!(output.status.success(), "{}", text(&output.stderr));
        site.read("F2").lines().count().saturating_sub(1)
    };
    site.log(3);
    site.extract();
    assert_eq!(copied(&site), 3);
    site.append("F", "vm,2026-06-01 00:00,192.0.2.9,uncommitted,null,N/A,N/A,N/A,N/A\n");
    assert_eq!(copied(&site), 3);
    site.log(2);
    site.extract();
    assert_eq!(copied(&site), 5);
    // A CSV whose last row is not committed is rotated before the other reader has read the CSV.
    site.log(2);
    site.extract();
    site.append("F", "vm,2026-06-01 00:00,192.0.2.9,uncommitted,null,N/A,N/A,N/A,N/A\n");
    fs::rename(site.path().join("F"), site.path().join("F.1")).unwrap();
    assert_eq!(copied(&site), 7);
    site.log(1);
    site.extract();
    assert_eq!(copied(&site), 8);
    assert!(!site.read("F2").contains("uncommitted"));
}

#[test]
fn another_reader_sees_the_rows_of_a_rotated_csv_if_the_new_one_has_only_a_header() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    assert!(site.shell("mv F F-20260601").status.success());
    site.extract();
    assert_eq!(site.read("F").lines().count(), 1);
    let rows = "mls-tail --framed --committed-by S F | mls-csv --decode | grep -c auth";
    assert_eq!(text(&site.shell(rows).stdout).trim(), "3");
    // The result is the same after a second rotation, although the cursor file does not list
    // `F-20260601`.
    assert!(site.shell("mv F F-20260602; jq '.rotated = []' S > T && mv T S").status.success());
    site.extract();
    assert_eq!(text(&site.shell(rows).stdout).trim(), "3");
}

#[test]
fn a_missing_file_of_committed_by_is_reported() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    for tool in ["mls-tail", "mls-report"] {
        let output = site.shell(&format!("{tool} --committed-by nosuch F"));
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
        assert!(said.contains("nosuch does not exist, so nothing is read"), "{said}");
        assert_eq!(text(&site.shell(&format!("{tool} --committed-by S F")).stderr), "");
    }
}
