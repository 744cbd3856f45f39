//! Migration from the *original*: the first MailLogSentinel, which was written in Python.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::path::Path;
use std::process::Output;

use mls_tests::{Site, text};

/// The files that the original leaves after `n` failures: CSV, log and offset file.
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
fn rows_are_converted_and_the_log_continues_where_the_original_stopped() {
    let mut site = left_by_the_original(20);
    convert(&site);
    assert!(
        site.read("F")
            .contains("\nvm,2026-06-01 00:00,192.0.2.1,u7,null,Errno 1,FR,64496,Example\n")
    );
    site.log(5);
    let output = extract(&site);
    assert!(
        text(&output.stderr).contains("where the Python original stopped"),
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
fn a_run_without_new_lines_keeps_the_originals_position() {
    let mut site = left_by_the_original(20);
    convert(&site);
    // mls-csv gets only the `begin` record and never commits, as if somebody killed the run.
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
fn an_offset_that_fits_no_file_is_refused() {
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
fn the_originals_csv_is_refused_until_it_is_converted() {
    let site = left_by_the_original(3);
    rename(&site, "F.old", "F");
    for adopt in ["", " --accept-changes"] {
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
    assert!(said.contains("\"2026-06-01\" is not dd/mm/yyyy HH:MM"), "{said}");
}

/// The files of a real installation of the original, with paths in a new directory. The CSV has 82
/// rows on four days: 65 are in the database, 10 are in an SQL file, and 7 were not exported.
fn installation() -> Site {
    let site = Site::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/original");
    for directory in ["log/sql", "state", "maillog"] {
        fs::create_dir_all(site.path().join(directory)).unwrap();
    }
    for (name, directory) in [
        ("maillogsentinel.csv", "log"),
        ("mail.log", "maillog"),
        ("state.offset", "state"),
        ("sql_state.offset", "state"),
        ("sql_imported_files.log", "state"),
        ("sql/20261128_1400_maillogsentinel_export.sql", "log"),
        ("sql/20261128_1401_maillogsentinel_export.sql", "log"),
        ("sql/20261128_1402_maillogsentinel_export.sql", "log"),
    ] {
        fs::copy(data.join(name), site.path().join(directory).join(name)).unwrap();
    }
    let conf = fs::read_to_string(data.join("maillogsentinel.conf")).unwrap();
    site.write("conf", &conf.replace("DIR", site.path().to_str().unwrap()));
    let make = format!(
        "sqlite3 state/maillogsentinel.sqlite < {}",
        data.join("maillogsentinel.sqlite.sql").display()
    );
    assert!(site.shell(&make).status.success());
    site
}

/// The time zone in which the original ran.
const ZONE: &str = "TZ=Europe/Paris";

fn migrate(site: &Site) -> String {
    let output = site.shell(&format!("{ZONE} mls-setup --migrate-data --config conf"));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

/// The number of rows in the database on each local day, such as `2026-11-20|40`.
fn database_days(site: &Site) -> String {
    let query = "SELECT date(event_time, 'localtime'), count(*) FROM maillogsentinel_events \
                 GROUP BY 1 ORDER BY 1";
    let output = site.shell(&format!("{ZONE} sqlite3 state/maillogsentinel.sqlite \"{query}\""));
    text(&output.stdout) + &text(&output.stderr)
}

/// The number of rows in the CSV on each day, such as `40 2026-11-20`.
fn csv_days(site: &Site) -> String {
    let count = "tail -n +2 log/maillogsentinel.csv | cut -d , -f 2 | cut -c 1-10 | sort | uniq -c";
    let lines = text(&site.shell(count).stdout);
    lines.lines().map(|line| line.trim().to_owned() + "\n").collect()
}

const DAYS: &str = "40 2026-11-20\n25 2026-11-21\n10 2026-11-22\n7 2026-11-23\n";

/// The checksum of every file, except logs.
fn snapshot(site: &Site) -> String {
    text(&site.shell("find . -type f ! -name '*.log' | sort | xargs sha256sum").stdout)
}

#[test]
fn an_installation_of_the_original_keeps_each_row_once() {
    let site = installation();
    let said = migrate(&site);
    assert!(
        said.contains("converted 82 of 82 rows from 4 days; each day has as many rows"),
        "{said}"
    );
    assert!(said.contains("converted 1 file for the next import"), "{said}");
    assert!(said.contains("copied 65 rows into the new table"), "{said}");
    assert_eq!(csv_days(&site), DAYS);
    assert_eq!(database_days(&site), "2026-11-20|40\n2026-11-21|25\n");
    assert!(!site.read("log/maillogsentinel.csv").contains("ERRNO"));

    let migrated = snapshot(&site);
    let again = migrate(&site);
    assert!(
        again.contains("needs no conversion") && again.contains("nothing to convert"),
        "{again}"
    );
    assert_eq!(snapshot(&site), migrated, "the second run changes nothing");

    // Export and import, record the new failure, then export and import again.
    site.append("maillog/mail.log", NEW);
    let run = format!(
        "export {ZONE}
         export='mls-tail --config conf --framed --csv | mls-csv --config conf --decode | mls-sql --config conf export'
         bash -o pipefail -c \"$export\" && mls-sql --config conf import && mls-sql --config conf import &&
         mls-tail --config conf --framed | mls-parse --config conf | mls-enrich --config conf --no-dns |
         mls-csv --config conf --append && bash -o pipefail -c \"$export\" && mls-sql --config conf import"
    );
    let output = site.shell(&run);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(csv_days(&site), format!("{DAYS}1 2026-11-24\n"));
    assert_eq!(
        database_days(&site),
        "2026-11-20|40\n2026-11-21|25\n2026-11-22|10\n2026-11-23|7\n2026-11-24|1\n"
    );
}

const NEW: &str = "2026-11-24T00:30:00+01:00 mx1 postfix/smtpd[74]: warning: unknown[192.0.2.1]: \
                   SASL LOGIN authentication failed: x, sasl_username=new\n";

#[test]
fn an_interrupted_migration_is_finished_by_the_next_one() {
    let complete = installation();
    migrate(&complete);
    let csv = "log/maillogsentinel.csv";
    for interrupt in [
        // The run died while it wrote the new CSV.
        format!("head -c 700 {csv} > {csv}.migrating && mv {csv}.original {csv}"),
        // The new CSV was complete, but the old CSV did not have the name `….original` yet.
        format!("mv {csv} {csv}.migrating && mv {csv}.original {csv}"),
        // The old CSV had both names, and the new CSV was not renamed yet.
        format!("mv {csv} {csv}.migrating && ln {csv}.original {csv}"),
        // A converted SQL file was written, but the old SQL file was not moved to `original/` yet.
        "mv log/sql/original/*1402* log/sql/".to_owned(),
    ] {
        let site = installation();
        migrate(&site);
        assert!(site.shell(&interrupt).status.success(), "{interrupt}");
        migrate(&site);
        for name in ["log", "state"] {
            let files = format!(
                "find {name} -type f ! -name '*.sqlite' ! -name '*.log' ! -name mail.ledger | sort | xargs sha256sum"
            );
            let files = |site: &Site| text(&site.shell(&files).stdout);
            assert_eq!(files(&site), files(&complete), "{interrupt}");
        }
    }
}

#[test]
fn a_run_by_hand_amid_an_interrupted_migration_writes_nothing() {
    let site = installation();
    migrate(&site);
    let csv = "log/maillogsentinel.csv";
    let interrupt = format!("mv {csv} {csv}.migrating && ln {csv}.original {csv}");
    assert!(site.shell(&interrupt).status.success());
    site.append("maillog/mail.log", NEW);
    let run = format!(
        "export {ZONE}; mls-tail --config conf --framed | mls-parse | mls-csv --config conf --append"
    );
    let output = site.shell(&run);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    migrate(&site);
    assert_eq!(csv_days(&site), DAYS);
    assert!(site.shell(&run).status.success());
    assert_eq!(csv_days(&site), format!("{DAYS}1 2026-11-24\n"));
}

#[test]
fn a_row_that_cannot_be_converted_stops_the_migration_and_its_day_is_named() {
    let site = installation();
    let csv = "log/maillogsentinel.csv";
    site.append(csv, "mx1;22/11/2026 25:61;192.0.2.9;u;null;OK;FR;1;x\r\n");
    let before = site.read(csv);
    let output = site.shell(&format!("{ZONE} mls-setup --migrate-data --config conf"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("2026-11-22 (11 before, 10 after)") && said.contains("25:61"), "{said}");
    assert_eq!(site.read(csv), before);
    let shown = text(&site.shell("ls log").stdout);
    assert!(!shown.contains("maillogsentinel.csv.original"), "{shown}");
    // Remove the bad row, as the message says.
    assert!(site.shell(&format!("sed -i /25:61/d {csv}")).status.success());
    migrate(&site);
    assert_eq!(csv_days(&site), DAYS);
}

#[test]
fn the_first_digest_after_a_migration_does_not_hold_all_history() {
    let site = installation();
    let said = migrate(&site);
    assert!(said.contains("digest: the first digest has the attempts from today on"), "{said}");
    site.append("maillog/mail.log", &NEW.replace("2026-11-24", "TODAY"));
    let output = site.shell(&format!(
        "export {ZONE}; sed -i \"s/TODAY/$(date +%F)/\" maillog/mail.log
         mls-tail --config conf --framed | mls-parse | mls-csv --config conf --append &&
         mls-report --config conf --since-last --format json | jq .attempts"
    ));
    assert_eq!(text(&output.stdout), "1\n", "{}", text(&output.stderr));
}

#[test]
fn a_position_of_the_sql_export_that_no_row_has_exports_all_rows() {
    let site = installation();
    site.write("state/sql_state.offset", "999999");
    let said = migrate(&site);
    assert!(said.contains("all its rows will be exported again"), "{said}");
    let csv = site.read("log/maillogsentinel.csv");
    let header = csv.lines().next().unwrap().len() + 1;
    assert_eq!(site.read("state/sql_state.offset"), header.to_string());
}
