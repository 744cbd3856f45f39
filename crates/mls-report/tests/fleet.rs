//! One report about several servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use assert_cmd::Command;
use serde_json::Value;

fn report(args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mls-report"));
    let run = command.args(["--timezone", "UTC"]).args(args).write_stdin(input.to_owned());
    String::from_utf8(run.assert().success().get_output().stdout.clone()).unwrap()
}

fn json(args: &[&str], input: &str) -> Value {
    serde_json::from_str(&report(&[&["--format", "json"], args].concat(), input)).unwrap()
}

fn failure(server: &str, date: &str, ip: &str, user: &str) -> String {
    format!(
        "{{\"v\":1,\"type\":\"auth\",\"date\":\"{date}\",\"server\":\"{server}\",\"outcome\":\"failure\",\
         \"attempts\":1,\"ip\":\"{ip}\",\"user\":\"{user}\"}}\n"
    )
}

#[test]
fn title_is_the_subject_and_the_heading() {
    let input = failure("mx1", "2026-06-01T10:00:00Z", "192.0.2.1", "anna");
    let titled = |format: &str| {
        report(&["--date", "2026-06-01", "--title", "Mail <EU>", "--format", format], &input)
    };
    assert!(titled("text").contains("### Mail <EU> "), "{}", titled("text"));
    assert!(!titled("text").contains("Server:"));
    assert!(titled("html").contains("<bdi>Mail &#60;EU&#62;</bdi>"), "{}", titled("html"));
    let mail = titled("mail");
    assert!(
        mail.contains("Subject: [MailLogSentinel] report on Mail <EU>: 1 failed login"),
        "{mail}"
    );
    assert!(mail.contains("List-Id: <digest.maillogsentinel.Mail--EU->"), "{mail}");
    assert_eq!(json(&["--title", "Mail <EU>"], &input)["title"], "Mail <EU>");
}

#[test]
fn only_attempts_of_the_named_servers_count() {
    let records = failure("mx1", "2026-06-01T10:00:00Z", "192.0.2.1", "anna")
        + &failure("mx2", "2026-06-01T10:00:01Z", "192.0.2.1", "anna")
        + &failure("mx3", "2026-06-01T10:00:02Z", "192.0.2.1", "anna");
    let csv = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n\
               mx1,2026-06-01 10:00,192.0.2.1,anna,null,OK,CN,1,A\n\
               mx2,2026-06-01 10:00,192.0.2.1,anna,null,OK,CN,1,A\n\
               mx3,2026-06-01 10:00,192.0.2.1,anna,null,OK,CN,1,A\n";
    for input in [&records, csv] {
        let count = |args: &[&str]| {
            json(&[&["--date", "2026-06-01"], args].concat(), input)["attempts"].clone()
        };
        assert_eq!(count(&[]), 3);
        assert_eq!(count(&["--server", "mx2"]), 1);
        assert_eq!(count(&["--server", "mx2", "--server", "mx1"]), 2);
        // There is no line of `mx4`. This is not an error, because every line can be read.
        assert_eq!(count(&["--server", "mx4"]), 0);
    }
}

/// Twenty servers on six days, with an attempt every two hours. `mx07` has no attempts after 18:00
/// on the fifth day. On the last day, three addresses try 19 servers (all except `mx07`), 12
/// servers and 4 servers.
fn fleet() -> String {
    let mut input = String::new();
    for (day, hour) in (1..=6).flat_map(|day| (0..24).step_by(2).map(move |hour| (day, hour))) {
        for server in 1..=20 {
            if server == 7 && (day, hour) > (5, 18) {
                continue;
            }
            let (name, date) =
                (format!("mx{server:02}"), format!("2026-06-0{day}T{hour:02}:00:00Z"));
            let ip = match (day, hour) {
                (6, 2) => "203.0.113.1".to_owned(),
                (6, 4) if server > 8 => "203.0.113.2".to_owned(),
                (6, 6) if server > 16 => "203.0.113.3".to_owned(),
                _ => format!("192.0.2.{server}"),
            };
            input += &failure(&name, &date, &ip, &format!("user{}", hour % 5));
        }
    }
    input
}

#[test]
fn silent_servers_and_attackers_on_several_servers_are_named() {
    let (input, day) = (fleet(), ["--date", "2026-06-06"]);
    let report_of_day = json(&day, &input);
    let silent = &report_of_day["silent_servers"];
    assert_eq!(silent["distinct"], 1, "{silent}");
    assert_eq!(
        silent["top"][0],
        serde_json::json!({"server": "mx07", "last_attempt": "2026-06-05T18:00:00+00:00",
            "pause_minutes": 1800, "usual_pause_minutes": 120, "attempts": 0})
    );
    // At the end of the fifth day, no server was silent.
    assert_eq!(json(&["--date", "2026-06-05"], &input)["silent_servers"]["distinct"], 0);
    let widespread: Vec<_> = (report_of_day["widespread_attackers"]["top"].as_array().unwrap())
        .iter()
        .map(|x| (x["ip"].as_str().unwrap(), x["servers"].as_u64().unwrap()))
        .collect();
    assert_eq!(widespread, [("203.0.113.1", 19), ("203.0.113.2", 12)]);
    let servers = &report_of_day["servers"];
    assert_eq!(
        (servers["distinct"].as_u64(), servers["top"].as_array().unwrap().len()),
        (Some(19), 10)
    );
    assert_eq!(json(&[&day[..], &["--server", "mx20"]].concat(), &input)["attempts"], 12);

    let text = report(&day, &input);
    let expected = "What stands out: mx07 has been silent for 30 h; ";
    assert!(text.contains(expected), "{text}");
    for title in
        ["Silent servers 2026-06-06", "Top 10 servers 2026-06-06:", "Attackers on several servers"]
    {
        assert!(text.contains(title), "{title}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    // A report about one server has no section about servers.
    let one = report(&[&day[..], &["--server", "mx07"]].concat(), &input);
    assert!(!one.to_lowercase().contains("servers"), "{one}");

    let metrics = report(&[&day[..], &["--format", "prometheus", "--top", "500"]].concat(), &input);
    for sample in [
        "maillogsentinel_failed_logins_by_server{server=\"mx20\"} 12",
        "maillogsentinel_server_is_silent{server=\"mx07\"} 1",
        "maillogsentinel_silent_servers 1",
        "maillogsentinel_widespread_attackers 2",
    ] {
        assert!(metrics.contains(&format!("{sample}\n")), "{sample}: {metrics}");
    }
}
