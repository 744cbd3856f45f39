//! The dashboards for Grafana: their structure, and each of their queries.
//!
//! Grafana's schema: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use mls_tests::servers::{Kind, Server};
use mls_tests::{Site, text};
use serde_json::Value;

const POSTGRESQL: &str = include_str!("../scripts/dashboards/postgresql.json");
const PROMETHEUS: &str = include_str!("../scripts/dashboards/prometheus.json");

/// Failed logins on two servers, and one successful login.
const RECORDS: &str = r#"{"v":1,"type":"auth","date":"2026-06-01T10:00:00Z","server":"mx1","outcome":"failure","attempts":3,"ip":"192.0.2.1","user":"a","country_code":"DE","asn":64496,"aso":"Example"}
{"v":1,"type":"auth","date":"2026-06-01T11:00:00Z","server":"mx2","outcome":"failure","attempts":2,"ip":"192.0.2.1","user":"b","country_code":"DE","asn":64496,"aso":"Example"}
{"v":1,"type":"auth","date":"2026-06-01T12:00:00Z","server":"mx2","outcome":"success","attempts":1,"ip":"2001:db8::1","user":"c"}
"#;

fn panels(dashboard: &str) -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

#[test]
fn dashboards_have_the_members_of_the_schema_and_panels_do_not_overlap() {
    let mut uids = BTreeSet::new();
    for (text, kind) in [(POSTGRESQL, "grafana-postgresql-datasource"), (PROMETHEUS, "prometheus")]
    {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        assert!(
            dashboard["title"].is_string() && dashboard["schemaVersion"].as_u64().unwrap() >= 39
        );
        assert!(dashboard.get("id").is_none(), "the ID belongs to one Grafana");
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert!(uid.len() <= 40 && uids.insert(uid));
        for key in ["from", "to"] {
            assert!(dashboard["time"][key].is_string());
        }
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert_eq!(
            (&variables[0]["type"], &variables[0]["query"]),
            (&"datasource".into(), &kind.into())
        );
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(text) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()));
            let panel_type = panel["type"].as_str().unwrap();
            assert!(["stat", "timeseries", "table"].contains(&panel_type), "{panel_type}");
            assert!(panel["title"].is_string() && panel["fieldConfig"]["defaults"].is_object());
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= 24);
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(places.insert(place), "{} lies over another panel", panel["title"]);
            }
            for target in panel["targets"].as_array().unwrap() {
                assert!(target["refId"].is_string());
                assert_eq!(target["datasource"]["type"], kind);
                assert_eq!(target["datasource"]["uid"], "${datasource}");
            }
        }
    }
}

/// Replaces Grafana's macros with the SQL that Grafana puts there.
fn expand(sql: &str) -> String {
    let sql = sql
        .replace(
            "$__timeFilter(event_time)",
            "event_time BETWEEN '2026-05-31T00:00:00Z' AND '2026-06-02T00:00:00Z'",
        )
        .replace(
            "$__timeGroupAlias(event_time, $__interval)",
            "floor(extract(epoch from event_time)/3600)*3600 AS \"time\"",
        )
        .replace("$server", "'mx1','mx2'");
    assert!(!sql.contains('$'), "{sql}");
    sql
}

#[test]
fn each_query_runs_on_postgresql_and_counts_what_was_loaded() {
    let (site, server) = (Site::new(), Server::new(Kind::Postgresql));
    site.write("records", RECORDS);
    let load = format!("mls-sql load --outcome failure,success --url '{}' < records", server.url());
    let output = site.shell(&load);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut answers = Vec::new();
    for panel in panels(POSTGRESQL) {
        for target in panel["targets"].as_array().unwrap() {
            let answer = server.query(&expand(target["rawSql"].as_str().unwrap()));
            assert!(!answer.trim().is_empty(), "{}", panel["title"]);
            answers.push((panel["title"].as_str().unwrap().to_owned(), answer));
        }
    }
    let answer = |title: &str| {
        answers.iter().find(|(name, _)| name == title).map(|(_, answer)| answer.as_str()).unwrap()
    };
    assert_eq!(answer("Failed logins"), "5\n");
    assert_eq!(answer("Logins"), "1\n");
    assert_eq!(answer("Addresses that fail most"), "192.0.2.1\tDE\tExample\t2\t5\n");
    assert_eq!(answer("Attackers on several servers"), "192.0.2.1\t2\t5\n");
    assert_eq!(answer("Failed logins by server"), "1780308000\tmx1\t3\n1780311600\tmx2\t2\n");
    let dashboard: Value = serde_json::from_str(POSTGRESQL).unwrap();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            let _ = server.query(variable["query"].as_str().unwrap());
        }
    }
}

#[test]
fn each_metric_of_the_prometheus_dashboard_is_one_that_mls_report_writes() {
    let site = Site::new();
    // mx2 has attempts on all four days, mx1 only on the first three.
    let mut records = RECORDS.to_owned();
    for (server, day, hour) in
        (0..96).flat_map(|n| [("mx1", 1 + n / 24, n % 24), ("mx2", 1 + n / 24, n % 24)])
    {
        if server == "mx2" || day < 4 {
            records += &RECORDS
                .lines()
                .next()
                .unwrap()
                .replace("2026-06-01T10", &format!("2026-06-{day:02}T{hour:02}"))
                .replace("mx1", server);
            records.push('\n');
        }
    }
    records += &RECORDS.lines().last().unwrap().replace("2026-06-01T12", "2026-06-04T12");
    records.push('\n');
    site.write("records", &records);
    // The first `mls-report` prints the gauges of one day. The other two runs write the counters.
    let count = "mls-report --timezone UTC --since-last --format prometheus --output counters F";
    let output = site.shell(&format!(
        "mls-report --timezone UTC --date 2026-06-04 --format prometheus < records && \
         mls-csv < records > all && head -2 all > F && {count} && \
         tail -n +3 all >> F && {count} && cat counters"
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = text(&output.stdout);
    for panel in panels(PROMETHEUS) {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
            let begin = expr.find("maillogsentinel_").unwrap();
            let name = &expr[begin..];
            let end = name.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let name = &name[..end.unwrap_or(name.len())];
            let is_written = written.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
            });
            assert!(is_written, "{name} is not in {written}");
        }
    }
}
