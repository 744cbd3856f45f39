//! Coming from the Python original: its CSV and its offset file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::process::Output;

use mls_tests::{Site, text};

/// What the original has left: its CSV with the first `n` failures, its log and its offset.
fn left_by_the_original(n: u64) -> Site {
    let mut site = Site::new();
    site.log(n);
    let row =
        |user| format!("vm;01/06/2026 00:00;192.0.2.1;u{user};null;Errno 1;FR;64496;Example\r\n");
    let rows: String = (0..n).map(row).collect();
    site.write(
        "F.old",
        &format!("server;date;ip;user;hostname;reverse_dns_status;country_code;asn;aso\r\n{rows}"),
    );
    site.write("S", &site.read("mail.log").len().to_string());
    site
}

fn convert(site: &Site) {
    let output = site.shell(
        "mls-csv --decode --legacy --timezone UTC < F.old | mls-csv --append F --timezone UTC",
    );
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

fn rename(site: &Site, from: &str, to: &str) {
    fs::rename(site.path().join(from), site.path().join(to)).unwrap();
}

fn extract(site: &Site) -> Output {
    site.shell(mls_tests::EXTRACT)
}

#[test]
fn rows_are_converted_and_the_log_goes_on_where_the_original_left_off() {
    let mut site = left_by_the_original(20);
    convert(&site);
    assert!(
        site.read("F")
            .contains("\nvm,2026-06-01 00:00,192.0.2.1,u7,null,Errno 1,FR,64496,Example\n")
    );
    site.log(5);
    let output = extract(&site);
    assert!(
        text(&output.stderr).contains("where the Python original has stopped"),
        "{}",
        text(&output.stderr)
    );
    assert!(output.status.success());
    site.assert_exact();
    site.log(5);
    site.extract();
    site.assert_exact();
}

#[test]
fn a_log_that_was_rotated_after_the_originals_last_run_is_finished() {
    for compress in ["true", "gzip mail.log.1"] {
        let mut site = left_by_the_original(20);
        convert(&site);
        site.write("mail.log.2", &site.read("mail.log"));
        site.log(5);
        rename(&site, "mail.log", "mail.log.1");
        assert!(site.shell(compress).status.success());
        site.log(3);
        assert!(extract(&site).status.success());
        site.assert_exact();
        site.extract();
        site.assert_exact();
    }
}

#[test]
fn nothing_new_keeps_the_originals_position_for_the_next_run() {
    let mut site = left_by_the_original(20);
    convert(&site);
    // Killed after the CSV was taken and before the first commit.
    let output = site.shell(
        "mls-tail --framed --cursor-file S mail.log | head -1 | mls-csv --append F --cursor-file S",
    );
    assert_eq!(output.status.code(), Some(75));
    assert!(extract(&site).status.success());
    site.log(2);
    site.extract();
    site.assert_exact();
}

#[test]
fn an_offset_that_fits_no_file_is_for_a_person_to_decide() {
    let site = left_by_the_original(20);
    convert(&site);
    site.write("S", "77");
    let before = site.read("F");
    let output = site.shell("mls-tail --framed --cursor-file S mail.log");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("77 bytes were read") && said.contains("remove the cursor file"),
        "{said}"
    );
    assert!(site.extract_fails(75).contains("77 bytes were read"));
    assert_eq!(site.read("F"), before);
    let shown = text(&site.shell("mls-tail --show-cursor --cursor-file S").stdout);
    assert!(shown.contains("position of the Python original: 77\n"), "{shown}");
}

#[test]
fn the_originals_csv_is_not_appended_to_but_converted() {
    let site = left_by_the_original(3);
    rename(&site, "F.old", "F");
    for adopt in ["", " --adopt"] {
        let output = site.shell(&format!("{}{adopt}", mls_tests::EXTRACT));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("mls-csv --decode --legacy < F.old | mls-csv --append F"), "{said}");
    }
    assert_eq!(site.read("F").lines().count(), 4);
}

#[test]
fn a_bad_row_is_named_and_the_others_are_converted() {
    let site = left_by_the_original(3);
    site.append("F.old", "vm;2026-06-01;192.0.2.1;u9;null;OK;FR;1;x\r\n");
    let output = site.shell("mls-csv --decode --legacy --strict < F.old | jq -r .user");
    assert_eq!(text(&output.stdout), "u0\nu1\nu2\n");
    assert_eq!(output.status.code(), Some(65));
    let said = text(&output.stderr);
    assert!(said.contains("\"2026-06-01\": not dd/mm/yyyy HH:MM"), "{said}");
}
