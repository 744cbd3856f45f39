//! Tests of lines that belong to other lines, lines in JSON, and lines that cannot be parsed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use clap::Parser;
use mls_event::{JOURNAL_SOURCE, Segment, Timestamp, last_lines};
use mls_parse::{Args, Scanner};
use mls_stream::blocks::BlockPosition;
use serde_json::{Value, json};

const FAILURE: &str = "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x";

fn scanner(args: &[&str]) -> Scanner {
    let args = [&["mls-parse", "--timezone=UTC", "--stats"], args].concat();
    Scanner::new(&Args::parse_from(args), &mls_config::config::Filter::default()).unwrap()
}

/// The records of `lines`, which come after `before` in the file or journal `source`.
fn scan(scanner: &mut Scanner, source: &str, before: &str, lines: &str) -> Vec<Value> {
    let segment = Segment {
        source: source.into(),
        generation: "g".into(),
        offset: before.len() as u64,
        length: lines.len() as u64,
        mtime: Timestamp::parse("2026-12-01T00:00:00+00:00").unwrap(),
        before: String::new(),
    };
    let place = BlockPosition {
        segment: Some(&segment),
        offset: before.len() as u64,
        before: before.as_bytes(),
    };
    let mut out = Vec::new();
    scanner.block(lines.as_bytes(), place, &mut out);
    let records = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    records.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Server, attempts and position of each record of a log.
fn read(before: &str, lines: &str) -> Vec<(String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    scan(&mut scanner(&[]), "/log", before, lines)
        .iter()
        .map(|r| (text(&r["server"]), r["attempts"].as_u64().unwrap(), text(&r["pos"])))
        .collect()
}

fn one(server: &str, attempts: u64, at: usize) -> Vec<(String, u64, String)> {
    vec![(server.into(), attempts, format!("g:{at}"))]
}

fn docker(line: &str) -> String {
    json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-06-01T00:00:45.1Z"})
        .to_string()
        + "\n"
}

fn container(line: &str, number: u32) -> String {
    json!({
        "__CURSOR": format!("s=ab;i={number:x};b=c"), "__REALTIME_TIMESTAMP": "1780272045000000",
        "_HOSTNAME": "vm", "SYSLOG_IDENTIFIER": "postfix-mailcow", "CONTAINER_ID": "3f2a9c01b7de",
        "MESSAGE": line,
    })
    .to_string()
        + "\n"
}

#[test]
fn parts_of_a_line_are_joined_wherever_the_block_begins() {
    let line = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45.1Z stdout {tag} {text}\n");
    // Some cuts are inside the words that the search looks for.
    for cuts in [[10, 50], [50, 100], [88, 95], [95, 96]] {
        let parts = [
            part("P", &line[..cuts[0]]),
            part("P", &line[cuts[0]..cuts[1]]),
            part("F", &line[cuts[1]..]),
        ];
        let whole = parts.concat();
        let last = parts[0].len() + parts[1].len();
        for blocks in 0..3 {
            let at = parts[..blocks].concat().len();
            assert_eq!(read(&whole[..at], &whole[at..]), one("mx", 1, last), "{cuts:?} {blocks}");
        }
        // The block with the last part reads the line, and no other block does.
        assert_eq!(read("", &whole[..last]), [], "{cuts:?}");
    }
}

#[test]
fn objects_of_docker_are_joined_wherever_they_cut_the_words() {
    let object = |text: &str| docker(text).replace(r"\n", "");
    let other = docker("Jun  1 00:00:44 mx postfix/smtpd[7]: connect from unknown[192.0.2.1]");
    let line = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    for at in 60..93 {
        // A long client name moves the words to the cut after 16 KiB.
        let front = "Jun  1 00:00:45 mx postfix/smtpd[7]: ";
        let fill = "x".repeat(16 * 1024 - at);
        let name = format!("warning: {fill}[192.0.2.1]: ");
        let long = line.replacen("warning: unknown[192.0.2.1]: ", &name, 1);
        assert!(long.starts_with(front) && long.len() > 16 * 1024);
        let (first, last) = long.split_at(16 * 1024);
        let whole = [other.clone(), object(first), docker(last), other.clone()].concat();
        let end = other.len() + object(first).len();
        for cut in [0, other.len(), end] {
            assert_eq!(read(&whole[..cut], &whole[cut..]), one("mx", 1, end), "{at} {cut}");
        }
    }
}

#[test]
fn a_line_after_any_number_of_nul_bytes_is_read_where_it_begins() {
    let line = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}\n");
    for (line, nuls) in [line.clone(), docker(line.trim())]
        .iter()
        .flat_map(|line| [1, 500, 100_000, 900_000].map(|nuls| (line, nuls)))
    {
        assert_eq!(read("", &("\0".repeat(nuls) + line)), one("mx", 1, nuls), "{nuls}");
    }
}

#[test]
fn parts_in_one_block_are_joined_however_long_they_are() {
    let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45.1Z stdout {tag} {text}\n");
    let name = "x".repeat(1000);
    let failure = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}{name}");
    let whole = [part("P", &failure), part("P", &name), part("P", &name)].concat();
    let line = whole.clone() + &part("F", "y");
    assert_eq!(read("", &line), one("mx", 1, whole.len()));
}

#[test]
fn a_counter_adds_attempts_to_the_message_before_it_in_every_form_of_log() {
    let failure = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    let counter = "Jun  1 00:00:50 mx last message repeated 4 times";
    let plain = |line: &str| format!("{line}\n");
    let cri = |line: &str| format!("2026-06-01T00:00:45.1Z stdout F {line}\n");
    for wrap in [&plain as &dyn Fn(&str) -> String, &cri, &docker] {
        let (failure, counter) = (wrap(&failure), wrap(counter));
        // In the next run, or after a rotation, the failure is in the lines before the block.
        assert_eq!(read(&failure, &counter), one("mx", 4, failure.len()), "{failure}");
        let both = [one("mx", 1, 0), one("mx", 4, failure.len())].concat();
        assert_eq!(read("", &(failure.clone() + &counter)), both, "{failure}");
        let other = wrap("Jun  1 00:00:46 mx cron[7]: x");
        assert_eq!(read(&failure, &(other + &counter)), [], "a line of another kind is between");
    }
    let entries = [container(&failure, 0x1e), container(counter, 0x1f)].concat();
    let records = scan(&mut scanner(&[]), JOURNAL_SOURCE, "", &entries);
    let found: Vec<_> = records.iter().map(|r| (&r["attempts"], &r["pos"])).collect();
    assert_eq!(found, [(&json!(1), &json!("ab:30")), (&json!(4), &json!("ab:31"))]);
}

#[test]
fn a_counter_never_counts_the_last_part_of_a_line() {
    let forged = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    let counter = "Jun  1 00:00:50 mx last message repeated 4 times";
    let cri = |tag: &str, text: &str| format!("2026-06-01T00:00:45.1Z {tag} {text}\n");
    let first = "x".repeat(16_384);
    let docker_part = json!({"log": first, "stream": "stdout", "time": "2026-06-01T00:00:45.1Z"});
    let cri = [cri("stdout P", &first), cri("stdout F", &forged), cri("stdout F", counter)];
    let docker = [docker_part.to_string() + "\n", docker(&forged), docker(counter)];
    let other = "2026-06-01T00:00:45.1Z stderr F x\n";
    for [first, last, counter] in [cri, docker] {
        for (others, after) in
            [(0, ""), (1, other), (1100, ""), (0, "Jun  1 00:00:46 vm cron[7]: x\n")]
        {
            for nul in [0, 3000] {
                let last = "\0".repeat(nul) + &last;
                let lines = [&first, &other.repeat(others)[..], &last, after, &counter];
                for cut in 0..lines.len() {
                    let before = last_lines(lines[..cut].concat().as_bytes());
                    let before = String::from_utf8(before).unwrap();
                    let found = read(&before, &lines[cut..].concat());
                    assert_eq!(found, [], "{others} {after} {nul} {cut}");
                }
            }
        }
    }
}

#[test]
fn a_part_after_nul_bytes_continues_the_line() {
    let line = format!("postfix/smtpd[7]: {FAILURE}");
    let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45.1Z stdout {tag} {text}\n");
    let lines = [part("P", &line[..30]), part("P", &line[30..60]), part("F", &line[60..])];
    for nul in [1, 9000, 70_000] {
        let nul = "\0".repeat(nul);
        // NUL bytes make the line longer, except before the first part.
        for at in 0..3 {
            let mut lines = lines.clone();
            lines[at].insert_str(0, &nul);
            let is_read = at == 0 || nul.len() < 70_000;
            for cut in 0..3 {
                let before = last_lines(lines[..cut].concat().as_bytes());
                let before = String::from_utf8(before).unwrap();
                let mut scanner = scanner(&[]);
                let found = scan(&mut scanner, "/log", &before, &lines[cut..].concat()).len();
                let stats = scanner.stats().to_string();
                assert_eq!(found, usize::from(is_read), "{} {at} {cut}: {stats}", nul.len());
                // The block that contains the longest part counts the line.
                let counts = !is_read && cut <= at;
                let unparsable = format!("unparsable: {}\n", u8::from(counts));
                assert!(stats.contains(&unparsable), "{} {at} {cut}: {stats}", nul.len());
            }
        }
    }
}

#[test]
fn a_line_in_json_has_the_names_of_the_container_and_the_time_of_the_driver() {
    let record =
        scan(&mut scanner(&[]), "/log", "", &docker(&format!("postfix/smtpd[7]: {FAILURE}")));
    assert_eq!(
        (&record[0]["date"], &record[0]["server"], &record[0]["service"], &record[0]["pid"]),
        (&json!("2026-06-01T00:00:45.1+00:00"), &Value::Null, &json!("postfix/smtpd"), &json!(7))
    );
    for (line, server) in [
        (format!("Jun  1 00:00:44 mx postfix/smtpd[7]: {FAILURE}"), "mx"),
        (format!("postfix/smtpd[7]: {FAILURE}"), "vm"),
    ] {
        let record = scan(&mut scanner(&[]), JOURNAL_SOURCE, "", &container(&line, 1));
        assert_eq!(
            (&record[0]["date"], &record[0]["server"], &record[0]["service"], &record[0]["pid"]),
            (
                &json!("2026-06-01T00:00:45.000000+00:00"),
                &json!(server),
                &json!("postfix/smtpd"),
                &json!(7)
            )
        );
    }
}

#[test]
fn a_line_that_dockers_journald_driver_has_cut_is_joined_or_counted() {
    let failure = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    let long = failure.replace("unknown", &"x".repeat(16_384));
    let parts = [&long[..10_000], &long[10_000..16_400], &long[16_400..]];
    let entry = |number: u32, members: Value| {
        let mut entry: Value =
            serde_json::from_str(&container(parts[number as usize], number + 1)).unwrap();
        let members = members.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(members);
        entry.as_object_mut().unwrap().insert("PRIORITY".into(), "6".into());
        entry.to_string() + "\n"
    };
    // `new` is for Docker 19.03 and later, `old` for earlier versions.
    let new = |number: u32| {
        let mut members = json!({
            "CONTAINER_PARTIAL_ID": "id", "CONTAINER_PARTIAL_ORDINAL": (number + 1).to_string(),
            "CONTAINER_PARTIAL_LAST": (number == 2).to_string(),
        });
        if number < 2 {
            members["CONTAINER_PARTIAL_MESSAGE"] = "true".into();
        }
        entry(number, members)
    };
    let old = |number: u32| {
        let part = json!({"CONTAINER_PARTIAL_MESSAGE": "true"});
        entry(number, if number < 2 { part } else { json!({}) })
    };
    let of_other_stream =
        container(&failure, 9).replace("\"_HOSTNAME\"", "\"PRIORITY\":\"3\",\"_HOSTNAME\"");
    let counts = |blocks: &[String]| {
        let mut scanner = scanner(&[]);
        let records = blocks.iter().flat_map(|block| scan(&mut scanner, JOURNAL_SOURCE, "", block));
        let found: Vec<_> = records.map(|r| r["pos"].as_str().unwrap().to_owned()).collect();
        (found, scanner.stats().to_string().contains("unparsable: 1\n"))
    };
    for parts in [[new(0), new(1), new(2)], [old(0), old(1), old(2)]] {
        let [first, middle, last] = &parts;
        let all = [first, middle, &of_other_stream, last].map(String::as_str).concat();
        assert_eq!(counts(&[all]), (vec!["ab:3".to_owned(), "ab:9".to_owned()], false));
        assert_eq!(counts(&[first.clone() + middle]), (vec![], true));
    }
    let blocks = [new(0) + &new(1), new(2)];
    assert_eq!(counts(&blocks), (vec![], true), "the rest is not read as a line");
}

#[test]
fn a_message_that_journalctl_leaves_out_is_counted_if_a_mail_server_wrote_it() {
    let line = |program: &str| format!("Jun  1 00:00:45 mx {program}[7]: [81B blob data]");
    let entry = |program: &str| {
        json!({"__REALTIME_TIMESTAMP": "1780272045000000", "SYSLOG_IDENTIFIER": program,
               "MESSAGE": null})
        .to_string()
    };
    for (program, count) in
        [("postfix/smtpd", 1), ("dovecot", 1), ("postfix/smtp", 0), ("postfix/cleanup", 0)]
    {
        for (source, line) in [("/log", line(program)), (JOURNAL_SOURCE, entry(program))] {
            let mut scanner = scanner(&[]);
            assert!(scan(&mut scanner, source, "", &line).is_empty());
            let stats = scanner.stats().to_string();
            assert!(stats.contains(&format!("unparsable: {count}\n")), "{line}: {stats}");
        }
    }
}

#[test]
fn an_entry_without_an_identifier_has_the_name_of_its_command() {
    let entry = json!({"__CURSOR": "s=ab;i=1", "__REALTIME_TIMESTAMP": "1780272045000000",
                       "_COMM": "smtpd", "MESSAGE": FAILURE});
    let record = scan(&mut scanner(&[]), JOURNAL_SOURCE, "", &(entry.to_string() + "\n"));
    assert_eq!(record[0]["service"], "smtpd");
}

#[test]
fn a_session_id_that_contains_the_name_of_a_field_is_not_the_address() {
    let text = "Jun  1 00:00:45 mx dovecot: imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<aX9rip=>\n";
    let record = scan(&mut scanner(&["--outcome=success"]), "/log", "", text);
    assert_eq!((&record[0]["ip"], &record[0]["user"]), (&json!("192.0.2.1"), &json!("a")));
}

#[test]
fn a_reason_that_only_begins_like_a_temporary_one_is_a_failure() {
    let text = "Jun  1 00:00:45 mx postfix/smtpd[7]: warning: x[192.0.2.1]: SASL PLAIN authentication failed: generic failures\n";
    assert_eq!(scan(&mut scanner(&[]), "/log", "", text)[0]["outcome"], "failure");
}

#[test]
fn a_login_has_its_queue_id_and_an_error_is_counted() {
    let line = |message: &str| format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {message}\n");
    let lines = [
        line("5A226BA054: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=a"),
        line("NOQUEUE: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=a"),
        line("warning: x[192.0.2.1]: SASL PLAIN authentication failed: Connection lost to authentication server"),
        line("warning: x[192.0.2.1]: SASL PLAIN authentication failed: generic failure"),
    ]
    .concat();
    let mut all = scanner(&["--outcome=success,failure,error"]);
    let records = scan(&mut all, "/log", "", &lines);
    let found: Vec<_> =
        records.iter().map(|r| (r["outcome"].as_str().unwrap(), &r["queue_id"])).collect();
    assert_eq!(
        found,
        [
            ("success", &json!("5A226BA054")),
            ("success", &Value::Null),
            ("error", &Value::Null),
            ("error", &Value::Null)
        ]
    );
    // Errors are counted even if they are not written.
    let mut failures = scanner(&[]);
    assert!(scan(&mut failures, "/log", "", &lines).is_empty());
    assert!(failures.stats().to_string().contains("error, PLAIN: 2\n"), "{}", failures.stats());
}

#[test]
fn an_attempt_in_an_unknown_place_is_counted_as_unreadable() {
    let dovecot = "Disconnected (auth failed, 2 attempts in 3 secs): user=<a>, method=PLAIN, rip=192.0.2.1, lip=::1";
    for line in [
        format!("Jun  1 00:00:45 mx app[7]: {FAILURE}"),
        format!("Jun  1 00:00:45 mx dovecot: imap-login(a,192.0.2.1)<x>: {dovecot}"),
        format!("Jun  1 00:00:45 mx dovecot: imap-login(a b,192.0.2.1)<x>: {dovecot}"),
        format!("Jun  1 00:00:45 mx mail/dovecot: imap-login: {dovecot}"),
        format!("Jun  1 00:00:45 mx app: server: imap-login: Info: {dovecot}"),
        format!("Jun  1 00:00:45 mx app[7]: app: {dovecot}"),
        format!("Jun  1 00:00:45 mx app: login: {dovecot}"),
        format!("Jun  1 00:00:45 mx login: {dovecot}"),
        // A file of Fluentd.
        format!(
            "2026-06-01T00:00:45Z\tmail\t{{\"ident\":\"postfix/smtpd\",\"message\":\"{FAILURE}\"}}"
        ),
        format!("2026-06-01T00:00:45Z\tmail\t{{\"message\":\"imap-login: {dovecot}\"}}"),
    ] {
        let mut scanner = scanner(&[]);
        assert!(scan(&mut scanner, "/log", "", &line).is_empty(), "{line}");
        assert!(scanner.stats().to_string().contains("unparsable: 1\n"), "{line}");
    }
    for line in [
        format!("Jun  1 00:00:45 mx dovecot: imap-login(812): {dovecot}"),
        format!("Jun  1 00:00:45 mx imap-login: {dovecot}"),
        format!("Jun  1 00:00:45 mx imap-login[812]: {dovecot}"),
        format!("Jun  1 00:00:45 mx app: dovecot: imap-login: Info: {dovecot}"),
        // A process has the name of its service, which the administrator chooses.
        format!("Jun  1 00:00:45 mx dovecot: login: {dovecot}"),
        format!("Jun  1 00:00:45 mx dovecot: login[812]: {dovecot}"),
        format!("Jun  1 00:00:45 mx dovecot-proxy: imaps_out: {dovecot}"),
        format!("Jun  1 00:00:45 mx dovecot: imap-urlauth-login: {dovecot}"),
        "Jun  1 00:00:45 mx dovecot: managesieve-login: Login aborted: x (auth failed, 2 attempts in 3 secs) (auth_failed): rip=192.0.2.1".into(),
        format!("Jun  1 00:00:45 mx dovecot: lmtp(812): {dovecot}"),
    ] {
        assert_eq!(read("", &line), one("mx", 2, 0), "{line}");
    }
}

#[test]
fn an_attempt_in_json_without_a_known_program_is_counted_as_unreadable() {
    let line = json!({"PROGRAM": "postfix/smtpd", "HOST": "mx", "MESSAGE": FAILURE}).to_string();
    let mut scanner = scanner(&[]);
    assert!(scan(&mut scanner, JOURNAL_SOURCE, "", &line).is_empty());
    assert!(scanner.stats().to_string().contains("unparsable: 1\n"), "{}", scanner.stats());
}

#[test]
fn a_line_of_the_other_stream_may_come_between_parts() {
    let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45.1Z {tag} {text}\n");
    let failure = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {FAILURE}");
    let (first, rest) = failure.split_at(90);
    let object = |text: &str| docker(text).replace(r"\n", "");
    let long = failure.replace("unknown", &"x".repeat(16_384));
    let (start, end) = long.split_at(16_384);
    for [first, between, last] in [
        [part("stdout P", first), part("stderr F", "other"), part("stdout F", rest)],
        [object(start), docker("other").replace("stdout", "stderr"), docker(end)],
    ] {
        let at = first.len() + between.len();
        let lines = first.clone() + &between + &last;
        for cut in [0, first.len(), at] {
            assert_eq!(read(&lines[..cut], &lines[cut..]), one("mx", 1, at), "{lines}");
        }
        let mut scanner = scanner(&[]);
        scan(&mut scanner, "/log", "", &lines);
        assert!(scanner.stats().to_string().contains("unparsable: 0\n"), "{}", scanner.stats());
    }
}

#[test]
fn names_of_clients_are_not_read_as_a_login_process() {
    let dovecot = "Disconnected (auth failed, 2 attempts): user=<a>, method=PLAIN, rip=192.0.2.66";
    for line in [
        format!("Jun  1 00:00:45 mx dovecot: auth: passwd-file(x: {dovecot},192.0.2.1): unknown user"),
        format!("Jun  1 00:00:45 mx dovecot: imap(x: {dovecot})<7><y>: Disconnected: Logged out"),
        "Jun  1 00:00:45 mx dovecot: pop3(812): Disconnected: Logged out top=0/0, rip=192.0.2.1 (auth failed".into(),
        format!("Jun  1 00:00:45 mx app[7]: said {dovecot}"),
    ] {
        let mut scanner = scanner(&[]);
        assert!(scan(&mut scanner, "/log", "", &line).is_empty(), "{line}");
        assert!(scanner.stats().to_string().contains("unparsable: 0\n"), "{line}");
    }
}

#[test]
fn a_login_is_read_whatever_its_service_is_called() {
    for line in [
        "Jun  1 00:00:45 mx dovecot: login: Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=::1",
        "Jun  1 00:00:45 mx dovecot: imaps: Logged in: user=<a>, method=PLAIN, rip=192.0.2.1",
        "Jun  1 00:00:45 login: Info: Login: user=<a>, method=PLAIN, rip=192.0.2.1",
    ] {
        let records = scan(&mut scanner(&["--outcome=success"]), "/log", "", line);
        assert_eq!(records.len(), 1, "{line}");
    }
}
