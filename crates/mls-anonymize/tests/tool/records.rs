//! Records and rows.

use std::fmt::Write as _;

use crate::{anonymize, key, records, tool};

#[test]
fn records_and_rows_get_the_same_pseudonyms_as_the_log() {
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let row =
        "mx1,2026-06-01 00:00,192.0.2.7,\"a, \"\"b\"\"\",mail.example.org,OK,DE,64500,Example AS\n";
    let record = r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","server":"mx1","service":"postfix/smtpd","pid":7,"outcome":"failure","attempts":1,"mechanism":"LOGIN","ip":"192.0.2.7","client":"mail.example.org","user":"a, \"b\"","reason":null,"hostname":"mail.example.org","reverse_dns_status":"OK","country_code":"DE","asn":64500,"aso":"Example AS","later":{"user":"bob","of":["10.1.2.3",7]}}"#;
    let (code, rows, _) =
        tool(&["--verify", "--key-file", key()], [header, row].concat().as_bytes());
    assert_eq!(code, Some(0));
    let (code, records, _) = tool(&["--verify", "--key-file", key()], record.as_bytes());
    assert_eq!(code, Some(0));
    let record: serde_json::Value = serde_json::from_slice(&records).unwrap();
    let cell = |name: &str| record[name].as_str().unwrap();
    let expected = format!(
        "{header}{},2026-06-01 00:00,{},{},{},OK,DE,N/A,N/A\n",
        cell("server"),
        cell("ip"),
        cell("user"),
        cell("hostname")
    );
    assert_eq!(String::from_utf8(rows).unwrap(), expected);
    assert_eq!((record["asn"].is_null(), record["aso"].is_null()), (true, true));
    let later = record["later"].to_string();
    assert!(
        !later.contains("bob")
            && !later.contains("10.1.2.3")
            && later.contains("\"10.")
            && later.contains(",7]")
    );
    // A log line gets the same pseudonyms as the row.
    let line = "Jun  1 00:00:45 mx1 postfix/smtpd[7]: warning: mail.example.org[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=a, \"b\"";
    let written = String::from_utf8(anonymize(line.as_bytes())).unwrap();
    let mut expected =
        format!("Jun  1 00:00:45 {} postfix/smtpd[7]: warning: {}", cell("server"), cell("client"));
    let _ = write!(
        expected,
        "[{}]: SASL LOGIN authentication failed: x, sasl_username={}",
        cell("ip"),
        cell("user")
    );
    assert_eq!(written, expected);
}

#[test]
fn the_user_of_an_alert_is_replaced_in_every_member() {
    let alert = r#"{"v":1,"type":"alert","date":"2026-06-01T00:00:45Z","kind":"guessed","key":"wilma","attempts":null,"threshold":null,"ip":"192.0.2.7","user":"wilma","evidence":"40 names failed from 192.0.2.7 before wilma logged in"}"#;
    let (code, written, _) = tool(&["--verify", "--key-file", key()], alert.as_bytes());
    assert_eq!(code, Some(0));
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["key"], written["user"]);
    assert_eq!(written["kind"], "guessed");
    assert!(written["evidence"].is_null());
    assert!(!written.to_string().contains("wilma") && !written.to_string().contains("192.0.2.7"));
}

#[test]
fn numbers_of_any_size_stay_and_nested_members_are_replaced() {
    let head = r#"{"v":1,"type":"later","n":"#;
    for kept in [
        "1e400",
        "[1E+400,-0.0,{\"n\":123456789012345678901234567890}]",
        "{\"date\":\"x.y\",\"n\":[[],{}]}",
    ] {
        let line = format!("{head}{kept}}}\n");
        assert_eq!(String::from_utf8(records(line.as_bytes())).unwrap(), line);
    }
    let line = format!(
        "{head}[{{\"kind\":\"user\",\"key\":\"wilma\",\"date\":{{\"user\":\"wilma\"}},\"asn\":64500}}]}}"
    );
    let written = String::from_utf8(records(line.as_bytes())).unwrap();
    assert!(!written.contains("wilma") && written.contains("\"asn\":null"), "{written}");
    // Values nested deeper than JSON readers allow become null.
    let line = format!("{head}{}1{}}}", "[".repeat(9_000), "]".repeat(9_000));
    let written = records(line.as_bytes());
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert!(written["n"].is_array());
}

#[test]
fn blank_lines_and_a_byte_order_mark_do_not_change_the_recognized_format() {
    let record = "{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T00:00:45Z\",\"outcome\":\"failure\",\"user\":\"wilma\"}\n";
    let rows = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\nmx,2026-06-01 00:00,192.0.2.1,wilma,null,N/A,N/A,N/A,N/A\n";
    for text in [record, rows] {
        // The blank lines of the last case are longer than one read.
        for before in ["\n \n", "\u{feff}", &format!("{:1023}\n", "").repeat(512)] {
            let (code, written, said) =
                tool(&["--verify", "--key-file", key()], format!("{before}{text}").as_bytes());
            let written = String::from_utf8(written).unwrap();
            assert_eq!(code, Some(0), "{said}");
            assert!(
                !written.contains("wilma") && written.lines().count() >= text.lines().count(),
                "{written}"
            );
        }
    }
}
