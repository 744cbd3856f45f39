//! Compares whole digests of generated days with counts that the test computes in another way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use assert_cmd::Command;
use flate2::write::GzEncoder;

const HEADER: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";

/// Returns the digest from `Total attempts` on. The lines before name this machine and the time.
fn digest(args: &[&str], stdin: &[u8]) -> String {
    let run =
        Command::cargo_bin("mls-report").unwrap().args(args).write_stdin(stdin).assert().success();
    let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let lines: Vec<_> = out.lines().collect();
    let size = lines.iter().take_while(|line| line.starts_with("###")).count();
    let head = &lines[..size];
    assert!(head.iter().all(|line| line.ends_with("###")), "{out}");
    assert!(head.iter().all(|line| line.chars().count() == lines[0].len()), "{out}");
    assert!(lines[size - 2].starts_with("### Server: "), "{out}");
    // Leave out the sentences before this line: they depend on whether the input has logins.
    let start = lines.iter().position(|line| line.starts_with("Total attempts")).unwrap();
    lines[start..].join("\n") + "\n"
}

#[test]
fn csv_and_the_records_it_was_written_from_give_the_same_digest() {
    let csv = format!(
        "{HEADER}mail,2026-06-01 00:10,192.0.2.1,office@me,host.example.net,OK,CN,4837,\"Org, Inc.\"\n\
         mail,2026-06-01 01:59,192.0.2.1,office@me,host.example.net,OK,CN,4837,\"Org, Inc.\"\n\
         mail,2026-06-01 23:59,2001:db8::1,'=日本語,null,Errno 1,N/A,N/A,N/A\n\
         mail,2026-06-02 00:00,192.0.2.9,late,null,Errno 1,N/A,N/A,N/A\n"
    );
    let record = |date: &str, outcome: &str, ip: &str, user: &str, rest: &str| {
        format!(
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"outcome\":\"{outcome}\",\"ip\":\"{ip}\",\"user\":\"{user}\",{rest}}}\n"
        )
    };
    let org = "\"hostname\":\"host.example.net\",\"reverse_dns_status\":\"OK\",\"country_code\":\"CN\",\"asn\":4837,\"aso\":\"Org, Inc.\"";
    let unknown = "\"hostname\":null,\"reverse_dns_status\":\"Errno 1\",\"country_code\":null,\"asn\":null,\"aso\":null";
    let ndjson = [
        "{\"v\":1,\"type\":\"begin\",\"base\":0}\n".to_owned(),
        record("2026-05-31T22:10:00Z", "failure", "192.0.2.1", "office@me", org),
        record("2026-06-01T01:59:59.9+02:00", "failure", "::ffff:192.0.2.1", "office@me", org),
        record("2026-06-01T12:00:00+02:00", "success", "192.0.2.1", "office@me", org),
        record("2026-06-01T23:59:59+02:00", "failure", "2001:db8::1", "=日本語", unknown),
        record("2026-06-02T00:00:00+02:00", "failure", "192.0.2.9", "late", unknown),
        "{\"v\":1,\"type\":\"end\"}\n".to_owned(),
    ]
    .concat();
    let args = ["--date", "2026-06-01", "--timezone", "+02:00"];
    let of_csv = digest(&args, csv.as_bytes());
    insta::assert_snapshot!(of_csv);
    let foot = |text: &str| {
        text[..text.find("Total CSV").unwrap_or(text.find("For more").unwrap())].to_owned()
    };
    assert_eq!(foot(&of_csv), foot(&digest(&args, ndjson.as_bytes())));

    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    assert_eq!(digest(&args, &gzip.finish().unwrap()), of_csv);
}

#[test]
fn each_list_of_a_generated_month_equals_an_independent_count() {
    let mut csv = HEADER.to_owned();
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) * below) >> 31
    };
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0;
    for _ in 0..20_000 {
        let (day, minute) = (1 + next(30), next(1440));
        let (user, ip) = (next(30) * next(30), next(200));
        writeln!(
            csv,
            "mail,2026-06-{day:02} {:02}:{:02},192.0.2.{ip},u{user}@example.com,null,Errno 1,CN,{},Org {}",
            minute / 60,
            minute % 60,
            ip % 7,
            ip % 5
        )
        .unwrap();
        if day == 17 {
            *users.entry(format!("u{user}@example.com")).or_default() += 1;
            total += 1;
        }
    }
    let mut expected: Vec<_> = users.into_iter().collect();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));

    let text = digest(&["--date", "2026-06-17", "--top", "25"], csv.as_bytes());
    assert!(text.starts_with(&format!("Total attempts 2026-06-17: {total}\n")), "{text}");
    let list =
        text.split("\n\n").find(|part| part.starts_with("Top 25 Usernames 2026-06-17:\n")).unwrap();
    let found: Vec<(String, u64)> = list
        .lines()
        .skip(1)
        .map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap())
        })
        .collect();
    assert_eq!(found, expected[..25]);
    assert!(text.contains(&format!("Total failed reverse lookups 2026-06-17: {total}\n")));
    assert!(text.contains("Total CSV lines:     20,000\n"));
}

#[test]
fn a_bad_row_is_named_and_the_rest_is_counted() {
    let csv = format!(
        "{HEADER}mail,yesterday,192.0.2.1,x,null,OK,CN,1,O\nmail,2026-06-01 00:00,192.0.2.1,x,null,OK,CN,1,O\n"
    );
    let mut command = Command::cargo_bin("mls-report").unwrap();
    let run = command.args(["--date", "2026-06-01", "--strict"]).write_stdin(csv).assert().code(65);
    let output = run.get_output();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("Total attempts 2026-06-01: 1\n"), "{out}");
    assert!(err.starts_with("mls-report: warning: stdin, line 2: "), "{err}");
}

#[test]
fn several_files_and_their_rotated_files_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let row = |user: &str| format!("mail,2026-06-01 00:00,192.0.2.1,{user},null,OK,CN,1,O\n");
    let write = |name: &str, users: &[&str]| {
        let rows: String = users.iter().map(|user| row(user)).collect();
        let path = dir.path().join(name);
        mls_state::atomic::write(&path, (HEADER.to_owned() + &rows).as_bytes(), 0o600).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, a1, b) =
        (write("a.csv", &["anna"]), write("a.csv.1", &["bert", "carl"]), write("b.csv", &["dora"]));
    for (files, total) in
        [(vec![&a], 3), (vec![&a, &b], 4), (vec![&a, &a1, &b], 4), (vec![&a1, &a], 3)]
    {
        let mut args = vec!["--date", "2026-06-01"];
        args.extend(files.iter().map(|file| file.as_str()));
        let text = digest(&args, b"");
        assert!(text.starts_with(&format!("Total attempts 2026-06-01: {total}\n")), "{text}");
    }
}

#[test]
fn an_input_that_cannot_be_read_at_all_is_an_error_that_names_the_cure() {
    let old = "server;date;ip;user;hostname;reverse_dns_status;country_code;asn;aso\n\
               mail;01/06/2026 00:00;192.0.2.1;x;null;Errno 1;CN;1;O\n";
    for (input, cure) in [(old, "mls-csv --decode --legacy"), ("a mail log\n", "mls-parse < FILE")]
    {
        let mut command = Command::cargo_bin("mls-report").unwrap();
        let run = command.args(["--date", "2026-06-01"]).write_stdin(input).assert().code(65);
        let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(err.contains(cure), "{err}");
    }
}

#[test]
fn a_day_without_attempts_is_three_lines_and_says_why() {
    let csv = format!("{HEADER}mail,2026-06-01 00:00,192.0.2.1,x,null,OK,CN,1,O\n");
    let mut command = Command::cargo_bin("mls-report").unwrap();
    let run = command.args(["--date", "2026-06-02"]).write_stdin(csv).assert().success();
    let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert_eq!(out.lines().count(), 3, "{out}");
    assert_eq!(out.lines().nth(1), Some("Total attempts 2026-06-02: 0"));
    assert!(out.contains("1 failed login from 2026-06-01 00:00"), "{out}");
}

#[test]
fn a_digest_without_attempts_says_whether_that_is_unusual() {
    let row = |day| format!("mail,2026-05-{day} 00:00,192.0.2.1,x,null,OK,CN,1,O\n").repeat(10);
    let csv = HEADER.to_owned() + &(10..20).map(row).collect::<String>();
    let day = |ago| (chrono::Local::now() - chrono::TimeDelta::days(ago)).format("%F").to_string();
    let recent: String = (2..12).map(|ago| row(20).replace("2026-05-20", &day(ago))).collect();
    let recent = HEADER.to_owned() + &recent;
    let unusual = "It is unusual that no login failed: run maillogsentinel --status";
    for (args, csv, expected) in [
        (&["--date", "2026-05-20"][..], &csv[..], unusual),
        (&["--since", "2026-05-20", "--until", "2026-05-20 00:05"], &csv, "nothing to do"),
        (&["--since", "2026-05-20", "--until", "2026-05-20 11:00"], &csv.repeat(3), unusual),
        (&["--since", &day(1)], &recent, unusual),
        (&["--server", "another"], &csv, "nothing to do"),
        (&["--date", "2026-05-20"], HEADER, unusual),
    ] {
        let mut command = Command::cargo_bin("mls-report").unwrap();
        let run = command.args(args).write_stdin(csv.to_owned()).assert().success();
        let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn without_ip_databases_a_note_says_once_what_to_run() {
    let note = "No country and no AS is known: if there are no IP databases, run mls-ipdb update";
    let row = |n| format!("mail,2026-06-02 00:00,203.0.113.{n},x,null,OK,null,null,null\n");
    let csv = HEADER.to_owned() + &(0..38).map(row).collect::<String>();
    for format in ["text", "html"] {
        let run = |csv: &str| {
            let mut command = Command::cargo_bin("mls-report").unwrap();
            let args = ["--date", "2026-06-02", "--timezone", "UTC", "--format", format];
            let run = command.args(args).write_stdin(csv).assert().success();
            let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
            out.replace("<code>", "")
                .replace("</code>", "")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let unknown = run(&csv);
        assert_eq!(unknown.matches(note).count(), 1, "{unknown}");
        for text in ["Top 10 countries", "Top 10 ASN and ASO", "not known: 38", "Countries<"] {
            assert!(!unknown.contains(text), "{text}: {unknown}");
        }
        let country = run(&csv.replacen("OK,null", "OK,DE", 1));
        assert!(
            country.contains("No AS is known") && country.contains("Top 10 countries"),
            "{country}"
        );
        assert!(country.contains("not known: 37"), "{country}");
        // Records can come directly from mls-parse.
        let record = "{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-02T00:00:00Z\",\
            \"outcome\":\"failure\",\"ip\":\"203.0.113.1\",\"user\":\"x\"}\n";
        assert!(run(record).contains("AS is known: put mls-enrich before mls-report; if"));
        // Databases do not have local addresses.
        let local = run(&csv.replace("203.0.113.", "192.168.0."));
        assert!(!local.contains("mls-ipdb"), "{local}");
    }
}

#[test]
fn hours_are_shown_by_weekday_if_the_data_covers_more_than_two_days() {
    for (first, title) in [
        ("2026-06-05", "Attempts by hour"),
        ("2026-06-04", "Attempts by hour"),
        ("2026-06-03", "Attempts by weekday and hour"),
        ("2026-01-03", "Attempts by weekday and hour"),
    ] {
        let row = |date: &str| format!("mail,{date} 07:00,192.0.2.1,x,null,OK,CN,1,O\n");
        let csv = format!("{HEADER}{}{}", row(first), row("2026-06-05"));
        let args = ["--until", "2026-06-05", "--timezone", "UTC"];
        let whole = digest(&args, csv.as_bytes());
        assert!(whole.contains(&format!("{title} until 2026-06-05:")), "{whole}");
        let week = digest(&["--since", "2026-05-30", "--until", "2026-06-05"], csv.as_bytes());
        assert!(week.contains(title), "{week}");
    }
}

#[test]
fn no_line_of_a_digest_is_wider_than_80_columns_for_any_names() {
    let names = ["a".repeat(250), "日本語".repeat(60), "e\u{301}".repeat(100), "x y".repeat(70)];
    let mut csv = HEADER.to_owned();
    for name in &names {
        for i in 0..12 {
            let ip = format!("2001:db8:aaaa:bbbb:cccc:dddd:eeee:{:x}", 0x1000 + i);
            writeln!(csv, "m,2026-06-01 10:00,{ip},{name},{name},{name},{name},1,{name}").unwrap();
        }
    }
    let text = digest(&["--date", "2026-06-01", "--timezone", "UTC"], csv.as_bytes());
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
    assert!(
        text.contains('…') && text.contains("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1000"),
        "{text}"
    );
}
