//! Rows read back as the events they were written from.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::borrow::Cow;
use std::net::IpAddr;

use mls_csv::row::{self, Decoder, Style};
use mls_event::{Auth, Enrichment, Outcome, Timestamp, clean};
use proptest::prelude::*;

fn style() -> Style {
    Style { zone: "UTC".parse().unwrap(), seconds: true }
}

fn line(event: &Auth<'_>) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    row::write(&mut csv, event, style()).unwrap();
    csv.into_inner().unwrap()
}

/// Text as mls-parse hands it on: without control characters, and otherwise anything that has ever bitten a CSV.
fn text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    let nasty = prop::sample::select(vec![
        "", "null", "N/A", "'", "''", "=1+1", "@x", "a,b", "a\"b", "\"", "'null", " ", ",", " x ",
    ]);
    prop_oneof![
        Just(None),
        nasty.prop_map(|t| Some(t.into())),
        ".*|['=+@\"-].*".prop_map(|t| Some(clean(t.as_bytes()).into_owned().into()))
    ]
}

proptest! {
    #[test]
    fn the_nine_columns_read_back_for_any_text(
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
    fn no_line_panics_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(style().zone);
        let _ = decoder.decode(&bytes);
        // A bad row leaves nothing behind that the next one could suffer from.
        let good = b"h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A";
        let event = decoder.decode(good).unwrap().unwrap();
        prop_assert_eq!(event.user.as_deref(), Some("u"));
    }
}

#[test]
fn what_a_spreadsheet_would_run_is_text() {
    let mut event = Auth::new(Timestamp::parse("2026-11-21T07:40:14Z").unwrap(), Outcome::Failure);
    event.user = Some("=cmd|' /C calc'!A0".into());
    event.server = Some("vm\nforged,row".into());
    assert_eq!(
        String::from_utf8(line(&event)).unwrap(),
        "\"vm?forged,row\",2026-11-21 07:40:14,N/A,'=cmd|' /C calc'!A0,null,N/A,N/A,N/A,N/A\n"
    );
}

#[test]
fn a_row_of_another_shape_is_refused_with_its_column() {
    let mut decoder = Decoder::new(style().zone);
    for (line, why) in [
        ("a,b,c", "3 columns"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A,x", "10 columns"),
        ("h,2026-06-01 00:00,192.0.2.1,\"u,null,N/A,N/A,N/A,N/A", "4 columns"),
        ("h,01/06/2026 00:00,192.0.2.1,u,null,N/A,N/A,N/A,N/A", "date"),
        ("h,2026-06-01 00:00,192.0.2.256,u,null,N/A,N/A,N/A,N/A", "192.0.2.256"),
        ("h,2026-06-01 00:00,192.0.2.1,u,null,N/A,N/A,AS1,N/A", "asn"),
    ] {
        let error = decoder.decode(line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{line}: {error}");
    }
    assert!(
        decoder.decode(b"server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\r\n").unwrap().is_none()
    );
}
