//! Lines that belong to an earlier line: the parts of a line of Kubernetes or Docker, and `last
//! message repeated 2 times`.

use std::fs;

use mls_tests::{Site, text};

use crate::{gzip, make_old, rename};

const PARTS: &str =
    "mls-tail --framed --cursor-file S mail.log | mls-parse | mls-csv --append F --cursor-file S";

/// One failure, split into parts by Kubernetes. `reason` bytes of the line are not UTF-8.
fn failure_in_parts(user: &str, reason: usize) -> Vec<Vec<u8>> {
    let line = [
        b"postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: ",
        &vec![0xff; reason][..],
        format!(", sasl_username={user}").as_bytes(),
    ]
    .concat();
    let parts: Vec<_> = line.chunks(16 * 1024).collect();
    let kind = |at: usize| if at + 1 < parts.len() { 'P' } else { 'F' };
    let text = |(at, part): (usize, &&[u8])| {
        [format!("2026-06-01T00:00:45Z stdout {} ", kind(at)).as_bytes(), part, b"\n"].concat()
    };
    parts.iter().enumerate().map(text).collect()
}

/// One failure, split into parts by Docker.
fn failure_in_objects(user: &str, reason: usize) -> Vec<Vec<u8>> {
    let reason = "x".repeat(reason);
    let line = format!(
        "postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: {reason}, \
         sasl_username={user}\\n"
    );
    let text = |part: &[u8]| {
        let front = br#"{"log":""#;
        let end = b"\",\"stream\":\"stdout\",\"time\":\"2026-06-01T00:00:45Z\"}\n";
        [front, part, end].concat()
    };
    line.as_bytes().chunks(16 * 1024).map(text).collect()
}

#[test]
fn a_line_in_parts_is_read_once_wherever_runs_and_rotation_cut_it() {
    type Writer = fn(&str, usize) -> Vec<Vec<u8>>;
    const WRITERS: [(Writer, &str); 2] = [
        (failure_in_parts, "2026-06-01T00:00:46Z stdout F postfix/smtpd[7]: x\n"),
        (
            failure_in_objects,
            "{\"log\":\"postfix/smtpd[7]: x\\n\",\"stream\":\"stdout\",\"time\":\"2026-06-01T00:00:46Z\"}\n",
        ),
    ];
    let cases = [(20_000, 1), (40_000, 1), (60_000, 1), (300_000, 0)];
    for ((writer, next), (reason, rows)) in
        WRITERS.iter().flat_map(|writer| cases.map(|case| (writer, case)))
    {
        let parts = writer("u0", reason);
        let last = parts.len() - 1;
        for cut in [1, last] {
            for rotate in ["no", "rename", "compress"] {
                let site = Site::new();
                let what =
                    format!("{next}: {reason} bytes, cut after {cut} parts, rotation: {rotate}");
                site.append_bytes("mail.log", &parts[..cut].concat());
                let first = site.shell(PARTS);
                if rotate != "no" {
                    rename(&site, "mail.log", "mail.log.1");
                }
                if rotate == "compress" {
                    gzip(&site, "mail.log.1");
                    make_old(&site, "mail.log.1.gz");
                }
                site.append_bytes("mail.log", &parts[cut..last].concat());
                let second = site.shell(PARTS);
                site.append_bytes("mail.log", &parts[last]);
                site.append("mail.log", next);
                let runs = [first, second, site.shell(PARTS), site.shell(PARTS)];
                let said = runs.map(|run| {
                    assert!(run.status.success(), "{what}: {}", text(&run.stderr));
                    text(&run.stderr)
                });
                let found = site.read("F").lines().skip(1).filter(|row| row.contains("u0")).count();
                assert_eq!(found, rows, "{what}: {said:?}");
                let counted = said.concat().matches("cannot be parsed").count();
                assert_eq!(counted + rows, 1, "{what}: {said:?}");
            }
        }
    }
}

#[test]
fn a_line_of_the_other_stream_between_two_parts_is_read_and_so_are_the_parts() {
    let streams = ["stdout", "stderr"];
    for (unfinished, next) in streams.iter().flat_map(|one| streams.map(|other| (*one, other))) {
        // The next run can read the parts again, the parts are too long, or the parts are lost.
        for (reason, is_lost) in [(100, false), (40_000, false), (300_000, false), (40_000, true)] {
            let what = format!("{reason} bytes of {unfinished}, lost: {is_lost}, then {next}");
            let site = Site::new();
            let of =
                |stream: &str, part: &[u8]| [&part[..21], stream.as_bytes(), &part[27..]].concat();
            let mut parts: Vec<_> = failure_in_parts("u0", reason + 16 * 1024);
            let last = of(unfinished, &parts.pop().unwrap());
            for part in parts {
                site.append_bytes("mail.log", &of(unfinished, &part));
            }
            let mut runs = vec![site.shell(PARTS)];
            if is_lost {
                fs::remove_file(site.path().join("mail.log")).unwrap();
            }
            let [line] = &failure_in_parts("u1", 10)[..] else { panic!("more than one part") };
            for line in [&of(next, line), &last] {
                site.append_bytes("mail.log", line);
                runs.extend([site.shell(PARTS), site.shell(PARTS)]);
            }
            let said: String = runs.iter().map(|run| text(&run.stderr)).collect();
            let rows = site.read("F");
            let count = |user: &str| rows.lines().filter(|row| row.contains(user)).count();
            let is_joined = reason <= 40_000 && !is_lost;
            // If `next` is the stream of the unfinished line, the line of `u1` completes the
            // unfinished line. So the row has the user `u1`.
            assert_eq!(count("u1"), usize::from(unfinished != next || is_joined), "{what}: {said}");
            assert_eq!(count("u0"), usize::from(unfinished != next && is_joined), "{what}: {said}");
            let counted = said.matches("1 line looks like a login attempt").count();
            assert_eq!(counted, usize::from(reason > 40_000), "{what}: {said}");
        }
    }
}

/// The first line after a loss may be the rest of the unfinished line, so it is not read.
#[test]
fn a_part_before_lost_or_skipped_lines_is_not_joined_to_the_next_line() {
    let line = |tag: &str, user: &str| {
        format!(
            "2026-06-01T00:00:45Z {tag} postfix/smtpd[7]: warning: unknown[192.0.2.1]: \
             SASL LOGIN authentication failed: x, sasl_username={user}\n"
        )
    };
    let long = format!("2026-06-01T00:00:45Z stderr F {}\n", "x".repeat(1_100_000));
    for is_removed in [true, false] {
        let site = Site::new();
        site.append("mail.log", &line("stdout P", "al"));
        let mut runs = vec![site.shell(PARTS)];
        if is_removed {
            fs::remove_file(site.path().join("mail.log")).unwrap();
        } else {
            site.append("mail.log", &long);
        }
        site.append("mail.log", &(line("stdout F", "bob") + &line("stdout F", "carla")));
        runs.push(site.shell(PARTS));
        let said: String = runs.iter().map(|run| text(&run.stderr)).collect();
        let rows = site.read("F");
        let found = ["al", "bob", "carla"].map(|user| rows.matches(&format!(",{user}")).count());
        assert_eq!(found, [0, 0, 1], "removed: {is_removed}: {rows}{said}");
        let loss =
            if is_removed { "no longer exists" } else { "a line longer than 1 MiB was skipped" };
        assert!(said.contains(loss), "{said}");
    }
}

#[test]
fn many_logs_that_end_in_long_parts_are_continued_by_the_next_run() {
    const LOGS: usize = 40;
    let run =
        "mls-tail --framed --cursor-file S c*.log | mls-parse | mls-csv --append F --cursor-file S";
    let site = Site::new();
    let parts: Vec<_> = (0..LOGS).map(|n| failure_in_parts(&format!("u{n}."), 60_000)).collect();
    let append = |cut: std::ops::Range<usize>| {
        for (n, parts) in parts.iter().enumerate() {
            site.append_bytes(&format!("c{n}.log"), &parts[cut.clone()].concat());
        }
    };
    let last = parts[0].len() - 1;
    append(0..last);
    let first = site.shell(run);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(site.read("S").len() < 1 << 20, "{}", site.read("S").len());
    // `c0.log` with its parts is rotated and compressed. `c1.log` with its parts is lost.
    rename(&site, "c0.log", "c0.log.1");
    gzip(&site, "c0.log.1");
    make_old(&site, "c0.log.1.gz");
    fs::remove_file(site.path().join("c1.log")).unwrap();
    append(last..last + 1);
    site.append("c1.log", "2026-06-01T00:00:46Z stdout F postfix/smtpd[7]: x\n");
    let second = site.shell(run);
    assert!(second.status.success(), "{}", text(&second.stderr));
    let rows = site.read("F");
    for n in 0..LOGS {
        let found = rows.matches(&format!("u{n}.,")).count();
        assert_eq!(found, usize::from(n != 1), "u{n}: {}", text(&second.stderr));
    }
    assert!(text(&second.stderr).contains("the first parts of a split line were read"));
}

/// If a writer keeps its offset after copytruncate, the log begins with NUL bytes.
#[test]
fn the_next_run_continues_or_repeats_a_line_after_many_nul_bytes() {
    let failure =
        "postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x";
    let (first, last) = failure.split_at(40);
    let repeated = "2026-06-01T00:01:00Z vm last message repeated 4 times\n".to_owned();
    let nul = vec![0; 3 << 20];
    // The first byte is not NUL, so `long` and the next line are one line that is too long.
    let long = [&vec![b'x'; 3 << 19][..], b"\0"].concat();
    for (front, line, next, rows) in [
        (&nul, format!("2026-06-01T00:00:45Z vm {failure}\n"), repeated.clone(), 5),
        (&long, format!("2026-06-01T00:00:45Z vm {failure}\n"), repeated, 0),
        (
            &nul,
            format!("2026-06-01T00:00:45Z stdout P {first}\n"),
            format!("2026-06-01T00:00:45Z stdout F {last}\n"),
            1,
        ),
    ] {
        let site = Site::new();
        site.append_bytes("mail.log", front);
        site.append("mail.log", &line);
        let first = site.shell(PARTS);
        site.append("mail.log", &next);
        let second = site.shell(PARTS);
        let said = text(&first.stderr) + &text(&second.stderr);
        let attempts = site.read("F").lines().skip(1).count();
        assert_eq!(attempts, rows, "{next}: {}{said}", site.read("F"));
    }
}

#[test]
fn a_count_of_repetitions_belongs_to_a_failure_of_an_earlier_run_or_file() {
    let mut site = Site::new();
    let count = |site: &Site, times: u32| {
        site.append(
            "mail.log",
            &format!("2026-06-01T00:01:00+00:00 vm last message repeated {times} times\n"),
        );
    };
    // Use only the first line, because the second line is not a failure.
    let failure = |site: &mut Site| site.failures(1).lines().next().unwrap().to_owned() + "\n";
    let rows = |site: &Site| {
        let rows = site.read("F");
        let users = rows.lines().skip(1).map(|row| row.split(',').nth(3).unwrap().to_owned());
        users.collect::<Vec<_>>()
    };
    let first = failure(&mut site);
    site.append("mail.log", &first);
    site.extract();
    count(&site, 2);
    site.extract();
    assert_eq!(rows(&site), ["u0"; 3]);
    rename(&site, "mail.log", "mail.log.1");
    count(&site, 3);
    site.extract();
    assert_eq!(rows(&site), ["u0"; 6]);
    // The repeated message is not a failure, so no row is added.
    let other = site.failures(1).lines().nth(1).unwrap().to_owned() + "\n";
    site.append("mail.log", &other);
    site.extract();
    rename(&site, "mail.log.1", "mail.log.2");
    gzip(&site, "mail.log.2");
    rename(&site, "mail.log", "mail.log.1");
    count(&site, 4);
    let last = failure(&mut site);
    site.append("mail.log", &last);
    site.extract();
    site.extract();
    assert_eq!(rows(&site), ["u0", "u0", "u0", "u0", "u0", "u0", "u2"]);
}
