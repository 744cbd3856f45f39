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

/// One failure.
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
        // Every line can be read, even if none is of that server.
        assert_eq!(count(&["--server", "mx4"]), 0);
    }
}
