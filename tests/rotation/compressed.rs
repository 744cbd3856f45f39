//! Rotated files that are compressed.

use std::fs::{self, File};
use std::io::Write;

use mls_tests::{Site, text};

use super::{gzip, make_old, rename};

#[test]
fn a_half_read_log_is_finished_after_gzip() {
    let mut site = Site::new();
    site.log(3000);
    site.extract();
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    gzip(&site, "mail.log.1");
    site.log(10);
    site.extract();
    site.assert_exact();
    site.extract();
    site.assert_exact();
}

#[test]
fn no_line_continues_or_repeats_a_line_before_one_that_is_too_long() {
    let failure = "unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=u0";
    let whole = format!("2026-06-01T00:00:45Z vm postfix/smtpd[7]: warning: {failure}\n");
    let part = "2026-06-01T00:00:45Z stdout P postfix/smtpd[7]: warning: ";
    let last = |text: &str| format!("2026-06-01T00:01:00Z stdout F {text}\n");
    for (before, skipped, after, rows) in [
        (&*whole, "", "2026-06-01T00:01:00Z vm last message repeated 7 times\n", 1),
        (&format!("{part}\n"), "", &last(failure), 0),
        // The first part of a line is skipped, so the last part must not be read as a line.
        ("", part, &last(&format!("postfix/smtpd[7]: warning: {failure}")), 0),
        (
            "",
            &last("").replace('\n', ""),
            &last(&format!("postfix/smtpd[7]: warning: {failure}")),
            1,
        ),
    ] {
        // With three runs, each run reads one line; with one run, this run reads all three.
        for (runs, is_packed) in [(1, false), (2, false), (3, false), (1, true), (2, true)] {
            let site = Site::new();
            site.append("mail.log.1", before);
            site.append("mail.log", "");
            if runs >= 2 {
                site.extract();
            }
            site.append("mail.log.1", &(skipped.to_owned() + &"x".repeat(2 << 20) + "\n"));
            if runs == 3 {
                site.extract();
            }
            site.append("mail.log.1", after);
            if is_packed {
                gzip(&site, "mail.log.1");
            }
            site.extract();
            let found = site.read("F").lines().skip(1).count();
            assert_eq!(found, rows, "{before}{after} in {runs} runs, compressed: {is_packed}");
        }
    }
}

#[test]
fn a_compressed_log_that_ends_in_a_part_without_newline_is_continued_in_the_next_file() {
    let failure = "unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=u0";
    let first = format!(
        "2026-06-01T00:00:45Z stdout P postfix/smtpd[7]: warning: {failure}{}",
        "0".repeat(3000)
    );
    for before in ["", "2026-06-01T00:00:44Z stdout F postfix/smtpd[7]: connect from x\n"] {
        let site = Site::new();
        site.append("mail.log.1", &(before.to_owned() + &first));
        gzip(&site, "mail.log.1");
        site.append("mail.log", "");
        site.extract();
        site.append("mail.log", "2026-06-01T00:01:00Z stdout F 1\n");
        site.extract();
        assert_eq!(site.read("F").lines().skip(1).count(), 1, "{before:?}");
    }
}

#[test]
fn if_a_file_and_its_gzip_both_exist_only_the_file_is_read() {
    let mut site = Site::new();
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    fs::copy(site.path().join("mail.log.1"), site.path().join("copy")).unwrap();
    gzip(&site, "copy");
    for packed in [
        fs::read(site.path().join("copy.gz")).unwrap()[..40].to_vec(),
        fs::read(site.path().join("copy.gz")).unwrap(),
    ] {
        File::create(site.path().join("mail.log.1.gz")).unwrap().write_all(&packed).unwrap();
        site.extract();
        site.assert_exact();
    }
    fs::remove_file(site.path().join("mail.log.1")).unwrap();
    site.extract();
    site.assert_exact();
}

#[test]
fn an_incomplete_gzip_file_is_read_when_it_is_complete() {
    let mut site = Site::new();
    site.log(2000);
    site.extract();
    site.log(2000);
    rename(&site, "mail.log", "mail.log.1");
    gzip(&site, "mail.log.1");
    site.log(10);
    let whole = fs::read(site.path().join("mail.log.1.gz")).unwrap();
    for cut in [whole.len() / 4, whole.len() - 3, 0] {
        let mut file = File::create(site.path().join("mail.log.1.gz")).unwrap();
        file.write_all(&whole[..cut]).unwrap();
        let said = site.extract_fails(75);
        assert!(
            said.contains("mail.log.1.gz is an incomplete gzip file") && !said.contains("lost"),
            "{said}"
        );
    }
    File::create(site.path().join("mail.log.1.gz")).unwrap().write_all(&whole).unwrap();
    site.extract();
    site.assert_exact();
}

#[test]
fn an_incomplete_gzip_file_is_read_with_a_gap_after_an_hour() {
    let mut site = Site::new();
    site.log(4000);
    rename(&site, "mail.log", "mail.log.1");
    gzip(&site, "mail.log.1");
    let whole = fs::read(site.path().join("mail.log.1.gz")).unwrap();
    File::create(site.path().join("mail.log.1.gz"))
        .unwrap()
        .write_all(&whole[..whole.len() / 2])
        .unwrap();
    make_old(&site, "mail.log.1.gz");
    site.log(1);
    let output = site.shell("mls-tail --framed mail.log");
    assert!(
        text(&output.stdout).contains(r#""type":"gap""#)
            && text(&output.stderr).contains("is damaged at byte")
    );
    site.extract();
    let rows = site.read("F").lines().count() - 1;
    assert!((1000..4000).contains(&rows), "{rows}");
    assert!(site.read("F").lines().last().unwrap().contains(",u4000,"));
    // The run before has reported the gap, so this run reports nothing.
    assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
}

#[test]
fn a_gzip_file_without_any_readable_data_is_reported_once() {
    let mut site = Site::new();
    site.log(1);
    for garbage in ["", "garbage"] {
        site.write("mail.log.2.gz", garbage);
        make_old(&site, "mail.log.2.gz");
        let told = text(&site.shell(mls_tests::EXTRACT).stderr);
        assert!(told.contains("mail.log.2.gz is damaged at byte 0"), "{told}");
        assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
    }
    site.assert_exact();
}

#[test]
fn every_name_and_compression_of_a_rotated_file_is_found() {
    for (options, names) in [
        ("", ["mail-20261118.log.xz", "mail-20261119.log.bz2", "mail-20261120.log"]),
        ("", ["mail.2.log.zst", "mail.log.1.gz", "mail.log.0"]),
        ("--olddir old", ["old/mail.log.3.xz", "old/mail.log.2.gz", "old/mail.log.1"]),
        ("--rotated-as 'mail.o*'", ["mail.old2.zst", "mail.old1.gz", "mail.old0"]),
        ("--rotated-as 'mail.o*.gz'", ["mail.old2.gz", "mail.old1.gz", "mail.old0.gz"]),
    ] {
        for is_first_run in [true, false] {
            let mut site = Site::new();
            fs::create_dir(site.path().join("old")).unwrap();
            let extract = mls_tests::EXTRACT.replace("mail.log", &format!("{options} mail.log"));
            for name in names {
                site.log(10);
                if !is_first_run {
                    assert!(site.shell(&extract).status.success());
                    site.log(3);
                }
                let tool = match name.rsplit('.').next() {
                    Some("xz") => "xz",
                    Some("bz2") => "bzip2",
                    Some("zst") => "zstd -q",
                    Some("gz") => "gzip",
                    _ => "cat",
                };
                let rotate = format!("{tool} < mail.log > {name} && : > mail.log");
                assert!(site.shell(&rotate).status.success(), "{rotate}");
            }
            site.log(2);
            for _ in 0..2 {
                let output = site.shell(&extract);
                assert_eq!(
                    (output.status.code(), text(&output.stderr)),
                    (Some(0), String::new()),
                    "{names:?}"
                );
                site.assert_exact();
            }
        }
    }
}
