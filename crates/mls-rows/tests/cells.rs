//! Writes rows and reads them back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::borrow::Cow;
use std::net::IpAddr;

use mls_event::{Auth, Enrichment, Outcome, Timestamp, clean};
use mls_rows::cell::{self, Unknown};
use mls_rows::row::{self, Decoder, Style};
use proptest::prelude::*;

fn style() -> Style {
    Style { outcome: Outcome::Failure, zone: "UTC".parse().unwrap(), seconds: true }
}

fn line(event: &Auth<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    row::write(&mut line, event, style());
    line
}

/// Text with everything that is difficult in a CSV. The only control characters are tab and carriage
/// return.
fn text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    let nasty = prop::sample::select(vec![
        "",
        "null",
        "N/A",
        "'",
        "''",
        "=1+1",
        "@x",
        "a,b",
        "a\"b",
        "\"",
        "'null",
        " ",
        ",",
        " x ",
        "\t=1",
        "a\r",
        "␉",
        "␛\t",
        "␛␛␍",
    ]);
    prop_oneof![
        Just(None),
        nasty.prop_map(|t| Some(t.into())),
        ".*|['=+@\"-].*|[;,|='＝ \"a+-]{0,9}"
            .prop_map(|t| Some(clean(t.as_bytes()).into_owned().into())),
        "[\t\r␉␍␛␊;,'=a]{0,9}".prop_map(|t| Some(t.into())),
    ]
}

proptest! {
    #[test]
    fn any_event_is_read_back_from_its_nine_columns(
        seconds in 0i64..4_000_000_000, server in text(), ip in any::<Option<IpAddr>>(), user in text(), hostname in text(),
        reverse_dns_status in text(), country_code in text(), asn in any::<Option<u32>>(), aso in text(),
    ) {
        let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap().fixed_offset();
        let mut event = Auth::new(Timestamp::from(at), Outcome::Failure);
        (event.server, event.user, event.ip) = (server, user, ip);
        event.enrichment = Some(Enrichment { hostname, reverse_dns_status, country_code, asn, aso });
        let line = line(&event);
        prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        let mut decoder = Decoder::new(style().zone);
        prop_assert_eq!(decoder.decode(&line).unwrap().unwrap(), event);
    }

    #[test]
    fn decoder_never_panics_and_a_bad_row_does_not_change_the_next(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(style().zone);
        let _ = decoder.decode(&bytes);
        let good = b"h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A";
        let event = decoder.decode(good).unwrap().unwrap();
        prop_assert_eq!(event.user.as_deref(), Some("u"));
    }
}

proptest! {
    #[test]
    fn a_row_split_at_any_separator_has_no_part_that_begins_like_a_formula(user in "[;,|=＝＋－＠' \"a+\t@\r-]{0,12}") {
        let mut event = Auth::new(Timestamp::parse("2026-11-21T07:40:14Z").unwrap(), Outcome::Failure);
        event.user = Some(user.into());
        let line = String::from_utf8(line(&event)).unwrap();
        for part in line.trim_end_matches('\n').split([',', ';', '\t', '\r']) {
            let first = part.trim_start_matches([' ', '"']).chars().next().unwrap_or('a');
            prop_assert!(!"=+-@＝＋－＠".contains(first), "{}", line);
        }
    }
}

#[test]
fn only_parts_that_could_be_formulas_get_an_apostrophe() {
    for (text, cell) in [
        ("x;=cmd|' /C calc'!A0", "x;'=cmd|' /C calc'!A0"),
        ("＝1+1", "'＝1+1"),
        ("a, -1", "a,' -1"),
        ("a;\"=1", "a;'\"=1"),
        ("a;'b", "a;''b"),
        ("Orange - S.A., Paris", "Orange - S.A., Paris"),
        ("o'neill@example.com", "o'neill@example.com"),
        ("\t=1", "␉=1"),
        ("a;\t=1\r", "a;␉=1␍"),
        ("␉␛x", "␛␉␛␛x"),
        ("\t␉", "␉␛␉"),
    ] {
        assert_eq!(cell::encode(Some(text), Unknown::Null), cell);
        assert_eq!(cell::decode(cell).as_deref(), Some(text));
    }
}

#[test]
fn a_formula_is_written_as_text_and_a_newline_as_a_question_mark() {
    let mut event = Auth::new(Timestamp::parse("2026-11-21T07:40:14Z").unwrap(), Outcome::Failure);
    event.user = Some("=cmd|' /C calc'!A0".into());
    event.server = Some("vm\nforged,row".into());
    assert_eq!(
        String::from_utf8(line(&event)).unwrap(),
        "\"vm?forged,row\",2026-11-21 07:40:14,N/A,'=cmd|' /C calc'!A0,null,N/A,N/A,N/A,N/A\n"
    );
}

#[test]
fn a_date_outside_the_allowed_years_in_its_zone_becomes_the_nearest_allowed_date() {
    for (date, cell) in [
        ("9999-12-31T23:59:58-12:00", "9999-12-31 23:59:59"),
        ("0000-01-01T00:00:01+12:00", "0000-01-01 00:00:00"),
    ] {
        let written = line(&Auth::new(Timestamp::parse(date).unwrap(), Outcome::Failure));
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.split(',').nth(1), Some(cell), "{date}");
        assert!(
            Decoder::new(style().zone).decode(written.trim_end().as_bytes()).unwrap().is_some()
        );
    }
}

#[test]
fn a_bad_row_is_refused_with_the_name_of_its_bad_column() {
    let mut decoder = Decoder::new(style().zone);
    for (line, why) in [
        ("a,b,c", "3 instead of 9 columns"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A,x", "more than 9 columns"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A,1,2,3", "more than 9 columns"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A\ro", "a carriage return outside"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A\r\r", "a carriage return outside"),
        ("h,2026-06-01 00:00,192.0.2.1,\"u,null,N/A,N/A,N/A,N/A", "4 instead of 9 columns"),
        ("h,01/06/2026 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A", "date"),
        ("h,2026-06-01 00:00,192.0.2.256,u,null,N/A,N/A,N/A,N/A", "192.0.2.256"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,AS1,N/A", "asn"),
    ] {
        let error = decoder.decode(line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{line}: {error}");
    }
    assert!(
        decoder
            .decode(b"server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\r\n")
            .unwrap()
            .is_none()
    );
}

#[test]
fn rows_of_every_legacy_release_are_read() {
    let mut decoder = Decoder::legacy(style().zone);
    for header in
        ["server;date;ip;user;hostname\r\n", "server;date;ip;user;hostname;reverse_dns_status\r\n"]
    {
        assert!(decoder.decode(header.as_bytes()).unwrap().is_none());
    }
    let mut read = |row: &str| {
        let event = decoder.decode(row.as_bytes()).unwrap().unwrap();
        let added = event.enrichment.clone().unwrap();
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let texts = [
            event.server.clone(),
            event.user.clone(),
            added.hostname,
            added.country_code,
            added.aso,
        ]
        .map(text);
        (
            event.date.to_string(),
            event.ip.unwrap().to_string(),
            texts,
            text(added.reverse_dns_status),
            added.asn,
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let (date, ip) = (String::from("2025-03-15T10:00:00+00:00"), String::from("192.0.2.7"));
    assert_eq!(
        read("mx1;15/03/2025 10:00;192.0.2.7;'x@example.com;null\r\n"),
        (
            date.clone(),
            ip.clone(),
            [some("mx1"), some("'x@example.com"), None, None, None],
            None,
            None
        )
    );
    assert_eq!(
        read("mx1;15/03/2025 10:00;192.0.2.7;N/A;null;Timeout\r\n"),
        (
            date.clone(),
            ip.clone(),
            [some("mx1"), some("N/A"), None, None, None],
            some("Errno 2"),
            None
        )
    );
    assert_eq!(
        read(
            "mx1;15/03/2025 10:00;192.0.2.7;\"a;\"\"b\"\"\";h.example;OK;FR;AS3215;Orange S.A.\r\n"
        ),
        (
            date,
            ip,
            [some("mx1"), some("a;\"b\""), some("h.example"), some("FR"), some("Orange S.A.")],
            some("OK"),
            Some(3215)
        )
    );
    for (was, is) in [
        ("Errno 1", "Errno 1"),
        ("Errno 4", "Errno 4"),
        ("Errno -2", "Errno 1"),
        ("Errno -3", "Errno 2"),
        ("Errno -4", "Errno 3"),
        ("Errno -5", "Errno 4"),
        ("Failed (Unknown)", "Errno 3"),
        ("Errno 110", "Errno 110"),
    ] {
        let row = format!("mx1;15/03/2025 10:00;192.0.2.7;u;null;{was};N/A;N/A;N/A\r\n");
        assert_eq!(read(&row).3, some(is), "{was}");
    }
}

#[test]
fn a_bad_legacy_row_is_refused_with_the_name_of_its_bad_column() {
    let mut decoder = Decoder::legacy(style().zone);
    for (row, why) in [
        ("mx1;2025-03-15 10:00;192.0.2.7;u;null;OK", "date"),
        ("mx1;31/02/2025 10:00;192.0.2.7;u;null;OK", "31/02/2025"),
        ("mx1;15/03/2025 10:00;999.0.2.7;u;null;OK", "999.0.2.7"),
        ("mx1;15/03/2025 10:00;192.0.2.7;u;null;OK;FR", "7 instead of 5, 6 or 9 columns"),
        ("mx1;15/03/2025 10:00;192.0.2.7;u;null;OK;FR;x;y", "asn"),
        ("mx1,2025-03-15 10:00,192.0.2.7,u,null,OK,FR,1,y", "the row has 1 "),
    ] {
        let error = decoder.decode(row.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{row}: {error}");
    }
    let _ = decoder.decode("mx1;15/03/2025 10:00;192.0.2.7;\"u;null".as_bytes()).unwrap_err();
    assert!(decoder.decode(b"mx1;15/03/2025 10:00;192.0.2.7;u;null").unwrap().is_some());
}
