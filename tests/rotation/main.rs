//! Logs are rotated in every way that logrotate supports, and each line is counted exactly once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod compressed;
mod continued;
mod truncated;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::GzEncoder;
use mls_tests::{Site, skip, text};

fn rename(site: &Site, from: &str, to: &str) {
    fs::rename(site.path().join(from), site.path().join(to)).unwrap();
}

fn gzip(site: &Site, name: &str) {
    let path = site.path().join(name);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut packed = Vec::new();
    GzEncoder::new(File::open(&path).unwrap(), Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    let mut file = File::create(site.path().join(format!("{name}.gz"))).unwrap();
    file.write_all(&packed).unwrap();
    file.set_modified(modified).unwrap();
    fs::remove_file(path).unwrap();
}

fn make_old(site: &Site, name: &str) {
    let file = File::options().append(true).open(site.path().join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
}

#[test]
fn a_half_read_log_is_finished_after_any_rename() {
    let mut site = Site::new();
    site.log(10);
    site.extract();
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    site.log(10);
    site.extract();
    site.assert_exact();
    assert!(site.files("F.recovered").is_empty());
}

#[test]
fn all_files_are_read_after_several_rotations() {
    let mut site = Site::new();
    site.log(10);
    site.extract();
    site.log(10);
    rename(&site, "mail.log", "mail.log.3");
    gzip(&site, "mail.log.3");
    site.log(10);
    rename(&site, "mail.log", "mail.log.2");
    gzip(&site, "mail.log.2");
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    site.log(10);
    site.extract();
    site.assert_exact();
    let order: Vec<String> = site
        .read("F")
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(3).unwrap().to_owned())
        .collect();
    let sorted: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    assert_eq!(order, sorted);
}

#[test]
fn dated_names_are_read_in_order_of_their_dates() {
    let mut site = Site::new();
    site.log(10);
    rename(&site, "mail.log", "mail.log-20260101");
    gzip(&site, "mail.log-20260101");
    site.log(10);
    rename(&site, "mail.log", "mail.log-20260108");
    site.log(10);
    site.extract();
    site.assert_exact();
    assert!(site.read("F").lines().nth(1).unwrap().contains(",u0,"));
}

#[test]
fn lines_appended_to_a_rotated_file_are_read() {
    let mut site = Site::new();
    site.log(10);
    site.extract();
    rename(&site, "mail.log", "mail.log.1");
    site.log(10);
    site.extract();
    let late = site.failures(5);
    site.append("mail.log.1", &late);
    site.extract();
    site.assert_exact();
}

#[test]
fn half_a_line_at_the_end_of_a_rotated_file_is_read_from_its_gzip_or_reported_as_missing() {
    for compressed in [true, false] {
        let mut site = Site::new();
        let lines = site.failures(2);
        let end = lines.rfind("authentication failed").unwrap();
        let end = end + lines[end..].find('\n').unwrap();
        site.write("mail.log", &lines[..end]);
        site.extract();
        rename(&site, "mail.log", "mail.log.1");
        site.write("mail.log", "");
        site.extract();
        let change = if compressed { "gzip mail.log.1" } else { "rm mail.log.1" };
        assert!(site.shell(change).status.success());
        let output = site.shell(mls_tests::EXTRACT);
        assert_eq!(output.status.code(), Some(0));
        let rows = site.read("F").lines().count() - 1;
        assert_eq!(
            (rows, text(&output.stderr).contains("any lines after this byte are lost")),
            if compressed { (2, false) } else { (1, true) }
        );
        assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
    }
}

#[test]
fn different_spellings_of_a_path_are_one_log() {
    let mut site = Site::new();
    site.log(3);
    assert!(site.shell("ln -s . here; mkdir d").status.success());
    for spelling in [
        "mail.log",
        "./mail.log",
        "d/../mail.log",
        "here/mail.log",
        "mail.log mail.log",
        "mail.log*",
        "$PWD/mail.log",
    ] {
        site.log(1);
        if spelling.contains('*') {
            rename(&site, "mail.log", "mail.log.1");
            site.log(1);
        }
        let output = site.shell(&mls_tests::EXTRACT.replace("mail.log", spelling));
        assert!(output.status.success(), "{spelling}: {}", text(&output.stderr));
        site.assert_exact();
    }
}

#[test]
fn a_missing_log_does_not_prevent_reading_the_others() {
    let mut site = Site::new();
    site.log(3);
    let both = mls_tests::EXTRACT.replace("mail.log", "missing.log mail.log missing-too.log");
    let output = site.shell(&both);
    assert_eq!(output.status.code(), Some(66), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("missing-too.log does not exist"));
    site.assert_exact();
}

#[test]
fn more_rotated_files_than_open_file_descriptors_are_read() {
    let mut site = Site::new();
    for n in 0..300 {
        let lines = site.failures(1);
        site.write(&format!("mail.log-2026{:04}", n + 1000), &lines);
    }
    for _ in 0..2 {
        let output = site.shell(&format!("ulimit -S -n 100; {}", mls_tests::EXTRACT));
        assert!(output.status.success(), "{}", text(&output.stderr));
        site.assert_exact();
    }
}

#[test]
fn a_rotated_file_that_was_read_to_its_end_is_not_reported_as_missing() {
    let mut site = Site::new();
    let extract = mls_tests::EXTRACT.replace("mail.log", "--no-rotated mail.log");
    site.log(3);
    assert!(site.shell(&extract).status.success());
    rename(&site, "mail.log", "mail.log.1");
    site.log(3);
    let output = site.shell(&extract);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    site.assert_exact();
}

#[test]
fn an_empty_log_and_half_a_line_are_read_when_the_line_is_complete() {
    let mut site = Site::new();
    site.extract();
    assert_eq!(site.read("F").lines().count(), 1);
    let line = site.failures(1);
    let (half, rest) = line.split_at(40);
    site.append("mail.log", half);
    site.extract();
    assert_eq!(site.read("F").lines().count(), 1);
    site.append("mail.log", rest);
    site.extract();
    site.assert_exact();
}

#[test]
fn a_file_that_disappeared_unread_or_is_unreadable_is_reported_once() {
    let mut site = Site::new();
    site.log(10);
    site.extract();
    site.log(1);
    fs::remove_file(site.path().join("mail.log")).unwrap();
    site.write("mail.log.4.lz4", "not looked into");
    site.append("mail.log", "2026-06-01T00:00:00+00:00 vm x: y\n");
    let output = site.shell("mls-tail --framed --cursor-file S mail.log");
    assert_eq!(text(&output.stdout).matches(r#""type":"gap""#).count(), 2);
    let said = text(&site.shell(mls_tests::EXTRACT).stderr);
    assert!(
        said.contains("mail.log.4.lz4 has a compression that mls-tail cannot read")
            && said.contains("read up to byte")
    );
    assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
}

#[test]
fn a_file_that_was_read_to_its_end_may_be_deleted() {
    let mut site = Site::new();
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    site.log(10);
    site.extract();
    fs::remove_file(site.path().join("mail.log.1")).unwrap();
    assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
    site.assert_exact();
}

#[test]
fn plain_mode_prints_each_line_once_and_saves_its_own_cursor() {
    let mut site = Site::new();
    let all = site.failures(30);
    let (one, two) = all.split_at(all.len() / 2);
    site.append("mail.log", one);
    let printed = || text(&site.shell("mls-tail --cursor-file C mail.log").stdout);
    let mut seen = printed();
    assert_eq!(printed(), "");
    rename(&site, "mail.log", "mail.log.1");
    gzip(&site, "mail.log.1");
    site.append("mail.log", "");
    seen += &printed();
    rename(&site, "mail.log.1.gz", "mail.log.2.gz");
    site.append("mail.log", two);
    seen += &printed();
    // mls-tail adds a newline to the half line at the end of the gzip file.
    let cut = one.rfind('\n').unwrap() + 1;
    assert_eq!(seen, if cut == one.len() { all.clone() } else { format!("{one}\n{two}") });
    let rotated_too = text(&site.shell("mls-tail mail.log").stdout);
    let without = text(&site.shell("mls-tail --no-rotated mail.log").stdout);
    assert_eq!((rotated_too, without.as_str()), (seen, two));
}

/// Four configurations of logrotate. `weekly` and similar options are absent, because the test forces
/// each rotation.
const CONFIGURATIONS: [&str; 4] = [
    "rotate 3\ncompress\ndelaycompress\ncreate",
    "rotate 3\ncompress\ncreate",
    "rotate 3\ndateext\ndateformat -%Y%m%d-%s\ncompress\ncreate",
    "rotate 3\ncopytruncate\ncompress",
];

#[test]
fn each_line_is_read_once_with_four_configurations_of_logrotate() {
    if !mls_tests::has("logrotate") {
        return skip("logrotate is not installed");
    }
    for configuration in CONFIGURATIONS {
        let mut site = Site::new();
        let log = site.path().join("mail.log");
        site.write(
            "rotate.conf",
            &format!("{} {{\n{configuration}\nmissingok\n}}\n", log.display()),
        );
        for round in 0..8 {
            site.log(40);
            if round % 3 != 1 {
                site.extract();
            }
            site.log(40);
            // Two rotations in one second would get the same name (`-%s`), so the test waits below.
            let stamp = 1_780_272_000 + round;
            let rotated = site.shell(&format!(
                "logrotate --force --state state rotate.conf && touch -d @{stamp} state"
            ));
            assert!(rotated.status.success(), "{}", text(&rotated.stderr));
            if configuration.contains("%s") {
                std::thread::sleep(Duration::from_millis(1100));
            }
        }
        site.extract();
        site.assert_exact();
    }
}

/// Shell commands that move a log, and the path of the log after the move.
const MOVES: [(&str, &str); 5] = [
    ("mkdir big && mv d big/ && ln -s big/d d", "d/mail.log"),
    ("mv d e", "e/mail.log"),
    (
        "mv d/mail.log d/maillog; for n in 1 2; do mv d/mail.log.$n.gz d/maillog.$n.gz; done",
        "d/maillog",
    ),
    ("cp -a d e && rm -r d", "e/mail.log"),
    ("ln -s d e", "e/mail.log"),
];

#[test]
fn a_log_is_counted_once_when_it_or_its_directory_moves_and_moves_back() {
    for (change, name) in MOVES {
        let mut site = Site::new();
        assert!(site.shell("mkdir d && mv mail.log d/").status.success());
        let run = |site: &Site, name: &str| {
            let output = site.shell(&mls_tests::EXTRACT.replace("mail.log", name));
            assert_eq!(
                (output.status.code(), text(&output.stderr)),
                (Some(0), String::new()),
                "{change}"
            );
        };
        for n in [2, 1] {
            let lines = site.failures(20);
            site.append("d/mail.log", &lines);
            run(&site, "d/mail.log");
            let lines = site.failures(3);
            site.append("d/mail.log", &lines);
            let rotate = format!("gzip -c d/mail.log > d/mail.log.{n}.gz && : > d/mail.log");
            assert!(site.shell(&rotate).status.success());
        }
        let lines = site.failures(20);
        site.append("d/mail.log", &lines);
        run(&site, "d/mail.log");
        assert!(site.shell(change).status.success(), "{change}");
        let lines = site.failures(5);
        site.append(name, &lines);
        for _ in 0..2 {
            run(&site, name);
            site.assert_exact();
        }
    }
}

#[test]
fn two_names_of_one_file_are_one_log() {
    let mut site = Site::new();
    site.log(3);
    fs::hard_link(site.path().join("mail.log"), site.path().join("other.log")).unwrap();
    let both = mls_tests::EXTRACT.replace("mail.log", "mail.log other.log");
    assert!(site.shell(&both).status.success());
    site.assert_exact();
}

#[test]
fn the_warning_about_lost_lines_names_the_directory_that_was_searched() {
    for (options, directory) in [("", ""), ("--olddir old", "/old, which does not exist")] {
        let mut site = Site::new();
        site.log(3);
        let extract = mls_tests::EXTRACT.replace("mail.log", &format!("{options} mail.log"));
        assert!(site.shell(&extract).status.success());
        rename(&site, "mail.log", "elsewhere");
        site.log(3);
        let said = text(&site.shell(&extract).stderr);
        let path = site.path().canonicalize().unwrap();
        let searched =
            format!("mls-tail searched rotated files in {}{directory}; if", path.display());
        assert!(said.contains(&searched), "{said}");
    }
}
