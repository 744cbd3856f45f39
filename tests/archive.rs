//! Old logs: time stamps without years, and positions that identify a line in every copy of a log.
//! Also checks the schema of the records.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::process::Output;
use std::time::{Duration, SystemTime};

use flate2::{Compression, GzBuilder};
use mls_event::schema;
use mls_state::cursor_file::sha256;
use mls_tests::{Site, text};
use proptest::prelude::*;
use serde_json::Value;

const JUNE: &str = "\
Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=a
Jun  3 10:00:00 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=b
";

const PARSE: &str = "mls-parse --timezone UTC";

/// Returns noon UTC of a date, in seconds since 1970.
fn time(date: &str) -> u32 {
    let date = chrono::DateTime::parse_from_rfc3339(&format!("{date}T12:00:00Z")).unwrap();
    date.timestamp().try_into().unwrap()
}

fn gzip(content: &str, mtime: u32) -> Vec<u8> {
    gzip_bytes(content.as_bytes(), mtime)
}

fn gzip_bytes(content: &[u8], mtime: u32) -> Vec<u8> {
    let mut member = GzBuilder::new().mtime(mtime).write(Vec::new(), Compression::fast());
    member.write_all(content).unwrap();
    member.finish().unwrap()
}

/// Writes a file and sets its modification time to `changed`.
fn put(site: &Site, name: &str, content: &[u8], changed: u32) {
    let path = site.path().join(name);
    fs::write(&path, content).unwrap();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.into());
    File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
}

fn years(output: &Output) -> Vec<String> {
    let date = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["date"].as_str().map(|date| date[..4].to_owned())
    };
    text(&output.stdout).lines().filter_map(date).collect()
}

#[test]
fn the_year_comes_from_the_gzip_header_or_from_the_file_whichever_is_older() {
    let site = Site::new();
    for (header, changed, year) in [
        // The gzip header has the old time, but the copy has a new time.
        ("2024-06-04", "2026-06-20", "2024"),
        // The gzip header has a new time, but the file has its old time.
        ("2026-06-20", "2024-06-04", "2024"),
        ("2023-06-04", "2023-06-04", "2023"),
    ] {
        put(&site, "old.gz", &gzip(JUNE, time(header)), time(changed));
        let output = site.shell(&format!("mls-tail --framed --no-rotated old.gz | {PARSE}"));
        assert_eq!(years(&output), [year, year], "{header} {changed}");
        assert_eq!(text(&output.stderr), "");
    }
    // The header has no time (0), or a constant that means no time (1).
    for mtime in [0, 1] {
        put(&site, "old.gz", &gzip(JUNE, mtime), time("2024-06-04"));
        let output = site.shell(&format!("mls-tail --framed --no-rotated old.gz | {PARSE}"));
        assert_eq!(years(&output), ["2024", "2024"]);
    }
}

#[test]
fn each_member_of_a_gzip_file_has_its_own_year() {
    let site = Site::new();
    let members = [gzip(JUNE, time("2023-06-04")), gzip(JUNE, time("2024-06-04"))].concat();
    put(&site, "old.gz", &members, time("2026-06-20"));
    let output = site.shell(&format!("mls-tail --framed --no-rotated old.gz | {PARSE}"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let years = years(&output);
    assert_eq!(years.len(), 4);
    // If lines of two gzip members are read together, all of them get the time of the newer member.
    assert!(years.iter().all(|year| year == "2023" || year == "2024"), "{years:?}");
    assert_eq!(years[2..], ["2024", "2024"]);
}

#[test]
fn the_year_comes_from_the_file_on_standard_input() {
    let site = Site::new();
    put(&site, "old", JUNE.as_bytes(), time("2024-06-04"));
    let output = site.shell(&format!("{PARSE} < old"));
    assert_eq!(years(&output), ["2024", "2024"]);
    assert_eq!(text(&output.stderr), "");
    let output = site.shell(&format!("{PARSE} --reference-time 2023-07-01T00:00:00Z < old"));
    assert_eq!(years(&output), ["2023", "2023"]);
}

#[test]
fn an_unknown_year_is_assumed_with_a_warning() {
    let site = Site::new();
    put(&site, "old", JUNE.as_bytes(), time("2024-06-04"));
    let output = site.shell(&format!("cat old | {PARSE}"));
    assert!(output.status.success());
    let years = years(&output);
    let complaints = text(&output.stderr);
    let warnings: Vec<&str> = complaints.lines().collect();
    let mut assumed = years.clone();
    assumed.dedup();
    assert_eq!(warnings.len(), assumed.len(), "{warnings:?}");
    for (warning, year) in warnings.iter().zip(assumed) {
        assert!(
            warning.contains(&format!("{year} is assumed; give --reference-time")),
            "{warning}"
        );
    }
    let output = site.shell(&format!("cat old | {PARSE} --reference-time 2024-07-01T00:00:00Z"));
    assert_eq!(text(&output.stderr), "");
    // Lines of other programs and stamps with a year need no reference time.
    let other = "printf 'Jun  1 00:00:45 vm cron[7]: x\\nJun  1 2024 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: \
                 SASL LOGIN authentication failed: x\\n'";
    let output = site.shell(&format!("{other} | {PARSE} --require-year"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn an_unknown_year_is_an_error_if_years_are_required() {
    let site = Site::new();
    let with_year = JUNE.replace("Jun  1 ", "Jun  1 2024 ");
    put(&site, "old", with_year.as_bytes(), time("2024-06-04"));
    let output = site.shell(&format!("cat old | {PARSE} --require-year"));
    assert_eq!(output.status.code(), Some(65));
    // The first line has a year, so its record was printed.
    assert_eq!(years(&output), ["2024"]);
    let offset = with_year.find("Jun  3").unwrap();
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains(&format!("stdin, byte {offset}: time stamps have no year")),
        "{complaint}"
    );
    let output = site.shell(&format!("{PARSE} --require-year < old"));
    assert_eq!((output.status.code(), years(&output).len()), (Some(0), 2));
}

/// Reads one file without its rotated files. Returns a map from each position to its record without
/// `pos`.
fn by_position(site: &Site, name: &str) -> BTreeMap<String, Value> {
    let pipeline = format!(
        "mls-tail --framed --no-rotated '{name}' | {PARSE} --outcome failure,success,aborted,error"
    );
    let output = site.shell(&pipeline);
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    let mut records = BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        if let Some(Value::String(pos)) = record.as_object_mut().unwrap().remove("pos") {
            assert!(records.insert(pos.clone(), record).is_none(), "{pos} names two lines");
        }
    }
    records
}

/// A line of a log: a failed login or any other text.
fn line() -> impl Strategy<Value = String> {
    const HEAD: &str = "2026-06-01T00:00:45+00:00 vm postfix/smtpd[7]: ";
    prop_oneof![
        "[a-z@.é]{1,40}".prop_map(|user| format!(
            "{HEAD}warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username={user}"
        )),
        "[ -~]{0,200}".prop_map(|words| format!("{HEAD}{words}")),
        "[ -~]{0,6000}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_line_has_one_position_in_every_copy_of_its_file(
        lines in prop::collection::vec(line(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let site = Site::new();
        let log = lines.concat_lines();
        let changed = time("2026-06-04");
        put(&site, "mail.log", log.as_bytes(), changed);
        let whole = by_position(&site, "mail.log");

        // The position is a hash of the first line and the offset: see mls-event(5).
        let first = log.lines().next().unwrap().as_bytes();
        let generation = sha256(&first[..first.len().min(4096)]);
        let mut offset = 0;
        for line in log.split_inclusive('\n') {
            let user = line.split_once("sasl_username=").map(|(_, user)| user.trim_end());
            if let Some(user) = user {
                let record = whole.get(&format!("{}:{offset}", &generation[..16]));
                prop_assert_eq!(record.map(|record| &record["user"]), Some(&Value::from(user)));
            }
            offset += line.len();
        }

        // Three copies: a plain file, a gzip file, and a gzip file with two members.
        let (head, tail) = log.as_bytes().split_at(cut.index(log.len()));
        let members = [head, tail].map(|part| gzip_bytes(part, changed)).concat();
        put(&site, "mail.log.1", log.as_bytes(), changed);
        put(&site, "mail.log.2.gz", &gzip(&log, changed), changed);
        put(&site, "mail.log.3.gz", &members, changed);
        for copy in ["mail.log.1", "mail.log.2.gz", "mail.log.3.gz"] {
            prop_assert_eq!(&by_position(&site, copy), &whole, "{}", copy);
        }

        // Copies without the end of the log: the positions of their whole lines must not change.
        // Half a line at the end of a plain file is not read.
        put(&site, "cut", head, changed);
        let mut damaged = gzip(&log, changed);
        damaged.truncate(damaged.len() - 8 - cut.index(damaged.len() - 17));
        put(&site, "damaged.gz", &damaged, changed);
        for copy in ["cut", "damaged.gz"] {
            for (pos, record) in by_position(&site, copy) {
                prop_assert_eq!(Some(&record), whole.get(&pos), "{}: {}", copy, pos);
            }
        }
    }
}

trait Lines {
    fn concat_lines(&self) -> String;
}

impl Lines for Vec<String> {
    fn concat_lines(&self) -> String {
        self.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

#[test]
fn every_record_of_a_tool_fits_the_schema_and_the_schema_names_each_member() {
    // mls-tail writes its segment records between raw lines, so keep only the records.
    let segments = "mls-tail --framed --no-rotated logins.log | grep -a '^{\"v\"'";
    let site = Site::new();
    let log = include_str!("data/postfix-3.7.11-debian12.log");
    site.write("mail.log", log);
    site.write(
        "logins.log",
        "Jun  1 00:00:45 vm postfix/submission/smtpd[7]: 4bXyZ01234567: client=x[192.0.2.1]:1025, \
                              sasl_method=PLAIN, sasl_username=a\n",
    );
    let document = schema::document();
    let schema = jsonschema::validator_for(&document).unwrap();
    let (mut types, mut members) = (BTreeMap::new(), BTreeMap::new());
    let enrich = "mls-enrich --no-dns --country-db c.csv --asn-db a.csv";
    for pipeline in [
        "mls-tail --framed mail.log | mls-parse --outcome failure,success,aborted,error".to_owned(),
        segments.to_owned(),
        format!(
            "mls-tail --framed --no-rotated logins.log | mls-parse --outcome success | {enrich}"
        ),
        format!(
            "mls-parse --outcome failure,error < mail.log | {enrich} | mls-csv | mls-csv --decode"
        ),
        format!("mls-parse < mail.log | {enrich} | mls-alert --ip 2/10m --user 2/10m --total 9/1h"),
        format!(
            "mls-parse < mail.log | {enrich} | mls-sql load --url sqlite:events.db && mls-sql dump --url sqlite:events.db"
        ),
    ] {
        let output = site.shell(&pipeline);
        assert!(output.status.success(), "{pipeline}: {}", text(&output.stderr));
        for line in text(&output.stdout).lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            if let Err(error) = schema.validate(&record) {
                panic!("{pipeline}: {error}: {line}");
            }
            let kind = record["type"].as_str().unwrap();
            let described = &document["$defs"][kind]["properties"];
            for (member, value) in record.as_object().unwrap() {
                assert!(
                    member == "v" || member == "type" || described[member].is_object(),
                    "{pipeline}: {member}: {line}"
                );
                *members.entry(member.clone()).or_insert(0) += u64::from(!value.is_null());
            }
            *types.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    let expected = ["alert", "auth", "begin", "checkpoint", "end", "segment"];
    assert_eq!(types.keys().collect::<Vec<_>>(), expected);
    for member in ["port", "queue_id", "pos", "country_code", "asn", "aso", "threshold", "user"] {
        assert!(members.get(member).is_some_and(|count| *count > 0), "no record has {member}");
    }
}

#[test]
fn the_schema_refuses_other_objects() {
    let schema = jsonschema::validator_for(&schema::document()).unwrap();
    let record = r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","server":null,"service":null,"pid":7,"outcome":"failure",
        "attempts":1,"mechanism":null,"ip":null,"client":null,"user":null,"reason":null}"#;
    let good: Value = serde_json::from_str(record).unwrap();
    assert!(schema.is_valid(&good));
    for (member, value) in [
        ("v", Value::from(2)),
        ("pid", Value::from("7")),
        ("pid", Value::from(-1)),
        ("attempts", Value::from(0)),
        ("outcome", Value::from("failed")),
        ("date", Value::Null),
        ("port", Value::Null),
        // A record has all five members that mls-enrich adds, or none of them.
        ("asn", Value::from(64_496)),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(!schema.is_valid(&bad), "{bad}");
    }
}
