//! Many mail servers in one database: what is stored, who may store it, and how it is read back.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

mod dump;
mod roles;
mod sources;
mod tables;

use mls_tests::Site;
use mls_tests::servers::{Kind, Server};
use serde_json::Value;

/// A failed login and a successful login, with every member that a table can store.
pub(crate) const RECORDS: &str = r#"{"v":1,"type":"auth","date":"2026-06-01T10:00:00.250+02:00","server":"mx1","service":"postfix/submission/smtpd","pid":12,"outcome":"failure","attempts":2,"mechanism":"PLAIN","ip":"2001:db8::1","port":4711,"client":"host.example.org","user":"it's \\ \"ünï\" '); --","reason":"authentication failure","pos":"a1b2:77","hostname":null,"reverse_dns_status":"Errno 1","country_code":"DE","asn":64496,"aso":"Example"}
{"v":1,"type":"auth","date":"2026-06-01T08:00:01Z","server":"mx2","service":"dovecot","pid":null,"outcome":"success","attempts":1,"mechanism":"PLAIN","ip":"192.0.2.1","client":null,"user":"anna","reason":null,"hostname":"a.example.org","reverse_dns_status":"OK","country_code":null,"asn":null,"aso":null}
"#;

pub(crate) fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns records of one server for the first week of June, one every half hour. Some addresses
/// try only this server, others try several servers.
fn week_of(server: u32, random: &mut u64) -> String {
    let mut below = |n: u64| {
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % n
    };
    let mut records = String::new();
    for minute in (0..7 * 1440).step_by(30) {
        // mx13 writes nothing after 10:00 on June 6.
        if server == 13 && minute >= 5 * 1440 + 600 {
            break;
        }
        let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
        let ip = match below(4) {
            // 203.0.113.N tries the server mxN and all servers with higher numbers.
            0 => format!("203.0.113.{}", 1 + below(server.into())),
            _ => format!("198.51.{server}.{}", below(20)),
        };
        let outcome = if below(10) == 0 { "success" } else { "failure" };
        let record = format!(
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-{day:02}T{hour:02}:{minute:02}:00Z\",\
             \"server\":\"mx{server:02}\",\"outcome\":\"{outcome}\",\"attempts\":{},\"ip\":\"{ip}\",\
             \"user\":\"user{}\"}}\n",
            1 + below(3),
            below(300)
        );
        records.push_str(&record);
    }
    records
}

#[test]
fn one_digest_over_twenty_servers_equals_counts_made_in_sql() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    let url = server.url();
    let mut random = 7;
    for number in 1..=20 {
        site.write(&format!("mx{number:02}"), &week_of(number, &mut random));
    }
    site.succeed(&format!(
        "for name in mx*; do mls-sql load --outcome failure,success --url '{url}' \
             --source $name < $name || exit 1; done"
    ));
    let dump = format!("mls-sql dump --url '{url}'");
    let report = "mls-report --timezone UTC --date 2026-06-07";
    let digest = site.succeed(&format!("{dump} | {report} --format json --top 1000"));
    let digest: Value = serde_json::from_str(&digest).unwrap();
    let day = "outcome = 'failure' AND event_time >= '2026-06-07T00:00:00Z' \
               AND event_time < '2026-06-08T00:00:00Z'";
    // Formats a list of the digest in the way the database client prints rows.
    let rows = |list: &str, columns: &[&str]| -> String {
        let cell = |row: &Value, column: &&str| match &row[column] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let line =
            |row: &Value| columns.iter().map(|c| cell(row, c)).collect::<Vec<_>>().join("\t");
        digest[list]["top"].as_array().unwrap().iter().map(|row| line(row) + "\n").collect()
    };
    let table = "maillogsentinel_events";
    for (list, columns, sql) in [
        (
            "servers",
            &["server", "addresses", "attempts"][..],
            format!(
                "SELECT server, count(DISTINCT ip), count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1"
            ),
        ),
        (
            "addresses",
            &["ip", "attempts"],
            format!(
                "SELECT host(ip), count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 2 DESC, host(ip) COLLATE \"C\""
            ),
        ),
        (
            "users",
            &["user", "attempts"],
            format!(
                "SELECT username, count(*) FROM {table} WHERE {day} GROUP BY 1 ORDER BY 2 DESC, username COLLATE \"C\""
            ),
        ),
        (
            "widespread_attackers",
            &["ip", "servers", "attempts"],
            format!(
                "SELECT host(ip), count(DISTINCT server), count(*) FROM {table} WHERE {day} GROUP BY 1 \
                 HAVING count(DISTINCT server) >= 5 ORDER BY 2 DESC, 3 DESC, host(ip) COLLATE \"C\""
            ),
        ),
    ] {
        assert_eq!(rows(list, columns), server.query(&sql), "{list}");
    }
    let attempts = server.query(&format!("SELECT count(*) FROM {table} WHERE {day}"));
    assert_eq!(digest["attempts"].to_string(), attempts.trim());
    assert_eq!(digest["users"]["exact"], true);
    let silent = rows("silent_servers", &["server", "last_attempt"]);
    assert_eq!(silent, "mx13\t2026-06-06T09:30:00+00:00\n");

    // The text digest names the silent server, and the attackers that at least ten servers saw.
    let text = site.succeed(&format!("{dump} | {report} --title 'All servers'"));
    assert!(text.contains("What stands out: mx13 has been silent for 38 h; "), "{text}");
    let many = server.query(&format!(
        "SELECT host(ip) FROM {table} WHERE {day} GROUP BY 1 HAVING count(DISTINCT server) >= 10"
    ));
    let (_, section) = text.split_once("Attackers on several servers").unwrap();
    let (section, _) = section.split_once("\n\n").unwrap();
    assert!(!many.is_empty());
    for ip in many.lines() {
        assert!(section.contains(ip), "{ip}: {section}");
    }
    let one = site.succeed(&format!("{dump} | {report} --server mx05 --format json"));
    let one: Value = serde_json::from_str(&one).unwrap();
    let attempts =
        server.query(&format!("SELECT count(*) FROM {table} WHERE {day} AND server = 'mx05'"));
    assert_eq!(one["attempts"].to_string(), attempts.trim());
}
