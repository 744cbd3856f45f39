//! The contract as a consumer sees it. A second declaration of the records refuses members that the
//! specification does not name. Arbitrary records are written and read back.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

use chrono::DateTime;
use mls_event::{
    Alert, AlertKind, Auth, Begin, Body, Checkpoint, Column, End, Enrichment, Finding, Gap,
    Members, Outcome, Record, Rule, Segment, Timestamp,
};
use proptest::prelude::*;
use serde::Deserialize;

/// A second declaration of the specification. Only members with `default` may be missing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading is the check")]
struct StrictAuth {
    v: u8,
    r#type: String,
    date: String,
    server: Present<String>,
    service: Present<String>,
    pid: Present<u32>,
    outcome: String,
    attempts: u32,
    mechanism: Present<String>,
    ip: Present<String>,
    #[serde(default)]
    port: Option<u16>,
    client: Present<String>,
    user: Present<String>,
    reason: Present<String>,
    #[serde(default)]
    queue_id: Option<String>,
    #[serde(default)]
    pos: Option<String>,
    #[serde(flatten)]
    enrichment: Option<StrictEnrichment>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "reading is the check")]
struct StrictEnrichment {
    hostname: Present<String>,
    reverse_dns_status: Present<String>,
    country_code: Present<String>,
    asn: Present<u32>,
    aso: Present<String>,
}

/// A member that must be present, possibly null. serde allows a plain `Option` to be missing.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Present<T> {
    Value(T),
    Null(()),
}

fn text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of("\\PC*|.*|[\"\\\\,=']{1,8}".prop_map(Cow::Owned))
}

fn timestamp() -> impl Strategy<Value = Timestamp<'static>> {
    (0i64..4_000_000_000, 0u32..1_000_000_000, -50_000i32..50_000).prop_map(|(s, ns, offset)| {
        let zone = chrono::FixedOffset::east_opt(offset / 60 * 60).unwrap();
        DateTime::from_timestamp(s, ns).unwrap().with_timezone(&zone).into()
    })
}

prop_compose! {
    fn enrichment()(
        hostname in text(), reverse_dns_status in text(), country_code in text(), asn in any::<Option<u32>>(), aso in text()
    ) -> Enrichment<'static> {
        Enrichment { hostname, reverse_dns_status, country_code, asn, aso }
    }
}

prop_compose! {
    fn auth()(
        date in timestamp(), server in text(), service in text(), mechanism in text(), client in text(),
        user in text(), reason in text(), queue_id in text(), pos in text(), pid in any::<Option<u32>>(), port in any::<Option<u16>>(),
        ip in any::<Option<IpAddr>>(), attempts in 1u32.., enrichment in prop::option::of(enrichment()),
        outcome in prop::sample::select(Outcome::ALL.to_vec()),
    ) -> Auth<'static> {
        let ip = ip.map(|ip| ip.to_canonical());
        Auth { date, server, service, pid, outcome, attempts, mechanism, ip, port, client, user, reason, queue_id, pos, enrichment }
    }
}

prop_compose! {
    fn alert()(
        date in timestamp(), kind in prop::sample::select(AlertKind::ALL.to_vec()), key in text(),
        attempts in any::<Option<u64>>(), threshold in text(), server in text(), ip in any::<Option<IpAddr>>(), user in text(),
        country_code in text(), asn in any::<Option<u32>>(), aso in text(), hostname in text(), evidence in text(),
    ) -> Alert<'static> {
        let ip = ip.map(|ip| ip.to_canonical());
        Alert { date, kind, key, attempts, threshold, server, ip, user, country_code, asn, aso, hostname, evidence }
    }
}

fn line(body: &impl Body) -> Vec<u8> {
    let mut out = Vec::new();
    body.write_line(&mut out);
    out
}

proptest! {
    #[test]
    fn an_auth_record_reads_back_as_itself(auth in auth()) {
        let line = line(&auth);
        let head = line.starts_with(br#"{"v":1,"type":"auth","date":""#);
        prop_assert!(head);
        prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(Record::parse(&line).unwrap(), Record::Auth(auth));
    }

    #[test]
    fn members_in_any_order_and_among_others_are_read(auth in auth(), alert in alert()) {
        for (line, record) in [
            (line(&auth), Record::Auth(auth.clone())),
            (line(&alert), Record::Alert(alert.clone())),
        ] {
            let members = Members::parse(&line).unwrap();
            let mut shuffled = "{\"other\":[1,{\"ip\":2}]".to_owned();
            for (name, value) in members.as_slice().iter().rev() {
                write!(shuffled, ", \"{name}\" : {}", value.get()).unwrap();
            }
            shuffled.push('}');
            prop_assert_eq!(Record::parse(shuffled.as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn an_alert_reads_back_as_itself(alert in alert()) {
        let line = line(&alert);
        let head = line.starts_with(br#"{"v":1,"type":"alert","date":""#);
        prop_assert!(head);
        prop_assert_eq!(Record::parse(&line).unwrap(), Record::Alert(alert));
    }

    #[test]
    fn the_strict_consumer_knows_every_member_written(auth in auth()) {
        let strict: StrictAuth = serde_json::from_slice(&line(&auth)).unwrap();
        prop_assert_eq!(strict.enrichment.is_some(), auth.enrichment.is_some());
        prop_assert_eq!(strict.port, auth.port);
    }

    #[test]
    fn control_records_read_back_as_themselves(
        base in any::<u64>(), source in ".*", generation in ".*", offset in any::<u64>(), length in any::<u64>(),
        mtime in timestamp(), known in any::<bool>(),
    ) {
        let begin = Begin { base };
        let written = line(&begin);
        prop_assert_eq!(Record::parse(&written).unwrap(), Record::Begin(begin));
        let cursor = serde_json::json!({ "source": source, "offset": offset });
        let checkpoint = Checkpoint { cursor };
        let written = line(&checkpoint);
        prop_assert_eq!(Record::parse(&written).unwrap(), Record::Checkpoint(checkpoint));
        let gap = Gap {
            source: source.clone(),
            generation: known.then(|| generation.clone()),
            offset: known.then_some(offset),
            reason: "vanished".into(),
        };
        let written = line(&gap);
        prop_assert_eq!(Record::parse(&written).unwrap(), Record::Gap(gap));
        let segment = Segment { source, generation, offset, length, mtime, before: String::new() };
        let written = line(&segment);
        prop_assert_eq!(Record::parse(&written).unwrap(), Record::Segment(segment));
    }

    #[test]
    fn no_bytes_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::parse(&bytes);
        let _ = Members::parse(&bytes);
    }

    #[test]
    fn members_pass_through_byte_for_byte(auth in auth()) {
        let line = line(&auth);
        let mut out = Vec::new();
        Members::parse(&line).unwrap().write_open(&mut out);
        out.extend_from_slice(b"}\n");
        prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(line).unwrap());
    }
}

#[test]
fn the_end_record_has_no_members_of_its_own() {
    assert_eq!(line(&End {}), b"{\"v\":1,\"type\":\"end\"}\n");
}

#[test]
fn a_strict_consumer_refuses_a_member_that_is_missing_or_unknown() {
    let written = String::from_utf8(line(&Auth::new(
        Timestamp::parse("2026-11-21T07:11:22Z").unwrap(),
        Outcome::Failure,
    )))
    .unwrap();
    assert!(serde_json::from_str::<StrictAuth>(&written).is_ok());
    assert!(serde_json::from_str::<StrictAuth>(&written.replace("\"user\":null,", "")).is_err());
    let with_more = written.replace("\"user\":null", "\"user\":null,\"password\":null");
    assert!(serde_json::from_str::<StrictAuth>(&with_more).is_err());
}

#[test]
fn values_of_unknown_members_are_not_rewritten() {
    let line =
        br#"{"v":1,"type":"auth","big":1e400,"date":"x","esc":"\u00e9\/","nested":{"a":[1, 2]}}"#;
    let mut members = Members::parse(line).unwrap();
    members.remove(&["date"]);
    let mut out = Vec::new();
    members.write_open(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"v":1,"type":"auth","big":1e400,"esc":"\u00e9\/","nested":{"a":[1, 2]}"#
    );
}

#[test]
fn members_in_another_order_and_mapped_addresses_are_read() {
    let line =
        br#"{"type":"auth", "v":1, "ip":"::ffff:192.0.2.7", "outcome":"failure", "date":"2026-06-01T00:00:45+02:00"}"#;
    let Record::Auth(auth) = Record::parse(line).unwrap() else { panic!("not an auth record") };
    assert_eq!(auth.ip.unwrap().to_string(), "192.0.2.7");
    assert_eq!(auth.attempts, 1);
}

#[test]
fn a_later_version_is_refused_and_an_unknown_type_is_kept() {
    let error = Record::parse(br#"{"v":2,"type":"auth"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record has version 2, but this tool reads version 1; update this tool"
    );
    assert_eq!(
        Record::parse(br#"{"v":1,"type":"weather","x":1}"#).unwrap(),
        Record::Other("weather".into())
    );
}

#[test]
fn the_message_about_a_line_that_is_not_an_object_says_so() {
    for line in [
        "2026-11-21T07:11:22+00:00 vm postfix/smtpd[7]: x",
        "Jun  1 00:00:45 vm x",
        "",
        "7",
        "[]",
        "\u{1f}",
    ] {
        assert_eq!(
            Record::parse(line.as_bytes()).unwrap_err().to_string(),
            "not a JSON object",
            "{line}"
        );
        assert_eq!(
            Members::parse(line.as_bytes()).unwrap_err().to_string(),
            "not a JSON object",
            "{line}"
        );
    }
    assert_eq!(Record::parse(b" \t{\"v\":1,\"type\":\"end\"}").unwrap(), Record::End(End {}));
    assert!(Record::parse(b"{").unwrap_err().to_string().contains("EOF"));
}

/// The names in the first column of the tables of a section.
fn documented(section: &str) -> Vec<&'static str> {
    let text = include_str!("../src/lib.rs");
    let (_, rest) = text.split_once(&format!("//! # {section}")).unwrap();
    let section = rest.split("\n//! # ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next()).collect()
}

#[test]
fn the_specification_names_every_member_and_column_in_order() {
    let mut of_auth = documented("`auth`");
    let of_enrich = of_auth.split_off(Auth::MEMBERS.len());
    assert_eq!(of_auth, Auth::MEMBERS);
    assert_eq!(of_enrich, Enrichment::MEMBERS);
    assert_eq!(documented("`alert`"), Alert::MEMBERS);
    let text = include_str!("../src/lib.rs").replace("\n//!", "");
    let columns = Column::ALL.map(|column| format!("`{}`", column.name())).join(", ");
    assert!(text.contains(&format!("in this order: {columns}.")));
    for outcome in Outcome::ALL {
        assert!(text.contains(&format!("`{}`", outcome.name())), "{outcome:?}");
    }
    for kind in AlertKind::ALL {
        assert!(text.contains(&format!("`{}`", kind.name())), "{kind:?}");
    }
}

#[test]
fn every_column_is_a_member_of_an_auth_record() {
    for column in Column::ALL {
        let name = column.name();
        assert!(Auth::MEMBERS.contains(&name) || Enrichment::MEMBERS.contains(&name), "{name}");
        assert_eq!(Column::from_name(name), Some(column));
    }
    assert_eq!(Column::HEADER, Column::ALL.map(Column::name).join(","));
    assert_eq!(Column::from_name("pid"), None);
}

#[test]
fn a_wrong_or_missing_member_is_named() {
    for (members, message) in [
        (r#""outcome":"failure""#, "member date: it is missing"),
        (r#""date":"2026-06-01T00:00:45Z""#, "member outcome: it is missing"),
        (
            r#""date":"2026-06-01T00:00:45Z","outcome":"failure","pid":"x""#,
            "member pid: invalid type: string \"x\", expected u32",
        ),
        (
            r#""date":"2026-06-01T00:00:45Z","outcome":"failure","attempts":0"#,
            "member attempts: invalid value: integer `0`, expected a nonzero u32",
        ),
    ] {
        let line = format!(r#"{{"v":1,"type":"auth",{members}}}"#);
        assert_eq!(Record::parse(line.as_bytes()).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_suspicious_login_becomes_an_alert_about_its_user() {
    let json = r#"{"rule":"guessed","user":"a\"b","ip":"192.0.2.7","date":"2026-06-01T00:00:45+02:00","country_code":"FR","asn":null,"aso":null,"evidence":"40 other names failed"}"#;
    let finding: Finding<'_> = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&finding).unwrap(), json);
    assert_eq!(finding.rule, Rule::Guessed);
    let alert = String::from_utf8(line(&Alert::from(finding))).unwrap();
    assert_eq!(
        alert,
        concat!(
            r#"{"v":1,"type":"alert","date":"2026-06-01T00:00:45+02:00","kind":"guessed","key":"a\"b","attempts":null,"#,
            r#""threshold":null,"ip":"192.0.2.7","user":"a\"b","country_code":"FR","evidence":"40 other names failed"}"#,
            "\n"
        )
    );
}
