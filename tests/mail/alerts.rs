//! `mls-alert --framed | mls-mail`.

use serde_json::{Value, json};

use crate::site::{Site, row, text};

#[test]
fn an_alert_is_mailed_once_for_a_key_and_its_time() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\n[alert]\nip = 3/10m\nuser = 2/10m\n");
    let at = |minutes: i64| {
        (chrono::Utc::now() - chrono::TimeDelta::minutes(minutes))
            .format("%Y-%m-%d %H:%M")
            .to_string()
    };
    site.append(&(row(&at(31), "a") + &row(&at(31), "b") + &row(&at(30), "c")));
    let run = site.alerts();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let records: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [record] = &records[..] else { panic!("{}", run.out) };
    assert!(run.out.starts_with("{\"v\":1,\"type\":\"alert\","));
    assert_eq!(
        (&record["kind"], &record["key"], &record["attempts"]),
        (&json!("ip"), &json!("192.0.2.1"), &json!(3))
    );
    assert_eq!(record["threshold"], "3/10m");
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(
        message["headers"]["subject"]
            .as_str()
            .unwrap()
            .contains("alert: 3 failed logins from 192.0.2.1 (3/10m)")
    );

    // A second run finds no new alert. A failure within ten minutes after the alert causes no
    // second alert. Later failures cause alerts.
    assert_eq!(site.alerts().out, "");
    site.append(&row(&at(25), "d"));
    assert_eq!(site.alerts().out, "");
    assert_eq!(site.messages().len(), 1);
    site.append(&(row(&at(19), "e") + &row(&at(18), "e") + &row(&at(17), "f")));
    assert_eq!(site.alerts().out.lines().count(), 2);
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn an_alert_that_could_not_be_mailed_is_mailed_by_the_next_run() {
    let mut site = Site::new(&json!({"MAIL": ["550 no"]}), &[]);
    let alert = "email = admin@example.com\n[alert]\ntotal = 1/10m\n";
    site.configure_also(alert);
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string();
    site.append(&row(&now, "a"));
    assert_eq!(site.alerts().code, 69);
    site.serve(&json!({}), &[]);
    site.configure_also(alert);
    assert_eq!(site.alerts().code, 0);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn an_alert_is_mailed_once_even_if_one_recipient_is_refused() {
    let site = Site::new(&json!({"RCPT dead@example.com": ["550 5.1.1 no"]}), &[]);
    site.configure_also("email = dead@example.com, admin@example.com\n[alert]\ntotal = 1/10m\n");
    site.append(&row(&chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string(), "a"));
    let run = site.alerts();
    assert_eq!((run.code, run.err.contains("dead@example.com")), (69, true), "{}", run.err);
    let run = site.alerts();
    assert_eq!((run.code, run.out.as_str()), (0, ""), "{}", run.err);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_user_name_cannot_add_headers_or_change_the_direction_of_text() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\n[alert]\nuser = 1/10m\n");
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string();
    // `x (20/10m)\u{202e}gnp.exe\nBcc: all@x.org`, encoded by RFC 2047.
    site.append(&row(&now, "=?utf-8?B?eCAoMjAvMTBtKeKArmducC5leGUKQmNjOiBhbGxAeC5vcmc=?="));
    assert_eq!(site.alerts().code, 0);
    site.append(&row(&now, "exe\u{202e}gnp"));
    assert_eq!(site.alerts().code, 0);
    let messages = site.messages();
    let subject = messages[0].0["headers"]["subject"].as_str().unwrap();
    assert!(subject.contains("of user = ?utf-8?B?eCAo") && !subject.contains("Bcc"), "{subject}");
    assert!(
        text(&messages[1].0).contains("of user exe\u{fffd}gnp (1/10m)"),
        "{}",
        text(&messages[1].0)
    );
}

#[test]
fn each_of_two_hours_with_the_same_clock_time_has_its_own_alert() {
    let site = Site::new(&json!({}), &[]);
    let events = |date: &str| {
        format!("{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"outcome\":\"failure\",\"ip\":\"192.0.2.1\"}}\n")
            .repeat(3)
    };
    let path = site.dir.path().join("events.ndjson");
    let text = events("2026-10-25T02:50:00+02:00") + &events("2026-10-25T02:10:00+01:00");
    mls_state::atomic::write(&path, text.as_bytes(), 0o600).unwrap();
    let run = site.run("mls-alert --ip 3/10m --timezone Europe/Paris events.ndjson", &[]);
    let records: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dates: Vec<_> = records.iter().map(|record| record["date"].as_str().unwrap()).collect();
    assert_eq!(dates, ["2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"]);
}

#[test]
fn a_mail_of_many_alerts_has_the_first_thousand_and_the_number_of_the_others() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\n[alert]\nuser = 1/10m\n");
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string();
    site.append(&(0..1003).map(|n| row(&now, &format!("u{n}"))).collect::<String>());
    let run = site.alerts();
    assert_eq!((run.code, run.out.lines().count()), (0, 1003));
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(message["headers"]["subject"].as_str().unwrap().contains("1003 alerts"));
    assert_eq!(text(message).matches("1 failed login of user u").count(), 1000);
    assert!(
        text(message).contains("\nand 3 more: mls-alert prints all of them\n"),
        "{}",
        text(message)
    );
}

#[test]
fn a_name_in_an_edited_csv_does_not_control_a_terminal() {
    let site = Site::new(&json!({}), &[]);
    site.configure_also("email = admin@example.com\n[alert]\nuser = 1/10m\n");
    site.append(&row(&chrono::Utc::now().format("%Y-%m-%d %H:%M").to_string(), "a\u{1b}[31mb"));
    assert_eq!(site.alerts().code, 0);
    let [(message, _)] = &site.messages()[..] else { panic!("not one message") };
    assert!(text(message).contains("of user a?[31mb"), "{}", text(message));
}

#[test]
fn alerts_of_a_stream_that_was_cut_off_are_reported() {
    let site = Site::new(&json!({}), &[]);
    let begin = r#"{"v":1,"type":"begin","base":0}"#;
    let now = chrono::Utc::now().to_rfc3339();
    let event =
        format!(r#"{{"v":1,"type":"auth","date":"{now}","outcome":"failure","ip":"192.0.2.1"}}"#);
    mls_state::atomic::write(
        &site.dir.path().join("cut"),
        format!("{begin}\n{event}\n").as_bytes(),
        0o600,
    )
    .unwrap();
    let run = site.run("mls-alert --ip 1/10m < cut", &[]);
    assert_eq!(run.code, 75);
    assert!(run.out.contains(r#""key":"192.0.2.1""#), "{}", run.out);
    assert!(run.err.contains("stopped before its end"), "{}", run.err);
}
